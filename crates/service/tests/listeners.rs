//! Real listeners: the kit's paths, TLS, client certificates, passwords, changes while it runs, the stop.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use service::{Boot, Flag, HttpOptions, Program};
use support::{Authority, ask, exchange, tls_client, tls_connect};

static PROGRAM: Program = Program {
    name: "thing",
    about: "Does things.",
    metric_prefix: "thing",
    listen: "127.0.0.1:0",
    grpc: Some("127.0.0.1:0"),
    flags: &[Flag::bool("web.enable-lifecycle", false, "")],
    lifecycle_flag: Some("web.enable-lifecycle"),
    quit: true,
    healthy_text: "Thing is Healthy.\n",
    ready_text: "Thing is Ready.\n",
    stop_deadline: Duration::from_secs(5),
    ..Program::DEFAULT
};

fn router() -> Router {
    Router::new()
        .route("/", get(|| async { "home" }))
        .route("/hello", get(|| async { "hello" }))
        .route("/panic", get(|| async { panic_now() }))
        .route(
            "/slow",
            get(|| async {
                tokio::time::sleep(Duration::from_millis(400)).await;
                "done"
            }),
        )
}

fn panic_now() -> &'static str {
    panic!("on purpose")
}

fn boot(args: &[&str]) -> Boot {
    Boot::new(&PROGRAM, args).unwrap()
}

#[tokio::test]
async fn the_kits_paths() {
    let boot = boot(&["--web.enable-lifecycle"]);
    let address = boot.http(router()).await.unwrap()[0];
    assert_eq!(
        ask(address, "GET /-/healthy", &[]).await.body,
        "Thing is Healthy.\n"
    );
    let answer = ask(address, "GET /-/ready", &[]).await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (503, "Service Unavailable")
    );
    boot.ready();
    assert_eq!(
        ask(address, "GET /-/ready", &[]).await.body,
        "Thing is Ready.\n"
    );
    assert_eq!(
        ask(address, "HEAD /-/ready", &[("connection", "close")])
            .await
            .status,
        200
    );
    assert_eq!(ask(address, "GET /hello", &[]).await.body, "hello");
    assert_eq!(ask(address, "GET /nothing", &[]).await.status, 404);
    assert_eq!(ask(address, "POST /hello", &[]).await.status, 405);

    let answer = ask(address, "GET /-/reload", &[]).await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (405, "Only POST or PUT requests allowed")
    );
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    boot.on_reload(move || {
        let n = counted.fetch_add(1, Ordering::Relaxed);
        async move {
            if n == 0 {
                Ok(())
            } else {
                Err(format!("no {n}"))
            }
        }
    });
    let metrics = || async { ask(address, "GET /metrics", &[]).await.body };
    assert_eq!(ask(address, "POST /-/reload", &[]).await.status, 200);
    assert!(
        metrics()
            .await
            .contains("thing_config_last_reload_successful 1\n")
    );
    let answer = ask(address, "PUT /-/reload", &[]).await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (500, "failed to reload config: no 1\n")
    );
    let page = metrics().await;
    assert!(
        page.contains("thing_config_last_reload_successful 0\n"),
        "{page}"
    );
    assert!(
        page.contains("thing_config_last_reload_success_timestamp_seconds 1."),
        "{page}"
    );
    assert!(
        page.contains("promhttp_metric_handler_requests_total{code=\"200\"} 1\n"),
        "{page}"
    );
    assert_eq!(count.load(Ordering::Relaxed), 2);

    let answer = ask(address, "POST /-/quit", &[]).await;
    assert_eq!(answer.body, "Requesting termination... Goodbye!");
    assert!(boot.shutdown.is_requested());
    boot.finish().await.unwrap();
}

#[tokio::test]
async fn lifecycle_paths_need_their_flag() {
    let boot = boot(&[]);
    let address = boot.http(router()).await.unwrap()[0];
    for path in ["/-/reload", "/-/quit"] {
        let answer = ask(address, &format!("POST {path}"), &[]).await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (403, "Lifecycle API is not enabled.\n")
        );
    }
    assert!(!boot.shutdown.is_requested());
}

#[tokio::test]
async fn a_panic_is_an_answer() {
    let boot = boot(&[]);
    let address = boot.http(router()).await.unwrap()[0];
    assert_eq!(ask(address, "GET /panic", &[]).await.status, 500);
    assert_eq!(ask(address, "GET /hello", &[]).await.body, "hello");
}

