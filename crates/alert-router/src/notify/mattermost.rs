//! Mattermost: incoming webhooks.

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
