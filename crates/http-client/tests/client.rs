//! The client against real servers and proxies.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use http_client::{Client, ClientOptions, HttpClientConfig};
use support::{Authority, Server, ok, redirect, server_tls};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

fn config(yaml: &str) -> HttpClientConfig {
    yaml_config::from_str(yaml).unwrap_or_else(|error| panic!("{yaml}: {error}"))
}

fn client(yaml: &str) -> Client {
    Client::new(&config(yaml), ClientOptions::default()).unwrap()
}

fn get(url: &str) -> Request<Full<Bytes>> {
    Request::get(url).body(Full::default()).unwrap()
}

async fn text(client: &Client, url: &str) -> String {
    let response = client.send(get(url)).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

async fn error(client: &Client, url: &str) -> String {
    client.send(get(url)).await.unwrap_err().to_string()
}

#[tokio::test]
async fn connections_are_used_again() {
    let server = Server::start(|_| ok("x")).await;
    let client = client("{}");
    for _ in 0..5 {
        assert_eq!(text(&client, &server.url("/a?b=c")).await, "x");
    }
    assert_eq!(server.connections(), 1);
    let seen = server.last();
    assert_eq!((seen.method, seen.version), (Method::GET, Version::HTTP_11));
    assert_eq!(seen.uri, "/a?b=c");
    assert_eq!(
        seen.headers.get("host").unwrap(),
        &server.address.to_string()
    );
    assert_eq!(seen.headers.get("authorization"), None);
}

#[tokio::test]
async fn credentials_and_headers() {
    let server = Server::start(|_| ok("")).await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("secret");
    std::fs::write(&file, "from file\n").unwrap();
    let file = file.display();
    for (yaml, authorization) in [
        (
            "{basic_auth: {username: u, password: 12}}".to_owned(),
            Some("Basic dToxMg=="),
        ),
        (
            format!("{{basic_auth: {{username: u, password_file: {file}}}}}"),
            Some("Basic dTpmcm9tIGZpbGU="),
        ),
        (
            "{authorization: {credentials: abc}}".to_owned(),
            Some("Bearer abc"),
        ),
        (
            format!("{{authorization: {{type: Token, credentials_file: {file}}}}}"),
            Some("Token from file"),
        ),
        ("{bearer_token: abc}".to_owned(), Some("Bearer abc")),
        (
            format!("{{http_headers: {{X-A: {{values: [a, b], secrets: [c], files: [{file}]}}}}}}"),
            None,
        ),
    ] {
        text(&client(&yaml), &server.url("/")).await;
        assert_eq!(
            server.last().header("authorization"),
            authorization,
            "{yaml}"
        );
    }
    let values: Vec<_> = server
        .last()
        .headers
        .get_all("x-a")
        .iter()
        .cloned()
        .collect();
    assert_eq!(values, ["a", "b", "c", "from file"]);

    let options = ClientOptions {
        user_agent: Some(HeaderValue::from_static("Firewatch/1")),
        host: Some(HeaderValue::from_static("other")),
        ..ClientOptions::default()
    };
    let client = Client::new(&config("{bearer_token: x}"), options).unwrap();
    let mut request = get(&server.url("/"));
    request
        .headers_mut()
        .insert("authorization", HeaderValue::from_static("mine"));
    client.send(request).await.unwrap();
    let seen = server.last();
    assert_eq!(seen.header("authorization"), Some("mine"));
    assert_eq!(seen.header("user-agent"), Some("Firewatch/1"));
    assert_eq!(seen.header("host"), Some("other"));

    let url = server.url("/").replace("http://", "http://user:pass@");
    text(&self::client("{}"), &url).await;
    assert_eq!(
        server.last().header("authorization"),
        Some("Basic dXNlcjpwYXNz")
    );
}

#[tokio::test]
async fn secrets_are_read_again() {
    let server = Server::start(|_| ok("")).await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    let client = client(&format!("{{bearer_token_file: {}}}", file.display()));
    let message = error(&client, &server.url("/")).await;
    assert!(
        message.contains("unable to read authorization credentials: unable to read file "),
        "{message}"
    );
    for token in ["one", "second"] {
        std::fs::write(&file, token).unwrap();
        text(&client, &server.url("/")).await;
        assert_eq!(
            server.last().header("authorization"),
            Some(&*format!("Bearer {token}"))
        );
    }
}

#[tokio::test]
async fn redirects() {
    let other = Server::start(|_| ok("other")).await;
    // The same port under another name is another host.
    let elsewhere = format!("http://localhost:{}/x", other.address.port());
    let server = Server::start(move |seen| match seen.uri.path() {
        "/here" => redirect(301, "there?x=1"),
        "/away" => redirect(302, &elsewhere),
        "/see" => redirect(303, "/there"),
        "/keep" => redirect(307, "/there"),
        "/loop" => redirect(302, "/loop"),
        "/odd" => redirect(302, "ftp://x"),
        "/bare" => ok_status(304),
        _ => ok("there"),
    })
    .await;
    let follows = client("{bearer_token: secret, http_headers: {x-key: {secrets: [k]}}}");
    assert_eq!(text(&follows, &server.url("/here")).await, "there");
    let seen = server.last();
    assert_eq!(
        (seen.uri.to_string().as_str(), seen.header("authorization")),
        ("/there?x=1", Some("Bearer secret"))
    );

    assert_eq!(text(&follows, &server.url("/away")).await, "other");
    assert_eq!(other.last().header("authorization"), None);
    assert_eq!(other.last().header("x-key"), None);

    for (path, method, body) in [("/see", Method::GET, ""), ("/keep", Method::POST, "data")] {
        let request = Request::post(server.url(path))
            .header("content-type", "text/plain")
            .body(Full::new(Bytes::from("data")))
            .unwrap();
        assert_eq!(
            follows.send(request).await.unwrap().status(),
            StatusCode::OK
        );
        let seen = server.last();
        assert_eq!(
            (seen.method.clone(), seen.body.as_str()),
            (method, body),
            "{path}"
        );
        assert_eq!(seen.header("content-type").is_some(), !body.is_empty());
    }

    let url = server.url("/loop");
    assert_eq!(
        error(&follows, &url).await,
        format!("Get \"{url}\": stopped after 10 redirects")
    );
    let url = server.url("/odd");
    assert_eq!(
        error(&follows, &url).await,
        format!("Get \"{url}\": failed to parse Location header \"ftp://x\"")
    );
    assert_eq!(
        follows
            .send(get(&server.url("/bare")))
            .await
            .unwrap()
            .status(),
        304
    );
    let stays = client("{follow_redirects: false}");
    assert_eq!(
        stays
            .send(get(&server.url("/here")))
            .await
            .unwrap()
            .status(),
        301
    );
}

fn ok_status(status: u16) -> http::Response<Full<Bytes>> {
    http::Response::builder()
        .status(status)
        .body(Full::default())
        .unwrap()
}

#[tokio::test]
async fn errors_are_gos() {
    let port = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let client = client("{}");
    let url = format!("http://127.0.0.1:{port}/metrics");
    assert_eq!(
        error(&client, &url).await,
        format!("Get \"{url}\": dial tcp 127.0.0.1:{port}: connect: connection refused")
    );
    let closes = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = closes.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = closes.accept().await.unwrap();
            let mut buffer = [0; 1024];
            let _ = stream.read(&mut buffer).await;
        }
    });
    let url = format!("http://{address}/");
    assert_eq!(error(&client, &url).await, format!("Get \"{url}\": EOF"));
    let plain = Server::start(|_| ok("")).await;
    let url = format!("https://{}/", plain.address);
    let message = error(&client, &url).await;
    assert!(
        message.contains("tls: first record does not look like a TLS handshake"),
        "{message}"
    );
}

