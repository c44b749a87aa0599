//! http_config: TLS, authentication, proxies, secrets.
