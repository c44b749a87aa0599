//! Mail over SMTP.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures::future::BoxFuture;
use lettre::address::Envelope;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailboxes, Message, MultiPart, SinglePart};
use lettre::transport::smtp::client::{
    AsyncSmtpConnection, Certificate, CertificateStore, Identity, TlsParameters, TlsVersion,
};
use lettre::transport::smtp::commands::Ehlo;
use lettre::transport::smtp::extension::ClientId;

use super::http::secret;
use super::render::{Render, Texts};
use super::{Failure, FailureReason, Memory, Notification, Notifier};
use crate::config::scalars::HostPort;
use crate::config::settings::{Unset, settings, unset};
use crate::config::{Error, TlsConfig};
use yaml_config::Secret;

settings! {
    /// `email_configs`.
    "email.plain" EmailConfig {
        /// Whether resolved alerts are sent.
        send_resolved: bool = false;
        /// Addresses; a template.
        to: String = String::new(), skip "unset";
        /// The sender; a template.
        from: String = String::new(), skip "unset";
        /// How the router names itself to the server.
        hello: String = String::new(), skip "unset";
        /// The server.
        smarthost: HostPort = HostPort::default(), skip "unset";
        /// For all mechanisms.
        auth_username: String = String::new(), skip "unset";
        /// For PLAIN and LOGIN.
        auth_password: Secret = Secret::default(), skip "unset";
        /// A file with it.
        auth_password_file: String = String::new(), skip "unset";
        /// For CRAM-MD5.
        auth_secret: Secret = Secret::default(), skip "unset";
        /// A file with it.
        auth_secret_file: String = String::new(), skip "unset";
        /// For PLAIN.
        auth_identity: String = String::new(), skip "unset";
        /// More headers; templates.
        headers: BTreeMap<String, String> = BTreeMap::new(), skip "unset";
        /// The HTML body; a template.
        html: String = r#"{{ template "email.default.html" . }}"#.into(), skip "unset";
        /// The text body; a template.
        text: String = String::new(), skip "unset";
        /// Whether the connection must turn to TLS.
        require_tls: Option<bool> = None, skip "unset";
        /// How.
        tls_config: Option<TlsConfig> = None, skip "unset";
        /// Whether the connection starts with TLS; by default it does on port 465.
        force_implicit_tls: Option<bool> = None, skip "unset";
        /// Whether mails about one group form a thread.
        threading: Threading = Threading::default(), skip "unset";
    }
}

settings! {
    /// How mails about one group form threads.
    "email.ThreadingConfig" Threading {
        /// Whether they do.
        enabled: bool = false, skip "unset";
        /// `daily` starts a thread each day, `none` never.
        thread_by_date: String = String::new(), skip "unset";
    }
}

impl Unset for Threading {
    fn unset(&self) -> bool {
        *self == Threading::default()
    }
}

impl EmailConfig {
    pub(crate) fn validate(&mut self) -> Result<(), Error> {
        let mut headers = BTreeMap::new();
        for (name, value) in std::mem::take(&mut self.headers) {
            let canonical = canonical_header(&name);
            if headers.insert(canonical.clone(), value).is_some() {
                return Err(Error::new(format!(
                    "duplicate header {} in email config",
                    golang::strconv::quote(&canonical)
                )));
            }
        }
        self.headers = headers;
        if self.to.is_empty() {
            return Err(Error::new("missing to address in email config"));
        }
        if !self.threading.enabled {
            return Ok(());
        }
        for header in ["References", "In-Reply-To"] {
            if self.headers.contains_key(header) {
                return Err(Error::new(format!(
                    "conflicting configuration: threading.enabled conflicts with custom {header} header"
                )));
            }
        }
        if !["none", "daily"].contains(&self.threading.thread_by_date.as_str()) {
            return Err(Error::new(
                "threading.thread_by_date must be either 'none' or 'daily'",
            ));
        }
        Ok(())
    }
}

/// `message-id` as `Message-Id` (Go's `textproto.CanonicalMIMEHeaderKey`); names with characters
/// that no header has stay as they are.
fn canonical_header(name: &str) -> String {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if !name.bytes().all(token) {
        return name.to_owned();
    }
    let mut upper = true;
    name.chars()
        .map(|c| {
            let c = if upper {
                c.to_ascii_uppercase()
            } else {
                c.to_ascii_lowercase()
            };
            upper = c == '-';
            c
        })
        .collect()
}

/// Sends mail.
pub struct Email {
    config: EmailConfig,
    render: Arc<dyn Render>,
    hostname: String,
}

