//! Groups: rules that are evaluated together, at one moment, on one interval.
//!
//! A group evaluates its rules level by level: rules that read nothing of each other's output share a
//! level and are evaluated at once; a rule that reads another's sits on a later level and sees what
//! the other has written. The result is that of evaluating one after the other, as upstream does.

mod level;

use std::collections::BTreeSet;

use model::{Labels, Matcher, STALE_NAN};

use crate::alerting::{ALERTS, ALERTS_FOR_STATE, AlertContext, AlertingRule, AlertingRuleSpec};
use crate::file::{GroupSpec, PartialResponse, RuleSpec};
use crate::recording::RecordingRule;
use crate::source::{QuerySource, Sample};

/// A rule of either kind, with its state.
#[derive(Clone, Debug)]
pub enum Rule {
    Recording(RecordingRule),
    Alerting(AlertingRule),
}

impl Rule {
    /// The name of the alert or of the recorded metric.
    pub fn name(&self) -> &str {
        match self {
            Rule::Recording(rule) => &rule.name,
            Rule::Alerting(rule) => &rule.spec.name,
        }
    }

    /// The expression in its canonical form.
    pub fn expr(&self) -> &str {
        match self {
            Rule::Recording(rule) => &rule.expr,
            Rule::Alerting(rule) => &rule.spec.expr,
        }
    }
}

/// How a rule's last evaluation went.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Health {
    #[default]
    Unknown,
    Good,
    /// With the error's text.
    Bad(String),
}

impl Health {
    /// The word that the API shows.
    pub fn as_str(&self) -> &'static str {
        match self {
            Health::Unknown => "unknown",
            Health::Good => "ok",
            Health::Bad(_) => "err",
        }
    }
}

/// A rule in its group.
#[derive(Clone, Debug)]
pub struct Entry {
    pub rule: Rule,
    pub health: Health,
    /// Seconds that the last evaluation took.
    pub evaluation_seconds: f64,
    pub last_evaluation_ms: Option<i64>,
    /// When an evaluation succeeded last.
    last_good_ms: Option<i64>,
    /// The series of the last evaluation that succeeded: those that vanish get a stale marker.
    series: BTreeSet<Labels>,
}

/// A group with the state of its rules.
#[derive(Clone, Debug)]
pub struct Group {
    pub name: String,
    pub file: String,
    pub interval_ms: i64,
    pub query_offset_ms: i64,
    pub limit: usize,
    /// What to do when a part of the data cannot be had; for sources that can tell.
    pub partial_response: PartialResponse,
    pub entries: Vec<Entry>,
    /// Seconds that the last evaluation of all rules took.
    pub evaluation_seconds: f64,
    pub last_evaluation_ms: Option<i64>,
    /// Indexes of entries, level by level.
    levels: Vec<Vec<usize>>,
    /// Series of rules that an earlier version of this group had: they get a stale marker once.
    orphans: BTreeSet<Labels>,
}

/// Defaults of the configuration's global section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupDefaults {
    pub interval_ms: i64,
    pub query_offset_ms: i64,
}

/// Where an evaluation's samples go.
pub trait SampleSink: Sync {
    /// Stores samples; they must be visible to queries when this returns.
    ///
    /// # Errors
    /// Text for the log: what could not be stored.
    fn write(&self, samples: Vec<Sample>) -> Result<(), String>;
}

/// What an evaluation needs.
pub struct Evaluation<'a> {
    pub source: &'a dyn QuerySource,
    pub sink: &'a dyn SampleSink,
    pub context: &'a AlertContext,
    /// Most rules that are evaluated at once.
    pub concurrency: usize,
    /// Seconds of a clock that only goes forward.
    pub stopwatch: &'a (dyn Fn() -> f64 + Sync),
    pub resend_delay_ms: i64,
    /// How long alerts go on being sent while evaluations fail: an outage of the store is no reason to
    /// call them resolved, which receivers do once they hear no more of them.
    pub outage_tolerance_ms: i64,
}

/// What came of an evaluation.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub alerts: Vec<model::Alert>,
    pub samples: usize,
    /// Rules that failed: index and error.
    pub failures: Vec<(usize, String)>,
    /// Writes that failed.
    pub write_errors: Vec<String>,
}

