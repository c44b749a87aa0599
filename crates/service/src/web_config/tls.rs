//! From the file's TLS section to rustls.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

use super::file::TlsServerConfig;

/// TLS 1.2 suites of Go that are accepted in files but not spoken: no forward secrecy or CBC.
const NOT_SPOKEN: [&str; 8] = [
    "TLS_RSA_WITH_AES_128_CBC_SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
];

/// Builds the server's side; reads the certificate files.
pub(super) fn server_config(
    settings: &TlsServerConfig,
    http2: bool,
) -> Result<Arc<ServerConfig>, String> {
    let given =
        |file: &std::path::Path, text: &str| !file.as_os_str().is_empty() || !text.is_empty();
    let has_cert = given(&settings.cert_file, &settings.cert);
    if has_cert && !given(&settings.key_file, settings.key.reveal()) {
        return Err("missing one of key or key_file".to_owned());
    }
    if !has_cert && given(&settings.key_file, settings.key.reveal()) {
        return Err("missing one of cert or cert_file".to_owned());
    }
    let cert = pem("cert", &settings.cert_file, &settings.cert)?;
    let key = pem("key", &settings.key_file, settings.key.reveal())?;
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&cert)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("failed to load X509KeyPair: {error}"))?;
    if chain.is_empty() {
        return Err(
            "failed to load X509KeyPair: no certificate in the certificate data".to_owned(),
        );
    }
    let key = PrivateKeyDer::from_pem_slice(&key)
        .map_err(|error| format!("failed to load X509KeyPair: {error}"))?;

    let provider = Arc::new(provider(settings)?);
    let versions = versions(settings)?;
    let algorithms = provider.signature_verification_algorithms;
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&versions)
        .map_err(|error| error.to_string())?;
    let builder = match client_verifier(settings, &provider, algorithms)? {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(|error| format!("failed to load X509KeyPair: {error}"))?;
    config.alpn_protocols = if http2 {
        vec![b"h2".to_vec(), b"http/1.1".to_vec()]
    } else {
        vec![b"http/1.1".to_vec()]
    };
    Ok(Arc::new(config))
}

/// The text itself or the file's.
fn pem(name: &str, file: &Path, text: &str) -> Result<Vec<u8>, String> {
    if !file.as_os_str().is_empty() {
        return std::fs::read(file)
            .map_err(|error| format!("failed to read {name}_file ({}): {error}", file.display()));
    }
    if text.is_empty() {
        return Err(format!("missing one of {name} or {name}_file"));
    }
    Ok(text.as_bytes().to_vec())
}

fn provider(settings: &TlsServerConfig) -> Result<CryptoProvider, String> {
    let mut provider = rustls::crypto::ring::default_provider();
    if !settings.cipher_suites.is_empty() {
        let spoken = |name: &str| {
            provider
                .cipher_suites
                .iter()
                .any(|suite| go_name(suite) == name)
        };
        for name in &settings.cipher_suites {
            if !spoken(name) && !NOT_SPOKEN.contains(&name.as_str()) {
                return Err(format!("unknown cipher: {name}"));
            }
        }
        // As in Go, the list is about TLS 1.2; those of TLS 1.3 are always on.
        provider.cipher_suites.retain(|suite| {
            suite.tls13().is_some() || settings.cipher_suites.contains(&go_name(suite))
        });
    }
    if !settings.curve_preferences.is_empty() {
        let mut groups = Vec::new();
        for name in &settings.curve_preferences {
            groups.push(match name.as_str() {
                "CurveP256" => rustls::crypto::ring::kx_group::SECP256R1,
                "CurveP384" => rustls::crypto::ring::kx_group::SECP384R1,
                "X25519" => rustls::crypto::ring::kx_group::X25519,
                // Known to Go, not spoken here; others of the list are.
                "CurveP521" => continue,
                _ => return Err(format!("unknown curve: {name}")),
            });
        }
        if groups.is_empty() {
            return Err("curve_preferences: CurveP521 alone is not supported".to_owned());
        }
        provider.kx_groups = groups;
    }
    Ok(provider)
}

fn go_name(suite: &rustls::SupportedCipherSuite) -> String {
    format!("{:?}", suite.suite()).replace("TLS13_", "TLS_")
}