impl Email {
    /// Makes the integration. `hostname` becomes part of message ids.
    pub fn new(mut config: EmailConfig, render: Arc<dyn Render>, hostname: String) -> Email {
        let defaults = [
            (
                "Subject",
                r#"{{ template "email.default.subject" . }}"#.to_owned(),
            ),
            ("To", config.to.clone()),
            ("From", config.from.clone()),
        ];
        for (name, template) in defaults {
            config.headers.entry(name.to_owned()).or_insert(template);
        }
        Email {
            config,
            render,
            hostname,
        }
    }

    fn implicit_tls(&self) -> bool {
        let by_port = self.config.smarthost.port == "465";
        self.config.force_implicit_tls.unwrap_or(by_port)
    }

    async fn send(&self, notification: &Notification) -> Result<Memory, Failure> {
        let texts = Texts::new(&*self.render, notification);
        // Before the connection: a template that fails need not bother the server.
        let envelope = self.envelope(&texts)?;
        let mail = self
            .message(&texts, notification, envelope.clone())?
            .formatted();
        let mut connection = self.connect().await?;
        let result = self.deliver(&mut connection, &envelope, &mail).await;
        // The mail is delivered or not, whatever the server says to this.
        let _ = connection.quit().await;
        result.map(|()| notification.memory.clone())
    }

    async fn deliver(
        &self,
        connection: &mut AsyncSmtpConnection,
        envelope: &Envelope,
        mail: &[u8],
    ) -> Result<(), Failure> {
        self.authenticate(connection).await?;
        connection
            .send(envelope, mail)
            .await
            .map(drop)
            .map_err(|e| passing("delivery failure", &e))
    }

