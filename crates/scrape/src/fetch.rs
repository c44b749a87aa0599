//! Getting a page.

use std::time::Duration;

use bytes::Bytes;
use flate2::{Decompress, FlushDecompress, Status};
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
    /// With how many there were when reading stopped.
    #[error("sample limit exceeded")]
    TooManySamples(usize),
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
    /// How many sample lines a page may have; 0 for any number, and where relabelling may drop some.
    pub(crate) line_limit: u64,
}

/// Of pages larger than this the sample lines are counted while they come in, so that nobody has to take
/// hundreds of megabytes to find that there are too many. Up to here a page is read whole, and the report
/// says how many samples there are, as upstream's does.
const COUNTED_FROM_BYTES: usize = 16 << 20;

/// The largest window there is, of 32 KiB.
const GZIP_WINDOW_BITS: u8 = 15;
/// What a page grows by at least while it is decompressed.
const ROOM_BYTES: usize = 64 << 10;

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
        let is_text = !content_type.contains("protobuf");
        let line_limit = if is_text { request.line_limit } else { 0 };
        let limits = (request.body_limit, line_limit);
        read_body(response.into_body(), gzip, limits, page).await?;
        Ok(content_type)
    };
    let result = match tokio::time::timeout(request.timeout, get).await {
        Ok(result) => result,
        Err(_) => Err(FetchError::Request(format!(
            "Get {}: context deadline exceeded",
            golang::strconv::quote(request.url)
        ))),
    };
    match result {
        Err(FetchError::TooLarge) => metrics.exceeded_body_size.inc(),
        Err(FetchError::TooManySamples(_)) => metrics.exceeded_sample_limit.inc(),
        _ => {}
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

async fn read_body<B>(
    mut body: B,
    gzip: bool,
    (body_limit, line_limit): (u64, u64),
    page: &mut Vec<u8>,
) -> Result<(), FetchError>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    let limit = match body_limit {
        0 => usize::MAX,
        limit => usize::try_from(limit).unwrap_or(usize::MAX),
    };
    page.clear();
    let mut gzip = gzip.then(Gzip::new);
    let mut lines = SampleLines::new(line_limit);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| FetchError::Body(error.to_string()))?;
        let Some(data) = frame.data_ref() else {
            continue;
        };
        match &mut gzip {
            Some(gzip) => gzip.push(data, page, limit)?,
            None => {
                page.extend_from_slice(&data[..data.len().min(limit - page.len())]);
            }
        }
        // Upstream takes a body of exactly the limit for too large.
        if page.len() >= limit {
            return Err(FetchError::TooLarge);
        }
        lines.count(page)?;
    }
    match gzip {
        Some(gzip) => gzip.end(),
        None => Ok(()),
    }
}

/// Decompresses a body in pieces, and never more of it than a limit, however small it is compressed.
struct Gzip {
    decoder: Decompress,
    /// Whether the last member, of which there may be several, was whole.
    whole: bool,
    begun: bool,
}

impl Gzip {
    fn new() -> Gzip {
        Gzip {
            decoder: Decompress::new_gzip(GZIP_WINDOW_BITS),
            whole: false,
            begun: false,
        }
    }

    /// Stops, without an error, where the page has `limit` bytes.
    fn push(&mut self, data: &[u8], page: &mut Vec<u8>, limit: usize) -> Result<(), FetchError> {
        let mut data = data;
        self.begun = true;
        while page.len() < limit {
            if data.is_empty() && page.len() < page.capacity() {
                break;
            }
            if std::mem::take(&mut self.whole) {
                self.decoder = Decompress::new_gzip(GZIP_WINDOW_BITS);
            }
            if page.capacity() - page.len() < ROOM_BYTES / 2 {
                page.reserve(ROOM_BYTES.min(limit - page.len()));
            }
            let (in_before, out_before) = (self.decoder.total_in(), page.len());
            let result = self
                .decoder
                .decompress_vec(data, page, FlushDecompress::None);
            let Ok(status) = result else {
                // Go's words for either, without its offset.
                let text = match self.decoder.total_out() {
                    0 => "gzip: invalid header",
                    _ => "flate: corrupt input",
                };
                return Err(FetchError::Body(text.to_owned()));
            };
            let taken = (self.decoder.total_in() - in_before) as usize;
            data = &data[taken..];
            match status {
                Status::StreamEnd if data.is_empty() => {
                    self.whole = true;
                    break;
                }
                Status::StreamEnd => self.whole = true,
                _ if taken == 0 && page.len() == out_before => break,
                _ => {}
            }
        }
        page.truncate(limit);
        Ok(())
    }

    fn end(self) -> Result<(), FetchError> {
        match (self.whole, self.begun) {
            (true, _) => Ok(()),
            (false, true) => Err(FetchError::Body("unexpected EOF".to_owned())),
            (false, false) => Err(FetchError::Body("EOF".to_owned())),
        }
    }
}

/// Counts the lines with samples of a large page.
struct SampleLines {
    limit: u64,
    count: u64,
    /// How much of the page has been looked at: whole lines.
    at: usize,
}

