//! JSON as upstream writes it: Go's escapes, numbers of samples as strings.

use std::io;

use model::Labels;
use serde::Serialize;
use serde_json::ser::{CharEscape, CompactFormatter};

/// Serializes a value as upstream does: as Go's `encoding/json` with `<`, `>`, `&` and the two line
/// separators of Unicode escaped, but not in names of members and within label sets ([`LABEL_SETS`]), which have a
/// writer of their own there.
pub fn to_json(value: &impl Serialize) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    let formatter = GoFormatter::default();
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, formatter);
    value
        .serialize(&mut serializer)
        .expect("types of this workspace have string keys and writing to memory cannot fail");
    out
}

/// Members of upstream's answers that are label sets, wherever they stand.
const LABEL_SETS: [&str; 6] = [
    "annotations",
    "discoveredLabels",
    "labels",
    "metric",
    "output",
    "target",
];

#[derive(Default)]
struct GoFormatter {
    depth: usize,
    /// The depth of the label set that is being written.
    label_set: Option<usize>,
    /// The name of a member, while it is written.
    name: Option<String>,
    /// The value that follows belongs to one of [`LABEL_SETS`].
    named: bool,
}

impl serde_json::ser::Formatter for GoFormatter {
    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth += 1;
        if std::mem::take(&mut self.named) && self.label_set.is_none() {
            self.label_set = Some(self.depth);
        }
        writer.write_all(b"{")
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        if self.label_set == Some(self.depth) {
            self.label_set = None;
        }
        self.depth -= 1;
        writer.write_all(b"}")
    }

    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.name = Some(String::new());
        if first {
            Ok(())
        } else {
            writer.write_all(b",")
        }
    }

    fn end_object_key<W: ?Sized + io::Write>(&mut self, _: &mut W) -> io::Result<()> {
        let name = self.name.take();
        self.named = name.is_some_and(|name| LABEL_SETS.contains(&name.as_str()));
        Ok(())
    }

    fn end_object_value<W: ?Sized + io::Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.named = false;
        Ok(())
    }

    fn begin_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.named = false;
        writer.write_all(b"[")
    }

    /// Whole numbers have no fraction; the exponent's leading zero goes.
    fn write_f64<W: ?Sized + io::Write>(&mut self, writer: &mut W, v: f64) -> io::Result<()> {
        let mut text = Vec::with_capacity(24);
        write_number(&mut text, v);
        writer.write_all(&text)
    }

    /// Two characters that have short escapes elsewhere have none in upstream's writer.
    fn write_char_escape<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        escape: CharEscape,
    ) -> io::Result<()> {
        match escape {
            CharEscape::Backspace => writer.write_all(b"\\u0008"),
            CharEscape::FormFeed => writer.write_all(b"\\u000c"),
            other => CompactFormatter.write_char_escape(writer, other),
        }
    }

    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        if let Some(name) = &mut self.name {
            name.push_str(fragment);
        }
        if self.label_set.is_some() || self.name.is_some() {
            return writer.write_all(fragment.as_bytes());
        }
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

/// Appends a JSON string as Go's `encoding/json` does: with `<`, `>`, `&` and the two line separators of
/// Unicode escaped.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    write_escaped(out, text, true);
}

/// Appends a JSON string; `html`: also what would matter within a page of HTML or a script is escaped.
fn write_escaped(out: &mut Vec<u8>, text: &str, html: bool) {
    out.push(b'"');
    let mut from = 0;
    let bytes = text.as_bytes();
    // Few texts have anything to escape. 0xE2 begins the two line separators.
    let suspect = |b: &u8| {
        *b < 0x20 || matches!(*b, b'"' | b'\\') || html && matches!(*b, b'<' | b'>' | b'&' | 0xE2)
    };
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
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' if html => Some(&[]),
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

/// Appends a label set as an object; upstream escapes nothing for HTML here.
pub fn write_labels(out: &mut Vec<u8>, labels: &Labels) {
    out.push(b'{');
    for (i, (name, value)) in labels.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write_escaped(out, name, false);
        out.push(b':');
        write_escaped(out, value, false);
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
        let digit = |of: u64| b'0' + (fraction / of % 10) as u8;
        out.extend_from_slice(&[b'.', digit(100), digit(10), digit(1)]);
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
    fn label_sets_are_not_escaped_for_html() {
        let labels = Labels::from([("a", "<&>\"\u{2028}\u{8}")]);
        let expected = "{\"a\":\"<&>\\\"\u{2028}\\u0008\"}";
        assert_eq!(written(|out| write_labels(out, &labels)), expected);
        let value = serde_json::json!({"<": 1, "help": "<", "labels": {"a": "<"}, "x": {"annotations": [{"b": ">"}]}});
        let expected =
            r#"{"<":1,"help":"\u003c","labels":{"a":"<"},"x":{"annotations":[{"b":"\u003e"}]}}"#;
        assert_eq!(String::from_utf8(to_json(&value)).unwrap(), expected);
    }

    #[test]
    fn strings_are_escaped_as_go_does() {
        let text = "a\"b\\<i>&\n\u{1}\u{8}\u{c}\u{2028}ü";
        let expected = r#""a\"b\\\u003ci\u003e\u0026\n\u0001\u0008\u000c\u2028ü""#;
        assert_eq!(written(|out| write_string(out, text)), expected);
        assert_eq!(String::from_utf8(to_json(&text)).unwrap(), expected);
    }
}
