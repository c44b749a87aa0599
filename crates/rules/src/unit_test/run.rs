//! Running test groups: series are loaded as time goes on, rules are evaluated at every step, and
//! what fires or is answered is compared with what is expected.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use golang::regexp::Regexp;
use golang::strconv::quote;
use golang::time::format_duration;
use model::Labels;
use model::labels::ALERT_NAME;
use promql::ast::Expr;
use promql::parse::{SequenceValue, parse_metric, parse_series_desc};
use promql::script::Store;
use promql::{Engine, EngineOptions, QueryOptions, Value};
use storage::{AppendError, Appendable, Appender};

use super::diff::alerts_diff;
use super::file::{AlertTest, TestFile, TestGroup};
use super::verdict::{Fired, GroupVerdict, Shown, alerts_text, indent, samples_text};
use crate::alerting::AlertContext;
use crate::file::{CheckOptions, RuleFile};
use crate::group::{Evaluation, Group, GroupDefaults, Rule, SampleSink};
use crate::source::{QuerySource, Sample, SampleValue};
use crate::state::AlertState;

/// A rule file: the path that messages name, and its text or why it cannot be read.
#[derive(Clone, Debug)]
pub struct RuleText {
    pub path: String,
    pub text: Result<String, String>,
}

/// How tests are run.
#[derive(Debug, Default)]
pub struct RunOptions {
    /// Only groups whose name one of these matches; all where there are none.
    pub run: Vec<Regexp>,
    /// Show how alerts differ, instead of both sides.
    pub diff: bool,
    /// Give all data at the end of each group.
    pub dump: bool,
    /// Pass over unknown fields of rule files.
    pub ignore_unknown_fields: bool,
    pub check: CheckOptions,
    /// Feature `promql-delayed-name-removal`.
    pub delayed_name_removal: bool,
}

impl TestFile {
    /// Runs the groups; the verdict of each that was not left out by name.
    pub fn run(&self, rules: &[RuleText], options: &RunOptions) -> Vec<GroupVerdict> {
        let named = self.tests.iter().enumerate().map(|(i, test)| {
            let name = match test.name.as_str() {
                "" => format!("unnamed#{i}"),
                name => name.to_owned(),
            };
            (name, test)
        });
        // Upstream matches the name as written, which is empty for a group without one.
        let wanted = |test: &TestGroup| {
            options.run.is_empty() || options.run.iter().any(|r| r.is_match(&test.name))
        };
        named
            .filter(|(_, test)| wanted(test))
            .map(|(name, test)| {
                let mut dump = None;
                let errors = match self.run_group(test, rules, options, &mut dump) {
                    Ok(errors) | Err(errors) => errors,
                };
                GroupVerdict { name, errors, dump }
            })
            .collect()
    }

    /// What does not hold in a group; an error ends it before its time.
    fn run_group(
        &self,
        test: &TestGroup,
        rules: &[RuleText],
        options: &RunOptions,
        dump: &mut Option<String>,
    ) -> Result<Vec<String>, Vec<String>> {
        let mut bench = Bench::new(self, test, options)?;
        let mut groups = self.load_groups(test, rules, options)?;
        let wanted = alert_tests(test)?;
        let mut errors = Vec::new();
        let (last_ms, step_ms) = (test.last_ms(), self.evaluation_interval.as_ms());
        let context = AlertContext {
            external_labels: Labels::from_pairs(&test.external_labels),
            external_url: test.external_url.clone(),
        };
        let mut at_ms = 0;
        while at_ms <= last_ms {
            bench.load_until(at_ms);
            let failed = bench.evaluate(&mut groups, &context, at_ms);
            if !failed.is_empty() {
                errors.extend(failed);
                return Err(errors);
            }
            for cases in wanted
                .range(at_ms..at_ms.saturating_add(step_ms))
                .map(|(_, c)| c)
            {
                let names: BTreeSet<&str> = cases.iter().map(|c| c.alertname.as_str()).collect();
                let fired = fired(&groups, &names);
                for case in cases {
                    let got = fired.get(case.alertname.as_str());
                    let got = got.map_or(&[][..], Vec::as_slice);
                    errors.extend(compare_alerts(test, case, got, options.diff));
                }
            }
            at_ms = at_ms.saturating_add(step_ms);
        }
        for case in &test.promql_expr_test {
            let place = format!("    expr: {}, time: {}", quote(&case.expr), case.eval_time);
            match bench.compare_expr(case, self.fuzzy_compare) {
                Ok(None) => {}
                Ok(Some(Mismatch { expected, got })) => errors.push(format!(
                    "{place},\n        exp: {}\n        got: {}",
                    samples_text(&expected),
                    samples_text(&got)
                )),
                Err(error) => errors.push(format!("{place}, err: {error}")),
            }
        }
        if options.dump {
            *dump = Some(bench.dump(last_ms));
        }
        Ok(errors)
    }

