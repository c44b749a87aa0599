//! Asking the kernel over netlink: requests that answer with a list, and the attributes in it.
//!
//! A message is a header of 16 bytes (length, type, flags, sequence, port: native endian), a body
//! whose shape depends on the type, and attributes: length (with these four bytes), type, value,
//! each padded to four bytes.

use std::collections::HashMap;
use std::io::{Error, ErrorKind, Result};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType};

/// How long an answer may take: the kernel gives it at once or never.
const TIMEOUT: Duration = Duration::from_secs(2);
/// The kernel's dumps come in parts of at most 32 KiB.
const BUFFER_BYTES: usize = 64 << 10;

const HEADER_BYTES: usize = 16;
const ERROR: u16 = 2;
const DONE: u16 = 3;
const REQUEST: u16 = 1;
const ACKNOWLEDGE: u16 = 4;
const DUMP: u16 = 0x300;

/// A netlink socket.
#[derive(Debug)]
pub struct Socket {
    socket: OwnedFd,
    sequence: u32,
}

impl Socket {
    /// A socket for routes, links, addresses and queues.
    pub fn route() -> Result<Socket> {
        Socket::open(None)
    }

    /// A socket for the families that the kernel names at run time.
    pub fn generic() -> Result<Socket> {
        Socket::open(Some(rustix::net::netlink::GENERIC))
    }

    fn open(protocol: Option<Protocol>) -> Result<Socket> {
        let socket = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            protocol,
        )?;
        rustix::net::bind(&socket, &SocketAddrNetlink::new(0, 0))?;
        set_socket_timeout(&socket, Timeout::Recv, Some(TIMEOUT))?;
        Ok(Socket {
            socket,
            sequence: 0,
        })
    }

    /// Sends a request that is answered by a list and calls `each` with the body of every item.
    pub fn dump(&mut self, kind: u16, body: &[u8], each: &mut dyn FnMut(&[u8])) -> Result<()> {
        self.send(kind, REQUEST | DUMP, body)?;
        self.receive(each)
    }

    /// Sends a request that is answered by one item.
    pub fn ask(&mut self, kind: u16, body: &[u8], each: &mut dyn FnMut(&[u8])) -> Result<()> {
        self.send(kind, REQUEST | ACKNOWLEDGE, body)?;
        self.receive(each)
    }

    fn send(&mut self, kind: u16, flags: u16, body: &[u8]) -> Result<()> {
        self.sequence += 1;
        let mut message = Vec::with_capacity(HEADER_BYTES + body.len());
        message.extend(((HEADER_BYTES + body.len()) as u32).to_ne_bytes());
        message.extend(kind.to_ne_bytes());
        message.extend(flags.to_ne_bytes());
        message.extend(self.sequence.to_ne_bytes());
        message.extend(0u32.to_ne_bytes());
        message.extend(body);
        rustix::net::send(&self.socket, &message, SendFlags::empty())?;
        Ok(())
    }

    fn receive(&mut self, each: &mut dyn FnMut(&[u8])) -> Result<()> {
        let mut buffer = vec![0u8; BUFFER_BYTES];
        loop {
            let (_, length) = rustix::net::recv(&self.socket, &mut buffer[..], RecvFlags::TRUNC)?;
            let Some(part) = buffer.get(..length) else {
                return Err(Error::new(
                    ErrorKind::InvalidData,
                    "a netlink answer is too long",
                ));
            };
            if messages(part, self.sequence, each)? {
                return Ok(());
            }
        }
    }
}

/// Calls `each` with the bodies in one datagram; whether the answer ends with it.
fn messages(mut part: &[u8], sequence: u32, each: &mut dyn FnMut(&[u8])) -> Result<bool> {
    while part.len() >= HEADER_BYTES {
        let length = u32_at(part, 0).unwrap_or_default() as usize;
        let Some(body) = part.get(HEADER_BYTES..length) else {
            return Err(Error::new(
                ErrorKind::InvalidData,
                "a netlink answer is cut off",
            ));
        };
        // What is left of an earlier answer is passed over.
        if u32_at(part, 8) == Some(sequence) {
            match u16_at(part, 4) {
                Some(DONE) => return Ok(true),
                Some(ERROR) => {
                    return match u32_at(body, 0).unwrap_or_default() as i32 {
                        0 => Ok(true),
                        code => Err(Error::from_raw_os_error(code.wrapping_neg())),
                    };
                }
                _ => each(body),
            }
        }
        part = part.get(align(length)..).unwrap_or_default();
    }
    Ok(false)
}

fn align(length: usize) -> usize {
    length.div_ceil(4) * 4
}

