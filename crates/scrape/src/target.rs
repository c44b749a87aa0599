//! Targets: labels, URL, state (prometheus/prometheus `scrape/target.go`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use discovery::TargetGroup;
use golang::strconv::quote;
use model::{Labels, LabelsBuilder, parse_duration};
use parking_lot::RwLock;
use relabel::Rule;

use crate::config::ScrapeConfig;
use crate::metadata::MetadataStore;

pub(crate) const ADDRESS: &str = "__address__";
const SCHEME: &str = "__scheme__";
const METRICS_PATH: &str = "__metrics_path__";
const INTERVAL: &str = "__scrape_interval__";
const TIMEOUT: &str = "__scrape_timeout__";
const PARAM_PREFIX: &str = "__param_";
const META_PREFIX: &str = "__meta_";
const NATIVE_HISTOGRAMS: &str = "__scrape_native_histograms__";
const ALWAYS_CLASSIC: &str = "__always_scrape_classic_histograms__";
const CONVERT_TO_NHCB: &str = "__convert_classic_histograms_to_nhcb__";
const UNIX_SOCKET: &str = "__unix_socket__";

/// Whether the last scrape went well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Health {
    /// There was none yet.
    #[default]
    Unknown,
    Up,
    Down,
}

impl Health {
    /// As the API writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Health::Unknown => "unknown",
            Health::Up => "up",
            Health::Down => "down",
        }
    }
}

/// A target of a job.
#[derive(Debug)]
pub(crate) struct Target {
    /// The labels that its series get.
    pub(crate) public: Labels,
    pub(crate) url: String,
    /// Identifies the target within its job: labels and URL.
    pub(crate) hash: u64,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
    pub(crate) scrape_native_histograms: bool,
    pub(crate) always_scrape_classic_histograms: bool,
    pub(crate) convert_classic_histograms_to_nhcb: bool,
    pub(crate) unix_socket: Option<String>,
    pub(crate) metadata: Arc<MetadataStore>,
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Before relabelling; may change while the target stays the same.
    discovered: Labels0,
    health: Health,
    last_error: String,
    last_scrape: Option<SystemTime>,
    last_duration: Duration,
}

/// Labels with a default.
#[derive(Debug)]
struct Labels0(Labels);

impl Default for Labels0 {
    fn default() -> Labels0 {
        Labels0(Labels::empty())
    }
}

/// What the API shows of a target.
#[derive(Clone, Debug)]
pub struct TargetSnapshot {
    pub discovered_labels: Labels,
    pub labels: Labels,
    pub scrape_pool: String,
    pub scrape_url: String,
    /// Empty if the last scrape went well.
    pub last_error: String,
    pub last_scrape: Option<SystemTime>,
    pub last_scrape_duration: Duration,
    pub health: Health,
    pub scrape_interval: Duration,
    pub scrape_timeout: Duration,
    pub metadata: Arc<MetadataStore>,
}

impl TargetSnapshot {
    /// The URL as others than us can use it: this host's own addresses are replaced by those of the
    /// external URL (prometheus/prometheus `web/api/v1`, `getGlobalURL`). `listen_port` is ours,
    /// `scheme` and `host` (with port) are the external URL's.
    pub fn global_url(&self, listen_port: &str, scheme: &str, host: &str) -> String {
        let Some((own_scheme, rest)) = self.scrape_url.split_once("://") else {
            return self.scrape_url.clone();
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let Some((name, port)) = split_host_port(authority) else {
            return self.scrape_url.clone();
        };
        if !matches!(name, "127.0.0.1" | "localhost" | "::1") {
            return self.scrape_url.clone();
        }
        if port == listen_port {
            // It is us.
            return format!("{scheme}://{host}{path}");
        }
        match split_host_port(host) {
            Some((name, _)) => format!("{own_scheme}://{name}:{port}{path}"),
            None => self.scrape_url.clone(),
        }
    }
}

/// `host:port` and `[host]:port` in two.
fn split_host_port(authority: &str) -> Option<(&str, &str)> {
    let (host, port) = authority.rsplit_once(':')?;
    match host.strip_prefix('[') {
        Some(inner) => Some((inner.strip_suffix(']')?, port)),
        None if host.contains(':') => None,
        None => Some((host, port)),
    }
}

/// What became of one target of a group.
pub(crate) enum Populated {
    Target(Box<Target>),
    /// Relabelling dropped it; these are its labels before.
    Dropped(Labels),
}

impl Target {
    pub(crate) fn report(&self, start: SystemTime, duration: Duration, error: Option<&str>) {
        let mut state = self.state.write();
        state.health = if error.is_none() {
            Health::Up
        } else {
            Health::Down
        };
        state.last_error = error.unwrap_or("").to_owned();
        state.last_scrape = Some(start);
        state.last_duration = duration;
    }

