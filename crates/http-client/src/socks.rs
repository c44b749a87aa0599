//! The client's part of SOCKS5 (RFC 1928, RFC 1929): names are resolved by the proxy.

use std::net::IpAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::error::go_io;

const NO_AUTH: u8 = 0;
const PASSWORD: u8 = 2;

/// Asks the proxy at the other end of `stream` to connect to `host:port`.
pub(crate) async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    host: &str,
    port: u16,
    user: Option<&(String, String)>,
) -> Result<(), String> {
    let io = |error: std::io::Error| go_io(&error);
    let methods: &[u8] = if user.is_some() {
        &[5, 2, NO_AUTH, PASSWORD]
    } else {
        &[5, 1, NO_AUTH]
    };
    stream.write_all(methods).await.map_err(io)?;
    let mut chosen = [0; 2];
    stream.read_exact(&mut chosen).await.map_err(io)?;
    if chosen[0] != 5 {
        return Err(format!("unexpected protocol version {}", chosen[0]));
    }
    match (chosen[1], user) {
        (NO_AUTH, _) => {}
        (PASSWORD, Some((user, password))) => {
            let mut message = vec![1];
            for text in [user, password] {
                message.push(u8::try_from(text.len()).map_err(|_| "invalid username/password")?);
                message.extend_from_slice(text.as_bytes());
            }
            stream.write_all(&message).await.map_err(io)?;
            let mut verdict = [0; 2];
            stream.read_exact(&mut verdict).await.map_err(io)?;
            if verdict[1] != 0 {
                return Err("username/password authentication failed".to_owned());
            }
        }
        _ => return Err("no acceptable authentication methods".to_owned()),
    }

    let mut request = vec![5, 1, 0];
    match host.parse() {
        Ok(IpAddr::V4(address)) => {
            request.push(1);
            request.extend_from_slice(&address.octets());
        }
        Ok(IpAddr::V6(address)) => {
            request.push(4);
            request.extend_from_slice(&address.octets());
        }
        Err(_) => {
            request.push(3);
            request.push(u8::try_from(host.len()).map_err(|_| "FQDN too long")?);
            request.extend_from_slice(host.as_bytes());
        }
    }
    request.extend_from_slice(&port.to_be_bytes());
    stream.write_all(&request).await.map_err(io)?;

    let mut answer = [0; 4];
    stream.read_exact(&mut answer).await.map_err(io)?;
    if answer[1] != 0 {
        let reason = match answer[1] {
            1 => "general SOCKS server failure",
            2 => "connection not allowed by ruleset",
            3 => "network unreachable",
            4 => "host unreachable",
            5 => "connection refused",
            6 => "TTL expired",
            7 => "command not supported",
            8 => "address type not supported",
            _ => "unknown code",
        };
        return Err(format!("unknown error {reason}"));
    }
    let rest = match answer[3] {
        1 => 4,
        4 => 16,
        3 => usize::from(stream.read_u8().await.map_err(io)?),
        other => return Err(format!("unknown address type {other}")),
    };
    let mut bound = vec![0; rest + 2];
    stream.read_exact(&mut bound).await.map_err(io)?;
    Ok(())
}
