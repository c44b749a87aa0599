//! cpu: times of /proc/stat, throttling and isolation of /sys/devices/system/cpu, and on demand
//! /proc/cpuinfo.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use golang::regexp::Regexp;
use parking_lot::Mutex;
use service::Args;

use super::filter::pattern;
use super::{CollectError, Collector, Outcome};
use crate::files::{Files, list};
use crate::page::Page;

/// The kernel's unit of time in /proc (USER_HZ), the same on all architectures in use.
const TICKS_PER_SECOND: f64 = 100.0;
/// Idle time that goes back this far means that the CPU was taken out and put in again.
const JUMP_BACK_SECONDS: f64 = 3.0;
const MODES: [&str; 8] = [
    "user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal",
];
const IDLE: usize = 3;

type Times = [f64; 10];

struct Cpu {
    guest: bool,
    info: bool,
    flags: Option<Regexp>,
    bugs: Option<Regexp>,
    /// Upstream ties the frequency of /proc/cpuinfo to the collector that reads the one of sysfs.
    frequency: bool,
    /// What was shown last: counters of the kernel that go back a little do not go back here.
    last: Mutex<HashMap<u32, Times>>,
}

pub fn new(args: &Args) -> Result<Collector, String> {
    let flags = pattern(args, "collector.cpu.info.flags-include")?;
    let bugs = pattern(args, "collector.cpu.info.bugs-include")?;
    let cpu = Cpu {
        guest: args.bool("collector.cpu.guest"),
        info: args.bool("collector.cpu.info") || flags.is_some() || bugs.is_some(),
        flags,
        bugs,
        frequency: args.bool("collector.cpufreq")
            && (args.is_set("collector.cpufreq") || !args.bool("collector.disable-defaults")),
        last: Mutex::default(),
    };
    Ok(Box::new(move |files, out| cpu.collect(files, out)))
}

/// `cpu0 1 2 3 ...`; `None` for other lines and for the sum of all.
fn parse_times(line: &str) -> Option<(u32, Times)> {
    let mut fields = line.strip_prefix("cpu")?.split_ascii_whitespace();
    let cpu = if line.as_bytes().get(3)?.is_ascii_digit() {
        fields.next()?.parse().ok()?
    } else {
        return None;
    };
    let mut times = [0.0; 10];
    for (time, field) in times.iter_mut().zip(fields) {
        *time = field.parse::<f64>().ok()? / TICKS_PER_SECOND;
    }
    Some((cpu, times))
}

/// `1,3-5` as numbers. Empty for an empty list.
fn parse_list(text: &str) -> Option<Vec<u32>> {
    let mut numbers = Vec::new();
    for part in text.trim().split(',').filter(|p| !p.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        // A list of the kernel's has no more than some thousand CPUs.
        if last > 1 << 16 {
            return None;
        }
        numbers.extend(first..=last);
    }
    Some(numbers)
}

impl Cpu {
    fn collect(&self, files: &mut Files, out: &mut Page) -> Outcome {
        if self.info {
            self.info(files, out)?;
        }
        self.times(files, out)?;
        let isolated = files.paths.sys.join("devices/system/cpu/isolated");
        if let Some(cpus) = files.value(&isolated).and_then(parse_list) {
            for cpu in cpus {
                out.gauge(
                    "node_cpu_isolated",
                    "Whether each core is isolated, information from /sys/devices/system/cpu/isolated.",
                    &[("cpu", &cpu.to_string())],
                    1.0,
                );
            }
        }
        throttles(files, out);
        Ok(())
    }

    fn times(&self, files: &mut Files, out: &mut Page) -> Outcome {
        let mut last = self.last.lock();
        let mut number = String::new();
        for line in files.proc("stat")?.lines() {
            let Some((cpu, new)) = parse_times(line) else {
                continue;
            };
            let shown = last.entry(cpu).or_insert([0.0; 10]);
            if shown[IDLE] - new[IDLE] >= JUMP_BACK_SECONDS {
                *shown = [0.0; 10];
            }
            for (shown, new) in shown.iter_mut().zip(new) {
                *shown = shown.max(new);
            }
            number.clear();
            number.push_str(itoa(cpu, &mut [0; 10]));
            for (mode, seconds) in MODES.iter().zip(&*shown) {
                out.counter(
                    "node_cpu_seconds_total",
                    "Seconds the CPUs spent in each mode.",
                    &[("cpu", &number), ("mode", mode)],
                    *seconds,
                );
            }
            if !self.guest {
                continue;
            }
            for (mode, seconds) in [("user", shown[8]), ("nice", shown[9])] {
                out.counter(
                    "node_cpu_guest_seconds_total",
                    "Seconds the CPUs spent in guests (VMs) for each mode.",
                    &[("cpu", &number), ("mode", mode)],
                    seconds,
                );
            }
        }
        Ok(())
    }