fn versions(
    settings: &TlsServerConfig,
) -> Result<Vec<&'static rustls::SupportedProtocolVersion>, String> {
    let rank = |name: &str| match name {
        "" => Ok(0),
        "TLS10" => Ok(10),
        "TLS11" => Ok(11),
        "TLS12" => Ok(12),
        "TLS13" => Ok(13),
        other => Err(format!("unknown TLS version: {other}")),
    };
    let (min, max) = (rank(&settings.min_version)?, rank(&settings.max_version)?);
    let max = if max == 0 { 13 } else { max };
    let mut versions = Vec::new();
    if min <= 13 && max >= 13 {
        versions.push(&rustls::version::TLS13);
    }
    if min <= 12 && max >= 12 {
        versions.push(&rustls::version::TLS12);
    }
    if versions.is_empty() {
        return Err(format!(
            "no TLS version between min_version {} and max_version {}: TLS12 and TLS13 are supported",
            settings.min_version, settings.max_version
        ));
    }
    Ok(versions)
}

fn client_verifier(
    settings: &TlsServerConfig,
    provider: &Arc<CryptoProvider>,
    algorithms: WebPkiSupportedAlgorithms,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, String> {
    let has_ca = !settings.client_ca.is_empty() || !settings.client_ca_file.as_os_str().is_empty();
    let policy = settings.client_auth_type.as_str();
    let known = [
        "",
        "NoClientCert",
        "RequestClientCert",
        "RequireClientCert",
        "RequireAnyClientCert",
        "VerifyClientCertIfGiven",
        "RequireAndVerifyClientCert",
    ];
    if !known.contains(&policy) {
        return Err(format!("invalid ClientAuth: {policy}"));
    }
    if has_ca && matches!(policy, "" | "NoClientCert") {
        return Err("client CA's have been configured without a Client Auth Policy".to_owned());
    }
    let required = matches!(
        policy,
        "RequireClientCert" | "RequireAnyClientCert" | "RequireAndVerifyClientCert"
    );
    if settings.client_allowed_sans.is_some() && !required {
        return Err("client_allowed_sans requires client_auth_type to be one of RequireAnyClientCert or RequireAndVerifyClientCert".to_owned());
    }
    match policy {
        "" | "NoClientCert" => Ok(None),
        "VerifyClientCertIfGiven" | "RequireAndVerifyClientCert" => {
            let roots = if has_ca {
                let data = pem("client_ca", &settings.client_ca_file, &settings.client_ca)?;
                let mut roots = RootCertStore::empty();
                for certificate in CertificateDer::pem_slice_iter(&data) {
                    let certificate = certificate.map_err(|error| format!("client_ca: {error}"))?;
                    roots
                        .add(certificate)
                        .map_err(|error| format!("client_ca: {error}"))?;
                }
                roots
            } else {
                return Err(format!("{policy} needs client_ca or client_ca_file"));
            };
            let builder =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
            let builder = if required {
                builder
            } else {
                builder.allow_unauthenticated()
            };
            Ok(Some(
                builder
                    .build()
                    .map_err(|error| format!("client_ca: {error}"))?,
            ))
        }
        _ => Ok(Some(Arc::new(AnyCertificate {
            required,
            algorithms,
        }))),
    }
}

/// Takes any certificate whose key the client has, as Go's `RequestClientCert` and
/// `RequireAnyClientCert`.
#[derive(Debug)]
struct AnyCertificate {
    required: bool,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for AnyCertificate {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        self.required
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Whether the client's certificate has one of the allowed names, if there are any: DNS names and URIs word for word,
/// IP addresses as addresses.
pub(super) fn check_sans(
    certificates: &[CertificateDer<'_>],
    allowed: Option<&[String]>,
) -> Result<(), String> {
    let Some(allowed) = allowed else {
        return Ok(());
    };
    let certificate = certificates
        .first()
        .ok_or("client did not present a certificate to match against client_allowed_sans")?;
    let certificate = webpki::EndEntityCert::try_from(certificate)
        .map_err(|error| format!("error parsing client certificate: {error}"))?;
    let has_name = certificate
        .valid_dns_names()
        .chain(certificate.valid_uri_names())
        .any(|name| allowed.iter().any(|allowed| allowed == name));
    let has_address = || {
        allowed.iter().any(|allowed| {
            let Ok(address) = allowed.parse::<std::net::IpAddr>() else {
                return false;
            };
            let name = ServerName::IpAddress(address.into());
            certificate.verify_is_valid_for_subject_name(&name).is_ok()
        })
    };
    if has_name || has_address() {
        return Ok(());
    }
    Err(format!(
        "could not find allowed SANs in client cert, found: {allowed:?}"
    ))
}
