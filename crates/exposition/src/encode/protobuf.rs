//! Families as protobuf bytes, each behind its length.

use super::message::{self, Sink};
use crate::Family;

pub(super) fn delimited(family: &Family, out: &mut Vec<u8>) {
    let mut bytes = Bytes(Vec::with_capacity(256));
    message::family(&mut bytes, family);
    varint(out, bytes.0.len() as u64);
    out.extend_from_slice(&bytes.0);
}

struct Bytes(Vec<u8>);

impl Bytes {
    fn key(&mut self, tag: u32, wire_type: u32) {
        varint(&mut self.0, u64::from(tag << 3 | wire_type));
    }

    fn varint_field(&mut self, tag: u32, value: u64) {
        self.key(tag, 0);
        varint(&mut self.0, value);
    }
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

impl Sink for Bytes {
    fn string(&mut self, tag: u32, _: &str, value: &str) {
        self.key(tag, 2);
        varint(&mut self.0, value.len() as u64);
        self.0.extend_from_slice(value.as_bytes());
    }

    fn double(&mut self, tag: u32, _: &str, value: f64) {
        self.key(tag, 1);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn unsigned(&mut self, tag: u32, _: &str, value: u64) {
        self.varint_field(tag, value);
    }

    fn signed(&mut self, tag: u32, _: &str, value: i64) {
        self.varint_field(tag, value as u64);
    }

    fn zigzag(&mut self, tag: u32, _: &str, value: i64) {
        self.varint_field(tag, ((value << 1) ^ (value >> 63)) as u64);
    }

    fn symbol(&mut self, tag: u32, _: &str, number: u64, _: &str) {
        self.varint_field(tag, number);
    }

    fn message(&mut self, tag: u32, _: &str, fields: &mut dyn FnMut(&mut Self)) {
        // Written behind its place and moved back once its length is known: no buffer a message.
        let start = self.0.len();
        fields(self);
        let len = self.0.len() - start;
        let mut head = Bytes(Vec::with_capacity(8));
        head.key(tag, 2);
        varint(&mut head.0, len as u64);
        let moved = head.0.len();
        self.0.extend_from_slice(&head.0);
        self.0[start..].rotate_right(moved);
    }
}

#[cfg(test)]
mod tests {
    use model::MetricType;

    use super::*;
    use crate::{Metric, Value};

    #[test]
    fn bytes_of_a_gauge() {
        let mut family = Family::new("a", "h", MetricType::Gauge);
        let labels = vec![("l".to_owned(), "v".to_owned())];
        family.push(Metric::new(labels, Value::Gauge(1.0)));
        let mut out = Vec::new();
        delimited(&family, &mut out);
        let mut expected = vec![29, 10, 1, b'a', 18, 1, b'h', 24, 1, 34, 19];
        expected.extend([10, 6, 10, 1, b'l', 18, 1, b'v', 18, 9, 9]);
        expected.extend(1.0f64.to_le_bytes());
        assert_eq!(out, expected);
    }
}