impl Group {
    /// A group as its file and the defaults say, without state.
    ///
    /// # Errors
    /// An expression that does not parse (a checked file has none).
    pub fn build(
        spec: &GroupSpec,
        file: &str,
        defaults: GroupDefaults,
        features: promql::features::Features,
    ) -> Result<Group, String> {
        let millis = yaml_config::Duration::as_ms;
        let mut entries = Vec::with_capacity(spec.rules.len());
        let mut reads = Vec::with_capacity(spec.rules.len());
        for rule in &spec.rules {
            let expr = promql::parse_expr(&rule.expr, features).map_err(|e| e.to_string())?;
            reads.push(
                expr.selectors()
                    .into_iter()
                    .map(|s| s.matchers.clone())
                    .collect::<Vec<_>>(),
            );
            entries.push(Entry {
                rule: build_rule(spec, rule, expr.to_string()),
                health: Health::Unknown,
                evaluation_seconds: 0.0,
                last_evaluation_ms: None,
                last_good_ms: None,
                series: BTreeSet::new(),
            });
        }
        let outputs: Vec<Vec<String>> = entries.iter().map(|e| outputs(&e.rule)).collect();
        let interval_ms = spec.interval.map(millis).filter(|ms| *ms > 0);
        Ok(Group {
            name: spec.name.clone(),
            file: file.to_owned(),
            interval_ms: interval_ms.unwrap_or(defaults.interval_ms),
            query_offset_ms: spec.query_offset.map_or(defaults.query_offset_ms, millis),
            limit: spec.limit,
            partial_response: spec.partial_response_strategy.unwrap_or_default(),
            entries,
            evaluation_seconds: 0.0,
            last_evaluation_ms: None,
            levels: levels(&outputs, &reads),
            orphans: BTreeSet::new(),
        })
    }

    /// What tells this group from others.
    pub fn key(&self) -> (&str, &str) {
        (&self.file, &self.name)
    }

    /// Whether the two groups would do the same: then a reload keeps the old one as it is.
    pub fn same_definition(&self, other: &Group) -> bool {
        let definition = |g: &Group| {
            (
                g.name.clone(),
                g.file.clone(),
                g.interval_ms,
                g.query_offset_ms,
                g.limit,
                g.partial_response,
            )
        };
        definition(self) == definition(other)
            && self.entries.len() == other.entries.len()
            && self
                .entries
                .iter()
                .zip(&other.entries)
                .all(|(a, b)| same_rule(&a.rule, &b.rule))
    }

    /// Takes over what rules that are the same in `old` know: alerts, series, health. Series of rules
    /// that are gone get their stale marker at the next evaluation.
    pub fn take_state(&mut self, old: Group) {
        self.last_evaluation_ms = old.last_evaluation_ms;
        self.evaluation_seconds = old.evaluation_seconds;
        self.orphans = old.orphans;
        let mut unclaimed: Vec<Option<Entry>> = old.entries.into_iter().map(Some).collect();
        for entry in &mut self.entries {
            let twin = unclaimed.iter_mut().find(|old| {
                old.as_ref()
                    .is_some_and(|old| same_rule(&old.rule, &entry.rule))
            });
            if let Some(twin) = twin.and_then(Option::take) {
                *entry = twin;
            }
        }
        for gone in unclaimed.into_iter().flatten() {
            self.orphans.extend(gone.series);
        }
    }

    /// Evaluates all rules at `t_ms`. Alerts that are due are in the outcome, marked as sent.
    pub fn evaluate(&mut self, t_ms: i64, run: &Evaluation<'_>) -> Outcome {
        let started = (run.stopwatch)();
        let mut outcome = Outcome::default();
        let query_ms = t_ms - self.query_offset_ms;
        for level in self.levels.clone() {
            let samples = self.evaluate_level(&level, t_ms, run, &mut outcome);
            write(run, samples, &mut outcome);
        }
        let stale = std::mem::take(&mut self.orphans).into_iter();
        write(
            run,
            stale
                .map(|labels| Sample::float(labels, query_ms, STALE_NAN))
                .collect(),
            &mut outcome,
        );
        self.evaluation_seconds = (run.stopwatch)() - started;
        self.last_evaluation_ms = Some(t_ms);
        outcome
    }

