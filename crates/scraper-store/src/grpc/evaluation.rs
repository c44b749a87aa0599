//! `firewatch.rules.v1.Evaluation`: all expressions of a rule group in one call.
//!
//! What a query costs beside its evaluation is mostly the call: frames, headers, wake-ups on both
//! sides. A batch pays for them once. Its queries are taken in turn on one thread, which is enough for
//! most groups; where that lasts, more threads join, as many as the client allows. Every query is one to
//! all that counts queries: the gate, the metrics, the log, the limits of the engine.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use promql::{CancelToken, Engine, QueryError, QueryOptions, QueryResult, SampleValue, Value};
use proto::convert::float_histogram_to_prometheus;
use proto::firewatch::rules::v1::evaluation_server::Evaluation;
use proto::firewatch::rules::v1::{End, EvaluateRequest, EvaluateResponse, Part, Sample};
use storage::Queryable;
use tokio::sync::mpsc;
use tonic::{Request, Response, Status};

use crate::api::CancelOnDrop;
use crate::queries::{Asked, Place, Queries};

/// After this long a batch gets the further threads that the client allows.
const LASTING: Duration = Duration::from_millis(10);
/// Most threads of a batch.
const MAX_THREADS: usize = 32;
/// Answers are gathered up to this size, or this age, before they are sent.
const MESSAGE_BYTES: usize = 64 << 10;
const MESSAGE_AGE: Duration = Duration::from_millis(50);
/// Messages that wait for the client.
const WAITING: usize = 4;

pub(super) struct EvaluationService {
    pub engine: Arc<Engine>,
    pub store: Arc<dyn Queryable>,
    pub queries: Arc<Queries>,
    pub timeout: Duration,
}

#[tonic::async_trait]
impl Evaluation for EvaluationService {
    type EvaluateStream = Pin<Box<dyn Stream<Item = Result<EvaluateResponse, Status>> + Send>>;

    async fn evaluate(
        &self,
        request: Request<EvaluateRequest>,
    ) -> Result<Response<Self::EvaluateStream>, Status> {
        let request = request.into_inner();
        let asked_ms = Duration::from_millis(request.timeout_ms);
        let timeout = match request.timeout_ms {
            0 => self.timeout,
            _ => asked_ms.min(self.timeout),
        };
        let helpers = (request.concurrency as usize)
            .min(request.queries.len())
            .clamp(1, MAX_THREADS)
            - 1;
        let cancel = CancelToken::new();
        let batch = Arc::new(Batch {
            engine: Arc::clone(&self.engine),
            store: Arc::clone(&self.store),
            gate: Arc::clone(&self.queries),
            queries: request.queries,
            t_ms: request.time_ms,
            timeout,
            next: AtomicUsize::new(0),
            cancel: cancel.clone(),
        });
        let (out, messages) = mpsc::channel(WAITING);
        if helpers > 0 {
            let (batch, out) = (Arc::clone(&batch), out.downgrade());
            tokio::spawn(async move {
                tokio::time::sleep(LASTING).await;
                for _ in 0..helpers {
                    // Without senders the batch is done.
                    let Some(out) = out.upgrade() else { return };
                    tokio::spawn(work(Arc::clone(&batch), out));
                }
            });
        }
        tokio::spawn(work(batch, out));
        // A client that hangs up drops the stream, and that stops the queries.
        let state = (messages, CancelOnDrop(cancel));
        let messages = stream::unfold(state, |(mut messages, guard)| async move {
            let parts = messages.recv().await?;
            Some((Ok(EvaluateResponse { parts }), (messages, guard)))
        });
        Ok(Response::new(messages.boxed()))
    }
}

/// Queries that are evaluated together.
struct Batch {
    engine: Arc<Engine>,
    store: Arc<dyn Queryable>,
    gate: Arc<Queries>,
    queries: Vec<String>,
    t_ms: i64,
    timeout: Duration,
    /// The query whose turn it is.
    next: AtomicUsize,
    cancel: CancelToken,
}

/// Takes queries of the batch until there are none left: waits for a place among the queries that
/// run, and evaluates on a blocking thread for as long as there is one without waiting.
async fn work(batch: Arc<Batch>, out: mpsc::Sender<Vec<Part>>) {
    let mut next = batch.turn();
    while let Some(turn) = next {
        match batch.gate.place(batch.timeout).await {
            Ok(place) => {
                let (batch, out) = (Arc::clone(&batch), out.clone());
                let ran = tokio::task::spawn_blocking(move || batch.run(turn, place, &out));
                // Panics of queries are caught in there; for others the client misses answers.
                next = ran.await.unwrap_or_default();
            }
            Err(error) => {
                let part = last_part(turn.query, Some(error.to_string()), turn.began);
                if out.send(vec![part]).await.is_err() {
                    return;
                }
                next = batch.turn();
            }
        }
    }
}

/// A query whose turn has come.
struct Turn {
    query: usize,
    began: Instant,
}

