//! A small D-Bus client: method calls with texts as arguments, one at a time, over a Unix socket.
//!
//! A message is a header (`l`, type, flags, version, body length, serial, fields) padded to eight
//! bytes, and a body whose types the signature among the fields says. Everything is aligned to its
//! own size from the message's beginning; structs to eight bytes.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// How long the bus may take for an answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Longest answer: a host with ten thousand units needs 3 MiB.
const MOST_BYTES: usize = 32 << 20;
/// Deepest nesting that is read; D-Bus itself allows 64.
const MOST_LEVELS: u32 = 32;
const DEFAULT_BUS: &str = "unix:path=/var/run/dbus/system_bus_socket";

/// A value of a body; a variant is what is in it.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Unsigned numbers of any size, booleans.
    Unsigned(u64),
    /// Signed numbers of any size.
    Signed(i64),
    /// A number with a fraction.
    Double(f64),
    /// Texts, object paths, signatures.
    Text(String),
    /// Arrays, structs and entries of dictionaries.
    List(Vec<Value>),
}

impl Value {
    /// The text, or nothing.
    pub fn text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The unsigned number, or nothing.
    pub fn number(&self) -> Option<u64> {
        match self {
            Value::Unsigned(number) => Some(*number),
            _ => None,
        }
    }

    /// The elements, or nothing.
    pub fn list(&self) -> &[Value] {
        match self {
            Value::List(values) => values,
            _ => &[],
        }
    }
}

/// A connection to a bus, or to a service directly.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    serial: u32,
}

impl Connection {
    /// The system's bus (`DBUS_SYSTEM_BUS_ADDRESS`, or where it usually is).
    pub fn system() -> Result<Connection> {
        let address = std::env::var("DBUS_SYSTEM_BUS_ADDRESS");
        let address = address.unwrap_or_else(|_| DEFAULT_BUS.to_owned());
        let mut connection = Connection::open(&address)?;
        let bus = "org.freedesktop.DBus";
        connection.call(bus, "/org/freedesktop/DBus", bus, "Hello", &[])?;
        Ok(connection)
    }

    /// A service's own socket, which has no bus in between.
    pub fn direct(path: &str) -> Result<Connection> {
        Connection::open(&format!("unix:path={path}"))
    }

    /// `unix:path=/run/a;unix:abstract=b,guid=0`: the first that answers.
    fn open(address: &str) -> Result<Connection> {
        let mut failure = Error::new(
            ErrorKind::Unsupported,
            format!("no D-Bus address that is a Unix socket: {address}"),
        );
        for one in address.split(';') {
            let Some(keys) = one.strip_prefix("unix:") else {
                continue;
            };
            let opened = keys
                .split(',')
                .find_map(|pair| match pair.split_once('=')? {
                    ("path", path) => Some(UnixStream::connect(path)),
                    ("abstract", name) => Some(connect_abstract(name)),
                    _ => None,
                });
            match opened {
                Some(Ok(stream)) => return Connection::authenticate(stream),
                Some(Err(error)) => failure = error,
                None => {}
            }
        }
        Err(failure)
    }

