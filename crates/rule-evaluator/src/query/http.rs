//! Queries over HTTP, in Prometheus' API; with Thanos' parameters, which others pass over.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Method, Request, header};
use http_api::answer::{self, AnswerSeries, AnswerValue};
use http_body_util::{BodyExt, Full, Limited};
use http_client::Client;
use model::Labels;
use rules::{PartialResponse, Sample};

use super::Source;

/// Answers of up to this size are taken.
const MAX_ANSWER_BYTES: usize = 1 << 30;

/// How a server is asked.
pub struct HttpOptions {
    pub client: Client,
    /// The server's URL, without the API's path.
    pub url: String,
    /// GET instead of POST.
    pub get: bool,
    pub timeout: Duration,
}

/// A server with Prometheus' API.
pub struct HttpSource {
    options: HttpOptions,
    endpoint: Arc<str>,
}

impl HttpSource {
    /// The server of the options.
    pub fn new(options: HttpOptions) -> HttpSource {
        let endpoint = format!("{}/api/v1/query", options.url.trim_end_matches('/'));
        HttpSource {
            options,
            endpoint: endpoint.into(),
        }
    }

    async fn query(
        &self,
        query: &str,
        t_ms: i64,
        partial: PartialResponse,
    ) -> Result<Vec<Sample>, String> {
        let escape = gotemplate::escape_query;
        let form = format!(
            "query={}&time={}.{:03}&timeout={}ms&dedup=true&partial_response={}",
            escape(query),
            t_ms.div_euclid(1000),
            t_ms.rem_euclid(1000),
            self.options.timeout.as_millis(),
            partial == PartialResponse::Warn
        );
        let request = if self.options.get {
            Request::builder()
                .uri(format!("{}?{form}", self.endpoint))
                .body(Full::default())
        } else {
            Request::builder()
                .method(Method::POST)
                .uri(&*self.endpoint)
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(Full::new(Bytes::from(form)))
        };
        let request = request.map_err(|e| format!("{}: {e}", self.endpoint))?;
        let exchange = async {
            let response = self
                .options
                .client
                .send(request)
                .await
                .map_err(|e| e.to_string())?;
            let status = response.status().as_u16();
            let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES)
                .collect()
                .await
                .map_err(|e| format!("{}: {e}", self.endpoint))?;
            Ok::<_, String>((status, body.to_bytes()))
        };
        let (status, body) = tokio::time::timeout(self.options.timeout, exchange)
            .await
            .map_err(|_| {
                let limit = self.options.timeout;
                format!("{}: no answer within {limit:?}", self.endpoint)
            })??;
        let answer = answer::read::<AnswerValue>(status, &body).map_err(|e| match e {
            answer::AnswerError::Server { message, .. } => message,
            other => format!("{}: {other}", self.endpoint),
        })?;
        for warning in answer.warnings {
            tracing::warn!(query, warning, "a rule's query came with a warning");
        }
        samples(answer.data)
    }
}

fn samples(value: AnswerValue) -> Result<Vec<Sample>, String> {
    let series = match value {
        AnswerValue::Scalar { t_ms, v } => {
            return Ok(vec![Sample::float(Labels::default(), t_ms, v)]);
        }
        AnswerValue::Vector(series) | AnswerValue::Matrix(series) => series,
        AnswerValue::String { .. } => {
            return Err("rule result is not a vector or scalar".to_owned());
        }
    };
    let mut samples = Vec::with_capacity(series.len());
    for AnswerSeries {
        labels,
        floats,
        histograms,
    } in series
    {
        if !histograms.is_empty() {
            return Err(
                "the answer has native histograms, which HTTP shows by their bounds only: \
                 query over gRPC"
                    .to_owned(),
            );
        }
        samples.extend(
            floats
                .into_iter()
                .map(|(t_ms, v)| Sample::float(labels.clone(), t_ms, v)),
        );
    }
    Ok(samples)
}

