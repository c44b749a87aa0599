//! Alertmanager's own snapshot files, `silences` and `nflog` in its data directory: a sequence of
//! protobuf messages, each behind its length. They are read once, when the router has no state of
//! its own yet, so that it can be put in Alertmanager's place.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use model::{Labels, MatchKind};
use prost::Message;
use prost_types::Timestamp as ProtoTimestamp;
use proto::silencepb as pb;

use crate::matcher::Matcher;
use crate::nflog;
use crate::silence::Silence;

/// Why a snapshot cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is no sequence of messages of the kind.
    #[error("snapshot: {0}")]
    Decode(#[from] prost::DecodeError),
    /// A message holds what the router cannot represent.
    #[error("snapshot: {0}")]
    Content(String),
}

/// Reads the file `silences`.
///
/// # Errors
/// [`Error`].
pub fn read_silences(mut bytes: &[u8]) -> Result<Vec<Silence>, Error> {
    let mut silences = Vec::new();
    while !bytes.is_empty() {
        let mesh = pb::MeshSilence::decode_length_delimited(&mut bytes)?;
        if let Some(silence) = mesh.silence {
            silences.push(silence_from(silence)?);
        }
    }
    Ok(silences)
}

/// Reads the file `nflog`.
///
/// # Errors
/// [`Error`].
pub fn read_nflog(mut bytes: &[u8]) -> Result<Vec<(nflog::Key, nflog::Entry)>, Error> {
    let mut entries = Vec::new();
    while !bytes.is_empty() {
        let mesh = proto::nflogpb::MeshEntry::decode_length_delimited(&mut bytes)?;
        let expires_at = instant(mesh.expires_at)?;
        if let Some(entry) = mesh.entry {
            entries.push(entry_from(entry, expires_at)?);
        }
    }
    Ok(entries)
}

fn silence_from(silence: pb::Silence) -> Result<Silence, Error> {
    let set = |matchers: Vec<pb::Matcher>| {
        matchers
            .into_iter()
            .map(matcher_from)
            .collect::<Result<Vec<Matcher>, Error>>()
    };
    // The single list repeats the first of the sets.
    let matcher_sets = if silence.matcher_sets.is_empty() {
        vec![set(silence.matchers)?]
    } else {
        let sets: Result<Vec<_>, Error> = silence
            .matcher_sets
            .into_iter()
            .map(|s| set(s.matchers))
            .collect();
        sets?
    };
    Ok(Silence {
        id: silence.id,
        matcher_sets,
        starts_at: instant(silence.starts_at)?,
        ends_at: instant(silence.ends_at)?,
        updated_at: instant(silence.updated_at)?,
        created_by: silence.created_by,
        comment: silence.comment,
        annotations: Labels::from_pairs(silence.annotations),
    })
}

fn matcher_from(matcher: pb::Matcher) -> Result<Matcher, Error> {
    let kind = match pb::matcher::Type::try_from(matcher.r#type) {
        Ok(pb::matcher::Type::Equal) => MatchKind::Equal,
        Ok(pb::matcher::Type::Regexp) => MatchKind::Regexp,
        Ok(pb::matcher::Type::NotEqual) => MatchKind::NotEqual,
        Ok(pb::matcher::Type::NotRegexp) => MatchKind::NotRegexp,
        Err(other) => {
            return Err(Error::Content(format!(
                "unknown type of matcher {}",
                other.0
            )));
        }
    };
    Matcher::new(kind, matcher.name, matcher.pattern).map_err(|e| Error::Content(e.to_string()))
}

fn entry_from(
    entry: proto::nflogpb::Entry,
    expires_at: Timestamp,
) -> Result<(nflog::Key, nflog::Entry), Error> {
    use proto::nflogpb::receiver_data_value::Value;
    let receiver = entry.receiver.unwrap_or_default();
    let group_key = String::from_utf8(entry.group_key)
        .map_err(|_| Error::Content("group key is not UTF-8".to_owned()))?;
    let data: BTreeMap<String, nflog::Value> = entry
        .receiver_data
        .into_iter()
        .filter_map(|(name, value)| {
            let value = match value.value? {
                Value::StrVal(text) => nflog::Value::Text(text),
                Value::IntVal(n) => nflog::Value::Integer(n),
                Value::DoubleVal(x) => nflog::Value::Float(x),
            };
            Some((name, value))
        })
        .collect();
    let key = nflog::Key {
        group_key: Arc::from(group_key),
        receiver: nflog::Receiver {
            group_name: Arc::from(receiver.group_name),
            integration: Arc::from(receiver.integration),
            index: receiver.idx,
        },
    };
    let sorted = |mut hashes: Vec<u64>| {
        hashes.sort_unstable();
        hashes
    };
    let entry = nflog::Entry {
        timestamp: instant(entry.timestamp)?,
        firing: sorted(entry.firing_alerts),
        resolved: sorted(entry.resolved_alerts),
        data,
        expires_at,
    };
    Ok((key, entry))
}

