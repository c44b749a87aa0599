//! Slack: incoming webhooks and the web API with an app token.

use std::sync::Arc;

use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::http::{Http, secret_file, truncate, without_empty};
use super::render::{Render, Texts};
use super::{Failure, FailureReason, Memory, Notification, Notifier};
use crate::config::scalars::{GoDuration, HttpUrl, SecretUrl};
use crate::config::settings::{settings, unset};
use crate::config::{Error, HttpConfig, at_most_one};
use crate::nflog;
use yaml_config::Secret;

settings! {
    /// `slack_configs`.
    "slack.plain" SlackConfig {
        /// Whether resolved alerts are sent.
        send_resolved: bool = false;
        /// How requests are made.
        http_config: Option<HttpConfig> = None, skip "unset";
        /// The URL of an incoming webhook.
        api_url: Option<SecretUrl> = None, skip "unset";
        /// A file with it.
        api_url_file: String = String::new(), skip "unset";
        /// The token of an app.
        app_token: Secret = Secret::default(), skip "unset";
        /// A file with it.
        app_token_file: String = String::new(), skip "unset";
        /// The method that posts messages with a token.
        app_url: Option<HttpUrl> = None, skip "unset";
        /// Where to: `#channel` or `@user`.
        channel: String = String::new(), skip "unset";
        /// Who it seems to come from.
        username: String = r#"{{ template "slack.default.username" . }}"#.into(), skip "unset";
        /// The colour of the bar beside the message.
        color: String = r#"{{ template "slack.default.color" . }}"#.into(), skip "unset";
        /// The title.
        title: String = r#"{{ template "slack.default.title" . }}"#.into(), skip "unset";
        /// Where the title leads.
        title_link: String = r#"{{ template "slack.default.titlelink" . }}"#.into(), skip "unset";
        /// Text above the attachment.
        pretext: String = r#"{{ template "slack.default.pretext" . }}"#.into(), skip "unset";
        /// The text.
        text: String = r#"{{ template "slack.default.text" . }}"#.into(), skip "unset";
        /// The text of the message itself, beside the attachment.
        message_text: String = String::new(), skip "unset";
        /// Fields.
        fields: Vec<SlackField> = Vec::new(), skip "unset";
        /// Whether fields are short unless they say otherwise.
        short_fields: bool = false;
        /// The footer.
        footer: String = r#"{{ template "slack.default.footer" . }}"#.into(), skip "unset";
        /// The text of notifications on telephones.
        fallback: String = r#"{{ template "slack.default.fallback" . }}"#.into(), skip "unset";
        /// The id that actions report.
        callback_id: String = r#"{{ template "slack.default.callbackid" . }}"#.into(), skip "unset";
        /// The icon as an emoji.
        icon_emoji: String = r#"{{ template "slack.default.iconemoji" . }}"#.into(), skip "unset";
        /// The icon as a picture.
        icon_url: String = r#"{{ template "slack.default.iconurl" . }}"#.into(), skip "unset";
        /// A picture below.
        image_url: String = String::new(), skip "unset";
        /// A small picture.
        thumb_url: String = String::new(), skip "unset";
        /// Whether names become links.
        link_names: bool = false;
        /// Which parts are formatted.
        mrkdwn_in: Vec<String> = Vec::new(), skip "unset";
        /// Buttons.
        actions: Vec<SlackAction> = Vec::new(), skip "unset";
        /// Whether the group's message is changed instead of a new one sent; needs a token.
        update_message: bool = false;
        /// How long a request may take; 0 is no bound.
        timeout: GoDuration = GoDuration::default();
    }
}

settings! {
    /// A field of a message.
    "slack.plain" SlackField {
        /// Its title.
        title: String = String::new(), skip "unset";
        /// Its value.
        value: String = String::new(), skip "unset";
        /// Whether it may stand beside another one.
        short: Option<bool> = None, skip "unset";
    }
}

settings! {
    /// A button of a message.
    "slack.plain" SlackAction {
        /// `button`.
        r#type: String = String::new(), skip "unset";
        /// What stands on it.
        text: String = String::new(), skip "unset";
        /// Where it leads.
        url: String = String::new(), skip "unset";
        /// How it looks.
        style: String = String::new(), skip "unset";
        /// The name of a message action.
        name: String = String::new(), skip "unset";
        /// The value of a message action.
        value: String = String::new(), skip "unset";
        /// What is asked before.
        confirm: Option<SlackConfirmation> = None, skip "unset";
    }
}

