//! Discord: webhooks of a channel.

use std::sync::Arc;

use futures::future::BoxFuture;
use serde_json::json;

use super::http::{Http, secret_file, truncate};
use super::render::{Render, Texts};
use super::{Failure, Memory, Notification, Notifier};
use crate::config::scalars::SecretUrl;
use crate::config::settings::{settings, unset};
use crate::config::{Error, HttpConfig, one_webhook_url};

settings! {
    /// `discord_configs`.
    "discord.plain" DiscordConfig {
        /// Whether resolved alerts are sent.
        send_resolved: bool = true;
        /// How requests are made.
        http_config: Option<HttpConfig> = None, skip "unset";
        /// Where to.
        webhook_url: Option<SecretUrl> = None, skip "unset";
        /// A file with it.
        webhook_url_file: String = String::new(), skip "unset";
        /// The text of the message itself.
        content: String = String::new(), skip "unset";
        /// The title of the embed.
        title: String = r#"{{ template "discord.default.title" . }}"#.into(), skip "unset";
        /// The text of the embed.
        message: String = r#"{{ template "discord.default.message" . }}"#.into(), skip "unset";
        /// Who it seems to come from.
        username: String = String::new(), skip "unset";
        /// And the picture beside.
        avatar_url: String = String::new(), skip "unset";
    }
}

impl DiscordConfig {
    pub(crate) fn validate(&mut self) -> Result<(), Error> {
        one_webhook_url(self.webhook_url.as_ref(), &self.webhook_url_file)
    }
}

const MAX_TITLE: usize = 256;
const MAX_DESCRIPTION: usize = 4096;
const MAX_CONTENT: usize = 2000;
const RED: u32 = 0x99_2d_22;
const GREEN: u32 = 0x2e_cc_71;

/// Sends to Discord.
pub struct Discord {
    config: DiscordConfig,
    http: Http,
    render: Arc<dyn Render>,
}

impl Discord {
    /// Makes the integration.
    ///
    /// # Errors
    /// What is wrong with `http_config`.
    pub fn new(config: DiscordConfig, render: Arc<dyn Render>) -> Result<Discord, String> {
        let http = Http::new(config.http_config.as_ref(), None)?;
        Ok(Discord {
            config,
            http,
            render,
        })
    }

    async fn send(&self, notification: &Notification) -> Result<Memory, Failure> {
        let texts = Texts::new(&*self.render, notification);
        let config = &self.config;
        let mut message = json!({
            "content": truncate(texts.text(&config.content)?, MAX_CONTENT),
            "embeds": [{
                "title": truncate(texts.text(&config.title)?, MAX_TITLE),
                "description": truncate(texts.text(&config.message)?, MAX_DESCRIPTION),
                "color": if notification.resolved() { GREEN } else { RED },
            }],
        });
        for (name, template) in [
            ("username", &config.username),
            ("avatar_url", &config.avatar_url),
        ] {
            let text = texts.text(template)?;
            if !text.is_empty() {
                message[name] = text.into();
            }
        }
        let url = match &config.webhook_url {
            Some(url) => url.expose().to_owned(),
            None => secret_file(&config.webhook_url_file).await?,
        };
        self.http.post_json(&url, &message).await?.check(&[429])?;
        Ok(notification.memory.clone())
    }
}

impl Notifier for Discord {
    fn notify<'a>(&'a self, n: &'a Notification) -> BoxFuture<'a, Result<Memory, Failure>> {
        Box::pin(self.send(n))
    }
}