fn instant(t: Option<ProtoTimestamp>) -> Result<Timestamp, Error> {
    let t = t.unwrap_or_default();
    Timestamp::new(t.seconds, t.nanos).map_err(|e| Error::Content(e.to_string()))
}

/// How large upstream would say a silence is (`--silences.max-silence-size-bytes`).
pub fn silence_size(silence: &Silence) -> usize {
    let proto = |t: Timestamp| {
        Some(ProtoTimestamp {
            seconds: t.as_second(),
            nanos: t.subsec_nanosecond(),
        })
    };
    let sets: Vec<Vec<pb::Matcher>> = silence
        .matcher_sets
        .iter()
        .map(|set| set.iter().map(matcher_to).collect())
        .collect();
    let mesh = pb::MeshSilence {
        silence: Some(pb::Silence {
            id: silence.id.clone(),
            matchers: sets.first().cloned().unwrap_or_default(),
            starts_at: proto(silence.starts_at),
            ends_at: proto(silence.ends_at),
            updated_at: proto(silence.updated_at),
            created_by: silence.created_by.clone(),
            comment: silence.comment.clone(),
            comments: Vec::new(),
            annotations: silence
                .annotations
                .iter()
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .collect(),
            matcher_sets: if sets.len() > 1 {
                sets.into_iter()
                    .map(|matchers| pb::MatcherSet { matchers })
                    .collect()
            } else {
                Vec::new()
            },
        }),
        expires_at: proto(silence.ends_at),
    };
    mesh.encoded_len()
}

fn matcher_to(matcher: &Matcher) -> pb::Matcher {
    pb::Matcher {
        r#type: i32::from(match matcher.kind {
            MatchKind::Equal => pb::matcher::Type::Equal,
            MatchKind::Regexp => pb::matcher::Type::Regexp,
            MatchKind::NotEqual => pb::matcher::Type::NotEqual,
            MatchKind::NotRegexp => pb::matcher::Type::NotRegexp,
        }),
        name: matcher.name.to_string(),
        pattern: matcher.value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_upstream_writes() {
        let at = |seconds| Some(ProtoTimestamp { seconds, nanos: 5 });
        let matcher = |kind, pattern: &str| pb::Matcher {
            r#type: kind,
            name: "a".to_owned(),
            pattern: pattern.to_owned(),
        };
        let old = pb::MeshSilence {
            silence: Some(pb::Silence {
                id: "x".to_owned(),
                matchers: vec![matcher(0, "b"), matcher(3, "c.*")],
                starts_at: at(1),
                ends_at: at(2),
                updated_at: at(1),
                comment: "why".to_owned(),
                ..pb::Silence::default()
            }),
            expires_at: at(3),
        };
        let mut new = old.clone();
        if let Some(silence) = &mut new.silence {
            silence.matcher_sets = vec![
                pb::MatcherSet {
                    matchers: silence.matchers.clone(),
                },
                pb::MatcherSet {
                    matchers: vec![matcher(2, "z")],
                },
            ];
        }
        let mut bytes = old.encode_length_delimited_to_vec();
        bytes.extend(new.encode_length_delimited_to_vec());
        let silences = read_silences(&bytes).unwrap();
        let printed: Vec<String> = silences
            .iter()
            .flat_map(|s| {
                s.matcher_sets
                    .iter()
                    .map(|set| crate::matcher::list_to_string(set))
            })
            .collect();
        assert_eq!(
            printed,
            [r#"{a="b",a!~"c.*"}"#, r#"{a="b",a!~"c.*"}"#, r#"{a!="z"}"#]
        );
        assert_eq!(silences[0].ends_at, Timestamp::new(2, 5).unwrap());
        assert!(read_silences(&bytes[..bytes.len() - 1]).is_err());

        let entry = proto::nflogpb::MeshEntry {
            entry: Some(proto::nflogpb::Entry {
                group_key: b"{}:{}".to_vec(),
                receiver: Some(proto::nflogpb::Receiver {
                    group_name: "r".to_owned(),
                    integration: "webhook".to_owned(),
                    idx: 1,
                }),
                timestamp: at(7),
                firing_alerts: vec![9, 3],
                ..proto::nflogpb::Entry::default()
            }),
            expires_at: at(8),
        };
        let read = read_nflog(&entry.encode_length_delimited_to_vec()).unwrap();
        assert_eq!(read[0].0.receiver.index, 1);
        assert_eq!(read[0].1.firing, [3, 9]);
    }
}