    /// The groups of the rule files, in the order in which they are evaluated.
    fn load_groups(
        &self,
        test: &TestGroup,
        rules: &[RuleText],
        options: &RunOptions,
    ) -> Result<Vec<Group>, Vec<String>> {
        let defaults = GroupDefaults {
            interval_ms: test.interval.as_ms(),
            query_offset_ms: 0,
        };
        let mut groups = Vec::new();
        for rule_text in rules {
            let named = |error: String| format!("{}: {error}", rule_text.path);
            let text = rule_text
                .text
                .as_ref()
                .map_err(|e| vec![named(e.clone())])?;
            let file = if options.ignore_unknown_fields {
                RuleFile::parse_ignoring_unknown(text, &options.check)
            } else {
                RuleFile::parse(text, &options.check)
            };
            let file = file.map_err(|errors| errors.into_iter().map(named).collect::<Vec<_>>())?;
            for spec in &file.groups {
                let group = Group::build(spec, &rule_text.path, defaults, options.check.features);
                groups.push(group.map_err(|e| vec![named(e)])?);
            }
        }
        let order: HashMap<&str, usize> = self
            .group_eval_order
            .iter()
            .enumerate()
            .map(|(i, name)| (name.as_str(), i))
            .collect();
        groups.sort_by_key(|group| order.get(group.name.as_str()).copied().unwrap_or(0));
        for entry in groups.iter_mut().flat_map(|group| &mut group.entries) {
            if let Rule::Alerting(rule) = &mut entry.rule {
                // There is nothing to restore; `ALERTS` is there from the first evaluation on.
                rule.restored = true;
            }
        }
        Ok(groups)
    }
}

/// The cases by the time at which they look.
fn alert_tests(test: &TestGroup) -> Result<BTreeMap<i64, Vec<&AlertTest>>, Vec<String>> {
    let mut wanted: BTreeMap<i64, Vec<&AlertTest>> = BTreeMap::new();
    for case in &test.alert_rule_test {
        if case.alertname.is_empty() {
            let group = match test.name.as_str() {
                "" => String::new(),
                name => format!(" (in TestGroup {name})"),
            };
            return Err(vec![format!(
                "an item under alert_rule_test misses required attribute alertname at eval_time {}{group}",
                case.eval_time
            )]);
        }
        wanted.entry(case.eval_time.as_ms()).or_default().push(case);
    }
    Ok(wanted)
}

/// What fires of the alerts of these names, by name; several rules may share one.
fn fired<'a>(groups: &'a [Group], names: &BTreeSet<&str>) -> HashMap<&'a str, Vec<Fired>> {
    let mut fired: HashMap<&str, Vec<Fired>> = HashMap::new();
    for entry in groups.iter().flat_map(|group| &group.entries) {
        let Rule::Alerting(rule) = &entry.rule else {
            continue;
        };
        if !names.contains(rule.spec.name.as_str()) {
            continue;
        }
        let firing = rule
            .active
            .values()
            .filter(|a| a.state == AlertState::Firing);
        fired
            .entry(&rule.spec.name)
            .or_default()
            .extend(firing.map(|alert| Fired {
                labels: alert.labels.clone(),
                annotations: alert.annotations.clone(),
            }));
    }
    fired
}

fn compare_alerts(test: &TestGroup, case: &AlertTest, got: &[Fired], diff: bool) -> Option<String> {
    let mut got = got.to_vec();
    let mut expected: Vec<Fired> = case
        .exp_alerts
        .iter()
        .map(|alert| {
            let mut labels = Labels::from_pairs(&alert.exp_labels).builder();
            labels.set(ALERT_NAME, &case.alertname);
            Fired {
                labels: labels.build(),
                annotations: Labels::from_pairs(&alert.exp_annotations),
            }
        })
        .collect();
    got.sort();
    expected.sort();
    if got == expected {
        return None;
    }
    let name = match test.name.as_str() {
        "" => String::new(),
        name => format!("    name: {name},\n"),
    };
    let place = format!(
        "{name}    alertname: {}, time: {}, \n",
        case.alertname, case.eval_time
    );
    let shown = |text: &str| indent(text, "            ");
    Some(if diff {
        let text = alerts_diff(&expected, &got);
        format!("{place}        diff: {}", shown(&text))
    } else {
        format!(
            "{place}        exp:{}, \n        got:{}",
            shown(&alerts_text(&expected)),
            shown(&alerts_text(&got))
        )
    })
}

