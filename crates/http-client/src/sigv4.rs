//! Amazon's signature, version 4, as a request header.

use bytes::Bytes;
use golang::time::Time;
use http::{HeaderValue, Request};
use ring::{digest, hmac};
use yaml_config::Secret;

/// Who signs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AwsCredentials {
    pub access_key: String,
    pub secret_key: Secret,
    /// Of temporary credentials.
    pub session_token: Secret,
}

/// What a signature is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SigningScope<'a> {
    pub region: &'a str,
    /// `ec2`, `sts`, `aps`.
    pub service: &'a str,
    pub unix_seconds: i64,
}

/// Adds `X-Amz-Date`, `X-Amz-Security-Token` and `Authorization`. Host, content type and all `X-Amz-*`
/// headers are signed, and so is the body.
///
/// # Errors
/// Credentials that are no header values; a URI without a host.
pub fn sign_v4(
    request: &mut Request<Bytes>,
    credentials: &AwsCredentials,
    scope: SigningScope<'_>,
) -> Result<(), String> {
    let time = Time::from_unix(scope.unix_seconds, 0).format("20060102T150405Z");
    let date = time[..8].to_owned();
    let value = |text: &str| {
        let mut value = HeaderValue::from_str(text).map_err(|e| e.to_string())?;
        value.set_sensitive(true);
        Ok::<_, String>(value)
    };
    request.headers_mut().insert("x-amz-date", value(&time)?);
    if !credentials.session_token.is_empty() {
        let token = value(credentials.session_token.reveal())?;
        request.headers_mut().insert("x-amz-security-token", token);
    }
    let (signed_headers, canonical) = canonical_request(request)?;
    let terms = format!("{date}/{}/{}/aws4_request", scope.region, scope.service);
    let to_sign = format!(
        "AWS4-HMAC-SHA256\n{time}\n{terms}\n{}",
        sha256_hex(canonical.as_bytes())
    );
    let secret = format!("AWS4{}", credentials.secret_key.reveal());
    let mut key = secret.into_bytes();
    for part in [&date, scope.region, scope.service, "aws4_request"] {
        key = hmac_sha256(&key, part.as_bytes());
    }
    let signature = hex(&hmac_sha256(&key, to_sign.as_bytes()));
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={}/{terms}, SignedHeaders={signed_headers}, Signature={signature}",
        credentials.access_key
    );
    let authorization = value(&authorization)?;
    request
        .headers_mut()
        .insert(http::header::AUTHORIZATION, authorization);
    Ok(())
}

/// The names of the signed headers, and the text that is signed.
fn canonical_request(request: &Request<Bytes>) -> Result<(String, String), String> {
    let uri = request.uri();
    let host = uri.host().ok_or("a request without a host")?;
    let host = match (uri.port_u16(), uri.scheme_str()) {
        (None, _) | (Some(80), Some("http")) | (Some(443), Some("https")) => host.to_owned(),
        (Some(port), _) => format!("{host}:{port}"),
    };
    let mut headers = vec![("host".to_owned(), host)];
    for (name, value) in request.headers() {
        if name == http::header::CONTENT_TYPE || name.as_str().starts_with("x-amz-") {
            let text = String::from_utf8_lossy(value.as_bytes());
            let words: Vec<&str> = text.split_ascii_whitespace().collect();
            headers.push((name.as_str().to_owned(), words.join(" ")));
        }
    }
    headers.sort();
    let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
    let names = names.join(";");
    let lines: String = headers
        .iter()
        .map(|(name, value)| format!("{name}:{value}\n"))
        .collect();
    let mut query: Vec<&str> = uri.query().unwrap_or("").split('&').collect();
    query.retain(|pair| !pair.is_empty());
    let mut query: Vec<String> = query
        .into_iter()
        .map(|pair| {
            if pair.contains('=') {
                pair.to_owned()
            } else {
                format!("{pair}=")
            }
        })
        .collect();
    query.sort();
    let canonical = format!(
        "{}\n{}\n{}\n{lines}\n{names}\n{}",
        request.method(),
        escaped_path(uri.path()),
        query.join("&"),
        sha256_hex(request.body())
    );
    Ok((names, canonical))
}

/// The path as it is sent, escaped once more.
fn escaped_path(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                out.push(char::from(byte));
            }
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn hmac_sha256(key: &[u8], text: &[u8]) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, text).as_ref().to_vec()
}

fn sha256_hex(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cases of Amazon's own test suite for version 4.
    #[test]
    fn signatures_are_amazons() {
        let credentials = AwsCredentials {
            access_key: "AKIDEXAMPLE".to_owned(),
            secret_key: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
            session_token: Secret::default(),
        };
        let scope = SigningScope {
            region: "us-east-1",
            service: "service",
            unix_seconds: 1_440_938_160,
        };
        for (request, signature) in [
            (
                Request::get("https://example.amazonaws.com/"),
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                Request::get("https://example.amazonaws.com/?Param2=value2&Param1=value1"),
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
            (
                Request::post("https://example.amazonaws.com:443/"),
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
        ] {
            let mut request = request.body(Bytes::new()).unwrap();
            sign_v4(&mut request, &credentials, scope).unwrap();
            let found = request.headers()["authorization"].to_str().unwrap();
            assert_eq!(
                found,
                format!(
                    "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, Signature={signature}"
                )
            );
        }
        let mut request = Request::post("https://example.amazonaws.com/")
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(Bytes::from_static(b"Param1=value1"))
            .unwrap();
        sign_v4(&mut request, &credentials, scope).unwrap();
        let found = request.headers()["authorization"].to_str().unwrap();
        assert!(
            found.ends_with("SignedHeaders=content-type;host;x-amz-date, Signature=ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"),
            "{found}"
        );
    }
}
