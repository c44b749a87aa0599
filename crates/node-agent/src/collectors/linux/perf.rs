//! perf: counters of the CPU and the kernel, of all processes, by perf_event_open.

use std::io::{self, Read};
use std::os::fd::{FromRawFd, OwnedFd};
use std::path::Path;

use parking_lot::Mutex;
use service::Args;

use super::{CollectError, Collector, Outcome};
use crate::page::Page;

const HARDWARE: u32 = 0;
const SOFTWARE: u32 = 1;
const TRACEPOINT: u32 = 2;
const CACHE: u32 = 3;

/// Name in the flags, type and number of the kernel's, metric behind `node_perf_`, help.
struct Counter(&'static str, u32, u64, &'static str, &'static str);

/// A cache's number: which one, read or write, hit or miss.
const fn cache(which: u64, write: u64, miss: u64) -> u64 {
    which | write << 8 | miss << 16
}

const COUNTERS: [Counter; 30] = [
    Counter(
        "CpuCycles",
        HARDWARE,
        0,
        "cpucycles_total",
        "Number of CPU cycles (frequency scaled)",
    ),
    Counter(
        "CpuInstr",
        HARDWARE,
        1,
        "instructions_total",
        "Number of CPU instructions",
    ),
    Counter(
        "CacheRef",
        HARDWARE,
        2,
        "cache_refs_total",
        "Number of cache references (non frequency scaled)",
    ),
    Counter(
        "CacheMisses",
        HARDWARE,
        3,
        "cache_misses_total",
        "Number of cache misses",
    ),
    Counter(
        "BranchInstr",
        HARDWARE,
        4,
        "branch_instructions_total",
        "Number of CPU branch instructions",
    ),
    Counter(
        "BranchMisses",
        HARDWARE,
        5,
        "branch_misses_total",
        "Number of CPU branch misses",
    ),
    Counter(
        "StalledCyclesFrontend",
        HARDWARE,
        7,
        "stalled_cycles_frontend_total",
        "Number of stalled frontend CPU cycles",
    ),
    Counter(
        "StalledCyclesBackend",
        HARDWARE,
        8,
        "stalled_cycles_backend_total",
        "Number of stalled backend CPU cycles",
    ),
    Counter(
        "RefCpuCycles",
        HARDWARE,
        9,
        "ref_cpucycles_total",
        "Number of CPU cycles",
    ),
    Counter(
        "PageFault",
        SOFTWARE,
        2,
        "page_faults_total",
        "Number of page faults",
    ),
    Counter(
        "ContextSwitch",
        SOFTWARE,
        3,
        "context_switches_total",
        "Number of context switches",
    ),
    Counter(
        "CpuMigration",
        SOFTWARE,
        4,
        "cpu_migrations_total",
        "Number of CPU process migrations",
    ),
    Counter(
        "MinorFault",
        SOFTWARE,
        5,
        "minor_faults_total",
        "Number of minor page faults",
    ),
    Counter(
        "MajorFault",
        SOFTWARE,
        6,
        "major_faults_total",
        "Number of major page faults",
    ),
    Counter(
        "L1DataReadHit",
        CACHE,
        cache(0, 0, 0),
        "cache_l1d_read_hits_total",
        "Number L1 data cache read hits",
    ),
    Counter(
        "L1DataReadMiss",
        CACHE,
        cache(0, 0, 1),
        "cache_l1d_read_misses_total",
        "Number L1 data cache read misses",
    ),
    Counter(
        "L1DataWriteHit",
        CACHE,
        cache(0, 1, 0),
        "cache_l1d_write_hits_total",
        "Number L1 data cache write hits",
    ),
    Counter(
        "L1InstrReadMiss",
        CACHE,
        cache(1, 0, 1),
        "cache_l1_instr_read_misses_total",
        "Number instruction L1 instruction read misses",
    ),
    Counter(
        "LLReadHit",
        CACHE,
        cache(2, 0, 0),
        "cache_ll_read_hits_total",
        "Number last level read hits",
    ),
    Counter(
        "LLReadMiss",
        CACHE,
        cache(2, 0, 1),
        "cache_ll_read_misses_total",
        "Number last level read misses",
    ),
    Counter(
        "LLWriteHit",
        CACHE,
        cache(2, 1, 0),
        "cache_ll_write_hits_total",
        "Number last level write hits",
    ),
    Counter(
        "LLWriteMiss",
        CACHE,
        cache(2, 1, 1),
        "cache_ll_write_misses_total",
        "Number last level write misses",
    ),
    Counter(
        "DataTLBReadHit",
        CACHE,
        cache(3, 0, 0),
        "cache_tlb_data_read_hits_total",
        "Number of data TLB read hits",
    ),
    Counter(
        "DataTLBReadMiss",
        CACHE,
        cache(3, 0, 1),
        "cache_tlb_data_read_misses_total",
        "Number of data TLB read misses",
    ),
    Counter(
        "DataTLBWriteHit",
        CACHE,
        cache(3, 1, 0),
        "cache_tlb_data_write_hits_total",
        "Number of data TLB write hits",
    ),
    Counter(
        "DataTLBWriteMiss",
        CACHE,
        cache(3, 1, 1),
        "cache_tlb_data_write_misses_total",
        "Number of data TLB write misses",
    ),
    Counter(
        "InstrTLBReadHit",
        CACHE,
        cache(4, 0, 0),
        "cache_tlb_instr_read_hits_total",
        "Number instruction TLB read hits",
    ),
    Counter(
        "InstrTLBReadMiss",
        CACHE,
        cache(4, 0, 1),
        "cache_tlb_instr_read_misses_total",
        "Number instruction TLB read misses",
    ),
    Counter(
        "BPUReadHit",
        CACHE,
        cache(5, 0, 0),
        "cache_bpu_read_hits_total",
        "Number BPU read hits",
    ),
    Counter(
        "BPUReadMiss",
        CACHE,
        cache(5, 0, 1),
        "cache_bpu_read_misses_total",
        "Number BPU read misses",
    ),
];

/// The flag that switches a kind off, and the one that names what is wanted of it.
const KINDS: [(u32, &str, &str); 3] = [
    (
        HARDWARE,
        "collector.perf.disable-hardware-profilers",
        "collector.perf.hardware-profilers",
    ),
    (
        SOFTWARE,
        "collector.perf.disable-software-profilers",
        "collector.perf.software-profilers",
    ),
    (
        CACHE,
        "collector.perf.disable-cache-profilers",
        "collector.perf.cache-profilers",
    ),
];

/// A counter that runs on one CPU.
struct Running {
    name: String,
    help: String,
    cpu: String,
    file: std::fs::File,
}

pub fn new(args: &Args) -> Result<Collector, String> {
    let cpus = match args.str("collector.perf.cpus") {
        "" => (0..online_cpus()).collect(),
        text => cpus(text).ok_or_else(|| format!("invalid flag value {text:?}"))?,
    };
    let mut running = Vec::new();
    for point in args.list("collector.perf.tracepoint") {
        let Some((system, event)) = point.split_once(':').filter(|(_, e)| !e.contains(':')) else {
            return Err(format!("invalid tracepoint config {point}"));
        };
        let id = tracepoint(Path::new(args.str("path.sysfs")), system, event)
            .ok_or_else(|| format!("tracepoint {point}: the kernel does not know it"))?;
        for cpu in &cpus {
            let file =
                open(TRACEPOINT, id, *cpu).map_err(|e| format!("tracepoint {point}: {e}"))?;
            running.push(Running {
                name: format!("node_perf_{system}_{event}"),
                help: format!("Perf tracepoint {point}"),
                cpu: cpu.to_string(),
                file,
            });
        }
    }
    for (kind, off, wanted) in KINDS {
        if !args.bool(off) {
            running.extend(start(kind, args.list(wanted), &cpus)?);
        }
    }
    let running = Mutex::new(running);
    Ok(Box::new(move |_, out| collect(&mut running.lock(), out)))
}

/// Starts what the machine has of a kind: a virtual one may have no counters in hardware. Having no
/// right to any is an error.
fn start(kind: u32, wanted: &[String], cpus: &[u32]) -> Result<Vec<Running>, String> {
    let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
    let chosen = COUNTERS.iter().filter(|counter| {
        counter.1 == kind && (wanted.iter().all(|w| w.is_empty()) || wanted.contains(&counter.0))
    });
    let mut running = Vec::new();
    let mut failure = None;
    for Counter(flag, _, config, metric, help) in chosen {
        for cpu in cpus {
            match open(kind, *config, *cpu) {
                Ok(file) => running.push(Running {
                    name: format!("node_perf_{metric}"),
                    help: (*help).to_owned(),
                    cpu: cpu.to_string(),
                    file,
                }),
                Err(error) => {
                    tracing::debug!(counter = flag, cpu, err = %error, "no such perf counter");
                    if error.kind() == io::ErrorKind::PermissionDenied {
                        failure = Some(error);
                    }
                }
            }
        }
    }
    match failure {
        Some(error) if running.is_empty() => Err(format!("failed to open a perf counter: {error}")),
        _ => Ok(running),
    }
}

fn collect(running: &mut [Running], out: &mut Page) -> Outcome {
    for counter in running {
        let mut value = [0u8; 8];
        if let Err(source) = counter.file.read_exact(&mut value) {
            return Err(CollectError::Other(format!("{}: {source}", counter.name)));
        }
        let labels = [("cpu", counter.cpu.as_str())];
        let value = u64::from_ne_bytes(value) as f64;
        out.counter(&counter.name, &counter.help, &labels, value);
    }
    Ok(())
}

/// `0,2-6,8-20:4`: numbers, ranges, ranges with a step.
fn cpus(text: &str) -> Option<Vec<u32>> {
    const MOST: u32 = 65_536;
    let mut all = Vec::new();
    for part in text.split(',') {
        let Some((first, rest)) = part.split_once('-') else {
            all.push(part.parse().ok()?);
            continue;
        };
        let (last, step) = rest.split_once(':').unwrap_or((rest, "1"));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        let step: usize = step.parse().ok().filter(|step| *step > 0)?;
        all.extend((first..=last.min(MOST)).step_by(step));
    }
    Some(all)
}

fn online_cpus() -> u32 {
    // SAFETY: sysconf(3) has no preconditions.
    let count = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) };
    u32::try_from(count).unwrap_or(1)
}

