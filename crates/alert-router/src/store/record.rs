//! One change of the router's state as bytes.
//!
//! A record is a type byte and fields in fixed order. Numbers are LEB128 (signed ones zigzag),
//! text is its length and its bytes, instants are nanoseconds since the epoch.
//!
//! ```text
//! 1 alert     labels annotations starts_at ends_at generator_url updated_at timeout
//! 2 refresh   fingerprint ends_at updated_at timeout        an alert that is otherwise known
//! 3 forget    fingerprint
//! 4 silence   id sets starts_at ends_at updated_at created_by comment annotations
//! 5 drop      id                                            a silence
//! 6 notified  group_key receiver timestamp firing resolved data expires_at
//! 7 alive     now
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use model::{Labels, MatchKind};

use crate::alert::Alert;
use crate::matcher::Matcher;
use crate::nflog;
use crate::silence::Silence;

/// A change.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// A new or changed alert.
    Alert(Arc<Alert>),
    /// An alert that was sent again and differs in nothing else.
    Refresh {
        /// Which alert.
        fingerprint: u64,
        /// Its new end.
        ends_at: Timestamp,
        /// When it was sent.
        updated_at: Timestamp,
        /// Whether the end is made up.
        timeout: bool,
    },
    /// An alert that is over and done with.
    Forget(u64),
    /// A new or changed silence.
    Silence(Silence),
    /// A silence that is past its retention.
    DropSilence(String),
    /// A notification that was sent.
    Notified(nflog::Key, nflog::Entry),
    /// The router was running then.
    Alive(Timestamp),
}

/// Bytes that are no record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// They end in the middle of one.
    #[error("record ends early")]
    Short,
    /// A field holds what it cannot hold.
    #[error("invalid {0} in record")]
    Invalid(&'static str),
}

impl Record {
    /// Appends the record's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Record::Alert(alert) => {
                out.push(1);
                put_labels(out, &alert.labels);
                put_labels(out, &alert.annotations);
                put_time(out, alert.starts_at);
                put_time(out, alert.ends_at);
                put_text(out, &alert.generator_url);
                put_time(out, alert.updated_at);
                out.push(u8::from(alert.timeout));
            }
            Record::Refresh {
                fingerprint,
                ends_at,
                updated_at,
                timeout,
            } => {
                out.push(2);
                out.extend_from_slice(&fingerprint.to_le_bytes());
                put_time(out, *ends_at);
                put_time(out, *updated_at);
                out.push(u8::from(*timeout));
            }
            Record::Forget(fingerprint) => {
                out.push(3);
                out.extend_from_slice(&fingerprint.to_le_bytes());
            }
            Record::Silence(silence) => {
                out.push(4);
                put_silence(out, silence);
            }
            Record::DropSilence(id) => {
                out.push(5);
                put_text(out, id);
            }
            Record::Notified(key, entry) => {
                out.push(6);
                put_notified(out, key, entry);
            }
            Record::Alive(now) => {
                out.push(7);
                put_time(out, *now);
            }
        }
    }

    /// Reads a record that takes up all of `bytes`.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Record, DecodeError> {
        let mut input = Reader(bytes);
        let record = match input.byte()? {
            1 => Record::Alert(Arc::new(Alert {
                labels: input.labels()?,
                annotations: input.labels()?,
                starts_at: input.time()?,
                ends_at: input.time()?,
                generator_url: Arc::from(input.text()?),
                updated_at: input.time()?,
                timeout: input.flag()?,
            })),
            2 => Record::Refresh {
                fingerprint: input.hash()?,
                ends_at: input.time()?,
                updated_at: input.time()?,
                timeout: input.flag()?,
            },
            3 => Record::Forget(input.hash()?),
            4 => Record::Silence(input.silence()?),
            5 => Record::DropSilence(input.text()?.to_owned()),
            6 => {
                let (key, entry) = input.notified()?;
                Record::Notified(key, entry)
            }
            7 => Record::Alive(input.time()?),
            _ => return Err(DecodeError::Invalid("type")),
        };
        if !input.0.is_empty() {
            return Err(DecodeError::Invalid("length"));
        }
        Ok(record)
    }
}

