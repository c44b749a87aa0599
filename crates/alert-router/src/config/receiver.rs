//! The section `receivers`: all kinds of integrations, and what they take over from `global`.

use std::collections::BTreeMap;

use yaml_config::{Secret, Spanned};

use super::global::GlobalSection;
use super::scalars::{HttpUrl, SecretUrl};
use super::settings::{Unset, settings, unset};
use super::{Error, HttpConfig};
use crate::notify::discord::DiscordConfig;
use crate::notify::email::EmailConfig;
use crate::notify::mattermost::MattermostConfig;
use crate::notify::msteamsv2::MsTeamsV2Config;
use crate::notify::opsgenie::OpsGenieConfig;
use crate::notify::pagerduty::PagerdutyConfig;
use crate::notify::pushover::PushoverConfig;
use crate::notify::refused::{
    IncidentioConfig, JiraConfig, MsTeamsConfig, RocketchatConfig, SnsConfig, VictorOpsConfig,
    WebexConfig, WechatConfig,
};
use crate::notify::slack::SlackConfig;
use crate::notify::telegram::TelegramConfig;
use crate::notify::webhook::WebhookConfig;

/// The integrations of one kind, each with its place in the file.
pub type List<T> = Vec<Spanned<T>>;

settings! {
    /// A receiver.
    "config.plain" ReceiverSection {
        /// The name that routes use.
        name: String = String::new();
        /// Labels of the receiver; `name` is always among them.
        labels: BTreeMap<String, String> = BTreeMap::new(), skip "unset";
        /// Discord.
        discord_configs: List<DiscordConfig> = Vec::new(), skip "unset";
        /// Mail.
        email_configs: List<EmailConfig> = Vec::new(), skip "unset";
        /// incident.io.
        incidentio_configs: List<IncidentioConfig> = Vec::new(), skip "unset";
        /// PagerDuty.
        pagerduty_configs: List<PagerdutyConfig> = Vec::new(), skip "unset";
        /// Slack.
        slack_configs: List<SlackConfig> = Vec::new(), skip "unset";
        /// Webhooks.
        webhook_configs: List<WebhookConfig> = Vec::new(), skip "unset";
        /// OpsGenie.
        opsgenie_configs: List<OpsGenieConfig> = Vec::new(), skip "unset";
        /// WeChat.
        wechat_configs: List<WechatConfig> = Vec::new(), skip "unset";
        /// Pushover.
        pushover_configs: List<PushoverConfig> = Vec::new(), skip "unset";
        /// VictorOps.
        victorops_configs: List<VictorOpsConfig> = Vec::new(), skip "unset";
        /// Amazon SNS.
        sns_configs: List<SnsConfig> = Vec::new(), skip "unset";
        /// Telegram.
        telegram_configs: List<TelegramConfig> = Vec::new(), skip "unset";
        /// Webex.
        webex_configs: List<WebexConfig> = Vec::new(), skip "unset";
        /// Microsoft Teams, retired connectors.
        msteams_configs: List<MsTeamsConfig> = Vec::new(), skip "unset";
        /// Microsoft Teams, workflows.
        msteamsv2_configs: List<MsTeamsV2Config> = Vec::new(), skip "unset";
        /// Jira.
        jira_configs: List<JiraConfig> = Vec::new(), skip "unset";
        /// Rocket.Chat.
        rocketchat_configs: List<RocketchatConfig> = Vec::new(), skip "unset";
        /// Mattermost.
        mattermost_configs: List<MattermostConfig> = Vec::new(), skip "unset";
    }
}

/// Calls a macro with every kind: field, whether it has an `http_config`.
macro_rules! for_each_kind {
    ($do:ident) => {
        $do!(
            discord_configs email_configs incidentio_configs pagerduty_configs slack_configs
            webhook_configs opsgenie_configs wechat_configs pushover_configs victorops_configs
            sns_configs telegram_configs webex_configs msteams_configs msteamsv2_configs
            jira_configs rocketchat_configs mattermost_configs
        )
    };
}

