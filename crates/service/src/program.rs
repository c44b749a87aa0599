//! What a service is, as data, and the `main` of all of them.

use std::future::Future;
use std::process::ExitCode;

use crate::{Args, Boot, Error, Flag};

/// Whose command line habits a service keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlagStyle {
    /// kingpin's `Parse`: `name: error: ..., try --help`, exit code 1.
    Kingpin,
    /// Prometheus' own: `Error parsing command line arguments: ...` and the usage, exit code 2.
    Prometheus,
    /// Go's `flag`: one dash or two, `flag provided but not defined: -x` and the usage, exit code 2.
    Go,
}

/// A service as data.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    /// The name of the binary: `scraper-store`.
    pub name: &'static str,
    /// One sentence for `--help`.
    pub about: &'static str,
    /// Prefix of the kit's metrics, upstream's: `prometheus` gives `prometheus_build_info`,
    /// `prometheus_config_last_reload_successful`.
    pub metric_prefix: &'static str,
    /// Default of `--web.listen-address`.
    pub listen: &'static str,
    /// Where to listen, for services whose upstream has no `--web.listen-address` (which they then
    /// leave out by [`Program::without_flags`]): from their own flags.
    pub addresses: Option<fn(&Args) -> Vec<String>>,
    /// Default of `--grpc-address`; `None`: the service has no gRPC listener and no such flag.
    pub grpc: Option<&'static str>,
    /// The flags of this service; those of the kit are added. A flag here with the name of one of
    /// the kit's replaces it.
    pub flags: &'static [Flag],
    /// Names of the kit's flags this service does not have (upstream lacks them and means
    /// something else by the name).
    pub without_flags: &'static [&'static str],
    /// Whose command line habits.
    pub style: FlagStyle,
    /// The boolean flag without which `/-/reload` and `/-/quit` answer 403.
    pub lifecycle_flag: Option<&'static str>,
    /// Whether `POST /-/quit` exists.
    pub quit: bool,
    /// Body of `/-/healthy`.
    pub healthy_text: &'static str,
    /// Body of `/-/ready` once ready.
    pub ready_text: &'static str,
    /// How long a stop may take before open requests are dropped.
    pub stop_deadline: std::time::Duration,
    /// Requests are served on one thread: for services that answer seldom and do their work on threads
    /// of their own. Others have a thread for each CPU.
    pub single_thread: bool,
}

impl Program {
    /// The addresses to listen on.
    pub(crate) fn addresses(&self, args: &Args) -> Vec<String> {
        match self.addresses {
            Some(addresses) => addresses(args),
            None => args.list("web.listen-address").to_vec(),
        }
    }

    /// For `..Program::DEFAULT`; name, metric_prefix and listen are to be given.
    pub const DEFAULT: Program = Program {
        name: "",
        about: "",
        metric_prefix: "",
        listen: ":0",
        addresses: None,
        grpc: None,
        flags: &[],
        without_flags: &[],
        style: FlagStyle::Kingpin,
        lifecycle_flag: None,
        quit: false,
        healthy_text: "OK",
        ready_text: "OK",
        stop_deadline: std::time::Duration::from_secs(20),
        single_thread: false,
    };
}

/// The `main` of a service: parses the flags, sets up logs, metrics and signals, runs `run` and ends
/// the process with the exit code of its result. `--help`, `--version` and `--healthcheck` are
/// answered here.
pub fn main<F, Fut>(program: &'static Program, run: F) -> ExitCode
where
    F: FnOnce(Boot) -> Fut,
    Fut: Future<Output = Result<(), Error>>,
{
    crate::boot::main(program, run)
}
