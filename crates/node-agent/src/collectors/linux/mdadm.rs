//! mdadm: software RAID, of /proc/mdstat and /sys/block/md*/md.

use super::{CollectError, Outcome};
use crate::files::{Files, list};
use crate::page::Page;

/// A device of mdstat.
#[derive(Debug, Default, PartialEq)]
struct Device<'t> {
    name: &'t str,
    /// `active`, `inactive`, `recovering`, `resyncing`, `checking` or `reshaping`.
    activity: &'static str,
    active: f64,
    required: f64,
    failed: f64,
    spare: f64,
    blocks: f64,
    synced: f64,
}

const ACTIVITIES: [(&str, &str); 5] = [
    ("active", "active"),
    ("inactive", "inactive"),
    ("recovering", "recovering"),
    ("resyncing", "resync"),
    ("checking", "check"),
];

/// A device's paragraph: its main line, its status line, and what may come behind.
fn parse<'t>(main: &'t str, status: &str, rest: &[&str]) -> Option<Device<'t>> {
    let mut fields = main.split_whitespace();
    let name = fields.next()?;
    let state = fields.nth(1)?;
    let members: Vec<&str> = fields.filter(|field| field.contains('[')).collect();
    let count = |mark: &str| members.iter().filter(|m| m.contains(mark)).count() as f64;
    let (failed, spare) = (count("(F)"), count("(S)"));
    let blocks: f64 = status.split_whitespace().next()?.parse().ok()?;
    let mut device = Device {
        name,
        activity: if state == "active" {
            "active"
        } else {
            "inactive"
        },
        failed,
        spare,
        blocks,
        synced: blocks,
        ..Device::default()
    };
    // `[8/7]`: required and active disks; levels without redundancy do not say it.
    let counts = status.split_whitespace().find_map(|field| {
        let (total, active) = field
            .strip_prefix('[')?
            .strip_suffix(']')?
            .split_once('/')?;
        Some((total.parse::<f64>().ok()?, active.parse::<f64>().ok()?))
    });
    let present = members.len() as f64;
    (device.required, device.active) = match counts {
        Some(counts) => counts,
        None if state == "active" => (present, present),
        None => (0.0, 0.0),
    };
    // The counts of an inactive device are those of its last run.
    if state != "active" {
        (device.required, device.active) = (0.0, 0.0);
    }
    for line in rest {
        let syncing = [
            ("recovery", "recovering"),
            ("resync", "resyncing"),
            ("check", "checking"),
            ("reshape", "reshaping"),
        ];
        let Some((_, activity)) = syncing.iter().find(|(word, _)| line.contains(word)) else {
            continue;
        };
        device.activity = activity;
        if line.contains("DELAYED") || line.contains("PENDING") || line.contains("REMOTE") {
            device.synced = 0.0;
        } else {
            device.synced = line.split_once('(')?.1.split_once('/')?.0.parse().ok()?;
        }
    }
    Some(device)
}

fn devices(text: &str) -> Result<Vec<Device<'_>>, CollectError> {
    let lines: Vec<&str> = text.lines().collect();
    let mut devices = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let starts = |word: &str| line.starts_with(word);
        if line.trim().is_empty()
            || line.starts_with([' ', '\t'])
            || starts("Personalities")
            || starts("unused")
        {
            continue;
        }
        let below: Vec<&str> = lines[at + 1..]
            .iter()
            .copied()
            .take_while(|line| line.starts_with([' ', '\t']))
            .collect();
        let status = below.first().copied().unwrap_or_default();
        let device = parse(line, status, below.get(1..).unwrap_or_default());
        devices.push(device.ok_or_else(|| CollectError::invalid("mdstat entry", line))?);
    }
    Ok(devices)
}

pub fn collect(files: &mut Files, out: &mut Page) -> Outcome {
    let text = files
        .proc("mdstat")
        .map_err(CollectError::missing_is_no_data)?;
    for device in devices(text)? {
        let labels = [("device", device.name)];
        for (state, value) in [
            ("active", device.active),
            ("failed", device.failed),
            ("spare", device.spare),
        ] {
            out.gauge(
                "node_md_disks",
                "Number of active/failed/spare disks of device.",
                &[labels[0], ("state", state)],
                value,
            );
        }
        let metrics = [
            (
                "node_md_disks_required",
                "Total number of disks of device.",
                device.required,
            ),
            (
                "node_md_blocks",
                "Total number of blocks on device.",
                device.blocks,
            ),
            (
                "node_md_blocks_synced",
                "Number of blocks synced on device.",
                device.synced,
            ),
        ];
        for (name, help, value) in metrics {
            out.gauge(name, help, &labels, value);
        }
        for (activity, state) in ACTIVITIES {
            out.gauge(
                "node_md_state",
                "Indicates the state of md-device.",
                &[labels[0], ("state", state)],
                if device.activity == activity {
                    1.0
                } else {
                    0.0
                },
            );
        }
    }
    let block = files.paths.sys.join("block");
    for name in list(&block)
        .unwrap_or_default()
        .iter()
        .filter(|name| name.starts_with("md"))
    {
        let dir = block.join(name).join("md");
        let Some(disks) = files.number(&dir.join("raid_disks")) else {
            continue;
        };
        let labels = [("device", name.as_str())];
        out.gauge(
            "node_md_raid_disks",
            "Number of raid disks on device.",
            &labels,
            disks,
        );
        // Levels without redundancy have no such file.
        let degraded = files.number(&dir.join("degraded")).unwrap_or_default();
        out.gauge(
            "node_md_degraded",
            "Number of degraded disks on device.",
            &labels,
            degraded,
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs() {
        let text = "Personalities : [raid1]\n\nmd6 : active raid1 sdb2[2](F) sdc[1](S) sda2[0]\n      195310144 blocks [2/1] [U_]\n      [=>..]  recovery =  8.5% (16775552/195310144) finish=17.0min\n\nunused devices: <none>\n";
        let found = devices(text).unwrap();
        assert_eq!(
            (found[0].failed, found[0].spare, found[0].active),
            (1.0, 1.0, 1.0)
        );
        assert_eq!(
            (found[0].activity, found[0].synced),
            ("recovering", 16_775_552.0)
        );
        for text in [
            "md0 : active",
            "md0 : active raid1 a[0]\n",
            "md0 : active raid1 a[0]\n x blocks\n",
        ] {
            assert!(devices(text).is_err(), "{text:?}");
        }
    }
}
