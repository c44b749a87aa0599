//! The `storage` section.

use golang::strconv::quote;
use serde::{Deserialize, Serialize};
use yaml_config::{Duration, Size};

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
    /// How late a sample may be.
    #[serde(skip_serializing_if = "is_zero_duration")]
    pub out_of_order_time_window: Duration,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention: Option<RetentionConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stale_series_compaction_threshold: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chunk_encoding: Option<ChunkEncodingConfig>,
}

/// When blocks are dropped.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename = "config.plain")]
pub struct RetentionConfig {
    #[serde(skip_serializing_if = "is_zero_duration")]
    pub time: Duration,
    #[serde(skip_serializing_if = "is_no_size")]
    pub size: Size,
    #[serde(skip_serializing_if = "is_zero")]
    pub percentage: f64,
}

/// How chunks are encoded.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename = "config.plain")]
pub struct ChunkEncodingConfig {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub floats: String,
}

/// Exemplars in memory.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename = "config.plain")]
pub struct ExemplarsConfig {
    pub max_exemplars: u64,
}

impl Default for ExemplarsConfig {
    fn default() -> ExemplarsConfig {
        ExemplarsConfig {
            max_exemplars: 100_000,
        }
    }
}

fn is_zero_duration(duration: &Duration) -> bool {
    *duration == Duration::ZERO
}

fn is_no_size(size: &Size) -> bool {
    size.bytes() == 0
}

fn is_zero(v: &f64) -> bool {
    *v == 0.0
}

impl StorageConfig {
    /// Checks ranges and words.
    ///
    /// # Errors
    /// Upstream's texts.
    pub(crate) fn validate(&self) -> Result<(), String> {
        let Some(tsdb) = &self.tsdb else {
            return Ok(());
        };
        if let Some(retention) = &tsdb.retention
            && !(0.0..=100.0).contains(&retention.percentage)
        {
            let text = "'storage.tsdb.retention.percentage' must be in the range [0, 100]";
            return Err(text.to_owned());
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