#[tokio::test]
async fn everything_below_a_prefix() {
    let boot = boot(&[]);
    let options = HttpOptions {
        prefix: "/pre/fix/".to_owned(),
        ..HttpOptions::default()
    };
    let named = |name: axum::extract::Path<String>| async move { format!("name {}", name.0) };
    let router = router().route("/named/{name}", axum::routing::get(named));
    let address = boot.http_with(router, options).await.unwrap()[0];
    for (path, body) in [
        ("/pre/fix/-/healthy", "Thing is Healthy.\n"),
        ("/pre/fix/hello", "hello"),
        ("/pre/fix/named/a?b=c", "name a"),
        ("/pre/fix/", "home"),
    ] {
        let answer = ask(address, &format!("GET {path}"), &[]).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, body), "{path}");
    }
    for path in ["/", "/pre/fix"] {
        let answer = ask(address, &format!("GET {path}"), &[]).await;
        assert_eq!(
            (answer.status, answer.header("location")),
            (302, Some("/pre/fix/")),
            "{path}"
        );
    }
    assert_eq!(ask(address, "GET /hello", &[]).await.status, 404);
    assert_eq!(ask(address, "GET /pre/fixhello", &[]).await.status, 404);
}

#[tokio::test]
async fn metrics_are_compressed_and_negotiated() {
    let boot = boot(&[]);
    boot.metrics.counter("a_total", "A.").inc();
    let address = boot.http(router()).await.unwrap()[0];
    let answer = ask(
        address,
        "GET /metrics",
        &[("Accept", "application/openmetrics-text; version=1.0.0")],
    )
    .await;
    assert!(
        answer
            .header("content-type")
            .unwrap()
            .starts_with("application/openmetrics-text; version=1.0.0")
    );
    assert!(
        answer.body.contains("a_total 1.0\n") && answer.body.ends_with("# EOF\n"),
        "{}",
        answer.body
    );
}

#[tokio::test]
async fn several_listeners_and_a_taken_port() {
    let two = boot(&[
        "--web.listen-address=127.0.0.1:0",
        "--web.listen-address=localhost:0",
    ]);
    let addresses = two.http(router()).await.unwrap();
    assert_eq!(addresses.len(), 2);
    for address in &addresses {
        assert_eq!(ask(*address, "GET /hello", &[]).await.body, "hello");
    }
    let port = addresses[0].port();
    let other = boot(&[&format!("--web.listen-address=127.0.0.1:{port}")]);
    let error = other.http(router()).await.unwrap_err();
    assert_eq!(error.exit_code(), 1);
    assert_eq!(
        error.to_string(),
        format!(
            "listen tcp 127.0.0.1:{port}: bind: address already in use: port {port} (--web.listen-address) belongs to another process"
        )
    );
    let all = boot(&["--web.listen-address=:0"]);
    let address = all.http(router()).await.unwrap()[0];
    assert!(address.ip().is_unspecified());
    let v4 = std::net::SocketAddr::from(([127, 0, 0, 1], address.port()));
    assert_eq!(ask(v4, "GET /hello", &[]).await.body, "hello");
    let wrong = boot(&["--web.listen-address=nonsense"]);
    assert!(
        wrong
            .http(router())
            .await
            .unwrap_err()
            .to_string()
            .contains("missing port in address")
    );
}

/// A bcrypt hash of low cost.
fn hash(password: &str) -> String {
    bcrypt::hash(password, 4).unwrap()
}

fn write(path: &Path, text: &str) {
    // A new file in its place, as editors and Kubernetes do.
    let fresh = path.with_extension("new");
    std::fs::write(&fresh, text).unwrap();
    std::fs::rename(&fresh, path).unwrap();
}