/// The attributes in `bytes`: type (without its flags) and value. What is cut off is left out.
pub fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(bytes, 0)?);
        let kind = u16_at(bytes, 2)? & 0x3fff;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(align(length)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The value of the first attribute of this type.
pub fn attribute(bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    attributes(bytes)
        .find(|(kind, _)| *kind == wanted)
        .map(|(_, value)| value)
}

/// Appends an attribute.
pub fn push_attribute(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    bytes.extend(((4 + value.len()) as u16).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(align(bytes.len()), 0);
}

/// The text of an attribute, without the zero at its end.
pub fn text(value: &[u8]) -> String {
    let end = value.iter().position(|b| *b == 0).unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).into_owned()
}

/// `02:42:ac:11:00:02`.
pub fn hardware_address(bytes: &[u8]) -> String {
    let pairs: Vec<String> = bytes.iter().map(|b| format!("{b:02x}")).collect();
    pairs.join(":")
}

/// A number of two bytes.
pub fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let number = bytes.get(at..at + 2)?;
    Some(u16::from_ne_bytes(number.try_into().ok()?))
}

/// A number of four bytes.
pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let number = bytes.get(at..at + 4)?;
    Some(u32::from_ne_bytes(number.try_into().ok()?))
}

/// A number of eight bytes.
pub fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let number = bytes.get(at..at + 8)?;
    Some(u64::from_ne_bytes(number.try_into().ok()?))
}

/// A network device.
#[derive(Debug, Clone, Copy)]
pub struct Link<'m> {
    /// Its number.
    pub index: u32,
    /// ARPHRD_*, as /sys/class/net/*/type.
    pub kind: u16,
    /// IFF_*.
    pub flags: u32,
    /// IFLA_*.
    pub attributes: &'m [u8],
}

/// Calls `each` with every network device.
pub fn links(socket: &mut Socket, each: &mut dyn FnMut(Link<'_>)) -> Result<()> {
    const GET_LINK: u16 = 18;
    // struct ifinfomsg: family, padding, type, index, flags, change.
    const LINK_BYTES: usize = 16;
    socket.dump(GET_LINK, &[0; LINK_BYTES], &mut |link| {
        if let (Some(kind), Some(index), Some(flags), Some(attributes)) = (
            u16_at(link, 2),
            u32_at(link, 4),
            u32_at(link, 8),
            link.get(LINK_BYTES..),
        ) {
            each(Link {
                index,
                kind,
                flags,
                attributes,
            });
        }
    })
}

/// The names of the network devices by their number.
pub fn link_names(socket: &mut Socket) -> Result<HashMap<u32, String>> {
    let mut names = HashMap::new();
    links(socket, &mut |link| {
        if let Some(name) = attribute(link.attributes, IFLA_NAME) {
            names.insert(link.index, text(name));
        }
    })?;
    Ok(names)
}

/// The attribute of a [`Link`] that is its name.
pub const IFLA_NAME: u16 = 3;

/// An IP address as Go prints it; `None` for other lengths.
pub fn address(bytes: &[u8]) -> Option<std::net::IpAddr> {
    use std::net::{IpAddr, Ipv6Addr};
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(IpAddr::from(four));
    }
    let six = Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?);
    Some(six.to_ipv4_mapped().map_or(IpAddr::V6(six), IpAddr::V4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_end_where_the_bytes_do() {
        let mut bytes = Vec::new();
        push_attribute(&mut bytes, 3, b"eth0\0");
        push_attribute(&mut bytes, 0x8007, &[1, 2, 3, 4]);
        assert_eq!(bytes.len(), 20);
        let all: Vec<(u16, &[u8])> = attributes(&bytes).collect();
        assert_eq!(all, [(3, &b"eth0\0"[..]), (7, &[1, 2, 3, 4][..])]);
        assert_eq!(text(all[0].1), "eth0");
        for cut in 0..bytes.len() {
            // No length of what is left panics or goes round for ever.
            assert!(attributes(&bytes[..cut]).count() <= 1);
        }
        assert_eq!(attributes(&[0, 0, 1, 0]).count(), 0);
    }

    #[test]
    fn answers_end_with_done_or_an_error() {
        let message = |kind: u16, sequence: u32, body: &[u8]| {
            let mut bytes = ((16 + body.len()) as u32).to_ne_bytes().to_vec();
            bytes.extend(kind.to_ne_bytes());
            bytes.extend([0, 0]);
            bytes.extend(sequence.to_ne_bytes());
            bytes.extend([0; 4]);
            bytes.extend(body);
            bytes
        };
        let mut bodies = Vec::new();
        let mut run = |part: &[u8]| messages(part, 7, &mut |body| bodies.push(body.to_vec()));
        let item = message(16, 7, &[1, 2, 3, 4]);
        assert!(!run(&item).unwrap());
        assert!(!run(&message(16, 6, &[9, 9, 9, 9])).unwrap());
        assert!(run(&[item.clone(), message(DONE, 7, &[0; 4])].concat()).unwrap());
        let error = run(&message(ERROR, 7, &(-1i32).to_ne_bytes())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        assert!(run(&message(ERROR, 7, &[0; 4])).unwrap());
        assert!(run(&item[..18]).is_err());
        assert_eq!(bodies.len(), 2);
    }

    #[test]
    fn the_kernel_knows_loopback() {
        let names = link_names(&mut Socket::route().unwrap()).unwrap();
        assert!(names.values().any(|name| name == "lo"), "{names:?}");
    }
}
