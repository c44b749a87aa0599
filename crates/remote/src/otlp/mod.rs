//! OTLP metrics, the receiving side: from a request's bytes to appended samples.
//!
//! Names, labels and histograms become what upstream makes of them (prometheus/prometheus
//! `storage/remote/otlptranslator`). Start with [`Otlp`].

mod deltas;
mod exponential_sum;
mod histograms;
mod json;
mod names;
mod translate;

use std::io::Read;
use std::sync::Arc;

use prost::Message;
use proto::otlp::metrics::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use storage::{AppendError, Appendable};

pub use deltas::Deltas;
pub use names::{LabelNaming, Strategy};

use translate::Translation;

/// Which resource attributes become labels of every series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Promote {
    These(Vec<String>),
    AllBut(Vec<String>),
}

/// What becomes of names, labels and histograms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtlpSettings {
    pub promote: Promote,
    pub strategy: Strategy,
    /// Whether `service.*` attributes are on `target_info`, too.
    pub keep_identifying_resource_attributes: bool,
    pub convert_histograms_to_nhcb: bool,
    pub promote_scope_metadata: bool,
    pub label_naming: LabelNaming,
    /// `otlp-native-delta-ingestion`: deltas are stored as they come, as metrics of no known type.
    pub native_deltas: bool,
    /// `type-and-unit-labels`.
    pub type_and_unit_labels: bool,
    /// How far queries look back: `target_info` is written at least so often.
    pub lookback_ms: i64,
}

impl Default for OtlpSettings {
    fn default() -> OtlpSettings {
        OtlpSettings {
            promote: Promote::These(Vec::new()),
            strategy: Strategy::of_name(""),
            keep_identifying_resource_attributes: false,
            convert_histograms_to_nhcb: false,
            promote_scope_metadata: false,
            native_deltas: false,
            type_and_unit_labels: false,
            label_naming: LabelNaming {
                escape: true,
                underscore_sanitization: true,
                preserve_multiple_underscores: true,
            },
            lookback_ms: 300_000,
        }
    }
}

/// Why a request is not taken.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OtlpError {
    /// A content type that is none of ours.
    #[error("unsupported content type: {0}, supported: [application/json, application/x-protobuf]")]
    ContentType(String),
    /// An encoding that is none of ours.
    #[error("unsupported compression: {0}. Only \"gzip\" or no compression supported")]
    Encoding(String),
    /// A body that is no request.
    #[error("{0}")]
    Decode(String),
    /// The store could not take it: to be sent again.
    #[error(transparent)]
    Store(AppendError),
}

/// What a request brought.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Taken {
    pub samples: u64,
    /// Points that could not be translated, and why the first could not.
    pub untranslated: u64,
    pub first_fault: Option<String>,
    /// Samples that the store refused, and the first reason.
    pub refused: u64,
    pub first_refusal: Option<String>,
}

/// A request in its encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Protobuf,
    Json,
}

impl Format {
    /// The format of a content type.
    ///
    /// # Errors
    /// [`OtlpError::ContentType`].
    pub fn of_content_type(content_type: &str) -> Result<Format, OtlpError> {
        let media_type = content_type.split(';').next().unwrap_or("").trim();
        match media_type {
            "application/x-protobuf" => Ok(Format::Protobuf),
            "application/json" => Ok(Format::Json),
            _ => Err(OtlpError::ContentType(content_type.to_owned())),
        }
    }

    /// The content type.
    pub const fn content_type(self) -> &'static str {
        match self {
            Format::Protobuf => "application/x-protobuf",
            Format::Json => "application/json",
        }
    }

    /// The answer to a request some points of which were not taken; empty if all were.
    pub fn answer(self, taken: &Taken) -> Vec<u8> {
        let Some(error_message) = taken.first_fault.clone() else {
            return Vec::new();
        };
        let partial = proto::otlp::metrics::ExportMetricsPartialSuccess {
            rejected_data_points: taken.untranslated as i64,
            error_message,
        };
        match self {
            Format::Protobuf => ExportMetricsServiceResponse {
                partial_success: Some(partial),
            }
            .encode_to_vec(),
            Format::Json => serde_json::json!({"partialSuccess": {
                "rejectedDataPoints": partial.rejected_data_points.to_string(),
                "errorMessage": partial.error_message,
            }})
            .to_string()
            .into_bytes(),
        }
    }
}

const fn ms(nanos: u64) -> i64 {
    (nanos / 1_000_000) as i64
}

/// The receiving end of OTLP.
pub struct Otlp {
    pub settings: OtlpSettings,
    /// Largest body after decompression.
    pub max_bytes: usize,
    /// `otlp-deltatocumulative`: the sums of deltas so far.
    pub deltas: Option<Arc<Deltas>>,
    /// The current time in ms: streams of deltas that rest are forgotten, and samples too far ahead of it refused.
    pub now_ms: i64,
}

impl Otlp {
    /// Decodes a body and appends what is in it, as one batch.
    ///
    /// # Errors
    /// [`OtlpError`]; nothing is stored then.
    pub fn take(
        &self,
        body: &[u8],
        encoding: &str,
        format: Format,
        to: &dyn Appendable,
    ) -> Result<Taken, OtlpError> {
        let plain;
        let body = match encoding {
            "" | "identity" => body,
            "gzip" => {
                plain = self.gunzip(body)?;
                &plain
            }
            other => return Err(OtlpError::Encoding(other.to_owned())),
        };
        let mut request = match format {
            Format::Protobuf => ExportMetricsServiceRequest::decode(body)
                .map_err(|e| OtlpError::Decode(e.to_string()))?,
            Format::Json => json::request(body).map_err(OtlpError::Decode)?,
        };
        let mut taken = Taken::default();
        if let Some(deltas) = &self.deltas {
            deltas.accumulate(&mut request, self.now_ms, &mut taken);
        }
        let latest_ms = self.now_ms.saturating_add(crate::MAX_AHEAD_MS);
        let mut translation = Translation::new(&self.settings, to.appender(), taken, latest_ms);
        for resource in &request.resource_metrics {
            translation.resource(resource).map_err(OtlpError::Store)?;
        }
        translation.commit().map_err(OtlpError::Store)
    }

    fn gunzip(&self, body: &[u8]) -> Result<Vec<u8>, OtlpError> {
        let mut plain = Vec::new();
        let mut reader = flate2::read::MultiGzDecoder::new(body).take(self.max_bytes as u64 + 1);
        let read = reader.read_to_end(&mut plain);
        read.map_err(|e| OtlpError::Decode(format!("gzip: {e}")))?;
        if plain.len() > self.max_bytes {
            return Err(OtlpError::Decode(format!(
                "the request is more than {} bytes decompressed",
                self.max_bytes
            )));
        }
        Ok(plain)
    }
}

#[cfg(test)]
mod tests;