impl ReceiverSection {
    /// Checks each integration by itself.
    pub(super) fn validate(&mut self) -> Result<(), Error> {
        macro_rules! validate {
            ($($field:ident)*) => {
                $(for config in &mut self.$field {
                    let line = config.line;
                    config.value.validate().map_err(|e| e.at_line(line))?;
                })*
            };
        }
        for_each_kind!(validate);
        if self.name.is_empty() {
            return Err(Error::new("missing name in receiver"));
        }
        match self.labels.get("name") {
            Some(name) if *name != self.name => Err(Error::new(format!(
                "receiver label \"name\" must match receiver name {}, got {}",
                golang::strconv::quote(&self.name),
                golang::strconv::quote(name)
            ))),
            _ => {
                self.labels.insert("name".to_owned(), self.name.clone());
                Ok(())
            }
        }
    }

    /// Fills in what is not given from `global`, in upstream's order of kinds.
    pub(super) fn inherit(&mut self, global: &GlobalSection) -> Result<(), Error> {
        macro_rules! inherit_all {
            ($($field:ident $inherit:ident;)*) => {
                $(for config in &mut self.$field {
                    let line = config.line;
                    $inherit(&mut config.value, global).map_err(|e| e.at_line(line))?;
                })*
            };
        }
        inherit_all! {
            webhook_configs http_only_webhook;
            email_configs email;
            slack_configs slack;
            pushover_configs http_only_pushover;
            pagerduty_configs pagerduty;
            incidentio_configs http_only_incidentio;
            opsgenie_configs opsgenie;
            wechat_configs wechat;
            victorops_configs victorops;
            sns_configs http_only_sns;
            telegram_configs telegram;
            discord_configs http_only_discord;
            webex_configs webex;
            msteams_configs http_only_msteams;
            msteamsv2_configs http_only_msteamsv2;
            jira_configs jira;
            rocketchat_configs rocketchat;
            mattermost_configs mattermost;
        }
        Ok(())
    }

    /// The files that requests read, relative to a directory, as those of the configuration are.
    pub(super) fn set_directory(&mut self, directory: &std::path::Path) {
        macro_rules! set_directory {
            ($($field:ident)*) => {
                $(for config in &mut self.$field {
                    if let Some(http) = &mut config.value.http_config {
                        http.set_directory(directory);
                    }
                })*
            };
        }
        set_directory!(
            discord_configs incidentio_configs pagerduty_configs slack_configs webhook_configs
            opsgenie_configs wechat_configs pushover_configs victorops_configs sns_configs
            telegram_configs webex_configs msteams_configs msteamsv2_configs jira_configs
            rocketchat_configs mattermost_configs
        );
    }
}

/// Takes a default over where nothing is given.
fn or<T: Unset + Clone>(value: &mut T, default: &T) {
    if value.unset() {
        value.clone_from(default);
    }
}

/// Takes over a value and its file together, where neither is given.
fn pair<T: Unset + Clone>(value: (&mut T, &mut String), default: (&T, &String)) {
    if value.0.unset() && value.1.is_empty() {
        value.0.clone_from(default.0);
        value.1.clone_from(default.1);
    }
}

fn http(config: &mut Option<HttpConfig>, global: &GlobalSection) {
    or(config, &global.http_config);
}

fn required<T>(value: &Option<T>, message: &str) -> Result<(), Error> {
    match value {
        Some(_) => Ok(()),
        None => Err(Error::new(message)),
    }
}

fn some_secret(value: &Secret, file: &str, message: &str) -> Result<(), Error> {
    if value.is_empty() && file.is_empty() {
        return Err(Error::new(message));
    }
    Ok(())
}

fn with_slash(url: &mut Option<HttpUrl>) {
    *url = url.take().map(HttpUrl::with_trailing_slash);
}

