//! A mail server that keeps what it gets: one login mechanism, STARTTLS if it has a certificate.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio_rustls::TlsAcceptor;

#[derive(Clone, Debug, Default)]
pub struct Mail {
    pub from: String,
    pub to: Vec<String>,
    pub data: String,
    /// `user:ok` after the right credentials.
    pub login: String,
    pub encrypted: bool,
}

pub struct Server {
    pub port: u16,
    mails: Arc<Mutex<Vec<Mail>>>,
    _runtime: tokio::runtime::Runtime,
}

impl Server {
    /// With `ca`, STARTTLS is offered, and the certificate to trust is written there.
    pub fn start(mechanism: &'static str, ca: Option<PathBuf>) -> Server {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let acceptor = ca.map(|ca| {
            let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
            std::fs::write(ca, key.cert.pem()).unwrap();
            let private =
                rustls::pki_types::PrivateKeyDer::try_from(key.signing_key.serialize_der())
                    .unwrap();
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let config = rustls::ServerConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![key.cert.der().clone()], private)
                .unwrap();
            TlsAcceptor::from(Arc::new(config))
        });
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("localhost:0"))
            .unwrap();
        let port = listener.local_addr().unwrap().port();
        let mails = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&mails);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (kept, acceptor) = (Arc::clone(&kept), acceptor.clone());
                tokio::spawn(async move {
                    let mut session = Session::new(mechanism, acceptor.is_some());
                    let mut stream = BufReader::new(stream);
                    let _ = stream.write_all(b"220 ready\r\n").await;
                    if session.talk(&mut stream, &kept).await == End::StartTls
                        && let Some(acceptor) = acceptor
                        && let Ok(tls) = acceptor.accept(stream.into_inner()).await
                    {
                        session.encrypted = true;
                        session.talk(&mut BufReader::new(tls), &kept).await;
                    }
                });
            }
        });
        Server {
            port,
            mails,
            _runtime: runtime,
        }
    }

    pub fn mails(&self) -> Vec<Mail> {
        self.mails.lock().unwrap().clone()
    }
}

#[derive(PartialEq)]
enum End {
    Quit,
    StartTls,
}

struct Session {
    mechanism: &'static str,
    offers_tls: bool,
    encrypted: bool,
    mail: Mail,
}

impl Session {
    fn new(mechanism: &'static str, offers_tls: bool) -> Session {
        Session {
            mechanism,
            offers_tls,
            encrypted: false,
            mail: Mail::default(),
        }
    }

    async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        stream: &mut BufReader<S>,
        kept: &Mutex<Vec<Mail>>,
    ) -> End {
        while let Some(line) = read(stream).await {
            let word = line
                .split([' ', ':'])
                .next()
                .unwrap_or("")
                .to_ascii_uppercase();
            let answer = match word.as_str() {
                "EHLO" if self.offers_tls && !self.encrypted => {
                    "250-hello\r\n250 STARTTLS".to_owned()
                }
                "EHLO" => format!("250-hello\r\n250 AUTH X-UNKNOWN {}", self.mechanism),
                "STARTTLS" => {
                    write(stream, "220 go ahead").await;
                    return End::StartTls;
                }
                "AUTH" => self.log_in(stream, &line).await,
                "MAIL" => {
                    self.mail.from = address(&line);
                    "250 ok".to_owned()
                }
                "RCPT" => {
                    self.mail.to.push(address(&line));
                    "250 ok".to_owned()
                }
                "DATA" => {
                    write(stream, "354 go on").await;
                    let mut data = String::new();
                    while let Some(line) = read(stream).await.filter(|line| line != ".") {
                        data.push_str(&line);
                        data.push('\n');
                    }
                    self.mail.data = data;
                    self.mail.encrypted = self.encrypted;
                    kept.lock().unwrap().push(std::mem::take(&mut self.mail));
                    "250 taken".to_owned()
                }
                "QUIT" => {
                    write(stream, "221 bye").await;
                    return End::Quit;
                }
                other => format!("502 {other} is not known here"),
            };
            write(stream, &answer).await;
        }
        End::Quit
    }

    async fn log_in<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        stream: &mut BufReader<S>,
        line: &str,
    ) -> String {
        // user, "pass word", and for CRAM-MD5 the secret and nonce of RFC 2195.
        let right = match self.mechanism {
            "PLAIN" => line == "AUTH PLAIN AHVzZXIAcGFzcyB3b3Jk",
            "LOGIN" => {
                write(stream, "334 VXNlcm5hbWU6").await;
                let user = read(stream).await;
                write(stream, "334 UGFzc3dvcmQ6").await;
                let password = read(stream).await;
                user.as_deref() == Some("dXNlcg==") && password.as_deref() == Some("cGFzcyB3b3Jk")
            }
            _ => {
                write(
                    stream,
                    "334 PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+",
                )
                .await;
                read(stream)
                    .await
                    .is_some_and(|answer| answer.starts_with("dXNlci"))
            }
        };
        if right {
            self.mail.login = "user:ok".to_owned();
            "235 welcome".to_owned()
        } else {
            "535 go away".to_owned()
        }
    }
}

fn address(line: &str) -> String {
    let from = line.find('<').map_or(0, |i| i + 1);
    let to = line.find('>').unwrap_or(line.len());
    line[from..to].to_owned()
}

async fn read<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut BufReader<S>) -> Option<String> {
    let mut line = String::new();
    match stream.read_line(&mut line).await {
        Ok(n) if n > 0 => Some(line.trim_end().to_owned()),
        _ => None,
    }
}

async fn write<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut BufReader<S>, text: &str) {
    let _ = stream.write_all(format!("{text}\r\n").as_bytes()).await;
    let _ = stream.flush().await;
}
