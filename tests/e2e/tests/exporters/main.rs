//! Real exporters, scraped by scraper-store and by the real Prometheus: all of them up, what they are known for
//! is there, and both see as many samples.
//!
//! Needs what `.ci/run` installs: redis-server, nginx, prometheus-nginx-exporter, a JDK; `PEERS_DIR`, and what
//! `get-kafka.sh` fetches (`KAFKA_JARS`).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use e2e::{Process, Stack, free_port, get_json, part, query, wait_for};

const LIMIT: Duration = Duration::from_secs(120);

/// A job: its name, the settings of its targets, and a series that it is known for.
struct Job {
    name: &'static str,
    settings: String,
    known: String,
}

/// A job that scrapes `address` at `path`.
fn job(name: &'static str, address: &str, path: &str, known: &str) -> Job {
    Job {
        name,
        settings: format!(
            "  metrics_path: {path}\n  static_configs: [{{targets: ['{address}']}}]\n"
        ),
        known: known.to_owned(),
    }
}

/// The programs of the test; `None` where one is missing, which has been said.
struct Parts {
    prometheus: PathBuf,
    node_exporter: PathBuf,
    redis_exporter: PathBuf,
    redis: PathBuf,
    nginx: PathBuf,
    nginx_exporter: PathBuf,
    java: PathBuf,
    jars: PathBuf,
}

impl Parts {
    fn find() -> Option<Parts> {
        let jars = std::env::var_os("KAFKA_JARS").map(PathBuf::from);
        let jars = jars.filter(|dir| dir.join("spring").is_dir() && dir.join("jmx").is_dir());
        if jars.is_none() {
            part::missing(
                "Spring Boot or the JMX exporter",
                "run get-kafka.sh and set KAFKA_JARS",
            );
        }
        // Debian keeps servers out of a user's PATH.
        let server = |name: &str| {
            let known = Path::new("/usr/sbin").join(name);
            if known.is_file() {
                Some(known)
            } else {
                part::program(name, "apt-get install it")
            }
        };
        part::program("javac", "apt-get install default-jdk-headless")?;
        Some(Parts {
            prometheus: part::peer("prometheus")?,
            node_exporter: part::peer("prometheus-node-exporter")?,
            redis_exporter: part::peer("prometheus-redis-exporter")?,
            redis: part::program("redis-server", "apt-get install redis-server")?,
            nginx: server("nginx")?,
            nginx_exporter: part::program(
                "prometheus-nginx-exporter",
                "apt-get install prometheus-nginx-exporter",
            )?,
            java: part::program("java", "apt-get install default-jdk-headless")?,
            jars: jars?,
        })
    }
}

fn address() -> String {
    format!("127.0.0.1:{}", free_port())
}

fn port(address: &str) -> &str {
    address.rsplit(':').next().unwrap_or_default()
}

/// The jars of a folder as a class path.
fn class_path(dir: &Path) -> String {
    format!("{}/*", dir.display())
}

fn jar(dir: &Path) -> PathBuf {
    let files = std::fs::read_dir(dir).expect("the folder can be read");
    let mut jars = files.filter_map(|f| Some(f.ok()?.path()));
    jars.find(|f| f.extension().is_some_and(|e| e == "jar"))
        .expect("the folder has a jar")
}

