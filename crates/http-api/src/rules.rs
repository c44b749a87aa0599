//! `/api/v1/rules` and `/api/v1/alerts`: shapes, filters and pages, shared by scraper-store (which
//! gets the groups over gRPC) and rule-evaluator (which owns them).

mod view;

use model::{Labels, Matcher};
use serde::{Serialize, Serializer};

use crate::{ApiError, Params};

pub use view::view;

/// A rule group and its state.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleGroup {
    pub name: String,
    pub file: String,
    pub rules: Vec<Rule>,
    /// Seconds.
    pub interval: f64,
    pub limit: i64,
    /// Seconds.
    pub evaluation_time: f64,
    #[serde(serialize_with = "rfc3339")]
    pub last_evaluation: Option<i64>,
    /// Thanos' word; for gRPC, which shows it.
    #[serde(skip)]
    pub partial_response: rules::PartialResponse,
}

/// A rule of either kind.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Rule {
    Alerting(AlertingRule),
    Recording(RecordingRule),
}

/// An alerting rule and its alerts.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AlertingRule {
    /// The state of the worst alert: `unknown`, `inactive`, `pending` or `firing`.
    pub state: String,
    pub name: String,
    pub query: String,
    /// Seconds of `for`.
    pub duration: f64,
    /// Seconds of `keep_firing_for`.
    pub keep_firing_for: f64,
    pub labels: Labels,
    pub annotations: Labels,
    /// `None` where alerts were not asked for.
    pub alerts: Option<Vec<ActiveAlert>>,
    /// `ok`, `err` or `unknown`.
    pub health: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub last_error: String,
    /// Seconds.
    pub evaluation_time: f64,
    #[serde(serialize_with = "rfc3339")]
    pub last_evaluation: Option<i64>,
    #[serde(rename = "type")]
    pub kind: AlertingKind,
}

/// A recording rule.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordingRule {
    pub name: String,
    pub query: String,
    pub labels: Labels,
    /// `ok`, `err` or `unknown`.
    pub health: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub last_error: String,
    /// Seconds.
    pub evaluation_time: f64,
    #[serde(serialize_with = "rfc3339")]
    pub last_evaluation: Option<i64>,
    #[serde(rename = "type")]
    pub kind: RecordingKind,
}

/// The word `alerting`.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertingKind {
    #[default]
    Alerting,
}

/// The word `recording`.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RecordingKind {
    #[default]
    Recording,
}

/// An alert that is pending or firing.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ActiveAlert {
    pub labels: Labels,
    pub annotations: Labels,
    pub state: String,
    #[serde(serialize_with = "rfc3339")]
    pub active_at: Option<i64>,
    #[serde(serialize_with = "rfc3339", skip_serializing_if = "Option::is_none")]
    pub keep_firing_since: Option<i64>,
    /// Go's `%e` of the value.
    pub value: String,
}

/// A moment in ms as Go prints times; `None` is Go's zero time.
fn rfc3339<S: Serializer>(ms: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
    match ms.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok()) {
        Some(time) => serializer.collect_str(&time),
        None => serializer.serialize_str("0001-01-01T00:00:00Z"),
    }
}

impl Rule {
    fn name(&self) -> &str {
        match self {
            Rule::Alerting(rule) => &rule.name,
            Rule::Recording(rule) => &rule.name,
        }
    }

    fn labels(&self) -> &Labels {
        match self {
            Rule::Alerting(rule) => &rule.labels,
            Rule::Recording(rule) => &rule.labels,
        }
    }
}

/// What a request for rules asks for.
#[derive(Clone, Debug, Default)]
pub struct RulesQuery {
    alerting: bool,
    recording: bool,
    names: Vec<String>,
    groups: Vec<String>,
    files: Vec<String>,
    matchers: Vec<Vec<Matcher>>,
    exclude_alerts: bool,
    group_limit: Option<usize>,
    next_token: String,
}

