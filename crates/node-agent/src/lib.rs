//! node-agent: the metrics of a host with node_exporter's names, flags and pages.
//!
//! [`run`] is the service: flags to [`build`], [`router`] serves. `collectors` has one file for each
//! collector, `scrape` runs them, `page` sorts and prints what they say. It answers requests only:
//! between two scrapes it does nothing.

mod collectors;
#[cfg(target_os = "linux")]
mod dbus;
mod deadline;
mod files;
mod flags;
#[cfg(target_os = "linux")]
mod netlink;
mod page;
mod scrape;
mod web;

use service::{Args, Boot, Error, HttpOptions, Program};

pub use flags::FLAGS;
pub use scrape::Collectors;
pub use web::router;

/// The program as data.
pub static PROGRAM: Program = Program {
    name: "node-agent",
    about: "Serves the metrics of this host.",
    metric_prefix: "node_exporter",
    listen: ":9100",
    flags: FLAGS,
    single_thread: true,
    ..Program::DEFAULT
};

/// Sets up the collectors that the flags enable.
///
/// # Errors
/// A flag whose value is not right, or a collector that there is not.
pub fn build(args: &Args) -> Result<Collectors, String> {
    let disable_defaults = args.bool("collector.disable-defaults");
    let mut enabled = Vec::new();
    for flag in FLAGS {
        let Some(name) = flag.name.strip_prefix("collector.") else {
            continue;
        };
        if name.contains('.') || name == "disable-defaults" || name == "timeout" {
            continue;
        }
        if !args.bool(flag.name) || (disable_defaults && !args.is_set(flag.name)) {
            continue;
        }
        match collectors::TABLE.iter().find(|(known, _)| *known == name) {
            Some((known, new)) => {
                let collector =
                    new(args).map_err(|e| format!("couldn't create collector {name}: {e}"))?;
                enabled.push((*known, collector));
            }
            None if args.is_set(flag.name) => {
                return Err(format!(
                    "--collector.{name}: node-agent has no collector {name}"
                ));
            }
            None => tracing::debug!(name, "node-agent has no such collector"),
        }
    }
    let paths = files::Paths {
        proc: args.str("path.procfs").into(),
        sys: args.str("path.sysfs").into(),
        root: args.str("path.rootfs").into(),
        udev: args.str("path.udev.data").into(),
    };
    Ok(Collectors::new(
        enabled,
        paths,
        args.duration("collector.timeout"),
    ))
}

/// Runs the service until it is asked to stop.
///
/// # Errors
/// Flags that are refused, an address that is taken.
pub async fn run(boot: Boot) -> Result<(), Error> {
    let args = &boot.args;
    if args.bool("web.systemd-socket") {
        return Err(Error::new(
            "--web.systemd-socket is not supported: use --web.listen-address",
        ));
    }
    if args.is_set("runtime.gomaxprocs") {
        tracing::info!("--runtime.gomaxprocs has no meaning here and is ignored");
    }
    let collectors = build(args).map_err(Error::new)?;
    let names: Vec<&str> = collectors.names().collect();
    tracing::info!(collectors = names.join(","), "Enabled collectors");
    let options = HttpOptions {
        metrics_path: None,
        ..HttpOptions::default()
    };
    boot.http_with(router(&boot, collectors), options).await?;
    boot.ready();
    service::give_back_program_pages();
    boot.shutdown.requested().await;
    Ok(())
}
