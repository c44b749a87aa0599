//! Container information to a page of metrics: names, help texts, labels and conditions are those
//! of cAdvisor (`lib/metrics/prometheus.go`). Nothing is read here; the time is an argument.
//!
//! A family is a [`Metric`] in one of the tables; [`write`] goes over them in the order of their
//! names and asks each container.

mod cpu;
mod disk;
mod machine;
mod memory;
mod network;
mod process;
mod spec;

use std::collections::BTreeMap;

use exposition::Writer;
use model::MetricType;

use crate::groups::{Group, Groups};
use crate::info::{Container, Stats, Version};
use crate::labels::{LabelNames, LabelPolicy, sanitized};

pub use machine::write as write_machine;
pub use network::ADVANCED_TCP;

/// What a page is made from.
#[derive(Debug)]
pub struct Page<'a> {
    pub containers: &'a [Container],
    pub version: &'a Version,
    pub groups: Groups,
    pub labels: &'a LabelPolicy,
    /// Whether reading the containers failed.
    pub failed: bool,
    pub now_ms: i64,
}

/// One family.
struct Metric {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    /// `None`: always there.
    group: Option<Group>,
    /// Labels beyond those of the container, in the order in which `values` gives them.
    labels: &'static [&'static str],
    time: Time,
    values: Values,
}

/// Where a sample's timestamp comes from.
#[derive(Clone, Copy, PartialEq)]
enum Time {
    /// When the container was measured.
    Measured,
    Now,
    Unset,
}

enum Values {
    /// From the newest measurement; nothing for containers without one.
    Stats(fn(&View<'_>, &Stats, &mut Samples<'_, '_>)),
    /// From what the container is.
    Container(fn(&Container, &mut Samples<'_, '_>)),
}

/// What a value may depend on besides the measurement.
struct View<'a> {
    container: &'a Container,
    groups: Groups,
    now_ms: i64,
}

type FromStats = fn(&View<'_>, &Stats, &mut Samples<'_, '_>);

const fn metric(
    kind: MetricType,
    group: Option<Group>,
    name: &'static str,
    help: &'static str,
    values: Values,
) -> Metric {
    Metric {
        name,
        help,
        kind,
        group,
        labels: &[],
        time: Time::Measured,
        values,
    }
}

const fn gauge(group: Group, name: &'static str, help: &'static str, values: FromStats) -> Metric {
    metric(
        MetricType::Gauge,
        Some(group),
        name,
        help,
        Values::Stats(values),
    )
}

const fn counter(
    group: Group,
    name: &'static str,
    help: &'static str,
    values: FromStats,
) -> Metric {
    metric(
        MetricType::Counter,
        Some(group),
        name,
        help,
        Values::Stats(values),
    )
}

impl Metric {
    const fn labels(mut self, labels: &'static [&'static str]) -> Metric {
        self.labels = labels;
        self
    }

    const fn at(mut self, time: Time) -> Metric {
        self.time = time;
        self
    }
}

/// Takes the samples of one container in one family.
struct Samples<'a, 'w> {
    writer: &'w mut Writer,
    /// The family, until its first sample: one without samples leaves no line.
    head: &'w mut Option<&'a Metric>,
    base: &'a [(&'a str, &'a str)],
    names: &'a [&'a str],
    timestamp_ms: Option<i64>,
}

impl Samples<'_, '_> {
    /// A sample without labels of its own.
    fn add(&mut self, value: f64) {
        self.begin();
        self.writer.sample_at(self.base, value, self.timestamp_ms);
    }

    /// A sample with these values of the family's labels.
    fn with(&mut self, values: &[&str], value: f64) {
        self.begin();
        let labels = merged(self.base, self.names, values);
        self.writer.sample_at(&labels, value, self.timestamp_ms);
    }

    fn begin(&mut self) {
        if let Some(metric) = self.head.take() {
            self.writer.family(metric.name, metric.help, metric.kind);
        }
    }
}

/// Labels sorted by name, as a page shows them.
fn merged<'a>(
    base: &[(&'a str, &'a str)],
    names: &[&'a str],
    values: &[&'a str],
) -> Vec<(&'a str, &'a str)> {
    let mut labels = Vec::with_capacity(base.len() + names.len());
    labels.extend_from_slice(base);
    labels.extend(names.iter().copied().zip(values.iter().copied()));
    labels.sort_by(|a, b| a.0.cmp(b.0));
    labels
}

fn tables() -> Vec<&'static Metric> {
    let tables = [
        cpu::TABLE,
        disk::TABLE,
        memory::TABLE,
        network::TABLE,
        process::TABLE,
        spec::TABLE,
    ];
    tables.into_iter().flatten().collect()
}