settings! {
    /// What is asked before an action is taken.
    "slack.plain" SlackConfirmation {
        /// The question.
        text: String = String::new(), skip "unset";
        /// Its title.
        title: String = String::new(), skip "unset";
        /// What stands on the one button.
        ok_text: String = String::new(), skip "unset";
        /// What stands on the other button.
        dismiss_text: String = String::new(), skip "unset";
    }
}

/// The method that can change a message; what `update_message` asks for.
const POST_MESSAGE: &str = "https://slack.com/api/chat.postMessage";

impl SlackConfig {
    pub(crate) fn validate(&mut self) -> Result<(), Error> {
        self.fields.iter().try_for_each(SlackField::validate)?;
        self.actions
            .iter_mut()
            .try_for_each(SlackAction::validate)?;
        let url = self.api_url.is_some();
        let url_file = !self.api_url_file.is_empty();
        let token = !self.app_token.is_empty();
        let token_file = !self.app_token_file.is_empty();
        at_most_one(&[("api_url", url), ("api_url_file", url_file)])?;
        at_most_one(&[("app_token", token), ("app_token_file", token_file)])?;
        if (url || url_file) && (token || token_file) {
            return Err(Error::new(
                "at most one of api_url/api_url_file & app_token/app_token_file must be configured",
            ));
        }
        let posts = self
            .api_url
            .as_ref()
            .is_some_and(|url| url.expose() == POST_MESSAGE);
        if self.update_message && !posts && !(token || token_file) {
            return Err(Error::new(format!(
                "update_message can only be used with bot tokens. api_url must be set to {POST_MESSAGE}"
            )));
        }
        Ok(())
    }
}

impl SlackField {
    fn validate(&self) -> Result<(), Error> {
        if self.title.is_empty() {
            return Err(Error::new("missing title in Slack field configuration"));
        }
        if self.value.is_empty() {
            return Err(Error::new("missing value in Slack field configuration"));
        }
        Ok(())
    }
}

impl SlackAction {
    fn validate(&mut self) -> Result<(), Error> {
        if self.r#type.is_empty() {
            return Err(Error::new("missing type in Slack action configuration"));
        }
        if self.text.is_empty() {
            return Err(Error::new("missing text in Slack action configuration"));
        }
        if !self.url.is_empty() {
            // A link; what belongs to message actions goes.
            self.name.clear();
            self.value.clear();
            self.confirm = None;
        } else if self.name.is_empty() {
            return Err(Error::new(
                "missing name or url in Slack action configuration",
            ));
        }
        if self
            .confirm
            .as_ref()
            .is_some_and(|confirm| confirm.text.is_empty())
        {
            return Err(Error::new(
                "missing text in Slack confirmation configuration",
            ));
        }
        Ok(())
    }
}

/// How long a title may be (Slack's documentation of attachments).
const MAX_TITLE: usize = 1024;

/// Sends to Slack.
pub struct Slack {
    config: SlackConfig,
    http: Http,
    render: Arc<dyn Render>,
}

impl Slack {
    /// Makes the integration.
    ///
    /// # Errors
    /// What is wrong with `http_config`.
    pub fn new(config: SlackConfig, render: Arc<dyn Render>) -> Result<Slack, String> {
        let http = Http::new(config.http_config.as_ref(), config.timeout.bound())?;
        Ok(Slack {
            config,
            http,
            render,
        })
    }

    fn attachment(&self, texts: &Texts<'_>) -> Result<Value, Failure> {
        let config = &self.config;
        let marked = if config.mrkdwn_in.is_empty() {
            ["fallback", "pretext", "text"].map(str::to_owned).to_vec()
        } else {
            config.mrkdwn_in.clone()
        };
        let fields: Result<Vec<Value>, Failure> = config
            .fields
            .iter()
            .map(|field| {
                Ok(json!({
                    "title": texts.text(&field.title)?,
                    "value": texts.text(&field.value)?,
                    "short": field.short.unwrap_or(config.short_fields),
                }))
            })
            .collect();
        let actions: Result<Vec<Value>, Failure> = config
            .actions
            .iter()
            .map(|action| action_json(action, texts))
            .collect();
        Ok(without_empty(
            json!({
                "title": truncate(texts.text(&config.title)?, MAX_TITLE),
                "title_link": texts.text(&config.title_link)?,
                "pretext": texts.text(&config.pretext)?,
                "text": texts.text(&config.text)?,
                "fallback": texts.text(&config.fallback)?,
                "callback_id": texts.text(&config.callback_id)?,
                "fields": fields?,
                "actions": actions?,
                "image_url": texts.text(&config.image_url)?,
                "thumb_url": texts.text(&config.thumb_url)?,
                "footer": texts.text(&config.footer)?,
                "color": texts.text(&config.color)?,
                "mrkdwn_in": marked,
            }),
            &["text", "fallback", "callback_id", "footer"],
        ))
    }

