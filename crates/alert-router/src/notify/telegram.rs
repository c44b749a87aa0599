//! Telegram: the bot API.

use yaml_config::Secret;

use std::sync::Arc;

use futures::future::BoxFuture;
use serde_json::json;

use super::http::{Http, secret, secret_file, truncate};
use super::render::{Render, Texts};
use super::{Failure, Memory, Notification, Notifier};
use crate::config::scalars::HttpUrl;
use crate::config::settings::{settings, unset};
use crate::config::{Error, HttpConfig, at_most_one};

settings! {
    /// `telegram_configs`.
    "telegram.plain" TelegramConfig {
        /// Whether resolved alerts are sent.
        send_resolved: bool = true;
        /// How requests are made.
        http_config: Option<HttpConfig> = None, skip "unset";
        /// Where to.
        api_url: Option<HttpUrl> = None;
        /// The token of the bot.
        bot_token: Secret = Secret::default(), skip "unset";
        /// A file with it.
        bot_token_file: String = String::new(), skip "unset";
        /// The chat.
        chat_id: i64 = 0, skip "unset";
        /// A file with it.
        chat_id_file: String = String::new(), skip "unset";
        /// The topic within the chat.
        message_thread_id: i64 = 0, skip "unset";
        /// The text.
        message: String = r#"{{ template "telegram.default.message" . }}"#.into(), skip "unset";
        /// Whether it comes silently.
        disable_notifications: bool = false, skip "unset";
        /// `MarkdownV2`, `Markdown`, `HTML` or nothing.
        parse_mode: String = "HTML".into(), skip "unset";
    }
}

impl TelegramConfig {
    pub(crate) fn validate(&mut self) -> Result<(), Error> {
        let (chat, chat_file) = (self.chat_id != 0, !self.chat_id_file.is_empty());
        at_most_one(&[
            ("bot_token", !self.bot_token.is_empty()),
            ("bot_token_file", !self.bot_token_file.is_empty()),
        ])?;
        if !chat && !chat_file {
            return Err(Error::new(
                "missing chat_id or chat_id_file on telegram_config",
            ));
        }
        at_most_one(&[("chat_id", chat), ("chat_id_file", chat_file)])?;
        if !["", "Markdown", "MarkdownV2", "HTML"].contains(&self.parse_mode.as_str()) {
            return Err(Error::new(
                "unknown parse_mode on telegram_config, must be Markdown, MarkdownV2, HTML or empty string",
            ));
        }
        Ok(())
    }
}

/// How long a message may be.
const MAX_MESSAGE: usize = 4096;

/// Sends to Telegram.
pub struct Telegram {
    config: TelegramConfig,
    http: Http,
    render: Arc<dyn Render>,
}

impl Telegram {
    /// Makes the integration.
    ///
    /// # Errors
    /// What is wrong with `http_config`.
    pub fn new(config: TelegramConfig, render: Arc<dyn Render>) -> Result<Telegram, String> {
        let http = Http::new(config.http_config.as_ref(), None)?;
        Ok(Telegram {
            config,
            http,
            render,
        })
    }

    async fn send(&self, notification: &Notification) -> Result<Memory, Failure> {
        let texts = Texts::new(&*self.render, notification);
        let config = &self.config;
        let text = match config.parse_mode.as_str() {
            "HTML" => texts.html(&config.message)?,
            _ => texts.text(&config.message)?,
        };
        let chat: i64 = match config.chat_id {
            0 => secret_file(&config.chat_id_file)
                .await?
                .parse()
                .map_err(|_| Failure::lasting("the chat id in chat_id_file is not a number"))?,
            id => id,
        };
        let mut message = json!({
            // Texts all of them, as upstream's library sends them; Telegram takes either.
            "chat_id": chat.to_string(),
            "text": truncate(text, MAX_MESSAGE),
            "disable_web_page_preview": "true",
        });
        if config.message_thread_id != 0 {
            message["message_thread_id"] = config.message_thread_id.to_string().into();
        }
        if config.disable_notifications {
            message["disable_notification"] = "true".into();
        }
        if !config.parse_mode.is_empty() {
            message["parse_mode"] = config.parse_mode.clone().into();
        }
        let token = secret(&config.bot_token, &config.bot_token_file).await?;
        let base = config.api_url.as_ref().map_or("", |url| url.as_str());
        let url = format!("{}/bot{token}/sendMessage", base.trim_end_matches('/'));
        let answer = self.http.post_json(&url, &message).await?;
        // Whatever Telegram refuses may pass later, as upstream has it.
        answer.check(&[]).map_err(|failure| Failure {
            retry: true,
            ..failure
        })?;
        Ok(notification.memory.clone())
    }
}

impl Notifier for Telegram {
    fn notify<'a>(&'a self, n: &'a Notification) -> BoxFuture<'a, Result<Memory, Failure>> {
        Box::pin(self.send(n))
    }
}
