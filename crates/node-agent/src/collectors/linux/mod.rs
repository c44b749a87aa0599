//! The collectors of Linux.

mod arp;
mod bcache;
mod bcachefs;
mod bonding;
mod btrfs;
mod buddyinfo;
mod cgroups;
mod conntrack;
mod cpu;
mod cpu_vulnerabilities;
mod cpufreq;
mod diskstats;
mod dmi;
mod dmmultipath;
mod drbd;
mod drm;
mod edac;
mod entropy;
mod ethtool;
mod fibrechannel;
mod filefd;
mod filesystem;
mod hwmon;
mod infiniband;
mod interrupts;
mod ipvs;
mod kernel_hung;
mod ksmd;
mod lnstat;
mod loadavg;
mod logind;
mod mdadm;
mod meminfo;
mod meminfo_numa;
mod mountstats;
mod netclass;
mod netdev;
mod netstat;
mod network_route;
mod nfs;
mod nfsd;
mod nvme;
mod nvmesubsystem;
mod os;
mod pcidevice;
mod perf;
mod powersupplyclass;
mod pressure;
mod processes;
mod qdisc;
mod rapl;
mod schedstat;
mod selinux;
mod slabinfo;
mod sockstat;
mod softirqs;
mod softnet;
mod stat;
mod swap;
mod sysctl;
mod systemd;
mod tapestats;
mod tcpstat;
mod thermal_zone;
mod timex;
mod udp_queues;
mod vmstat;
mod watchdog;
mod wifi;
mod xfrm;
mod xfs;
mod zfs;
mod zoneinfo;

use super::{Build, CollectError, Collector, Outcome, filter, textfile, time, uname};

/// Every collector there is: name and setup. The default of its flag is in the table of flags.
pub const TABLE: &[(&str, Build)] = &[
    ("arp", arp::new),
    ("bcache", bcache::new),
    ("bcachefs", |_| Ok(Box::new(bcachefs::collect))),
    ("bonding", |_| Ok(Box::new(bonding::collect))),
    ("btrfs", |_| Ok(Box::new(btrfs::collect))),
    ("buddyinfo", |_| Ok(Box::new(buddyinfo::collect))),
    ("cgroups", |_| Ok(Box::new(cgroups::collect))),
    ("conntrack", |_| Ok(Box::new(conntrack::collect))),
    ("cpu", cpu::new),
    ("cpu_vulnerabilities", |_| {
        Ok(Box::new(cpu_vulnerabilities::collect))
    }),
    ("cpufreq", |_| Ok(Box::new(cpufreq::collect))),
    ("diskstats", diskstats::new),
    ("dmi", |_| Ok(Box::new(dmi::collect))),
    ("dmmultipath", |_| Ok(Box::new(dmmultipath::collect))),
    ("drbd", |_| Ok(Box::new(drbd::collect))),
    ("drm", |_| Ok(Box::new(drm::collect))),
    ("edac", |_| Ok(Box::new(edac::collect))),
    ("entropy", |_| Ok(Box::new(entropy::collect))),
    ("ethtool", ethtool::new),
    ("fibrechannel", |_| Ok(Box::new(fibrechannel::collect))),
    ("filefd", |_| Ok(Box::new(filefd::collect))),
    ("filesystem", filesystem::new),
    ("hwmon", hwmon::new),
    ("infiniband", infiniband::new),
    ("interrupts", interrupts::new),
    ("ipvs", ipvs::new),
    ("kernel_hung", |_| Ok(Box::new(kernel_hung::collect))),
    ("ksmd", |_| Ok(Box::new(ksmd::collect))),
    ("lnstat", |_| Ok(Box::new(lnstat::collect))),
    ("loadavg", |_| Ok(Box::new(loadavg::collect))),
    ("logind", |_| Ok(Box::new(logind::collect))),
    ("mdadm", |_| Ok(Box::new(mdadm::collect))),
    ("meminfo", |_| Ok(Box::new(meminfo::collect))),
    ("meminfo_numa", |_| Ok(Box::new(meminfo_numa::collect))),
    ("mountstats", |_| Ok(Box::new(mountstats::collect))),
    ("netclass", netclass::new),
    ("netdev", netdev::new),
    ("netstat", netstat::new),
    ("network_route", |_| Ok(Box::new(network_route::collect))),
    ("nfs", |_| Ok(Box::new(nfs::collect))),
    ("nfsd", |_| Ok(Box::new(nfsd::collect))),
    ("nvme", |_| Ok(Box::new(nvme::collect))),
    ("nvmesubsystem", |_| Ok(Box::new(nvmesubsystem::collect))),
    ("os", |_| Ok(Box::new(os::collect))),
    ("pcidevice", pcidevice::new),
    ("perf", perf::new),
    ("powersupplyclass", powersupplyclass::new),
    ("pressure", |_| Ok(Box::new(pressure::collect))),
    ("processes", |_| Ok(Box::new(processes::collect))),
    ("qdisc", qdisc::new),
    ("rapl", rapl::new),
    ("schedstat", |_| Ok(Box::new(schedstat::collect))),
    ("selinux", |_| Ok(Box::new(selinux::collect))),
    ("slabinfo", slabinfo::new),
    ("sockstat", |_| Ok(Box::new(sockstat::collect))),
    ("softirqs", |_| Ok(Box::new(softirqs::collect))),
    ("softnet", |_| Ok(Box::new(softnet::collect))),
    ("stat", stat::new),
    ("swap", |_| Ok(Box::new(swap::collect))),
    ("sysctl", sysctl::new),
    ("systemd", systemd::new),
    ("tapestats", tapestats::new),
    ("tcpstat", |_| Ok(Box::new(tcpstat::collect))),
    ("textfile", textfile::new),
    ("thermal_zone", |_| Ok(Box::new(thermal_zone::collect))),
    ("time", |_| Ok(Box::new(time::collect))),
    ("timex", timex::new),
    ("udp_queues", |_| Ok(Box::new(udp_queues::collect))),
    ("uname", |_| Ok(Box::new(uname::collect))),
    ("vmstat", vmstat::new),
    ("watchdog", |_| Ok(Box::new(watchdog::collect))),
    ("wifi", wifi::new),
    ("xfrm", |_| Ok(Box::new(xfrm::collect))),
    ("xfs", |_| Ok(Box::new(xfs::collect))),
    ("zfs", |_| Ok(Box::new(zfs::collect))),
    ("zoneinfo", |_| Ok(Box::new(zoneinfo::collect))),
];