/// The data of an answer to `/api/v1/rules`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RulesPage {
    pub groups: Vec<RuleGroup>,
    /// Where the next page starts; empty on the last one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group_next_token: String,
}

impl RulesQuery {
    /// Reads the parameters.
    ///
    /// # Errors
    /// `invalid parameter ...` with upstream's texts.
    pub fn parse(params: &Params) -> Result<RulesQuery, ApiError> {
        let (alerting, recording) = match params.get("type").to_ascii_lowercase().as_str() {
            "" => (true, true),
            "alert" => (true, false),
            "record" => (false, true),
            other => {
                let text = format!("not supported value {}", golang::strconv::quote(other));
                return Err(ApiError::parameter("type", text));
            }
        };
        let exclude_alerts = match params.get("exclude_alerts") {
            "" => false,
            text => parse_bool(text).ok_or_else(|| {
                let quoted = golang::strconv::quote(text);
                let text = format!("error converting exclude_alerts: strconv.ParseBool: parsing {quoted}: invalid syntax");
                ApiError::parameter("exclude_alerts", text)
            })?,
        };
        let group_limit = match params.get("group_limit") {
            "" => None,
            text => match text.parse::<i64>() {
                Ok(limit) if limit > 0 => Some(limit as usize),
                Ok(_) => {
                    let text = "group_limit needs to be greater than 0";
                    return Err(ApiError::parameter("group_limit", text));
                }
                Err(_) => {
                    let quoted = golang::strconv::quote(text);
                    let text = format!(
                        "group_limit needs to be a valid number: strconv.ParseInt: parsing {quoted}: invalid syntax"
                    );
                    return Err(ApiError::parameter("group_limit", text));
                }
            },
        };
        let next_token = params.get("group_next_token").to_owned();
        if !next_token.is_empty() && group_limit.is_none() {
            let text = "group_limit needs to be present in order to paginate over the groups";
            return Err(ApiError::parameter("group_next_token", text));
        }
        let all = |name| params.all(name).map(str::to_owned).collect();
        let mut matchers = Vec::new();
        for selector in params.all("match[]") {
            matchers.push(
                promql::parse::parse_metric_selector(selector)
                    .map_err(|e| ApiError::bad_data(e.to_string()))?,
            );
        }
        Ok(RulesQuery {
            alerting,
            recording,
            names: all("rule_name[]"),
            groups: all("rule_group[]"),
            files: all("file[]"),
            matchers,
            exclude_alerts,
            group_limit,
            next_token,
        })
    }

    /// Whether the alerts of alerting rules are to be shown.
    pub fn exclude_alerts(&self) -> bool {
        self.exclude_alerts
    }

    /// Filters and pages groups, which come in order of file and name.
    ///
    /// # Errors
    /// A token that names no group.
    pub fn apply(&self, groups: Vec<RuleGroup>) -> Result<RulesPage, ApiError> {
        let mut page = RulesPage {
            groups: Vec::new(),
            group_next_token: String::new(),
        };
        let mut found_start = self.next_token.is_empty();
        for mut group in groups {
            found_start = found_start || self.next_token == group_token(&group);
            if !found_start
                || !listed(&self.groups, &group.name)
                || !listed(&self.files, &group.file)
            {
                continue;
            }
            group.rules.retain(|rule| self.wants(rule));
            if group.rules.is_empty() {
                continue;
            }
            if self
                .group_limit
                .is_some_and(|limit| page.groups.len() == limit)
            {
                page.group_next_token = group_token(&group);
                break;
            }
            if self.exclude_alerts {
                hide_alerts(&mut group);
            }
            page.groups.push(group);
        }
        if !found_start {
            let text = format!(
                "invalid group_next_token '{}'. were rule groups changed?",
                self.next_token
            );
            return Err(ApiError::parameter("group_next_token", text));
        }
        Ok(page)
    }

