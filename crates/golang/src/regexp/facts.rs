//! What a pattern says about the texts it matches, so that most matchers need no automaton
//! (prometheus/prometheus `model/labels/regexp.go` has the same aim).
//!
//! An expression is unfolded into the alternatives it stands for, each a row of literals and gaps
//! (`.*`, `.+`); where that stays small and both ends are anchored, comparing strings is enough.

use std::collections::HashSet;

use regex_syntax::hir::{Class, Hir, HirKind, Look};

use super::parse::{is_any_character, is_any_of_line};

/// Classes and optional parts are unfolded up to so many alternatives.
const MAX_PRODUCT: usize = 256;
/// Alternatives written out, `a|b|c`, are taken up to so many.
const MAX_WRITTEN: usize = 10_000;
/// Sets up to this size are compared one by one.
const MAX_LINEAR: usize = 8;
/// More alternatives with gaps than these are the automaton's; a digit between literals makes ten.
const MAX_GLOBS: usize = 16;

pub(super) struct Facts {
    pub plan: Plan,
    /// The matching texts, when they are few and known.
    pub set: Option<Vec<String>>,
    /// What all matching texts begin with, of an expression anchored at the start.
    pub prefix: String,
}

/// How to decide `is_match`.
pub(super) enum Plan {
    /// By automaton.
    Search,
    Everything,
    Equal(String),
    Few(Vec<String>),
    Many(HashSet<String>),
    Globs {
        texts: Vec<String>,
        globs: Vec<Glob>,
        /// The gaps hold no line feed (`.` without the flag `s`), and neither do the literals.
        one_line: bool,
    },
}

/// A literal start, literals at least so many characters apart, and what may follow.
pub(super) struct Glob {
    start: String,
    inner: Vec<(usize, String)>,
    /// The literal at the end, behind a gap.
    end: (usize, String),
}

#[derive(Clone, PartialEq)]
enum Part {
    Start,
    End,
    Text(String),
    /// At least so many characters of any kind.
    Gap(usize),
    /// At least so many characters that are no line feeds.
    LineGap(usize),
}

type Row = Vec<Part>;

impl Facts {
    pub(super) fn new(hir: &Hir) -> Facts {
        let prefix = if hir.properties().look_set_prefix().contains(Look::Start) {
            lead(hir).0
        } else {
            String::new()
        };
        let rows: Option<Vec<Row>> =
            unfold(hir).and_then(|rows| rows.into_iter().map(anchored).collect());
        let Some(rows) = rows else {
            return Facts {
                plan: Plan::Search,
                set: None,
                prefix,
            };
        };
        let mut texts = Vec::new();
        let mut seen = HashSet::new();
        let mut globs = Vec::new();
        for row in rows {
            match text_of(&row) {
                Some(text) if seen.contains(text) => {}
                Some(text) => {
                    seen.insert(text.to_owned());
                    texts.push(text.to_owned());
                }
                None => globs.push(row),
            }
        }
        let one_line = within_lines(&globs);
        let plan = if globs.iter().any(|row| matches!(row[..], [Part::Gap(0)])) {
            Plan::Everything
        } else if globs.len() > MAX_GLOBS || !globs.is_empty() && texts.len() > MAX_LINEAR {
            Plan::Search
        } else if let (Some(one_line), false) = (one_line, globs.is_empty()) {
            let globs = globs.into_iter().map(Glob::new).collect();
            let plan = Plan::Globs {
                texts,
                globs,
                one_line,
            };
            return Facts {
                plan,
                set: None,
                prefix,
            };
        } else if one_line.is_none() {
            Plan::Search
        } else {
            match &texts[..] {
                [only] => Plan::Equal(only.clone()),
                few if few.len() <= MAX_LINEAR => Plan::Few(few.to_vec()),
                _ => Plan::Many(seen),
            }
        };
        let set = matches!(plan, Plan::Equal(_) | Plan::Few(_) | Plan::Many(_)).then_some(texts);
        Facts { plan, set, prefix }
    }
}

