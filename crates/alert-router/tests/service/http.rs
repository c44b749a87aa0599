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
}

/// A receiver that keeps what it gets.
pub struct Hook {
    /// Where it listens.
    pub address: String,
    bodies: Arc<Mutex<Vec<Value>>>,
}

impl Hook {
    pub fn start(behaviour: Behaviour) -> Hook {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let bodies = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&bodies);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kept = Arc::clone(&kept);
                std::thread::spawn(move || serve(stream, behaviour, &kept));
            }
        });
        Hook { address, bodies }
    }

    pub fn bodies(&self) -> Vec<Value> {
        self.bodies.lock().unwrap().clone()
    }
}

fn serve(mut stream: TcpStream, behaviour: Behaviour, kept: &Mutex<Vec<Value>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    while let Some((_, body)) = read_message(&mut reader) {
        let count = {
            let mut kept = kept.lock().unwrap();
            kept.push(serde_json::from_str(&body).unwrap_or_default());
            kept.len()
        };
        let (status, text) = match behaviour {
            Behaviour::Good => (200, "ok"),
            Behaviour::Hangs => {
                std::thread::sleep(Duration::from_secs(60));
                return;
            }
            Behaviour::FailsFirst(n, status) if count <= n => (status, "no"),
            Behaviour::FailsFirst(..) => (200, "ok"),
            Behaviour::Garbage => (200, "\u{1}\u{2} nonsense"),
        };
        let length = text.len();
        let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n{text}");
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