#[tokio::test]
async fn tls_with_client_certificates_and_passwords() {
    let directory = tempfile::tempdir().unwrap();
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    servers.issue(&["localhost"]).write(directory.path());
    std::fs::write(directory.path().join("ca.pem"), &clients.pem).unwrap();
    let file = directory.path().join("web.yml");
    let tls = "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n  min_version: TLS13\n";
    write(
        &file,
        &format!(
            "{tls}  client_allowed_sans: [good]\nhttp_server_config:\n  headers:\n    X-Frame-Options: deny\nbasic_auth_users:\n  alice: {}\n",
            hash("wonder")
        ),
    );
    let boot = boot(&[&format!("--web.config.file={}", file.display())]);
    let address = boot.http(router()).await.unwrap()[0];

    let good = tls_client(&servers.pem, Some(&clients.issue(&["good"])));
    let alice = [("Authorization", "Basic YWxpY2U6d29uZGVy")];
    let mut stream = tls_connect(&good, address).await.unwrap();
    let answer = exchange(&mut stream, "GET /hello", &[]).await.unwrap();
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (401, "Unauthorized\n")
    );
    assert_eq!(answer.header("www-authenticate"), Some("Basic"));
    assert_eq!(answer.header("x-frame-options"), Some("deny"));
    let answer = exchange(&mut stream, "GET /hello", &alice).await.unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (200, "hello"));
    assert_eq!(answer.header("x-frame-options"), Some("deny"));
    for wrong in [
        "Basic YWxpY2U6d3Jvbmc=",
        "Basic Ym9iOndvbmRlcg==",
        "Bearer x",
    ] {
        let answer = exchange(&mut stream, "GET /hello", &[("Authorization", wrong)])
            .await
            .unwrap();
        assert_eq!(answer.status, 401, "{wrong}");
    }

    // Without a certificate, with one of another authority, with a name that is not allowed.
    for identity in [
        None,
        Some(servers.issue(&["good"])),
        Some(clients.issue(&["bad"])),
    ] {
        let connector = tls_client(&servers.pem, identity.as_ref());
        // In TLS 1.3 the client learns of the refusal when it reads.
        let refused = match tls_connect(&connector, address).await {
            Ok(mut stream) => exchange(&mut stream, "GET /hello", &alice).await.is_err(),
            Err(_) => true,
        };
        assert!(refused);
    }
    // Plain HTTP is not understood.
    let mut plain = tokio::net::TcpStream::connect(address).await.unwrap();
    assert!(exchange(&mut plain, "GET /hello", &[]).await.is_err());
}

#[tokio::test]
async fn changes_are_seen_without_restart() {
    let directory = tempfile::tempdir().unwrap();
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    old.issue(&["localhost"]).write(directory.path());
    let file = directory.path().join("web.yml");
    let tls = "tls_server_config: {cert_file: cert.pem, key_file: key.pem}\n";
    write(&file, tls);
    let boot = boot(&[&format!("--web.config.file={}", file.display())]);
    let address = boot.http(router()).await.unwrap()[0];
    let (trusts_old, trusts_new) = (tls_client(&old.pem, None), tls_client(&new.pem, None));
    let mut open = tls_connect(&trusts_old, address).await.unwrap();
    assert_eq!(
        exchange(&mut open, "GET /hello", &[]).await.unwrap().status,
        200
    );
    assert!(tls_connect(&trusts_new, address).await.is_err());

    new.issue(&["localhost"]).write(directory.path());
    assert!(tls_connect(&trusts_new, address).await.is_ok());
    assert!(tls_connect(&trusts_old, address).await.is_err());

    // Users count from the next request on, on connections that are open too.
    write(
        &file,
        &format!("{tls}basic_auth_users: {{a: '{}'}}\n", hash("b")),
    );
    assert_eq!(
        exchange(&mut open, "GET /hello", &[]).await.unwrap().status,
        401
    );
    let user = [("Authorization", "Basic YTpi")];
    assert_eq!(
        exchange(&mut open, "GET /hello", &user)
            .await
            .unwrap()
            .status,
        200
    );

    // A faulty file changes nothing.
    for faulty in [
        "nonsense: [",
        "foo: bar\n",
        "basic_auth_users: {a: plain}\n",
        "tls_server_config: {cert_file: none}\n",
    ] {
        write(&file, faulty);
        assert_eq!(
            exchange(&mut open, "GET /hello", &user)
                .await
                .unwrap()
                .status,
            200,
            "{faulty}"
        );
        assert_eq!(
            exchange(&mut open, "GET /hello", &[]).await.unwrap().status,
            401,
            "{faulty}"
        );
    }
    write(&file, tls);
    assert_eq!(
        exchange(&mut open, "GET /hello", &[]).await.unwrap().status,
        200
    );
}