impl Batch {
    /// The next query, if there is one and somebody waits for it.
    fn turn(&self) -> Option<Turn> {
        if self.cancel.is_canceled() {
            return None;
        }
        let query = self.next.fetch_add(1, Ordering::Relaxed);
        (query < self.queries.len()).then(|| Turn {
            query,
            began: Instant::now(),
        })
    }

    /// Evaluates a query, and further ones while there is a place at once. Returns the query that has
    /// to wait for one.
    fn run(&self, first: Turn, place: Place, out: &mpsc::Sender<Vec<Part>>) -> Option<Turn> {
        let mut message = Message::new(out);
        let (mut turn, mut place) = (first, place);
        let waits = loop {
            if message.is_old() && !message.send() {
                return None;
            }
            let result = self.evaluate(&turn, place.queued);
            // The place is given back before the answer is sent: a slow client holds none.
            drop(place);
            if !message.answer(&turn, result) {
                return None;
            }
            let Some(next) = self.turn() else { break None };
            let Some(free) = self.gate.place_at_once() else {
                break Some(next);
            };
            (turn, place) = (next, free);
        };
        message.send();
        waits
    }

    fn evaluate(&self, turn: &Turn, queued: Duration) -> Result<QueryResult, String> {
        let query = self.queries[turn.query].as_str();
        let options = QueryOptions {
            cancel: self.cancel.with_deadline(turn.began + self.timeout),
            ..QueryOptions::default()
        };
        let asked = Asked {
            query,
            start_ms: self.t_ms,
            end_ms: self.t_ms,
            step_ms: 0,
            queued,
            origin: None,
        };
        let evaluate = || {
            self.gate.run(&asked, || {
                self.engine
                    .instant(&*self.store, query, self.t_ms, &options)
            })
        };
        match catch_unwind(AssertUnwindSafe(evaluate)) {
            Ok(result) => result.map_err(|error: QueryError| error.to_string()),
            Err(_) => Err("the query panicked; see the log".to_owned()),
        }
    }
}

/// Parts of answers that are sent as one message.
struct Message<'a> {
    out: &'a mpsc::Sender<Vec<Part>>,
    parts: Vec<Part>,
    bytes: usize,
    began: Instant,
}

impl<'a> Message<'a> {
    fn new(out: &'a mpsc::Sender<Vec<Part>>) -> Message<'a> {
        Message {
            out,
            parts: Vec::new(),
            bytes: 0,
            began: Instant::now(),
        }
    }

    fn is_old(&self) -> bool {
        !self.parts.is_empty() && self.began.elapsed() > MESSAGE_AGE
    }

    /// Sends what is there; false where nobody listens any more.
    fn send(&mut self) -> bool {
        self.bytes = 0;
        let parts = std::mem::take(&mut self.parts);
        parts.is_empty() || self.out.blocking_send(parts).is_ok()
    }

    /// Takes a query's answer in; false where nobody listens any more.
    fn answer(&mut self, turn: &Turn, result: Result<QueryResult, String>) -> bool {
        if self.parts.is_empty() {
            self.began = turn.began;
        }
        let mut part = Part {
            query: turn.query as u32,
            ..Part::default()
        };
        let result = result.and_then(|result| {
            let warnings = result.annotations.warnings().map(str::to_owned);
            part.warnings = warnings.collect();
            samples(result.value)
        });
        let error = match result {
            Ok(samples) => {
                for sample in samples {
                    self.bytes += sample.labels.len() + 16;
                    part.samples.push(sample);
                    if self.bytes > MESSAGE_BYTES {
                        let full = Part {
                            query: turn.query as u32,
                            samples: std::mem::take(&mut part.samples),
                            ..Part::default()
                        };
                        self.parts.push(full);
                        if !self.send() {
                            return false;
                        }
                    }
                }
                None
            }
            Err(error) => Some(error),
        };
        part.end = last_part(turn.query, error, turn.began).end;
        self.parts.push(part);
        true
    }
}

/// The end of an answer.
fn last_part(query: usize, error: Option<String>, began: Instant) -> Part {
    Part {
        query: query as u32,
        end: Some(End {
            error,
            seconds: began.elapsed().as_secs_f64(),
        }),
        ..Part::default()
    }
}

/// A vector's elements; a scalar is one without labels. Rules give nothing else.
fn samples(value: Value) -> Result<Vec<Sample>, String> {
    match value {
        Value::Vector(vector) => Ok(vector
            .into_iter()
            .map(|element| {
                let mut sample = Sample {
                    labels: Bytes::copy_from_slice(element.labels.as_bytes()),
                    ..Sample::default()
                };
                match element.value {
                    SampleValue::Float(value) => sample.value = value,
                    SampleValue::Histogram(h) => {
                        sample.histogram = Some(float_histogram_to_prometheus(0, &h));
                    }
                }
                sample
            })
            .collect()),
        Value::Scalar { v, .. } => Ok(vec![Sample {
            value: v,
            ..Sample::default()
        }]),
        // In upstream's words.
        Value::String { .. } | Value::Matrix(_) => {
            Err("rule result is not a vector or scalar".to_owned())
        }
    }
}

#[cfg(test)]
mod tests;
