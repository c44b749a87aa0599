//! container-agent: what cAdvisor shows of containers, read when somebody asks.
//!
//! Who the containers are comes from the engine's API (`docker`, `identity`), numbers from cgroups and
//! `/proc` (`cgroup`, `proc`, `machine`), at the moment of the scrape and not in between; only what the
//! containers fill of their file systems is measured apart (`filesystems::usage`). `agent` puts all
//! together; `metrics` makes the page and is pure, as are `groups`, `info` and `labels`. An engine is
//! asked for numbers only where cgroups cannot be read (`engine_stats`). It writes nowhere. Start with
//! [`run`].

pub mod agent;
pub mod cgroup;
mod docker;
mod engine_stats;
pub mod filesystems;
mod flags;
pub mod groups;
pub mod identity;
pub mod info;
pub mod labels;
pub mod machine;
pub mod metrics;
mod proc;
mod web;

use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use service::{Args, Boot, Error, HttpOptions, Program};

use crate::agent::{Agent, Config};
use crate::cgroup::Cgroups;
use crate::engine_stats::Engines;
use crate::filesystems::usage::Usages;
use crate::groups::{Group, Groups};
use crate::identity::Identities;
use crate::labels::LabelPolicy;
use crate::machine::Host;

/// The program as data.
pub static PROGRAM: Program = Program {
    name: "container-agent",
    about: "Serves the metrics of this host's containers.",
    metric_prefix: "container_agent",
    listen: ":8080",
    addresses: Some(flags::addresses),
    flags: flags::FLAGS,
    without_flags: &["web.listen-address"],
    style: service::FlagStyle::Go,
    single_thread: true,
    ..Program::DEFAULT
};

/// What the flags say.
///
/// # Errors
/// The flag that cannot be fulfilled.
pub fn config(args: &Args) -> Result<Config, String> {
    flags::check(args)?;
    let labels = match args.bool("store_container_labels") {
        true => LabelPolicy::All,
        false => {
            let names = flags::words(args.str("whitelisted_container_labels"));
            LabelPolicy::Only(names.into_iter().collect())
        }
    };
    Ok(Config {
        groups: Groups::from_flags(args.str("enable_metrics"), args.str("disable_metrics"))?,
        labels,
        docker_only: args.bool("docker_only"),
        raw_prefixes: flags::words(args.str("raw_cgroup_prefix_whitelist")),
        root_stats: !args.bool("disable_root_cgroup_stats"),
        storage_duration: args.duration("storage_duration"),
        machine_id_files: args.str("machine_id_file").to_owned(),
        boot_id_files: args.str("boot_id_file").to_owned(),
    })
}

/// Runs the service until it is asked to stop.
///
/// # Errors
/// Flags that are refused, cgroups that are not mounted, an address that is taken.
pub async fn run(boot: Boot) -> Result<(), Error> {
    let args = Arc::clone(&boot.args);
    let config = config(&args).map_err(Error::new)?;
    let cgroups = match Cgroups::find(Path::new(args.str("cgroup_root"))) {
        Ok(cgroups) => {
            tracing::info!(version = cgroups.version(), "Reading cgroups");
            Some(cgroups)
        }
        Err(error) if args.str("docker").is_empty() => return Err(Error::new(error.to_string())),
        Err(error) => {
            tracing::warn!(
                err = %error,
                "the engine is asked for the numbers instead: it tells less, and works harder"
            );
            None
        }
    };
    let identities = Arc::new(Identities::default());
    let asked = cgroups.is_none().then(Arc::<Engines>::default);
    let host = Host::find();
    let usages = config.groups.has(Group::Disk).then(|| {
        let usages = Usages::new(host.clone(), Arc::clone(&identities));
        Arc::new(usages)
    });
    if let Some(usages) = &usages {
        let started = usages.start();
        started.map_err(|error| Error::new(format!("cannot start a thread: {error}")))?;
    }
    let agent = Agent::new(
        config,
        cgroups,
        host,
        Arc::clone(&identities),
        usages.clone(),
    );
    let agent = Arc::new(agent);
    follow_engines(&boot, &identities, &agent, usages.as_ref(), asked.as_ref());

    let options = HttpOptions {
        prefix: args.str("url_base_prefix").to_owned(),
        metrics_path: None,
        ..HttpOptions::default()
    };
    let pages = web::router(
        agent,
        asked.map(|engines| (engines, identities)),
        boot.metrics.clone(),
        args.str("prometheus_endpoint"),
    );
    boot.http_with(pages, options).await?;
    boot.ready();
    boot.shutdown.requested().await;
    Ok(())
}

/// Milliseconds since the epoch.
fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn follow_engines(
    boot: &Boot,
    identities: &Arc<Identities>,
    agent: &Arc<Agent>,
    usages: Option<&Arc<Usages>>,
    engines: Option<&Arc<Engines>>,
) {
    let up = boot.metrics.gauge_vec(
        "container_agent_engine_up",
        "Whether the engine's containers are being followed.",
        &["engine"],
    );
    let connects = boot.metrics.counter_vec(
        "container_agent_engine_connects_total",
        "How often following the engine began.",
        &["engine"],
    );
    let events = boot.metrics.counter_vec(
        "container_agent_engine_events_total",
        "Events of containers that the engine told.",
        &["engine"],
    );
    let known = Arc::clone(identities);
    boot.metrics.gauge_fn(
        "container_agent_known_containers",
        "Containers whose names and labels are known.",
        move || known.len() as f64,
    );
    let envs = flags::words(boot.args.str("env_metadata_whitelist"));
    for engine in ["docker", "podman"] {
        let address = boot.args.str(engine);
        let optional = engine == "podman" && !boot.args.is_set(engine);
        let present = Path::new(address.trim_start_matches("unix://")).exists();
        if address.is_empty() || (optional && !present) {
            continue;
        }
        let follower = docker::Follower {
            address: address.to_owned(),
            envs: envs.clone(),
            optional,
            identities: Arc::clone(identities),
            agent: Arc::clone(agent),
            usages: usages.map(Arc::clone),
            engines: engines.map(Arc::clone),
            up: up.with(&[engine]),
            connects: connects.with(&[engine]),
            events: events.with(&[engine]),
        };
        let stop = boot.shutdown.clone();
        boot.spawn(engine, async move {
            follower.run(stop).await;
            Ok(())
        });
    }
}

#[cfg(test)]
mod tests;
