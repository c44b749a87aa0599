//! A web server that records what it is sent: Slack's and webhooks' end.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use serde_json::Value;

/// A request that arrived.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
    /// The `Authorization` header, or nothing.
    pub authorization: String,
    pub body: String,
    pub at: Instant,
}

impl Request {
    /// The body as JSON, or null.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }
}

/// What to answer to a request: status, content type (or nothing), body.
pub type Answer = fn(&Request) -> (u16, &'static str, String);

/// Answers every request, with 200 and `ok` unless told otherwise, and remembers it.
pub struct Receiver {
    port: u16,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Receiver {
    /// Starts listening.
    ///
    /// # Panics
    /// Where loopback has no free port.
    pub fn start() -> Receiver {
        Receiver::answering(|_| (200, "", "ok".to_owned()))
    }

    /// Starts listening, with answers of its own.
    ///
    /// # Panics
    /// Where loopback has no free port.
    pub fn answering(answer: Answer) -> Receiver {
        Receiver::on("127.0.0.1", answer)
    }

    /// The same on an address of this host that others reach.
    ///
    /// # Panics
    /// Where it has no free port, or is not ours.
    pub fn on(address: &str, answer: Answer) -> Receiver {
        let listener = TcpListener::bind((address, 0)).expect("the address has a free port");
        let port = listener
            .local_addr()
            .expect("a bound listener has an address")
            .port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&requests);
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                thread::spawn(move || serve(connection, &shared, answer));
            }
        });
        Receiver { port, requests }
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of a path, on this host.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// All requests so far whose path begins with `path`.
    pub fn requests(&self, path: &str) -> Vec<Request> {
        let requests = self
            .requests
            .lock()
            .expect("no thread panics while it holds the lock");
        requests
            .iter()
            .filter(|r| r.path.starts_with(path))
            .cloned()
            .collect()
    }
}

/// Reads requests off a connection until it ends or breaks.
fn serve(connection: TcpStream, requests: &Mutex<Vec<Request>>, answer: Answer) {
    let Ok(mut writer) = connection.try_clone() else {
        return;
    };
    let mut reader = BufReader::new(connection);
    loop {
        let mut line = String::new();
        if !matches!(reader.read_line(&mut line), Ok(n) if n > 0) {
            return;
        }
        let mut words = line.split(' ').map(str::to_owned);
        let method = words.next().unwrap_or_default();
        let path = words.next().unwrap_or_default();
        let mut authorization = String::new();
        let mut length = 0;
        loop {
            let mut header = String::new();
            if !matches!(reader.read_line(&mut header), Ok(n) if n > 0) {
                return;
            }
            if header.trim().is_empty() {
                break;
            }
            let Some((name, value)) = header.split_once(':') else {
                continue;
            };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().unwrap_or(0);
            } else if name.eq_ignore_ascii_case("authorization") {
                value.trim().clone_into(&mut authorization);
            }
        }
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let body = String::from_utf8_lossy(&body).into_owned();
        let request = Request {
            method,
            path,
            authorization,
            body,
            at: Instant::now(),
        };
        let (status, kind, text) = answer(&request);
        let kind = match kind {
            "" => String::new(),
            kind => format!("Content-Type: {kind}\r\n"),
        };
        let length = text.len();
        let head = format!("HTTP/1.1 {status} X\r\n{kind}Content-Length: {length}\r\n\r\n");
        requests
            .lock()
            .expect("no thread panics while it holds the lock")
            .push(request);
        if writer.write_all((head + &text).as_bytes()).is_err() {
            return;
        }
    }
}