impl SampleLines {
    fn new(limit: u64) -> SampleLines {
        SampleLines {
            limit,
            count: 0,
            at: 0,
        }
    }

    fn count(&mut self, page: &[u8]) -> Result<(), FetchError> {
        if self.limit == 0 || page.len() < COUNTED_FROM_BYTES {
            return Ok(());
        }
        while let Some(end) = memchr::memchr(b'\n', &page[self.at..]) {
            let first = page[self.at];
            let is_sample = first.is_ascii_alphabetic() || matches!(first, b'_' | b':' | b'{');
            self.count += u64::from(is_sample);
            self.at += end + 1;
        }
        if self.count > self.limit {
            return Err(FetchError::TooManySamples(self.count as usize));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    async fn read(body: Vec<u8>, compressed: bool, limit: u64) -> Result<Vec<u8>, FetchError> {
        let mut whole = Vec::new();
        let one = Full::new(Bytes::from(body.clone()));
        let result = read_body(one, compressed, (limit, 0), &mut whole).await;
        // In small pieces it comes to the same.
        let mut page = Vec::new();
        let again = read_body(Pieces(body.chunks(7)), compressed, (limit, 0), &mut page).await;
        assert_eq!(result, again);
        result.map(|()| {
            assert!(page == whole);
            whole
        })
    }

    struct Pieces<I>(I);

    impl<'a, I: Iterator<Item = &'a [u8]> + Unpin> http_body::Body for Pieces<I> {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
            let piece = self.0.next().map(Bytes::copy_from_slice);
            Poll::Ready(piece.map(|piece| Ok(http_body::Frame::data(piece))))
        }
    }

    #[tokio::test]
    async fn bodies_and_their_limit() {
        assert_eq!(read(b"a 1\n".to_vec(), false, 0).await.unwrap(), b"a 1\n");
        assert_eq!(read(gzip(b"a 1\n"), true, 5).await.unwrap(), b"a 1\n");
        for (body, compressed) in [(b"a 1\n".to_vec(), false), (gzip(b"a 1\n"), true)] {
            assert_eq!(read(body, compressed, 4).await, Err(FetchError::TooLarge));
        }
        // A bomb: below the limit on the wire.
        let bomb = gzip(&vec![0; 4 << 20]);
        assert!(bomb.len() < 64_000);
        assert_eq!(
            read(bomb.clone(), true, 64_000).await,
            Err(FetchError::TooLarge)
        );
        assert_eq!(read(bomb, true, 0).await.unwrap().len(), 4 << 20);
    }

    #[tokio::test]
    async fn compressed_bodies() {
        let page: Vec<u8> = (0..300_000u32).flat_map(|i| i.to_le_bytes()).collect();
        assert!(read(gzip(&page), true, 0).await.unwrap() == page);
        let two = [gzip(b"a 1\n"), gzip(b""), gzip(b"b 2\n")].concat();
        assert_eq!(read(two, true, 0).await.unwrap(), b"a 1\nb 2\n");
        let error = |text: &str| Err(FetchError::Body(text.to_owned()));
        assert_eq!(
            read(b"no gzip".to_vec(), true, 0).await,
            error("gzip: invalid header")
        );
        let garbage = [gzip(b"a 1\n"), b"more".to_vec()].concat();
        assert_eq!(read(garbage, true, 0).await, error("gzip: invalid header"));
        let mut cut = gzip(b"a 1\n");
        cut.truncate(cut.len() - 5);
        assert_eq!(read(cut, true, 0).await, error("unexpected EOF"));
        assert_eq!(read(Vec::new(), true, 0).await, error("EOF"));
        let mut wrong = gzip(b"a 1\n");
        let checksum = wrong.len() - 8;
        wrong[checksum] ^= 1;
        assert_eq!(read(wrong, true, 0).await, error("flate: corrupt input"));
    }

    #[tokio::test]
    async fn reading_stops_where_a_large_page_has_too_many_lines() {
        let line = b"# HELP a b\na{b=\"0123456789012345678901234567890123456789\"} 1\n\n".to_vec();
        let page = line.repeat(2 * COUNTED_FROM_BYTES / line.len());
        let (mut read, lines) = (Vec::new(), (page.len() / line.len()) as u64);
        let whole = Full::new(Bytes::from(page.clone()));
        read_body(whole, false, (0, lines), &mut read)
            .await
            .unwrap();
        assert_eq!(read.len(), page.len());
        let mut taken = 0;
        let pieces = Pieces(page.chunks(1 << 20).inspect(|_| taken += 1));
        let result = read_body(pieces, false, (0, 1000), &mut read).await;
        assert!(
            matches!(result, Err(FetchError::TooManySamples(n)) if n > 1000),
            "{result:?}"
        );
        assert_eq!(taken, COUNTED_FROM_BYTES >> 20, "no more is read");
        // Smaller ones are read whole.
        let small = Full::new(Bytes::from(line.repeat(2000)));
        read_body(small, false, (0, 1000), &mut read).await.unwrap();
    }
}
