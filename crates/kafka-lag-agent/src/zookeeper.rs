//! Commits that consumers of Kafka 0.8 to 1.x kept in ZooKeeper
//! (`/consumers/GROUP/offsets/TOPIC/PARTITION`): as much of ZooKeeper's protocol as reading them takes.
//!
//! ```text
//! frame     length 4 | body
//! connect   version 4 | last zxid 8 | timeout 4 | session 8 | password (length 4, bytes) | read-only 1
//! request   xid 4 | type 4 | path (length 4, bytes) | watch 1
//! answer    xid 4 | zxid 8 | error 4 | children (count 4, texts) or data (length 4, bytes), stat 68
//! ```

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::error::{ClientError, Malformed};
use crate::settings::Settings;
use crate::shape::ShapeError;
use crate::snapshot::{OldCommit, Topics};

/// What we say we do, in messages and in the metric of errors.
pub const NAME: &str = "ZooKeeper";

/// ZooKeeper itself sends at most a megabyte (`jute.maxbuffer`).
const MOST_BYTES: usize = 4 << 20;

/// The requests, and the answer that there is no such node.
const GET_DATA: i32 = 4;
const GET_CHILDREN: i32 = 8;
const CLOSE: i32 = -11;
const NO_NODE: i32 = -101;

/// The commits of all groups that the filter lets through, in topics that are there. Asks the first
/// server that answers.
///
/// # Errors
/// The last server's.
pub async fn commits(settings: &Settings, topics: &Topics) -> Result<Vec<OldCommit>, ClientError> {
    let mut last = None;
    for address in &settings.zookeeper {
        match read(address, settings, topics).await {
            Ok(commits) => return Ok(commits),
            Err(error) => last = Some(error),
        }
    }
    match last {
        Some(error) => Err(error),
        None => Ok(Vec::new()),
    }
}

async fn read(
    address: &str,
    settings: &Settings,
    topics: &Topics,
) -> Result<Vec<OldCommit>, ClientError> {
    let mut session = Session::open(address, settings.access.timeout).await?;
    let mut commits = Vec::new();
    for group in session.children("/consumers").await? {
        if !settings.groups.wants(&group) {
            continue;
        }
        let group: Arc<str> = group.into();
        let offsets = format!("/consumers/{group}/offsets");
        for topic in session.children(&offsets).await? {
            let Some((topic, _)) = topics.get_key_value(topic.as_str()) else {
                continue;
            };
            let path = format!("{offsets}/{topic}");
            for name in session.children(&path).await? {
                let Ok(partition) = name.parse() else {
                    continue;
                };
                let data = session.data(&format!("{path}/{name}")).await?;
                let offset = std::str::from_utf8(&data).ok().and_then(|t| t.parse().ok());
                if let Some(offset) = offset {
                    commits.push(OldCommit {
                        group: Arc::clone(&group),
                        topic: Arc::clone(topic),
                        partition,
                        offset,
                    });
                }
            }
        }
    }
    session.close().await;
    Ok(commits)
}

/// One connection, a request at a time.
struct Session {
    address: String,
    stream: TcpStream,
    timeout: Duration,
    xid: i32,
}

