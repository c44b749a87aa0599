//! Pushover.

use std::time::Duration;

use yaml_config::Secret;

use std::sync::Arc;

use futures::future::BoxFuture;

use super::http::{Http, secret, truncate};
use super::render::{Render, Texts};
use super::{Failure, Memory, Notification, Notifier};
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

const MAX_TITLE: usize = 250;
const MAX_MESSAGE: usize = 1024;
const MAX_URL: usize = 512;
/// Where messages go.
const URL: &str = "https://api.pushover.net/1/messages.json";

/// Sends to Pushover.
pub struct Pushover {
    config: PushoverConfig,
    http: Http,
    render: Arc<dyn Render>,
    url: String,
}

impl Pushover {
    /// Makes the integration.
    ///
    /// # Errors
    /// What is wrong with `http_config`.
    pub fn new(config: PushoverConfig, render: Arc<dyn Render>) -> Result<Pushover, String> {
        let http = Http::new(config.http_config.as_ref(), None)?;
        let url = URL.to_owned();
        Ok(Pushover {
            config,
            http,
            render,
            url,
        })
    }

    /// The same integration, sending to another server: for tests.
    #[must_use]
    pub fn with_url(self, url: impl Into<String>) -> Pushover {
        Pushover {
            url: url.into(),
            ..self
        }
    }

    async fn send(&self, notification: &Notification) -> Result<Memory, Failure> {
        let texts = Texts::new(&*self.render, notification);
        let config = &self.config;
        let token = secret(&config.token, &config.token_file).await?;
        let user = secret(&config.user_key, &config.user_key_file).await?;
        let message = if config.html {
            texts.html(&config.message)?
        } else {
            texts.text(&config.message)?
        };
        let message = truncate(message, MAX_MESSAGE);
        // An empty message is refused.
        let message = match message.trim() {
            "" => "(no details)",
            text => text,
        };
        let mut form = vec![
            ("token", texts.text(&token)?),
            ("user", texts.text(&user)?),
            ("title", truncate(texts.text(&config.title)?, MAX_TITLE)),
            ("message", message.to_owned()),
            ("url", truncate(texts.text(&config.url)?, MAX_URL)),
            ("url_title", texts.text(&config.url_title)?),
            ("priority", texts.text(&config.priority)?),
            ("retry", config.retry.0.as_secs().to_string()),
            ("expire", config.expire.0.as_secs().to_string()),
            ("device", texts.text(&config.device)?),
            ("sound", texts.text(&config.sound)?),
        ];
        if config.html {
            form.push(("html", "1".to_owned()));
        }
        if config.monospace {
            form.push(("monospace", "1".to_owned()));
        }
        if let Some(ttl) = config.ttl.bound() {
            form.push(("ttl", ttl.as_secs().to_string()));
        }
        let answer = self.http.post_form(&self.url, &form).await?;
        // The body may repeat the keys.
        answer.without_body().check(&[429])?;
        Ok(notification.memory.clone())
    }
}

impl Notifier for Pushover {
    fn notify<'a>(&'a self, n: &'a Notification) -> BoxFuture<'a, Result<Memory, Failure>> {
        Box::pin(self.send(n))
    }
}
