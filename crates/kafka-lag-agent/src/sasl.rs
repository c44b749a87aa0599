//! Proving to a broker who we are: PLAIN, SCRAM, OAUTHBEARER.

use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::messages::{SaslAuthenticateRequest, SaslHandshakeRequest};
use kafka_protocol::protocol::StrBytes;

use crate::connection::Connection;
use crate::error::ClientError;
use crate::scram;
use crate::settings::Sasl;

/// Goes through the whole conversation of a mechanism.
///
/// # Errors
/// The broker says no, or does not prove that it knows us (SCRAM); there is no token.
pub async fn authenticate(connection: &mut Connection, sasl: &Sasl) -> Result<(), ClientError> {
    match sasl {
        Sasl::Plain { username, password } => {
            handshake(connection, "PLAIN").await?;
            let token = format!("\0{username}\0{password}");
            step(connection, token.into_bytes()).await.map(drop)
        }
        Sasl::Scram {
            mechanism,
            username,
            password,
        } => {
            handshake(connection, mechanism.name()).await?;
            let nonce = format!("{:032x}", rand::random::<u128>());
            let started = scram::Started::new(*mechanism, username, password, nonce);
            let challenge = step(connection, started.message().into_bytes()).await?;
            let (proof, proved) = started
                .answer(&String::from_utf8_lossy(&challenge))
                .map_err(|reason| denied(connection, reason))?;
            let last = step(connection, proof.into_bytes()).await?;
            proved
                .check(&String::from_utf8_lossy(&last))
                .map_err(|reason| denied(connection, reason))
        }
        Sasl::OAuthBearer(tokens) => {
            // The token first: without one there is no reason to bother the broker.
            let token = tokens
                .bearer()
                .await
                .map_err(|reason| denied(connection, reason))?;
            handshake(connection, "OAUTHBEARER").await?;
            let message = format!("n,,\x01auth=Bearer {token}\x01\x01");
            let answer = step(connection, message.into_bytes()).await?;
            match answer.is_empty() {
                true => Ok(()),
                // RFC 7628: a refusal comes as a JSON challenge, to which we only could say "yes".
                false => Err(denied(
                    connection,
                    String::from_utf8_lossy(&answer).into_owned(),
                )),
            }
        }
    }
}

async fn handshake(
    connection: &mut Connection,
    mechanism: &'static str,
) -> Result<(), ClientError> {
    let version = connection.version::<SaslHandshakeRequest>()?;
    let request =
        SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str(mechanism));
    let answer = connection.call(&request, version).await?;
    if answer.error_code == 0 {
        return Ok(());
    }
    let offered: Vec<&str> = answer.mechanisms.iter().map(StrBytes::as_str).collect();
    let offered = offered.join(", ");
    Err(denied(
        connection,
        format!("the broker does not offer {mechanism}, only {offered}"),
    ))
}

async fn step(connection: &mut Connection, token: Vec<u8>) -> Result<Bytes, ClientError> {
    let version = connection.version::<SaslAuthenticateRequest>()?;
    let request = SaslAuthenticateRequest::default().with_auth_bytes(token.into());
    let answer = connection.call(&request, version).await?;
    if answer.error_code == 0 {
        connection.good_until = good_until(answer.session_lifetime_ms);
        return Ok(answer.auth_bytes);
    }
    let reason = match answer.error_message {
        Some(message) if !message.is_empty() => message.to_string(),
        _ => format!("error code {}", answer.error_code),
    };
    Err(denied(connection, reason))
}

/// A connection is made anew well before its session ends, so that no request falls into the end.
fn good_until(lifetime_ms: i64) -> Option<Instant> {
    let lifetime = u64::try_from(lifetime_ms).ok().filter(|ms| *ms > 0)?;
    Instant::now().checked_add(Duration::from_millis(lifetime / 10 * 8))
}

fn denied(connection: &Connection, reason: String) -> ClientError {
    ClientError::Authentication {
        address: connection.address().to_owned(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_without_end_and_absurd_ones() {
        for none in [0, -1, i64::MIN] {
            assert_eq!(good_until(none), None, "{none}");
        }
        let soon = good_until(10_000).expect("an end");
        let left = soon.saturating_duration_since(Instant::now());
        assert!((7..=8).contains(&left.as_secs()), "{left:?}");
        // As far as the clock can count, or never: either is after any poll.
        assert!(good_until(i64::MAX).is_none_or(|end| end > Instant::now()));
    }
}
