//! What notification templates see (prometheus/alertmanager `template/template.go`): [`Data`] and
//! the types in it, with their methods.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use golang::time::{RFC3339, RFC3339_NANO, Time};
use gotemplate::{Function, JsonObject, Object, Param, Value};
use model::Labels;
use serde::{Deserialize, Deserializer};

/// A notification's content.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Data {
    /// The receiver's name, quoted as for a regular expression.
    pub receiver: String,
    /// `firing` if any alert is, else `resolved`.
    pub status: String,
    pub alerts: Alerts,
    /// Why the notification is sent.
    #[serde(rename = "notification_reason")]
    pub notification_reason: String,
    pub group_labels: Kv,
    pub common_labels: Kv,
    pub common_annotations: Kv,
    /// The route's labels; their values are templates.
    pub route_labels: Kv,
    #[serde(rename = "externalURL")]
    pub external_url: String,
}

/// One alert of a notification.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Alert {
    /// `firing` or `resolved`.
    pub status: String,
    pub labels: Kv,
    pub annotations: Kv,
    #[serde(deserialize_with = "read_time")]
    pub starts_at: Time,
    /// Go's zero time while there is no end.
    #[serde(deserialize_with = "read_time")]
    pub ends_at: Time,
    #[serde(rename = "generatorURL")]
    pub generator_url: String,
    /// The labels' hash, 16 hexadecimal digits.
    pub fingerprint: String,
}

/// The alerts of a notification.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Alerts(pub Vec<Alert>);

/// Texts by name; like Go's maps it may also be no map at all, which JSON shows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Kv(Option<Arc<BTreeMap<String, String>>>);

/// A name and a text.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    pub name: String,
    pub value: String,
}

/// Names and texts in order.
#[derive(Debug, Clone, PartialEq)]
pub struct Pairs(pub Vec<Pair>);

/// An alert as the router has it, to build [`Data`] from.
#[derive(Debug, Clone)]
pub struct AlertInput<'a> {
    pub labels: &'a Labels,
    pub annotations: &'a Labels,
    pub starts_at: Time,
    /// Go's zero time while there is no end.
    pub ends_at: Time,
    pub generator_url: &'a str,
}

fn read_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Time, D::Error> {
    let text = String::deserialize(deserializer)?;
    Time::parse(RFC3339, &text).map_err(serde::de::Error::custom)
}

impl<'de> Deserialize<'de> for Alerts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Alerts, D::Error> {
        let alerts = Option::<Vec<Alert>>::deserialize(deserializer)?;
        Ok(Alerts(alerts.unwrap_or_default()))
    }
}

impl<'de> Deserialize<'de> for Kv {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Kv, D::Error> {
        let map = Option::<BTreeMap<String, String>>::deserialize(deserializer)?;
        Ok(Kv(map.map(Arc::new)))
    }
}

impl FromIterator<(String, String)> for Kv {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Kv {
        Kv(Some(Arc::new(pairs.into_iter().collect())))
    }
}

impl From<&Labels> for Kv {
    fn from(labels: &Labels) -> Kv {
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        labels.iter().map(owned).collect()
    }
}

impl Kv {
    /// The text of a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.as_ref()?.get(name).map(String::as_str)
    }

    /// All pairs by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let pairs = self.0.iter().flat_map(|map| map.iter());
        pairs.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// All pairs, `alertname` first and the others by name.
    pub fn sorted_pairs(&self) -> Pairs {
        let pair = |(name, value): (&str, &str)| Pair {
            name: name.to_owned(),
            value: value.to_owned(),
        };
        let mut pairs: Vec<Pair> = self.iter().map(pair).collect();
        pairs.sort_by_key(|pair| pair.name != model::labels::ALERT_NAME);
        Pairs(pairs)
    }

    /// The pairs as an object's fields, if it is a map at all.
    fn to_json(&self) -> Option<impl FnOnce(&mut JsonObject<'_>)> {
        let pairs = self.0.as_ref()?;
        Some(|out: &mut JsonObject<'_>| {
            for (name, value) in pairs.iter() {
                out.text(name, value);
            }
        })
    }

    /// The pairs that both have.
    fn common(&self, other: &Kv) -> Kv {
        let same = |(name, value): &(&str, &str)| other.get(name) == Some(value);
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        self.iter().filter(same).map(owned).collect()
    }
}