macro_rules! http_only {
    ($($name:ident $config:ty;)*) => {
        $(fn $name(config: &mut $config, global: &GlobalSection) -> Result<(), Error> {
            http(&mut config.http_config, global);
            Ok(())
        })*
    };
}

http_only! {
    http_only_webhook WebhookConfig;
    http_only_pushover PushoverConfig;
    http_only_incidentio IncidentioConfig;
    http_only_sns SnsConfig;
    http_only_discord DiscordConfig;
    http_only_msteams MsTeamsConfig;
    http_only_msteamsv2 MsTeamsV2Config;
}

fn email(config: &mut EmailConfig, global: &GlobalSection) -> Result<(), Error> {
    or(&mut config.tls_config, &global.smtp_tls_config);
    or(&mut config.smarthost, &global.smtp_smarthost);
    if config.smarthost.unset() {
        return Err(Error::new("no global SMTP smarthost set"));
    }
    or(&mut config.from, &global.smtp_from);
    if config.from.is_empty() {
        return Err(Error::new("no global SMTP from set"));
    }
    or(&mut config.hello, &global.smtp_hello);
    or(&mut config.auth_username, &global.smtp_auth_username);
    pair(
        (&mut config.auth_password, &mut config.auth_password_file),
        (&global.smtp_auth_password, &global.smtp_auth_password_file),
    );
    or(&mut config.auth_secret, &global.smtp_auth_secret);
    or(&mut config.auth_secret_file, &global.smtp_auth_secret_file);
    or(&mut config.auth_identity, &global.smtp_auth_identity);
    config.require_tls.get_or_insert(global.smtp_require_tls);
    or(
        &mut config.force_implicit_tls,
        &global.smtp_force_implicit_tls,
    );
    Ok(())
}

fn slack(config: &mut SlackConfig, global: &GlobalSection) -> Result<(), Error> {
    or(&mut config.app_url, &global.slack_app_url);
    required(&config.app_url, "no global Slack App URL set")?;
    let authorized = |config: &SlackConfig| {
        config
            .http_config
            .as_ref()
            .is_some_and(|http| http.authorization.is_some())
    };
    // The token of `global` is for those who have neither a webhook nor an authorization.
    if !authorized(config) && config.api_url.is_none() {
        pair(
            (&mut config.app_token, &mut config.app_token_file),
            (&global.slack_app_token, &global.slack_app_token_file),
        );
    }
    pair(
        (&mut config.api_url, &mut config.api_url_file),
        (&global.slack_api_url, &global.slack_api_url_file),
    );
    let token = !config.app_token.is_empty() || !config.app_token_file.is_empty();
    if config.api_url.is_none() && config.api_url_file.is_empty() && !token {
        return Err(Error::new(
            "no Slack API URL nor App token set either inline or in a file",
        ));
    }
    http(&mut config.http_config, global);
    if token {
        if authorized(config) {
            return Err(Error::new(
                "http authorization can't be set when using Slack App tokens",
            ));
        }
        let (token, file) = (config.app_token.clone(), config.app_token_file.clone());
        let http = config.http_config.get_or_insert_default();
        http.authorization = Some(http_client::Authorization {
            kind: "Bearer".to_owned(),
            credentials: token,
            credentials_file: file.into(),
            ..http_client::Authorization::default()
        });
        config.api_url = config.app_url.as_ref().map(SecretUrl::from);
    }
    Ok(())
}

fn pagerduty(config: &mut PagerdutyConfig, global: &GlobalSection) -> Result<(), Error> {
    http(&mut config.http_config, global);
    or(&mut config.url, &global.pagerduty_url);
    required(&config.url, "no global PagerDuty URL set")
}

fn opsgenie(config: &mut OpsGenieConfig, global: &GlobalSection) -> Result<(), Error> {
    http(&mut config.http_config, global);
    or(&mut config.api_url, &global.opsgenie_api_url);
    required(&config.api_url, "no global OpsGenie URL set")?;
    with_slash(&mut config.api_url);
    or(&mut config.api_key, &global.opsgenie_api_key);
    or(&mut config.api_key_file, &global.opsgenie_api_key_file);
    some_secret(
        &config.api_key,
        &config.api_key_file,
        "no global OpsGenie API Key set either inline or in a file",
    )
}