#[tokio::test]
async fn tls() {
    let authority = Authority::new();
    let server = Server::start_with(
        Some(server_tls(&authority.issue("inside.example"), None)),
        |_| ok("safe"),
    )
    .await;
    let url = format!("https://{}/", server.address);
    let directory = tempfile::tempdir().unwrap();
    let ca = directory.path().join("ca.pem");
    std::fs::write(&ca, &authority.pem).unwrap();
    let ca = ca.display();

    let named = client(&format!(
        "{{tls_config: {{ca_file: {ca}, server_name: inside.example}}}}"
    ));
    assert_eq!(text(&named, &url).await, "safe");
    assert_eq!(server.last().version, Version::HTTP_2);
    let first = client(&format!(
        "{{enable_http2: false, tls_config: {{ca_file: {ca}, server_name: inside.example, min_version: TLS12, max_version: TLS12}}}}"
    ));
    assert_eq!(text(&first, &url).await, "safe");
    assert_eq!(server.last().version, Version::HTTP_11);
    assert_eq!(
        text(&client("{tls_config: {insecure_skip_verify: true}}"), &url).await,
        "safe"
    );
    let inline = yaml_config::to_string(&authority.pem)
        .unwrap()
        .replace('\n', "\n    ");
    let inline = client(&format!(
        "tls_config:\n  server_name: inside.example\n  ca: {inline}\n"
    ));
    assert_eq!(text(&inline, &url).await, "safe");

    let message = error(&client(&format!("{{tls_config: {{ca_file: {ca}}}}}")), &url).await;
    assert!(
        message.contains("tls: failed to verify certificate: x509: "),
        "{message}"
    );
    let message = error(&client("{tls_config: {server_name: inside.example}}"), &url).await;
    assert!(
        message.contains("x509: certificate signed by unknown authority"),
        "{message}"
    );
}

