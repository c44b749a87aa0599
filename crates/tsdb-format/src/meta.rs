//! `meta.json` of a block (prometheus/prometheus `tsdb/block.go`).

use serde::{Deserialize, Serialize};

use crate::ulid::Ulid;

/// The name of the file in a block.
pub const FILE_NAME: &str = "meta.json";
/// The hint of blocks that out-of-order samples were cut to.
pub const HINT_OUT_OF_ORDER: &str = "from-out-of-order";
/// The hint of blocks that stale series were cut to before their time.
pub const HINT_STALE_SERIES: &str = "from-stale-series";

/// What is known of a block without opening it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockMeta {
    pub ulid: Ulid,
    /// First timestamp, inclusive.
    pub min_time: i64,
    /// Last timestamp, exclusive.
    pub max_time: i64,
    #[serde(default)]
    pub stats: BlockStats,
    #[serde(default)]
    pub compaction: Compaction,
    #[serde(default)]
    pub version: u32,
    /// What others keep here, such as Thanos.
    #[serde(flatten)]
    pub extra: serde_json::Map<String, serde_json::Value>,
}

/// What a block holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BlockStats {
    #[serde(skip_serializing_if = "is_zero")]
    pub num_samples: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub num_float_samples: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub num_histogram_samples: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub num_series: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub num_chunks: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub num_tombstones: u64,
}

/// Where a block comes from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Compaction {
    /// 1 for blocks cut from the head, one more than the highest parent for others.
    pub level: u32,
    /// The blocks of level 1 that went into this one.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_is_empty"
    )]
    pub sources: Vec<Ulid>,
    /// Nothing is left of it: it may be removed.
    #[serde(skip_serializing_if = "is_false")]
    pub deletable: bool,
    /// The blocks that this one replaces.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_is_empty"
    )]
    pub parents: Vec<Parent>,
    /// Compacting it failed; it is not tried again.
    #[serde(skip_serializing_if = "is_false")]
    pub failed: bool,
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_is_empty"
    )]
    pub hints: Vec<String>,
}

/// A block that another replaces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Parent {
    pub ulid: Ulid,
    pub min_time: i64,
    pub max_time: i64,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

fn is_false(b: &bool) -> bool {
    !b
}

fn null_is_empty<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Compaction {
    /// Whether out-of-order samples were cut to it.
    pub fn from_out_of_order(&self) -> bool {
        self.hints.iter().any(|hint| hint == HINT_OUT_OF_ORDER)
    }

    /// Whether stale series were cut to it.
    pub fn from_stale_series(&self) -> bool {
        self.hints.iter().any(|hint| hint == HINT_STALE_SERIES)
    }
}

/// A file that is no meta.json of a known version.
#[derive(Debug, thiserror::Error)]
pub enum MetaError {
    #[error("meta.json: {0}")]
    Json(#[from] serde_json::Error),
    #[error("unexpected meta file version {0}")]
    Version(u32),
}

impl BlockMeta {
    /// Reads the file; the version must be 1.
    ///
    /// # Errors
    /// A file that is no meta.json of version 1.
    pub fn decode(file: &[u8]) -> Result<BlockMeta, MetaError> {
        match BlockMeta::decode_any_version(file)? {
            meta if meta.version == 1 => Ok(meta),
            meta => Err(MetaError::Version(meta.version)),
        }
    }

    /// Reads the file whatever its version: for repairs.
    ///
    /// # Errors
    /// A file that is no meta.json.
    pub fn decode_any_version(file: &[u8]) -> Result<BlockMeta, MetaError> {
        Ok(serde_json::from_slice(file)?)
    }

    /// The file, of version 1, laid out as upstream does.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let formatter = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        let mut serializer = serde_json::Serializer::with_formatter(&mut out, formatter);
        let meta = BlockMeta {
            version: 1,
            ..self.clone()
        };
        meta.serialize(&mut serializer)
            .expect("text keys and a byte vector cannot fail");
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"{
	"ulid": "01M7YGSEZTHG0WPDNQK4ZS6V40",
	"minTime": 1700006400000,
	"maxTime": 1700013600000,
	"stats": {
		"numSamples": 78,
		"numFloatSamples": 78,
		"numSeries": 6,
		"numChunks": 6
	},
	"compaction": {
		"level": 1,
		"sources": [
			"01M7YGSEZTHG0WPDNQK4ZS6V40"
		],
		"parents": [
			{
				"ulid": "00000000000000000000000000",
				"minTime": 0,
				"maxTime": 0
			}
		],
		"hints": [
			"from-out-of-order"
		]
	},
	"version": 1
}"#;

    #[test]
    fn written_as_upstream_does() {
        let meta = BlockMeta::decode(FILE.as_bytes()).unwrap();
        assert!(meta.compaction.from_out_of_order());
        assert_eq!(String::from_utf8(meta.encode()).unwrap(), FILE);
    }

    #[test]
    fn other_versions_are_refused_and_other_keys_kept() {
        let error = BlockMeta::decode(FILE.replace("\": 1\n}", "\": 2\n}").as_bytes());
        assert_eq!(
            error.unwrap_err().to_string(),
            "unexpected meta file version 2"
        );
        let with = FILE.replace("\"version\": 1", "\"version\": 1,\n\t\"thanos\": {}");
        let meta = BlockMeta::decode(with.as_bytes()).unwrap();
        assert!(meta.extra.contains_key("thanos"));
        assert!(BlockMeta::decode(b"{").is_err());
    }
}
