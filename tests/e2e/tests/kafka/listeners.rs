//! One agent that watches the same broker as many clusters, each through another listener.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde_json::json;

use crate::agent::Agent;
use crate::client::Client;
use crate::cluster::Cluster;

/// Ways in that work.
const GOOD: [&str; 7] = [
    "plain",
    "sasl-plain",
    "scram-256",
    "scram-512",
    "oauth",
    "tls-scram",
    "mutual-tls",
];

/// Ways that do not, and what the agent says then.
const BAD: [(&str, &str); 5] = [
    ("wrong-password", "authentication"),
    ("wrong-token", "authentication"),
    ("no-certificate", "tls"),
    ("strange-authority", "tls"),
    ("nobody", "connect"),
];

pub struct Everywhere {
    agent: Agent,
    started: Instant,
}

impl Everywhere {
    /// Writes the configuration and starts the agent. The user `limited` may only describe the topic
    /// `orders` and the group `billing`.
    pub fn start(cluster: &Cluster, certificates: &Path, client: &mut Client) -> Everywhere {
        for (kind, name) in [("TOPIC", "orders"), ("GROUP", "billing")] {
            client.order(json!({"do": "allow", "user": "limited", "kind": kind, "name": name, "operation": "DESCRIBE"}));
        }
        let broker = &cluster.brokers[0];
        let tokens = token_server("agent");
        let other = token_server("");
        let at = certificates.display();
        let sasl = |mechanism: &str, user: &str, password: &str| {
            format!("sasl: {{mechanism: {mechanism}, username: {user}, password: {password}}}")
        };
        let oauth = |port: u16| {
            format!(
                "sasl: {{mechanism: oauthbearer, oauth2: {{client_id: agent, client_secret: secret, token_url: 'http://127.0.0.1:{port}/token'}}}}"
            )
        };
        let ca = format!("tls_config: {{ca_file: {at}/ca.pem}}");
        let mutual = format!(
            "tls_config: {{ca_file: {at}/ca.pem, cert_file: {at}/agent.pem, key_file: {at}/agent-key.pem}}"
        );
        let tls_scram = format!("{ca}\n    {}", sasl("scram-sha512", "agent", "secret"));
        let mut file = "clusters:\n".to_owned();
        for (name, port, access) in [
            ("plain", broker.plain, "".to_owned()),
            ("sasl-plain", broker.sasl, sasl("plain", "agent", "secret")),
            (
                "scram-256",
                broker.sasl,
                sasl("scram-sha256", "agent", "secret"),
            ),
            (
                "scram-512",
                broker.sasl,
                sasl("scram-sha512", "agent", "secret"),
            ),
            ("oauth", broker.sasl, oauth(tokens)),
            ("tls-scram", broker.sasl_tls, tls_scram),
            ("mutual-tls", broker.tls, mutual),
            ("limited", broker.sasl, sasl("plain", "limited", "secret")),
            (
                "wrong-password",
                broker.sasl,
                sasl("scram-sha256", "agent", "guess"),
            ),
            ("wrong-token", broker.sasl, oauth(other)),
            ("no-certificate", broker.tls, ca),
            ("strange-authority", broker.tls, "tls_config: {}".to_owned()),
            ("nobody", e2e::free_port(), "".to_owned()),
        ] {
            file += &format!("  - name: {name}\n    brokers: ['127.0.0.1:{port}']\n");
            if !access.is_empty() {
                file += &format!("    {access}\n");
            }
        }
        let path = cluster.dir.join("clusters.yml");
        std::fs::write(&path, file).expect("the folder can be written");
        let flag = format!("--config.file={}", path.display());
        Everywhere {
            agent: Agent::start(&cluster.dir, "everywhere", &[&flag]),
            started: Instant::now(),
        }
    }

