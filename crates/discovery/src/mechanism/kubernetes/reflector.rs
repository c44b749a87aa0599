//! Following a kind of objects: a list first, then a watch from there, and a list again where the API
//! server no longer knows what was before (410 Gone).
//!
//! While the server cannot be asked nothing is said, so what was known holds.

use std::time::{Duration, Instant};

use http::{Response, StatusCode};
use http_body_util::BodyExt;
use http_client::Client;
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::mpsc;

use super::super::Updates;
use super::objects::{Meta, Object};
use super::view::News;
use crate::fetch::{fetch, get};
use crate::labels::query;
use crate::metrics::Metrics;

/// Objects in one answer of a list.
const PAGE: &str = "500";
/// A single object is at most a few MiB in the API server's own store.
const MAX_EVENT_BYTES: usize = 32 << 20;
const LIST_TIMEOUT: Duration = Duration::from_secs(120);
/// A watch ends of itself after five to ten minutes, and has to be silent for that long to be called dead.
const WATCH_SECONDS: u64 = 300;
const WATCH_GRACE: Duration = Duration::from_secs(30);
const FIRST_PAUSE: Duration = Duration::from_millis(800);
const LAST_PAUSE: Duration = Duration::from_secs(30);

/// What happened to objects of a kind.
#[derive(Debug)]
pub(super) enum Change<T> {
    /// These are all there are, in the reflector's namespace if it has one.
    Listed(Vec<T>),
    Applied(T),
    Deleted(T),
}

/// What objects of a kind are made of and made into. Following them is the same for all kinds, and so in
/// the program once.
pub(super) trait Decode: Send + Sync {
    /// Takes the objects of one page of a list.
    fn page(&mut self, items: &[&RawValue]) -> serde_json::Result<()>;
    /// Forgets the pages so far.
    fn restart(&mut self);
    /// What the pages were.
    fn listed(&mut self) -> News;
    /// What happened to an object, and the version it has now.
    fn changed(&self, object: &RawValue, deleted: bool) -> serde_json::Result<(News, String)>;
}

/// Objects of type `T` as the news they are.
pub(super) struct As<T> {
    news: fn(Change<T>) -> News,
    pages: Vec<T>,
}

impl<T> As<T> {
    pub fn new(news: fn(Change<T>) -> News) -> As<T> {
        As {
            news,
            pages: Vec::new(),
        }
    }
}

impl<T: Object> Decode for As<T> {
    fn page(&mut self, items: &[&RawValue]) -> serde_json::Result<()> {
        for item in items {
            self.pages.push(serde_json::from_str(item.get())?);
        }
        Ok(())
    }

    fn restart(&mut self) {
        self.pages.clear();
    }

    fn listed(&mut self) -> News {
        (self.news)(Change::Listed(std::mem::take(&mut self.pages)))
    }

    fn changed(&self, object: &RawValue, deleted: bool) -> serde_json::Result<(News, String)> {
        let object: T = serde_json::from_str(object.get())?;
        let version = object.meta().resource_version.clone();
        let change = if deleted {
            Change::Deleted(object)
        } else {
            Change::Applied(object)
        };
        Ok(((self.news)(change), version))
    }
}

/// News of a reflector; whether they are all objects there are.
pub(super) struct Told {
    pub news: News,
    pub is_list: bool,
}

/// What is followed.
pub(super) struct Reflector {
    pub objects: Box<dyn Decode>,
    pub client: Client,
    pub updates: Updates,
    pub metrics: Metrics,
    /// `https://server/api/v1/namespaces/x/pods`
    pub url: String,
    pub label_selector: String,
    pub field_selector: String,
}

/// Why a watch ended.
enum End {
    /// As it does now and then.
    Over,
    /// What came before is forgotten over there.
    Gone,
    Failed(String),
}

