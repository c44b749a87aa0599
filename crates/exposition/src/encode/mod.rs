//! Writing families.

pub(crate) mod lines;
mod message;
mod protobuf;
mod prototext;

use std::borrow::Cow;

use crate::{Escaping, Family, Format, Metric, Syntax};

/// Why a family cannot be written. The texts begin as upstream's do.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EncodeError {
    #[error("MetricFamily has no name: {0}")]
    NoName(String),
    /// A metric whose value is not of its family's type.
    #[error("expected {expected} in metric {family} {metric}")]
    WrongValue {
        expected: &'static str,
        family: String,
        metric: String,
    },
    /// OpenMetrics has integer counts only.
    #[error("OpenMetrics v1.0 does not support float histogram {family} {metric}")]
    FloatHistogram { family: String, metric: String },
}

/// What may be written beyond the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EncodeOptions {
    /// OpenMetrics: `_created` lines where the start is known.
    pub created_lines: bool,
}

/// Appends families to `out`; for OpenMetrics with the final `# EOF`.
///
/// # Errors
/// [`EncodeError`]; what was written before the faulty metric stays in `out`.
pub fn encode(families: &[Family], format: Format, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    encode_with(families, format, EncodeOptions::default(), out)
}

/// [`encode`] with options.
///
/// # Errors
/// As [`encode`].
pub fn encode_with(
    families: &[Family],
    format: Format,
    options: EncodeOptions,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    for family in families {
        if family.name.is_empty() {
            return Err(EncodeError::NoName(prototext::compact(family)));
        }
        let family = &*escaped(family, format.escaping);
        match format.syntax {
            Syntax::Text004 | Syntax::Text100 => lines::text(family, out)?,
            Syntax::OpenMetrics001 | Syntax::OpenMetrics100 => {
                lines::openmetrics(family, options, out)?;
            }
            Syntax::ProtobufDelimited => protobuf::delimited(family, out),
            Syntax::ProtobufText => prototext::multiline(family, out),
            Syntax::ProtobufCompactText => {
                out.extend_from_slice(prototext::compact(family).as_bytes());
                out.push(b'\n');
            }
        }
    }
    if format.syntax.is_openmetrics() {
        out.extend_from_slice(b"# EOF\n");
    }
    Ok(())
}

/// The family with its names escaped; the family itself where there is nothing to escape.
fn escaped(family: &Family, escaping: Escaping) -> Cow<'_, Family> {
    let changes = |name: &str| matches!(escaping.escape(name), Cow::Owned(_));
    let label_changes = |metric: &Metric| metric.labels.iter().any(|(name, _)| changes(name));
    if escaping == Escaping::AllowUtf8
        || (!changes(&family.name) && !family.metrics.iter().any(label_changes))
    {
        return Cow::Borrowed(family);
    }
    let mut family = family.clone();
    family.name = escaping.escape(&family.name).into_owned();
    for metric in &mut family.metrics {
        for (name, _) in &mut metric.labels {
            *name = escaping.escape(name).into_owned();
        }
    }
    Cow::Owned(family)
}
