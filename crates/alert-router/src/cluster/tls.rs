//! `--cluster.tls-config`: TLS between members, each a server and a client.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use http_client::TlsConfig;
use rustls_pki_types::ServerName;
use serde::Deserialize;
use service::TlsServerConfig;
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::transport::Stream;

/// The file, as exporter-toolkit's and `http_config`'s sections.
#[derive(Debug, Default, Deserialize)]
#[serde(rename = "cluster.TLSTransportConfig", default)]
struct File {
    tls_server_config: Option<TlsServerConfig>,
    tls_client_config: Option<TlsConfig>,
}

/// Both sides, ready for use.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    connector: TlsConnector,
    server: Arc<TlsServerConfig>,
    /// Whose certificate the others show; empty: that of their address.
    server_name: String,
}

impl Tls {
    /// Reads the file and those that it names.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn load(path: &Path) -> Result<Tls, String> {
        let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
        let directory = path.parent().unwrap_or(Path::new(""));
        Tls::parse(&text, directory).map_err(|e| format!("{}: {e}", path.display()))
    }

    fn parse(text: &str, directory: &Path) -> Result<Tls, String> {
        let file: File = yaml_config::from_str(text).map_err(|e| e.to_string())?;
        let mut server = file
            .tls_server_config
            .ok_or("missing 'tls_server_config' entry")?;
        let mut client = file
            .tls_client_config
            .ok_or("missing 'tls_client_config' entry")?;
        server.set_directory(directory);
        client.set_directory(directory);
        let connector = http_client::client_config(&client).map_err(|e| e.to_string())?;
        Ok(Tls {
            acceptor: TlsAcceptor::from(server.for_rustls()?),
            connector: TlsConnector::from(Arc::new(connector)),
            server: Arc::new(server),
            server_name: client.server_name,
        })
    }

    /// The called one's side of a connection.
    ///
    /// # Errors
    /// If the caller does not speak TLS or has no certificate that is good enough.
    pub async fn accept(&self, stream: TcpStream) -> std::io::Result<Stream> {
        let stream = self.acceptor.accept(stream).await?;
        let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
        self.server
            .check_client_name(certificates)
            .map_err(std::io::Error::other)?;
        Ok(Box::new(stream))
    }

    /// The caller's side.
    ///
    /// # Errors
    /// If the called one does not speak TLS or its certificate is not the right one.
    pub async fn connect(&self, stream: TcpStream, address: IpAddr) -> std::io::Result<Stream> {
        let name = match self.server_name.as_str() {
            "" => ServerName::IpAddress(address.into()),
            name => ServerName::try_from(name.to_owned()).map_err(std::io::Error::other)?,
        };
        Ok(Box::new(self.connector.connect(name, stream).await?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_refused() {
        for (text, wanted) in [
            ("", "missing 'tls_server_config' entry"),
            ("tls_server_config: {}", "missing 'tls_client_config' entry"),
            (
                "tls_server_config: {}\ntls_client_config: {}",
                "missing one of cert or cert_file",
            ),
            ("tls_server: {}", "tls_server"),
        ] {
            let error = Tls::parse(text, Path::new("/")).err().expect("refused");
            assert!(error.contains(wanted), "{text:?}: {error}");
        }
    }
}