impl Plan {
    /// Whether `text` matches; `Search` is not this function's to decide and matches nothing.
    pub(super) fn is_match(&self, text: &str) -> bool {
        match self {
            Plan::Search => false,
            Plan::Everything => true,
            Plan::Equal(only) => only == text,
            Plan::Few(texts) => texts.iter().any(|t| t == text),
            Plan::Many(texts) => texts.contains(text),
            Plan::Globs {
                texts,
                globs,
                one_line,
            } => {
                let fits = globs.iter().any(|g| g.is_match(text));
                fits && !(*one_line && text.contains('\n')) || texts.iter().any(|t| t == text)
            }
        }
    }
}

impl Glob {
    fn new(row: Row) -> Glob {
        let mut start = String::new();
        let mut inner = Vec::new();
        let mut gap = None;
        for part in row {
            match (part, gap) {
                (Part::Text(text), None) => start = text,
                (Part::Text(text), Some(least)) => {
                    inner.push((least, text));
                    gap = None;
                }
                (Part::Gap(least) | Part::LineGap(least), _) => gap = Some(least),
                (Part::Start | Part::End, _) => {}
            }
        }
        let end = match gap {
            Some(least) => (least, String::new()),
            None => inner.pop().unwrap_or_default(),
        };
        Glob { start, inner, end }
    }

    fn is_match(&self, text: &str) -> bool {
        let Some(mut rest) = text.strip_prefix(self.start.as_str()) else {
            return false;
        };
        let (least, end) = &self.end;
        let Some(body) = rest.strip_suffix(end.as_str()) else {
            return false;
        };
        rest = body;
        // The earliest place for each literal leaves the most room for the next.
        for (least, literal) in &self.inner {
            let Some(tail) = skip(rest, *least) else {
                return false;
            };
            let Some(at) = tail.find(literal.as_str()) else {
                return false;
            };
            rest = &tail[at + literal.len()..];
        }
        skip(rest, *least).is_some()
    }
}

/// `text` without its first `count` characters, if it has so many.
fn skip(text: &str, count: usize) -> Option<&str> {
    match count {
        0 => Some(text),
        1 if !text.is_empty() => Some(&text[text.chars().next().map_or(0, char::len_utf8)..]),
        count => {
            let mut rest = text.chars();
            for _ in 0..count {
                rest.next()?;
            }
            Some(rest.as_str())
        }
    }
}

/// The alternatives an expression stands for, in order; `None` when they are too many or some part
/// is more than literals and gaps.
fn unfold(hir: &Hir) -> Option<Vec<Row>> {
    match hir.kind() {
        HirKind::Empty => Some(vec![Vec::new()]),
        HirKind::Literal(literal) => {
            let text = std::str::from_utf8(&literal.0).ok()?;
            Some(vec![vec![Part::Text(text.to_owned())]])
        }
        HirKind::Look(Look::Start) => Some(vec![vec![Part::Start]]),
        HirKind::Look(Look::End) => Some(vec![vec![Part::End]]),
        HirKind::Look(_) => None,
        HirKind::Class(Class::Unicode(class)) => {
            let count: usize = class.ranges().iter().map(|r| r.len()).sum();
            if count > MAX_PRODUCT {
                return None;
            }
            let characters = class.ranges().iter().flat_map(|r| r.start()..=r.end());
            Some(
                characters
                    .map(|c| vec![Part::Text(c.to_string())])
                    .collect(),
            )
        }
        HirKind::Class(Class::Bytes(_)) => None,
        HirKind::Capture(capture) => unfold(&capture.sub),
        HirKind::Repetition(repetition) => {
            let (min, max) = (repetition.min, repetition.max);
            if max.is_none() && is_any_character(&repetition.sub) {
                return Some(vec![vec![Part::Gap(min as usize)]]);
            }
            if max.is_none() && is_any_of_line(&repetition.sub) {
                return Some(vec![vec![Part::LineGap(min as usize)]]);
            }
            match (min, max) {
                (0, Some(1)) => {
                    let mut rows = unfold(&repetition.sub)?;
                    let at = if repetition.greedy { rows.len() } else { 0 };
                    rows.insert(at, Vec::new());
                    Some(rows)
                }
                (n, Some(m)) if n == m && n <= 8 => {
                    let one = unfold(&repetition.sub)?;
                    (0..n).try_fold(vec![Vec::new()], |rows, _| product(&rows, &one))
                }
                _ => None,
            }
        }
        HirKind::Concat(subs) => subs
            .iter()
            .try_fold(vec![Vec::new()], |rows, sub| product(&rows, &unfold(sub)?)),
        HirKind::Alternation(subs) => {
            let mut rows = Vec::new();
            for sub in subs {
                rows.append(&mut unfold(sub)?);
                if rows.len() > MAX_WRITTEN {
                    return None;
                }
            }
            Some(rows)
        }
    }
}

