//! The parser for Go's regular expressions (`regexp/syntax/parse.go` with the flags of
//! `regexp.Compile`: Perl extensions, `^` and `$` at the ends of the text only).
//!
//! Where Rust's own syntax differs: classes `\d \s \w \b` are ASCII, `\Q...\E`, octal escapes, a
//! `{` that starts no repetition is itself, `&&` and `--` mean nothing in a class, `\z` but no
//! `\Z`, no `\<`, no `\C`, flags `i m s U` only, repetitions up to 1000 copies.

use regex_syntax::hir::{
    Capture, Class, ClassUnicode, ClassUnicodeRange, Dot, Hir, HirKind, Look, Repetition,
};

use super::{Error, class};

/// No repetition, nested ones multiplied, makes more copies of a thing.
const MAX_REPEAT: i64 = 1000;
/// Nesting beyond this is refused. Go's limit is 1000; compiling recurses, and this much fits the
/// stack of any thread.
const MAX_HEIGHT: u32 = 120;
/// Instructions of the compiled form, as Go counts them.
const MAX_SIZE: u64 = (128 << 20) / 40;
/// Ends of the runs in all classes.
const MAX_RUNES: u64 = (128 << 20) / 4;

pub(super) struct Parsed {
    pub hir: Hir,
    /// By group number; empty for unnamed ones, and for group 0.
    pub names: Vec<String>,
}

#[derive(Clone, Copy)]
struct Flags {
    fold_case: bool,
    /// `^` and `$` match at lines too.
    multi_line: bool,
    dot_newline: bool,
    non_greedy: bool,
}

/// A parsed piece, with what Go's limits count.
struct Item {
    hir: Hir,
    height: u32,
    size: u64,
    /// The largest product of nested repetition counts.
    repeats: i64,
}

/// An open parenthesis, or the whole expression.
struct Group {
    /// Flags to go back to when it closes.
    flags: Flags,
    capture: Option<u32>,
    branches: Vec<Item>,
    /// The branch being read.
    pieces: Vec<Item>,
}

struct Parser<'p> {
    pattern: &'p str,
    flags: Flags,
    groups: Vec<Group>,
    names: Vec<String>,
    runes: u64,
}

pub(super) fn parse(pattern: &str) -> Result<Parsed, Error> {
    let flags = Flags {
        fold_case: false,
        multi_line: false,
        dot_newline: false,
        non_greedy: false,
    };
    let mut parser = Parser {
        pattern,
        flags,
        groups: vec![Group::new(flags, None)],
        names: vec![String::new()],
        runes: 0,
    };
    parser.run()?;
    let (Some(whole), true) = (parser.groups.pop(), parser.groups.is_empty()) else {
        return Err(error("missing closing )", pattern));
    };
    let item = whole.close();
    parser.check(&item)?;
    Ok(Parsed {
        hir: item.hir,
        names: parser.names,
    })
}

fn error(what: &str, expression: &str) -> Error {
    Error(format!("{what}: `{expression}`"))
}

/// What `whole` begins with, up to where `rest` (its tail) starts.
fn up_to<'a>(whole: &'a str, rest: &str) -> &'a str {
    whole
        .get(..whole.len().saturating_sub(rest.len()))
        .unwrap_or(whole)
}

impl Group {
    fn new(flags: Flags, capture: Option<u32>) -> Group {
        Group {
            flags,
            capture,
            branches: Vec::new(),
            pieces: Vec::new(),
        }
    }

    fn end_branch(&mut self) {
        let pieces = std::mem::take(&mut self.pieces);
        self.branches.push(join(pieces, Hir::concat, 0));
    }

    fn close(mut self) -> Item {
        self.end_branch();
        let mut item = join(self.branches, Hir::alternation, 1);
        if let Some(index) = self.capture {
            item.hir = Hir::capture(Capture {
                index,
                name: None,
                sub: Box::new(item.hir),
            });
            item.height += 1;
            item.size += 2;
        }
        item
    }
}