impl Data {
    /// A notification of a group's alerts, as of `now`.
    pub fn new<'a>(
        receiver: &str,
        group_labels: &Labels,
        route_labels: Kv,
        notification_reason: &str,
        external_url: &str,
        alerts: impl IntoIterator<Item = AlertInput<'a>>,
        now: &Time,
    ) -> Data {
        let alert = |input: AlertInput<'a>| {
            let resolved = !input.ends_at.is_zero() && !now.before(&input.ends_at);
            Alert {
                status: if resolved { "resolved" } else { "firing" }.to_owned(),
                labels: input.labels.into(),
                annotations: input.annotations.into(),
                starts_at: input.starts_at,
                ends_at: input.ends_at,
                generator_url: input.generator_url.to_owned(),
                fingerprint: format!("{:016x}", input.labels.fingerprint()),
            }
        };
        let alerts: Vec<Alert> = alerts.into_iter().map(alert).collect();
        let common = |of: fn(&Alert) -> &Kv| {
            let common = alerts
                .iter()
                .map(|alert| of(alert).clone())
                .reduce(|common, next| common.common(&next));
            common.unwrap_or_else(|| Kv::from_iter([]))
        };
        let firing = alerts.iter().any(|alert| alert.status == "firing");
        let status = if firing { "firing" } else { "resolved" };
        Data {
            receiver: quote_meta(receiver),
            status: status.to_owned(),
            notification_reason: notification_reason.to_owned(),
            group_labels: group_labels.into(),
            common_labels: common(|alert| &alert.labels),
            common_annotations: common(|alert| &alert.annotations),
            route_labels: Kv::from_iter(
                route_labels
                    .iter()
                    .map(|(name, value)| (name.to_owned(), value.to_owned())),
            ),
            external_url: external_url.to_owned(),
            alerts: Alerts(alerts),
        }
    }

    /// The dot of the templates.
    pub fn to_value(&self) -> Value {
        Value::object(self.clone())
    }

    /// The JSON that webhooks are sent, byte for byte as Go writes it.
    ///
    /// # Errors
    /// Never: all of it is text and times.
    pub fn to_json(&self) -> Result<String, String> {
        gotemplate::to_json(&self.to_value())
    }
}

impl Alert {
    fn to_json(&self, out: &mut JsonObject<'_>) {
        out.text("status", &self.status);
        out.object("labels", self.labels.to_json());
        out.object("annotations", self.annotations.to_json());
        out.text("startsAt", &self.starts_at.format(RFC3339_NANO));
        out.text("endsAt", &self.ends_at.format(RFC3339_NANO));
        out.text("generatorURL", &self.generator_url);
        out.text("fingerprint", &self.fingerprint);
    }
}

/// Go's `regexp.QuoteMeta`.
fn quote_meta(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn getter(value: Value) -> Option<Function<'static>> {
    Some(Function::new([], move |_| Ok(value.clone())))
}