/// Starts all exporters and what they look at.
fn start_exporters(parts: &Parts, dir: &Path) -> (Vec<Process>, Vec<Job>) {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/exporters");
    let source = |name: &str| sources.join(name).display().to_string();
    let write = |name: &str, text: &str| {
        let path = dir.join(name);
        std::fs::write(&path, text).expect("the folder can be written");
        path.display().to_string()
    };
    let mut all = Vec::new();
    let mut start = |name: &str, program: &Path, args: &[String]| {
        all.push(Process::start(name, program, args, dir));
    };
    let [
        node,
        redis,
        redis_exporter,
        jmx,
        spring,
        nginx,
        nginx_exporter,
        ours,
        statsd,
    ] = [(); 9].map(|()| address());

    start(
        "node_exporter",
        &parts.node_exporter,
        &[format!("--web.listen-address={node}")],
    );
    start(
        "redis",
        &parts.redis,
        &[
            "--bind".to_owned(),
            "127.0.0.1".to_owned(),
            "--port".to_owned(),
            port(&redis).to_owned(),
            "--save".to_owned(),
            String::new(),
            "--dir".to_owned(),
            dir.display().to_string(),
        ],
    );
    start(
        "redis_exporter",
        &parts.redis_exporter,
        &[
            format!("--web.listen-address={redis_exporter}"),
            "--redis.addr=".to_owned(),
        ],
    );
    let rules = write("jmx.yml", "rules: [{pattern: '.*'}]\n");
    start(
        "shop",
        &parts.java,
        &[
            "-Xmx64m".to_owned(),
            format!(
                "-javaagent:{}=127.0.0.1:{}:{rules}",
                jar(&parts.jars.join("jmx")).display(),
                port(&jmx)
            ),
            source("Shop.java"),
        ],
    );
    start(
        "service",
        &parts.java,
        &[
            "-Xmx128m".to_owned(),
            "-cp".to_owned(),
            class_path(&parts.jars.join("spring")),
            source("Service.java"),
            "--server.address=127.0.0.1".to_owned(),
            format!("--server.port={}", port(&spring)),
            "--management.endpoints.web.exposure.include=prometheus".to_owned(),
        ],
    );
    let config = write(
        "nginx.conf",
        &format!(
            "daemon off; pid {0}/nginx.pid; error_log {0}/error.log;\nevents {{}}\nhttp {{ access_log off;\nclient_body_temp_path {0}/b; proxy_temp_path {0}/p; fastcgi_temp_path {0}/f; uwsgi_temp_path {0}/u; scgi_temp_path {0}/s;\nserver {{ listen {nginx}; location /status {{ stub_status; }} }} }}\n",
            dir.display()
        ),
    );
    start(
        "nginx",
        &parts.nginx,
        &[
            "-c".to_owned(),
            config,
            "-p".to_owned(),
            dir.display().to_string(),
        ],
    );
    wait_for("nginx answers", LIMIT, || {
        e2e::get(&format!("http://{nginx}/status"))
    });
    start(
        "nginx_exporter",
        &parts.nginx_exporter,
        &[
            format!("-nginx.scrape-uri=http://{nginx}/status"),
            format!("-web.listen-address={nginx_exporter}"),
        ],
    );
    let programs = part::build(&["node-agent", "statsd-bridge"]);
    start(
        "node-agent",
        &programs.join("node-agent"),
        &[format!("--web.listen-address={ours}")],
    );
    start(
        "statsd-bridge",
        &programs.join("statsd-bridge"),
        &[
            format!("--web.listen-address={statsd}"),
            format!("--statsd.listen-udp={}", address()),
            "--statsd.listen-tcp=".to_owned(),
        ],
    );

    // The multi-target pattern: the target is a parameter, the address is the exporter's.
    let scrape = format!(
        "  metrics_path: /scrape\n  static_configs: [{{targets: ['redis://{redis}']}}]\n  relabel_configs:\n  - source_labels: [__address__]\n    target_label: __param_target\n  - source_labels: [__param_target]\n    target_label: instance\n  - target_label: __address__\n    replacement: {redis_exporter}\n"
    );
    let jobs = vec![
        job("node", &node, "/metrics", "node_boot_time_seconds"),
        Job {
            name: "redis",
            settings: scrape,
            known: format!("redis_up{{instance=\"redis://{redis}\"}} == 1"),
        },
        job(
            "redis_exporter",
            &redis_exporter,
            "/metrics",
            "redis_exporter_build_info",
        ),
        job(
            "jmx",
            &jmx,
            "/metrics",
            "firewatch_Orders_Open{shop=\"corner\"} == 7",
        ),
        job(
            "spring",
            &spring,
            "/actuator/prometheus",
            "jvm_memory_used_bytes{area=\"heap\"}",
        ),
        job("nginx", &nginx_exporter, "/metrics", "nginx_up == 1"),
        job("node-agent", &ours, "/metrics", "node_boot_time_seconds"),
        job(
            "statsd-bridge",
            &statsd,
            "/metrics",
            "statsd_exporter_build_info",
        ),
    ];
    (all, jobs)
}

