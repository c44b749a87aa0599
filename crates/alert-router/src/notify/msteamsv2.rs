//! Microsoft Teams through workflows: an adaptive card.

use std::sync::Arc;

use futures::future::BoxFuture;
use serde_json::json;

use super::http::{Http, secret_file};
use super::render::{Render, Texts};
use super::{Failure, Memory, Notification, Notifier};
use crate::config::scalars::SecretUrl;
use crate::config::settings::{settings, unset};
use crate::config::{Error, HttpConfig, one_webhook_url};

settings! {
    /// `msteamsv2_configs`.
    "msteamsv2.plain" MsTeamsV2Config {
        /// Whether resolved alerts are sent.
        send_resolved: bool = true;
        /// How requests are made.
        http_config: Option<HttpConfig> = None, skip "unset";
        /// Where to.
        webhook_url: Option<SecretUrl> = None, skip "unset";
        /// A file with it.
        webhook_url_file: String = String::new(), skip "unset";
        /// The title.
        title: String = r#"{{ template "msteamsv2.default.title" . }}"#.into(), skip "unset";
        /// The text.
        text: String = r#"{{ template "msteamsv2.default.text" . }}"#.into(), skip "unset";
    }
}

impl MsTeamsV2Config {
    pub(crate) fn validate(&mut self) -> Result<(), Error> {
        one_webhook_url(self.webhook_url.as_ref(), &self.webhook_url_file)
    }
}

/// Sends to Microsoft Teams.
pub struct MsTeamsV2 {
    config: MsTeamsV2Config,
    http: Http,
    render: Arc<dyn Render>,
}

impl MsTeamsV2 {
    /// Makes the integration.
    ///
    /// # Errors
    /// What is wrong with `http_config`.
    pub fn new(config: MsTeamsV2Config, render: Arc<dyn Render>) -> Result<MsTeamsV2, String> {
        let http = Http::new(config.http_config.as_ref(), None)?;
        Ok(MsTeamsV2 {
            config,
            http,
            render,
        })
    }

    async fn send(&self, notification: &Notification) -> Result<Memory, Failure> {
        let texts = Texts::new(&*self.render, notification);
        let message = json!({
            "type": "message",
            "attachments": [{
                "contentType": "application/vnd.microsoft.card.adaptive",
                "contentUrl": null,
                "content": {
                    "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                    "type": "AdaptiveCard",
                    "version": "1.2",
                    "body": [
                        {
                            "type": "TextBlock",
                            "text": texts.text(&self.config.title)?,
                            "weight": "Bolder",
                            "size": "Medium",
                            "wrap": true,
                            "style": "heading",
                            "color": if notification.resolved() { "Good" } else { "Attention" },
                        },
                        {
                            "type": "TextBlock",
                            "text": texts.text(&self.config.text)?,
                            "wrap": true,
                        },
                    ],
                    "msteams": {"width": "full"},
                },
            }],
        });
        let url = match &self.config.webhook_url {
            Some(url) => url.expose().to_owned(),
            None => secret_file(&self.config.webhook_url_file).await?,
        };
        self.http.post_json(&url, &message).await?.check(&[429])?;
        Ok(notification.memory.clone())
    }
}

impl Notifier for MsTeamsV2 {
    fn notify<'a>(&'a self, n: &'a Notification) -> BoxFuture<'a, Result<Memory, Failure>> {
        Box::pin(self.send(n))
    }
}