#[tokio::test]
async fn tls_settings_that_cannot_work_are_refused_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let empty = directory.path().join("empty.pem");
    std::fs::write(&empty, "nothing").unwrap();
    let empty = empty.display();
    for (yaml, message) in [
        (
            "{tls_config: {ca_file: /nowhere}}".to_owned(),
            "unable to read CA cert: unable to read file /nowhere: open /nowhere: no such file or directory".to_owned(),
        ),
        (
            format!("{{tls_config: {{ca_file: {empty}}}}}"),
            format!("unable to use specified CA cert file {empty}"),
        ),
        (
            "{tls_config: {min_version: TLS13, max_version: TLS12}}".to_owned(),
            "tls_config.max_version must be greater than or equal to tls_config.min_version if both are specified".to_owned(),
        ),
        (
            "{tls_config: {max_version: TLS11}}".to_owned(),
            "tls_config.max_version: TLS below 1.2 is not supported".to_owned(),
        ),
        (
            "{tls_config: {cert: a, key: b}}".to_owned(),
            "unable to use specified client cert (inline) & key (inline): ".to_owned(),
        ),
        (
            "{bearer_token: \"a\\nb\"}".to_owned(),
            "authorization cannot be sent in a header".to_owned(),
        ),
        (
            "{authorization: {credentials_ref: a}}".to_owned(),
            "unable to use credentials: cannot use secret ref without manager".to_owned(),
        ),
    ] {
        let error = Client::new(&config(&yaml), ClientOptions::default()).unwrap_err().to_string();
        assert!(error.starts_with(&message), "{yaml}: {error}");
    }
}

