//! HTTP on loopback, both sides, without a library: what goes over the wire is what is tested.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

/// How a receiver behaves.
#[derive(Clone, Copy)]
pub enum Behaviour {
    /// Answers `ok`.
    Good,
    /// Takes the request and never answers.
    Hangs,
    /// Answers the first few requests with a status.
    FailsFirst(usize, u16),
    /// Answers something that is not what was agreed.
    Garbage,
    /// Answers a status, a content type and a body.
    Says(u16, &'static str, &'static str),
}

/// A receiver that keeps what it gets.
pub struct Hook {
    /// Where it listens.
    pub address: String,
    /// The first line of each request, and its body.
    requests: Arc<Mutex<Vec<(String, String)>>>,
}

impl Hook {
    pub fn start(behaviour: Behaviour) -> Hook {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kept = Arc::clone(&kept);
                std::thread::spawn(move || serve(stream, behaviour, &kept));
            }
        });
        Hook { address, requests }
    }

    /// The bodies so far, as JSON where they are.
    pub fn bodies(&self) -> Vec<Value> {
        let requests = self.requests.lock().unwrap();
        let bodies = requests.iter().map(|(_, body)| serde_json::from_str(body));
        bodies.map(Result::unwrap_or_default).collect()
    }

    /// Method and path of each request so far, and its body.
    pub fn requests(&self) -> Vec<(String, String)> {
        self.requests.lock().unwrap().clone()
    }
}

fn serve(mut stream: TcpStream, behaviour: Behaviour, kept: &Mutex<Vec<(String, String)>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    while let Some((first, body)) = read_message(&mut reader) {
        let count = {
            let mut kept = kept.lock().unwrap();
            let line = first
                .rsplit_once(' ')
                .map_or(first.as_str(), |(line, _)| line);
            kept.push((line.to_owned(), body));
            kept.len()
        };
        let (status, kind, text) = match behaviour {
            Behaviour::Good => (200, "text/plain", "ok"),
            Behaviour::Hangs => {
                std::thread::sleep(Duration::from_secs(60));
                return;
            }
            Behaviour::FailsFirst(n, status) if count <= n => (status, "text/plain", "no"),
            Behaviour::FailsFirst(..) => (200, "text/plain", "ok"),
            Behaviour::Garbage => (200, "text/plain", "\u{1}\u{2} nonsense"),
            Behaviour::Says(status, kind, text) => (status, kind, text),
        };
        let length = text.len();
        let answer = format!(
            "HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{text}"
        );
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// The first line and the body.
fn read_message(reader: &mut impl BufRead) -> Option<(String, String)> {
    let mut first = String::new();
    if reader.read_line(&mut first).ok()? == 0 {
        return None;
    }
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((first, String::from_utf8_lossy(&body).into_owned()))
}

/// One request: status and body.
pub fn request(
    address: &str,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .ok()?;
    let body = body.map(Value::to_string).unwrap_or_default();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    if head
        .to_ascii_lowercase()
        .contains("transfer-encoding: chunked")
    {
        return Some((status, unchunk(body)));
    }
    Some((status, body.to_owned()))
}

fn unchunk(mut rest: &str) -> String {
    let mut out = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        if size == 0 {
            break;
        }
        out.push_str(&after[..size]);
        rest = &after[size + 2..];
    }
    out
}
