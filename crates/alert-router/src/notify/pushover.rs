//! Pushover.

use std::time::Duration;

use yaml_config::Secret;

use crate::config::scalars::GoDuration;
use crate::config::settings::{settings, unset};
use crate::config::{Error, HttpConfig, at_most_one};

settings! {
    /// `pushover_configs`.
    "pushover.plain" PushoverConfig {
        /// Whether resolved alerts are sent.
        send_resolved: bool = true;
        /// How requests are made.
        http_config: Option<HttpConfig> = None, skip "unset";
        /// Whom to.
        user_key: Secret = Secret::default(), skip "unset";
        /// A file with it.
        user_key_file: String = String::new(), skip "unset";
        /// The application.
        token: Secret = Secret::default(), skip "unset";
        /// A file with it.
        token_file: String = String::new(), skip "unset";
        /// The title.
        title: String = r#"{{ template "pushover.default.title" . }}"#.into(), skip "unset";
        /// The text.
        message: String = r#"{{ template "pushover.default.message" . }}"#.into(), skip "unset";
        /// A link.
        url: String = r#"{{ template "pushover.default.url" . }}"#.into(), skip "unset";
        /// What the link says.
        url_title: String = String::new(), skip "unset";
        /// One device of the user.
        device: String = String::new(), skip "unset";
        /// A sound.
        sound: String = String::new(), skip "unset";
        /// From -2 to 2; a template.
        priority: String = r#"{{ if eq .Status "firing" }}2{{ else }}0{{ end }}"#.into(), skip "unset";
        /// How often an emergency is repeated.
        retry: GoDuration = GoDuration(Duration::from_secs(60)), skip "unset";
        /// Until when.
        expire: GoDuration = GoDuration(Duration::from_secs(3600)), skip "unset";
        /// After how long the message vanishes.
        ttl: GoDuration = GoDuration::default(), skip "unset";
        /// Whether the text is HTML.
        html: bool = false, skip "unset";
        /// Whether the text has characters of one width.
        monospace: bool = false, skip "unset";
    }
}

impl PushoverConfig {
    pub(crate) fn validate(&mut self) -> Result<(), Error> {
        let (user, user_file) = (!self.user_key.is_empty(), !self.user_key_file.is_empty());
        let (token, token_file) = (!self.token.is_empty(), !self.token_file.is_empty());
        if !user && !user_file {
            return Err(Error::new(
                "one of user_key or user_key_file must be configured",
            ));
        }
        at_most_one(&[("user_key", user), ("user_key_file", user_file)])?;
        if !token && !token_file {
            return Err(Error::new("one of token or token_file must be configured"));
        }
        at_most_one(&[("token", token), ("token_file", token_file)])?;
        if self.html && self.monospace {
            return Err(Error::new(
                "at most one of monospace & html must be configured",
            ));
        }
        Ok(())
    }
}
