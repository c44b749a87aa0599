//! One connection to one broker: connect, TLS, versions, authentication, then a request at a time.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages::{
    ApiVersionsRequest, ConsumerGroupDescribeRequest, DescribeGroupsRequest, ListGroupsRequest,
    ListOffsetsRequest, MetadataRequest, OffsetFetchRequest, RequestHeader, ResponseHeader,
    SaslAuthenticateRequest, SaslHandshakeRequest,
};
use kafka_protocol::protocol::{
    Decodable, HeaderVersion, Request, StrBytes, VersionRange, encode_request_header_into_buffer,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::error::{ClientError, Malformed};
use crate::scram;
use crate::settings::{Access, Sasl};
use crate::shape::{self, Answer};

/// How we name ourselves to brokers: their logs and quotas show it.
pub const CLIENT_ID: &str = "kafka-lag-agent";

/// A request we make: its name in messages, the shape of its answer, the versions we use.
pub trait Call: Request {
    const NAME: &'static str;
    const ANSWER: Answer;
    /// Both ends inclusive; the newest one the broker offers too is used.
    const USED: VersionRange;
}

macro_rules! calls {
    ($($request:ty: $name:literal, $answer:ident, $min:literal ..= $max:literal;)*) => {
        $(impl Call for $request {
            const NAME: &'static str = $name;
            const ANSWER: Answer = shape::$answer;
            const USED: VersionRange = VersionRange { min: $min, max: $max };
        })*
    };
}

calls! {
    ApiVersionsRequest: "ApiVersions", API_VERSIONS, 0..=2;
    SaslHandshakeRequest: "SaslHandshake", SASL_HANDSHAKE, 1..=1;
    SaslAuthenticateRequest: "SaslAuthenticate", SASL_AUTHENTICATE, 0..=2;
    MetadataRequest: "Metadata", METADATA, 1..=12;
    ListGroupsRequest: "ListGroups", LIST_GROUPS, 0..=5;
    DescribeGroupsRequest: "DescribeGroups", DESCRIBE_GROUPS, 0..=6;
    ConsumerGroupDescribeRequest: "ConsumerGroupDescribe", CONSUMER_GROUP_DESCRIBE, 0..=1;
    // Version 2 is the first that answers all topics of a group; 10 names topics by id only.
    OffsetFetchRequest: "OffsetFetch", OFFSET_FETCH, 2..=9;
    ListOffsetsRequest: "ListOffsets", LIST_OFFSETS, 1..=9;
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A connection that is ready for requests.
pub struct Connection {
    address: String,
    stream: Box<dyn Stream>,
    access: Arc<Access>,
    offered: HashMap<i16, VersionRange>,
    correlation: i32,
}

impl Connection {
    /// Connects, negotiates versions and authenticates.
    ///
    /// # Errors
    /// What of it failed.
    pub async fn open(address: &str, access: Arc<Access>) -> Result<Connection, ClientError> {
        let timeout = access.timeout;
        let stream = match tokio::time::timeout(timeout, connect(address, &access)).await {
            Ok(stream) => stream?,
            Err(_) => {
                return Err(ClientError::Timeout {
                    address: address.to_owned(),
                    api: "connect",
                    after: timeout,
                });
            }
        };
        let mut connection = Connection {
            address: address.to_owned(),
            stream,
            access,
            offered: HashMap::new(),
            correlation: 0,
        };
        connection.negotiate().await?;
        if let Some(sasl) = connection.access.sasl.clone() {
            connection.authenticate(&sasl).await?;
        }
        Ok(connection)
    }

    /// The newest version of a request that both sides know.
    ///
    /// # Errors
    /// [`ClientError::Version`]: there is none.
    pub fn version<R: Call>(&self) -> Result<i16, ClientError> {
        let offered = self.offered.get(&R::KEY);
        let common = offered.map(|offered| offered.intersect(&R::USED));
        match common.filter(|common| !common.is_empty()) {
            Some(common) => Ok(common.max),
            None => Err(ClientError::Version {
                address: self.address.clone(),
                api: R::NAME,
            }),
        }
    }

    /// Sends a request and reads its answer. After an error that does not leave the connection
    /// usable it is to be dropped: what comes next on it belongs to this request.
    ///
    /// # Errors
    /// No answer in time, or none that can be read.
    pub async fn call<R: Call>(
        &mut self,
        request: &R,
        version: i16,
    ) -> Result<R::Response, ClientError> {
        self.correlation = self.correlation.wrapping_add(1);
        let correlation = self.correlation;
        let frame =
            encode(request, version, correlation).map_err(|reason| ClientError::Malformed {
                address: self.address.clone(),
                api: R::NAME,
                reason,
            })?;
        let timeout = self.access.timeout;
        let body = match tokio::time::timeout(timeout, self.exchange::<R>(&frame)).await {
            Ok(body) => body?,
            Err(_) => {
                return Err(ClientError::Timeout {
                    address: self.address.clone(),
                    api: R::NAME,
                    after: timeout,
                });
            }
        };
        decode::<R>(body, version, correlation).map_err(|reason| ClientError::Malformed {
            address: self.address.clone(),
            api: R::NAME,
            reason,
        })
    }

    async fn exchange<R: Call>(&mut self, frame: &[u8]) -> Result<Bytes, ClientError> {
        let lost = |source: io::Error| ClientError::Lost {
            address: self.address.clone(),
            api: R::NAME,
            source,
        };
        self.stream.write_all(frame).await.map_err(lost)?;
        self.stream.flush().await.map_err(lost)?;
        let size = self.stream.read_i32().await.map_err(lost)?;
        let limit = self.access.max_frame_bytes;
        let length = match usize::try_from(size) {
            Ok(length) if (4..=limit).contains(&length) => length,
            _ => {
                return Err(ClientError::Frame {
                    address: self.address.clone(),
                    api: R::NAME,
                    size,
                    limit,
                });
            }
        };
        // Grows with what arrives: a size alone reserves nothing.
        let mut body = Vec::with_capacity(length.min(64 * 1024));
        let mut reader = (&mut self.stream).take(length as u64);
        reader.read_to_end(&mut body).await.map_err(lost)?;
        if body.len() < length {
            return Err(lost(io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(body.into())
    }

    async fn negotiate(&mut self) -> Result<(), ClientError> {
        let request = ApiVersionsRequest::default();
        let answer = self.call(&request, ApiVersionsRequest::USED.max).await?;
        refused::<ApiVersionsRequest>(answer.error_code)?;
        self.offered = answer
            .api_keys
            .iter()
            .map(|api| {
                let range = VersionRange {
                    min: api.min_version,
                    max: api.max_version,
                };
                (api.api_key, range)
            })
            .collect();
        Ok(())
    }

    async fn authenticate(&mut self, sasl: &Sasl) -> Result<(), ClientError> {
        let (mechanism, username, password) = match sasl {
            Sasl::Plain { username, password } => {
                self.handshake("PLAIN").await?;
                let token = format!("\0{username}\0{password}");
                return self.sasl_step(token.into_bytes()).await.map(drop);
            }
            Sasl::Scram {
                mechanism,
                username,
                password,
            } => (*mechanism, username, password),
        };
        self.handshake(mechanism.name()).await?;
        let nonce = format!("{:032x}", rand::random::<u128>());
        let started = scram::Started::new(mechanism, username, password, nonce);
        let challenge = self.sasl_step(started.message().into_bytes()).await?;
        let challenge = String::from_utf8_lossy(&challenge);
        let (proof, proved) = started
            .answer(&challenge)
            .map_err(|reason| self.denied(reason))?;
        let last = self.sasl_step(proof.into_bytes()).await?;
        proved
            .check(&String::from_utf8_lossy(&last))
            .map_err(|reason| self.denied(reason))
    }

    async fn handshake(&mut self, mechanism: &'static str) -> Result<(), ClientError> {
        let version = self.version::<SaslHandshakeRequest>()?;
        let request =
            SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str(mechanism));
        let answer = self.call(&request, version).await?;
        if answer.error_code == 0 {
            return Ok(());
        }
        let offered: Vec<&str> = answer.mechanisms.iter().map(StrBytes::as_str).collect();
        Err(self.denied(format!(
            "the broker does not offer {mechanism}, only {}",
            offered.join(", ")
        )))
    }

    async fn sasl_step(&mut self, token: Vec<u8>) -> Result<Bytes, ClientError> {
        let version = self.version::<SaslAuthenticateRequest>()?;
        let request = SaslAuthenticateRequest::default().with_auth_bytes(token.into());
        let answer = self.call(&request, version).await?;
        if answer.error_code == 0 {
            return Ok(answer.auth_bytes);
        }
        let reason = match answer.error_message {
            Some(message) if !message.is_empty() => message.to_string(),
            _ => format!("error code {}", answer.error_code),
        };
        Err(self.denied(reason))
    }

    fn denied(&self, reason: String) -> ClientError {
        ClientError::Authentication {
            address: self.address.clone(),
            reason,
        }
    }
}

/// An answer's own error code as an error.
///
/// # Errors
/// [`ClientError::Refused`] if the code is one.
pub fn refused<R: Call>(code: i16) -> Result<(), ClientError> {
    match kafka_protocol::ResponseError::try_from_code(code) {
        None => Ok(()),
        Some(error) => Err(ClientError::Refused {
            api: R::NAME,
            error,
        }),
    }
}

/// The frame of a request, its length in front.
fn encode<R: Call>(request: &R, version: i16, correlation: i32) -> Result<BytesMut, Malformed> {
    let codec = |error: &dyn std::fmt::Display| Malformed::Codec(error.to_string());
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(correlation)
        .with_client_id(Some(StrBytes::from_static_str(CLIENT_ID)));
    let mut frame = BytesMut::zeroed(4);
    encode_request_header_into_buffer(&mut frame, &header).map_err(|error| codec(&error))?;
    request
        .encode(&mut frame, version)
        .map_err(|error| codec(&error))?;
    let size = i32::try_from(frame.len() - 4).map_err(|error| codec(&error))?;
    frame[..4].copy_from_slice(&size.to_be_bytes());
    Ok(frame)
}

/// The answer in a frame (without its length).
///
/// # Errors
/// It is of another request, or not of the shape its version has.
pub fn decode<R: Call>(
    mut frame: Bytes,
    version: i16,
    correlation: i32,
) -> Result<R::Response, Malformed> {
    let codec = |error: &dyn std::fmt::Display| Malformed::Codec(error.to_string());
    let header_version = R::Response::header_version(version);
    let header =
        ResponseHeader::decode(&mut frame, header_version).map_err(|error| codec(&error))?;
    if header.correlation_id != correlation {
        return Err(Malformed::Correlation {
            expected: correlation,
            found: header.correlation_id,
        });
    }
    R::ANSWER.check(frame.chunk(), version)?;
    R::Response::decode(&mut frame, version).map_err(|error| codec(&error))
}

async fn connect(address: &str, access: &Access) -> Result<Box<dyn Stream>, ClientError> {
    let failed = |source: io::Error| ClientError::Connect {
        address: address.to_owned(),
        source,
    };
    let tcp = TcpStream::connect(address).await.map_err(failed)?;
    tcp.set_nodelay(true).map_err(failed)?;
    let Some(tls) = &access.tls else {
        return Ok(Box::new(tcp));
    };
    let failed = |source: io::Error| ClientError::Tls {
        address: address.to_owned(),
        source,
    };
    let host = match access.tls_server_name.as_str() {
        "" => address.rsplit_once(':').map_or(address, |(host, _)| host),
        name => name,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let name = rustls_pki_types::ServerName::try_from(host.to_owned())
        .map_err(|error| failed(io::Error::other(error)))?;
    let connector = tokio_rustls::TlsConnector::from(Arc::clone(tls));
    let stream = connector.connect(name, tcp).await.map_err(failed)?;
    Ok(Box::new(stream))
}