fn wechat(config: &mut WechatConfig, global: &GlobalSection) -> Result<(), Error> {
    http(&mut config.http_config, global);
    or(&mut config.api_url, &global.wechat_api_url);
    required(&config.api_url, "no global Wechat URL set")?;
    pair(
        (&mut config.api_secret, &mut config.api_secret_file),
        (&global.wechat_api_secret, &global.wechat_api_secret_file),
    );
    some_secret(
        &config.api_secret,
        &config.api_secret_file,
        "no global Wechat Api Secret set either inline or in a file",
    )?;
    or(&mut config.corp_id, &global.wechat_api_corp_id);
    if config.corp_id.is_empty() {
        return Err(Error::new("no global Wechat CorpID set"));
    }
    with_slash(&mut config.api_url);
    Ok(())
}

fn victorops(config: &mut VictorOpsConfig, global: &GlobalSection) -> Result<(), Error> {
    http(&mut config.http_config, global);
    or(&mut config.api_url, &global.victorops_api_url);
    required(&config.api_url, "no global VictorOps URL set")?;
    with_slash(&mut config.api_url);
    or(&mut config.api_key, &global.victorops_api_key);
    or(&mut config.api_key_file, &global.victorops_api_key_file);
    some_secret(
        &config.api_key,
        &config.api_key_file,
        "no global VictorOps API Key set",
    )
}

fn telegram(config: &mut TelegramConfig, global: &GlobalSection) -> Result<(), Error> {
    http(&mut config.http_config, global);
    or(&mut config.api_url, &global.telegram_api_url);
    pair(
        (&mut config.bot_token, &mut config.bot_token_file),
        (&global.telegram_bot_token, &global.telegram_bot_token_file),
    );
    some_secret(
        &config.bot_token,
        &config.bot_token_file,
        "missing bot_token or bot_token_file on telegram_config",
    )
}

fn webex(config: &mut WebexConfig, global: &GlobalSection) -> Result<(), Error> {
    http(&mut config.http_config, global);
    or(&mut config.api_url, &global.webex_api_url);
    required(&config.api_url, "no global Webex URL set")
}

fn jira(config: &mut JiraConfig, global: &GlobalSection) -> Result<(), Error> {
    http(&mut config.http_config, global);
    or(&mut config.api_url, &global.jira_api_url);
    required(&config.api_url, "no global Jira Cloud URL set")
}

fn rocketchat(config: &mut RocketchatConfig, global: &GlobalSection) -> Result<(), Error> {
    http(&mut config.http_config, global);
    or(&mut config.api_url, &global.rocketchat_api_url);
    or(&mut config.token_id, &global.rocketchat_token_id);
    or(&mut config.token_id_file, &global.rocketchat_token_id_file);
    if config.token_id.is_none() && config.token_id_file.is_empty() {
        return Err(Error::new(
            "no global Rocketchat TokenID set either inline or in a file",
        ));
    }
    or(&mut config.token, &global.rocketchat_token);
    or(&mut config.token_file, &global.rocketchat_token_file);
    if config.token.is_none() && config.token_file.is_empty() {
        return Err(Error::new(
            "no global Rocketchat Token set either inline or in a file",
        ));
    }
    Ok(())
}

fn mattermost(config: &mut MattermostConfig, global: &GlobalSection) -> Result<(), Error> {
    http(&mut config.http_config, global);
    pair(
        (&mut config.webhook_url, &mut config.webhook_url_file),
        (
            &global.mattermost_webhook_url,
            &global.mattermost_webhook_url_file,
        ),
    );
    if config.webhook_url.is_none() && config.webhook_url_file.is_empty() {
        return Err(Error::new(
            "missing webhook_url or webhook_url_file on mattermost_config",
        ));
    }
    Ok(())
}
