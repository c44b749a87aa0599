//! Quoted strings (Go's `strconv/quote.go`), and Prometheus' wider reading of single quotes
//! (`util/strutil/quote.go`).

use super::printable::PRINTABLE;

/// Text that is no quoted string.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid syntax")]
pub struct SyntaxError;

/// Quotes like Go's `strconv.Quote`: double quotes, Go's escapes, printable UTF-8 as it is.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    append_quote(&mut out, text);
    out
}

/// Appends `text` quoted as [`quote`] does.
pub fn append_quote(out: &mut String, text: &str) {
    out.push('"');
    let mut plain = 0;
    for (at, c) in text.char_indices() {
        if matches!(c, ' '..='~') && c != '"' && c != '\\' {
            continue;
        }
        out.push_str(&text[plain..at]);
        plain = at + c.len_utf8();
        append_escaped(out, c, '"', false);
    }
    out.push_str(&text[plain..]);
    out.push('"');
}

/// Quotes like Go's `strconv.QuoteToASCII`: whatever is not printable ASCII is escaped.
pub fn quote_to_ascii(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        append_escaped(&mut out, c, '"', true);
    }
    out.push('"');
    out
}

/// Quotes bytes like Go's `strconv.Quote` does a string of them: what is not UTF-8 becomes `\xNN`.
pub fn quote_bytes(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + 2);
    out.push('"');
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            append_escaped(&mut out, c, '"', false);
        }
        for byte in chunk.invalid() {
            append_hex(&mut out, "\\x", u32::from(*byte), 2);
        }
    }
    out.push('"');
    out
}

/// Quotes like Go's `strconv.QuoteRune`: `'x'`.
pub fn quote_rune(c: char) -> String {
    let mut out = String::from("'");
    append_escaped(&mut out, c, '\'', false);
    out.push('\'');
    out
}

/// Quotes like Go's `strconv.QuoteRuneToASCII`.
pub fn quote_rune_to_ascii(c: char) -> String {
    let mut out = String::from("'");
    append_escaped(&mut out, c, '\'', true);
    out.push('\'');
    out
}

/// Whether Go's `strconv.IsPrint` calls `c` printable: letters, marks, numbers, punctuation,
/// symbols and the ASCII blank.
pub fn is_print(c: char) -> bool {
    let code = u32::from(c);
    if code < 0x7f {
        return code >= 0x20;
    }
    let at = PRINTABLE.partition_point(|&(_, last)| last < code);
    PRINTABLE.get(at).is_some_and(|&(first, _)| first <= code)
}

/// Whether `text` can stand between backquotes unchanged (Go's `strconv.CanBackquote`).
pub fn can_backquote(text: &str) -> bool {
    text.chars().all(|c| match c {
        '\t' => true,
        '`' | '\u{7f}' | '\u{feff}' => false,
        c => c >= ' ',
    })
}

fn append_escaped(out: &mut String, c: char, quote: char, ascii_only: bool) {
    match c {
        c if c == quote || c == '\\' => out.extend(['\\', c]),
        c if is_print(c) && (c.is_ascii() || !ascii_only) => out.push(c),
        '\x07' => out.push_str("\\a"),
        '\x08' => out.push_str("\\b"),
        '\x0c' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\x0b' => out.push_str("\\v"),
        c if c < ' ' || c == '\x7f' => append_hex(out, "\\x", u32::from(c), 2),
        c if c < '\u{10000}' => append_hex(out, "\\u", u32::from(c), 4),
        c => append_hex(out, "\\U", u32::from(c), 8),
    }
}

fn append_hex(out: &mut String, prefix: &str, value: u32, digits: u32) {
    out.push_str(prefix);
    for at in (0..digits).rev() {
        let digit = (value >> (4 * at)) & 0xf;
        out.push(char::from_digit(digit, 16).unwrap_or('0'));
    }
}

