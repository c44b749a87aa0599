//! One request on one connection, written and read by hand: no client library decides what is sent or hides
//! what came back.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A response as it was on the wire; the body without transfer and content encoding.
pub struct Response {
    pub status: u16,
    /// Names in lower case; of several with one name the values joined by commas.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

/// Sends `method target` with `headers` and reads the answer to its end.
///
/// # Errors
/// What went wrong with the connection, or what is no HTTP.
pub fn ask(
    address: &str,
    method: &str,
    target: &str,
    headers: &[(String, String)],
    body: Option<&[u8]>,
) -> Result<Response, String> {
    let mut stream = TcpStream::connect(address).map_err(|e| e.to_string())?;
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .map_err(|e| e.to_string())?;
    let mut head =
        format!("{method} {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if let Some(body) = body {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    let mut request = head.into_bytes();
    request.extend_from_slice(body.unwrap_or_default());
    stream.write_all(&request).map_err(|e| e.to_string())?;
    let mut raw = Vec::new();
    stream.read_to_end(&mut raw).map_err(|e| e.to_string())?;
    parse(&raw, method == "HEAD")
}

fn parse(raw: &[u8], is_head: bool) -> Result<Response, String> {
    let end = find(raw, b"\r\n\r\n").ok_or("no end of the head")?;
    let head = std::str::from_utf8(&raw[..end]).map_err(|e| e.to_string())?;
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .and_then(|code| code.parse().ok())
        .ok_or("no status")?;
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    for line in lines {
        let (name, value) = line.split_once(':').ok_or("a header without a colon")?;
        let all = headers.entry(name.to_ascii_lowercase()).or_default();
        if !all.is_empty() {
            all.push_str(", ");
        }
        all.push_str(value.trim());
    }
    let mut body = raw[end + 4..].to_vec();
    if headers
        .get("transfer-encoding")
        .is_some_and(|t| t == "chunked")
        && !is_head
    {
        body = join_chunks(&body)?;
    }
    if headers.get("content-encoding").is_some_and(|t| t == "gzip") && !body.is_empty() {
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(&body[..])
            .read_to_end(&mut plain)
            .map_err(|e| format!("gzip: {e}"))?;
        body = plain;
    }
    Ok(Response {
        status,
        headers,
        body,
    })
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|w| w == needle)
}

fn join_chunks(mut rest: &[u8]) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    loop {
        let end = find(rest, b"\r\n").ok_or("a chunk without a length")?;
        let text = std::str::from_utf8(&rest[..end]).map_err(|e| e.to_string())?;
        let length = usize::from_str_radix(text.trim(), 16).map_err(|e| e.to_string())?;
        if length == 0 {
            return Ok(out);
        }
        let from = end + 2;
        out.extend_from_slice(
            rest.get(from..from + length)
                .ok_or("a chunk that was cut")?,
        );
        rest = rest
            .get(from + length + 2..)
            .ok_or("a chunk that was cut")?;
    }
}