/// Several pieces made one; `glue` is what each seam costs in instructions.
fn join(mut items: Vec<Item>, make: impl FnOnce(Vec<Hir>) -> Hir, glue: u64) -> Item {
    if items.len() == 1
        && let Some(only) = items.pop()
    {
        return only;
    }
    Item {
        height: 1 + items.iter().map(|i| i.height).max().unwrap_or(0),
        size: items.iter().map(|i| i.size + glue).sum::<u64>().max(1),
        repeats: items.iter().map(|i| i.repeats).max().unwrap_or(1),
        hir: make(items.into_iter().map(|i| i.hir).collect()),
    }
}

impl<'p> Parser<'p> {
    fn run(&mut self) -> Result<(), Error> {
        let mut rest = self.pattern;
        // Where the repetition right before `rest` began, if there is one.
        let mut last_repeat = None;
        while let Some(c) = rest.chars().next() {
            let before = rest;
            let after = &rest[c.len_utf8()..];
            let mut repeated = false;
            rest = match c {
                '(' if after.starts_with('?') => self.perl_group(before)?,
                '(' => {
                    self.open_capture("");
                    after
                }
                '|' => {
                    self.group().end_branch();
                    after
                }
                ')' => {
                    self.close_group()?;
                    after
                }
                '^' => {
                    let look = if self.flags.multi_line {
                        Look::StartLF
                    } else {
                        Look::Start
                    };
                    self.push(Hir::look(look))?;
                    after
                }
                '$' => {
                    let look = if self.flags.multi_line {
                        Look::EndLF
                    } else {
                        Look::End
                    };
                    self.push(Hir::look(look))?;
                    after
                }
                '.' => {
                    let dot = if self.flags.dot_newline {
                        Dot::AnyChar
                    } else {
                        Dot::AnyCharExceptLF
                    };
                    self.push(Hir::dot(dot))?;
                    after
                }
                '[' => self.class(before)?,
                '*' | '+' | '?' => {
                    repeated = true;
                    let (min, max) = match c {
                        '*' => (0, None),
                        '+' => (1, None),
                        _ => (0, Some(1)),
                    };
                    self.repeat(min, max, false, before, after, last_repeat)?
                }
                '{' => match counts(before) {
                    None => {
                        self.literal('{' as u32)?;
                        after
                    }
                    Some((counts, after)) => {
                        repeated = true;
                        let Some((min, max)) = counts else {
                            return Err(error("invalid repeat count", up_to(before, after)));
                        };
                        self.repeat(min, max, true, before, after, last_repeat)?
                    }
                },
                '\\' => self.escape(before)?,
                c => {
                    self.literal(c as u32)?;
                    after
                }
            };
            last_repeat = repeated.then_some(before);
        }
        Ok(())
    }

    fn group(&mut self) -> &mut Group {
        let last = self.groups.len() - 1;
        &mut self.groups[last]
    }

    fn open_capture(&mut self, name: &str) {
        let index = self.names.len() as u32;
        self.names.push(name.to_owned());
        self.groups.push(Group::new(self.flags, Some(index)));
    }

    fn close_group(&mut self) -> Result<(), Error> {
        if self.groups.len() < 2 {
            return Err(error("unexpected )", self.pattern));
        }
        if let Some(group) = self.groups.pop() {
            self.flags = group.flags;
            let item = group.close();
            self.check(&item)?;
            self.group().pieces.push(item);
        }
        Ok(())
    }

    fn check(&self, item: &Item) -> Result<(), Error> {
        if item.size > MAX_SIZE || self.runes > MAX_RUNES {
            return Err(error("expression too large", self.pattern));
        }
        if item.height > MAX_HEIGHT || self.groups.len() > MAX_HEIGHT as usize {
            return Err(error("expression nests too deeply", self.pattern));
        }
        Ok(())
    }

    fn push(&mut self, hir: Hir) -> Result<(), Error> {
        let item = Item {
            hir,
            height: 1,
            size: 1,
            repeats: 1,
        };
        self.check(&item)?;
        self.group().pieces.push(item);
        Ok(())
    }

    fn literal(&mut self, code: u32) -> Result<(), Error> {
        let Some(c) = char::from_u32(code) else {
            // A surrogate, which UTF-8 text never has.
            return self.push(Hir::fail());
        };
        if self.flags.fold_case {
            let mut class = class::class_of(&[(c, c)]);
            fold(&mut class);
            return self.push(Hir::class(Class::Unicode(class)));
        }
        self.push(Hir::literal(c.to_string().into_bytes()))
    }

