//! PagerDuty: Events API v1 (`service_key`) and v2 (`routing_key`).

use std::collections::BTreeMap;

use serde_json::Value;
use yaml_config::Secret;

use std::sync::Arc;

use futures::future::BoxFuture;
use serde_json::{Map, json};

use super::http::{Http, secret, truncate, without_empty};
use super::render::{Render, Texts};
use super::{Failure, Memory, Notification, Notifier};
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

/// How long a description may be.
const MAX_DESCRIPTION: usize = 1024;
/// How large an event of the API v2 may be.
const MAX_EVENT: usize = 512_000;
/// Where events of the API v1 go.
const V1_URL: &str = "https://events.pagerduty.com/generic/2010-04-15/create_event.json";

/// Sends to PagerDuty.
pub struct Pagerduty {
    config: PagerdutyConfig,
    http: Http,
    render: Arc<dyn Render>,
}

impl Pagerduty {
    /// Makes the integration.
    ///
    /// # Errors
    /// What is wrong with `http_config`.
    pub fn new(config: PagerdutyConfig, render: Arc<dyn Render>) -> Result<Pagerduty, String> {
        let http = Http::new(config.http_config.as_ref(), config.timeout.bound())?;
        Ok(Pagerduty {
            config,
            http,
            render,
        })
    }

    async fn send(&self, notification: &Notification) -> Result<Memory, Failure> {
        let texts = Texts::new(&*self.render, notification);
        let config = &self.config;
        let event = if notification.resolved() {
            "resolve"
        } else {
            "trigger"
        };
        let mut details = Map::new();
        for (name, template) in &config.details {
            details.insert(name.clone(), texts.deep(template)?);
        }
        let v1 = !config.service_key.is_empty() || !config.service_key_file.is_empty();
        let (url, message, retry) = if v1 {
            (
                V1_URL,
                self.v1(&texts, notification, event, details).await?,
                403,
            )
        } else {
            let url = config.url.as_ref().map_or("", |url| url.as_str());
            (
                url,
                self.v2(&texts, notification, event, details).await?,
                429,
            )
        };
        let answer = self.http.post_json(url, &message).await?;
        let explained = explain(&answer.body, answer.status);
        answer.with_body(explained).check(&[retry])?;
        Ok(notification.memory.clone())
    }

    async fn v1(
        &self,
        texts: &Texts<'_>,
        notification: &Notification,
        event: &str,
        details: Map<String, Value>,
    ) -> Result<Value, Failure> {
        let config = &self.config;
        let key = secret(&config.service_key, &config.service_key_file).await?;
        let mut message = json!({
            "service_key": texts.text(&key)?,
            "event_type": event,
            "incident_key": notification.key_hash(),
            "description": truncate(texts.text(&config.description)?, MAX_DESCRIPTION),
            "details": details,
            // Both are there in either version of the event.
            "event_action": "",
            "payload": null,
        });
        if event == "trigger" {
            message["client"] = texts.text(&config.client)?.into();
            message["client_url"] = texts.text(&config.client_url)?.into();
        }
        Ok(message)
    }

    async fn v2(
        &self,
        texts: &Texts<'_>,
        notification: &Notification,
        event: &str,
        details: Map<String, Value>,
    ) -> Result<Value, Failure> {
        let config = &self.config;
        let key = secret(&config.routing_key, &config.routing_key_file).await?;
        let severity = if config.severity.is_empty() {
            "error"
        } else {
            &config.severity
        };
        let payload = without_empty(
            json!({
                "summary": truncate(texts.text(&config.description)?, MAX_DESCRIPTION),
                "source": texts.text(&config.source)?,
                "severity": texts.text(severity)?,
                "class": texts.text(&config.class)?,
                "component": texts.text(&config.component)?,
                "group": texts.text(&config.group)?,
                "custom_details": details,
            }),
            &["summary", "source", "severity"],
        );
        let mut images = Vec::new();
        for image in &config.images {
            let src = texts.text(&image.src)?;
            if !src.is_empty() {
                let (alt, href) = (texts.text(&image.alt)?, texts.text(&image.href)?);
                images.push(json!({"src": src, "alt": alt, "href": href}));
            }
        }
        let mut links = Vec::new();
        for link in &config.links {
            let href = texts.text(&link.href)?;
            if !href.is_empty() {
                links.push(json!({"href": href, "text": texts.text(&link.text)?}));
            }
        }
        let mut message = without_empty(
            json!({
                "routing_key": texts.text(&key)?,
                "event_action": event,
                "dedup_key": notification.key_hash(),
                "client": texts.text(&config.client)?,
                "client_url": texts.text(&config.client_url)?,
                "images": images,
                "links": links,
            }),
            &["event_action"],
        );
        message["payload"] = payload;
        if message.to_string().len() > MAX_EVENT {
            // PagerDuty would refuse it; better without details than not at all.
            let note = "Custom details have been removed because the original event exceeds the maximum size of 512KB";
            message["payload"]["custom_details"] = json!({"error": note});
        }
        Ok(message)
    }
}

/// What PagerDuty says of a bad event.
fn explain(body: &str, status: u16) -> String {
    let explanation = serde_json::from_str::<Value>(body).unwrap_or_default();
    if status != 400 || !explanation.is_object() {
        return String::new();
    }
    let errors = explanation["errors"].as_array().into_iter().flatten();
    let errors: Vec<&str> = errors.filter_map(Value::as_str).collect();
    let message = explanation["message"].as_str().unwrap_or("");
    format!("{message}: {}", errors.join(","))
}

impl Notifier for Pagerduty {
    fn notify<'a>(&'a self, n: &'a Notification) -> BoxFuture<'a, Result<Memory, Failure>> {
        Box::pin(self.send(n))
    }
}