    fn client_id(&self) -> ClientId {
        ClientId::Domain(match self.config.hello.as_str() {
            "" => "localhost".to_owned(),
            hello => hello.to_owned(),
        })
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, Failure> {
        let smarthost = &self.config.smarthost;
        let port = service_port(&smarthost.port)?;
        let server = (smarthost.host.as_str(), port);
        let hello = self.client_id();
        let implicit = self.implicit_tls();
        let tls = if implicit {
            Some(self.tls().await?)
        } else {
            None
        };
        let mut connection = AsyncSmtpConnection::connect_tokio1(server, None, &hello, tls, None)
            .await
            .map_err(|e| {
                let what = if implicit {
                    "establish TLS connection to server"
                } else {
                    "establish connection to server"
                };
                passing(what, &e)
            })?;
        if !implicit && self.config.require_tls.unwrap_or(true) {
            if !connection.can_starttls() {
                return Err(Failure::passing(format!(
                    "'require_tls' is true (default) but {} does not advertise the STARTTLS extension",
                    golang::strconv::quote(&smarthost.to_string())
                )));
            }
            let tls = self.tls().await?;
            connection
                .starttls(tls, &hello)
                .await
                .map_err(|e| passing("send STARTTLS command", &e))?;
        }
        Ok(connection)
    }

    /// What `tls_config` says, its files read anew.
    async fn tls(&self) -> Result<TlsParameters, Failure> {
        let config = self.config.tls_config.clone().unwrap_or_default();
        let domain = match config.server_name.as_str() {
            "" => self.config.smarthost.host.clone(),
            name => name.to_owned(),
        };
        let broken = |text: String| Failure::lasting(format!("parse TLS configuration: {text}"));
        let mut tls = TlsParameters::builder(domain)
            .dangerous_accept_invalid_certs(config.insecure_skip_verify);
        let ca = pem(&config.ca, &config.ca_file).await.map_err(broken)?;
        if !ca.is_empty() {
            let certificates = Certificate::from_pem(&ca).map_err(|e| broken(e.to_string()))?;
            tls = tls
                .certificate_store(CertificateStore::None)
                .add_root_certificate(certificates);
        }
        let certificate = pem(&config.cert, &config.cert_file).await.map_err(broken)?;
        let key = pem(config.key.reveal(), &config.key_file)
            .await
            .map_err(broken)?;
        if !certificate.is_empty() {
            let identity =
                Identity::from_pem(&certificate, &key).map_err(|e| broken(e.to_string()))?;
            tls = tls.identify_with(identity);
        }
        tls = match config.min_version {
            Some(http_client::TlsVersion::Tls13) => tls.set_min_tls_version(TlsVersion::Tlsv13),
            Some(_) | None => tls.set_min_tls_version(TlsVersion::Tlsv12),
        };
        tls.build_rustls().map_err(|e| broken(e.to_string()))
    }

    /// Logs in by the first mechanism that the server offers and the configuration has a secret
    /// for; not at all without a user name.
    async fn authenticate(&self, connection: &mut AsyncSmtpConnection) -> Result<(), Failure> {
        let user = self.config.auth_username.as_str();
        if user.is_empty() {
            return Ok(());
        }
        let greeting = connection
            .command(Ehlo::new(self.client_id()))
            .await
            .map_err(|e| passing("send EHLO command", &e))?;
        let Some(mechanisms) = greeting
            .message()
            .find_map(|line| line.strip_prefix("AUTH "))
        else {
            return Ok(());
        };
        let config = &self.config;
        let mut problems = Vec::new();
        for mechanism in mechanisms.split(' ').filter(|m| !m.is_empty()) {
            let secret = match mechanism {
                "CRAM-MD5" => secret_or_none(&config.auth_secret, &config.auth_secret_file).await,
                "PLAIN" | "LOGIN" => {
                    secret_or_none(&config.auth_password, &config.auth_password_file).await
                }
                other => {
                    problems.push(format!("unknown auth mechanism: {other}"));
                    continue;
                }
            };
            let secret = match secret {
                Ok(secret) if !secret.is_empty() => secret,
                Ok(_) => {
                    let what = if mechanism == "CRAM-MD5" {
                        "secret"
                    } else {
                        "password"
                    };
                    problems.push(format!("missing {what} for {mechanism} auth mechanism"));
                    continue;
                }
                Err(failure) => {
                    problems.push(failure.to_string());
                    continue;
                }
            };
            let safe = connection.is_encrypted() || is_local(&config.smarthost.host);
            if mechanism == "PLAIN" && !safe {
                return Err(Failure::passing("plain auth: unencrypted connection"));
            }
            return log_in(connection, mechanism, &config.auth_identity, user, &secret)
                .await
                .map_err(|e| {
                    passing(&format!("{mechanism} auth"), &e).because(FailureReason::AuthError)
                });
        }
        Err(Failure::passing(format!(
            "find auth mechanism: {}",
            problems.join("\n")
        )))
    }

    fn envelope(&self, texts: &Texts<'_>) -> Result<Envelope, Failure> {
        let addresses = |name: &str, template: &str| {
            let text = texts.text(template).map_err(|failure| Failure {
                message: format!("execute '{name}' template: {failure}"),
                ..failure
            })?;
            let mailboxes: Mailboxes = text
                .parse()
                .map_err(|e| Failure::lasting(format!("parse '{name}' addresses: {e}")))?;
            let addresses: Vec<_> = mailboxes.into_iter().map(|mailbox| mailbox.email).collect();
            Ok(addresses)
        };
        let mut from = addresses("from", &self.config.from)?;
        if from.len() != 1 {
            let count = from.len();
            let text = format!("must be exactly one 'from' address (got: {count})");
            return Err(Failure::lasting(text));
        }
        let to = addresses("to", &self.config.to)?;
        Envelope::new(from.pop(), to)
            .map_err(|e| Failure::lasting(format!("parse 'to' addresses: {e}")))
    }

    fn message(
        &self,
        texts: &Texts<'_>,
        notification: &Notification,
        envelope: Envelope,
    ) -> Result<Message, Failure> {
        let mut headers: Vec<(String, String)> = Vec::new();
        for (name, template) in &self.config.headers {
            let value = texts.text(template).map_err(|failure| Failure {
                message: format!(
                    "execute {} header template: {failure}",
                    golang::strconv::quote(name)
                ),
                ..failure
            })?;
            headers.push((name.clone(), value));
        }
        if !self.config.headers.contains_key("Message-Id") {
            let nanos = notification.now.as_nanosecond();
            let id = format!("<{nanos}.{}@{}>", rand::random::<u64>(), self.hostname);
            headers.push(("Message-Id".to_owned(), id));
        }
        if self.config.threading.enabled {
            let thread = self.thread(notification);
            headers.push(("References".to_owned(), thread.clone()));
            headers.push(("In-Reply-To".to_owned(), thread));
        }
        let mut builder = Message::builder().envelope(envelope);
        for (name, value) in headers {
            // Line breaks would start another header.
            let value = value.replace(['\r', '\n'], " ");
            let name = HeaderName::new_from_ascii(name)
                .map_err(|e| Failure::lasting(format!("invalid header: {e}")))?;
            builder = builder.raw_header(HeaderValue::new(name, value));
        }
        let mut body = MultiPart::alternative().build();
        if !self.config.text.is_empty() {
            body = body.singlepart(SinglePart::plain(texts.text(&self.config.text)?));
        }
        if !self.config.html.is_empty() {
            // What is preferred comes last (RFC 2046, 5.1.4).
            body = body.singlepart(SinglePart::html(texts.html(&self.config.html)?));
        }
        builder
            .multipart(body)
            .map_err(|e| Failure::lasting(format!("write mail: {e}")))
    }

    /// The id of the mail that a thread seems to start with; there is none, but mail programs make
    /// a thread of all that answer it.
    fn thread(&self, notification: &Notification) -> String {
        let hash = notification.key_hash();
        let date = match self.config.threading.thread_by_date.as_str() {
            "none" => String::new(),
            _ => notification.now.strftime("%Y-%m-%d").to_string(),
        };
        format!("<alert-{}-{date}@alertmanager>", &hash[..16])
    }
}

/// A line of the protocol.
struct Line(String);

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}\r\n", self.0)
    }
}

