//! Receivers whose configuration is read and checked as upstream does, but which cannot send yet:
//! a configuration with one of them is refused by name when the service is built from it.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;
use yaml_config::{Duration, Secret};

use crate::config::scalars::{GoDuration, HttpUrl, SecretUrl};
use crate::config::settings::{Unset, settings, unset};
use crate::config::{Error, HttpConfig, at_most_one, one_webhook_url};

settings! {
    /// `msteams_configs`: Microsoft Teams through the retired connectors.
    "msteams.plain" MsTeamsConfig {
        /// Whether resolved alerts are sent.
        send_resolved: bool = true;
        /// How requests are made.
        http_config: Option<HttpConfig> = None, skip "unset";
        /// Where to.
        webhook_url: Option<SecretUrl> = None, skip "unset";
        /// A file with it.
        webhook_url_file: String = String::new(), skip "unset";
        /// The title.
        title: String = r#"{{ template "msteams.default.title" . }}"#.into(), skip "unset";
        /// A summary.
        summary: String = r#"{{ template "msteams.default.summary" . }}"#.into(), skip "unset";
        /// The text.
        text: String = r#"{{ template "msteams.default.text" . }}"#.into(), skip "unset";
    }
}

impl MsTeamsConfig {
    pub(crate) fn validate(&mut self) -> Result<(), Error> {
        one_webhook_url(self.webhook_url.as_ref(), &self.webhook_url_file)
    }
}