/// What was expected of an expression, and what was answered.
struct Mismatch {
    expected: Vec<Shown>,
    got: Vec<Shown>,
}

/// A store that fills as time goes on, and an engine on it. Times are relative to the start.
struct Bench {
    start_ms: i64,
    store: Store,
    engine: Engine,
    /// The rules' queries, which come again at every step.
    parsed: Mutex<HashMap<String, Arc<Expr>>>,
    /// What is still to be loaded of each series, earliest last.
    series: Vec<(Labels, Vec<(i64, SequenceValue)>)>,
}

impl Bench {
    fn new(file: &TestFile, test: &TestGroup, options: &RunOptions) -> Result<Bench, Vec<String>> {
        let start_ms = test.start_timestamp.0;
        let interval_ms = test.interval.as_ms();
        let mut series: Vec<(Labels, Vec<(i64, SequenceValue)>)> = Vec::new();
        for (i, input) in test.input_series.iter().enumerate() {
            let text = format!("{} {}", input.series.trim(), input.values.trim());
            let (labels, values) = parse_series_desc(&text).map_err(|error| {
                // Upstream joins the series into a script behind its `load` line.
                let error = error.to_string();
                let column = error.strip_prefix("1:");
                vec![column.map_or(error.clone(), |rest| format!("{}:{rest}", i + 2))]
            })?;
            let mut samples: Vec<(i64, SequenceValue)> = values
                .into_iter()
                .enumerate()
                .filter(|(_, value)| *value != SequenceValue::Omitted)
                .map(|(k, value)| {
                    let offset_ms = (k as i64).saturating_mul(interval_ms);
                    (start_ms.saturating_add(offset_ms), value)
                })
                .collect();
            samples.reverse();
            series.retain(|(present, _)| *present != labels);
            series.push((labels, samples));
        }
        let subquery_ms = file.evaluation_interval.as_ms();
        Ok(Bench {
            start_ms,
            store: Store::new(),
            engine: Engine::new(EngineOptions {
                default_subquery_step: Arc::new(move |_| subquery_ms),
                features: options.check.features,
                delayed_name_removal: options.delayed_name_removal,
                // Rules of a level are evaluated in turn here, and their answers are small.
                threads: 1,
                ..EngineOptions::default()
            }),
            parsed: Mutex::default(),
            series,
        })
    }

    /// Loads what the series have up to `at_ms`.
    fn load_until(&mut self, at_ms: i64) {
        let until_ms = self.start_ms.saturating_add(at_ms);
        let mut appender = self.store.appender();
        for (labels, samples) in &mut self.series {
            while let Some((t_ms, value)) = samples.pop_if(|(t_ms, _)| *t_ms <= until_ms) {
                // What cannot be stored is not there, as upstream has it.
                let _ = append(&mut *appender, labels, t_ms, &value);
            }
        }
        // The store of test scripts takes every batch.
        let _ = appender.commit();
    }

    /// Evaluates the groups; what failed, in upstream's words.
    fn evaluate(&self, groups: &mut [Group], context: &AlertContext, at_ms: i64) -> Vec<String> {
        let mut errors = Vec::new();
        for group in groups {
            let outcome = group.evaluate(
                self.start_ms.saturating_add(at_ms),
                &Evaluation {
                    source: self,
                    sink: self,
                    context,
                    concurrency: 1,
                    stopwatch: &|| 0.0,
                    resend_delay_ms: 0,
                    outage_tolerance_ms: 0,
                },
            );
            for (index, error) in outcome.failures {
                errors.push(format!(
                    "    rule: {}, time: {}, err: {error}",
                    group.entries[index].rule.name(),
                    format_duration(at_ms.saturating_mul(1_000_000))
                ));
            }
        }
        errors
    }

