//! Telegram: the bot API.

use yaml_config::Secret;

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