impl Reflector {
    /// Follows until nobody listens any more.
    pub async fn run(mut self, told: mpsc::Sender<Told>) {
        let mut pause = FIRST_PAUSE;
        let mut version = None;
        loop {
            let at = match version.take() {
                Some(version) => version,
                None => match self.list().await {
                    Ok(at) => {
                        let news = self.objects.listed();
                        let is_list = true;
                        if told.send(Told { news, is_list }).await.is_err() {
                            return;
                        }
                        at
                    }
                    Err(error) => {
                        self.failed(&error);
                        tokio::time::sleep(pause).await;
                        pause = (pause * 2).min(LAST_PAUSE);
                        continue;
                    }
                },
            };
            let mut at = at;
            let begin = Instant::now();
            let end = self.watch(&mut at, &told).await;
            if begin.elapsed() > LAST_PAUSE {
                pause = FIRST_PAUSE;
            }
            match end {
                Some(End::Over) => version = Some(at),
                Some(End::Gone) => {}
                Some(End::Failed(error)) => {
                    self.failed(&error);
                    version = Some(at);
                }
                None => return,
            }
            // A server that hangs up at once is not to be stormed.
            if begin.elapsed() < pause {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LAST_PAUSE);
            }
        }
    }

    fn failed(&self, error: &str) {
        self.metrics.kubernetes_failures.inc();
        self.updates.failed("kubernetes", &self.url, error);
    }

    fn url(&self, more: &[(&str, &str)]) -> String {
        let selectors = [
            ("labelSelector", self.label_selector.as_str()),
            ("fieldSelector", self.field_selector.as_str()),
        ];
        let selectors = selectors.into_iter().filter(|(_, text)| !text.is_empty());
        format!(
            "{}{}",
            self.url,
            query(more.iter().copied().chain(selectors))
        )
    }

    /// Hands all objects to the decoder; the version of the store that they are of.
    async fn list(&mut self) -> Result<String, String> {
        #[derive(Deserialize)]
        struct List<'a> {
            #[serde(default)]
            metadata: ListMeta,
            #[serde(borrow)]
            items: Option<Vec<&'a RawValue>>,
        }
        #[derive(Default, Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        struct ListMeta {
            resource_version: String,
            r#continue: String,
        }
        self.objects.restart();
        let mut next = String::new();
        loop {
            // The first page of what the server has in memory; it needs no quorum for that.
            let url = if next.is_empty() {
                self.url(&[("limit", PAGE), ("resourceVersion", "0")])
            } else {
                self.url(&[("limit", PAGE), ("continue", &next)])
            };
            let asked = fetch(&self.client, get(&url)?);
            let answer = tokio::time::timeout(LIST_TIMEOUT, asked).await;
            let answer = answer.map_err(|_| "context deadline exceeded".to_owned())??;
            if answer.status == StatusCode::GONE && !next.is_empty() {
                // Too slow: the pages are of a state that is gone. From the beginning.
                self.objects.restart();
                next.clear();
                tokio::time::sleep(FIRST_PAUSE).await;
                continue;
            }
            if answer.status != StatusCode::OK {
                return Err(refusal(answer.status, &answer.body));
            }
            let wrong = |error: serde_json::Error| error.to_string();
            let page: List<'_> = serde_json::from_slice(&answer.body).map_err(wrong)?;
            let items = page.items.unwrap_or_default();
            self.objects.page(&items).map_err(wrong)?;
            next = page.metadata.r#continue;
            if next.is_empty() {
                self.updates.recovered(&self.url);
                return Ok(page.metadata.resource_version);
            }
        }
    }

    /// Tells what changes from a version on, and keeps the version up to date; `None` if nobody listens.
    async fn watch(&self, version: &mut String, told: &mpsc::Sender<Told>) -> Option<End> {
        let seconds = WATCH_SECONDS + jitter(WATCH_SECONDS);
        let url = self.url(&[
            ("watch", "1"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", version),
            ("timeoutSeconds", &seconds.to_string()),
        ]);
        let limit = Duration::from_secs(seconds) + WATCH_GRACE;
        let followed = tokio::time::timeout(limit, self.follow(&url, version, told));
        followed.await.unwrap_or(Some(End::Over))
    }

    async fn follow(
        &self,
        url: &str,
        version: &mut String,
        told: &mpsc::Sender<Told>,
    ) -> Option<End> {
        let mut body = match self.open(url).await {
            Ok(response) => response.into_body(),
            Err(end) => return Some(end),
        };
        self.updates.recovered(&self.url);
        let mut buffer: Vec<u8> = Vec::new();
        loop {
            let frame = match body.frame().await {
                None => return Some(End::Over),
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return Some(End::Failed(error.to_string())),
            };
            let Some(bytes) = frame.data_ref() else {
                continue;
            };
            buffer.extend_from_slice(bytes);
            while let Some(at) = memchr(&buffer) {
                let line: Vec<u8> = buffer.drain(..=at).collect();
                match event(&line, &*self.objects) {
                    Ok(Event::Change(news, at)) => {
                        *version = at;
                        let is_list = false;
                        told.send(Told {
                            news: *news,
                            is_list,
                        })
                        .await
                        .ok()?;
                    }
                    Ok(Event::Bookmark(at)) => *version = at,
                    Ok(Event::Nothing) => {}
                    Err(end) => return Some(end),
                }
            }
            if buffer.len() > MAX_EVENT_BYTES {
                return Some(End::Failed("an event without an end".to_owned()));
            }
        }
    }

    async fn open(&self, url: &str) -> Result<Response<Incoming>, End> {
        let request = get(url).map_err(End::Failed)?;
        let sent = self.client.send(request.map(http_body_util::Full::new));
        let response = sent.await.map_err(|error| End::Failed(error.to_string()))?;
        match response.status() {
            StatusCode::OK => Ok(response),
            StatusCode::GONE => Err(End::Gone),
            status => {
                let body = http_body_util::Limited::new(response.into_body(), 1 << 20);
                let body = body.collect().await.map(|body| body.to_bytes());
                Err(End::Failed(refusal(status, &body.unwrap_or_default())))
            }
        }
    }
}