const VERSION_HELP: &str = "A metric with a constant '1' value labeled by kernel version, OS version, docker version, cadvisor version & cadvisor revision.";
const ERROR_HELP: &str = "1 if there was an error while getting container metrics, 0 otherwise";

/// Writes the families of all containers, sorted by name.
pub fn write(page: &Page<'_>, writer: &mut Writer) {
    write_version(page.version, writer);
    let names = LabelNames::of(page.containers, page.labels);
    let base: Vec<_> = page
        .containers
        .iter()
        .map(|container| names.values(container, page.labels))
        .collect();
    let mut families: Vec<(&str, Option<&Metric>)> = tables()
        .into_iter()
        .filter(|metric| metric.group.is_none_or(|group| page.groups.has(group)))
        .map(|metric| (metric.name, Some(metric)))
        .collect();
    families.push(("container_scrape_error", None));
    let custom = custom_names(page);
    families.extend(custom.keys().map(|name| (*name, None)));
    families.sort_by_key(|(name, _)| *name);
    for (name, metric) in families {
        match metric {
            Some(metric) => write_family(page, metric, &base, writer),
            None if name == "container_scrape_error" => {
                writer.family(name, ERROR_HELP, MetricType::Gauge);
                writer.sample::<&str, &str>(&[], f64::from(u8::from(page.failed)));
            }
            None => write_custom(page, name, &base, writer),
        }
    }
}

fn write_version(version: &Version, writer: &mut Writer) {
    writer.family("cadvisor_version_info", VERSION_HELP, MetricType::Gauge);
    let labels = [
        ("cadvisorRevision", &version.cadvisor_revision),
        ("cadvisorVersion", &version.cadvisor_version),
        ("dockerVersion", &version.docker_version),
        ("kernelVersion", &version.kernel_version),
        ("osVersion", &version.container_os_version),
    ];
    writer.sample(&labels, 1.0);
}

fn write_family(page: &Page<'_>, metric: &Metric, base: &[Vec<(&str, &str)>], writer: &mut Writer) {
    let mut head = Some(metric);
    for (container, base) in page.containers.iter().zip(base) {
        let stats = container.stats.first();
        let view = View {
            container,
            groups: page.groups,
            now_ms: page.now_ms,
        };
        let mut samples = Samples {
            writer: &mut *writer,
            head: &mut head,
            base,
            names: metric.labels,
            timestamp_ms: match metric.time {
                Time::Measured => stats.and_then(|stats| stats.timestamp_ms),
                Time::Now => Some(page.now_ms),
                Time::Unset => None,
            },
        };
        match (&metric.values, stats) {
            (Values::Stats(values), Some(stats)) => values(&view, stats, &mut samples),
            (Values::Stats(_), None) => {}
            (Values::Container(values), _) => values(container, &mut samples),
        }
    }
}

fn custom_names<'a>(page: &Page<'a>) -> BTreeMap<&'a str, ()> {
    let mut names = BTreeMap::new();
    if page.groups.has(Group::App) {
        let stats = page.containers.iter().filter_map(|c| c.stats.first());
        names.extend(stats.flat_map(|s| s.custom_metrics.keys().map(|name| (name.as_str(), ()))));
    }
    names
}

fn write_custom(page: &Page<'_>, name: &str, base: &[Vec<(&str, &str)>], writer: &mut Writer) {
    writer.family(name, "Custom application metric.", MetricType::Gauge);
    for (container, base) in page.containers.iter().zip(base) {
        let stats = container.stats.first();
        for metric in stats
            .and_then(|s| s.custom_metrics.get(name))
            .into_iter()
            .flatten()
        {
            let names: Vec<String> = metric.labels.keys().map(|n| sanitized("app_", n)).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let values: Vec<&str> = metric.labels.values().map(String::as_str).collect();
            writer.sample(&merged(base, &names, &values), metric.float_value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_family_is_there_twice_and_all_have_help() {
        let mut names: Vec<&str> = tables().iter().map(|metric| metric.name).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(tables().iter().all(|metric| !metric.help.is_empty()));
    }
}
