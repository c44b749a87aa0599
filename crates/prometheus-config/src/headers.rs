//! Headers that `remote_write`, `remote_read` and `tracing` add to their requests.

use std::collections::BTreeMap;

/// Upstream's text for an `authorization` header of remote endpoints.
pub(crate) const REMOTE_AUTHORIZATION: &str = "authorization header must be changed via the basic_auth, authorization, oauth2, sigv4, azuread or google_iam parameter";

/// Upstream's text for an `authorization` header of traces.
pub(crate) const TRACING_AUTHORIZATION: &str =
    "custom authorization header configuration is not yet supported";

/// Checks that no header is set that cannot be; `authorization` is the text for that header.
pub(crate) fn check_headers(
    headers: &BTreeMap<String, String>,
    authorization: &str,
) -> Result<(), String> {
    for name in headers.keys() {
        let lower = name.to_ascii_lowercase();
        if lower == "authorization" {
            return Err(authorization.to_owned());
        }
        // The one that is a scrape's own means nothing here.
        if http_client::reserved_header(&lower) && lower != "x-prometheus-scrape-timeout-seconds" {
            return Err(format!(
                "{name} is a reserved header. It must not be changed"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_is_reserved() {
        let check = |name: &str| {
            check_headers(
                &BTreeMap::from([(name.to_owned(), "v".to_owned())]),
                TRACING_AUTHORIZATION,
            )
        };
        assert_eq!(check("X-Scope-OrgID"), Ok(()));
        assert_eq!(
            check("AUTHORIZATION"),
            Err(TRACING_AUTHORIZATION.to_owned())
        );
        assert_eq!(
            check("Content-Type"),
            Err("Content-Type is a reserved header. It must not be changed".to_owned())
        );
    }
}
