//! cgroups: the controllers of /proc/cgroups.

use super::Outcome;
use crate::files::Files;
use crate::page::Page;

/// `cpuset 5 47 1`: name, hierarchy, groups, enabled.
fn parse(line: &str) -> Option<(&str, f64, f64)> {
    let mut fields = line.split_ascii_whitespace();
    let name = fields.next().filter(|name| !name.starts_with('#'))?;
    let groups = fields.nth(1)?.parse().ok()?;
    Some((name, groups, fields.next()?.parse().ok()?))
}

pub fn collect(files: &mut Files, out: &mut Page) -> Outcome {
    for (name, groups, enabled) in files.proc("cgroups")?.lines().filter_map(parse) {
        // Upstream has one help text for both.
        let help = "Current cgroup number of the subsystem.";
        out.gauge(
            "node_cgroups_cgroups",
            help,
            &[("subsys_name", name)],
            groups,
        );
        out.gauge(
            "node_cgroups_enabled",
            help,
            &[("subsys_name", name)],
            enabled,
        );
    }
    Ok(())
}