settings! {
    /// `jira_configs`.
    "jira.plain" JiraConfig {
        /// Whether resolved alerts are sent.
        send_resolved: bool = true;
        /// How requests are made.
        http_config: Option<HttpConfig> = None, skip "unset";
        /// Where to.
        api_url: Option<HttpUrl> = None, skip "unset";
        /// `auto`, `cloud` or `datacenter`.
        api_type: String = "auto".into(), skip "unset";
        /// The project.
        project: String = String::new(), skip "unset";
        /// The summary.
        summary: JiraField = JiraField::of(r#"{{ template "jira.default.summary" . }}"#), skip "unset";
        /// The description.
        description: JiraField = JiraField::of(r#"{{ template "jira.default.description" . }}"#), skip "unset";
        /// Labels.
        labels: Vec<String> = Vec::new(), skip "unset";
        /// The priority.
        priority: String = r#"{{ template "jira.default.priority" . }}"#.into(), skip "unset";
        /// The type of issue.
        issue_type: String = String::new(), skip "unset";
        /// The transition that opens an issue again.
        reopen_transition: String = String::new(), skip "unset";
        /// The transition that resolves it.
        resolve_transition: String = String::new(), skip "unset";
        /// The resolution of issues that stay closed.
        wont_fix_resolution: String = String::new(), skip "unset";
        /// For how long closed issues are opened again.
        reopen_duration: Duration = Duration::ZERO, skip "unset";
        /// Other fields.
        fields: BTreeMap<String, Value> = BTreeMap::new(), skip "unset";
    }
}

/// A field of an issue: a template, alone or with whether updates change it.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct JiraField {
    /// The template.
    #[serde(skip_serializing_if = "unset")]
    pub template: String,
    /// Whether updates change the field.
    #[serde(skip_serializing_if = "unset")]
    pub enable_update: Option<bool>,
}

impl JiraField {
    fn of(template: &str) -> JiraField {
        JiraField {
            template: template.to_owned(),
            enable_update: None,
        }
    }
}

impl Unset for JiraField {
    fn unset(&self) -> bool {
        *self == JiraField::default()
    }
}

impl<'de> Deserialize<'de> for JiraField {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<JiraField, D::Error> {
        settings! {
            "jira.plain" Full {
                template: String = String::new();
                enable_update: Option<bool> = None;
            }
        }
        let value = yaml_config::Value::deserialize(deserializer)?;
        if let Ok(template) = yaml_config::from_value::<String>(&value) {
            return Ok(JiraField {
                template,
                enable_update: None,
            });
        }
        let full: Full = yaml_config::from_value(&value).map_err(serde::de::Error::custom)?;
        Ok(JiraField {
            template: full.template,
            enable_update: full.enable_update,
        })
    }
}

impl JiraConfig {
    pub(crate) fn validate(&mut self) -> Result<(), Error> {
        if self.project.is_empty() {
            return Err(Error::new("missing project in jira_config"));
        }
        if self.issue_type.is_empty() {
            return Err(Error::new("missing issue_type in jira_config"));
        }
        if !["auto", "cloud", "datacenter"].contains(&self.api_type.as_str()) {
            return Err(Error::new(
                "unknown api_type on jira_config, must be auto, cloud or datacenter",
            ));
        }
        Ok(())
    }
}

settings! {
    /// `incidentio_configs`.
    "incidentio.plain" IncidentioConfig {
        /// Whether resolved alerts are sent.
        send_resolved: bool = true;
        /// How requests are made.
        http_config: Option<HttpConfig> = None, skip "unset";
        /// Where to.
        url: Option<HttpUrl> = None;
        /// A file with it.
        url_file: String = String::new();
        /// The token of the alert source.
        alert_source_token: Secret = Secret::default(), skip "unset";
        /// A file with it.
        alert_source_token_file: String = String::new(), skip "unset";
        /// How many alerts a message holds at most; 0 is no bound.
        max_alerts: u64 = 0;
        /// How long a request may take; 0 is no bound.
        timeout: GoDuration = GoDuration::default();
    }
}

impl IncidentioConfig {
    pub(crate) fn validate(&mut self) -> Result<(), Error> {
        let (url, file) = (self.url.is_some(), !self.url_file.is_empty());
        let token = !self.alert_source_token.is_empty();
        let token_file = !self.alert_source_token_file.is_empty();
        if !url && !file {
            return Err(Error::new("one of url or url_file must be configured"));
        }
        at_most_one(&[("url", url), ("url_file", file)])?;
        at_most_one(&[
            ("alert_source_token", token),
            ("alert_source_token_file", token_file),
        ])?;
        match &self.http_config {
            Some(http) if http.authorization.is_some() && (token || token_file) => Err(Error::new(
                "cannot specify alert_source_token or alert_source_token_file when using http_config.authorization",
            )),
            Some(http) if http.authorization.is_none() && !token && !token_file => Err(Error::new(
                "at least one of alert_source_token, alert_source_token_file or http_config.authorization must be configured",
            )),
            _ => Ok(()),
        }
    }
}

settings! {
    /// `rocketchat_configs`.
    "rocketchat.plain" RocketchatConfig {
        /// Whether resolved alerts are sent.
        send_resolved: bool = false;
        /// How requests are made.
        http_config: Option<HttpConfig> = None, skip "unset";
        /// Where to.
        api_url: Option<HttpUrl> = None, skip "unset";
        /// The id of the token.
        token_id: Option<Secret> = None, skip "unset";
        /// A file with it.
        token_id_file: String = String::new(), skip "unset";
        /// The token.
        token: Option<Secret> = None, skip "unset";
        /// A file with it.
        token_file: String = String::new(), skip "unset";
        /// Where to.
        channel: String = String::new(), skip "unset";
        /// The colour.
        color: String = r#"{{ if eq .Status "firing" }}red{{ else }}green{{ end }}"#.into(), skip "unset";
        /// The title.
        title: String = r#"{{ template "rocketchat.default.title" . }}"#.into(), skip "unset";
        /// Where the title leads.
        title_link: String = r#"{{ template "rocketchat.default.titlelink" . }}"#.into(), skip "unset";
        /// The text.
        text: String = r#"{{ template "rocketchat.default.text" . }}"#.into(), skip "unset";
        /// Fields.
        fields: Vec<RocketchatField> = Vec::new(), skip "unset";
        /// Whether fields are short unless they say otherwise.
        short_fields: bool = false;
        /// The icon as an emoji.
        emoji: String = r#"{{ template "rocketchat.default.emoji" . }}"#.into(), skip "unset";
        /// The icon as a picture.
        icon_url: String = r#"{{ template "rocketchat.default.iconurl" . }}"#.into(), skip "unset";
        /// A picture below.
        image_url: String = String::new(), skip "unset";
        /// A small picture.
        thumb_url: String = String::new(), skip "unset";
        /// Whether names become links.
        link_names: bool = false;
        /// Buttons.
        actions: Vec<RocketchatAction> = Vec::new(), skip "unset";
    }
}

settings! {
    /// A field of a message.
    "rocketchat.RocketchatAttachmentField" RocketchatField {
        /// Whether it may stand beside another one.
        short: Option<bool> = None, skip "unset";
        /// Its title.
        title: String = String::new();
        /// Its value.
        value: String = String::new();
    }
}

settings! {
    /// A button; the names are Go's, as upstream gives none for YAML.
    "rocketchat.RocketchatAttachmentAction" RocketchatAction {
        /// `button`.
        r#type: String = String::new();
        /// What stands on it.
        text: String = String::new();
        /// Where it leads.
        url: String = String::new();
        /// A picture on it.
        imageurl: String = String::new();
        /// Whether the link opens inside.
        iswebview: bool = false;
        /// How high.
        webviewheightratio: String = String::new();
        /// The message it sends.
        msg: String = String::new();
        /// Whether the message can be seen.
        msginchatwindow: bool = false;
        /// How the message is treated.
        msgprocessingtype: String = String::new();
    }
}

impl RocketchatConfig {
    pub(crate) fn validate(&mut self) -> Result<(), Error> {
        at_most_one(&[
            ("token", self.token.is_some()),
            ("token_file", !self.token_file.is_empty()),
        ])?;
        at_most_one(&[
            ("token_id", self.token_id.is_some()),
            ("token_id_file", !self.token_id_file.is_empty()),
        ])
    }
}

settings! {
    /// `sns_configs`.
    "sns.plain" SnsConfig {
        /// Whether resolved alerts are sent.
        send_resolved: bool = true;
        /// How requests are made.
        http_config: Option<HttpConfig> = None, skip "unset";
        /// Where to.
        api_url: String = String::new(), skip "unset";
        /// How requests are signed.
        sigv4: SigV4 = SigV4::default();
        /// A topic.
        topic_arn: String = String::new(), skip "unset";
        /// Or a telephone.
        phone_number: String = String::new(), skip "unset";
        /// Or an endpoint.
        target_arn: String = String::new(), skip "unset";
        /// The subject.
        subject: String = r#"{{ template "sns.default.subject" . }}"#.into(), skip "unset";
        /// The text.
        message: String = r#"{{ template "sns.default.message" . }}"#.into(), skip "unset";
        /// Attributes.
        attributes: BTreeMap<String, String> = BTreeMap::new(), skip "unset";
    }
}

settings! {
    /// How requests to AWS are signed.
    "sigv4.SigV4Config" SigV4 {
        /// The region.
        region: String = String::new(), skip "unset";
        /// The name of the key.
        access_key: String = String::new(), skip "unset";
        /// The key; upstream prints it, and so do the shared cases: see [`crate::config`].
        secret_key: Secret = Secret::default(), skip "unset";
        /// A profile.
        profile: String = String::new(), skip "unset";
        /// A role.
        role_arn: String = String::new(), skip "unset";
        /// For the role.
        external_id: String = String::new(), skip "unset";
        /// Whether the FIPS endpoint is used.
        use_fips_sts_endpoint: bool = false, skip "unset";
    }
}

impl SnsConfig {
    pub(crate) fn validate(&mut self) -> Result<(), Error> {
        // Upstream's condition, which also lets all three through.
        let [target, topic, phone] =
            [&self.target_arn, &self.topic_arn, &self.phone_number].map(|text| text.is_empty());
        if (target != topic) != phone {
            return Err(Error::new(
                "must provide either a Target ARN, Topic ARN, or Phone Number for SNS config",
            ));
        }
        Ok(())
    }
}

settings! {
    /// `victorops_configs`.
    "victorops.plain" VictorOpsConfig {
        /// Whether resolved alerts are sent.
        send_resolved: bool = true;
        /// How requests are made.
        http_config: Option<HttpConfig> = None, skip "unset";
        /// The key.
        api_key: Secret = Secret::default(), skip "unset";
        /// A file with it.
        api_key_file: String = String::new(), skip "unset";
        /// Where to.
        api_url: Option<HttpUrl> = None;
        /// The team.
        routing_key: String = String::new();
        /// `CRITICAL`, `WARNING`, `INFO`.
        message_type: String = "CRITICAL".into();
        /// What it is about.
        state_message: String = r#"{{ template "victorops.default.state_message" . }}"#.into();
        /// The title.
        entity_display_name: String = r#"{{ template "victorops.default.entity_display_name" . }}"#.into();
        /// Where it comes from.
        monitoring_tool: String = r#"{{ template "victorops.default.monitoring_tool" . }}"#.into();
        /// Other fields.
        custom_fields: BTreeMap<String, String> = BTreeMap::new(), skip "unset";
    }
}

impl VictorOpsConfig {
    pub(crate) fn validate(&mut self) -> Result<(), Error> {
        if self.routing_key.is_empty() {
            return Err(Error::new("missing Routing key in VictorOps config"));
        }
        at_most_one(&[
            ("api_key", !self.api_key.is_empty()),
            ("api_key_file", !self.api_key_file.is_empty()),
        ])?;
        let fixed = [
            "routing_key",
            "message_type",
            "state_message",
            "entity_display_name",
            "monitoring_tool",
            "entity_id",
            "entity_state",
        ];
        match fixed
            .iter()
            .find(|name| self.custom_fields.contains_key(**name))
        {
            Some(name) => Err(Error::new(format!(
                "victorOps config contains custom field {name} which cannot be used as it conflicts with the fixed/static fields"
            ))),
            None => Ok(()),
        }
    }
}

settings! {
    /// `webex_configs`.
    "webex.plain" WebexConfig {
        /// Whether resolved alerts are sent.
        send_resolved: bool = true;
        /// How requests are made; must hold an authorization.
        http_config: Option<HttpConfig> = None, skip "unset";
        /// Where to.
        api_url: Option<HttpUrl> = None, skip "unset";
        /// The text.
        message: String = r#"{{ template "webex.default.message" . }}"#.into(), skip "unset";
        /// The room.
        room_id: String = String::new();
    }
}

impl WebexConfig {
    pub(crate) fn validate(&mut self) -> Result<(), Error> {
        if self.room_id.is_empty() {
            return Err(Error::new("missing room_id on webex_config"));
        }
        let authorized = self
            .http_config
            .as_ref()
            .is_some_and(|http| http.authorization.is_some());
        if !authorized {
            return Err(Error::new(
                "missing webex_configs.http_config.authorization",
            ));
        }
        Ok(())
    }
}

settings! {
    /// `wechat_configs`.
    "wechat.plain" WechatConfig {
        /// Whether resolved alerts are sent.
        send_resolved: bool = false;
        /// How requests are made.
        http_config: Option<HttpConfig> = None, skip "unset";
        /// The secret.
        api_secret: Secret = Secret::default(), skip "unset";
        /// A file with it.
        api_secret_file: String = String::new(), skip "unset";
        /// The company.
        corp_id: String = String::new(), skip "unset";
        /// The text.
        message: String = r#"{{ template "wechat.default.message" . }}"#.into(), skip "unset";
        /// Where to.
        api_url: Option<HttpUrl> = None, skip "unset";
        /// Whom to.
        to_user: String = r#"{{ template "wechat.default.to_user" . }}"#.into(), skip "unset";
        /// Which departments.
        to_party: String = r#"{{ template "wechat.default.to_party" . }}"#.into(), skip "unset";
        /// Which tags.
        to_tag: String = r#"{{ template "wechat.default.to_tag" . }}"#.into(), skip "unset";
        /// The application.
        agent_id: String = r#"{{ template "wechat.default.agent_id" . }}"#.into(), skip "unset";
        /// `text` or `markdown`.
        message_type: String = String::new(), skip "unset";
    }
}

impl WechatConfig {
    pub(crate) fn validate(&mut self) -> Result<(), Error> {
        if self.message_type.is_empty() {
            "text".clone_into(&mut self.message_type);
        }
        if !["text", "markdown"].contains(&self.message_type.as_str()) {
            return Err(Error::new(format!(
                "weChat message type {} does not match valid options ^(text|markdown)$",
                golang::strconv::quote(&self.message_type)
            )));
        }
        Ok(())
    }
}
