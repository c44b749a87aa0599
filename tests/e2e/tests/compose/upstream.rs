//! Compose files as they are found in the world, written for upstream's images: ours take their place by
//! name, and everything comes up healthy. Flags, mount paths and other names of programs are those that
//! people use; `privileged` is left out, as not every machine that runs tests may give it.

use std::path::Path;

use crate::host::{Compose, Host, client_with_buildkit};
use crate::lan::Lan;

/// Ours, and whose names they bear here.
const NAMES: [(&str, &[&str]); 6] = [
    (
        "scraper-store",
        &["prom/prometheus:v2.47.0", "prom/prometheus:latest"],
    ),
    (
        "alert-router",
        &["prom/alertmanager:v0.27.0", "prom/alertmanager:latest"],
    ),
    (
        "node-agent",
        &["prom/node-exporter:v1.5.0", "prom/node-exporter:latest"],
    ),
    ("container-agent", &["gcr.io/cadvisor/cadvisor:v0.49.1"]),
    ("statsd-bridge", &["prom/statsd-exporter:v0.27.1"]),
    (
        "kafka-lag-agent",
        &[
            "danielqsj/kafka-exporter:v1.7.0",
            "bitnami/kafka-exporter:1.7.0",
        ],
    ),
];

/// A whole stack with every flag that tutorials give.
const TUTORIAL: &str = r#"
version: '3.8'
services:
  prometheus:
    image: prom/prometheus:v2.47.0
    container_name: prometheus
    ports: ["19090:9090"]
    volumes:
      - ./prometheus.yml:/etc/prometheus/prometheus.yml:ro
      - prometheus_data:/prometheus
    command:
      - '--config.file=/etc/prometheus/prometheus.yml'
      - '--storage.tsdb.path=/prometheus'
      - '--web.console.libraries=/etc/prometheus/console_libraries'
      - '--web.console.templates=/etc/prometheus/consoles'
      - '--storage.tsdb.retention.time=200h'
      - '--web.enable-lifecycle'
    restart: unless-stopped
  alertmanager:
    image: prom/alertmanager:v0.27.0
    volumes:
      - ./alertmanager:/etc/alertmanager
      - alertmanager_data:/alertmanager
    command:
      - '--config.file=/etc/alertmanager/alertmanager.yml'
      - '--storage.path=/alertmanager'
  node-exporter:
    image: prom/node-exporter:latest
    volumes:
      - /proc:/host/proc:ro
      - /sys:/host/sys:ro
      - /:/rootfs:ro
    command:
      - '--path.procfs=/host/proc'
      - '--path.rootfs=/rootfs'
      - '--path.sysfs=/host/sys'
      - '--collector.filesystem.mount-points-exclude=^/(sys|proc|dev|host|etc)($$|/)'
    expose: ["9100"]
  cadvisor:
    image: gcr.io/cadvisor/cadvisor:v0.49.1
    volumes:
      - /:/rootfs:ro
      - /var/run:/var/run:ro
      - /sys:/sys:ro
      - {docker}/:/var/lib/docker:ro
      - {socket}:/var/run/docker.sock:ro
    command:
      - '--housekeeping_interval=10s'
      - '--docker_only=true'
      - '--disable_metrics=disk,network,tcp,udp,percpu,sched,process'
  statsd-exporter:
    image: prom/statsd-exporter:v0.27.1
    command: "--statsd.listen-udp=:8125 --web.listen-address=:9102"
    ports: ["19123:9102", "18125:8125/udp"]
  kafka-exporter:
    image: danielqsj/kafka-exporter:v1.7.0
    command: ["--kafka.server=10.0.0.7:9096", "--kafka.server=10.0.0.7:9097", "--kafka.version=2.8.0", "--web.listen-address=:9308", "--topic.filter=.*", "--group.filter=.*"]
volumes:
  prometheus_data:
  alertmanager_data:
"#;

