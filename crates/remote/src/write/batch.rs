//! Requests in the making: every entry is encoded as it comes from the log.

use std::time::Instant;

use hashbrown::HashMap;
use model::{FloatHistogram, Histogram, Labels};
use prost::Message;

use super::position::Position;
use super::series::{Known, SeriesTable};
use super::strings::Strings;
use crate::push::Protocol;

/// What an entry is; also the index of what is counted by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Sample = 0,
    Histogram = 1,
    Exemplar = 2,
}

/// Numbers of samples, histograms and exemplars.
pub(crate) type Counts = [u64; 3];

/// The value of an entry.
pub(crate) enum Value<'a> {
    Sample {
        start_ms: i64,
        value: f64,
    },
    Histogram {
        start_ms: i64,
        histogram: &'a Histogram,
    },
    FloatHistogram {
        start_ms: i64,
        histogram: &'a FloatHistogram,
    },
    Exemplar {
        labels: &'a Labels,
        value: f64,
    },
}

impl Value<'_> {
    fn kind(&self) -> Kind {
        match self {
            Value::Sample { .. } => Kind::Sample,
            Value::Histogram { .. } | Value::FloatHistogram { .. } => Kind::Histogram,
            Value::Exemplar { .. } => Kind::Exemplar,
        }
    }
}

struct Entry {
    /// Where its bytes end.
    end: u32,
    kind: Kind,
    t_ms: i64,
}

/// A request in the making.
pub(crate) struct Batch {
    protocol: Protocol,
    /// The `symbols` fields (version 2.0).
    symbols: Vec<u8>,
    symbol_count: u32,
    symbol_of: HashMap<u32, u32>,
    /// Symbols of texts that have no number: labels of exemplars.
    symbol_of_text: HashMap<Box<str>, u32>,
    /// The `timeseries` fields.
    series: Vec<u8>,
    scratch: Vec<u8>,
    refs: Vec<u32>,
    /// One an entry, where entries may grow too old while they wait.
    entries: Vec<Entry>,
    keep_entries: bool,
    pub counts: Counts,
    pub newest_ms: i64,
    /// Up to where the log is done with once this is sent, as far as its shard goes.
    pub end: Position,
    pub since: Instant,
    /// Whether the receiver may have all of it already.
    pub again: bool,
}

impl Batch {
    /// An empty one; with `may_age`, entries can be taken out again by age.
    pub fn new(protocol: Protocol, may_age: bool) -> Batch {
        let mut batch = Batch {
            protocol,
            symbols: Vec::new(),
            symbol_count: 0,
            symbol_of: HashMap::new(),
            symbol_of_text: HashMap::new(),
            series: Vec::new(),
            scratch: Vec::new(),
            refs: Vec::new(),
            entries: Vec::new(),
            keep_entries: may_age,
            counts: [0; 3],
            newest_ms: i64::MIN,
            end: Position::default(),
            since: Instant::now(),
            again: false,
        };
        if protocol == Protocol::V2 {
            // The first symbol is the empty text.
            batch.symbol("");
        }
        batch
    }

