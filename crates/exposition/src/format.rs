//! Content types and their negotiation (prometheus/common `expfmt/{expfmt,encode}.go`).

use std::fmt;

use crate::Escaping;

/// How a page of metrics is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Syntax {
    /// `text/plain; version=0.0.4`
    #[default]
    Text004,
    /// `text/plain; version=1.0.0`: the same with quoted UTF-8 names.
    Text100,
    /// `application/openmetrics-text; version=0.0.1`
    OpenMetrics001,
    /// `application/openmetrics-text; version=1.0.0`
    OpenMetrics100,
    /// Protobuf messages behind their lengths.
    ProtobufDelimited,
    /// Protobuf messages as text of several lines.
    ProtobufText,
    /// Protobuf messages as text, each on a line.
    ProtobufCompactText,
}

/// A syntax and how names are escaped in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Format {
    pub syntax: Syntax,
    pub escaping: Escaping,
}

impl Syntax {
    /// Whether this is OpenMetrics, of either version.
    pub fn is_openmetrics(self) -> bool {
        matches!(self, Syntax::OpenMetrics001 | Syntax::OpenMetrics100)
    }

    /// Whether this is protobuf, binary or as text.
    pub fn is_protobuf(self) -> bool {
        matches!(
            self,
            Syntax::ProtobufDelimited | Syntax::ProtobufText | Syntax::ProtobufCompactText
        )
    }

    const fn content_type(self) -> &'static str {
        match self {
            Syntax::Text004 => "text/plain; version=0.0.4; charset=utf-8",
            Syntax::Text100 => "text/plain; version=1.0.0; charset=utf-8",
            Syntax::OpenMetrics001 => "application/openmetrics-text; version=0.0.1; charset=utf-8",
            Syntax::OpenMetrics100 => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Syntax::ProtobufDelimited => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
            Syntax::ProtobufText => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=text"
            }
            Syntax::ProtobufCompactText => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=compact-text"
            }
        }
    }
}

impl Format {
    /// The value of the `Content-Type` header.
    pub fn content_type(self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}; escaping={}",
            self.syntax.content_type(),
            self.escaping.as_str()
        )
    }
}

/// Picks the format for an `Accept` header. OpenMetrics is chosen only if `openmetrics` offers it;
/// `escaping` holds where the client names no scheme. Text 0.0.4 is the answer to everything else.
pub fn negotiate(accept: &str, openmetrics: bool, escaping: Escaping) -> Format {
    let mut escaping = escaping;
    for clause in parse_accept(accept) {
        // A scheme named by a clause that is passed over still holds, as upstream.
        if let Some(scheme) = clause.parameter("escaping").and_then(Escaping::parse) {
            escaping = scheme;
        }
        if let Some(syntax) = clause.syntax(openmetrics) {
            return Format { syntax, escaping };
        }
    }
    Format {
        syntax: Syntax::Text004,
        escaping,
    }
}

/// One clause of an `Accept` header.
struct Accept<'a> {
    media_type: &'a str,
    quality: f64,
    parameters: Vec<(&'a str, &'a str)>,
}

impl<'a> Accept<'a> {
    fn parameter(&self, name: &str) -> Option<&'a str> {
        let found = self.parameters.iter().rev().find(|(n, _)| *n == name);
        found.map(|(_, value)| *value)
    }

    fn syntax(&self, openmetrics: bool) -> Option<Syntax> {
        let version = self.parameter("version").unwrap_or("");
        match (self.media_type, version) {
            ("application/vnd.google.protobuf", _)
                if self.parameter("proto") == Some("io.prometheus.client.MetricFamily") =>
            {
                match self.parameter("encoding") {
                    Some("delimited") => Some(Syntax::ProtobufDelimited),
                    Some("text") => Some(Syntax::ProtobufText),
                    Some("compact-text") => Some(Syntax::ProtobufCompactText),
                    _ => None,
                }
            }
            ("text/plain", "0.0.4" | "") => Some(Syntax::Text004),
            ("application/openmetrics-text", "1.0.0") if openmetrics => {
                Some(Syntax::OpenMetrics100)
            }
            ("application/openmetrics-text", "0.0.1" | "") if openmetrics => {
                Some(Syntax::OpenMetrics001)
            }
            _ => None,
        }
    }
}

/// The clauses of an `Accept` header, the most wanted first; equals stay in order.
fn parse_accept(header: &str) -> Vec<Accept<'_>> {
    let mut clauses: Vec<Accept<'_>> = header
        .split(',')
        .filter_map(|part| {
            let mut parts = part.split(';').map(str::trim);
            let media_type = parts.next().filter(|media_type| !media_type.is_empty())?;
            let mut clause = Accept {
                media_type,
                quality: 1.0,
                parameters: Vec::new(),
            };
            for (name, value) in parts.filter_map(|p| p.split_once('=')) {
                match name.trim() {
                    "q" => clause.quality = value.trim().parse().unwrap_or(1.0),
                    name => clause.parameters.push((name, value.trim())),
                }
            }
            Some(clause)
        })
        .collect();
    clauses.sort_by(|a, b| b.quality.total_cmp(&a.quality));
    clauses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn picks_by_quality() {
        // What Prometheus 3 sends.
        let accept = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
            application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
            text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        let pick = |accept, om| negotiate(accept, om, Escaping::Underscores).content_type();
        assert_eq!(
            pick(accept, true),
            "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8"
        );
        assert_eq!(
            pick(accept, false),
            "text/plain; version=0.0.4; charset=utf-8; escaping=allow-utf-8"
        );
        for other in ["", "*/*", "text/html", ";;,,=;q=x"] {
            assert_eq!(
                pick(other, true),
                "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"
            );
        }
        assert_eq!(
            pick("text/plain;q=0.1, application/openmetrics-text;q=0.2", true),
            "application/openmetrics-text; version=0.0.1; charset=utf-8; escaping=underscores"
        );
    }
}