    pub(crate) fn set_discovered(&self, labels: Labels) {
        self.state.write().discovered = Labels0(labels);
    }

    pub(crate) fn discovered(&self) -> Labels {
        self.state.read().discovered.0.clone()
    }

    pub(crate) fn snapshot(&self, pool: &str) -> TargetSnapshot {
        let state = self.state.read();
        TargetSnapshot {
            discovered_labels: state.discovered.0.clone(),
            labels: self.public.clone(),
            scrape_pool: pool.to_owned(),
            scrape_url: self.url.clone(),
            last_error: state.last_error.clone(),
            last_scrape: state.last_scrape,
            last_scrape_duration: state.last_duration,
            health: state.health,
            scrape_interval: self.interval,
            scrape_timeout: self.timeout,
            metadata: self.metadata.clone(),
        }
    }

    /// The time from `now` to the target's next turn: targets are spread over the interval by their
    /// hashes, and servers by their seeds.
    pub(crate) fn offset(&self, interval: Duration, seed: u64, now: Duration) -> Duration {
        let interval = (interval.as_nanos() as u64).max(1);
        let base = interval - (now.as_nanos() % u128::from(interval)) as u64;
        let next = base + (self.hash ^ seed) % interval;
        Duration::from_nanos(if next > interval {
            next - interval
        } else {
            next
        })
    }
}

/// The target's labels before relabelling.
pub(crate) fn discovered_labels(
    config: &ScrapeConfig,
    target: &Labels,
    group: &Labels,
) -> LabelsBuilder {
    let section = &config.section;
    let mut labels = LabelsBuilder::new(Labels::from_pairs(group.iter().chain(target)));
    let defaults = [
        (model::labels::JOB_NAME, section.job_name.clone()),
        (INTERVAL, section.scrape_interval.to_string()),
        (TIMEOUT, section.scrape_timeout.to_string()),
        (METRICS_PATH, section.metrics_path.clone()),
        (SCHEME, section.scheme.clone()),
        (
            NATIVE_HISTOGRAMS,
            section
                .scrape_native_histograms
                .unwrap_or(false)
                .to_string(),
        ),
        (
            ALWAYS_CLASSIC,
            section
                .always_scrape_classic_histograms
                .unwrap_or(false)
                .to_string(),
        ),
        (
            CONVERT_TO_NHCB,
            section
                .convert_classic_histograms_to_nhcb
                .unwrap_or(false)
                .to_string(),
        ),
    ];
    for (name, value) in defaults {
        if labels.get(name).is_empty() {
            labels.set(name, &value);
        }
    }
    for (name, values) in &section.params {
        if let Some(value) = values.first() {
            labels.set(&format!("{PARAM_PREFIX}{name}"), value);
        }
    }
    labels
}

/// The targets of a group, and why others could not be made.
pub(crate) fn targets_of(
    group: &TargetGroup,
    config: &ScrapeConfig,
    rules: &[Rule],
) -> (Vec<Populated>, Vec<String>) {
    let mut targets = Vec::with_capacity(group.targets.len());
    let mut failures = Vec::new();
    for (i, target) in group.targets.iter().enumerate() {
        match populate(config, rules, target, &group.labels) {
            Ok(target) => targets.push(target),
            Err(error) => failures.push(format!("instance {i} in group {}: {error}", group.source)),
        }
    }
    (targets, failures)
}

fn populate(
    config: &ScrapeConfig,
    rules: &[Rule],
    target: &Labels,
    group: &Labels,
) -> Result<Populated, String> {
    let mut labels = discovered_labels(config, target, group);
    let discovered = labels.build();
    if !relabel::apply(rules, &mut labels) {
        return Ok(Populated::Dropped(discovered));
    }
    let address = labels.get(ADDRESS).to_owned();
    if address.is_empty() {
        return Err("no address".to_owned());
    }
    if address.contains('/') {
        return Err(format!("{} is not a valid hostname", quote(&address)));
    }
    let (interval, timeout) = times(&labels)?;
    let metas: Vec<String> = labels
        .iter()
        .map(|(name, _)| name)
        .filter(|name| name.starts_with(META_PREFIX))
        .map(str::to_owned)
        .collect();
    for name in metas {
        labels.del(&name);
    }
    if labels.get(model::labels::INSTANCE_NAME).is_empty() {
        labels.set(model::labels::INSTANCE_NAME, &address);
    }
    let labels = labels.build();
    let public = labels.without(|name| name.starts_with("__"));
    let url = url(config, &labels);
    let flag = |name: &str| -> Result<bool, String> {
        golang::strconv::parse_bool(labels.get(name))
            .map_err(|error| format!("error parsing {name} label: {error}"))
    };
    let target = Target {
        hash: hash(&labels, &url),
        scrape_native_histograms: flag(NATIVE_HISTOGRAMS)?,
        always_scrape_classic_histograms: flag(ALWAYS_CLASSIC)?,
        convert_classic_histograms_to_nhcb: flag(CONVERT_TO_NHCB)?,
        unix_socket: labels.find(UNIX_SOCKET).map(str::to_owned),
        public,
        url,
        interval,
        timeout,
        metadata: Arc::default(),
        state: RwLock::new(State {
            discovered: Labels0(discovered),
            ..State::default()
        }),
    };
    Ok(Populated::Target(Box::new(target)))
}

fn times(labels: &LabelsBuilder) -> Result<(Duration, Duration), String> {
    let read = |name, what| {
        let text = labels.get(name);
        let duration = parse_duration(text)
            .map_err(|error| format!("error parsing scrape {what}: {error}"))?;
        if duration.is_zero() {
            return Err(format!("scrape {what} cannot be 0"));
        }
        Ok((text, duration))
    };
    let (interval_text, interval) = read(INTERVAL, "interval")?;
    let (timeout_text, timeout) = read(TIMEOUT, "timeout")?;
    if timeout > interval {
        return Err(format!(
            "scrape timeout cannot be greater than scrape interval ({} > {})",
            quote(timeout_text),
            quote(interval_text)
        ));
    }
    Ok((interval, timeout))
}

/// Stable over restarts, so that a target keeps its place within the interval.
fn hash(labels: &Labels, url: &str) -> u64 {
    let mut bytes = labels.as_bytes().to_vec();
    bytes.extend_from_slice(url.as_bytes());
    xxhash_rust::xxh3::xxh3_64(&bytes)
}

fn url(config: &ScrapeConfig, labels: &Labels) -> String {
    let mut params: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, values) in &config.section.params {
        params.insert(name, values.iter().map(String::as_str).collect());
    }
    for (name, value) in labels {
        if let Some(name) = name.strip_prefix(PARAM_PREFIX) {
            let values = params.entry(name).or_default();
            match values.first_mut() {
                Some(first) => *first = value,
                None => values.push(value),
            }
        }
    }
    let mut url = format!("{}://{}", labels.get(SCHEME), labels.get(ADDRESS));
    let path = labels.get(METRICS_PATH);
    if !path.is_empty() && !path.starts_with('/') {
        url.push('/');
    }
    escape(
        &mut url,
        path,
        |b| {
            matches!(
                b,
                b'/' | b'$' | b'&' | b'+' | b',' | b':' | b';' | b'=' | b'@'
            )
        },
        "%20",
    );
    let mut separator = '?';
    for (name, values) in params {
        for value in values {
            url.push(separator);
            separator = '&';
            escape(&mut url, name, |_| false, "+");
            url.push('=');
            escape(&mut url, value, |_| false, "+");
        }
    }
    url
}