    fn push_class(&mut self, class: ClassUnicode) -> Result<(), Error> {
        self.runes += 2 * class.ranges().len() as u64;
        self.push(Hir::class(Class::Unicode(class)))
    }

    /// Repeats the last piece. `before` starts at the operator, `after` behind it; returns what
    /// follows a lazy mark.
    fn repeat(
        &mut self,
        min: u32,
        max: Option<u32>,
        counted: bool,
        before: &'p str,
        after: &'p str,
        last_repeat: Option<&'p str>,
    ) -> Result<&'p str, Error> {
        let (lazy, after) = match after.strip_prefix('?') {
            Some(rest) => (true, rest),
            None => (false, after),
        };
        if let Some(last) = last_repeat {
            let operators = up_to(last, after);
            return Err(error("invalid nested repetition operator", operators));
        }
        let Some(sub) = self.group().pieces.pop() else {
            let operator = up_to(before, after);
            return Err(error("missing argument to repetition operator", operator));
        };
        let copies = max.unwrap_or(min);
        let repeats = match copies {
            0 if max == Some(0) => 1,
            n if counted => sub.repeats * i64::from(n.max(1)),
            _ => sub.repeats,
        };
        if counted && copies >= 2 && repeats > MAX_REPEAT {
            return Err(error("invalid repeat count", up_to(before, after)));
        }
        let size = match max {
            _ if !counted => 2 + sub.size,
            None if min == 0 => 2 + sub.size,
            None => 1 + u64::from(min) * sub.size,
            Some(max) => (u64::from(max) * sub.size + u64::from(max - min)).max(1),
        };
        let greedy = lazy == self.flags.non_greedy;
        let item = Item {
            height: sub.height + 1,
            size,
            repeats,
            hir: Hir::repetition(Repetition {
                min,
                max,
                greedy,
                sub: Box::new(sub.hir),
            }),
        };
        self.check(&item)?;
        self.group().pieces.push(item);
        Ok(after)
    }

    /// `(?P<name>`, `(?<name>`, `(?flags)`, `(?flags:`.
    fn perl_group(&mut self, whole: &'p str) -> Result<&'p str, Error> {
        let named = (whole.len() > 4)
            .then(|| whole.strip_prefix("(?P<"))
            .flatten()
            .or_else(|| whole.strip_prefix("(?<").filter(|_| whole.len() > 3));
        if let Some(body) = named {
            let Some((name, rest)) = body.split_once('>') else {
                return Err(error("invalid named capture", whole));
            };
            if name.is_empty() || !name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric()) {
                return Err(error("invalid named capture", up_to(whole, rest)));
            }
            self.open_capture(name);
            return Ok(rest);
        }
        let mut flags = self.flags;
        let (mut value, mut seen) = (true, false);
        let mut rest = &whole[2..];
        while let Some(c) = rest.chars().next() {
            rest = &rest[c.len_utf8()..];
            match c {
                'i' => flags.fold_case = value,
                'm' => flags.multi_line = value,
                's' => flags.dot_newline = value,
                'U' => flags.non_greedy = value,
                '-' if value => {
                    value = false;
                    seen = false;
                    continue;
                }
                ':' | ')' if value || seen => {
                    if c == ':' {
                        self.groups.push(Group::new(self.flags, None));
                        if self.groups.len() > MAX_HEIGHT as usize {
                            return Err(error("expression nests too deeply", self.pattern));
                        }
                    }
                    self.flags = flags;
                    return Ok(rest);
                }
                _ => break,
            }
            seen = true;
        }
        Err(error(
            "invalid or unsupported Perl syntax",
            up_to(whole, rest),
        ))
    }

    /// A backslash outside of a class.
    fn escape(&mut self, whole: &'p str) -> Result<&'p str, Error> {
        let letter = whole.as_bytes().get(1).copied().unwrap_or(0);
        let look = match letter {
            b'A' => Some(Look::Start),
            b'z' => Some(Look::End),
            b'b' => Some(Look::WordAscii),
            b'B' => Some(Look::WordAsciiNegate),
            _ => None,
        };
        if let Some(look) = look {
            self.push(Hir::look(look))?;
            return Ok(&whole[2..]);
        }
        match letter {
            b'C' => return Err(error("invalid escape sequence", r"\C")),
            b'Q' => {
                let body = &whole[2..];
                let (quoted, rest) = body.split_once(r"\E").unwrap_or((body, ""));
                for c in quoted.chars() {
                    self.literal(c as u32)?;
                }
                return Ok(rest);
            }
            _ => {}
        }
        if let Some((class, rest)) = self.class_escape(whole)? {
            self.push_class(class)?;
            return Ok(rest);
        }
        let (code, rest) = character_escape(whole)?;
        self.literal(code)?;
        Ok(rest)
    }

    /// `\d`, `\pL`, `\p{Greek}` and their negations.
    fn class_escape(&self, whole: &'p str) -> Result<Option<(ClassUnicode, &'p str)>, Error> {
        let Some(&letter) = whole.strip_prefix('\\').and_then(|t| t.as_bytes().first()) else {
            return Ok(None);
        };
        if let Some((class, negated)) = class::perl(letter) {
            return Ok(Some((self.finish(class, negated), &whole[2..])));
        }
        if !matches!(letter, b'p' | b'P') {
            return Ok(None);
        }
        let body = &whole[2..];
        let (name, rest) = match body.chars().next() {
            Some('{') => match body[1..].split_once('}') {
                Some(found) => found,
                None => return Err(error("invalid character class range", whole)),
            },
            Some(c) => body.split_at(c.len_utf8()),
            None => ("", ""),
        };
        let (inner_negated, plain) = match name.strip_prefix('^') {
            Some(plain) => (true, plain),
            None => (false, name),
        };
        let Some(class) = class::unicode(plain) else {
            let text = up_to(whole, rest);
            return Err(error("invalid character class range", text));
        };
        let negated = inner_negated != (letter == b'P');
        Ok(Some((self.finish(class, negated), rest)))
    }

    /// Case folding comes before negation.
    fn finish(&self, mut class: ClassUnicode, negated: bool) -> ClassUnicode {
        if self.flags.fold_case {
            fold(&mut class);
        }
        if negated {
            class.negate();
        }
        class
    }

    /// `[...]`.
    fn class(&mut self, whole: &'p str) -> Result<&'p str, Error> {
        let mut class = ClassUnicode::empty();
        let mut rest = &whole[1..];
        let negated = rest.starts_with('^');
        if negated {
            rest = &rest[1..];
        }
        let mut first = true;
        while first || !rest.starts_with(']') {
            first = false;
            if let Some(body) = rest.strip_prefix("[:")
                && let Some((name, after)) = body.split_once(":]")
            {
                let Some((named, negated)) = class::posix(name) else {
                    let text = up_to(rest, after);
                    return Err(error("invalid character class range", text));
                };
                class.union(&self.finish(named, negated));
                rest = after;
                continue;
            }
            if let Some((named, after)) = self.class_escape(rest)? {
                class.union(&named);
                rest = after;
                continue;
            }
            let start = rest;
            let (low, after) = class_character(rest, whole)?;
            rest = after;
            let mut high = low;
            if rest.len() >= 2 && rest.starts_with('-') && !rest.starts_with("-]") {
                (high, rest) = class_character(&rest[1..], whole)?;
                if high < low {
                    let range = up_to(start, rest);
                    return Err(error("invalid character class range", range));
                }
            }
            if let Some(range) = between(low, high) {
                let range = ClassUnicode::new([range]);
                class.union(&self.finish(range, false));
            }
        }
        if negated {
            class.negate();
        }
        self.push_class(class)?;
        Ok(&rest[1..])
    }
}

fn fold(class: &mut ClassUnicode) {
    // Fails only where the Unicode tables are compiled out, which they are not.
    let _ = class.try_case_fold_simple();
}

/// The run of characters from one code point to another, without the surrogates.
fn between(low: u32, high: u32) -> Option<ClassUnicodeRange> {
    let low = match low {
        0xd800..=0xdfff => 0xe000,
        code => code,
    };
    let high = match high {
        0xd800..=0xdfff => 0xd7ff,
        code => code,
    };
    let (low, high) = (char::from_u32(low)?, char::from_u32(high)?);
    (low <= high).then(|| ClassUnicodeRange::new(low, high))
}

fn class_character<'a>(rest: &'a str, whole: &str) -> Result<(u32, &'a str), Error> {
    match rest.chars().next() {
        None => Err(error("missing closing ]", whole)),
        Some('\\') => character_escape(rest),
        Some(c) => Ok((c as u32, &rest[c.len_utf8()..])),
    }
}

