//! OpsGenie.

use std::collections::BTreeMap;

use yaml_config::Secret;

use crate::config::scalars::HttpUrl;
use crate::config::settings::{settings, unset};
use crate::config::{Error, HttpConfig, at_most_one};

settings! {
    /// `opsgenie_configs`.
    "opsgenie.plain" OpsGenieConfig {
        /// Whether resolved alerts are sent.
        send_resolved: bool = true;
        /// How requests are made.
        http_config: Option<HttpConfig> = None, skip "unset";
        /// The key of an integration.
        api_key: Secret = Secret::default(), skip "unset";
        /// A file with it.
        api_key_file: String = String::new(), skip "unset";
        /// Where to.
        api_url: Option<HttpUrl> = None, skip "unset";
        /// The title.
        message: String = r#"{{ template "opsgenie.default.message" . }}"#.into(), skip "unset";
        /// What it is about.
        description: String = r#"{{ template "opsgenie.default.description" . }}"#.into(), skip "unset";
        /// Where it comes from.
        source: String = r#"{{ template "opsgenie.default.source" . }}"#.into(), skip "unset";
        /// More about it.
        details: BTreeMap<String, String> = BTreeMap::new(), skip "unset";
        /// The entity it is about.
        entity: String = String::new(), skip "unset";
        /// Who is to act.
        responders: Vec<Responder> = Vec::new(), skip "unset";
        /// Actions, separated by commas.
        actions: String = String::new(), skip "unset";
        /// Tags, separated by commas.
        tags: String = String::new(), skip "unset";
        /// A note.
        note: String = String::new(), skip "unset";
        /// P1 to P5.
        priority: String = String::new(), skip "unset";
        /// Whether message and description of an open alert follow the group.
        update_alerts: bool = false, skip "unset";
    }
}

settings! {
    /// Who is to act.
    "opsgenie.OpsGenieConfigResponder" Responder {
        /// An id.
        id: String = String::new(), skip "unset";
        /// Or a name.
        name: String = String::new(), skip "unset";
        /// Or a user.
        username: String = String::new(), skip "unset";
        /// `team`, `teams`, `user`, `escalation` or `schedule`.
        r#type: String = String::new(), skip "unset";
    }
}

const TYPES: [&str; 5] = ["team", "teams", "user", "escalation", "schedule"];

impl OpsGenieConfig {
    pub(crate) fn validate(&mut self) -> Result<(), Error> {
        at_most_one(&[
            ("api_key", !self.api_key.is_empty()),
            ("api_key_file", !self.api_key_file.is_empty()),
        ])?;
        self.responders.iter().try_for_each(Responder::validate)
    }
}

impl Responder {
    fn validate(&self) -> Result<(), Error> {
        // As Go prints the struct.
        let shown = format!(
            "{{{} {} {} {}}}",
            self.id, self.name, self.username, self.r#type
        );
        if self.id.is_empty() && self.username.is_empty() && self.name.is_empty() {
            return Err(Error::new(format!(
                "opsGenieConfig responder {shown} has to have at least one of id, username or name specified"
            )));
        }
        let template = self.r#type.contains("{{");
        if !template && !TYPES.contains(&self.r#type.to_lowercase().as_str()) {
            return Err(Error::new(format!(
                "opsGenieConfig responder {shown} type does not match valid options ^(team|teams|user|escalation|schedule)$"
            )));
        }
        Ok(())
    }
}