    /// SASL's EXTERNAL: the kernel tells the other side who we are.
    fn authenticate(mut stream: UnixStream) -> Result<Connection> {
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        let user = rustix::process::geteuid().as_raw().to_string();
        let hex: String = user.bytes().map(|b| format!("{b:02x}")).collect();
        write!(stream, "\0AUTH EXTERNAL {hex}\r\n")?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            answer.extend(byte);
            if answer.len() > 1024 {
                return Err(invalid("the bus' greeting does not end"));
            }
        }
        if !answer.starts_with(b"OK ") {
            return Err(Error::new(
                ErrorKind::PermissionDenied,
                format!("refused: {}", String::from_utf8_lossy(&answer).trim()),
            ));
        }
        stream.write_all(b"BEGIN\r\n")?;
        Ok(Connection { stream, serial: 0 })
    }

    /// Calls a method and waits for its answer.
    pub fn call(
        &mut self,
        destination: &str,
        path: &str,
        interface: &str,
        method: &str,
        arguments: &[&str],
    ) -> Result<Vec<Value>> {
        self.serial += 1;
        let message = method_call(self.serial, destination, path, interface, method, arguments);
        self.stream.write_all(&message)?;
        loop {
            let message = self.read()?;
            // Signals come in between.
            if message.reply_to != Some(self.serial) {
                continue;
            }
            return match message.kind {
                MESSAGE_ERROR => {
                    let text = message.body.first().and_then(Value::text);
                    let name = message.error.unwrap_or_default();
                    Err(Error::other(format!(
                        "{name}: {}",
                        text.unwrap_or_default()
                    )))
                }
                _ => Ok(message.body),
            };
        }
    }

    /// The property of an object's interface.
    pub fn property(
        &mut self,
        destination: &str,
        path: &str,
        interface: &str,
        name: &str,
    ) -> Result<Value> {
        let properties = "org.freedesktop.DBus.Properties";
        let arguments = [interface, name];
        let answer = self.call(destination, path, properties, "Get", &arguments)?;
        answer
            .into_iter()
            .next()
            .ok_or_else(|| invalid("a property without a value"))
    }

    fn read(&mut self) -> Result<Message> {
        let mut bytes = vec![0; 16];
        self.stream.read_exact(&mut bytes)?;
        let rest = length_of_rest(&bytes)?;
        bytes.resize(16 + rest, 0);
        self.stream.read_exact(&mut bytes[16..])?;
        parse(&bytes).ok_or_else(|| invalid("a D-Bus message that cannot be read"))
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn connect_abstract(name: &str) -> Result<UnixStream> {
    use std::os::linux::net::SocketAddrExt;
    let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
    UnixStream::connect_addr(&address)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn connect_abstract(_: &str) -> Result<UnixStream> {
    Err(ErrorKind::Unsupported.into())
}

fn invalid(what: &'static str) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}

const MESSAGE_ERROR: u8 = 3;
const FIELD_PATH: u8 = 1;
const FIELD_INTERFACE: u8 = 2;
const FIELD_MEMBER: u8 = 3;
const FIELD_ERROR: u8 = 4;
const FIELD_REPLY: u8 = 5;
const FIELD_DESTINATION: u8 = 6;
const FIELD_SIGNATURE: u8 = 8;

fn pad(bytes: &mut Vec<u8>, to: usize) {
    bytes.resize(bytes.len().next_multiple_of(to), 0);
}

fn push_text(bytes: &mut Vec<u8>, text: &str) {
    pad(bytes, 4);
    bytes.extend((text.len() as u32).to_le_bytes());
    bytes.extend(text.as_bytes());
    bytes.push(0);
}

fn method_call(
    serial: u32,
    destination: &str,
    path: &str,
    interface: &str,
    method: &str,
    arguments: &[&str],
) -> Vec<u8> {
    let mut body = Vec::new();
    for argument in arguments {
        push_text(&mut body, argument);
    }
    let mut message = vec![b'l', 1, 0, 1];
    message.extend((body.len() as u32).to_le_bytes());
    message.extend(serial.to_le_bytes());
    message.extend([0; 4]);
    for (field, kind, text) in [
        (FIELD_PATH, b'o', path),
        (FIELD_INTERFACE, b's', interface),
        (FIELD_MEMBER, b's', method),
        (FIELD_DESTINATION, b's', destination),
    ] {
        pad(&mut message, 8);
        message.extend([field, 1, kind, 0]);
        push_text(&mut message, text);
    }
    if !arguments.is_empty() {
        pad(&mut message, 8);
        message.extend([FIELD_SIGNATURE, 1, b'g', 0, arguments.len() as u8]);
        message.extend(arguments.iter().map(|_| b's'));
        message.push(0);
    }
    let fields = (message.len() - 16) as u32;
    message[12..16].copy_from_slice(&fields.to_le_bytes());
    pad(&mut message, 8);
    message.extend(body);
    message
}

/// A message that arrived.
#[derive(Debug)]
struct Message {
    kind: u8,
    reply_to: Option<u32>,
    error: Option<String>,
    body: Vec<Value>,
}

/// How many bytes follow the first sixteen.
fn length_of_rest(head: &[u8]) -> Result<usize> {
    let reader = Reader::new(head).ok_or_else(|| invalid("no D-Bus message"))?;
    let number = |at: usize| reader.u32_at(at).unwrap_or(u32::MAX) as usize;
    let length = number(12).next_multiple_of(8).saturating_add(number(4));
    if length > MOST_BYTES {
        return Err(invalid("a D-Bus message is too long"));
    }
    Ok(length)
}

fn parse(bytes: &[u8]) -> Option<Message> {
    let mut reader = Reader::new(bytes)?;
    let mut message = Message {
        kind: *bytes.get(1)?,
        reply_to: None,
        error: None,
        body: Vec::new(),
    };
    reader.at = 12;
    let mut signature = String::new();
    for field in reader.value(&mut "a(yv)", 0)?.list() {
        match field.list() {
            [Value::Unsigned(field), value] => match (*field as u8, value) {
                (FIELD_REPLY, Value::Unsigned(serial)) => message.reply_to = Some(*serial as u32),
                (FIELD_ERROR, Value::Text(name)) => message.error = Some(name.clone()),
                (FIELD_SIGNATURE, Value::Text(text)) => signature.clone_from(text),
                _ => {}
            },
            _ => return None,
        }
    }
    reader.align(8)?;
    let mut types = signature.as_str();
    while !types.is_empty() {
        message.body.push(reader.value(&mut types, 0)?);
    }
    Some(message)
}

/// A place in a message.
struct Reader<'m> {
    bytes: &'m [u8],
    at: usize,
    big: bool,
}

impl<'m> Reader<'m> {
    fn new(bytes: &'m [u8]) -> Option<Reader<'m>> {
        let big = match bytes.first()? {
            b'l' => false,
            b'B' => true,
            _ => return None,
        };
        Some(Reader { bytes, at: 0, big })
    }

    fn u32_at(&self, at: usize) -> Option<u32> {
        let four: [u8; 4] = self.bytes.get(at..at + 4)?.try_into().ok()?;
        Some(if self.big {
            u32::from_be_bytes(four)
        } else {
            u32::from_le_bytes(four)
        })
    }

    fn align(&mut self, to: usize) -> Option<()> {
        self.at = self.at.next_multiple_of(to);
        (self.at <= self.bytes.len()).then_some(())
    }

    fn take(&mut self, length: usize) -> Option<&'m [u8]> {
        let end = self.at.checked_add(length)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    /// The next aligned number of `size` bytes, as the bits of an unsigned one.
    fn number(&mut self, size: usize) -> Option<u64> {
        self.align(size)?;
        let mut bytes = [0; 8];
        let taken = self.take(size)?;
        if self.big {
            bytes[8 - size..].copy_from_slice(taken);
            return Some(u64::from_be_bytes(bytes));
        }
        bytes[..size].copy_from_slice(taken);
        Some(u64::from_le_bytes(bytes))
    }

    fn string(&mut self, length: usize) -> Option<String> {
        let text = String::from_utf8_lossy(self.take(length)?).into_owned();
        self.take(1)?;
        Some(text)
    }

    /// The next value of the first type in `types`, which is taken from it.
    fn value(&mut self, types: &mut &str, level: u32) -> Option<Value> {
        if level > MOST_LEVELS {
            return None;
        }
        let signed = |bits: u64, size: u32| (bits << (64 - size)) as i64 >> (64 - size);
        let (kind, rest) = types.split_at_checked(1)?;
        let value = match kind {
            "y" => Value::Unsigned(self.number(1)?),
            "q" => Value::Unsigned(self.number(2)?),
            "u" | "b" | "h" => Value::Unsigned(self.number(4)?),
            "t" => Value::Unsigned(self.number(8)?),
            "n" => Value::Signed(signed(self.number(2)?, 16)),
            "i" => Value::Signed(signed(self.number(4)?, 32)),
            "x" => Value::Signed(signed(self.number(8)?, 64)),
            "d" => Value::Double(f64::from_bits(self.number(8)?)),
            "s" | "o" => {
                let length = self.number(4)?;
                Value::Text(self.string(length as usize)?)
            }
            "g" => {
                let length = self.number(1)?;
                Value::Text(self.string(length as usize)?)
            }
            "v" => {
                let length = self.number(1)?;
                let inner = self.string(length as usize)?;
                self.value(&mut inner.as_str(), level + 1)?
            }
            "a" => {
                let length = self.number(4)? as usize;
                self.align(match rest.as_bytes().first()? {
                    b'(' | b'{' | b't' | b'x' | b'd' => 8,
                    b'q' | b'n' => 2,
                    b'y' | b'g' | b'v' => 1,
                    _ => 4,
                })?;
                let end = self
                    .at
                    .checked_add(length)
                    .filter(|e| *e <= self.bytes.len())?;
                let mut values = Vec::new();
                while self.at < end {
                    let before = self.at;
                    values.push(self.value(&mut { rest }, level + 1)?);
                    // An empty struct would be there for ever.
                    if self.at == before {
                        return None;
                    }
                }
                *types = skip(rest, level + 1)?;
                return Some(Value::List(values));
            }
            "(" | "{" => {
                self.align(8)?;
                *types = rest;
                let mut values = Vec::new();
                while !types.starts_with([')', '}']) {
                    values.push(self.value(types, level + 1)?);
                }
                *types = types.get(1..)?;
                return Some(Value::List(values));
            }
            _ => return None,
        };
        *types = rest;
        Some(value)
    }
}

/// What is left of the types behind the first.
fn skip(types: &str, level: u32) -> Option<&str> {
    if level > MOST_LEVELS {
        return None;
    }
    let (kind, mut rest) = types.split_at_checked(1)?;
    match kind {
        "a" => skip(rest, level + 1),
        "(" | "{" => {
            while !rest.starts_with([')', '}']) {
                rest = skip(rest, level + 1)?;
            }
            rest.get(1..)
        }
        _ => Some(rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_we_write_can_be_read() {
        let bytes = method_call(7, "a.b", "/a/b", "a.b.C", "Do", &["x", "longer text"]);
        assert_eq!(length_of_rest(&bytes).unwrap(), bytes.len() - 16);
        let message = parse(&bytes).unwrap();
        assert_eq!((message.kind, message.reply_to), (1, None));
        let texts: Vec<_> = message.body.iter().filter_map(Value::text).collect();
        assert_eq!(texts, ["x", "longer text"]);
        for cut in 0..bytes.len() {
            assert!(parse(&bytes[..cut]).is_none(), "{cut}");
        }
    }

    fn read(types: &str, body: &[u8]) -> Option<Value> {
        let mut bytes = vec![b'l', 0, 0, 0, 0, 0, 0, 0];
        bytes.extend(body);
        let mut reader = Reader::new(&bytes)?;
        reader.at = 8;
        reader.value(&mut { types }, 0)
    }

    #[test]
    fn values() {
        assert_eq!(read("y", &[200]), Some(Value::Unsigned(200)));
        assert_eq!(read("n", &[0xfe, 0xff]), Some(Value::Signed(-2)));
        assert_eq!(read("t", &[0xff; 8]), Some(Value::Unsigned(u64::MAX)));
        let text = |t: &str| Value::Text(t.to_owned());
        assert_eq!(read("s", b"\x02\0\0\0ok\0"), Some(text("ok")));
        assert_eq!(read("v", b"\x01s\0\0\x01\0\0\0z\0"), Some(text("z")));
        let list = read("a(sy)", b"\x07\0\0\0\0\0\0\0\x01\0\0\0q\0\x05");
        let pair = Value::List(vec![text("q"), Value::Unsigned(5)]);
        assert_eq!(list, Some(Value::List(vec![pair])));
        assert_eq!(read("a{sv}", &[0; 8]), Some(Value::List(Vec::new())));
        // Longer than the message, nested without end, empty structs, no type.
        assert_eq!(read("ay", &[255, 255, 255, 127]), None);
        assert_eq!(read(&"a".repeat(200), &[0; 64]), None);
        assert_eq!(
            read("a()", &[8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            None
        );
        assert_eq!(read("(s", &[0; 64]), None);
        assert_eq!(read("?", &[0; 64]), None);
    }

    #[test]
    fn mutated_messages_never_panic() {
        let good = method_call(1, "a", "/a", "a.b", "Do", &["one", "two"]);
        let mut seed = 7u32;
        let mut next = |below: usize| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) as usize % below
        };
        for _ in 0..20_000 {
            let mut bytes = good.clone();
            for _ in 0..=next(4) {
                let at = next(bytes.len());
                bytes[at] = next(256) as u8;
            }
            bytes.truncate(1 + next(bytes.len()));
            let _ = parse(&bytes);
        }
    }
}
