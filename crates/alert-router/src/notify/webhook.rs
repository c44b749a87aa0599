//! Webhooks: the group as JSON, version 4 of upstream's format, or a payload of one's own.

use serde_json::Value;

use crate::config::scalars::{GoDuration, SecretTemplateUrl};
use crate::config::settings::{settings, unset};
use crate::config::{Error, HttpConfig, at_most_one};

settings! {
    /// `webhook_configs`.
    "webhook.plain" WebhookConfig {
        /// Whether resolved alerts are sent.
        send_resolved: bool = true;
        /// How requests are made.
        http_config: Option<HttpConfig> = None, skip "unset";
        /// Where to; a template.
        url: SecretTemplateUrl = SecretTemplateUrl::default(), skip "unset";
        /// A file with it.
        url_file: String = String::new();
        /// How many alerts a message holds at most; 0 is no bound.
        max_alerts: u64 = 0;
        /// How long a request may take; 0 is no bound.
        timeout: GoDuration = GoDuration::default();
        /// What is sent instead of the usual message; texts in it are templates.
        payload: Option<Value> = None, skip "unset";
    }
}

impl WebhookConfig {
    pub(crate) fn validate(&mut self) -> Result<(), Error> {
        let url = !self.url.expose().is_empty();
        let file = !self.url_file.is_empty();
        if !url && !file {
            return Err(Error::new("one of url or url_file must be configured"));
        }
        at_most_one(&[("url", url), ("url_file", file)])
    }
}