/// A backslash that stands for one character.
fn character_escape(whole: &str) -> Result<(u32, &str), Error> {
    let mut rest = whole[1..].chars();
    let Some(c) = rest.next() else {
        return Err(error("trailing backslash at end of expression", ""));
    };
    let code = match c {
        '1'..='7' if !rest.as_str().starts_with(|d| matches!(d, '0'..='7')) => None,
        '0'..='7' => {
            let digits = rest.as_str().bytes().take(2);
            let more: Vec<u8> = digits.take_while(|d| matches!(d, b'0'..=b'7')).collect();
            rest = rest.as_str()[more.len()..].chars();
            let start = c as u32 - '0' as u32;
            Some(more.iter().fold(start, |v, d| v * 8 + u32::from(d - b'0')))
        }
        'x' => hexadecimal_escape(&mut rest),
        'a' => Some(0x07),
        'f' => Some(0x0c),
        'n' => Some(0x0a),
        'r' => Some(0x0d),
        't' => Some(0x09),
        'v' => Some(0x0b),
        c if c.is_ascii() && !c.is_ascii_alphanumeric() => Some(c as u32),
        _ => None,
    };
    match code {
        Some(code) => Ok((code, rest.as_str())),
        None => Err(error(
            "invalid escape sequence",
            up_to(whole, rest.as_str()),
        )),
    }
}

