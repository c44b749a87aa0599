//! cAdvisor's flags that mean something here, those that are accepted without effect, and ours.

use service::{Args, Flag};

use crate::groups::DISABLED;

/// The table; the kit adds `-log.*`, `-web.config.file`, `-healthcheck`.
pub const FLAGS: &[Flag] = &[
    Flag::string("listen_ip", "", "IP to listen on, defaults to all IPs."),
    Flag::int("port", "8080", "port to listen."),
    Flag::string(
        "prometheus_endpoint",
        "/metrics",
        "Endpoint to expose Prometheus metrics on.",
    ),
    Flag::string(
        "url_base_prefix",
        "",
        "prefix path that will be prepended to all paths to support some reverse proxies.",
    ),
    Flag::string("docker", "unix:///var/run/docker.sock", "docker endpoint."),
    Flag::string(
        "podman",
        "unix:///var/run/podman/podman.sock",
        "podman endpoint.",
    ),
    Flag::bool(
        "docker_only",
        false,
        "Only report docker containers in addition to root stats.",
    ),
    Flag::string(
        "raw_cgroup_prefix_whitelist",
        "",
        "A comma-separated list of cgroup path prefix that needs to be collected even when -docker_only is specified.",
    ),
    Flag::bool(
        "disable_root_cgroup_stats",
        false,
        "Disable collecting root Cgroup stats.",
    ),
    Flag::string(
        "disable_metrics",
        DISABLED,
        "comma-separated list of metrics to be disabled. Options are advtcp,app,cpu,cpuLoad,cpu_topology,cpuset,disk,diskIO,hugetlb,memory,memory_numa,network,oom_event,percpu,perf_event,pressure,process,referenced_memory,resctrl,sched,tcp,udp.",
    ),
    Flag::string(
        "enable_metrics",
        "",
        "comma-separated list of metrics to be enabled. If set, overrides -disable_metrics. Options are those of -disable_metrics.",
    ),
    Flag::bool(
        "store_container_labels",
        true,
        "convert container labels and environment variables into labels on prometheus metrics for each container. If flag set to false, then only metrics exported are container name, first alias, and image name.",
    ),
    Flag::string(
        "whitelisted_container_labels",
        "",
        "comma separated list of container labels to be converted to labels on prometheus metrics for each container. store_container_labels must be set to false for this to take effect.",
    ),
    Flag::string(
        "env_metadata_whitelist",
        "",
        "a comma-separated list of environment variable keys matched with specified prefix that needs to be collected for containers.",
    ),
    Flag::go_duration(
        "storage_duration",
        "2m0s",
        "How long containers are shown that came and went between two scrapes.",
    ),
    Flag::string(
        "machine_id_file",
        "/etc/machine-id,/var/lib/dbus/machine-id",
        "Comma-separated list of files to check for machine-id. Use the first one that exists.",
    ),
    Flag::string(
        "boot_id_file",
        "/proc/sys/kernel/random/boot_id",
        "Comma-separated list of files to check for boot-id. Use the first one that exists.",
    ),
    Flag::string(
        "cgroup_root",
        "/sys/fs/cgroup",
        "Where the cgroups are mounted.",
    ),
    // Everything is read when it is asked for: there is no housekeeping.
    Flag::go_duration("housekeeping_interval", "1s", WITHOUT_EFFECT),
    Flag::go_duration("max_housekeeping_interval", "1m0s", WITHOUT_EFFECT),
    Flag::go_duration("global_housekeeping_interval", "1m0s", WITHOUT_EFFECT),
    Flag::bool("allow_dynamic_housekeeping", true, WITHOUT_EFFECT),
    Flag::go_duration("update_machine_info_interval", "5m0s", WITHOUT_EFFECT),
    Flag::string("event_storage_age_limit", "default=0", WITHOUT_EFFECT).hidden(),
    Flag::string("event_storage_event_limit", "default=0", WITHOUT_EFFECT).hidden(),
    Flag::string(
        "containerd",
        "/run/containerd/containerd.sock",
        WITHOUT_EFFECT,
    )
    .hidden(),
    Flag::string("containerd-namespace", "k8s.io", WITHOUT_EFFECT).hidden(),
    Flag::int("max_procs", "0", WITHOUT_EFFECT).hidden(),
    Flag::bool("logtostderr", true, WITHOUT_EFFECT).hidden(),
    Flag::bool("alsologtostderr", false, WITHOUT_EFFECT).hidden(),
    Flag::string("stderrthreshold", "2", WITHOUT_EFFECT).hidden(),
    Flag::int("v", "0", WITHOUT_EFFECT).hidden(),
    Flag::string("vmodule", "", WITHOUT_EFFECT).hidden(),
    // What container-agent does not do is refused when asked for.
    Flag::string("storage_driver", "", REFUSED).hidden(),
    Flag::string("perf_events_config", "", REFUSED).hidden(),
    Flag::bool("enable_load_reader", false, REFUSED).hidden(),
    Flag::bool("docker-tls", false, REFUSED).hidden(),
    Flag::string("http_auth_file", "", REFUSED).hidden(),
    Flag::string("http_digest_file", "", REFUSED).hidden(),
    Flag::bool("profiling", false, REFUSED).hidden(),
];

const WITHOUT_EFFECT: &str = "Accepted for compatibility; has no effect.";
const REFUSED: &str = "Not supported.";

/// Refuses what was asked for and is not there.
///
/// # Errors
/// The first such flag, and what to do instead.
pub fn check(args: &Args) -> Result<(), String> {
    let instead = |name: &str| match name {
        "storage_driver" => "scrape /metrics instead",
        "http_auth_file" | "http_digest_file" => "use -web.config.file",
        "docker-tls" => "use the engine's unix socket",
        _ => "container-agent has no such thing",
    };
    for flag in FLAGS.iter().filter(|flag| flag.help == REFUSED) {
        let value = args.get(flag.name).unwrap_or_default();
        if args.is_set(flag.name) && !value.is_empty() && value != "false" {
            return Err(format!(
                "-{}: not supported: {}",
                flag.name,
                instead(flag.name)
            ));
        }
    }
    for flag in FLAGS.iter().filter(|flag| flag.help == WITHOUT_EFFECT) {
        if args.is_set(flag.name) {
            tracing::debug!(flag = flag.name, "has no effect here");
        }
    }
    Ok(())
}

/// Where to listen.
pub fn addresses(args: &Args) -> Vec<String> {
    let ip = args.str("listen_ip");
    let ip = match ip.contains(':') && !ip.starts_with('[') {
        true => format!("[{ip}]"),
        false => ip.to_owned(),
    };
    vec![format!("{ip}:{}", args.int("port"))]
}

/// The words of a list separated by commas.
pub fn words(text: &str) -> Vec<String> {
    text.split(',')
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}
