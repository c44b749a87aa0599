//! Mattermost: incoming webhooks.

use std::sync::Arc;

use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::http::{Http, secret_file, truncate, without_empty};
use super::render::{Render, Texts};
use super::{Failure, Memory, Notification, Notifier};
use crate::config::scalars::SecretUrl;
use crate::config::settings::{settings, unset};
use crate::config::{Error, HttpConfig, at_most_one};

settings! {
    /// `mattermost_configs`.
    "mattermost.plain" MattermostConfig {
        /// Whether resolved alerts are sent.
        send_resolved: bool = true;
        /// How requests are made.
        http_config: Option<HttpConfig> = None, skip "unset";
        /// Where to.
        webhook_url: Option<SecretUrl> = None, skip "unset";
        /// A file with it.
        webhook_url_file: String = String::new(), skip "unset";
        /// The channel, if it is not the webhook's own.
        channel: String = String::new(), skip "unset";
        /// Who it seems to come from.
        username: String = r#"{{ template "mattermost.default.username" . }}"#.into(), skip "unset";
        /// The text.
        text: String = r#"{{ template "mattermost.default.text" . }}"#.into(), skip "unset";
        /// What is shown where attachments are not.
        fallback: String = r#"{{ template "mattermost.default.fallback" . }}"#.into(), skip "unset";
        /// The colour of the bar beside the attachment.
        color: String = r#"{{ template "mattermost.default.color" . }}"#.into(), skip "unset";
        /// Text above the attachment.
        pretext: String = String::new(), skip "unset";
        /// The author of the attachment.
        author_name: String = String::new(), skip "unset";
        /// A link to the author.
        author_link: String = String::new(), skip "unset";
        /// A picture of the author.
        author_icon: String = String::new(), skip "unset";
        /// The title of the attachment.
        title: String = r#"{{ template "mattermost.default.title" . }}"#.into(), skip "unset";
        /// Where the title leads.
        title_link: String = r#"{{ template "mattermost.default.titlelink" . }}"#.into(), skip "unset";
        /// Fields of the attachment.
        fields: Vec<MattermostField> = Vec::new(), skip "unset";
        /// A small picture.
        thumb_url: String = String::new(), skip "unset";
        /// The footer.
        footer: String = String::new(), skip "unset";
        /// A picture in the footer.
        footer_icon: String = String::new(), skip "unset";
        /// A picture below.
        image_url: String = String::new(), skip "unset";
        /// The icon as a picture.
        icon_url: String = String::new(), skip "unset";
        /// The icon as an emoji.
        icon_emoji: String = String::new(), skip "unset";
        /// Attachments instead of the one that the fields above make.
        attachments: Vec<MattermostAttachment> = Vec::new(), skip "unset";
        /// The type of the post.
        r#type: String = String::new(), skip "unset";
        /// Properties of the post.
        props: Option<MattermostProps> = None, skip "unset";
        /// The priority of the post.
        priority: Option<MattermostPriority> = None, skip "unset";
    }
}

settings! {
    /// A field of an attachment.
    "mattermost.plain" MattermostField {
        /// Its title.
        title: String = String::new(), skip "unset";
        /// Its value.
        value: String = String::new(), skip "unset";
        /// Whether it may stand beside another one.
        short: Option<bool> = None, skip "unset";
    }
}

settings! {
    /// An attachment.
    "mattermost.MattermostAttachment" MattermostAttachment {
        /// See [`MattermostConfig`], for all of these.
        fallback: String = String::new(), skip "unset";
        /// The colour of the bar.
        color: String = String::new(), skip "unset";
        /// Text above.
        pretext: String = String::new(), skip "unset";
        /// The text.
        text: String = String::new(), skip "unset";
        /// The author.
        author_name: String = String::new(), skip "unset";
        /// A link to the author.
        author_link: String = String::new(), skip "unset";
        /// A picture of the author.
        author_icon: String = String::new(), skip "unset";
        /// The title.
        title: String = String::new(), skip "unset";
        /// Where the title leads.
        title_link: String = String::new(), skip "unset";
        /// Fields.
        fields: Vec<MattermostField> = Vec::new(), skip "unset";
        /// A small picture.
        thumb_url: String = String::new(), skip "unset";
        /// The footer.
        footer: String = String::new(), skip "unset";
        /// A picture in the footer.
        footer_icon: String = String::new(), skip "unset";
        /// A picture below.
        image_url: String = String::new(), skip "unset";
    }
}

settings! {
    /// Properties of a post.
    "mattermost.MattermostProps" MattermostProps {
        /// Text for the sidebar.
        card: String = String::new(), skip "unset";
    }
}

settings! {
    /// The priority of a post.
    "mattermost.MattermostPriority" MattermostPriority {
        /// `important` or `urgent`.
        priority: String = String::new(), skip "unset";
        /// Whether readers are to acknowledge it.
        requested_ack: bool = false, skip "unset";
        /// Whether it keeps notifying.
        persistent_notifications: bool = false, skip "unset";
    }
}

impl MattermostConfig {
    pub(crate) fn validate(&mut self) -> Result<(), Error> {
        let attachments = self.attachments.iter().flat_map(|a| &a.fields);
        for field in self.fields.iter().chain(attachments) {
            if field.title.is_empty() {
                return Err(Error::new(
                    "missing title in Mattermost field configuration",
                ));
            }
            if field.value.is_empty() {
                return Err(Error::new(
                    "missing value in Mattermost field configuration",
                ));
            }
        }
        at_most_one(&[
            ("webhook_url", self.webhook_url.is_some()),
            ("webhook_url_file", !self.webhook_url_file.is_empty()),
        ])
    }
}