/// What else people do: no command at all, other places, an entry point, host networking, old flags.
const OTHERWISE: &str = r#"
services:
  prometheus:
    image: prom/prometheus:latest
    entrypoint: /bin/prometheus
    volumes: ["./prometheus.yml:/prometheus.yml:ro"]
    command: --config.file=/prometheus.yml --storage.tsdb.retention.size=10GB --log.level=warn --web.listen-address=:9091
  plain:
    image: prom/prometheus:latest
    volumes: ["./:/etc/prometheus"]
  alertmanager:
    image: prom/alertmanager:latest
    volumes: ["./alertmanager/alertmanager.yml:/etc/alertmanager/config.yml"]
    command: ['--config.file=/etc/alertmanager/config.yml', '--web.external-url=http://alerts.example.org/am', '--cluster.advertise-address=0.0.0.0:9093']
  named:
    image: prom/alertmanager:latest
    entrypoint: ["/bin/alertmanager"]
    volumes: ["./alertmanager/:/etc/alertmanager/"]
    command: ["--config.file=/etc/alertmanager/alertmanager.yml", "--cluster.listen-address="]
  host:
    image: prom/node-exporter:v1.5.0
    network_mode: host
    pid: host
    volumes: ["/:/host:ro"]
    command: ['--path.rootfs=/host']
  textfiles:
    image: prom/node-exporter:v1.5.0
    volumes: ["./:/app/metrics:ro"]
    command:
      - '--collector.filesystem.ignored-mount-points="^/(sys|proc|dev|host|etc)($$|/)"'
      - '--collector.textfile.directory=/app/metrics'
      - '--no-collector.wifi'
      - '--web.listen-address=:9111'
  cadvisor:
    image: gcr.io/cadvisor/cadvisor:v0.49.1
    entrypoint: ["/usr/bin/cadvisor", "-logtostderr"]
    volumes: ["/:/rootfs:ro", "/sys:/sys:ro", "{socket}:/var/run/docker.sock"]
    command: ["-port=8098", "-store_container_labels=false", "-allow_dynamic_housekeeping=true", "-v=1"]
  statsd:
    image: prom/statsd-exporter:v0.27.1
    volumes: ["./statsd_mapping.yml:/statsd_mapping.yml"]
    command: ["--statsd.mapping-config=/statsd_mapping.yml", "--statsd.listen-tcp=:9125", "--web.telemetry-path=/metrics"]
  bitnami:
    image: bitnami/kafka-exporter:1.7.0
    environment:
      - KAFKA_BROKERS=10.0.0.7:9092,10.0.0.8:9092
      - LOG_LEVEL=info
    command: ['--web.telemetry-path=/metrics', '--log.level=debug']
  path:
    image: bitnami/kafka-exporter:1.7.0
    entrypoint: /opt/bitnami/kafka-exporter/bin/kafka_exporter
    command: --kafka.server=10.0.0.7:9092 --sasl.enabled --sasl.username=a --sasl.password=b
"#;

const PROMETHEUS: &str = "
global: {scrape_interval: 15s}
rule_files: [alert.rules.yml]
alerting: {alertmanagers: [{static_configs: [{targets: ['alertmanager:9093']}]}]}
scrape_configs:
- job_name: prometheus
  static_configs: [{targets: ['localhost:9090']}]
";

/// Everything of [`TUTORIAL`] and [`OTHERWISE`] comes up.
pub(crate) fn everything_comes_up(dir: &Path, programs: &Path) {
    let (Some(client), Some(compose)) = (client_with_buildkit(), Compose::v2()) else {
        return;
    };
    let Some(mut lan) = Lan::new(dir) else {
        return;
    };
    let Some(host) = Host::new(&mut lan, 20, "upstream.yml", compose, &[]) else {
        return;
    };
    let services: Vec<&str> = NAMES.iter().map(|(service, _)| *service).collect();
    host.build(&client, programs, &services);
    for (service, names) in NAMES {
        for name in names {
            let ours = format!("firewatch/{service}:latest");
            host.docker.docker(&["tag", &ours, name]);
        }
    }
    host.write("prometheus.yml", PROMETHEUS);
    host.write("alert.rules.yml", "groups: []\n");
    host.write("statsd_mapping.yml", "mappings: []\n");
    std::fs::create_dir_all(host.folder().join("alertmanager")).unwrap();
    let router = "route: {receiver: x}\nreceivers: [{name: x}]\n";
    host.write("alertmanager/alertmanager.yml", router);
    let socket = host.docker.socket().display().to_string();
    let data = host
        .docker
        .socket()
        .with_file_name("data")
        .display()
        .to_string();
    for file in [TUTORIAL, OTHERWISE] {
        let text = file.replace("{socket}", &socket).replace("{docker}", &data);
        host.write("upstream.yml", &text);
        host.compose(&["up", "--detach"]);
        let services = host.compose(&["config", "--services"]);
        assert!(services.lines().count() >= 6, "{services}");
        for service in services.lines() {
            host.wait_healthy(service);
        }
        host.compose(&["down", "--volumes", "--timeout", "5"]);
    }
}