/// The number of a tracepoint.
fn tracepoint(sys: &Path, system: &str, event: &str) -> Option<u64> {
    ["kernel/debug/tracing", "kernel/tracing"]
        .iter()
        .find_map(|dir| {
            let path = sys.join(dir).join("events").join(system).join(event);
            let id = std::fs::read_to_string(path.join("id")).ok()?;
            id.trim().parse().ok()
        })
}

/// The first 64 bytes of struct perf_event_attr (PERF_ATTR_SIZE_VER0).
#[repr(C)]
#[derive(Default)]
struct Attributes {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup_events: u32,
    breakpoint_type: u32,
    breakpoint_address: u64,
}

/// Counts from now on, for all processes on the CPU.
fn open(kind: u32, config: u64, cpu: u32) -> io::Result<std::fs::File> {
    const ALL_PROCESSES: libc::pid_t = -1;
    const NO_GROUP: libc::c_int = -1;
    const CLOSE_ON_EXEC: libc::c_ulong = 8;
    let attributes = Attributes {
        kind,
        size: size_of::<Attributes>() as u32,
        config,
        ..Attributes::default()
    };
    // SAFETY: the attributes are as long as their size says and live until the call returns.
    let opened = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &attributes,
            ALL_PROCESSES,
            cpu as libc::c_int,
            NO_GROUP,
            CLOSE_ON_EXEC,
        )
    };
    if opened < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has just opened it, and nobody else knows it.
    let owned = unsafe { OwnedFd::from_raw_fd(opened as libc::c_int) };
    Ok(owned.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cpus() {
        let list = |text| cpus(text);
        assert_eq!(list("1"), Some(vec![1]));
        assert_eq!(list("0,2-4"), Some(vec![0, 2, 3, 4]));
        assert_eq!(list("1-10:5"), Some(vec![1, 6]));
        for bad in ["", "a", "1-", "1-2:0", "-1", "1,,2"] {
            assert_eq!(list(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn software_counters_count_where_they_may_be_opened() {
        assert_eq!(size_of::<Attributes>(), 64);
        let Ok(mut running) = start(SOFTWARE, &["ContextSwitch".to_owned()], &[0]) else {
            // perf_event_paranoid, a container without the capability.
            return;
        };
        let mut out = Page::new();
        collect(&mut running, &mut out).unwrap();
        assert_eq!(out.len(), 1);
    }
}
