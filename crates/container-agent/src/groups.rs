//! The groups of metrics that `-disable_metrics` and `-enable_metrics` name (cadvisor
//! `lib/container/factory.go`).

/// A group of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Group {
    AdvancedTcp,
    App,
    Cpu,
    CpuLoad,
    CpuTopology,
    Cpuset,
    Disk,
    DiskIo,
    Hugetlb,
    Memory,
    MemoryNuma,
    Network,
    OomEvent,
    PerCpu,
    PerfEvent,
    Pressure,
    Process,
    ReferencedMemory,
    Resctrl,
    Sched,
    Tcp,
    Udp,
}

use Group::*;

/// Every group by its name on the command line.
pub const NAMES: [(&str, Group); 22] = [
    ("advtcp", AdvancedTcp),
    ("app", App),
    ("cpu", Cpu),
    ("cpuLoad", CpuLoad),
    ("cpu_topology", CpuTopology),
    ("cpuset", Cpuset),
    ("disk", Disk),
    ("diskIO", DiskIo),
    ("hugetlb", Hugetlb),
    ("memory", Memory),
    ("memory_numa", MemoryNuma),
    ("network", Network),
    ("oom_event", OomEvent),
    ("percpu", PerCpu),
    ("perf_event", PerfEvent),
    ("pressure", Pressure),
    ("process", Process),
    ("referenced_memory", ReferencedMemory),
    ("resctrl", Resctrl),
    ("sched", Sched),
    ("tcp", Tcp),
    ("udp", Udp),
];

/// What `-disable_metrics` is when not given.
pub const DISABLED: &str = "advtcp,cpu_topology,cpuset,hugetlb,memory_numa,process,referenced_memory,resctrl,sched,tcp,udp";

/// Groups that this program cannot collect: asking for one by name is an error.
const NOT_COLLECTED: [Group; 4] = [App, PerfEvent, ReferencedMemory, Resctrl];

/// A set of groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Groups(u32);

impl Groups {
    /// Every group.
    pub fn all() -> Groups {
        NAMES
            .iter()
            .fold(Groups(0), |set, (_, group)| set.with(*group))
    }

    /// The set of these names, separated by commas; an empty text is the empty set.
    ///
    /// # Errors
    /// A name there is not, in upstream's words.
    pub fn parse(text: &str) -> Result<Groups, String> {
        let mut set = Groups(0);
        for name in text.split(',').filter(|name| !name.is_empty()) {
            match NAMES.iter().find(|(known, _)| *known == name) {
                Some((_, group)) => set = set.with(*group),
                None => return Err(format!("unsupported metric {name:?} specified")),
            }
        }
        Ok(set)
    }

    /// What the two flags mean together: groups enabled by name are the only ones; without them
    /// all are enabled but the disabled ones.
    ///
    /// # Errors
    /// An unknown name, or one that was enabled and cannot be collected.
    pub fn from_flags(enabled: &str, disabled: &str) -> Result<Groups, String> {
        let disabled = Groups::parse(disabled).map_err(|e| format!("-disable_metrics: {e}"))?;
        let enabled = Groups::parse(enabled).map_err(|e| format!("-enable_metrics: {e}"))?;
        if enabled == Groups(0) {
            let unavailable = NOT_COLLECTED.into_iter().fold(disabled, Groups::with);
            return Ok(Groups(Groups::all().0 & !unavailable.0));
        }
        for (name, group) in NAMES {
            if enabled.has(group) && NOT_COLLECTED.contains(&group) {
                return Err(format!(
                    "-enable_metrics: container-agent does not collect {name:?}"
                ));
            }
        }
        Ok(enabled)
    }

    /// This set and one more.
    pub fn with(self, group: Group) -> Groups {
        Groups(self.0 | 1 << group as u8)
    }

    /// Whether a group is in the set.
    pub fn has(self, group: Group) -> bool {
        self.0 & (1 << group as u8) != 0
    }

    /// Whether any of these is in the set.
    pub fn any(self, groups: &[Group]) -> bool {
        groups.iter().any(|group| self.has(*group))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_flags() {
        let default = Groups::from_flags("", DISABLED).unwrap();
        assert!(default.has(Cpu) && default.has(Pressure) && default.has(Disk));
        assert!(!default.has(Tcp) && !default.has(App));
        assert!(Groups::from_flags("", "").unwrap().has(Tcp));
        let two = Groups::from_flags("cpu,tcp", DISABLED).unwrap();
        assert_eq!(two, Groups::default().with(Cpu).with(Tcp));
        assert_eq!(
            Groups::from_flags("", "cpu,gpu").unwrap_err(),
            "-disable_metrics: unsupported metric \"gpu\" specified"
        );
        assert_eq!(
            Groups::from_flags("cpu,resctrl", "").unwrap_err(),
            "-enable_metrics: container-agent does not collect \"resctrl\""
        );
    }
}
