//! Discord: webhooks of a channel.

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
