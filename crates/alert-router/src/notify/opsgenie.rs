//! OpsGenie.

use std::collections::BTreeMap;

use yaml_config::Secret;

use std::sync::Arc;

use futures::future::BoxFuture;
use http::Method;
use serde_json::{Map, Value, json};

use super::http::{Http, secret, truncate, without_empty};
use super::render::{Render, Texts};
use super::{Failure, Memory, Notification, Notifier};
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

/// How long a message may be.
const MAX_MESSAGE: usize = 130;

/// Sends to OpsGenie.
pub struct OpsGenie {
    config: OpsGenieConfig,
    http: Http,
    render: Arc<dyn Render>,
}

impl OpsGenie {
    /// Makes the integration.
    ///
    /// # Errors
    /// What is wrong with `http_config`.
    pub fn new(config: OpsGenieConfig, render: Arc<dyn Render>) -> Result<OpsGenie, String> {
        let http = Http::new(config.http_config.as_ref(), None)?;
        Ok(OpsGenie {
            config,
            http,
            render,
        })
    }

    async fn send(&self, notification: &Notification) -> Result<Memory, Failure> {
        let texts = Texts::new(&*self.render, notification);
        let alias = notification.key_hash();
        let key = secret(&self.config.api_key, &self.config.api_key_file).await?;
        let authorization = format!("GenieKey {}", texts.text(&key)?);
        for (method, path, body) in self.requests(&texts, notification, &alias)? {
            let base = self.config.api_url.as_ref().map_or("", |url| url.as_str());
            let url = format!("{base}{path}");
            let headers = [("authorization", authorization.as_str())];
            let answer = self.http.send_json(method, &url, &body, &headers).await?;
            answer.check(&[429])?;
        }
        Ok(notification.memory.clone())
    }

    fn requests(
        &self,
        texts: &Texts<'_>,
        notification: &Notification,
        alias: &str,
    ) -> Result<Vec<(Method, String, Value)>, Failure> {
        let config = &self.config;
        let source = texts.text(&config.source)?;
        if notification.resolved() {
            let path = format!("v2/alerts/{alias}/close?identifierType=alias");
            return Ok(vec![(Method::POST, path, json!({"source": source}))]);
        }
        let mut details: Map<String, Value> = texts.data()["commonLabels"]
            .as_object()
            .cloned()
            .unwrap_or_default();
        for (name, template) in &config.details {
            details.insert(name.clone(), texts.text(template)?.into());
        }
        let message = truncate(texts.text(&config.message)?, MAX_MESSAGE);
        let description = texts.text(&config.description)?;
        let create = without_empty(
            json!({
                "alias": alias,
                "message": message,
                "description": description,
                "details": details,
                "source": source,
                "responders": self.responders(texts)?,
                "tags": list(&texts.text(&config.tags)?),
                "note": texts.text(&config.note)?,
                "priority": texts.text(&config.priority)?,
                "entity": texts.text(&config.entity)?,
                "actions": list(&texts.text(&config.actions)?),
            }),
            &["alias", "message", "details", "source"],
        );
        let mut requests = vec![(Method::POST, "v2/alerts".to_owned(), create)];
        if config.update_alerts {
            for (field, text) in [("message", message), ("description", description)] {
                let path = format!("v2/alerts/{alias}/{field}?identifierType=alias");
                let body = without_empty(json!({field: text}), &[]);
                requests.push((Method::PUT, path, body));
            }
        }
        Ok(requests)
    }

    fn responders(&self, texts: &Texts<'_>) -> Result<Vec<Value>, Failure> {
        let mut responders = Vec::new();
        for responder in &self.config.responders {
            let name = texts.text(&responder.name)?;
            let kind = texts.text(&responder.r#type)?.to_lowercase();
            if kind == "teams" {
                let teams = list(&name);
                responders.extend(
                    teams
                        .iter()
                        .map(|team| json!({"name": team, "type": "team"})),
                );
                continue;
            }
            let json = without_empty(
                json!({
                    "id": texts.text(&responder.id)?,
                    "name": name,
                    "username": texts.text(&responder.username)?,
                    "type": kind,
                }),
                &[],
            );
            // All empty: the template found nobody for this alert.
            if json
                .as_object()
                .is_some_and(|object| object.keys().any(|key| key != "type"))
            {
                responders.push(json);
            }
        }
        Ok(responders)
    }
}

/// The parts between commas, without empty ones.
fn list(text: &str) -> Vec<String> {
    let parts = text.trim().split(',').filter(|part| !part.is_empty());
    parts.map(str::to_owned).collect()
}

impl Notifier for OpsGenie {
    fn notify<'a>(&'a self, n: &'a Notification) -> BoxFuture<'a, Result<Memory, Failure>> {
        Box::pin(self.send(n))
    }
}
