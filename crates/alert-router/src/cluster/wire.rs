//! What goes between members: our own protocol, over TCP or TLS.
//!
//! ```text
//! caller:   "FWCL" version:u8 purpose:u8  len:u32 hello     (postcard: label, id)
//! answer:   "FWCL" version:u8 verdict:u8  len:u32 id        (postcard)
//! then, for purpose 1 (frames, one way):   kind:u8 len:u32 bytes ...
//!       for purpose 2 (state, both ways):  len:u32 state  <->  len:u32 state
//! ```
//! Numbers are big endian. A state is a run of records as in the log on disk. A caller that is
//! something else (Alertmanager's memberlist) is known by its first bytes.

use std::io;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::identity::Id;

const MAGIC: &[u8; 4] = b"FWCL";
const VERSION: u8 = 1;
/// No name or label is that long.
const MAX_HELLO: usize = 64 << 10;
/// Longer messages than this are not believed.
pub const MAX_FRAME: usize = 64 << 20;
/// A whole state may be larger; it is read as it comes.
pub const MAX_STATE: usize = 1 << 30;

/// Why a member does not talk to another.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The connection.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It answers like something else.
    #[error(
        "it does not speak alert-router's cluster protocol; members must all be alert-routers: a cluster mixed with Alertmanager is not possible"
    )]
    Foreign,
    /// Another version of ours.
    #[error("it speaks version {0} of the cluster protocol, this is version {VERSION}")]
    Version(u8),
    /// `--cluster.label` differs.
    #[error("its cluster label is another one")]
    Label,
    /// `--cluster.peer-name` is taken.
    #[error("its name {0:?} is taken by another member")]
    Name(String),
    /// It took too long.
    #[error("no answer in time")]
    Timeout,
    /// A message that is none.
    #[error("message cannot be read: {0}")]
    Malformed(&'static str),
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Frames of the caller.
    Frames,
    /// An exchange of whole states.
    State,
}

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A packet of the gossip library.
    Packet,
    /// Records that are too long for gossip.
    Records,
}

#[derive(Serialize, Deserialize)]
struct Hello {
    label: String,
    id: Id,
}

/// Who calls, as the called one judges it.
pub enum Verdict {
    /// Welcome.
    Accept,
    /// [`Error::Label`].
    Label,
    /// [`Error::Name`].
    Name,
}

/// The caller's part of the greeting; answers who was reached.
///
/// # Errors
/// [`Error`].
pub async fn greet<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    purpose: Purpose,
    label: &str,
    id: &Id,
) -> Result<Id, Error> {
    let hello = Hello {
        label: label.to_owned(),
        id: id.clone(),
    };
    let purpose = match purpose {
        Purpose::Frames => 1,
        Purpose::State => 2,
    };
    write_prelude(stream, purpose, &hello).await?;
    let verdict = read_prelude(stream).await?;
    let body = read_sized(stream, MAX_HELLO).await?;
    let reached: Id = postcard_from(&body)?;
    match verdict {
        0 => Ok(reached),
        1 => Err(Error::Label),
        2 => Err(Error::Name(id.name.clone())),
        _ => Err(Error::Malformed("verdict")),
    }
}

/// The called one's part; `judge` sees the caller's label and id.
///
/// # Errors
/// [`Error`]; the caller has been told if it is one of ours.
pub async fn receive<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    own: &Id,
    judge: impl FnOnce(&str, &Id) -> Verdict,
) -> Result<(Purpose, Id), Error> {
    let purpose = read_prelude(stream).await?;
    let hello: Hello = postcard_from(&read_sized(stream, MAX_HELLO).await?)?;
    let (code, refused) = match judge(&hello.label, &hello.id) {
        Verdict::Accept => (0, None),
        Verdict::Label => (1, Some(Error::Label)),
        Verdict::Name => (2, Some(Error::Name(hello.id.name.clone()))),
    };
    write_prelude(stream, code, own).await?;
    if let Some(refused) = refused {
        return Err(refused);
    }
    match purpose {
        1 => Ok((Purpose::Frames, hello.id)),
        2 => Ok((Purpose::State, hello.id)),
        _ => Err(Error::Malformed("purpose")),
    }
}

async fn write_prelude<S: AsyncWrite + Unpin, T: Serialize>(
    stream: &mut S,
    code: u8,
    body: &T,
) -> Result<(), Error> {
    let body = postcard_to(body)?;
    let mut out = Vec::with_capacity(MAGIC.len() + 6 + body.len());
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&[VERSION, code]);
    put_sized(&mut out, &body)?;
    stream.write_all(&out).await?;
    Ok(stream.flush().await?)
}

/// The code behind magic and version.
async fn read_prelude<S: AsyncRead + Unpin>(stream: &mut S) -> Result<u8, Error> {
    let mut prelude = [0; 6];
    // What is shorter, or closes at once, is as foreign as what begins otherwise.
    match stream.read_exact(&mut prelude[..1]).await {
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Err(Error::Foreign),
        other => other?,
    };
    if prelude[0] != MAGIC[0] {
        return Err(Error::Foreign);
    }
    match stream.read_exact(&mut prelude[1..]).await {
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Err(Error::Foreign),
        other => other?,
    };
    if !prelude.starts_with(MAGIC) {
        return Err(Error::Foreign);
    }
    if prelude[4] != VERSION {
        return Err(Error::Version(prelude[4]));
    }
    Ok(prelude[5])
}