#[tokio::test]
async fn faulty_files_are_refused_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new("x");
    authority.issue(&["localhost"]).write(directory.path());
    std::fs::write(directory.path().join("ca.pem"), &authority.pem).unwrap();
    let file = directory.path().join("web.yml");
    let pair = "cert_file: cert.pem, key_file: key.pem";
    for (text, message) in [
        (
            "foo: 1".to_owned(),
            "line 1: field foo not found in type web.Config",
        ),
        (
            "tls_server_config: {cert_file: cert.pem}".to_owned(),
            "missing one of key or key_file",
        ),
        (
            "tls_server_config: {key_file: key.pem}".to_owned(),
            "missing one of cert or cert_file",
        ),
        (
            "tls_server_config: {cert_file: no.pem, key_file: key.pem}".to_owned(),
            "failed to read cert_file (",
        ),
        (
            "tls_server_config: {cert_file: key.pem, key_file: key.pem}".to_owned(),
            "failed to load X509KeyPair",
        ),
        (
            format!("tls_server_config: {{{pair}, client_auth_type: x}}"),
            "invalid ClientAuth: x",
        ),
        (
            format!("tls_server_config: {{{pair}, client_ca_file: ca.pem}}"),
            "client CA's have been configured without a Client Auth Policy",
        ),
        (
            format!("tls_server_config: {{{pair}, client_allowed_sans: [a]}}"),
            "client_allowed_sans requires client_auth_type",
        ),
        (
            format!("tls_server_config: {{{pair}, cipher_suites: [x]}}"),
            "unknown cipher: x",
        ),
        (
            format!("tls_server_config: {{{pair}, curve_preferences: [x]}}"),
            "unknown curve: x",
        ),
        (
            format!("tls_server_config: {{{pair}, min_version: TLS9}}"),
            "unknown TLS version: TLS9",
        ),
        (
            format!("tls_server_config: {{{pair}, max_version: TLS11}}"),
            "no TLS version between",
        ),
        (
            "http_server_config: {headers: {X-Other: a}}".to_owned(),
            "HTTP header \"X-Other\" can not be configured",
        ),
        (
            "http_server_config: {headers: {X-Frame-Options: a}}".to_owned(),
            "invalid value for X-Frame-Options",
        ),
        ("basic_auth_users: {a: b}".to_owned(), "is no bcrypt hash"),
        (
            "rate_limit: {interval: 5}".to_owned(),
            "missing unit in duration",
        ),
    ] {
        std::fs::write(&file, &text).unwrap();
        let boot = boot(&[&format!("--web.config.file={}", file.display())]);
        let error = boot.http(router()).await.unwrap_err().to_string();
        assert!(error.contains(message), "{text}: {error}");
        assert!(error.starts_with("web configuration "), "{error}");
    }
    std::fs::write(
        &file,
        format!("tls_server_config: {{{pair}, cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA], curve_preferences: [CurveP256, CurveP521], min_version: TLS10, prefer_server_cipher_suites: false}}"),
    )
    .unwrap();
    assert!(
        boot(&[&format!("--web.config.file={}", file.display())])
            .http(router())
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn too_many_requests() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("web.yml");
    std::fs::write(&file, "rate_limit: {interval: 1h, burst: 2}").unwrap();
    let boot = boot(&[&format!("--web.config.file={}", file.display())]);
    let address = boot.http(router()).await.unwrap()[0];
    let mut codes = Vec::new();
    for _ in 0..3 {
        codes.push(ask(address, "GET /hello", &[]).await.status);
    }
    assert_eq!(codes, [200, 200, 429]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloads_under_load_lose_no_request() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("web.yml");
    let authority = Authority::new("x");
    authority.issue(&["localhost"]).write(directory.path());
    let tls = "tls_server_config: {cert_file: cert.pem, key_file: key.pem}\n";
    let users = |n: u32| format!("{tls}basic_auth_users: {{a: '{}'}} # {n}\n", hash("b"));
    write(&file, &users(0));
    let boot = boot(&[
        "--web.enable-lifecycle",
        &format!("--web.config.file={}", file.display()),
    ]);
    boot.on_reload(|| async { Ok::<(), String>(()) });
    let address = boot.http(router()).await.unwrap()[0];
    let connector = tls_client(&authority.pem, None);
    let user = [("Authorization", "Basic YTpi")];

    let until = Instant::now() + Duration::from_millis(1500);
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..6 {
        let connector = connector.clone();
        clients.spawn(async move {
            let mut count = 0;
            let mut stream = tls_connect(&connector, address).await.unwrap();
            while Instant::now() < until {
                // Half of them connect anew each time.
                if client % 2 == 0 {
                    stream = tls_connect(&connector, address).await.unwrap();
                }
                let answer = exchange(&mut stream, "GET /hello", &user).await.unwrap();
                assert_eq!((answer.status, answer.body.as_str()), (200, "hello"));
                count += 1;
            }
            count
        });
    }
    let mut n = 1;
    while Instant::now() < until {
        write(&file, &users(n));
        boot.reload().await.unwrap();
        n += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let total: u32 = clients.join_all().await.into_iter().sum();
    assert!(total > 50 && n > 5, "{total} requests, {n} changes");
}

#[tokio::test]
async fn other_listen_flags() {
    static OTHER: Program = Program {
        flags: &[
            Flag::string("listen_ip", "127.0.0.1", ""),
            Flag::int("port", "0", ""),
        ],
        without_flags: &["web.listen-address", "web.config.file"],
        addresses: Some(|args| vec![format!("{}:{}", args.str("listen_ip"), args.int("port"))]),
        lifecycle_flag: None,
        ..PROGRAM
    };
    let boot = Boot::new(&OTHER, &["--listen_ip=localhost"]).unwrap();
    let address = boot.http(router()).await.unwrap()[0];
    assert_eq!(ask(address, "GET /hello", &[]).await.body, "hello");
    assert!(Boot::new(&OTHER, &["--web.listen-address=:1"]).is_err());
}

#[tokio::test]
async fn open_requests_end_before_the_stop() {
    let boot = boot(&[]);
    let address = boot.http(router()).await.unwrap()[0];
    let slow = tokio::spawn(async move { ask(address, "GET /slow", &[]).await.body });
    let idle = tokio::net::TcpStream::connect(address).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let begun = Instant::now();
    boot.shutdown.request("test");
    boot.finish().await.unwrap();
    assert_eq!(slow.await.unwrap(), "done");
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "an idle connection does not hold the stop"
    );
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
    drop(idle);
}

#[tokio::test]
async fn the_stop_has_a_deadline() {
    static HASTY: Program = Program {
        stop_deadline: Duration::from_millis(300),
        ..PROGRAM
    };
    let boot = Boot::new::<&str>(&HASTY, &[]).unwrap();
    let router = Router::new().route(
        "/never",
        get(|| async { std::future::pending::<&str>().await }),
    );
    let address = boot.http(router).await.unwrap()[0];
    let never = tokio::spawn(async move { ask(address, "GET /never", &[]).await.body });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let begun = Instant::now();
    boot.finish().await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(2));
    never.abort();
}