#[tokio::test]
async fn client_certificates_and_files_that_change() {
    let (servers, clients, later) = (Authority::new(), Authority::new(), Authority::new());
    let identity = servers.issue("localhost");
    let server =
        Server::start_with(Some(server_tls(&identity, Some(&clients))), |_| ok("in")).await;
    let url = format!("https://localhost:{}/", server.address.port());
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let write = |clients: &Authority| {
        let me = clients.issue("me");
        std::fs::write(path("cert.pem"), me.cert).unwrap();
        std::fs::write(path("key.pem"), me.key).unwrap();
    };
    std::fs::write(path("ca.pem"), &servers.pem).unwrap();
    write(&later);
    let dir = directory.path().display();
    let client = client(&format!(
        "{{tls_config: {{ca_file: {dir}/ca.pem, cert_file: {dir}/cert.pem, key_file: {dir}/key.pem}}}}"
    ));
    // The server does not know this authority.
    assert!(client.send(get(&url)).await.is_err());
    write(&clients);
    assert_eq!(text(&client, &url).await, "in");
    assert!(
        self::client(&format!("{{tls_config: {{ca_file: {dir}/ca.pem}}}}"))
            .send(get(&url))
            .await
            .is_err()
    );
    std::fs::write(path("ca.pem"), "rubbish").unwrap();
    let message = error(&client, &url).await;
    assert!(
        message.contains("unable to use specified CA cert file"),
        "{message}"
    );
    std::fs::write(path("ca.pem"), &servers.pem).unwrap();
    assert_eq!(text(&client, &url).await, "in");
}

/// A proxy that answers CONNECT by connecting, and hands the heads it read to the test.
async fn tunnel_proxy() -> (u16, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (heads, received) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let heads = heads.clone();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                let head = String::from_utf8(head).unwrap();
                let target = head.split(' ').nth(1).unwrap().to_owned();
                let refuse = head.contains("refuse");
                heads.send(head).unwrap();
                if refuse {
                    stream
                        .write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n")
                        .await
                        .unwrap();
                    return;
                }
                let mut upstream = TcpStream::connect(target).await.unwrap();
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\nX: y\r\n\r\n")
                    .await
                    .unwrap();
                let _ = copy_bidirectional(&mut stream, &mut upstream).await;
            });
        }
    });
    (port, received)
}

#[tokio::test]
async fn proxies() {
    let authority = Authority::new();
    let server = Server::start_with(
        Some(server_tls(&authority.issue("localhost"), None)),
        |_| ok("through"),
    )
    .await;
    let port = server.address.port();
    let (proxy, mut heads) = tunnel_proxy().await;
    let through = client(&format!(
        "{{proxy_url: 'http://u:p@127.0.0.1:{proxy}', proxy_connect_header: {{X-Team: [a, b]}}, tls_config: {{insecure_skip_verify: true}}}}"
    ));
    assert_eq!(
        text(&through, &format!("https://localhost:{port}/")).await,
        "through"
    );
    assert_eq!(
        heads.recv().await.unwrap(),
        format!(
            "CONNECT localhost:{port} HTTP/1.1\r\nHost: localhost:{port}\r\nx-team: a\r\nx-team: b\r\nproxy-authorization: Basic dTpw\r\n\r\n"
        )
    );
    assert_eq!(server.last().header("proxy-authorization"), None);
    let refused = client(&format!(
        "{{proxy_url: 'http://127.0.0.1:{proxy}', proxy_connect_header: {{X: [refuse]}}, tls_config: {{insecure_skip_verify: true}}}}"
    ));
    let url = format!("https://localhost:{port}/");
    assert_eq!(
        error(&refused, &url).await,
        format!("Get \"{url}\": Forbidden")
    );

    // Plain requests go to the proxy whole.
    let forward = Server::start(|_| ok("by proxy")).await;
    let plain = client(&format!(
        "{{proxy_url: 'http://u:p@{}', no_proxy: direct.example}}",
        forward.address
    ));
    assert_eq!(text(&plain, "http://far.example/x?y=1").await, "by proxy");
    let seen = forward.last();
    assert_eq!(seen.uri, "http://far.example/x?y=1");
    assert_eq!(
        (seen.header("host"), seen.header("proxy-authorization")),
        (Some("far.example"), Some("Basic dTpw"))
    );
    assert!(plain.send(get("http://direct.example:1/")).await.is_err());

    let port = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let gone = client(&format!("{{proxy_url: 'http://127.0.0.1:{port}'}}"));
    assert_eq!(
        error(&gone, "http://far.example/").await,
        format!(
            "Get \"http://far.example/\": proxyconnect tcp: dial tcp 127.0.0.1:{port}: connect: connection refused"
        )
    );
}