async fn log_in(
    connection: &mut AsyncSmtpConnection,
    mechanism: &str,
    identity: &str,
    user: &str,
    secret: &str,
) -> Result<(), lettre::transport::smtp::Error> {
    match mechanism {
        "PLAIN" => {
            let initial = BASE64.encode(format!("{identity}\0{user}\0{secret}"));
            connection
                .command(Line(format!("AUTH PLAIN {initial}")))
                .await?;
        }
        "LOGIN" => {
            connection.command(Line("AUTH LOGIN".to_owned())).await?;
            connection.command(Line(BASE64.encode(user))).await?;
            connection.command(Line(BASE64.encode(secret))).await?;
        }
        _ => {
            let challenge = connection.command(Line("AUTH CRAM-MD5".to_owned())).await?;
            let text = challenge.first_word().unwrap_or_default();
            let nonce = BASE64.decode(text).unwrap_or_default();
            let answer = format!("{user} {}", hmac_md5(secret.as_bytes(), &nonce));
            connection.command(Line(BASE64.encode(answer))).await?;
        }
    }
    Ok(())
}

/// HMAC-MD5 in hex (RFC 2104), for CRAM-MD5 only.
fn hmac_md5(key: &[u8], text: &[u8]) -> String {
    use md5::{Digest, Md5};
    let mut block = [0u8; 64];
    if key.len() > block.len() {
        block[..16].copy_from_slice(&Md5::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let keyed = |pad: u8| block.map(|byte| byte ^ pad);
    let inner = Md5::new()
        .chain_update(keyed(0x36))
        .chain_update(text)
        .finalize();
    let outer = Md5::new()
        .chain_update(keyed(0x5c))
        .chain_update(inner)
        .finalize();
    outer.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Failures of the exchange with the server may all pass. What the server says is no secret of
/// ours; what we said is not part of it.
fn passing(what: &str, error: &lettre::transport::smtp::Error) -> Failure {
    use std::error::Error as _;
    let source = error
        .source()
        .map(|source| format!(": {source}"))
        .unwrap_or_default();
    let mut text = error.to_string();
    if !source.is_empty() && !text.contains(&source[2..]) {
        text.push_str(&source);
    }
    Failure::passing(format!("{what}: {text}"))
}

async fn secret_or_none(inline: &Secret, file: &str) -> Result<String, Failure> {
    if inline.is_empty() && file.is_empty() {
        return Ok(String::new());
    }
    secret(inline, file).await
}

async fn pem(inline: &str, file: &std::path::Path) -> Result<Vec<u8>, String> {
    if file.as_os_str().is_empty() {
        return Ok(inline.as_bytes().to_vec());
    }
    tokio::fs::read(file)
        .await
        .map_err(|e| format!("unable to read {}: {e}", file.display()))
}

fn is_local(host: &str) -> bool {
    ["localhost", "127.0.0.1", "::1"].contains(&host)
}

fn service_port(port: &str) -> Result<u16, Failure> {
    match port {
        "smtp" => Ok(25),
        "smtps" | "submissions" => Ok(465),
        "submission" => Ok(587),
        number => number
            .parse()
            .map_err(|_| Failure::lasting(format!("unknown port {number}"))),
    }
}

impl Notifier for Email {
    fn notify<'a>(&'a self, n: &'a Notification) -> BoxFuture<'a, Result<Memory, Failure>> {
        Box::pin(self.send(n))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cram_md5_as_in_rfc_2195() {
        let nonce = b"<1896.697170952@postoffice.reston.mci.net>";
        assert_eq!(
            hmac_md5(b"tanstaaftanstaaf", nonce),
            "b913a602c7eda7a495b4e6e7334d3890"
        );
    }

    #[test]
    fn header_names_are_canonical() {
        assert_eq!(canonical_header("message-id"), "Message-Id");
        assert_eq!(canonical_header("X-PRIORITY"), "X-Priority");
        assert_eq!(canonical_header("not a name"), "not a name");
    }
}