/// Writes a frame.
///
/// # Errors
/// [`Error`].
pub async fn write_frame<S: AsyncWrite + Unpin>(
    stream: &mut S,
    kind: Kind,
    bytes: &[u8],
) -> Result<(), Error> {
    let mut out = Vec::with_capacity(5 + bytes.len());
    out.push(match kind {
        Kind::Packet => 1,
        Kind::Records => 2,
    });
    put_sized(&mut out, bytes)?;
    stream.write_all(&out).await?;
    Ok(stream.flush().await?)
}

/// Reads a frame; `None` at the end.
///
/// # Errors
/// [`Error`].
pub async fn read_frame<S: AsyncRead + Unpin>(
    stream: &mut S,
) -> Result<Option<(Kind, Vec<u8>)>, Error> {
    let mut kind = [0];
    if stream.read(&mut kind).await? == 0 {
        return Ok(None);
    }
    let kind = match kind[0] {
        1 => Kind::Packet,
        2 => Kind::Records,
        _ => return Err(Error::Malformed("kind")),
    };
    Ok(Some((kind, read_sized(stream, MAX_FRAME).await?)))
}

/// Writes a length and bytes.
///
/// # Errors
/// [`Error`].
pub async fn write_sized<S: AsyncWrite + Unpin>(stream: &mut S, bytes: &[u8]) -> Result<(), Error> {
    stream.write_all(&length(bytes)?).await?;
    stream.write_all(bytes).await?;
    Ok(stream.flush().await?)
}

/// Reads a length and as many bytes; memory grows with what really comes.
///
/// # Errors
/// [`Error`].
pub async fn read_sized<S: AsyncRead + Unpin>(
    stream: &mut S,
    max: usize,
) -> Result<Vec<u8>, Error> {
    let mut word = [0; 4];
    stream.read_exact(&mut word).await?;
    let len = u32::from_be_bytes(word);
    if len as usize > max {
        return Err(Error::Malformed("length"));
    }
    let mut bytes = Vec::with_capacity((len as usize).min(64 << 10));
    stream.take(u64::from(len)).read_to_end(&mut bytes).await?;
    if bytes.len() != len as usize {
        return Err(Error::Io(io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(bytes)
}

fn put_sized(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), Error> {
    out.extend_from_slice(&length(bytes)?);
    out.extend_from_slice(bytes);
    Ok(())
}

fn length(bytes: &[u8]) -> Result<[u8; 4], Error> {
    u32::try_from(bytes.len())
        .map(u32::to_be_bytes)
        .map_err(|_| Error::Malformed("length"))
}

fn postcard_to<T: Serialize>(value: &T) -> Result<Vec<u8>, Error> {
    postcard::to_allocvec(value).map_err(|_| Error::Malformed("greeting"))
}

fn postcard_from<T: for<'a> Deserialize<'a>>(bytes: &[u8]) -> Result<T, Error> {
    postcard::from_bytes(bytes).map_err(|_| Error::Malformed("greeting"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> Id {
        Id {
            name: name.to_owned(),
            address: "127.0.0.1:9094".parse().unwrap(),
            birth: 1,
        }
    }

    #[tokio::test]
    async fn members_greet_and_talk() {
        let (mut a, mut b) = tokio::io::duplex(1 << 16);
        let (id_a, id_b) = (id("a"), id("b"));
        let (greeted, received) = tokio::join!(
            greet(&mut a, Purpose::Frames, "l", &id_a),
            receive(&mut b, &id_b, |label, id| {
                assert_eq!((label, id.name.as_str()), ("l", "a"));
                Verdict::Accept
            })
        );
        assert_eq!(greeted.unwrap(), id_b);
        assert_eq!(received.unwrap(), (Purpose::Frames, id_a));
        write_frame(&mut a, Kind::Records, b"xyz").await.unwrap();
        drop(a);
        let frame = read_frame(&mut b).await.unwrap().unwrap();
        assert_eq!(frame, (Kind::Records, b"xyz".to_vec()));
        assert!(read_frame(&mut b).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn other_labels_and_names_are_told_so() {
        for (verdict, wanted) in [
            (Verdict::Label, "its cluster label is another one"),
            (Verdict::Name, "its name \"a\" is taken by another member"),
        ] {
            let (mut a, mut b) = tokio::io::duplex(1 << 16);
            let (id_a, id_b) = (id("a"), id("b"));
            let (greeted, received) = tokio::join!(
                greet(&mut a, Purpose::State, "", &id_a),
                receive(&mut b, &id_b, |_, _| verdict)
            );
            assert_eq!(greeted.unwrap_err().to_string(), wanted);
            assert_eq!(received.unwrap_err().to_string(), wanted);
        }
    }

    #[tokio::test]
    async fn strangers_are_known_at_once() {
        // memberlist's push/pull message, a labelled one, HTTP, nothing, another version.
        for (bytes, wanted) in [
            (&b"\x06\x83\xa5Nodes"[..], "Alertmanager"),
            (b"\xf4\x05label", "Alertmanager"),
            (b"FETCH / HTTP/1.1\r\n\r\n", "Alertmanager"),
            (b"", "Alertmanager"),
            (b"FWCL\x09\x01\0\0\0\0", "version 9"),
            (b"FWCL\x01\x01\xff\xff\xff\xff", "length"),
            (b"FWCL\x01\x01\0\0\0\x01\xff", "greeting"),
        ] {
            let (mut a, mut b) = tokio::io::duplex(1 << 16);
            a.write_all(bytes).await.unwrap();
            drop(a);
            let error = receive(&mut b, &id("b"), |_, _| Verdict::Accept)
                .await
                .unwrap_err()
                .to_string();
            assert!(error.contains(wanted), "{bytes:?}: {error}");
        }
    }
}
