//! Evaluating the rules of one level: all of their queries in one batch where the source can, side
//! by side on a few threads where it cannot. Each rule's failure is its own either way.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use model::{Labels, STALE_NAN};

use super::{Entry, Evaluation, Group, Health, Outcome, Rule, table_link};
use crate::source::{Answer, Sample};

/// What the evaluation of a rule gives: its samples, and the alerts that are due.
type Evaluated = (Result<Vec<Sample>, String>, Vec<model::Alert>);

/// What the rules of a group share at one evaluation.
struct Moment<'a> {
    run: &'a Evaluation<'a>,
    t_ms: i64,
    offset_ms: i64,
    limit: usize,
    interval_ms: i64,
}

impl Group {
    /// The samples of one level's rules, stale markers among them.
    pub(super) fn evaluate_level(
        &mut self,
        level: &[usize],
        t_ms: i64,
        run: &Evaluation<'_>,
        outcome: &mut Outcome,
    ) -> Vec<Sample> {
        let moment = Moment {
            run,
            t_ms,
            offset_ms: self.query_offset_ms,
            limit: self.limit,
            interval_ms: self.interval_ms,
        };
        let mut work: Vec<(usize, &mut Entry)> = self
            .entries
            .iter_mut()
            .enumerate()
            .filter(|(i, _)| level.contains(i))
            .collect();
        let results = moment.in_one_batch(&mut work).unwrap_or_else(|| {
            at_once(&mut work, run.concurrency, |(_, entry)| {
                guarded(|| moment.ask(entry))
            })
        });
        let query_ms = t_ms - moment.offset_ms;
        let mut samples = Vec::new();
        for ((index, entry), (result, alerts)) in work.into_iter().zip(results) {
            outcome.alerts.extend(alerts);
            match result {
                Ok(output) => {
                    entry.health = Health::Good;
                    outcome.samples += output.len();
                    let series: BTreeSet<Labels> =
                        output.iter().map(|s| s.labels.clone()).collect();
                    let gone = entry.series.difference(&series);
                    let stale = gone.map(|l| Sample::float(l.clone(), query_ms, STALE_NAN));
                    samples.extend(stale);
                    samples.extend(output);
                    entry.series = series;
                }
                Err(error) => {
                    entry.health = Health::Bad(error.clone());
                    outcome.failures.push((index, error));
                }
            }
        }
        samples
    }
}

impl Moment<'_> {
    /// Has all rules' queries answered at once; `None` where the source cannot do that.
    fn in_one_batch(&self, work: &mut [(usize, &mut Entry)]) -> Option<Vec<Evaluated>> {
        let run = self.run;
        let queries = work.iter().map(|(_, e)| e.rule.expr().to_owned());
        let queries: Vec<String> = queries.collect();
        let mut results: Vec<Option<Evaluated>> = work.iter().map(|_| None).collect();
        let mut take = |position: usize, answer: Answer| {
            let (Some((_, entry)), Some(result)) =
                (work.get_mut(position), results.get_mut(position))
            else {
                return;
            };
            if result.is_none() {
                *result = Some(guarded(|| self.settle(entry, answer)));
            }
        };
        let query_ms = self.t_ms - self.offset_ms;
        if !(run.source).batch(queries, query_ms, run.concurrency, &mut take) {
            return None;
        }
        let missing = |entry: &mut Entry| {
            let answer = Answer {
                result: Err("the query was not answered".to_owned()),
                seconds: 0.0,
            };
            guarded(|| self.settle(entry, answer))
        };
        let results = results.into_iter().zip(work);
        Some(
            results
                .map(|(result, (_, entry))| result.unwrap_or_else(|| missing(entry)))
                .collect(),
        )
    }

    /// Asks one rule's query by itself.
    fn ask(&self, entry: &mut Entry) -> Evaluated {
        let started = (self.run.stopwatch)();
        let query_ms = self.t_ms - self.offset_ms;
        let answer = Answer {
            result: self.run.source.instant(entry.rule.expr(), query_ms),
            seconds: (self.run.stopwatch)() - started,
        };
        self.settle(entry, answer)
    }

    /// Moves a rule on with the answer to its query.
    fn settle(&self, entry: &mut Entry, answer: Answer) -> Evaluated {
        let (run, t_ms) = (self.run, self.t_ms);
        let started = (run.stopwatch)();
        let result = match (answer.result, &mut entry.rule) {
            (Err(error), _) => Err(error),
            (Ok(samples), Rule::Recording(rule)) => rule.output(samples, self.limit),
            (Ok(samples), Rule::Alerting(rule)) => rule.advance(
                samples,
                run.source,
                run.context,
                t_ms,
                self.offset_ms,
                self.limit,
            ),
        };
        entry.evaluation_seconds = answer.seconds + (run.stopwatch)() - started;
        entry.last_evaluation_ms = Some(t_ms);
        if result.is_ok() {
            entry.last_good_ms = Some(t_ms);
        }
        let believed = entry
            .last_good_ms
            .is_some_and(|good_ms| t_ms - good_ms <= run.outage_tolerance_ms);
        let alerts = match &mut entry.rule {
            Rule::Alerting(rule) if !rule.active.is_empty() && (result.is_ok() || believed) => {
                let link = table_link(&run.context.external_url, &rule.spec.expr);
                rule.alerts_to_send(t_ms, run.resend_delay_ms, self.interval_ms, &link)
            }
            _ => Vec::new(),
        };
        (result, alerts)
    }
}

/// A rule that panics fails alone, and its group goes on: a fault of ours in one query must not
/// silence the other alerts.
fn guarded(evaluate: impl FnOnce() -> Evaluated) -> Evaluated {
    catch_unwind(AssertUnwindSafe(evaluate)).unwrap_or_else(|_| {
        let error = "evaluating the rule panicked; see the log".to_owned();
        (Err(error), Vec::new())
    })
}

/// Does `act` to all items, at most `concurrency` at once; the results in the order of the items.
fn at_once<T: Send, R: Send>(
    items: &mut [T],
    concurrency: usize,
    act: impl Fn(&mut T) -> R + Sync,
) -> Vec<R> {
    let threads = concurrency.min(items.len());
    if threads <= 1 {
        return items.iter_mut().map(act).collect();
    }
    let queue = Mutex::new(items.iter_mut().enumerate());
    let work = || {
        let mut done = Vec::new();
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((position, item)) = next else {
                return done;
            };
            done.push((position, act(item)));
        }
    };
    let mut done = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut done = work();
        for thread in others {
            // Only a panic of `act` could be lost here, and rules keep theirs to themselves.
            done.extend(thread.join().unwrap_or_default());
        }
        done
    });
    done.sort_by_key(|(position, _)| *position);
    done.into_iter().map(|(_, result)| result).collect()
}
