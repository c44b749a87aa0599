//! Replacement: Go's `Expand` and `ReplaceAllString` (`regexp/regexp.go`).

use super::{Captures, Regexp};

impl Regexp {
    /// Appends `template` to `out`, with `$1`, `$name`, `${1}` and `${name}` replaced by the groups of
    /// `captures` and `$$` by `$`. A name is the longest run of letters, digits and underscores;
    /// groups that are unknown or did not take part are empty.
    pub fn expand(&self, out: &mut String, template: &str, captures: &Captures<'_>) {
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('$') {
            out.push_str(before);
            rest = after;
            if let Some(after) = rest.strip_prefix('$') {
                out.push('$');
                rest = after;
                continue;
            }
            let Some((name, after)) = reference(rest) else {
                out.push('$');
                continue;
            };
            rest = after;
            let text = match group_number(name) {
                Some(number) => captures.get(number),
                None => self
                    .names
                    .iter()
                    .enumerate()
                    .filter(|(_, known)| *known == name)
                    .find_map(|(number, _)| captures.get(number)),
            };
            out.push_str(text.unwrap_or_default());
        }
        out.push_str(rest);
    }

    /// Replaces every match in `text` by `template`, expanded.
    pub fn replace_all(&self, text: &str, template: &str) -> String {
        self.replace_all_with(text, |out, captures| self.expand(out, template, captures))
    }

    /// Replaces every match in `text` by what `replace` appends for it.
    pub fn replace_all_with(
        &self,
        text: &str,
        mut replace: impl FnMut(&mut String, &Captures<'_>),
    ) -> String {
        let mut out = String::with_capacity(text.len());
        let (mut copied, mut at) = (0, 0);
        while at <= text.len() {
            let Some(captures) = self.captures_at(text, at) else {
                break;
            };
            let whole = captures.range(0).unwrap_or(at..at);
            out.push_str(&text[copied..whole.start]);
            // An empty match right behind another match is not replaced.
            if whole.end > copied || whole.start == 0 {
                replace(&mut out, &captures);
            }
            copied = whole.end;
            let width = text[at..].chars().next().map_or(1, char::len_utf8);
            at = whole.end.max(at + width);
        }
        out.push_str(text.get(copied..).unwrap_or_default());
        out
    }
}

/// The name after a `$`, and what follows it.
fn reference(text: &str) -> Option<(&str, &str)> {
    let (braced, body) = match text.strip_prefix('{') {
        Some(body) => (true, body),
        None => (false, text),
    };
    let end = body
        .find(|c: char| c != '_' && !c.is_alphabetic() && !is_decimal_digit(c))
        .unwrap_or(body.len());
    let (name, rest) = body.split_at(end);
    if name.is_empty() {
        return None;
    }
    match braced {
        true => Some((name, rest.strip_prefix('}')?)),
        false => Some((name, rest)),
    }
}

fn is_decimal_digit(c: char) -> bool {
    c.is_ascii_digit() || !c.is_ascii() && c.is_numeric()
}

/// `$1` but not `$01` or `$1x`.
fn group_number(name: &str) -> Option<usize> {
    if name.len() > 1 && name.starts_with('0') || !name.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    name.parse().ok().filter(|&n| n < 1_000_000_000)
}