#[tokio::test]
async fn socks() {
    let server = Server::start(|_| ok("by socks")).await;
    let target = server.address;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = listener.local_addr().unwrap();
    let asked = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut methods = [0; 4];
        stream.read_exact(&mut methods).await.unwrap();
        assert_eq!(methods, [5, 2, 0, 2]);
        stream.write_all(&[5, 2]).await.unwrap();
        let mut login = [0; 5];
        stream.read_exact(&mut login).await.unwrap();
        assert_eq!(&login, b"\x01\x01u\x01p");
        stream.write_all(&[1, 0]).await.unwrap();
        let mut request = [0; 4 + 1 + 11 + 2];
        stream.read_exact(&mut request).await.unwrap();
        stream
            .write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0])
            .await
            .unwrap();
        let mut upstream = TcpStream::connect(target).await.unwrap();
        let _ = copy_bidirectional(&mut stream, &mut upstream).await;
        request
    });
    let through = client(&format!("{{proxy_url: 'socks5://u:p@{proxy}'}}"));
    assert_eq!(text(&through, "http://far.example/").await, "by socks");
    drop(through);
    let request = asked.await.unwrap();
    assert_eq!(&request[..5], &[5, 1, 0, 3, 11]);
    assert_eq!(
        (&request[5..16], &request[16..]),
        (&b"far.example"[..], &[0, 80][..])
    );
}

#[tokio::test]
async fn unix_sockets() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let server = Server::start(|_| ok("")).await;
    let this = server.clone();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        this.serve(stream, Arc::new(|_: &support::Seen| ok("local")))
            .await;
    });
    let client = client("{}").with_unix_socket(&path).unwrap();
    assert_eq!(text(&client, "http://anything/metrics").await, "local");
    assert_eq!(server.last().header("host"), Some("anything"));
}

#[tokio::test]
async fn tokens() {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let issuer = Server::start(move |seen| {
        let n = counted.fetch_add(1, Ordering::Relaxed);
        if seen.uri.path() == "/body" && !seen.body.contains("client_secret") {
            return ok_status(401);
        }
        if seen.uri.path() == "/wrong" {
            return ok("{\"error\": \"invalid_scope\", \"error_description\": \"no\"}");
        }
        // The first one has ended as soon as it comes.
        let expires = if n == 0 { 1 } else { 3600 };
        ok(&format!(
            "{{\"access_token\": \"t{n}\", \"token_type\": \"bearer\", \"expires_in\": {expires}}}"
        ))
    })
    .await;
    let server = Server::start(|_| ok("")).await;
    let client_for = |path: &str| {
        client(&format!(
            "{{oauth2: {{client_id: 'i d', client_secret: s, scopes: [a, b], token_url: '{}', endpoint_params: {{aud: 'x&y'}}}}}}",
            issuer.url(path)
        ))
    };
    let client = client_for("/token");
    for token in ["t0", "t1", "t1"] {
        text(&client, &server.url("/")).await;
        assert_eq!(
            server.last().header("authorization"),
            Some(&*format!("Bearer {token}"))
        );
    }
    let asked = issuer.last();
    assert_eq!(asked.method, Method::POST);
    assert_eq!(asked.header("authorization"), Some("Basic aStkOnM="));
    assert_eq!(
        asked.body,
        "grant_type=client_credentials&scope=a+b&aud=x%26y"
    );

    let client = client_for("/body");
    text(&client, &server.url("/")).await;
    assert_eq!(server.last().header("authorization"), Some("Bearer t3"));
    assert!(
        issuer
            .last()
            .body
            .ends_with("&client_id=i+d&client_secret=s")
    );
    assert_eq!(issuer.last().header("authorization"), None);

    let message = error(&client_for("/wrong"), &server.url("/")).await;
    assert!(
        message.ends_with("oauth2: \"invalid_scope\" no"),
        "{message}"
    );
}