impl Session {
    async fn open(address: &str, timeout: Duration) -> Result<Session, ClientError> {
        let connect = |source| ClientError::Connect {
            address: address.to_owned(),
            source,
        };
        let stream = match tokio::time::timeout(timeout, TcpStream::connect(address)).await {
            Ok(stream) => stream.map_err(connect)?,
            Err(error) => return Err(connect(error.into())),
        };
        let mut session = Session {
            address: address.to_owned(),
            stream,
            timeout,
            xid: 0,
        };
        let mut hello = Vec::new();
        hello.put_i32(0);
        hello.put_i64(0);
        hello.put_i32(i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX));
        hello.put_i64(0);
        put_bytes(&mut hello, &[0; 16]);
        hello.put_u8(0);
        // What it grants does not matter to a session that ends with the poll.
        session.exchange(&hello).await?;
        Ok(session)
    }

    /// The names below a node; none where there is no such node.
    async fn children(&mut self, path: &str) -> Result<Vec<String>, ClientError> {
        let Some(answer) = self.ask(GET_CHILDREN, path).await? else {
            return Ok(Vec::new());
        };
        let mut rest = &answer[..];
        let read = |rest: &mut &[u8]| {
            let count = length(rest)?;
            let mut names = Vec::new();
            for _ in 0..count {
                names.push(String::from_utf8_lossy(get_bytes(rest)?).into_owned());
            }
            Some(names)
        };
        read(&mut rest).ok_or_else(|| self.short())
    }

    /// What a node holds; nothing where there is no such node.
    async fn data(&mut self, path: &str) -> Result<Vec<u8>, ClientError> {
        let Some(answer) = self.ask(GET_DATA, path).await? else {
            return Ok(Vec::new());
        };
        let data = get_bytes(&mut &answer[..]).map(<[u8]>::to_vec);
        data.ok_or_else(|| self.short())
    }

    async fn ask(&mut self, kind: i32, path: &str) -> Result<Option<Vec<u8>>, ClientError> {
        self.xid = self.xid.wrapping_add(1).max(1);
        let mut request = Vec::new();
        request.put_i32(self.xid);
        request.put_i32(kind);
        put_bytes(&mut request, path.as_bytes());
        request.put_u8(0);
        let mut answer = self.exchange(&request).await?;
        let Some(mut head) = answer.get(..16) else {
            return Err(self.short());
        };
        let found = head.get_i32();
        if found != self.xid {
            let expected = self.xid;
            return Err(self.malformed(Malformed::Correlation { expected, found }));
        }
        head.advance(8);
        match head.get_i32() {
            0 => Ok(Some(answer.split_off(16))),
            NO_NODE => Ok(None),
            code => Err(self.malformed(Malformed::Codec(format!("error {code} for {path}")))),
        }
    }

    async fn exchange(&mut self, body: &[u8]) -> Result<Vec<u8>, ClientError> {
        let answer = tokio::time::timeout(self.timeout, frame(&mut self.stream, body)).await;
        match answer {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(source)) => Err(ClientError::Lost {
                address: self.address.clone(),
                api: NAME,
                source,
            }),
            Err(_) => Err(ClientError::Timeout {
                address: self.address.clone(),
                api: NAME,
                after: self.timeout,
            }),
        }
    }

    /// Lets the server forget the session at once; whether that arrives does not matter.
    async fn close(mut self) {
        let mut request = Vec::new();
        request.put_i32(self.xid.wrapping_add(1));
        request.put_i32(CLOSE);
        let _ = self.exchange(&request).await;
    }

    fn short(&self) -> ClientError {
        self.malformed(Malformed::Shape(ShapeError::Short))
    }

    fn malformed(&self, reason: Malformed) -> ClientError {
        ClientError::Malformed {
            address: self.address.clone(),
            api: NAME,
            reason,
        }
    }
}

/// Sends a frame and reads the one that answers it.
async fn frame(stream: &mut TcpStream, body: &[u8]) -> io::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(body.len() + 4);
    put_bytes(&mut out, body);
    stream.write_all(&out).await?;
    let size = stream.read_i32().await?;
    let size = usize::try_from(size)
        .ok()
        .filter(|size| *size <= MOST_BYTES);
    let size = size.ok_or_else(|| io::Error::other("an answer of impossible length"))?;
    let mut answer = Vec::with_capacity(size.min(64 * 1024));
    stream.take(size as u64).read_to_end(&mut answer).await?;
    match answer.len() == size {
        true => Ok(answer),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    // Paths and requests of ours: far from 2^31.
    out.put_i32(bytes.len() as i32);
    out.extend_from_slice(bytes);
}

/// A length or count in front of something; `-1` is none.
fn length(rest: &mut &[u8]) -> Option<usize> {
    let (head, tail) = rest.split_first_chunk::<4>()?;
    *rest = tail;
    Some(usize::try_from(i32::from_be_bytes(*head)).unwrap_or(0))
}

fn get_bytes<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = length(rest)?;
    let (bytes, tail) = rest.split_at_checked(length)?;
    *rest = tail;
    Some(bytes)
}
