//! An authority, a certificate for the broker and one for the agent, as files.

use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
};

/// Writes `ca.pem`, `server.pem` (key and certificate, as Kafka wants them) and `agent.pem` with
/// `agent-key.pem`, whose subject is `CN=agent`.
pub fn write(dir: &Path) {
    let named = |name: &str, hosts: &[&str]| {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts).expect("names of hosts");
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params
    };
    let mut params = named("authority", &[]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let file = |name: &str, text: &str| {
        std::fs::write(dir.join(name), text).expect("the folder can be written");
    };
    file(
        "ca.pem",
        &params.self_signed(&key).expect("a certificate").pem(),
    );
    let authority = Issuer::new(params, key);
    let issue = |params: CertificateParams| {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &authority).expect("a certificate");
        (key.serialize_pem(), certificate.pem())
    };
    let (key, certificate) = issue(named("broker", &["127.0.0.1"]));
    file("server.pem", &format!("{key}{certificate}"));
    let (key, certificate) = issue(named("agent", &["agent.test"]));
    file("agent.pem", &certificate);
    file("agent-key.pem", &key);
}
