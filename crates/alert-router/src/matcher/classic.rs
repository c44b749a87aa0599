//! The old notation (prometheus/alertmanager `pkg/labels/parse.go`): ASCII names, values with or
//! without quotes, lists split at commas outside quotes.

use model::MatchKind;

use super::{Matcher, ParseError};

/// A list: an opening brace at the start and a closing one at the end are dropped, one trailing
/// comma is tolerated.
pub(super) fn matchers(input: &str) -> Result<Vec<Matcher>, ParseError> {
    let input = input.strip_prefix('{').unwrap_or(input);
    let input = input.strip_suffix('}').unwrap_or(input);
    let mut tokens = Vec::new();
    let mut token = String::new();
    let (mut inside_quotes, mut escaped) = (false, false);
    for c in input.chars() {
        match c {
            ',' if !inside_quotes => {
                tokens.push(std::mem::take(&mut token));
                continue;
            }
            // Upstream leaves the escape flag alone at a quoted comma.
            ',' => {}
            '"' if escaped => escaped = false,
            '"' => inside_quotes = !inside_quotes,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
        token.push(c);
    }
    let rest = token.trim();
    if !rest.is_empty() {
        tokens.push(rest.to_owned());
    }
    tokens.iter().map(|token| matcher(token)).collect()
}

/// One matcher: name, operator, value, with blanks around each of them.
pub(super) fn matcher(input: &str) -> Result<Matcher, ParseError> {
    let Some((name, kind, raw)) = split(input) else {
        return Err(ParseError(format!("bad matcher format: {input}")));
    };
    let unescaped_quote = || {
        ParseError(format!(
            "matcher value contains unescaped double quote: {raw}"
        ))
    };
    let (text, mut expect_closing) = match raw.strip_prefix('"') {
        Some(text) => (text, true),
        None => (raw, false),
    };
    let mut value = String::with_capacity(text.len());
    let mut escaped = false;
    for (i, c) in text.char_indices() {
        let last = i + 1 >= text.len();
        match c {
            'n' if escaped => value.push('\n'),
            '"' | '\\' if escaped => value.push(c),
            _ if escaped => {
                // Not an escape sequence: the backslash means itself.
                value.push('\\');
                value.push(c);
            }
            '\\' if !last => {
                escaped = true;
                continue;
            }
            '"' if expect_closing && last => expect_closing = false,
            '"' => return Err(unescaped_quote()),
            _ => value.push(c),
        }
        escaped = false;
    }
    if expect_closing {
        return Err(unescaped_quote());
    }
    Matcher::new(kind, name, value).map_err(|e| ParseError(e.to_string()))
}

/// What `^\s*([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(=~|=|!=|!~)\s*((?s).*?)\s*$` finds; Go's `\s` is ASCII.
fn split(input: &str) -> Option<(&str, MatchKind, &str)> {
    let blank = |c: char| matches!(c, ' ' | '\t' | '\n' | '\x0c' | '\r');
    let rest = input.trim_start_matches(blank);
    let len = rest
        .bytes()
        .enumerate()
        .take_while(|(i, b)| {
            b.is_ascii_alphabetic() || matches!(b, b'_' | b':') || (*i > 0 && b.is_ascii_digit())
        })
        .count();
    if len == 0 {
        return None;
    }
    let (name, rest) = rest.split_at(len);
    let rest = rest.trim_start_matches(blank);
    let (kind, rest) = [
        ("=~", MatchKind::Regexp),
        ("=", MatchKind::Equal),
        ("!=", MatchKind::NotEqual),
        ("!~", MatchKind::NotRegexp),
    ]
    .into_iter()
    .find_map(|(operator, kind)| Some((kind, rest.strip_prefix(operator)?)))?;
    Some((name, kind, rest.trim_matches(blank)))
}