    /// How many entries there are.
    pub fn len(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Adds an entry of a series.
    pub fn add(&mut self, table: &SeriesTable, series: &Known, t_ms: i64, value: &Value<'_>) {
        match self.protocol {
            Protocol::V1 => self.add_v1(&table.strings, series, t_ms, value),
            Protocol::V2 => self.add_v2(&table.strings, series, t_ms, value),
        }
        let kind = value.kind();
        self.counts[kind as usize] += 1;
        self.newest_ms = self.newest_ms.max(t_ms);
        if self.keep_entries {
            self.entries.push(Entry {
                end: self.series.len() as u32,
                kind,
                t_ms,
            });
        }
    }

    fn add_v1(&mut self, strings: &Strings, series: &Known, t_ms: i64, value: &Value<'_>) {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        match value {
            Value::Sample { value, .. } => put_sample(&mut scratch, 2, t_ms, *value, 0),
            Value::Histogram { histogram, .. } => {
                let message = proto::convert::histogram_to_prometheus(t_ms, histogram);
                put_message(&mut scratch, 4, &message);
            }
            Value::FloatHistogram { histogram, .. } => {
                let message = proto::convert::float_histogram_to_prometheus(t_ms, histogram);
                put_message(&mut scratch, 4, &message);
            }
            Value::Exemplar { labels, value } => {
                let message = proto::prometheus::Exemplar {
                    labels: proto::convert::labels_to_prometheus(labels),
                    value: *value,
                    timestamp: t_ms,
                };
                put_message(&mut scratch, 3, &message);
            }
        }
        let out = &mut self.series;
        out.push(field(1, 2));
        put_varint(out, u64::from(series.label_bytes) + scratch.len() as u64);
        let (pairs, _) = series.pairs.as_chunks::<2>();
        for [name, value] in pairs {
            put_pair(out, strings.get(*name), strings.get(*value));
        }
        out.extend_from_slice(&scratch);
        self.scratch = scratch;
    }

    fn add_v2(&mut self, strings: &Strings, series: &Known, t_ms: i64, value: &Value<'_>) {
        let mut refs = std::mem::take(&mut self.refs);
        let mut scratch = std::mem::take(&mut self.scratch);
        refs.clear();
        scratch.clear();
        for id in &series.pairs {
            refs.push(self.symbol_of_id(strings, *id));
        }
        put_packed(&mut scratch, 1, &refs);
        match value {
            Value::Sample { start_ms, value } => {
                put_sample(&mut scratch, 2, t_ms, *value, *start_ms);
            }
            Value::Histogram {
                start_ms,
                histogram,
            } => {
                let message = proto::convert::histogram_to_prometheus(t_ms, histogram);
                put_histogram_v2(&mut scratch, &message, *start_ms);
            }
            Value::FloatHistogram {
                start_ms,
                histogram,
            } => {
                let message = proto::convert::float_histogram_to_prometheus(t_ms, histogram);
                put_histogram_v2(&mut scratch, &message, *start_ms);
            }
            Value::Exemplar { labels, value } => {
                let mut message = proto::write_v2::Exemplar {
                    labels_refs: Vec::new(),
                    value: *value,
                    timestamp: t_ms,
                };
                for (name, value) in *labels {
                    message.labels_refs.push(self.symbol_of_text(name));
                    message.labels_refs.push(self.symbol_of_text(value));
                }
                put_message(&mut scratch, 4, &message);
            }
        }
        if let Some(metadata) = &series.metadata {
            let message = proto::write_v2::Metadata {
                r#type: i32::from(metadata.kind),
                help_ref: self.symbol_of_id(strings, metadata.help),
                unit_ref: self.symbol_of_id(strings, metadata.unit),
            };
            put_message(&mut scratch, 5, &message);
        }
        self.series.push(field(5, 2));
        put_varint(&mut self.series, scratch.len() as u64);
        self.series.extend_from_slice(&scratch);
        self.scratch = scratch;
        self.refs = refs;
    }

    fn symbol_of_id(&mut self, strings: &Strings, id: u32) -> u32 {
        if let Some(symbol) = self.symbol_of.get(&id) {
            return *symbol;
        }
        let text = strings.get(id);
        let symbol = match text.is_empty() {
            true => 0,
            false => self.symbol(text),
        };
        self.symbol_of.insert(id, symbol);
        symbol
    }

    fn symbol_of_text(&mut self, text: &str) -> u32 {
        if let Some(symbol) = self.symbol_of_text.get(text) {
            return *symbol;
        }
        let symbol = self.symbol(text);
        self.symbol_of_text.insert(text.into(), symbol);
        symbol
    }

    fn symbol(&mut self, text: &str) -> u32 {
        put_text(&mut self.symbols, 4, text);
        self.symbol_count += 1;
        self.symbol_count - 1
    }