    /// What is expected and what was answered, where the two differ.
    fn compare_expr(
        &self,
        case: &super::file::ExprTest,
        fuzzy: bool,
    ) -> Result<Option<Mismatch>, String> {
        let t_ms = self.start_ms.saturating_add(case.eval_time.as_ms());
        let mut got: Vec<Shown> = self
            .instant(&case.expr, t_ms)?
            .into_iter()
            .map(|sample| {
                let (value, histogram) = match sample.value {
                    SampleValue::Float(value) => (value, None),
                    SampleValue::Histogram(h) => (0.0, Some(h.test_expression())),
                };
                Shown {
                    labels: sample.labels,
                    value,
                    histogram,
                }
            })
            .collect();
        let mut expected = Vec::with_capacity(case.exp_samples.len());
        for sample in &case.exp_samples {
            let place =
                |e: &dyn std::fmt::Display| format!("labels {}: {e}", quote(&sample.labels));
            let labels = parse_metric(&sample.labels).map_err(|e| place(&e))?;
            let mut histogram = None;
            if !sample.histogram.is_empty() {
                let (_, values) = parse_series_desc(&format!("{{}} {}", sample.histogram))
                    .map_err(|e| place(&e))?;
                let [value] = &values[..] else {
                    return Err(place(&format!("expected 1 value, got {}", values.len())));
                };
                let SequenceValue::Histogram { histogram: h, .. } = value else {
                    return Err(place(&"expected histogram, got float"));
                };
                histogram = Some(h.test_expression());
            }
            expected.push(Shown {
                labels,
                value: sample.value,
                histogram,
            });
        }
        got.sort_by(|a, b| a.labels.cmp(&b.labels));
        expected.sort_by(|a, b| a.labels.cmp(&b.labels));
        let same =
            got.len() == expected.len() && expected.iter().zip(&got).all(|(e, g)| e.same(g, fuzzy));
        Ok((!same).then_some(Mismatch { expected, got }))
    }

    fn parse(&self, query: &str) -> Result<Arc<Expr>, String> {
        let mut parsed = self.parsed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(expr) = parsed.get(query) {
            return Ok(Arc::clone(expr));
        }
        let expr = promql::parse_expr(query, self.engine.options().features);
        let expr = Arc::new(expr.map_err(|e| e.to_string())?);
        parsed.insert(query.to_owned(), Arc::clone(&expr));
        Ok(expr)
    }

    /// Everything that the store holds, as upstream prints a matrix.
    fn dump(&self, last_ms: i64) -> String {
        // Up to the next whole second, which PromQL can express.
        let until_ms = (last_ms + 1000) / 1000 * 1000;
        let shown = format_duration(until_ms.saturating_mul(1_000_000));
        let query = format!("{{__name__=~\".+\"}}[{}s]", until_ms / 1000);
        let t_ms = self.start_ms.saturating_add(until_ms);
        let answer = self
            .engine
            .instant(&self.store, &query, t_ms, &QueryOptions::default());
        let series = match answer {
            Ok(answer) => match answer.value {
                Value::Matrix(series) => series,
                other => return format!("Got unexpected type {}\n", other.type_name()),
            },
            Err(error) => {
                return format!("Failed query exec, expr: {}, err: {error}\n", quote(&query));
            }
        };
        let texts: Vec<String> = series
            .iter()
            .map(|series| {
                let floats = series.float_ms.iter().zip(&series.floats).map(|(t_ms, v)| {
                    format!(
                        "{} @[{t_ms}]",
                        golang::strconv::format_float(*v, 'f', -1, 64)
                    )
                });
                let histograms = series.histogram_ms.iter().zip(&series.histograms);
                let histograms = histograms.map(|(t_ms, h)| format!("{h} @[{t_ms}]"));
                let points: Vec<String> = floats.chain(histograms).collect();
                format!("{} =>\n{}", series.labels, points.join("\n"))
            })
            .collect();
        format!(
            "Dump of all data (input_series and rules) at {shown}:\n{}\n",
            texts.join("\n")
        )
    }
}

impl QuerySource for Bench {
    fn instant(&self, query: &str, t_ms: i64) -> Result<Vec<Sample>, String> {
        let expr = self.parse(query)?;
        let answer = self
            .engine
            .instant_expr(&self.store, &expr, query, t_ms, &QueryOptions::default())
            .map_err(|e| e.to_string())?;
        Sample::from_answer(answer.value)
    }
}

impl SampleSink for Bench {
    fn write(&self, samples: Vec<Sample>) -> Result<(), String> {
        let mut appender = self.store.appender();
        for sample in samples {
            let value = match sample.value {
                SampleValue::Float(v) => SequenceValue::Float(v),
                SampleValue::Histogram(histogram) => SequenceValue::Histogram {
                    histogram,
                    hint_given: false,
                },
            };
            // Upstream counts and leaves out what comes out of order; nothing else can be wrong.
            let _ = append(&mut *appender, &sample.labels, sample.t_ms, &value);
        }
        appender.commit().map_err(|e| e.to_string())
    }
}

fn append(
    appender: &mut dyn Appender,
    labels: &Labels,
    t_ms: i64,
    value: &SequenceValue,
) -> Result<(), AppendError> {
    match value {
        SequenceValue::Omitted => Ok(()),
        SequenceValue::Float(v) => appender.append(0, labels, 0, t_ms, *v).map(drop),
        SequenceValue::Histogram { histogram, .. } => appender
            .append_float_histogram(0, labels, 0, t_ms, histogram)
            .map(drop),
    }
}
