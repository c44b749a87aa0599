//! Microsoft Teams through workflows: an adaptive card.

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
