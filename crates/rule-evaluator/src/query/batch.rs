//! All queries of a level in one call, over `firewatch.rules.v1`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, StreamExt};
use model::Labels;
use proto::convert::{AnyHistogram, histogram_from_prometheus};
use proto::firewatch::rules::v1::evaluation_client::EvaluationClient;
use proto::firewatch::rules::v1::{self as wire, EvaluateRequest, EvaluateResponse, Part};
use rules::{Answer, Sample, SampleValue};
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

use super::Answers;

/// Why there are no answers.
pub(super) enum Refused {
    /// The server does not know the call.
    Unknown,
    /// In the words of [`describe`].
    Failed { text: String, away: bool },
}

/// A batch of queries, as it is asked.
pub(super) struct Batch {
    pub queries: Vec<String>,
    pub t_ms: i64,
    pub concurrency: usize,
    /// How long each query may take; the server ends those that take longer, and says so.
    pub timeout: Duration,
    /// How long the server may be silent.
    pub wait: Duration,
    /// Names the server in errors.
    pub address: Arc<str>,
}

impl Batch {
    /// Asks the server; its answers come as it has them, in any order, one for each query.
    pub(super) async fn ask(
        self,
        mut client: EvaluationClient<Channel>,
    ) -> Result<Answers, Refused> {
        let pending = Pending {
            gathered: self.queries.iter().map(|_| Some(Vec::new())).collect(),
            ready: VecDeque::new(),
            texts: self.queries.clone(),
            t_ms: self.t_ms,
        };
        let request = EvaluateRequest {
            time_ms: self.t_ms,
            queries: self.queries,
            concurrency: u32::try_from(self.concurrency).unwrap_or(u32::MAX),
            timeout_ms: u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX),
        };
        let (wait, address) = (self.wait, self.address);
        let messages = match tokio::time::timeout(wait, client.evaluate(request)).await {
            Ok(Ok(response)) => response.into_inner(),
            Ok(Err(status)) if status.code() == Code::Unimplemented => {
                return Err(Refused::Unknown);
            }
            Ok(Err(status)) => {
                let away = status.code() == Code::Unavailable;
                let text = describe(&address, &status);
                return Err(Refused::Failed { text, away });
            }
            Err(_) => {
                let text = silent(&address, wait);
                return Err(Refused::Failed { text, away: false });
            }
        };
        let state = (messages, pending, address);
        let answers = stream::unfold(
            state,
            move |(mut messages, mut pending, address)| async move {
                while pending.ready.is_empty() && !pending.is_done() {
                    match next(&mut messages, wait, &address).await {
                        Ok(message) => pending.take(message),
                        Err(error) => pending.fail(&error),
                    }
                }
                let answer = pending.ready.pop_front()?;
                Some((answer, (messages, pending, address)))
            },
        );
        Ok(answers.boxed())
    }
}

async fn next(
    messages: &mut Streaming<EvaluateResponse>,
    wait: Duration,
    address: &str,
) -> Result<EvaluateResponse, String> {
    match tokio::time::timeout(wait, messages.next()).await {
        Ok(Some(Ok(message))) => Ok(message),
        Ok(Some(Err(status))) => Err(describe(address, &status)),
        Ok(None) => Err(format!(
            "query endpoint {address}: it ended the answer without one to this query"
        )),
        Err(_) => Err(silent(address, wait)),
    }
}

/// The server's words; where it cannot be reached, with its address.
pub(super) fn describe(address: &str, status: &Status) -> String {
    match status.code() {
        Code::Unavailable => format!("query endpoint {address}: {}", status.message()),
        _ => status.message().to_owned(),
    }
}

/// What to say of a server that says nothing.
pub(super) fn silent(address: &str, wait: Duration) -> String {
    format!("query endpoint {address}: no answer within {wait:?}")
}

/// Answers that are on their way.
struct Pending {
    /// By the query's position; `None` once it is answered.
    gathered: Vec<Option<Vec<Sample>>>,
    ready: VecDeque<(usize, Answer)>,
    texts: Vec<String>,
    t_ms: i64,
}

impl Pending {
    fn is_done(&self) -> bool {
        self.gathered.iter().all(Option::is_none)
    }

    fn take(&mut self, message: EvaluateResponse) {
        for part in message.parts {
            self.take_part(part);
        }
    }

    fn take_part(&mut self, part: Part) {
        let position = part.query as usize;
        // Parts behind an answer's end mean nothing.
        let Some(slot @ Some(_)) = self.gathered.get_mut(position) else {
            return;
        };
        for warning in &part.warnings {
            let query = self.texts[position].as_str();
            tracing::warn!(query, warning, "a rule's query came with a warning");
        }
        let samples = slot.get_or_insert_default();
        let mut error = None;
        for sample in part.samples {
            match unpack(sample, self.t_ms) {
                Some(sample) => samples.push(sample),
                None => error = Some("the answer has labels that are none".to_owned()),
            }
        }
        let (seconds, ended) = match part.end {
            Some(end) => {
                error = end.error.or(error);
                (end.seconds, true)
            }
            None => (0.0, error.is_some()),
        };
        if ended {
            let samples = slot.take().unwrap_or_default();
            let result = error.map_or(Ok(samples), Err);
            self.ready.push_back((position, Answer { result, seconds }));
        }
    }

    /// What is not answered now never will be.
    fn fail(&mut self, error: &str) {
        for (position, slot) in self.gathered.iter_mut().enumerate() {
            if slot.take().is_some() {
                let answer = Answer {
                    result: Err(error.to_owned()),
                    seconds: 0.0,
                };
                self.ready.push_back((position, answer));
            }
        }
    }
}

fn unpack(sample: wire::Sample, t_ms: i64) -> Option<Sample> {
    let labels = Labels::from_packed(&sample.labels)?;
    let value = match sample.histogram {
        None => SampleValue::Float(sample.value),
        Some(histogram) => {
            let histogram = match histogram_from_prometheus(&histogram).1 {
                AnyHistogram::Float(histogram) => histogram,
                AnyHistogram::Integer(histogram) => histogram.to_float(),
            };
            SampleValue::Histogram(Arc::new(histogram))
        }
    };
    Some(Sample {
        labels,
        t_ms,
        value,
    })
}
