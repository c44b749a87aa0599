//! Webhooks: the group as JSON, version 4 of upstream's format, or a payload of one's own.

use serde_json::Value;

use std::borrow::Cow;
use std::sync::Arc;

use futures::future::BoxFuture;

use super::http::{Http, secret_file};
use super::render::{Render, Texts};
use super::{Failure, Memory, Notification, Notifier};
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

/// Sends to a webhook.
pub struct Webhook {
    config: WebhookConfig,
    http: Http,
    render: Arc<dyn Render>,
}

impl Webhook {
    /// Makes the integration.
    ///
    /// # Errors
    /// What is wrong with `http_config`.
    pub fn new(config: WebhookConfig, render: Arc<dyn Render>) -> Result<Webhook, String> {
        let http = Http::new(config.http_config.as_ref(), config.timeout.bound())?;
        Ok(Webhook {
            config,
            http,
            render,
        })
    }

    async fn send(&self, notification: &Notification) -> Result<Memory, Failure> {
        let max = usize::try_from(self.config.max_alerts).unwrap_or(usize::MAX);
        let mut notification = Cow::Borrowed(notification);
        let mut truncated = 0;
        if max > 0 && notification.alerts.len() > max {
            truncated = notification.alerts.len() - max;
            notification.to_mut().alerts.truncate(max);
        }
        let texts = Texts::new(&*self.render, &notification);
        let message = match &self.config.payload {
            Some(payload) => texts.deep(payload)?.to_string(),
            None => message(&texts.json(), &notification.group_key, truncated),
        };
        let url = match self.config.url.expose() {
            "" => secret_file(&self.config.url_file).await?,
            url => url.to_owned(),
        };
        let url = texts.text(&url)?;
        let answer = self.http.post_json_text(&url, message).await?;
        // The body may repeat what was sent, the URL included: it is not for the log.
        answer.without_body().check(&[429])?;
        Ok(notification.memory.clone())
    }
}

/// The data with the fields that follow it, in upstream's order.
fn message(data: &str, group_key: &str, truncated: usize) -> String {
    let data = data.trim_end().strip_suffix('}').unwrap_or("{");
    let key = Value::from(group_key);
    format!(r#"{data},"version":"4","groupKey":{key},"truncatedAlerts":{truncated}}}"#)
}

impl Notifier for Webhook {
    fn notify<'a>(&'a self, n: &'a Notification) -> BoxFuture<'a, Result<Memory, Failure>> {
        Box::pin(self.send(n))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_the_data() {
        assert_eq!(
            message("{\"receiver\":\"r\"}", "{}:{a=\"b\"}", 2),
            r#"{"receiver":"r","version":"4","groupKey":"{}:{a=\"b\"}","truncatedAlerts":2}"#
        );
    }
}