/// Percent-encodes as Go's `net/url` does; `plain` says which bytes beyond the usual stay.
fn escape(out: &mut String, text: &str, plain: impl Fn(u8) -> bool, space: &str) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            b' ' => out.push_str(space),
            byte if plain(byte) => out.push(char::from(byte)),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use model::names::ValidationScheme;

    use super::*;
    use crate::Defaults;

    fn config(yaml: &str) -> (ScrapeConfig, Vec<Rule>) {
        let mut config: ScrapeConfig = yaml_config::from_str(yaml).unwrap();
        config.validate(&Defaults::default()).unwrap();
        let rules: Vec<_> = config
            .relabel
            .relabel_configs
            .iter()
            .flatten()
            .cloned()
            .collect();
        let rules = relabel::compile_all(&rules, ValidationScheme::Utf8).unwrap();
        (config, rules)
    }

    fn make(yaml: &str, labels: &[(&str, &str)]) -> Result<Populated, String> {
        let (config, rules) = config(yaml);
        populate(
            &config,
            &rules,
            &Labels::from_pairs(labels.iter().copied()),
            &Labels::empty(),
        )
    }

    fn target(yaml: &str, labels: &[(&str, &str)]) -> Target {
        match make(yaml, labels) {
            Ok(Populated::Target(target)) => *target,
            _ => panic!("no target"),
        }
    }

    #[test]
    fn labels_and_url() {
        let yaml = "{job_name: a, params: {module: [http_2xx, more], x: ['a b']}}";
        let t = target(
            yaml,
            &[("__address__", "h:1"), ("__meta_x", "m"), ("zone", "z")],
        );
        assert_eq!(
            t.url,
            "http://h:1/metrics?module=http_2xx&module=more&x=a+b"
        );
        assert_eq!(
            t.public,
            Labels::from([("instance", "h:1"), ("job", "a"), ("zone", "z")])
        );
        let discovered = t.discovered();
        assert_eq!(discovered.get("__meta_x"), "m");
        assert_eq!(discovered.get("__scrape_interval__"), "1m");
        assert_eq!(discovered.get("__scrape_native_histograms__"), "false");
        assert_eq!(discovered.get("__param_module"), "http_2xx");
    }

    #[test]
    fn one_exporter_for_many_targets() {
        let yaml = "job_name: redis\nmetrics_path: /scrape\nrelabel_configs:\n- {source_labels: [__address__], target_label: __param_target}\n- {source_labels: [__param_target], target_label: instance}\n- {target_label: __address__, replacement: 'exporter:9121'}\n- {target_label: __scrape_interval__, replacement: 20s}\n- {target_label: __scheme__, replacement: https}\n";
        let t = target(yaml, &[("__address__", "redis://first:6379")]);
        assert_eq!(
            t.url,
            "https://exporter:9121/scrape?target=redis%3A%2F%2Ffirst%3A6379"
        );
        assert_eq!(t.public.get("instance"), "redis://first:6379");
        assert_eq!(t.interval, Duration::from_secs(20));
        let other = target(yaml, &[("__address__", "redis://second:6379")]);
        assert_ne!(t.hash, other.hash);
    }

    #[test]
    fn what_makes_no_target() {
        let dropped = make(
            "job_name: a\nrelabel_configs:\n- {action: drop}\n",
            &[("__address__", "h")],
        );
        assert!(
            matches!(dropped, Ok(Populated::Dropped(labels)) if labels.get("__address__") == "h")
        );
        for (labels, error) in [
            (&[("x", "y")][..], "no address"),
            (
                &[("__address__", "http://h")],
                "\"http://h\" is not a valid hostname",
            ),
            (
                &[("__address__", "h"), ("__scrape_interval__", "x")],
                "error parsing scrape interval: not a valid duration string: \"x\"",
            ),
            (
                &[("__address__", "h"), ("__scrape_timeout__", "0s")],
                "scrape timeout cannot be 0",
            ),
            (
                &[("__address__", "h"), ("__scrape_timeout__", "2m")],
                "scrape timeout cannot be greater than scrape interval (\"2m\" > \"1m\")",
            ),
        ] {
            assert_eq!(make("job_name: a", labels).err().as_deref(), Some(error));
        }
    }

    #[test]
    fn turns_are_spread_and_keep_their_place() {
        let t = target("job_name: a", &[("__address__", "h:1")]);
        let interval = Duration::from_secs(60);
        let now = Duration::from_millis(1_700_000_012_345);
        let first = now + t.offset(interval, 7, now);
        let later = now + Duration::from_secs(1234);
        let second = later + t.offset(interval, 7, later);
        assert_eq!((second - first).as_nanos() % interval.as_nanos(), 0);
        assert!(t.offset(interval, 7, now) <= interval);
        assert_ne!(t.offset(interval, 7, now), t.offset(interval, 8, now));
    }

    #[test]
    fn global_urls() {
        let t = target("job_name: a", &[("__address__", "localhost:9090")]).snapshot("a");
        assert_eq!(
            t.global_url("9090", "https", "ext:80"),
            "https://ext:80/metrics"
        );
        assert_eq!(
            t.global_url("1234", "https", "ext:80"),
            "http://ext:9090/metrics"
        );
        let far = target("job_name: a", &[("__address__", "far:9090")]).snapshot("a");
        assert_eq!(
            far.global_url("9090", "https", "ext:80"),
            "http://far:9090/metrics"
        );
    }
}
