//! container-agent: what cAdvisor shows of containers, read when somebody asks.
//!
//! Who the containers are comes from the engine's API (`docker`, `identity`), numbers from cgroups and
//! `/proc` (`cgroup`, `proc`, `machine`), at the moment of the scrape and not in between. `agent` puts
//! both together; `metrics` makes the page and is pure, as are `groups`, `info` and `labels`. It never
//! asks an engine for numbers, and writes nowhere. Start with [`run`].

pub mod agent;
pub mod cgroup;
mod docker;
mod filesystems;
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

use service::{Args, Boot, Error, HttpOptions, Program};

use crate::agent::{Agent, Config};
use crate::cgroup::Cgroups;
use crate::groups::Groups;
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
    let cgroups = Cgroups::find(Path::new(args.str("cgroup_root")))
        .map_err(|error| Error::new(error.to_string()))?;
    tracing::info!(version = cgroups.version(), "Reading cgroups");
    if config.groups.has(groups::Group::Disk) {
        tracing::info!(
            "File system usage is the host's (id=\"/\"); that of containers is not collected"
        );
    }
    let identities = Arc::new(Identities::default());
    let agent = Agent::new(config, cgroups, Host::find(), Arc::clone(&identities));
    let agent = Arc::new(agent);
    follow_engines(&boot, &identities, &agent);

    let options = HttpOptions {
        prefix: args.str("url_base_prefix").to_owned(),
        metrics_path: None,
        ..HttpOptions::default()
    };
    let pages = web::router(agent, boot.metrics.clone(), args.str("prometheus_endpoint"));
    boot.http_with(pages, options).await?;
    boot.ready();
    boot.shutdown.requested().await;
    Ok(())
}

fn follow_engines(boot: &Boot, identities: &Arc<Identities>, agent: &Arc<Agent>) {
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
