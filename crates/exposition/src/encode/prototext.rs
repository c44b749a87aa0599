//! Families as protobuf text: for people, and in error messages.

use super::message::{self, Sink};
use crate::float::write_text;
use crate::{Family, Metric};

/// Several lines a family, an empty line behind it.
pub(super) fn multiline(family: &Family, out: &mut Vec<u8>) {
    let mut text = Text::new(true);
    message::family(&mut text, family);
    out.extend_from_slice(&text.out);
    out.push(b'\n');
}

/// One line, without its end.
pub(super) fn compact(family: &Family) -> String {
    let mut text = Text::new(false);
    message::family(&mut text, family);
    String::from_utf8_lossy(&text.out).into_owned()
}

/// One metric on one line.
pub(super) fn compact_metric(metric: &Metric) -> String {
    let mut text = Text::new(false);
    message::metric(&mut text, metric);
    String::from_utf8_lossy(&text.out).into_owned()
}

struct Text {
    out: Vec<u8>,
    multiline: bool,
    depth: usize,
    /// Whether a field was written in the message that is open.
    started: bool,
}

impl Text {
    fn new(multiline: bool) -> Text {
        Text {
            out: Vec::new(),
            multiline,
            depth: 0,
            started: false,
        }
    }

    fn field(&mut self, name: &str, value: impl FnOnce(&mut Vec<u8>)) {
        self.begin(name);
        if self.multiline {
            self.out.push(b' ');
        }
        value(&mut self.out);
        self.end();
    }

    fn begin(&mut self, name: &str) {
        if self.multiline {
            self.out.resize(self.out.len() + 2 * self.depth, b' ');
        } else if self.started {
            self.out.push(b' ');
        }
        self.started = true;
        self.out.extend_from_slice(name.as_bytes());
        self.out.push(b':');
    }

    fn end(&mut self) {
        if self.multiline {
            self.out.push(b'\n');
        }
    }
}

impl Sink for Text {
    fn string(&mut self, _: u32, name: &str, value: &str) {
        self.field(name, |out| {
            out.extend_from_slice(golang::strconv::quote(value).as_bytes())
        });
    }

    fn double(&mut self, _: u32, name: &str, value: f64) {
        self.field(name, |out| match value {
            f if f.is_nan() => out.extend_from_slice(b"nan"),
            f64::INFINITY => out.extend_from_slice(b"inf"),
            f64::NEG_INFINITY => out.extend_from_slice(b"-inf"),
            f => write_text(out, f),
        });
    }

    fn unsigned(&mut self, _: u32, name: &str, value: u64) {
        self.field(name, |out| {
            out.extend_from_slice(value.to_string().as_bytes())
        });
    }

    fn signed(&mut self, _: u32, name: &str, value: i64) {
        self.field(name, |out| {
            out.extend_from_slice(value.to_string().as_bytes())
        });
    }

    fn zigzag(&mut self, tag: u32, name: &str, value: i64) {
        self.signed(tag, name, value);
    }

    fn symbol(&mut self, _: u32, name: &str, _: u64, symbol: &str) {
        self.field(name, |out| out.extend_from_slice(symbol.as_bytes()));
    }

    fn message(&mut self, _: u32, name: &str, fields: &mut dyn FnMut(&mut Self)) {
        self.begin(name);
        if self.multiline {
            self.out.extend_from_slice(b" {\n");
        } else {
            self.out.push(b'{');
        }
        self.depth += 1;
        self.started = false;
        fields(self);
        self.started = true;
        self.depth -= 1;
        if self.multiline {
            self.out.resize(self.out.len() + 2 * self.depth, b' ');
        }
        self.out.push(b'}');
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use model::MetricType;

    use super::*;
    use crate::Value;

    #[test]
    fn both_layouts() {
        let mut family = Family::new("a", "h\n", MetricType::Counter);
        let labels = vec![("l".to_owned(), "v".to_owned())];
        family.push(Metric::new(labels, Value::Counter(f64::INFINITY)));
        assert_eq!(
            compact(&family),
            r#"name:"a" help:"h\n" type:COUNTER metric:{label:{name:"l" value:"v"} counter:{value:inf}}"#
        );
        let mut out = Vec::new();
        multiline(&family, &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "name: \"a\"\nhelp: \"h\\n\"\ntype: COUNTER\nmetric: {\n  label: {\n    name: \"l\"\n    value: \"v\"\n  }\n  counter: {\n    value: inf\n  }\n}\n\n"
        );
    }
}