    async fn send(&self, notification: &Notification) -> Result<Memory, Failure> {
        let texts = Texts::new(&*self.render, notification);
        let config = &self.config;
        let mut channel = texts.text(&config.channel)?;
        let mut request = json!({
            "username": texts.text(&config.username)?,
            "icon_emoji": texts.text(&config.icon_emoji)?,
            "icon_url": texts.text(&config.icon_url)?,
            "text": texts.text(&config.message_text)?,
            "attachments": [self.attachment(&texts)?],
        });
        if config.link_names {
            request["link_names"] = true.into();
        }
        let mut url = match &config.api_url {
            Some(url) => url.expose().to_owned(),
            None => secret_file(&config.api_url_file).await?,
        };
        // A message that is there already is changed instead of a new one sent.
        let known = |key| match notification.memory.get(key) {
            Some(nflog::Value::Text(text)) => Some(text.clone()),
            _ => None,
        };
        if config.update_message
            && let (Some(ts), Some(id)) = (known(TS), known(CHANNEL_ID))
        {
            request["ts"] = ts.into();
            channel = id;
            url = url.replace("chat.postMessage", "chat.update");
        }
        request["channel"] = channel.clone().into();
        let request = without_empty(request, &["attachments"]);
        let in_channel = |failure: Failure| Failure {
            message: format!("channel {}: {failure}", golang::strconv::quote(&channel)),
            ..failure
        };
        let answer = self.http.post_json(&url, &request).await?;
        let answer = answer.check(&[429]).map_err(in_channel)?;
        if !answer.content_type.starts_with("application/json") {
            // Incoming webhooks answer in plain text.
            if answer.body == "ok" {
                return Ok(notification.memory.clone());
            }
            let text = format!("received an error response from Slack: {}", answer.body);
            return Err(in_channel(
                Failure::lasting(text).because(FailureReason::ClientError),
            ));
        }
        let mut memory = notification.memory.clone();
        let message = check_json(&answer.body).map_err(in_channel)?;
        if config.update_message {
            for (key, field) in [(TS, "ts"), (CHANNEL_ID, "channel")] {
                if let Some(text) = message[field].as_str() {
                    memory.insert(key.to_owned(), nflog::Value::Text(text.to_owned()));
                }
            }
        }
        Ok(memory)
    }
}

/// What is remembered of a message, under upstream's names.
const TS: &str = "threadTs";
const CHANNEL_ID: &str = "channelId";

/// Slack's web API reports errors in the body, with status 200.
fn check_json(body: &str) -> Result<Value, Failure> {
    let message: Value = serde_json::from_str(body).map_err(|e| {
        let body = golang::strconv::quote(body);
        Failure::passing(format!("could not unmarshal JSON response {body}: {e}"))
    })?;
    if message["ok"] == true {
        return Ok(message);
    }
    let error = message["error"].as_str().unwrap_or("");
    let reason = match error {
        "ratelimited" | "rate_limited" => FailureReason::RateLimited,
        "invalid_auth" | "not_authed" | "token_revoked" => FailureReason::AuthError,
        _ => FailureReason::ClientError,
    };
    let failure = Failure::lasting(format!("error response from Slack: {error}")).because(reason);
    Err(Failure {
        retry: reason == FailureReason::RateLimited,
        ..failure
    })
}

fn action_json(action: &SlackAction, texts: &Texts<'_>) -> Result<Value, Failure> {
    let mut out = json!({
        "type": texts.text(&action.r#type)?,
        "text": texts.text(&action.text)?,
        "url": texts.text(&action.url)?,
        "style": texts.text(&action.style)?,
        "name": texts.text(&action.name)?,
        "value": texts.text(&action.value)?,
    });
    if let Some(confirm) = &action.confirm {
        let confirm = json!({
            "title": texts.text(&confirm.title)?,
            "text": texts.text(&confirm.text)?,
            "ok_text": texts.text(&confirm.ok_text)?,
            "dismiss_text": texts.text(&confirm.dismiss_text)?,
        });
        out["confirm"] = without_empty(confirm, &[]);
    }
    Ok(without_empty(out, &[]))
}

impl Notifier for Slack {
    fn notify<'a>(&'a self, n: &'a Notification) -> BoxFuture<'a, Result<Memory, Failure>> {
        Box::pin(self.send(n))
    }
}