fn product(left: &[Row], right: &[Row]) -> Option<Vec<Row>> {
    let count = left.len() * right.len();
    if count > MAX_PRODUCT && left.len() > 1 && right.len() > 1 || count > MAX_WRITTEN {
        return None;
    }
    let mut rows = Vec::with_capacity(count);
    for start in left {
        for end in right {
            let mut row = start.clone();
            for part in end {
                append(&mut row, part);
            }
            rows.push(row);
        }
    }
    Some(rows)
}

/// Neighbours of a kind become one part.
fn append(row: &mut Row, part: &Part) {
    match (row.last_mut(), part) {
        (_, Part::Text(text)) if text.is_empty() => {}
        (Some(Part::Text(last)), Part::Text(text)) => last.push_str(text),
        (Some(Part::Gap(last)), Part::Gap(least))
        | (Some(Part::LineGap(last)), Part::LineGap(least)) => *last += least,
        (Some(Part::Start), Part::Start) | (Some(Part::End), Part::End) => {}
        _ => row.push(part.clone()),
    }
}

/// Whether the gaps of these rows stay within a line, and with them, as no literal has a line feed
/// either, all that matches; `None` where it depends on the gap.
fn within_lines(rows: &[Row]) -> Option<bool> {
    let has = |wanted: fn(&Part) -> bool| rows.iter().flatten().any(wanted);
    let line_gap = has(|part| matches!(part, Part::LineGap(_)));
    let any_gap = has(|part| matches!(part, Part::Gap(_)));
    let line_feed = has(|part| matches!(part, Part::Text(text) if text.contains('\n')));
    match (line_gap, any_gap || line_feed) {
        (true, true) => None,
        (line_gap, _) => Some(line_gap),
    }
}

/// The row between its anchors, if it has them at both ends and nowhere else.
fn anchored(row: Row) -> Option<Row> {
    let (Some(Part::Start), Some(Part::End)) = (row.first(), row.last()) else {
        return None;
    };
    let inner = row.get(1..row.len() - 1)?;
    if inner.iter().any(|p| matches!(p, Part::Start | Part::End)) {
        return None;
    }
    Some(inner.to_vec())
}

fn text_of(row: &[Part]) -> Option<&str> {
    match row {
        [] => Some(""),
        [Part::Text(text)] => Some(text),
        _ => None,
    }
}

/// What every match begins with, and whether that is all of it.
fn lead(hir: &Hir) -> (String, bool) {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(Look::Start) => (String::new(), true),
        HirKind::Literal(literal) => match std::str::from_utf8(&literal.0) {
            Ok(text) => (text.to_owned(), true),
            Err(_) => (String::new(), false),
        },
        HirKind::Capture(capture) => lead(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min > 0 => {
            let (text, exact) = lead(&repetition.sub);
            (
                text,
                exact && repetition.min == 1 && repetition.max == Some(1),
            )
        }
        HirKind::Concat(subs) => {
            let mut all = String::new();
            for sub in subs {
                let (text, exact) = lead(sub);
                all.push_str(&text);
                if !exact {
                    return (all, false);
                }
            }
            (all, true)
        }
        HirKind::Alternation(subs) => {
            let mut leads = subs.iter().map(lead);
            let Some((mut common, mut exact)) = leads.next() else {
                return (String::new(), false);
            };
            for (text, also_exact) in leads {
                exact &= also_exact && text == common;
                common.truncate(shared(&common, &text));
            }
            (common, exact)
        }
        HirKind::Repetition(_) | HirKind::Look(_) | HirKind::Class(_) => (String::new(), false),
    }
}

/// The length of the longest common start, at a character boundary.
fn shared(a: &str, b: &str) -> usize {
    a.chars()
        .zip(b.chars())
        .take_while(|(x, y)| x == y)
        .map(|(x, _)| x.len_utf8())
        .sum()
}
