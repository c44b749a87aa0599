//! Requests to the services under test.

use std::time::Duration;

use serde_json::Value;

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .timeout_global(Some(Duration::from_secs(10)))
        .http_status_as_error(false)
        .build()
        .into()
}

/// Status and body of a GET; `None` where nobody answers.
pub fn get(url: &str) -> Option<(u16, String)> {
    let mut response = agent().get(url).call().ok()?;
    let status = response.status().as_u16();
    Some((status, response.body_mut().read_to_string().ok()?))
}

/// The JSON body of a GET that succeeded.
pub fn get_json(url: &str) -> Option<Value> {
    let (status, body) = get(url)?;
    if status != 200 {
        return None;
    }
    serde_json::from_str(&body).ok()
}

/// Status and body of a POST; `None` where nobody answers.
pub fn post(url: &str, headers: &[(&str, &str)], body: &[u8]) -> Option<(u16, String)> {
    let mut request = agent().post(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut response = request.send(body).ok()?;
    let status = response.status().as_u16();
    Some((status, response.body_mut().read_to_string().ok()?))
}

/// The result of an instant query now, as the API gives it.
pub fn query(store: &str, expr: &str) -> Option<Vec<Value>> {
    let mut encoded = String::new();
    for byte in expr.bytes() {
        if byte.is_ascii_alphanumeric() {
            encoded.push(byte as char);
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    let answer = get_json(&format!("{store}/api/v1/query?query={encoded}"))?;
    answer["data"]["result"].as_array().cloned()
}
