//! One connection to one broker: connect, TLS, versions, authentication, then a request at a time.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages::{
    ApiVersionsRequest, ConsumerGroupDescribeRequest, DescribeConfigsRequest,
    DescribeGroupsRequest, DescribeLogDirsRequest, DescribeShareGroupOffsetsRequest, FetchRequest,
    ListGroupsRequest, ListOffsetsRequest, MetadataRequest, OffsetFetchRequest, RequestHeader,
    ResponseHeader, SaslAuthenticateRequest, SaslHandshakeRequest, ShareGroupDescribeRequest,
};
use kafka_protocol::protocol::{
    Decodable, HeaderVersion, Request, StrBytes, VersionRange, encode_request_header_into_buffer,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::error::{ClientError, Malformed};
use crate::sasl;
use crate::settings::Access;
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
    ShareGroupDescribeRequest: "ShareGroupDescribe", SHARE_GROUP_DESCRIBE, 1..=1;
    DescribeShareGroupOffsetsRequest: "DescribeShareGroupOffsets", DESCRIBE_SHARE_GROUP_OFFSETS, 0..=0;
    ListOffsetsRequest: "ListOffsets", LIST_OFFSETS, 1..=9;
    // 13 names topics by id only; what came since 11 we have no use for.
    FetchRequest: "Fetch", FETCH, 4..=11;
    DescribeConfigsRequest: "DescribeConfigs", DESCRIBE_CONFIGS, 1..=4;
    DescribeLogDirsRequest: "DescribeLogDirs", DESCRIBE_LOG_DIRS, 1..=4;
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
    /// From when on the broker may close the connection because our proof of who we are is too old
    /// (KIP-368).
    pub(crate) good_until: Option<Instant>,
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
            good_until: None,
        };
        connection.negotiate().await?;
        if let Some(sasl) = connection.access.sasl.clone() {
            sasl::authenticate(&mut connection, &sasl).await?;
        }
        Ok(connection)
    }

    /// The broker, `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Whether the connection has to be made anew before the next request.
    pub fn is_expired(&self) -> bool {
        self.good_until.is_some_and(|until| Instant::now() >= until)
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
        let broker = self.address.clone();
        let lost = |source: io::Error| {
            let address = broker.clone();
            match source.get_ref() {
                // With TLS 1.3 a broker that misses our certificate says so after the handshake.
                Some(inner) if inner.is::<rustls::Error>() => ClientError::Tls { address, source },
                _ => ClientError::Lost {
                    address,
                    api: R::NAME,
                    source,
                },
            }
        };
        self.stream.write_all(frame).await.map_err(&lost)?;
        self.stream.flush().await.map_err(&lost)?;
        let size = self.stream.read_i32().await.map_err(&lost)?;
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
        reader.read_to_end(&mut body).await.map_err(&lost)?;
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