    /// Takes out the entries before `min_ms`; answers how many they were.
    pub fn drop_before(&mut self, min_ms: i64) -> Counts {
        let mut dropped = [0; 3];
        if self.entries.iter().all(|entry| entry.t_ms >= min_ms) {
            return dropped;
        }
        let old = std::mem::take(&mut self.series);
        let mut start = 0;
        self.entries.retain_mut(|entry| {
            let bytes = &old[start..entry.end as usize];
            start = entry.end as usize;
            if entry.t_ms < min_ms {
                dropped[entry.kind as usize] += 1;
                return false;
            }
            self.series.extend_from_slice(bytes);
            entry.end = self.series.len() as u32;
            true
        });
        for (count, gone) in self.counts.iter_mut().zip(dropped) {
            *count -= gone;
        }
        dropped
    }

    /// The request's bytes.
    pub fn encoded(&self) -> Vec<u8> {
        [&self.symbols[..], &self.series].concat()
    }
}

const fn field(number: u8, wire_type: u8) -> u8 {
    number << 3 | wire_type
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Bytes of a varint.
const fn varint_bytes(value: u64) -> usize {
    ((64 - (value | 1).leading_zeros() as usize) * 9 + 64) / 64
}

fn put_text(out: &mut Vec<u8>, number: u8, text: &str) {
    out.push(field(number, 2));
    put_varint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

fn text_bytes(text: &str) -> usize {
    1 + varint_bytes(text.len() as u64) + text.len()
}

/// Bytes of a label as [`put_pair`] writes it.
pub(crate) fn pair_bytes(name: &str, value: &str) -> usize {
    let inner = text_bytes(name) + text_bytes(value);
    1 + varint_bytes(inner as u64) + inner
}

fn put_pair(out: &mut Vec<u8>, name: &str, value: &str) {
    out.push(field(1, 2));
    put_varint(out, (text_bytes(name) + text_bytes(value)) as u64);
    put_text(out, 1, name);
    put_text(out, 2, value);
}

/// A sample as both versions have it; the start time is the newer one's.
fn put_sample(out: &mut Vec<u8>, number: u8, t_ms: i64, value: f64, start_ms: i64) {
    let time = |t: i64| match t {
        0 => 0,
        t => 1 + varint_bytes(t as u64),
    };
    out.push(field(number, 2));
    put_varint(out, (9 + time(t_ms) + time(start_ms)) as u64);
    out.push(field(1, 1));
    out.extend_from_slice(&value.to_le_bytes());
    for (number, t) in [(2, t_ms), (3, start_ms)] {
        if t != 0 {
            out.push(field(number, 0));
            put_varint(out, t as u64);
        }
    }
}

fn put_packed(out: &mut Vec<u8>, number: u8, values: &[u32]) {
    let bytes: usize = values.iter().map(|v| varint_bytes(u64::from(*v))).sum();
    out.push(field(number, 2));
    put_varint(out, bytes as u64);
    for value in values {
        put_varint(out, u64::from(*value));
    }
}

fn put_message(out: &mut Vec<u8>, number: u8, message: &impl Message) {
    out.push(field(number, 2));
    put_varint(out, message.encoded_len() as u64);
    // A vector grows as needed.
    let _ = message.encode(out);
}

/// The newer histogram message lies like the older one, and has a start time behind it.
fn put_histogram_v2(out: &mut Vec<u8>, message: &proto::prometheus::Histogram, start_ms: i64) {
    let mut start = Vec::new();
    if start_ms != 0 {
        // Number 17 takes two bytes.
        put_varint(&mut start, 17 << 3);
        put_varint(&mut start, start_ms as u64);
    }
    out.push(field(3, 2));
    put_varint(out, (message.encoded_len() + start.len()) as u64);
    let _ = message.encode(out);
    out.extend_from_slice(&start);
}

#[cfg(test)]
mod tests;