impl Source for HttpSource {
    fn ask<'a>(
        &'a self,
        query: &'a str,
        t_ms: i64,
        partial: PartialResponse,
    ) -> BoxFuture<'a, Result<Vec<Sample>, String>> {
        Box::pin(self.query(query, t_ms, partial))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::Router;
    use axum::extract::State;
    use axum::routing::any;
    use http_client::{ClientOptions, HttpClientConfig};
    use parking_lot::Mutex;

    use super::*;

    type Answers = Arc<Mutex<(u16, &'static str, Vec<String>)>>;

    async fn source(status: u16, body: &'static str, get: bool) -> (HttpSource, Answers) {
        let answers: Answers = Arc::new(Mutex::new((status, body, Vec::new())));
        let handler = |State(answers): State<Answers>, request: axum::extract::Request| async move {
            let line = format!("{} {}", request.method(), request.uri());
            let body = axum::body::to_bytes(request.into_body(), 1 << 20)
                .await
                .unwrap();
            let mut answers = answers.lock();
            answers
                .2
                .push(format!("{line} {}", String::from_utf8_lossy(&body)));
            (
                axum::http::StatusCode::from_u16(answers.0).unwrap(),
                answers.1,
            )
        };
        let router = Router::new()
            .route("/prefix/api/v1/query", any(handler))
            .with_state(Arc::clone(&answers));
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
            .await
            .unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        let source = HttpSource::new(HttpOptions {
            client: Client::new(&HttpClientConfig::default(), ClientOptions::default()).unwrap(),
            url: format!("http://{address}/prefix/"),
            get,
            timeout: Duration::from_secs(5),
        });
        (source, answers)
    }

    #[tokio::test]
    async fn queries_are_forms_with_the_exact_time_and_thanos_parameters() {
        let body = r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"a":"b"},"value":[1.5,"2"]}]},"warnings":["w"]}"#;
        let (source, answers) = source(200, body, false).await;
        let samples = source
            .ask("a + b", 1500, PartialResponse::Warn)
            .await
            .unwrap();
        assert_eq!(
            samples,
            [Sample::float(Labels::from([("a", "b")]), 1500, 2.0)]
        );
        assert_eq!(
            answers.lock().2,
            [
                "POST /prefix/api/v1/query query=a+%2B+b&time=1.500&timeout=5000ms&dedup=true&partial_response=true"
            ]
        );
    }

    #[tokio::test]
    async fn get_and_matrices() {
        let body = r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"2"],[2,"3"]]}]}}"#;
        let (source, answers) = source(200, body, true).await;
        let samples = source
            .ask("m[1m]", 2000, PartialResponse::Abort)
            .await
            .unwrap();
        assert_eq!(samples.len(), 2);
        assert!(
            answers.lock().2[0].starts_with("GET /prefix/api/v1/query?query=m%5B1m%5D&time=2.000&")
        );
        assert!(answers.lock().2[0].contains("partial_response=false"));
    }

    #[tokio::test]
    async fn errors_are_the_servers_words() {
        let body = r#"{"status":"error","errorType":"execution","error":"too many samples"}"#;
        let (source, _) = source(422, body, false).await;
        let error = source
            .ask("x", 0, PartialResponse::Abort)
            .await
            .unwrap_err();
        assert_eq!(error, "too many samples");
        let (source, _) = self::source(502, "<html>", false).await;
        let error = source
            .ask("x", 0, PartialResponse::Abort)
            .await
            .unwrap_err();
        assert!(
            error.ends_with("server_error: server error: 502"),
            "{error}"
        );
        let histogram = r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"histogram":[1,{"count":"1","sum":"1"}]}]}}"#;
        let (source, _) = self::source(200, histogram, false).await;
        let error = source
            .ask("x", 0, PartialResponse::Abort)
            .await
            .unwrap_err();
        assert!(error.contains("query over gRPC"), "{error}");
    }
}