/// How long a text may be.
const MAX_TEXT: usize = 16_383;

/// Sends to Mattermost.
pub struct Mattermost {
    config: MattermostConfig,
    http: Http,
    render: Arc<dyn Render>,
}

impl Mattermost {
    /// Makes the integration.
    ///
    /// # Errors
    /// What is wrong with `http_config`.
    pub fn new(config: MattermostConfig, render: Arc<dyn Render>) -> Result<Mattermost, String> {
        let http = Http::new(config.http_config.as_ref(), None)?;
        Ok(Mattermost {
            config,
            http,
            render,
        })
    }

    async fn send(&self, notification: &Notification) -> Result<Memory, Failure> {
        let texts = Texts::new(&*self.render, notification);
        let config = &self.config;
        let attachments: Vec<Value> = if config.attachments.is_empty() {
            vec![attachment(&own_attachment(config), &texts)?]
        } else {
            let attachments = config.attachments.iter();
            attachments
                .map(|a| attachment(a, &texts))
                .collect::<Result<_, Failure>>()?
        };
        let text = if config.attachments.is_empty() {
            ""
        } else {
            &config.text
        };
        let channel = texts.text(&config.channel)?;
        let mut message = json!({
            "text": truncate(texts.text(text)?, MAX_TEXT),
            "channel": channel,
            "username": texts.text(&config.username)?,
            "icon_url": texts.text(&config.icon_url)?,
            "icon_emoji": texts.text(&config.icon_emoji)?,
            "attachments": attachments,
            "type": texts.text(&config.r#type)?,
        });
        if let Some(props) = &config.props {
            message["props"] = without_empty(json!({"card": texts.text(&props.card)?}), &[]);
        }
        if let Some(priority) = &config.priority {
            message["priority"] = priority_json(priority, &texts)?;
        }
        let message = without_empty(message, &[]);
        let url = match &config.webhook_url {
            Some(url) => url.expose().to_owned(),
            None => secret_file(&config.webhook_url_file).await?,
        };
        let answer = self.http.post_json(&url, &message).await?;
        answer.check(&[429]).map_err(|failure| Failure {
            message: format!("channel {}: {failure}", golang::strconv::quote(&channel)),
            ..failure
        })?;
        Ok(notification.memory.clone())
    }
}

/// The attachment that the fields of the integration itself describe.
fn own_attachment(config: &MattermostConfig) -> MattermostAttachment {
    MattermostAttachment {
        fallback: config.fallback.clone(),
        color: config.color.clone(),
        pretext: config.pretext.clone(),
        text: config.text.clone(),
        author_name: config.author_name.clone(),
        author_link: config.author_link.clone(),
        author_icon: config.author_icon.clone(),
        title: config.title.clone(),
        title_link: config.title_link.clone(),
        fields: config.fields.clone(),
        thumb_url: config.thumb_url.clone(),
        footer: config.footer.clone(),
        footer_icon: config.footer_icon.clone(),
        image_url: config.image_url.clone(),
    }
}

fn attachment(config: &MattermostAttachment, texts: &Texts<'_>) -> Result<Value, Failure> {
    let fields: Result<Vec<Value>, Failure> = config
        .fields
        .iter()
        .map(|field| {
            let (title, value) = (texts.text(&field.title)?, texts.text(&field.value)?);
            let mut out = json!({"title": title, "value": value});
            if let Some(short) = field.short {
                out["short"] = short.into();
            }
            Ok(out)
        })
        .collect();
    Ok(without_empty(
        json!({
            "fallback": texts.text(&config.fallback)?,
            "color": texts.text(&config.color)?,
            "pretext": texts.text(&config.pretext)?,
            "text": truncate(texts.text(&config.text)?, MAX_TEXT),
            "author_name": texts.text(&config.author_name)?,
            "author_link": texts.text(&config.author_link)?,
            "author_icon": texts.text(&config.author_icon)?,
            "title": texts.text(&config.title)?,
            "title_link": texts.text(&config.title_link)?,
            "fields": fields?,
            "thumb_url": texts.text(&config.thumb_url)?,
            "footer": texts.text(&config.footer)?,
            "footer_icon": texts.text(&config.footer_icon)?,
            "image_url": texts.text(&config.image_url)?,
        }),
        &[],
    ))
}

/// Mattermost refuses acknowledgements of standard posts and persistence of all but urgent ones.
fn priority_json(config: &MattermostPriority, texts: &Texts<'_>) -> Result<Value, Failure> {
    let mut priority = texts.text(&config.priority)?.to_lowercase();
    if !["urgent", "important", "standard"].contains(&priority.as_str()) {
        "standard".clone_into(&mut priority);
    }
    let mut out = json!({"priority": priority});
    if config.requested_ack && priority != "standard" {
        out["requested_ack"] = true.into();
    }
    if config.persistent_notifications && priority == "urgent" {
        out["persistent_notifications"] = true.into();
    }
    Ok(out)
}

impl Notifier for Mattermost {
    fn notify<'a>(&'a self, n: &'a Notification) -> BoxFuture<'a, Result<Memory, Failure>> {
        Box::pin(self.send(n))
    }
}