impl Object for Data {
    fn type_name(&self) -> &'static str {
        "*template.Data"
    }

    fn fields(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("Receiver", self.receiver.as_str().into()),
            ("Status", self.status.as_str().into()),
            ("Alerts", Value::object(self.alerts.clone())),
            (
                "NotificationReason",
                self.notification_reason.as_str().into(),
            ),
            ("GroupLabels", Value::object(self.group_labels.clone())),
            ("CommonLabels", Value::object(self.common_labels.clone())),
            (
                "CommonAnnotations",
                Value::object(self.common_annotations.clone()),
            ),
            ("RouteLabels", Value::object(self.route_labels.clone())),
            ("ExternalURL", self.external_url.as_str().into()),
        ]
    }

    fn write_json(&self, out: &mut JsonObject<'_>) -> bool {
        out.text("receiver", &self.receiver);
        out.text("status", &self.status);
        let alerts = self.alerts.0.iter();
        out.list(
            "alerts",
            alerts.map(|alert| |out: &mut JsonObject<'_>| alert.to_json(out)),
        );
        out.text("notification_reason", &self.notification_reason);
        for (name, pairs) in [
            ("groupLabels", &self.group_labels),
            ("commonLabels", &self.common_labels),
            ("commonAnnotations", &self.common_annotations),
            ("routeLabels", &self.route_labels),
        ] {
            out.object(name, pairs.to_json());
        }
        out.text("externalURL", &self.external_url);
        true
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Object for Alert {
    fn type_name(&self) -> &'static str {
        "template.Alert"
    }

    fn fields(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("Status", self.status.as_str().into()),
            ("Labels", Value::object(self.labels.clone())),
            ("Annotations", Value::object(self.annotations.clone())),
            ("StartsAt", self.starts_at.clone().into()),
            ("EndsAt", self.ends_at.clone().into()),
            ("GeneratorURL", self.generator_url.as_str().into()),
            ("Fingerprint", self.fingerprint.as_str().into()),
        ]
    }

    fn write_json(&self, out: &mut JsonObject<'_>) -> bool {
        self.to_json(out);
        true
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Alerts {
    fn with_status(&self, status: &str) -> Value {
        let alerts = self.0.iter().filter(|alert| alert.status == status);
        Value::typed_list("[]template.Alert", alerts.cloned().map(Value::object))
    }
}

impl Object for Alerts {
    fn type_name(&self) -> &'static str {
        "template.Alerts"
    }

    fn underlying(&self) -> Option<Value> {
        let alerts = self.0.iter().cloned().map(Value::object);
        Some(Value::typed_list("template.Alerts", alerts))
    }

    fn method(&self, name: &str) -> Option<Function<'static>> {
        match name {
            "Firing" => getter(self.with_status("firing")),
            "Resolved" => getter(self.with_status("resolved")),
            _ => None,
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Object for Kv {
    fn type_name(&self) -> &'static str {
        "template.KV"
    }

    fn underlying(&self) -> Option<Value> {
        Some(Value::string_map(self.iter()))
    }

    fn json(&self) -> Option<Value> {
        // A map that is none shows as such.
        self.0.is_none().then_some(Value::Nil)
    }

    fn write_json(&self, out: &mut JsonObject<'_>) -> bool {
        self.to_json().map(|write| write(out)).is_some()
    }

    fn text(&self) -> Option<String> {
        self.sorted_pairs().text()
    }

    fn method(&self, name: &str) -> Option<Function<'static>> {
        let pairs = || self.sorted_pairs();
        match name {
            "SortedPairs" => getter(Value::object(pairs())),
            "Names" => getter(pairs().names()),
            "Values" => getter(pairs().values()),
            "String" => getter(pairs().text().unwrap_or_default().into()),
            "Remove" => {
                let this = self.clone();
                let names = Param::Type("[]string");
                Some(Function::new([names], move |args| {
                    let Value::List(list) = args[0].plain() else {
                        return Ok(Value::object(this.clone()));
                    };
                    let named = |name: &str| list.items.iter().any(|i| i.as_str() == Some(name));
                    let kept = this.iter().filter(|(name, _)| !named(name));
                    let kept: Kv = kept
                        .map(|(name, value)| (name.to_owned(), value.to_owned()))
                        .collect();
                    Ok(Value::object(kept))
                }))
            }
            _ => None,
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Pairs {
    fn names(&self) -> Value {
        Value::strings(self.0.iter().map(|pair| pair.name.as_str()))
    }

    fn values(&self) -> Value {
        Value::strings(self.0.iter().map(|pair| pair.value.as_str()))
    }
}

impl Object for Pairs {
    fn type_name(&self) -> &'static str {
        "template.Pairs"
    }

    fn underlying(&self) -> Option<Value> {
        let pairs = self.0.iter().cloned().map(Value::object);
        Some(Value::typed_list("template.Pairs", pairs))
    }

    fn text(&self) -> Option<String> {
        let shown = |pair: &Pair| format!("{}={}", pair.name, pair.value);
        let pairs: Vec<String> = self.0.iter().map(shown).collect();
        Some(pairs.join(", "))
    }

    fn method(&self, name: &str) -> Option<Function<'static>> {
        match name {
            "Names" => getter(self.names()),
            "Values" => getter(self.values()),
            "String" => getter(self.text().unwrap_or_default().into()),
            _ => None,
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Object for Pair {
    fn type_name(&self) -> &'static str {
        "template.Pair"
    }

    fn fields(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("Name", self.name.as_str().into()),
            ("Value", self.value.as_str().into()),
        ]
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
