//! `prometheus_rule_*`.

use rules::{Group, Outcome};
use telemetry::{Counter, CounterVec, GaugeVec, Registry, Summary, SummaryOptions};

/// Upstream's quantiles of durations, each with its error.
const QUANTILES: [(f64, f64); 5] = [
    (0.01, 0.001),
    (0.05, 0.005),
    (0.5, 0.05),
    (0.9, 0.01),
    (0.99, 0.001),
];

/// The metrics of rule evaluation, under upstream's names.
pub struct RuleMetrics {
    evaluations: CounterVec,
    failures: CounterVec,
    missed: CounterVec,
    iterations: CounterVec,
    duration: Summary,
    rule_duration: Summary,
    interval: GaugeVec,
    last_seconds: GaugeVec,
    last_rules_seconds: GaugeVec,
    last_restore_seconds: GaugeVec,
    last_timestamp: GaugeVec,
    last_samples: GaugeVec,
    rules: GaugeVec,
    write_failures: Counter,
}

impl RuleMetrics {
    /// Registers all of them.
    pub fn register(registry: &Registry) -> RuleMetrics {
        let counter = |name: &str, help: &str| registry.counter_vec(name, help, &["rule_group"]);
        let gauge = |name: &str, help: &str| registry.gauge_vec(name, help, &["rule_group"]);
        RuleMetrics {
            evaluations: counter(
                "prometheus_rule_evaluations_total",
                "The total number of rule evaluations.",
            ),
            failures: counter(
                "prometheus_rule_evaluation_failures_total",
                "The total number of rule evaluation failures.",
            ),
            missed: counter(
                "prometheus_rule_group_iterations_missed_total",
                "The total number of rule group evaluations missed due to slow rule group evaluation.",
            ),
            iterations: counter(
                "prometheus_rule_group_iterations_total",
                "The total number of scheduled rule group evaluations, whether executed or missed.",
            ),
            duration: registry.summary(
                "prometheus_rule_group_duration_seconds",
                "The duration of rule group evaluations.",
                SummaryOptions::quantiles(&QUANTILES),
            ),
            rule_duration: registry.summary(
                "prometheus_rule_evaluation_duration_seconds",
                "The duration for a rule to execute.",
                SummaryOptions::quantiles(&QUANTILES),
            ),
            interval: gauge(
                "prometheus_rule_group_interval_seconds",
                "The interval of a rule group.",
            ),
            last_seconds: gauge(
                "prometheus_rule_group_last_duration_seconds",
                "The duration of the last rule group evaluation.",
            ),
            last_rules_seconds: gauge(
                "prometheus_rule_group_last_rule_duration_sum_seconds",
                "The sum of time in seconds it took to evaluate each rule in the group regardless of concurrency. This should be higher than the group duration if rules are evaluated concurrently.",
            ),
            last_restore_seconds: gauge(
                "prometheus_rule_group_last_restore_duration_seconds",
                "The duration of the last alert rules alerts restoration using the `ALERTS_FOR_STATE` series across all rule groups.",
            ),
            last_timestamp: gauge(
                "prometheus_rule_group_last_evaluation_timestamp_seconds",
                "The timestamp of the last rule group evaluation in seconds.",
            ),
            last_samples: gauge(
                "prometheus_rule_group_last_evaluation_samples",
                "The number of samples returned during the last rule group evaluation.",
            ),
            rules: gauge("prometheus_rule_group_rules", "The number of rules."),
            write_failures: registry.counter(
                "firewatch_rule_write_failures_total",
                "Results of rules that the store did not take.",
            ),
        }
    }

    pub(crate) fn started(&self, group: &str, interval_ms: i64, rules: usize) {
        self.interval
            .with(&[group])
            .set(interval_ms as f64 / 1000.0);
        self.rules.with(&[group]).set(rules as f64);
        for counter in [
            &self.evaluations,
            &self.failures,
            &self.missed,
            &self.iterations,
        ] {
            counter.with(&[group]).add(0);
        }
    }

    pub(crate) fn missed(&self, group: &str, count: u64) {
        self.missed.with(&[group]).add(count);
        self.iterations.with(&[group]).add(count);
    }

    pub(crate) fn evaluated(&self, label: &str, group: &Group, outcome: &Outcome) {
        self.iterations.with(&[label]).inc();
        self.evaluations
            .with(&[label])
            .add(group.entries.len() as u64);
        self.failures
            .with(&[label])
            .add(outcome.failures.len() as u64);
        self.write_failures.add(outcome.write_errors.len() as u64);
        self.duration.observe(group.evaluation_seconds);
        let mut sum = 0.0;
        for entry in &group.entries {
            self.rule_duration.observe(entry.evaluation_seconds);
            sum += entry.evaluation_seconds;
        }
        self.last_rules_seconds.with(&[label]).set(sum);
        self.last_seconds
            .with(&[label])
            .set(group.evaluation_seconds);
        let at = group.last_evaluation_ms.unwrap_or(0) as f64 / 1000.0;
        self.last_timestamp.with(&[label]).set(at);
        self.last_samples.with(&[label]).set(outcome.samples as f64);
    }

    pub(crate) fn restored(&self, group: &str, seconds: f64) {
        self.last_restore_seconds.with(&[group]).set(seconds);
    }

    pub(crate) fn forget(&self, group: &str) {
        for counter in [
            &self.evaluations,
            &self.failures,
            &self.missed,
            &self.iterations,
        ] {
            counter.remove(&[group]);
        }
        for gauge in [
            &self.interval,
            &self.last_seconds,
            &self.last_rules_seconds,
            &self.last_restore_seconds,
            &self.last_timestamp,
            &self.last_samples,
            &self.rules,
        ] {
            gauge.remove(&[group]);
        }
    }
}
