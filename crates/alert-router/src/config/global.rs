//! The section `global`: defaults of receivers.

use yaml_config::{Duration, Secret};

use super::scalars::{HostPort, HttpUrl, SecretUrl};
use super::settings::{settings, unset};
use super::{Error, HttpConfig, TlsConfig, at_most_one};

settings! {
    /// `global`.
    "config.plain" GlobalSection {
        /// After how long an alert that is not sent again counts as resolved.
        resolve_timeout: Duration = Duration::from_secs(300);
        /// How requests are made.
        http_config: Option<HttpConfig> = Some(HttpConfig::default()), skip "unset";
        /// See the receivers of these names, for all that follow.
        jira_api_url: Option<HttpUrl> = None, skip "unset";
        /// The sender of mail.
        smtp_from: String = String::new(), skip "unset";
        /// How the router names itself to mail servers.
        smtp_hello: String = "localhost".into(), skip "unset";
        /// The mail server.
        smtp_smarthost: HostPort = HostPort::default(), skip "unset";
        /// For all mechanisms.
        smtp_auth_username: String = String::new(), skip "unset";
        /// For PLAIN and LOGIN.
        smtp_auth_password: Secret = Secret::default(), skip "unset";
        /// A file with it.
        smtp_auth_password_file: String = String::new(), skip "unset";
        /// For CRAM-MD5.
        smtp_auth_secret: Secret = Secret::default(), skip "unset";
        /// A file with it.
        smtp_auth_secret_file: String = String::new(), skip "unset";
        /// For PLAIN.
        smtp_auth_identity: String = String::new(), skip "unset";
        /// Whether the connection must turn to TLS.
        smtp_require_tls: bool = true;
        /// How.
        smtp_tls_config: Option<TlsConfig> = Some(TlsConfig::default()), skip "unset";
        /// Whether the connection starts with TLS.
        smtp_force_implicit_tls: Option<bool> = None, skip "unset";
        /// The URL of an incoming webhook.
        slack_api_url: Option<SecretUrl> = None, skip "unset";
        /// A file with it.
        slack_api_url_file: String = String::new(), skip "unset";
        /// The token of an app.
        slack_app_token: Secret = Secret::default(), skip "unset";
        /// A file with it.
        slack_app_token_file: String = String::new(), skip "unset";
        /// The method that posts messages with a token.
        slack_app_url: Option<HttpUrl> = url("https://slack.com/api/chat.postMessage"), skip "unset";
        /// Where to.
        pagerduty_url: Option<HttpUrl> = url("https://events.pagerduty.com/v2/enqueue"), skip "unset";
        /// Where to.
        opsgenie_api_url: Option<HttpUrl> = url("https://api.opsgenie.com/"), skip "unset";
        /// The key of an integration.
        opsgenie_api_key: Secret = Secret::default(), skip "unset";
        /// A file with it.
        opsgenie_api_key_file: String = String::new(), skip "unset";
        /// Where to.
        wechat_api_url: Option<HttpUrl> = url("https://qyapi.weixin.qq.com/cgi-bin/"), skip "unset";
        /// The secret.
        wechat_api_secret: Secret = Secret::default(), skip "unset";
        /// A file with it.
        wechat_api_secret_file: String = String::new(), skip "unset";
        /// The company.
        wechat_api_corp_id: String = String::new(), skip "unset";
        /// Where to.
        victorops_api_url: Option<HttpUrl> = url("https://alert.victorops.com/integrations/generic/20131114/alert/"), skip "unset";
        /// The key.
        victorops_api_key: Secret = Secret::default(), skip "unset";
        /// A file with it.
        victorops_api_key_file: String = String::new(), skip "unset";
        /// Where to.
        telegram_api_url: Option<HttpUrl> = url("https://api.telegram.org"), skip "unset";
        /// The token of the bot.
        telegram_bot_token: Secret = Secret::default(), skip "unset";
        /// A file with it.
        telegram_bot_token_file: String = String::new(), skip "unset";
        /// Where to.
        webex_api_url: Option<HttpUrl> = url("https://webexapis.com/v1/messages"), skip "unset";
        /// Where to.
        rocketchat_api_url: Option<HttpUrl> = url("https://open.rocket.chat/"), skip "unset";
        /// The token.
        rocketchat_token: Option<Secret> = None, skip "unset";
        /// A file with it.
        rocketchat_token_file: String = String::new(), skip "unset";
        /// The id of the token.
        rocketchat_token_id: Option<Secret> = None, skip "unset";
        /// A file with it.
        rocketchat_token_id_file: String = String::new(), skip "unset";
        /// The URL of an incoming webhook.
        mattermost_webhook_url: Option<SecretUrl> = None, skip "unset";
        /// A file with it.
        mattermost_webhook_url_file: String = String::new(), skip "unset";
    }
}

fn url(text: &str) -> Option<HttpUrl> {
    HttpUrl::parse(text).ok()
}

impl GlobalSection {
    pub(super) fn validate(&self) -> Result<(), Error> {
        let token = !self.slack_app_token.is_empty();
        let token_file = !self.slack_app_token_file.is_empty();
        let slack_url = self.slack_api_url.as_ref();
        let slack_file = !self.slack_api_url_file.is_empty();
        at_most_one(&[
            ("slack_app_token", token),
            ("slack_app_token_file", token_file),
        ])?;
        at_most_one(&[
            ("slack_api_url", slack_url.is_some()),
            ("slack_api_url_file", slack_file),
        ])?;
        // The URL may be that of the app: people set it so before there was slack_app_url.
        let same =
            slack_url.map(SecretUrl::expose) == self.slack_app_url.as_ref().map(HttpUrl::as_str);
        if (token || token_file) && (slack_url.is_some() || slack_file) && !same {
            return Err(Error::new(
                "at most one of slack_app_token/slack_app_token_file & slack_api_url/slack_api_url_file must be configured",
            ));
        }
        for (names, value, file) in [
            (
                ["opsgenie_api_key", "opsgenie_api_key_file"],
                !self.opsgenie_api_key.is_empty(),
                &self.opsgenie_api_key_file,
            ),
            (
                ["victorops_api_key", "victorops_api_key_file"],
                !self.victorops_api_key.is_empty(),
                &self.victorops_api_key_file,
            ),
            (
                ["telegram_bot_token", "telegram_bot_token_file"],
                !self.telegram_bot_token.is_empty(),
                &self.telegram_bot_token_file,
            ),
            (
                ["smtp_auth_password", "smtp_auth_password_file"],
                !self.smtp_auth_password.is_empty(),
                &self.smtp_auth_password_file,
            ),
            (
                ["rocketchat_token", "rocketchat_token_file"],
                self.rocketchat_token.is_some(),
                &self.rocketchat_token_file,
            ),
            (
                ["rocketchat_token_id", "rocketchat_token_id_file"],
                self.rocketchat_token_id.is_some(),
                &self.rocketchat_token_id_file,
            ),
            (
                ["smtp_auth_secret", "smtp_auth_secret_file"],
                !self.smtp_auth_secret.is_empty(),
                &self.smtp_auth_secret_file,
            ),
            (
                ["wechat_api_secret", "wechat_api_secret_file"],
                !self.wechat_api_secret.is_empty(),
                &self.wechat_api_secret_file,
            ),
            (
                ["mattermost_webhook_url", "mattermost_webhook_url_file"],
                self.mattermost_webhook_url.is_some(),
                &self.mattermost_webhook_url_file,
            ),
        ] {
            at_most_one(&[(names[0], value), (names[1], !file.is_empty())])?;
        }
        Ok(())
    }
}