fn put_number(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn put_length(out: &mut Vec<u8>, n: usize) {
    put_number(out, n as u64);
}

fn put_signed(out: &mut Vec<u8>, n: i64) {
    put_number(out, ((n << 1) ^ (n >> 63)) as u64);
}

/// Seconds and nanoseconds apart: together they would not fit 64 bits for every date.
fn put_time(out: &mut Vec<u8>, t: Timestamp) {
    put_signed(out, t.as_second());
    put_signed(out, i64::from(t.subsec_nanosecond()));
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_length(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

fn put_labels(out: &mut Vec<u8>, labels: &Labels) {
    put_length(out, labels.len());
    for (name, value) in labels {
        put_text(out, name);
        put_text(out, value);
    }
}

fn put_silence(out: &mut Vec<u8>, silence: &Silence) {
    put_text(out, &silence.id);
    put_length(out, silence.matcher_sets.len());
    for set in &silence.matcher_sets {
        put_length(out, set.len());
        for matcher in set {
            out.push(match matcher.kind {
                MatchKind::Equal => 0,
                MatchKind::NotEqual => 1,
                MatchKind::Regexp => 2,
                MatchKind::NotRegexp => 3,
            });
            put_text(out, &matcher.name);
            put_text(out, &matcher.value);
        }
    }
    put_time(out, silence.starts_at);
    put_time(out, silence.ends_at);
    put_time(out, silence.updated_at);
    put_text(out, &silence.created_by);
    put_text(out, &silence.comment);
    put_labels(out, &silence.annotations);
}

fn put_notified(out: &mut Vec<u8>, key: &nflog::Key, entry: &nflog::Entry) {
    put_text(out, &key.group_key);
    put_text(out, &key.receiver.group_name);
    put_text(out, &key.receiver.integration);
    put_number(out, u64::from(key.receiver.index));
    put_time(out, entry.timestamp);
    for hashes in [&entry.firing, &entry.resolved] {
        put_length(out, hashes.len());
        for hash in hashes {
            out.extend_from_slice(&hash.to_le_bytes());
        }
    }
    put_length(out, entry.data.len());
    for (name, value) in &entry.data {
        put_text(out, name);
        match value {
            nflog::Value::Text(text) => {
                out.push(0);
                put_text(out, text);
            }
            nflog::Value::Integer(n) => {
                out.push(1);
                put_signed(out, *n);
            }
            nflog::Value::Float(x) => {
                out.push(2);
                out.extend_from_slice(&x.to_bits().to_le_bytes());
            }
        }
    }
    put_time(out, entry.expires_at);
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], DecodeError> {
        let (head, rest) = self.0.split_at_checked(n).ok_or(DecodeError::Short)?;
        self.0 = rest;
        Ok(head)
    }

    fn byte(&mut self) -> Result<u8, DecodeError> {
        let (first, rest) = self.0.split_first().ok_or(DecodeError::Short)?;
        self.0 = rest;
        Ok(*first)
    }

    fn flag(&mut self) -> Result<bool, DecodeError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::Invalid("flag")),
        }
    }

    fn number(&mut self) -> Result<u64, DecodeError> {
        let mut n = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            n |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(n);
            }
        }
        Err(DecodeError::Invalid("number"))
    }

    fn signed(&mut self) -> Result<i64, DecodeError> {
        let n = self.number()?;
        Ok((n >> 1) as i64 ^ -((n & 1) as i64))
    }

    /// A count of things that take at least `size` bytes each, so that no count is believed that
    /// the rest of the record could not hold.
    fn count(&mut self, size: usize) -> Result<usize, DecodeError> {
        let n = usize::try_from(self.number()?).map_err(|_| DecodeError::Short)?;
        if n > self.0.len() / size {
            return Err(DecodeError::Short);
        }
        Ok(n)
    }

    fn hash(&mut self) -> Result<u64, DecodeError> {
        let bytes = self.take(8)?;
        bytes
            .try_into()
            .map(u64::from_le_bytes)
            .map_err(|_| DecodeError::Short)
    }

    fn hashes(&mut self) -> Result<Vec<u64>, DecodeError> {
        let n = self.count(8)?;
        (0..n).map(|_| self.hash()).collect()
    }

    fn time(&mut self) -> Result<Timestamp, DecodeError> {
        let second = self.signed()?;
        let nanosecond = i32::try_from(self.signed()?).map_err(|_| DecodeError::Invalid("time"))?;
        Timestamp::new(second, nanosecond).map_err(|_| DecodeError::Invalid("time"))
    }

    fn text(&mut self) -> Result<&'a str, DecodeError> {
        let n = self.count(1)?;
        std::str::from_utf8(self.take(n)?).map_err(|_| DecodeError::Invalid("text"))
    }

    fn owned(&mut self) -> Result<String, DecodeError> {
        self.text().map(str::to_owned)
    }

    fn labels(&mut self) -> Result<Labels, DecodeError> {
        let n = self.count(2)?;
        let pairs: Result<Vec<(&str, &str)>, DecodeError> =
            (0..n).map(|_| Ok((self.text()?, self.text()?))).collect();
        Ok(Labels::from_pairs(pairs?))
    }

    fn silence(&mut self) -> Result<Silence, DecodeError> {
        let id = self.owned()?;
        let sets = self.count(1)?;
        let matcher_sets: Result<Vec<Vec<Matcher>>, DecodeError> = (0..sets)
            .map(|_| {
                let n = self.count(3)?;
                (0..n).map(|_| self.matcher()).collect()
            })
            .collect();
        Ok(Silence {
            id,
            matcher_sets: matcher_sets?,
            starts_at: self.time()?,
            ends_at: self.time()?,
            updated_at: self.time()?,
            created_by: self.owned()?,
            comment: self.owned()?,
            annotations: self.labels()?,
        })
    }

    fn matcher(&mut self) -> Result<Matcher, DecodeError> {
        let kind = match self.byte()? {
            0 => MatchKind::Equal,
            1 => MatchKind::NotEqual,
            2 => MatchKind::Regexp,
            3 => MatchKind::NotRegexp,
            _ => return Err(DecodeError::Invalid("matcher")),
        };
        Matcher::new(kind, self.text()?, self.text()?).map_err(|_| DecodeError::Invalid("matcher"))
    }

    fn notified(&mut self) -> Result<(nflog::Key, nflog::Entry), DecodeError> {
        let key = nflog::Key {
            group_key: Arc::from(self.text()?),
            receiver: nflog::Receiver {
                group_name: Arc::from(self.text()?),
                integration: Arc::from(self.text()?),
                index: u32::try_from(self.number()?).map_err(|_| DecodeError::Invalid("index"))?,
            },
        };
        let timestamp = self.time()?;
        let firing = self.hashes()?;
        let resolved = self.hashes()?;
        let n = self.count(2)?;
        let data: Result<BTreeMap<String, nflog::Value>, DecodeError> = (0..n)
            .map(|_| {
                let name = self.owned()?;
                let value = match self.byte()? {
                    0 => nflog::Value::Text(self.owned()?),
                    1 => nflog::Value::Integer(self.signed()?),
                    2 => nflog::Value::Float(f64::from_bits(self.hash()?)),
                    _ => return Err(DecodeError::Invalid("value")),
                };
                Ok((name, value))
            })
            .collect();
        let entry = nflog::Entry {
            timestamp,
            firing,
            resolved,
            data: data?,
            expires_at: self.time()?,
        };
        Ok((key, entry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Vec<Record> {
        let at = |s: &str| s.parse::<Timestamp>().unwrap();
        vec![
            Record::Alert(Arc::new(Alert {
                labels: Labels::from_pairs([("alertname", "a"), ("utf8 🙂", "v")]),
                annotations: Labels::from_pairs([("summary", "s")]),
                starts_at: at("2024-01-01T00:00:00.123456789Z"),
                ends_at: at("0001-01-01T00:00:01Z"),
                generator_url: Arc::from("http://x"),
                updated_at: at("1969-12-31T23:59:59.5Z"),
                timeout: true,
            })),
            Record::Refresh {
                fingerprint: u64::MAX,
                ends_at: at("2024-01-01T00:00:00Z"),
                updated_at: at("2024-01-01T00:00:00Z"),
                timeout: false,
            },
            Record::Forget(7),
            Record::Silence(Silence {
                id: "id".to_owned(),
                matcher_sets: vec![vec![
                    Matcher::new(MatchKind::NotRegexp, "a", "b.*").unwrap(),
                    Matcher::new(MatchKind::Equal, "c", "").unwrap(),
                ]],
                starts_at: at("2024-01-01T00:00:00Z"),
                ends_at: at("2025-01-01T00:00:00Z"),
                updated_at: at("2024-01-01T00:00:00Z"),
                created_by: "me".to_owned(),
                comment: "why".to_owned(),
                annotations: Labels::from_pairs([("ticket", "1")]),
            }),
            Record::DropSilence("id".to_owned()),
            Record::Notified(
                nflog::Key {
                    group_key: Arc::from("{}:{}"),
                    receiver: nflog::Receiver {
                        group_name: Arc::from("r"),
                        integration: Arc::from("slack"),
                        index: 3,
                    },
                },
                nflog::Entry {
                    timestamp: at("2024-01-01T00:00:00Z"),
                    firing: vec![1, 2],
                    resolved: vec![u64::MAX],
                    data: BTreeMap::from([
                        ("a".to_owned(), nflog::Value::Text("x".to_owned())),
                        ("b".to_owned(), nflog::Value::Integer(-5)),
                        ("c".to_owned(), nflog::Value::Float(0.5)),
                    ]),
                    expires_at: at("2024-01-02T00:00:00Z"),
                },
            ),
            Record::Alive(at("2024-01-01T00:00:00Z")),
        ]
    }

    #[test]
    fn round_trip() {
        for record in samples() {
            let mut bytes = Vec::new();
            record.encode(&mut bytes);
            assert_eq!(Record::decode(&bytes).unwrap(), record);
        }
    }

    #[test]
    fn hostile_bytes_are_refused() {
        for record in samples() {
            let mut bytes = Vec::new();
            record.encode(&mut bytes);
            for cut in 0..bytes.len() {
                assert!(Record::decode(&bytes[..cut]).is_err());
            }
            for i in 0..bytes.len() {
                let mut changed = bytes.clone();
                changed[i] ^= 0xff;
                // Must not panic; most changes are refused, some give another record.
                let _ = Record::decode(&changed);
            }
            bytes.push(0);
            assert_eq!(Record::decode(&bytes), Err(DecodeError::Invalid("length")));
        }
    }
}
