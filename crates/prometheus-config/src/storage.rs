//! The `storage` section.

use golang::strconv::{format_float, quote};
use serde::{Deserialize, Deserializer, Serialize};
use yaml_config::{Duration, Size};

use crate::checked::zero;

/// How samples are kept.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename = "config.plain")]
pub struct StorageConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tsdb: Option<TsdbConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exemplars: Option<ExemplarsConfig>,
}

/// The database.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename = "config.plain")]
pub struct TsdbConfig {
    /// What upstream shows `out_of_order_time_window` as a second time, in milliseconds. Read, so that
    /// what is shown can be read again; the other field decides.
    pub outofordertimewindow: i64,
    /// How late a sample may be.
    #[serde(skip_serializing_if = "zero")]
    pub out_of_order_time_window: Duration,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stale_series_compaction_threshold: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chunk_encoding: Option<ChunkEncodingConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention: Option<RetentionConfig>,
}

/// When blocks are dropped.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename = "config.plain")]
pub struct RetentionConfig {
    #[serde(skip_serializing_if = "zero")]
    pub time: Duration,
    #[serde(skip_serializing_if = "zero")]
    pub size: Size,
    #[serde(skip_serializing_if = "zero")]
    pub percentage: f64,
}

/// How chunks are encoded.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename = "config.plain")]
pub struct ChunkEncodingConfig {
    #[serde(skip_serializing_if = "zero")]
    pub floats: String,
}

/// Exemplars in memory.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename = "config.ExemplarsConfig")]
pub struct ExemplarsConfig {
    /// 0 for none, also where the section does not say.
    #[serde(deserialize_with = "at_least_zero", skip_serializing_if = "zero")]
    pub max_exemplars: u64,
}

/// Upstream takes negative numbers, which mean none.
fn at_least_zero<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    i64::deserialize(deserializer).map(|n| u64::try_from(n).unwrap_or(0))
}

impl StorageConfig {
    /// Whether new chunks of floats are to have the newer encoding.
    pub(crate) fn wants_xor2(&self) -> bool {
        let encoding = self.tsdb.as_ref().and_then(|t| t.chunk_encoding.as_ref());
        encoding.is_some_and(|encoding| encoding.floats == "xor2")
    }

    /// Fills in what upstream shows of every database, and checks ranges and words.
    ///
    /// # Errors
    /// Upstream's texts.
    pub(crate) fn validate(&mut self) -> Result<(), String> {
        let tsdb = self.tsdb.get_or_insert_default();
        tsdb.outofordertimewindow = tsdb.out_of_order_time_window.as_ms();
        let retention = tsdb.retention.get_or_insert_default();
        if !(0.0..=100.0).contains(&retention.percentage) {
            return Err(format!(
                "'storage.tsdb.retention.percentage' must be in the range [0, 100], got {}",
                format_float(retention.percentage, 'g', -1, 64)
            ));
        }
        if let Some(encoding) = &tsdb.chunk_encoding
            && !matches!(encoding.floats.as_str(), "" | "xor" | "xor2")
        {
            return Err(format!(
                "'storage.tsdb.chunk_encoding.floats' must be 'xor' or 'xor2', or the field must be omitted entirely, got {}",
                quote(&encoding.floats)
            ));
        }
        Ok(())
    }
}