/// Samples of the newest scrape of each job that is up.
fn samples(store: &str) -> Option<BTreeMap<String, String>> {
    let found = query(store, "scrape_samples_scraped and up == 1")?;
    let pairs = found.iter().filter_map(|series| {
        let job = series["metric"]["job"].as_str()?.to_owned();
        Some((job, series["value"][1].as_str()?.to_owned()))
    });
    Some(pairs.collect())
}

#[test]
fn real_exporters_are_scraped() {
    let Some(parts) = Parts::find() else { return };
    let dir = tempfile::tempdir().expect("there is room for a temporary folder");
    let (_exporters, jobs) = start_exporters(&parts, dir.path());
    let mut config = "global: {scrape_interval: 2s}\nscrape_configs:\n".to_owned();
    for job in &jobs {
        let _ = write!(config, "- job_name: {}\n{}", job.name, job.settings);
    }
    let path = dir.path().join("prometheus.yml");
    std::fs::write(&path, config).expect("the folder can be written");
    let ours = part::build(&["scraper-store"]).join("scraper-store");
    let grpc = format!("--grpc-address={}", address());
    let mut servers = Vec::new();
    for (name, program, more) in [
        ("prometheus", &parts.prometheus, vec![]),
        ("scraper-store", &ours, vec![grpc]),
    ] {
        let address = address();
        let mut args = vec![
            format!("--config.file={}", path.display()),
            format!("--storage.tsdb.path={}", dir.path().join(name).display()),
            format!("--web.listen-address={address}"),
        ];
        args.extend(more);
        let process = Process::start(name, program, &args, dir.path());
        let url = format!("http://{address}");
        Stack::wait_ready(name, &url);
        servers.push((url, process));
    }
    let [theirs, ours] = [&servers[0].0, &servers[1].0];
    let mut last = String::new();
    // Pages grow while a program starts, and some by a sample when they are asked: until both agree.
    let deadline = std::time::Instant::now() + LIMIT;
    loop {
        let both = [theirs, ours].map(|url| samples(url).unwrap_or_default());
        if both[0].len() == jobs.len() && both[0] == both[1] {
            println!("samples of each page: {:?}", both[0]);
            break;
        }
        assert!(
            std::time::Instant::now() < deadline,
            "Prometheus sees {:?}\nwe see {:?}\n{last}",
            both[0],
            both[1]
        );
        last = get_json(&format!("{ours}/api/v1/targets?state=active"))
            .map(|targets| targets.to_string())
            .unwrap_or_default();
        std::thread::sleep(Duration::from_millis(500));
    }
    for job in &jobs {
        let selector = match job.known.split_once('{') {
            Some((name, rest)) => format!("{name}{{job=\"{}\",{rest}", job.name),
            None => {
                let (name, rest) = job.known.split_once(' ').unwrap_or((&job.known, ""));
                format!("{name}{{job=\"{}\"}} {rest}", job.name)
            }
        };
        for url in [theirs, ours] {
            wait_for(&format!("{selector} at {url}"), LIMIT, || {
                query(url, &selector).filter(|found| !found.is_empty())
            });
        }
    }
    let targets = get_json(&format!("{ours}/api/v1/targets?state=active")).expect("an answer");
    for target in targets["data"]["activeTargets"].as_array().expect("a list") {
        assert_eq!(target["lastError"], "", "{target}");
        assert_eq!(target["health"], "up", "{target}");
    }
}
