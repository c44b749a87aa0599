//! Mail over SMTP.

use std::collections::BTreeMap;

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