/// The text of a Go literal: `"..."` with escapes, `` `...` `` raw, `'x'` one character
/// (Go's `strconv.Unquote`). Bytes that are not UTF-8 (from `\xNN`) are replaced by U+FFFD; use
/// [`unquote_bytes`] to keep them.
///
/// # Errors
/// When `text` is no whole literal.
pub fn unquote(text: &str) -> Result<String, SyntaxError> {
    unquote_bytes(text).map(into_text)
}

/// The bytes of a Go literal, as [`unquote`].
///
/// # Errors
/// When `text` is no whole literal.
pub fn unquote_bytes(text: &str) -> Result<Vec<u8>, SyntaxError> {
    let (quote, body) = split(text)?;
    if quote == b'`' {
        // Go drops carriage returns from raw literals.
        return Ok(body.bytes().filter(|&b| b != b'\r').collect());
    }
    let (out, characters) = unescape(body, quote)?;
    if quote == b'\'' && characters > 1 {
        return Err(SyntaxError);
    }
    Ok(out)
}

/// The text of a PromQL literal: as [`unquote`], but single quotes hold text of any length and
/// raw literals keep carriage returns.
///
/// # Errors
/// When `text` is no whole literal.
pub fn unquote_any(text: &str) -> Result<String, SyntaxError> {
    let (quote, body) = split(text)?;
    if quote == b'`' {
        return Ok(body.to_owned());
    }
    unescape(body, quote).map(|(out, _)| into_text(out))
}

fn into_text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}

/// The quote and what stands between it and its twin at the end.
fn split(text: &str) -> Result<(u8, &str), SyntaxError> {
    let bytes = text.as_bytes();
    let (Some(&first), Some(&last)) = (bytes.first(), bytes.last()) else {
        return Err(SyntaxError);
    };
    if bytes.len() < 2 || first != last || !matches!(first, b'"' | b'\'' | b'`') {
        return Err(SyntaxError);
    }
    let body = &text[1..text.len() - 1];
    if first == b'`' && body.contains('`') {
        return Err(SyntaxError);
    }
    Ok((first, body))
}

/// Undoes escapes; also says how many characters there were.
fn unescape(body: &str, quote: u8) -> Result<(Vec<u8>, usize), SyntaxError> {
    let mut out = Vec::with_capacity(body.len());
    let mut characters = 0;
    let mut rest = body;
    while let Some(c) = rest.chars().next() {
        characters += 1;
        rest = &rest[c.len_utf8()..];
        if c == '\n' || c == char::from(quote) {
            return Err(SyntaxError);
        }
        if c != '\\' {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let kind = *rest.as_bytes().first().ok_or(SyntaxError)?;
        let tail = rest.as_bytes().get(1..).unwrap_or_default();
        let mut used = 1;
        match kind {
            b'a' => out.push(0x07),
            b'b' => out.push(0x08),
            b'f' => out.push(0x0c),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'v' => out.push(0x0b),
            b'\\' => out.push(b'\\'),
            b'\'' | b'"' if kind == quote => out.push(kind),
            b'x' => {
                out.push(digits(tail, 2, 16)? as u8);
                used += 2;
            }
            b'u' | b'U' => {
                let length = if kind == b'u' { 4 } else { 8 };
                let c = char::from_u32(digits(tail, length, 16)?).ok_or(SyntaxError)?;
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                used += length;
            }
            b'0'..=b'7' => {
                let value = digits(rest.as_bytes(), 3, 8)?;
                out.push(u8::try_from(value).map_err(|_| SyntaxError)?);
                used += 2;
            }
            _ => return Err(SyntaxError),
        }
        rest = &rest[used..];
    }
    Ok((out, characters))
}

/// The number written by the first `length` digits.
fn digits(text: &[u8], length: usize, radix: u32) -> Result<u32, SyntaxError> {
    let text = text.get(..length).ok_or(SyntaxError)?;
    text.iter().try_fold(0u32, |value, &byte| {
        let digit = char::from(byte).to_digit(radix).ok_or(SyntaxError)?;
        Ok(value.wrapping_mul(radix) | digit)
    })
}