    fn wants(&self, rule: &Rule) -> bool {
        let kind = match rule {
            Rule::Alerting(_) => self.alerting,
            Rule::Recording(_) => self.recording,
        };
        let matches = |set: &Vec<Matcher>| set.iter().all(|m| m.matches_labels(rule.labels()));
        kind && listed(&self.names, rule.name())
            && (self.matchers.is_empty() || self.matchers.iter().any(matches))
    }
}

fn listed(names: &[String], name: &str) -> bool {
    names.is_empty() || names.iter().any(|n| n == name)
}

fn hide_alerts(group: &mut RuleGroup) {
    for rule in &mut group.rules {
        if let Rule::Alerting(rule) = rule {
            rule.alerts = None;
        }
    }
}

/// Names a group in a page token: a hash of file and name.
fn group_token(group: &RuleGroup) -> String {
    use sha2::{Digest, Sha256};
    let hash = Sha256::digest(format!("{};{}", group.file, group.name));
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Go's `strconv.ParseBool`.
pub fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// The data of `/api/v1/alerts`: every alert of every group.
pub fn alerts_of(groups: Vec<RuleGroup>) -> Vec<ActiveAlert> {
    let rules = groups.into_iter().flat_map(|group| group.rules);
    rules
        .filter_map(|rule| match rule {
            Rule::Alerting(rule) => rule.alerts,
            Rule::Recording(_) => None,
        })
        .flatten()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(name: &str, rules: &[&str]) -> RuleGroup {
        let rule = |name: &&str| {
            Rule::Recording(RecordingRule {
                name: (*name).into(),
                query: "up".into(),
                labels: Labels::from([("team", *name)]),
                health: "ok".into(),
                last_error: String::new(),
                evaluation_time: 0.0,
                last_evaluation: None,
                kind: RecordingKind::Recording,
            })
        };
        RuleGroup {
            name: name.into(),
            file: "f".into(),
            rules: rules.iter().map(rule).collect(),
            interval: 60.0,
            limit: 0,
            evaluation_time: 0.0,
            partial_response: rules::PartialResponse::default(),
            last_evaluation: Some(0),
        }
    }

    fn page(query: &str) -> Result<RulesPage, String> {
        let mut params = Params::default();
        params.add_encoded(query);
        let groups = vec![
            group("a", &["x", "y"]),
            group("b", &["x"]),
            group("c", &["z"]),
        ];
        RulesQuery::parse(&params)
            .and_then(|q| q.apply(groups))
            .map_err(|e| e.message)
    }

    fn names(query: &str) -> Vec<String> {
        page(query)
            .unwrap()
            .groups
            .into_iter()
            .map(|g| format!("{}{}", g.name, g.rules.len()))
            .collect()
    }

    #[test]
    fn filters() {
        assert_eq!(names(""), ["a2", "b1", "c1"]);
        assert_eq!(names("rule_name[]=x"), ["a1", "b1"]);
        assert_eq!(names("rule_group[]=c&rule_group[]=a"), ["a2", "c1"]);
        assert_eq!(names("match[]={team=\"z\"}"), ["c1"]);
        assert!(names("type=alert").is_empty());
    }

    #[test]
    fn pages_follow_each_other() {
        let first = page("group_limit=2").unwrap();
        assert_eq!(first.groups.len(), 2);
        let token = &first.group_next_token;
        let second = page(&format!("group_limit=2&group_next_token={token}")).unwrap();
        assert_eq!(second.groups.len(), 1);
        assert_eq!(second.groups[0].name, "c");
        assert_eq!(second.group_next_token, "");
    }

    #[test]
    fn last_evaluation_is_printed_as_go_does() {
        let json = String::from_utf8(crate::to_json(&group("a", &["x"]))).unwrap();
        assert!(
            json.contains(r#""lastEvaluation":"1970-01-01T00:00:00Z""#),
            "{json}"
        );
        assert!(
            json.contains(r#""lastEvaluation":"0001-01-01T00:00:00Z""#),
            "{json}"
        );
        assert!(json.contains(r#""interval":60,"#), "{json}");
    }
}
