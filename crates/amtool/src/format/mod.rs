//! Outputs: simple, extended, JSON.

mod table;

use std::net::SocketAddr;

use alert_router::matcher::{Matcher as RouterMatcher, list_to_string};
use alert_router::silence::kind_from_api_flags;
use golang::time::{RFC3339, Time};
use serde::Serialize;

use crate::cli::Invocation;
use crate::models::{Alert, Cluster, LabelSet, Matcher, Silence, Status};

/// How to print, as the flags say.
pub struct Format<'a> {
    output: &'a str,
    date: &'a str,
}

impl<'a> Format<'a> {
    /// From the flags.
    pub fn new(invocation: &'a Invocation) -> Format<'a> {
        Format {
            output: invocation.text("output"),
            date: invocation.text("date.format"),
        }
    }

    /// A time of the API in the wanted form; what is none stays as it is.
    fn date(&self, text: &str) -> String {
        match Time::parse(RFC3339, text) {
            Ok(time) => time.format(self.date),
            Err(_) => text.to_owned(),
        }
    }

    /// Alerts.
    pub fn alerts(&self, alerts: &mut [Alert]) -> String {
        if self.output == "json" {
            return json(&alerts);
        }
        alerts.sort_by(|a, b| a.starts_at.cmp(&b.starts_at));
        let extended = self.output == "extended";
        let mut text = if extended {
            "Labels\tAnnotations\tStarts At\tEnds At\tGenerator URL\tState\t\n".to_owned()
        } else {
            "Alertname\tStarts At\tSummary\tState\t\n".to_owned()
        };
        for alert in alerts {
            let starts_at = self.date(&alert.starts_at);
            let state = &alert.status.state;
            text.push_str(&if extended {
                format!(
                    "{}\t{}\t{starts_at}\t{}\t{}\t{state}\t\n",
                    label_set(&alert.labels),
                    label_set(&alert.annotations),
                    self.date(&alert.ends_at),
                    alert.generator_url,
                )
            } else {
                let of = |set: &LabelSet, name: &str| set.get(name).cloned().unwrap_or_default();
                format!(
                    "{}\t{starts_at}\t{}\t{state}\t\n",
                    of(&alert.labels, "alertname"),
                    of(&alert.annotations, "summary"),
                )
            });
        }
        table::align(&text)
    }

    /// Silences.
    pub fn silences(&self, silences: &mut [Silence]) -> String {
        if self.output == "json" {
            return json(&silences);
        }
        silences.sort_by(|a, b| a.ends_at.cmp(&b.ends_at));
        let extended = self.output == "extended";
        let mut text = if extended {
            "ID\tMatchers\tStarts At\tEnds At\tUpdated At\tCreated By\tComment\t\n".to_owned()
        } else {
            "ID\tMatchers\tEnds At\tCreated By\tComment\t\n".to_owned()
        };
        for silence in silences {
            let matchers: Vec<RouterMatcher> =
                silence.matchers.iter().filter_map(matcher).collect();
            let ends_at = self.date(&silence.ends_at);
            let (id, by, why) = (&silence.id, &silence.created_by, &silence.comment);
            text.push_str(&if extended {
                format!(
                    "{id}\t{}\t{}\t{ends_at}\t{}\t{by}\t{why}\t\n",
                    list_to_string(&matchers),
                    self.date(&silence.starts_at),
                    self.date(&silence.updated_at),
                )
            } else {
                let matchers: Vec<String> = matchers.iter().map(ToString::to_string).collect();
                format!("{id}\t{}\t{ends_at}\t{by}\t{why}\t\n", matchers.join(" "))
            });
        }
        table::align(&text)
    }

    /// The status with the running configuration.
    pub fn config(&self, status: &Status) -> String {
        let config = &status.config.original;
        match self.output {
            "json" => json(status),
            "extended" => {
                let version = &status.version_info;
                format!(
                    "{config}\nbuildUser {}\ngoVersion {}\nrevision {}\nversion {}\nbranch {}\nbuildDate {}\nuptime {}\n",
                    version.build_user,
                    version.go_version,
                    version.revision,
                    version.version,
                    version.branch,
                    version.build_date,
                    status.uptime,
                )
            }
            _ => format!("{config}\n"),
        }
    }

    /// Who belongs together.
    pub fn cluster(&self, cluster: &mut Cluster) -> String {
        if self.output == "json" {
            return json(cluster);
        }
        let mut text = format!(
            "Cluster Status:\t{}\nNode Name:\t{}\n",
            cluster.status, cluster.name
        );
        if self.output == "extended" {
            text.push_str("\nAddress\tName\n");
            let number = |address: &str| address.parse::<SocketAddr>().ok();
            cluster
                .peers
                .sort_by_key(|peer| (number(&peer.address), peer.address.clone()));
            for peer in &cluster.peers {
                text.push_str(&format!("{}\t{}\t\n", peer.address, peer.name));
            }
        }
        table::align(&text)
    }
}

/// With a line feed at the end.
fn json<T: Serialize>(value: &T) -> String {
    format!("{}\n", go_json(value))
}

/// As Go's encoder writes it: what HTML would take for markup is escaped. Outside of strings there
/// are no such characters.
pub fn go_json<T: Serialize>(value: &T) -> String {
    let text = serde_json::to_string(value).expect("our models have texts for keys");
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out
}

fn label_set(labels: &LabelSet) -> String {
    let pairs: Vec<String> = labels
        .iter()
        .map(|(name, value)| format!("{name}=\"{value}\""))
        .collect();
    pairs.join(" ")
}

/// One that the server has taken can be made here too.
fn matcher(matcher: &Matcher) -> Option<RouterMatcher> {
    let kind = kind_from_api_flags(matcher.is_regex, matcher.is_equal);
    RouterMatcher::new(kind, matcher.name.clone(), matcher.value.clone()).ok()
}
