//! JSON as upstream writes it: Go's escapes, numbers of samples as strings.

use std::io;

use model::Labels;
use serde::Serialize;

/// Serializes a value as Go's `encoding/json` would: `<`, `>`, `&` and the two line separators of
/// Unicode escaped.
pub fn to_json(value: &impl Serialize) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, GoFormatter);
    value
        .serialize(&mut serializer)
        .expect("types of this workspace have string keys and writing to memory cannot fail");
    out
}

struct GoFormatter;

impl serde_json::ser::Formatter for GoFormatter {
    /// Whole numbers have no fraction; the exponent's leading zero goes.
    fn write_f64<W: ?Sized + io::Write>(&mut self, writer: &mut W, v: f64) -> io::Result<()> {
        let mut text = Vec::with_capacity(24);
        write_number(&mut text, v);
        writer.write_all(&text)
    }

    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(['<', '>', '&', '\u{2028}', '\u{2029}']) {
            writer.write_all(&rest.as_bytes()[..at])?;
            let c = rest[at..]
                .chars()
                .next()
                .expect("find points at a character");
            write!(writer, "\\u{:04x}", c as u32)?;
            rest = &rest[at + c.len_utf8()..];
        }
        writer.write_all(rest.as_bytes())
    }
}

/// Appends a finite number as Go's `encoding/json` does: with an exponent only below 1e-6 and from
/// 1e21 on, and that without a leading zero.
pub fn write_number(out: &mut Vec<u8>, v: f64) {
    let from = out.len();
    let exponent = v != 0.0 && !(1e-6..1e21).contains(&v.abs());
    golang::strconv::append_float(out, v, if exponent { 'e' } else { 'f' }, -1, 64);
    if let [.., b'e', b'-', b'0', _] = out[from..] {
        out.remove(out.len() - 2);
    }
}

/// Appends a JSON string.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut from = 0;
    let bytes = text.as_bytes();
    // Few texts have anything to escape. 0xE2 begins the two line separators.
    let suspect = |b: &u8| *b < 0x20 || matches!(*b, b'"' | b'\\' | b'<' | b'>' | b'&' | 0xE2);
    if !bytes.iter().any(suspect) {
        out.extend_from_slice(bytes);
        out.push(b'"');
        return;
    }
    for (at, c) in text.char_indices() {
        let escape: Option<&[u8]> = match c {
            '"' => Some(b"\\\""),
            '\\' => Some(b"\\\\"),
            '\n' => Some(b"\\n"),
            '\r' => Some(b"\\r"),
            '\t' => Some(b"\\t"),
            '\x08' => Some(b"\\b"),
            '\x0c' => Some(b"\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => Some(&[]),
            c if (c as u32) < 0x20 => Some(&[]),
            _ => None,
        };
        let Some(escape) = escape else { continue };
        out.extend_from_slice(&bytes[from..at]);
        if escape.is_empty() {
            out.extend_from_slice(format!("\\u{:04x}", c as u32).as_bytes());
        } else {
            out.extend_from_slice(escape);
        }
        from = at + c.len_utf8();
    }
    out.extend_from_slice(&bytes[from..]);
    out.push(b'"');
}

/// Appends a label set as an object.
pub fn write_labels(out: &mut Vec<u8>, labels: &Labels) {
    out.push(b'{');
    for (i, (name, value)) in labels.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write_string(out, name);
        out.push(b':');
        write_string(out, value);
    }
    out.push(b'}');
}

/// Appends a sample value: a quoted number, with an exponent only below 1e-6 and from 1e21 on
/// (upstream `util/jsonutil/marshal.go`).
pub fn write_float(out: &mut Vec<u8>, v: f64) {
    out.push(b'"');
    write_digits(out, v);
    out.push(b'"');
}

/// [`write_float`] without the quotes.
#[inline]
pub(crate) fn write_digits(out: &mut Vec<u8>, v: f64) {
    let abs = v.abs();
    let exponent = abs != 0.0 && !(1e-6..1e21).contains(&abs);
    golang::strconv::append_float(out, v, if exponent { 'e' } else { 'f' }, -1, 64);
}

/// Appends a timestamp in seconds, with milliseconds only where there are any.
pub fn write_timestamp(out: &mut Vec<u8>, t_ms: i64) {
    let mut digits = itoa::Buffer::new();
    if t_ms < 0 {
        out.push(b'-');
    }
    let abs = t_ms.unsigned_abs();
    out.extend_from_slice(digits.format(abs / 1000).as_bytes());
    let fraction = abs % 1000;
    if fraction != 0 {
        out.extend_from_slice(format!(".{fraction:03}").as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn floats() {
        for (v, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (0.000001, "0.000001"),
            (0.0000001, "1e-07"),
            (123456789.123, "123456789.123"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(written(|out| write_float(out, v)), format!("\"{text}\""));
        }
    }

    #[test]
    fn timestamps() {
        for (t, text) in [
            (0, "0"),
            (1, "0.001"),
            (10, "0.010"),
            (1500, "1.500"),
            (-1500, "-1.500"),
        ] {
            assert_eq!(written(|out| write_timestamp(out, t)), text);
        }
    }

    #[test]
    fn plain_numbers_are_written_as_go_does() {
        let json = to_json(&[60.0, 0.5, 1e-9, 1e21, -3.0]);
        assert_eq!(String::from_utf8(json).unwrap(), "[60,0.5,1e-9,1e+21,-3]");
    }

    #[test]
    fn strings_are_escaped_as_go_does() {
        let text = "a\"b\\<i>&\n\u{1}\u{2028}ü";
        let expected = r#""a\"b\\\u003ci\u003e\u0026\n\u0001\u2028ü""#;
        assert_eq!(written(|out| write_string(out, text)), expected);
        assert_eq!(String::from_utf8(to_json(&text)).unwrap(), expected);
    }
}