    /// Every cluster that can be reached has the values that `one`, without configuration file, has.
    pub fn all_say_the_same(&self, one: &Agent) {
        for name in GOOD {
            self.agent
                .shows(&[(&format!(r#"kafka_up{{cluster="{name}"}}"#), Some(1.0))]);
        }
        for (name, reason) in BAD {
            let down = format!(r#"kafka_lag_agent_down{{cluster="{name}",reason="{reason}"}}"#);
            let up = format!(r#"kafka_up{{cluster="{name}"}}"#);
            self.agent.shows(&[(&down, Some(1.0)), (&up, Some(0.0))]);
        }
        let families = [
            "kafka_consumergroup_lag{",
            "kafka_consumergroup_lag_sum{",
            "kafka_consumergroup_members{",
            "kafka_topic_partition_current_offset{",
            "kafka_topic_retention_seconds{",
        ];
        let page = one.page();
        for name in GOOD {
            for family in families {
                // `cluster` is the first label of each of them.
                let with = format!(r#"{family}cluster="{name}","#);
                for (series, value) in page.starting(family) {
                    let series = series.replacen(family, &with, 1);
                    // What nobody writes to while this goes on.
                    if series.contains("topic=\"__") {
                        continue;
                    }
                    self.agent.shows(&[(&series, Some(*value))]);
                }
            }
        }
        self.what_is_denied();
        let home = self.agent.home();
        assert!(
            home.contains("<b>scram-512</b>: The cluster answers."),
            "{home}"
        );
        assert!(
            home.contains("<b>nobody</b>: The cluster does not answer: cannot connect"),
            "{home}"
        );
    }

    /// What the rest has is there; what is denied is counted, and logged once.
    fn what_is_denied(&self) {
        let errors = |api: &str| {
            format!(
                r#"kafka_lag_agent_request_errors_total{{api="{api}",cluster="limited",reason="authorization"}}"#
            )
        };
        let apis = ["DescribeConfigs", "DescribeLogDirs", "Fetch"];
        let page = self.agent.becomes("denials are counted", |page| {
            let counted = apis.iter().all(|api| page.value(&errors(api)).is_some());
            counted.then(|| agent_page(page))
        });
        let of = |start: &str| {
            page.iter()
                .filter(|series| series.starts_with(start))
                .count()
        };
        assert_eq!(
            of(r#"kafka_topic_partitions{cluster="limited","#),
            1,
            "{page:#?}"
        );
        assert_eq!(
            of(r#"kafka_consumergroup_info{cluster="limited","#),
            1,
            "{page:#?}"
        );
        assert_eq!(
            of(r#"kafka_consumergroup_lag{cluster="limited","#),
            3,
            "{page:#?}"
        );
        let log = self.agent.process.log_text();
        for api in apis {
            let lines = log.lines().filter(|line| {
                line.contains("cluster=limited") && line.contains(&format!("api={api} "))
            });
            assert_eq!(lines.count(), 1, "{api}: {log}");
        }
    }

    /// The broker ends connections whose login is older than 10 s; nobody notices.
    pub fn sessions_are_renewed(&self) {
        let left = Duration::from_secs(13).saturating_sub(self.started.elapsed());
        std::thread::sleep(left);
        let page = self.agent.page();
        for name in GOOD {
            let failed = format!(r#"kafka_lag_agent_polls_failed_total{{cluster="{name}"}}"#);
            assert_eq!(
                page.value(&failed),
                Some(0.0),
                "{name}: {}",
                self.agent.process.log_text()
            );
            let errors = page.0.iter().filter(|(series, _)| {
                series.starts_with("kafka_lag_agent_request_errors_total{")
                    && series.contains(&format!(r#"cluster="{name}""#))
                    // A topic or group that goes between two requests is no failure of the connection.
                    && !series.contains(r#"reason="unknown_"#)
            });
            assert_eq!(
                errors.count(),
                0,
                "{name}: {}",
                self.agent.process.log_text()
            );
        }
    }
}

fn agent_page(page: &crate::agent::Page) -> Vec<String> {
    page.0.iter().map(|(series, _)| series.clone()).collect()
}

/// Answers each request with a token for `subject`, as the broker's unsecured validator takes it, for
/// as long as the test runs; gives its port.
fn token_server(subject: &str) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.expect("the clock is set").as_secs();
    let claims = json!({"sub": subject, "iat": now, "exp": now + 3600}).to_string();
    let token = format!(
        "{}.{}.",
        BASE64.encode(r#"{"alg":"none"}"#),
        BASE64.encode(claims)
    );
    let body =
        json!({"access_token": token, "token_type": "Bearer", "expires_in": 3600}).to_string();
    std::thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            let mut reader = BufReader::new(connection.try_clone().expect("a socket"));
            let mut line = String::new();
            let mut length = 0;
            while reader.read_line(&mut line).is_ok_and(|n| n > 2) {
                if let Some((name, value)) = line.split_once(':')
                    && name.eq_ignore_ascii_case("content-length")
                {
                    length = value.trim().parse().unwrap_or(0);
                }
                line.clear();
            }
            let mut request = vec![0; length];
            let _ = std::io::Read::read_exact(&mut reader, &mut request);
            let _ = write!(
                connection,
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
        }
    });
    port
}