    /// Stale markers for everything the group has written: it is gone.
    pub fn retire(&mut self, t_ms: i64) -> Vec<Sample> {
        let series = self
            .entries
            .iter_mut()
            .flat_map(|e| std::mem::take(&mut e.series));
        let all: BTreeSet<Labels> = series.chain(std::mem::take(&mut self.orphans)).collect();
        all.into_iter()
            .map(|l| Sample::float(l, t_ms - self.query_offset_ms, STALE_NAN))
            .collect()
    }

    /// The moment at or before `now_ms` at which the group is due: groups are spread over their
    /// interval by their names, and keep their place over restarts.
    pub fn due_at_or_before(&self, now_ms: i64) -> i64 {
        let key = Labels::from([("file", self.file.as_str()), ("name", self.name.as_str())]);
        let offset_ms = (key.fingerprint() % self.interval_ms.max(1) as u64) as i64;
        let base = now_ms - now_ms.rem_euclid(self.interval_ms.max(1));
        let due = base + offset_ms;
        if due > now_ms {
            due - self.interval_ms
        } else {
            due
        }
    }
}

fn write(run: &Evaluation<'_>, samples: Vec<Sample>, outcome: &mut Outcome) {
    if samples.is_empty() {
        return;
    }
    if let Err(error) = run.sink.write(samples) {
        outcome.write_errors.push(error);
    }
}

fn build_rule(group: &GroupSpec, rule: &RuleSpec, expr: String) -> Rule {
    let pairs = |labels: &std::collections::BTreeMap<String, String>| -> Vec<(String, String)> {
        labels.iter().map(|(n, v)| (n.clone(), v.clone())).collect()
    };
    let mut labels = group.labels.clone();
    labels.extend(rule.labels.clone());
    if rule.alert.is_empty() {
        return Rule::Recording(RecordingRule {
            name: rule.record.value.clone(),
            expr,
            labels: pairs(&labels),
        });
    }
    Rule::Alerting(AlertingRule::new(AlertingRuleSpec {
        name: rule.alert.value.clone(),
        expr,
        hold_ms: rule.hold.as_ms(),
        keep_firing_for_ms: rule.keep_firing_for.as_ms(),
        labels: pairs(&labels),
        annotations: pairs(&rule.annotations),
    }))
}

fn same_rule(a: &Rule, b: &Rule) -> bool {
    match (a, b) {
        (Rule::Recording(a), Rule::Recording(b)) => a == b,
        (Rule::Alerting(a), Rule::Alerting(b)) => a.spec == b.spec,
        _ => false,
    }
}

fn outputs(rule: &Rule) -> Vec<String> {
    match rule {
        Rule::Recording(rule) => vec![rule.name.clone()],
        Rule::Alerting(_) => vec![ALERTS.to_owned(), ALERTS_FOR_STATE.to_owned()],
    }
}

/// Whether a selector could select the metric `name`.
fn may_read(selector: &[Matcher], name: &str) -> bool {
    let on_name = selector
        .iter()
        .filter(|m| &*m.name == model::labels::METRIC_NAME);
    on_name.into_iter().all(|m| m.matches(name))
}

/// The level of each rule. Of two rules, the later one comes after the earlier one where it reads
/// its output, and not before it where the earlier one reads the later one's (which then is the
/// output of the evaluation before).
fn levels(outputs: &[Vec<String>], reads: &[Vec<Vec<Matcher>>]) -> Vec<Vec<usize>> {
    let reads_of = |reader: usize, writer: usize| {
        reads[reader]
            .iter()
            .any(|s| outputs[writer].iter().any(|name| may_read(s, name)))
    };
    let mut level_of: Vec<usize> = Vec::with_capacity(outputs.len());
    for later in 0..outputs.len() {
        let level = (0..later).map(|earlier| {
            if reads_of(later, earlier) {
                level_of[earlier] + 1
            } else if reads_of(earlier, later) {
                level_of[earlier]
            } else {
                0
            }
        });
        level_of.push(level.max().unwrap_or(0));
    }
    let count = level_of.iter().max().map_or(0, |max| max + 1);
    let mut levels = vec![Vec::new(); count];
    for (rule, level) in level_of.into_iter().enumerate() {
        levels[level].push(rule);
    }
    levels
}

/// The link to an expression's table on the server's page (prometheus/prometheus `util/strutil`).
pub fn table_link(external_url: &str, expr: &str) -> String {
    let query = gotemplate::escape_query(expr);
    format!("{external_url}/graph?g0.expr={query}&g0.tab=1")
}

#[cfg(test)]
mod tests;