fn memchr(buffer: &[u8]) -> Option<usize> {
    buffer.iter().position(|byte| *byte == b'\n')
}

/// Some of a span, so that not all watches end at once.
fn jitter(span: u64) -> u64 {
    let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    u64::from(nanos.map_or(0, |nanos| nanos.subsec_nanos())) % span
}

enum Event {
    Change(Box<News>, String),
    Bookmark(String),
    Nothing,
}

fn event(line: &[u8], objects: &dyn Decode) -> Result<Event, End> {
    #[derive(Deserialize)]
    struct Raw<'a> {
        r#type: String,
        #[serde(borrow)]
        object: &'a RawValue,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Bookmark {
        metadata: Meta,
    }
    if line.iter().all(u8::is_ascii_whitespace) {
        return Ok(Event::Nothing);
    }
    let fail = |error: serde_json::Error| End::Failed(format!("an event that is none: {error}"));
    let raw: Raw<'_> = serde_json::from_slice(line).map_err(fail)?;
    let deleted = match raw.r#type.as_str() {
        "ADDED" | "MODIFIED" => false,
        "DELETED" => true,
        "BOOKMARK" => {
            let bookmark: Bookmark = serde_json::from_str(raw.object.get()).map_err(fail)?;
            return Ok(Event::Bookmark(bookmark.metadata.resource_version));
        }
        "ERROR" => {
            let status: Status = serde_json::from_str(raw.object.get()).unwrap_or_default();
            return Err(match status.code {
                410 => End::Gone,
                _ => End::Failed(status.message),
            });
        }
        // A kind of event that is younger than we are.
        _ => return Ok(Event::Nothing),
    };
    let (news, version) = objects.changed(raw.object, deleted).map_err(fail)?;
    Ok(Event::Change(Box::new(news), version))
}

/// The API server's own way of saying no.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    message: String,
    code: i64,
}

fn refusal(status: StatusCode, body: &[u8]) -> String {
    let told: Status = serde_json::from_slice(body).unwrap_or_default();
    if told.message.is_empty() {
        status.to_string()
    } else {
        told.message
    }
}