/// After `\x`: two digits, or any number in braces.
fn hexadecimal_escape(rest: &mut std::str::Chars<'_>) -> Option<u32> {
    let first = rest.next()?;
    if first != '{' {
        let second = rest.next();
        return Some(first.to_digit(16)? * 16 + second?.to_digit(16)?);
    }
    let (mut code, mut digits) = (0, 0);
    loop {
        match rest.next()? {
            '}' => return (digits > 0).then_some(code),
            c => code = code * 16 + c.to_digit(16)?,
        }
        if code > 0x10_ffff {
            return None;
        }
        digits += 1;
    }
}

/// Lower and upper count; `None` inside when they are out of bounds.
type Counts = Option<(u32, Option<u32>)>;

/// Reads `{n}`, `{n,}` or `{n,m}` at the start; `None` when it is no such thing.
fn counts(text: &str) -> Option<(Counts, &str)> {
    let (min, rest) = count(text.strip_prefix('{')?)?;
    let (max, rest) = match rest.strip_prefix(',') {
        None => (Some(min), rest),
        Some(rest) if rest.starts_with('}') => (None, rest),
        Some(rest) => {
            let (max, rest) = count(rest)?;
            (Some(max), rest)
        }
    };
    let rest = rest.strip_prefix('}')?;
    let limit = MAX_REPEAT as u32;
    let bad = min > limit || max.is_some_and(|max| max > limit || max < min);
    Some(((!bad).then_some((min, max)), rest))
}

/// A decimal number without leading zeros; too large ones are `u32::MAX`.
fn count(text: &str) -> Option<(u32, &str)> {
    let end = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, rest) = text.split_at(end);
    if digits.is_empty() || digits.len() > 1 && digits.starts_with('0') {
        return None;
    }
    Some((digits.parse().unwrap_or(u32::MAX), rest))
}

/// Whether this is the class of all characters.
pub(super) fn is_any_character(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Class(Class::Unicode(class)) => {
            matches!(class.ranges(), [all] if all.start() == '\0' && all.end() == char::MAX)
        }
        _ => false,
    }
}

/// Whether this is the class of all characters but the line feed: `.` without the flag `s`.
pub(super) fn is_any_of_line(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Class(Class::Unicode(class)) => matches!(
            class.ranges(),
            [before, after] if before.start() == '\0' && before.end() == '\t'
                && after.start() == '\x0b' && after.end() == char::MAX
        ),
        _ => false,
    }
}
