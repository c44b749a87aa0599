//! The services of the stack: ports, arguments, what to look at first.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use super::Options;

/// A port a service listens on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Port {
    pub number: u16,
    pub udp: bool,
    pub what: &'static str,
}

/// One service.
#[derive(Debug, Clone)]
pub struct Service {
    /// The crate and its program.
    pub name: &'static str,
    /// The first one is that of its web pages.
    pub ports: Vec<Port>,
    pub args: Vec<String>,
    /// Path and hint for the table.
    pub page: &'static str,
    pub look_at: &'static str,
}

impl Service {
    pub fn web_port(&self) -> u16 {
        self.ports.first().map_or(0, |port| port.number)
    }

    pub fn url(&self) -> String {
        format!("http://localhost:{}{}", self.web_port(), self.page)
    }
}

const fn tcp(number: u16, what: &'static str) -> Port {
    Port {
        number,
        udp: false,
        what,
    }
}

/// All services in the order in which they start: those that are asked before those that ask.
pub fn of(options: &Options, docker: Option<&Path>) -> Vec<Service> {
    let config = |file: &str| options.config.join(file).display().to_string();
    let data = |dir: &str| options.data.join(dir).display().to_string();
    let mut services = vec![
        Service {
            name: "node-agent",
            ports: vec![tcp(9100, "HTTP")],
            args: vec![],
            page: "/metrics",
            look_at: "this host's cpu, memory, disks, network",
        },
        Service {
            name: "statsd-bridge",
            ports: vec![
                tcp(9102, "HTTP"),
                tcp(9125, "StatsD over TCP"),
                Port {
                    number: 9125,
                    udp: true,
                    what: "StatsD over UDP",
                },
            ],
            args: vec![format!(
                "--statsd.mapping-config={}",
                config("statsd_mapping.yml")
            )],
            page: "/metrics",
            look_at: "echo 'demo.hits:1|c' | nc -u -w0 localhost 9125",
        },
    ];
    if docker.is_some() {
        services.push(Service {
            name: "container-agent",
            ports: vec![tcp(8080, "HTTP")],
            args: vec![],
            page: "/metrics",
            look_at: "this host's containers",
        });
    }
    if let Some(kafka) = &options.kafka {
        services.push(Service {
            name: "kafka-lag-agent",
            ports: vec![tcp(9308, "HTTP")],
            args: vec![format!("--kafka.server={kafka}")],
            page: "/metrics",
            look_at: "lag of consumer groups",
        });
    }
    services.push(Service {
        name: "alert-router",
        ports: vec![tcp(9093, "HTTP"), tcp(10904, "gRPC")],
        args: vec![
            format!("--config.file={}", config("alertmanager.yml")),
            format!("--storage.path={}", data("alert-router")),
            "--grpc-address=:10904".to_owned(),
        ],
        page: "",
        look_at: "alerts, silences, receivers",
    });
    services.push(Service {
        name: "scraper-store",
        ports: vec![tcp(9090, "HTTP"), tcp(10901, "gRPC")],
        args: vec![
            format!("--config.file={}", config("prometheus.yml")),
            format!("--storage.tsdb.path={}", data("scraper-store")),
            "--web.enable-lifecycle".to_owned(),
            "--grpc-address=:10901".to_owned(),
            "--rule-evaluator.grpc-address=localhost:10903".to_owned(),
        ],
        page: "",
        look_at: "queries (try: up), targets, rules",
    });
    services.push(Service {
        name: "rule-evaluator",
        ports: vec![tcp(9095, "HTTP"), tcp(10903, "gRPC")],
        args: vec![
            format!("--config.file={}", config("prometheus.yml")),
            "--web.enable-lifecycle".to_owned(),
            "--query.grpc-address=localhost:10901".to_owned(),
            "--alert-router.grpc-address=localhost:10904".to_owned(),
            "--grpc-address=:10903".to_owned(),
        ],
        page: "/api/v1/rules",
        look_at: "rule groups and their state",
    });
    services
}

/// A Docker socket that answers, if there is one.
pub fn docker_socket() -> Option<PathBuf> {
    let path = match std::env::var("DOCKER_HOST") {
        Ok(host) => PathBuf::from(host.strip_prefix("unix://")?),
        Err(_) => PathBuf::from("/var/run/docker.sock"),
    };
    UnixStream::connect(&path).ok()?;
    Some(path)
}

/// Writes the targets that only some hosts have into `targets/local.yml` of the configuration, where
/// prometheus.yml looks for files of this directory. A configuration without it is left alone.
pub fn write_local_targets(options: &Options, docker: bool) -> Result<(), String> {
    let directory = options.config.join("targets");
    if !directory.is_dir() {
        return Ok(());
    }
    let mut text = String::from("# Written by cargo xtask up at each start.\n");
    let mut any = false;
    let mut add = |job: &str, target: &str| {
        any = true;
        text.push_str(&format!(
            "- targets: ['{target}']\n  labels:\n    service: {job}\n"
        ));
    };
    if docker {
        add("container-agent", "localhost:8080");
    }
    if options.kafka.is_some() {
        add("kafka-lag-agent", "localhost:9308");
    }
    if !any {
        text.push_str("[]\n");
    }
    let path = directory.join("local.yml");
    std::fs::write(&path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(kafka: Option<&str>) -> Options {
        Options {
            data: "/data".into(),
            config: "/config".into(),
            kafka: kafka.map(str::to_owned),
            release: true,
        }
    }

    #[test]
    fn optional_services_come_when_asked_for() {
        let names = |options: &Options, docker| -> Vec<&str> {
            of(options, docker)
                .iter()
                .map(|service| service.name)
                .collect()
        };
        assert_eq!(
            names(&options(None), None),
            [
                "node-agent",
                "statsd-bridge",
                "alert-router",
                "scraper-store",
                "rule-evaluator"
            ]
        );
        assert_eq!(
            names(&options(Some("k:1")), Some(Path::new("/s"))),
            [
                "node-agent",
                "statsd-bridge",
                "container-agent",
                "kafka-lag-agent",
                "alert-router",
                "scraper-store",
                "rule-evaluator"
            ]
        );
    }

    #[test]
    fn no_port_is_used_twice() {
        let services = of(&options(Some("k:1")), Some(Path::new("/s")));
        let mut ports: Vec<(u16, bool)> = services
            .iter()
            .flat_map(|service| &service.ports)
            .map(|port| (port.number, port.udp))
            .collect();
        let all = ports.len();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), all);
    }

    #[test]
    fn local_targets() {
        let directory = tempfile::tempdir().unwrap();
        let mut options = options(Some("k:1"));
        options.config = directory.path().to_owned();
        write_local_targets(&options, true).unwrap();
        assert!(!directory.path().join("targets").exists());
        std::fs::create_dir(directory.path().join("targets")).unwrap();
        write_local_targets(&options, true).unwrap();
        let read = || std::fs::read_to_string(directory.path().join("targets/local.yml")).unwrap();
        assert!(read().contains("localhost:8080") && read().contains("localhost:9308"));
        options.kafka = None;
        write_local_targets(&options, false).unwrap();
        assert!(read().ends_with("\n[]\n"));
    }
}
