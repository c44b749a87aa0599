//! Getting a page.

use std::io::Write as _;
use std::time::Duration;

use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use http_body_util::{BodyExt, Full};
use http_client::Client;

use crate::metrics::Metrics;

/// Why there is no page. The texts are upstream's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("{0}")]
    Request(String),
    #[error("server returned HTTP status {0}")]
    Status(String),
    #[error("body size limit exceeded")]
    TooLarge,
    #[error("{0}")]
    Body(String),
}

/// What is asked for, and how.
#[derive(Clone, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) url: &'a str,
    pub(crate) accept: &'a str,
    pub(crate) user_agent: &'a str,
    pub(crate) compression: bool,
    pub(crate) timeout: Duration,
    /// Of the page as it is without compression; 0 for none.
    pub(crate) body_limit: u64,
}

/// Gets a page into `page` and returns its content type.
///
/// # Errors
/// [`FetchError`], a timeout among them; the server may have sent a part by then.
pub(crate) async fn fetch(
    client: &Client,
    request: &Request<'_>,
    metrics: &Metrics,
    page: &mut Vec<u8>,
) -> Result<String, FetchError> {
    let get = async {
        let response = client
            .send(head(request)?)
            .await
            .map_err(|error| FetchError::Request(error.to_string()))?;
        let status = response.status();
        if status != http::StatusCode::OK {
            return Err(FetchError::Status(status.to_string()));
        }
        let header = |name: &str| {
            let value = response.headers().get(name);
            value.and_then(|v| v.to_str().ok()).unwrap_or("").to_owned()
        };
        let content_type = header("content-type");
        let gzip = header("content-encoding") == "gzip";
        read_body(response.into_body(), gzip, request.body_limit, page).await?;
        Ok(content_type)
    };
    let result = match tokio::time::timeout(request.timeout, get).await {
        Ok(result) => result,
        Err(_) => Err(FetchError::Request(format!(
            "Get {}: context deadline exceeded",
            golang::strconv::quote(request.url)
        ))),
    };
    if result == Err(FetchError::TooLarge) {
        metrics.exceeded_body_size.inc();
    }
    result
}

fn head(request: &Request<'_>) -> Result<http::Request<Full<Bytes>>, FetchError> {
    let timeout = golang::strconv::format_float(request.timeout.as_secs_f64(), 'f', -1, 64);
    let encoding = if request.compression {
        "gzip"
    } else {
        "identity"
    };
    http::Request::get(request.url)
        .header("Accept", request.accept)
        .header("Accept-Encoding", encoding)
        .header("User-Agent", request.user_agent)
        .header("X-Prometheus-Scrape-Timeout-Seconds", timeout)
        .body(Full::default())
        .map_err(|error| FetchError::Request(error.to_string()))
}

async fn read_body<B>(body: B, gzip: bool, limit: u64, page: &mut Vec<u8>) -> Result<(), FetchError>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    let limit = match limit {
        0 => usize::MAX,
        limit => usize::try_from(limit).unwrap_or(usize::MAX),
    };
    page.clear();
    let mut sink = Sink::new(std::mem::take(page), gzip, limit);
    let mut body = body;
    let result = loop {
        match body.frame().await {
            None => break sink.end(),
            Some(Err(error)) => break Err(FetchError::Body(error.to_string())),
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref()
                    && let Err(error) = sink.push(data)
                {
                    break Err(error);
                }
            }
        }
    };
    *page = sink.into_page();
    result
}

/// Takes a body in pieces and never more of it than the limit, however small it is compressed.
enum Sink {
    Plain(Limited),
    Gzip(Box<MultiGzDecoder<Limited>>),
}

struct Limited {
    page: Vec<u8>,
    limit: usize,
    hit: bool,
}

impl std::io::Write for Limited {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        // Upstream takes a body of exactly the limit for too large.
        if self.page.len() + data.len() >= self.limit {
            self.hit = true;
            return Err(std::io::Error::other("body size limit exceeded"));
        }
        self.page.extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Sink {
    fn new(page: Vec<u8>, gzip: bool, limit: usize) -> Sink {
        let limited = Limited {
            page,
            limit,
            hit: false,
        };
        if gzip {
            Sink::Gzip(Box::new(MultiGzDecoder::new(limited)))
        } else {
            Sink::Plain(limited)
        }
    }

    fn push(&mut self, data: &[u8]) -> Result<(), FetchError> {
        let result = match self {
            Sink::Plain(limited) => limited.write_all(data),
            Sink::Gzip(decoder) => decoder.write_all(data),
        };
        self.check(result)
    }

    fn end(&mut self) -> Result<(), FetchError> {
        let result = match self {
            Sink::Plain(_) => Ok(()),
            Sink::Gzip(decoder) => decoder.try_finish(),
        };
        self.check(result)
    }

    fn check(&self, result: std::io::Result<()>) -> Result<(), FetchError> {
        let hit = match self {
            Sink::Plain(limited) => limited.hit,
            Sink::Gzip(decoder) => decoder.get_ref().hit,
        };
        match result {
            _ if hit => Err(FetchError::TooLarge),
            Ok(()) => Ok(()),
            Err(error) => Err(FetchError::Body(format!("gzip: {error}"))),
        }
    }

    fn into_page(self) -> Vec<u8> {
        match self {
            Sink::Plain(limited) => limited.page,
            Sink::Gzip(mut decoder) => std::mem::take(&mut decoder.get_mut().page),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    async fn read(body: Vec<u8>, compressed: bool, limit: u64) -> Result<Vec<u8>, FetchError> {
        let mut page = Vec::new();
        read_body(Full::new(Bytes::from(body)), compressed, limit, &mut page).await?;
        Ok(page)
    }

    #[tokio::test]
    async fn bodies_and_their_limit() {
        assert_eq!(read(b"a 1\n".to_vec(), false, 0).await.unwrap(), b"a 1\n");
        assert_eq!(read(gzip(b"a 1\n"), true, 5).await.unwrap(), b"a 1\n");
        assert_eq!(
            read(b"a 1\n".to_vec(), false, 4).await,
            Err(FetchError::TooLarge)
        );
        // A bomb: below the limit on the wire.
        let bomb = gzip(&vec![0; 4 << 20]);
        assert!(bomb.len() < 64_000);
        assert_eq!(read(bomb, true, 64_000).await, Err(FetchError::TooLarge));
        assert!(matches!(
            read(b"no gzip".to_vec(), true, 0).await,
            Err(FetchError::Body(_))
        ));
        let cut = gzip(b"a 1\n");
        let cut = cut[..cut.len() - 5].to_vec();
        assert!(matches!(read(cut, true, 0).await, Err(FetchError::Body(_))));
    }
}
