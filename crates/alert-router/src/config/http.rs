//! Stand-in until `http-client` has these types.

use super::settings::{settings, unset};
use yaml_config::Secret;
settings! {
    "config.plain" HttpConfig {
        basic_auth: Option<BasicAuth> = None, skip "unset";
        authorization: Option<Authorization> = None, skip "unset";
        follow_redirects: bool = true;
        enable_http2: bool = true;
        proxy_url: String = String::new(), skip "unset";
    }
}
settings! {
    "config.plain" BasicAuth {
        username: String = String::new(), skip "unset";
        password: Secret = Secret::default(), skip "unset";
    }
}
settings! {
    "config.plain" Authorization {
        r#type: String = String::new(), skip "unset";
        credentials: Secret = Secret::default(), skip "unset";
        credentials_file: String = String::new(), skip "unset";
    }
}
settings! {
    "config.TLSConfig" TlsConfig {
        insecure_skip_verify: bool = false;
    }
}
impl HttpConfig {
    pub fn set_directory(&mut self, _: &std::path::Path) {}
    pub fn authorize(&mut self, kind: &str, credentials: Secret, credentials_file: String) {
        self.authorization = Some(Authorization {
            r#type: kind.to_owned(),
            credentials,
            credentials_file,
        });
    }
}
