//! What was built: for `--version`, the log and `*_build_info`.

use exposition::{Family, Metric, Value};
use model::MetricType;
use telemetry::Registry;

use crate::Program;

/// The version of all services.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

const fn or_unknown(value: Option<&'static str>) -> &'static str {
    match value {
        Some(value) => value,
        None => "unknown",
    }
}

/// The commit, where the build was told (`FIREWATCH_REVISION`).
pub const REVISION: &str = or_unknown(option_env!("FIREWATCH_REVISION"));
/// The branch, where the build was told (`FIREWATCH_BRANCH`).
pub const BRANCH: &str = or_unknown(option_env!("FIREWATCH_BRANCH"));
/// When it was built, where the build was told (`FIREWATCH_BUILD_DATE`).
pub const BUILD_DATE: &str = or_unknown(option_env!("FIREWATCH_BUILD_DATE"));
/// Who built it, where the build was told (`FIREWATCH_BUILD_USER`).
pub const BUILD_USER: &str = or_unknown(option_env!("FIREWATCH_BUILD_USER"));

/// What `--version` prints.
pub fn print(program: &Program) -> String {
    print_name(program.name)
}

/// What `--version` of a program of this name prints.
pub fn print_name(name: &str) -> String {
    format!(
        "{name}, version {VERSION} (branch: {BRANCH}, revision: {REVISION})\n  \
         build user:       {BUILD_USER}\n  \
         build date:       {BUILD_DATE}\n  \
         platform:         {}/{}",
        std::env::consts::OS,
        std::env::consts::ARCH
    )
}

/// `(version=..., branch=..., revision=...)`, for the log.
pub(crate) fn info() -> String {
    format!("(version={VERSION}, branch={BRANCH}, revision={REVISION})")
}

/// Registers `<prefix>_build_info`.
pub(crate) fn register(program: &Program, registry: &Registry) {
    let name = format!("{}_build_info", program.metric_prefix);
    let help = format!(
        "A metric with a constant '1' value labeled by version, revision, branch, goversion from which {} was built, and the goos and goarch for the build.",
        program.metric_prefix
    );
    registry.collector(move || {
        let mut family = Family::new(name.as_str(), help.as_str(), MetricType::Gauge);
        let labels = [
            ("branch", BRANCH),
            ("goarch", std::env::consts::ARCH),
            ("goos", std::env::consts::OS),
            ("goversion", "none (rust)"),
            ("revision", REVISION),
            ("tags", "unknown"),
            ("version", VERSION),
        ];
        let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
        family.push(Metric::new(labels.to_vec(), Value::Gauge(1.0)));
        vec![family]
    });
}