    fn info(&self, files: &mut Files, out: &mut Page) -> Outcome {
        let text = files.proc("cpuinfo")?;
        let mut first = true;
        for block in text.split("\n\n") {
            let fields: HashMap<&str, &str> = block
                .lines()
                .filter_map(|line| line.split_once(':'))
                .map(|(name, value)| (name.trim(), value.trim()))
                .collect();
            let get = |name: &str| fields.get(name).copied().unwrap_or_default();
            if get("processor").is_empty() {
                continue;
            }
            out.gauge(
                "node_cpu_info",
                "CPU information from /proc/cpuinfo.",
                &[
                    ("package", get("physical id")),
                    ("core", get("core id")),
                    ("cpu", get("processor")),
                    ("vendor", get("vendor_id")),
                    ("family", get("cpu family")),
                    ("model", get("model")),
                    ("model_name", get("model name")),
                    ("microcode", get("microcode")),
                    ("stepping", get("stepping")),
                    ("cachesize", get("cache size")),
                ],
                1.0,
            );
            if let Some(megahertz) = get("cpu MHz")
                .parse::<f64>()
                .ok()
                .filter(|_| self.frequency)
            {
                out.gauge(
                    "node_cpu_frequency_hertz",
                    "CPU frequency in hertz from /proc/cpuinfo.",
                    &[
                        ("package", get("physical id")),
                        ("core", get("core id")),
                        ("cpu", get("processor")),
                    ],
                    megahertz * 1e6,
                );
            }
            if std::mem::take(&mut first) {
                let words = [
                    (&self.flags, "flags", "node_cpu_flag_info", "flag"),
                    (&self.bugs, "bugs", "node_cpu_bug_info", "bug"),
                ];
                for (wanted, field, name, label) in words {
                    let Some(wanted) = wanted else { continue };
                    let help = format!(
                        "The `{field}` field of CPU information from /proc/cpuinfo taken from the first core."
                    );
                    for word in get(field).split_ascii_whitespace() {
                        if wanted.is_match(word) {
                            out.gauge(name, &help, &[(label, word)], 1.0);
                        }
                    }
                }
            }
        }
        if first {
            return Err(CollectError::invalid("cpuinfo", text));
        }
        Ok(())
    }
}

/// A number's digits without an allocation.
fn itoa(mut number: u32, digits: &mut [u8; 10]) -> &str {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return std::str::from_utf8(&digits[at..]).unwrap_or_default();
        }
    }
}

/// Thermal throttling, once for each core and each package.
fn throttles(files: &mut Files, out: &mut Page) {
    let dir = files.paths.sys.join("devices/system/cpu");
    let mut packages: BTreeMap<u64, Option<f64>> = BTreeMap::new();
    let mut cores: BTreeMap<(u64, u64), Option<f64>> = BTreeMap::new();
    for name in list(&dir).unwrap_or_default() {
        let number = name.strip_prefix("cpu").unwrap_or_default();
        if !number.starts_with(|c: char| c.is_ascii_digit()) {
            continue;
        }
        let cpu = dir.join(&name);
        // Hosts without the counters (virtual machines) are done after one question a CPU.
        let throttle = cpu.join("thermal_throttle");
        let topology = cpu.join("topology");
        let mut id = |path: &Path| files.value(path).and_then(|v| v.parse::<u64>().ok());
        let Some(package) = id(&topology.join("physical_package_id")) else {
            continue;
        };
        let Some(core) = id(&topology.join("core_id")) else {
            continue;
        };
        let of_core = cores.entry((package, core)).or_default();
        if of_core.is_none() {
            *of_core = files.number(&throttle.join("core_throttle_count"));
        }
        let of_package = packages.entry(package).or_default();
        if of_package.is_none() {
            *of_package = files.number(&throttle.join("package_throttle_count"));
        }
    }
    for (package, count) in packages {
        let Some(count) = count else { continue };
        out.counter(
            "node_cpu_package_throttles_total",
            "Number of times this CPU package has been throttled.",
            &[("package", &package.to_string())],
            count,
        );
    }
    for ((package, core), count) in cores {
        let Some(count) = count else { continue };
        out.counter(
            "node_cpu_core_throttles_total",
            "Number of times this CPU core has been throttled.",
            &[
                ("package", &package.to_string()),
                ("core", &core.to_string()),
            ],
            count,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_stat() {
        let (cpu, times) = parse_times("cpu12 100 2 3 400 5 6 7 8 9 10").unwrap();
        assert_eq!((cpu, times[0], times[IDLE], times[9]), (12, 1.0, 4.0, 0.1));
        // Old kernels have fewer columns.
        assert_eq!(parse_times("cpu0 100 2 3 4").unwrap().1[4], 0.0);
        for line in ["cpu  1 2 3", "cpu", "cpux 1", "cpu1 x", "intr 5", ""] {
            assert!(parse_times(line).is_none(), "{line:?}");
        }
    }

    #[test]
    fn lists_of_cpus() {
        assert_eq!(parse_list("1,3-5\n"), Some(vec![1, 3, 4, 5]));
        assert_eq!(parse_list("\n"), Some(vec![]));
        assert_eq!(parse_list("1-x"), None);
        assert_eq!(parse_list("0-4294967295"), None);
    }

    #[test]
    fn digits() {
        assert_eq!(itoa(0, &mut [0; 10]), "0");
        assert_eq!(itoa(u32::MAX, &mut [0; 10]), "4294967295");
    }
}
