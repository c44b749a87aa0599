//! Test files as written.

use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use yaml_config::Duration;

/// A test file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename = "main.unitTestFile", deny_unknown_fields)]
pub struct TestFile {
    /// Patterns of paths, relative to the test file.
    pub rule_files: Vec<String>,
    pub evaluation_interval: Duration,
    /// Names of groups, in the order in which they are evaluated at each moment.
    pub group_eval_order: Vec<String>,
    pub tests: Vec<TestGroup>,
    /// Lets floats differ by one unit in the last place.
    pub fuzzy_compare: bool,
}

/// Series, and what is expected of rules and expressions that read them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename = "main.testGroup", deny_unknown_fields)]
pub struct TestGroup {
    /// Between the values of a series; by default the evaluation interval.
    pub interval: Duration,
    pub input_series: Vec<InputSeries>,
    pub alert_rule_test: Vec<AlertTest>,
    pub promql_expr_test: Vec<ExprTest>,
    pub external_labels: BTreeMap<String, String>,
    pub external_url: String,
    pub name: String,
    /// When the group begins.
    pub start_timestamp: StartTime,
}

/// A series in the notation of test scripts.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename = "main.series", deny_unknown_fields)]
pub struct InputSeries {
    pub series: String,
    pub values: String,
}

/// The alerts of one name that fire at one time.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename = "main.alertTestCase", deny_unknown_fields)]
pub struct AlertTest {
    pub eval_time: Duration,
    pub alertname: String,
    pub exp_alerts: Vec<ExpectedAlert>,
}

/// An alert that has to fire.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename = "main.alert", deny_unknown_fields)]
pub struct ExpectedAlert {
    pub exp_labels: BTreeMap<String, String>,
    pub exp_annotations: BTreeMap<String, String>,
}

/// The answer to an expression at one time.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename = "main.promqlTestCase", deny_unknown_fields)]
pub struct ExprTest {
    pub expr: String,
    pub eval_time: Duration,
    pub exp_samples: Vec<ExpectedSample>,
}

/// A sample of an answer; `histogram` in the notation of test scripts, or empty.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename = "main.sample", deny_unknown_fields)]
pub struct ExpectedSample {
    pub labels: String,
    pub value: f64,
    pub histogram: String,
}

/// A moment: seconds since the epoch or RFC 3339, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StartTime(pub i64);

impl<'de> Deserialize<'de> for StartTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<StartTime, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() {
            return Ok(StartTime(0));
        }
        if let Ok(seconds) = golang::strconv::parse_float(&text) {
            return Ok(StartTime((seconds * 1000.0).round() as i64));
        }
        golang::time::Time::parse(golang::time::RFC3339_NANO, &text)
            .map(|time| StartTime(time.unix_milli()))
            .map_err(|_| {
                D::Error::custom(format!(
                    "cannot parse {} to a valid timestamp",
                    golang::strconv::quote(&text)
                ))
            })
    }
}

impl TestFile {
    /// Reads a test file.
    ///
    /// # Errors
    /// Upstream's text.
    pub fn parse(text: &str) -> Result<TestFile, String> {
        let file: Option<TestFile> = yaml_config::from_str(text).map_err(|e| e.to_string())?;
        let mut file = file.unwrap_or_default();
        if file.evaluation_interval.as_ms() == 0 {
            file.evaluation_interval = Duration(std::time::Duration::from_secs(60));
        }
        for test in &mut file.tests {
            if test.interval.as_ms() == 0 {
                test.interval = file.evaluation_interval;
            }
        }
        let mut seen = std::collections::HashSet::new();
        for name in &file.group_eval_order {
            if !seen.insert(name) {
                return Err(format!("group name repeated in evaluation order: {name}"));
            }
        }
        Ok(file)
    }
}

impl TestGroup {
    /// The latest time at which anything is looked at, in milliseconds from the start.
    pub(super) fn last_ms(&self) -> i64 {
        let alerts = self.alert_rule_test.iter().map(|t| t.eval_time.as_ms());
        let exprs = self.promql_expr_test.iter().map(|t| t.eval_time.as_ms());
        alerts.chain(exprs).max().unwrap_or(0)
    }
}