#[tokio::test]
async fn a_failing_task_stops_the_service() {
    let boot = boot(&[]);
    boot.spawn("writer", async { Err(service::Error::new("disk full")) });
    boot.shutdown.requested().await;
    assert_eq!(boot.shutdown.reason().as_deref(), Some("writer failed"));
    assert_eq!(
        boot.finish().await.unwrap_err().to_string(),
        "writer: disk full"
    );
}

#[tokio::test]
async fn grpc_speaks_http2_without_tls() {
    let boot = boot(&[]);
    let address = boot.grpc(router()).await.unwrap().unwrap();
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io)
        .await
        .unwrap();
    tokio::spawn(connection);
    let request = http::Request::get(format!("http://{address}/hello"))
        .body(axum::body::Body::empty())
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(
        (response.status(), response.version()),
        (http::StatusCode::OK, http::Version::HTTP_2)
    );
    let off = Boot::new(&PROGRAM, &["--grpc-address="]).unwrap();
    assert_eq!(off.grpc(router()).await.unwrap(), None);
    let half = Boot::new(&PROGRAM, &["--grpc-server-tls-cert=x"]).unwrap();
    assert_eq!(
        half.grpc(router()).await.unwrap_err().to_string(),
        "both server key and certificate must be provided"
    );
}

#[tokio::test]
async fn grpc_with_tls() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new("x");
    let (cert, key) = authority.issue(&["localhost"]).write(directory.path());
    let boot = boot(&[
        &format!("--grpc-server-tls-cert={}", cert.display()),
        &format!("--grpc-server-tls-key={}", key.display()),
    ]);
    let address = boot.grpc(router()).await.unwrap().unwrap();
    let mut stream = tls_connect(&tls_client(&authority.pem, None), address)
        .await
        .unwrap();
    assert_eq!(
        exchange(&mut stream, "GET /hello", &[]).await.unwrap().body,
        "hello"
    );
}
