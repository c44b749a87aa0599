//! From `tls_config` to rustls.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme, SupportedProtocolVersion,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

use crate::Error;
use crate::config::{TlsConfig, TlsVersion};
use crate::error::go_file_error;

/// The client's side of TLS as a section describes it, for clients that are not HTTP (SMTP, Kafka,
/// gRPC). Reads the files now. ALPN is left to the caller.
///
/// # Errors
/// [`Error::Tls`] with upstream's message: unreadable files, certificates that are none.
pub fn client_config(config: &TlsConfig) -> Result<ClientConfig, Error> {
    build(config).map_err(Error::Tls)
}

fn build(config: &TlsConfig) -> Result<ClientConfig, String> {
    if !(config.ca_ref.is_empty() && config.cert_ref.is_empty() && config.key_ref.is_empty()) {
        return Err("cannot use secret ref without manager".to_owned());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&versions(config)?)
        .map_err(|error| error.to_string())?;
    let builder = if config.insecure_skip_verify {
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(NoVerification::new(&provider)))
    } else {
        builder.with_root_certificates(roots(config)?)
    };
    let has_certificate = !config.cert.is_empty() || !config.cert_file.as_os_str().is_empty();
    if !has_certificate {
        return Ok(builder.with_no_client_auth());
    }
    let cert = read("client cert", &config.cert, &config.cert_file)?;
    let key = read("client key", config.key.reveal(), &config.key_file)?;
    let describe = |reason: String| {
        let name = |file: &Path| match file.as_os_str().is_empty() {
            true => "inline".to_owned(),
            false => format!("file {}", file.display()),
        };
        format!(
            "unable to use specified client cert ({}) & key ({}): {reason}",
            name(&config.cert_file),
            name(&config.key_file)
        )
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&cert)
        .collect::<Result<_, _>>()
        .map_err(|error| describe(error.to_string()))?;
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|error| describe(error.to_string()))?;
    builder
        .with_client_auth_cert(chain, key)
        .map_err(|error| describe(error.to_string()))
}

fn versions(config: &TlsConfig) -> Result<Vec<&'static SupportedProtocolVersion>, String> {
    let (min, max) = (
        config.min_version.unwrap_or(TlsVersion::Tls12),
        config.max_version.unwrap_or(TlsVersion::Tls13),
    );
    if config.min_version.is_some() && config.max_version.is_some() && max < min {
        return Err("tls_config.max_version must be greater than or equal to tls_config.min_version if both are specified".to_owned());
    }
    let mut versions = Vec::new();
    if max >= TlsVersion::Tls13 {
        versions.push(&rustls::version::TLS13);
    }
    if min <= TlsVersion::Tls12 && max >= TlsVersion::Tls12 {
        versions.push(&rustls::version::TLS12);
    }
    if versions.is_empty() {
        return Err("tls_config.max_version: TLS below 1.2 is not supported".to_owned());
    }
    Ok(versions)
}

fn read(what: &str, text: &str, file: &Path) -> Result<Vec<u8>, String> {
    if file.as_os_str().is_empty() {
        return Ok(text.as_bytes().to_vec());
    }
    std::fs::read(file).map_err(|error| {
        format!(
            "unable to read specified {what}: unable to read file {}: {}",
            file.display(),
            go_file_error("open", file, &error)
        )
    })
}

fn roots(config: &TlsConfig) -> Result<Arc<RootCertStore>, String> {
    let from_file = !config.ca_file.as_os_str().is_empty();
    if config.ca.is_empty() && !from_file {
        return Ok(system_roots());
    }
    let pem = if from_file {
        std::fs::read(&config.ca_file).map_err(|error| {
            format!(
                "unable to read CA cert: unable to read file {}: {}",
                config.ca_file.display(),
                go_file_error("open", &config.ca_file, &error)
            )
        })?
    } else {
        config.ca.as_bytes().to_vec()
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem).flatten() {
        // As Go, those that can be used count.
        let _ = roots.add(certificate);
    }
    if roots.is_empty() {
        let which = if from_file {
            format!("file {}", config.ca_file.display())
        } else {
            "inline".to_owned()
        };
        return Err(format!("unable to use specified CA cert {which}"));
    }
    Ok(Arc::new(roots))
}

/// The certificates this system trusts, read once a process; where it has none (an image without
/// them), Mozilla's.
fn system_roots() -> Arc<RootCertStore> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    ROOTS
        .get_or_init(|| {
            let mut roots = RootCertStore::empty();
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
            if roots.is_empty() {
                roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
            }
            Arc::new(roots)
        })
        .clone()
}

/// `insecure_skip_verify`.
#[derive(Debug)]
struct NoVerification(WebPkiSupportedAlgorithms);

impl NoVerification {
    fn new(provider: &CryptoProvider) -> NoVerification {
        NoVerification(provider.signature_verification_algorithms)
    }
}

impl ServerCertVerifier for NoVerification {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
