//! The protocols a scrape offers (prometheus/prometheus `config/config.go`, `ScrapeProtocol`).

use exposition::{Escaping, MediaType};

/// A protocol of `scrape_protocols`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScrapeProtocol {
    PrometheusProto,
    PrometheusText004,
    PrometheusText100,
    OpenMetricsText001,
    OpenMetricsText100,
}

use ScrapeProtocol::{
    OpenMetricsText001, OpenMetricsText100, PrometheusProto, PrometheusText004, PrometheusText100,
};

impl ScrapeProtocol {
    /// What is offered unless configured otherwise.
    pub const DEFAULT: [ScrapeProtocol; 4] = [
        OpenMetricsText100,
        OpenMetricsText001,
        PrometheusText100,
        PrometheusText004,
    ];
    /// What is offered when native histograms are wanted.
    pub const PROTO_FIRST: [ScrapeProtocol; 5] = [
        PrometheusProto,
        OpenMetricsText100,
        OpenMetricsText001,
        PrometheusText100,
        PrometheusText004,
    ];
    const SORTED: [ScrapeProtocol; 5] = [
        OpenMetricsText001,
        OpenMetricsText100,
        PrometheusProto,
        PrometheusText004,
        PrometheusText100,
    ];

    /// The name in configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            PrometheusProto => "PrometheusProto",
            PrometheusText004 => "PrometheusText0.0.4",
            PrometheusText100 => "PrometheusText1.0.0",
            OpenMetricsText001 => "OpenMetricsText0.0.1",
            OpenMetricsText100 => "OpenMetricsText1.0.0",
        }
    }

    /// The protocol of this name.
    ///
    /// # Errors
    /// Upstream's text, with all names.
    pub fn parse(name: &str) -> Result<ScrapeProtocol, String> {
        let found = Self::SORTED.into_iter().find(|p| p.as_str() == name);
        found.ok_or_else(|| {
            let names = Self::SORTED.map(ScrapeProtocol::as_str).join(" ");
            format!("unknown scrape protocol {name}, supported: [{names}]")
        })
    }

    /// How a page of this protocol is read.
    pub const fn media_type(self) -> MediaType {
        match self {
            PrometheusProto => MediaType::Protobuf,
            PrometheusText004 | PrometheusText100 => MediaType::Text,
            OpenMetricsText001 | OpenMetricsText100 => MediaType::OpenMetrics,
        }
    }

    const fn header(self) -> &'static str {
        match self {
            PrometheusProto => {
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
            }
            PrometheusText004 => "text/plain;version=0.0.4",
            PrometheusText100 => "text/plain;version=1.0.0",
            OpenMetricsText001 => "application/openmetrics-text;version=0.0.1",
            OpenMetricsText100 => "application/openmetrics-text;version=1.0.0",
        }
    }
}

/// Checks a list of protocols as written.
///
/// # Errors
/// Upstream's text, without the section's name behind it.
pub fn check_protocols(names: &[String]) -> Result<Vec<ScrapeProtocol>, String> {
    if names.is_empty() {
        return Err("scrape_protocols cannot be empty".to_owned());
    }
    let mut protocols = Vec::with_capacity(names.len());
    for name in names {
        let protocol =
            ScrapeProtocol::parse(name).map_err(|error| format!("scrape_protocols: {error}"))?;
        if protocols.contains(&protocol) {
            return Err(format!(
                "duplicated protocol in scrape_protocols, got [{}]",
                names.join(" ")
            ));
        }
        protocols.push(protocol);
    }
    Ok(protocols)
}

/// The `Accept` header: the protocols in order, anything at last.
pub(crate) fn accept_header(protocols: &[ScrapeProtocol], escaping: Escaping) -> String {
    let mut header = String::new();
    let mut weight = ScrapeProtocol::SORTED.len() + 1;
    for protocol in protocols {
        header.push_str(protocol.header());
        if matches!(protocol, PrometheusText100 | OpenMetricsText100) {
            header.push_str(";escaping=");
            header.push_str(escaping.as_str());
        }
        header.push_str(&format!(";q=0.{weight},"));
        weight -= 1;
    }
    header.push_str(&format!("*/*;q=0.{weight}"));
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_upstreams() {
        assert_eq!(
            accept_header(&ScrapeProtocol::DEFAULT, Escaping::AllowUtf8),
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,\
             text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
             text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
        );
        assert_eq!(
            accept_header(&[PrometheusProto], Escaping::Underscores),
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,*/*;q=0.5"
        );
    }

    #[test]
    fn lists_are_checked() {
        let check = |names: &[&str]| {
            check_protocols(&names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(check(&["PrometheusText0.0.4"]), Ok(vec![PrometheusText004]));
        assert_eq!(
            check(&[]),
            Err("scrape_protocols cannot be empty".to_owned())
        );
        assert_eq!(
            check(&["PrometheusProto", "PrometheusProto"]),
            Err(
                "duplicated protocol in scrape_protocols, got [PrometheusProto PrometheusProto]"
                    .to_owned()
            )
        );
        assert_eq!(
            check(&["text"]),
            Err("scrape_protocols: unknown scrape protocol text, supported: [OpenMetricsText0.0.1 OpenMetricsText1.0.0 PrometheusProto PrometheusText0.0.4 PrometheusText1.0.0]".to_owned())
        );
    }
}
