//! PagerDuty: Events API v1 (`service_key`) and v2 (`routing_key`).

use std::collections::BTreeMap;

use serde_json::Value;
use yaml_config::Secret;

use crate::config::scalars::{GoDuration, HttpUrl};
use crate::config::settings::{settings, unset};
use crate::config::{Error, HttpConfig, at_most_one};

settings! {
    /// `pagerduty_configs`.
    "pagerduty.plain" PagerdutyConfig {
        /// Whether resolved alerts are sent.
        send_resolved: bool = true;
        /// How requests are made.
        http_config: Option<HttpConfig> = None, skip "unset";
        /// The key of an integration of the Events API v1.
        service_key: Secret = Secret::default(), skip "unset";
        /// A file with it.
        service_key_file: String = String::new(), skip "unset";
        /// The key of an integration of the Events API v2.
        routing_key: Secret = Secret::default(), skip "unset";
        /// A file with it.
        routing_key_file: String = String::new(), skip "unset";
        /// Where to.
        url: Option<HttpUrl> = None, skip "unset";
        /// The client's name.
        client: String = r#"{{ template "pagerduty.default.client" . }}"#.into(), skip "unset";
        /// A link to the client.
        client_url: String = r#"{{ template "pagerduty.default.clientURL" . }}"#.into(), skip "unset";
        /// What it is about.
        description: String = r#"{{ template "pagerduty.default.description" .}}"#.into(), skip "unset";
        /// More about it.
        details: BTreeMap<String, Value> = BTreeMap::new(), skip "unset";
        /// Pictures.
        images: Vec<PagerdutyImage> = Vec::new(), skip "unset";
        /// Links.
        links: Vec<PagerdutyLink> = Vec::new(), skip "unset";
        /// What has the problem.
        source: String = String::new(), skip "unset";
        /// How bad it is.
        severity: String = String::new(), skip "unset";
        /// The kind of event.
        class: String = String::new(), skip "unset";
        /// The part that is broken.
        component: String = String::new(), skip "unset";
        /// A group of components.
        group: String = String::new(), skip "unset";
        /// How long a request may take; 0 is no bound.
        timeout: GoDuration = GoDuration::default();
    }
}

settings! {
    /// A picture.
    "pagerduty.PagerdutyImage" PagerdutyImage {
        /// Where it is.
        src: String = String::new(), skip "unset";
        /// What it shows.
        alt: String = String::new(), skip "unset";
        /// Where it leads.
        href: String = String::new(), skip "unset";
    }
}

settings! {
    /// A link.
    "pagerduty.PagerdutyLink" PagerdutyLink {
        /// Where it leads.
        href: String = String::new(), skip "unset";
        /// What it says.
        text: String = String::new(), skip "unset";
    }
}

/// Details that are there unless the configuration has others.
const DETAILS: [(&str, &str); 4] = [
    ("firing", "{{ .Alerts.Firing | toJson }}"),
    ("num_firing", "{{ .Alerts.Firing | len }}"),
    ("num_resolved", "{{ .Alerts.Resolved | len }}"),
    ("resolved", "{{ .Alerts.Resolved | toJson }}"),
];

impl PagerdutyConfig {
    pub(crate) fn validate(&mut self) -> Result<(), Error> {
        let routing = !self.routing_key.is_empty();
        let routing_file = !self.routing_key_file.is_empty();
        let service = !self.service_key.is_empty();
        let service_file = !self.service_key_file.is_empty();
        if !(routing || routing_file || service || service_file) {
            return Err(Error::new(
                "missing service or routing key in PagerDuty config",
            ));
        }
        at_most_one(&[("routing_key", routing), ("routing_key_file", routing_file)])?;
        at_most_one(&[("service_key", service), ("service_key_file", service_file)])?;
        if self.source.is_empty() {
            self.source = self.client.clone();
        }
        for (name, template) in DETAILS {
            self.details
                .entry(name.to_owned())
                .or_insert_with(|| Value::from(template));
        }
        Ok(())
    }
}
