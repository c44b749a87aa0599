//! bonding: slaves of bonded network devices, configured and up.

use super::{CollectError, Outcome};
use crate::files::Files;
use crate::page::Page;

pub fn collect(files: &mut Files, out: &mut Page) -> Outcome {
    let class = files.paths.sys.join("class/net");
    let masters = files.read(&class.join("bonding_masters"));
    let masters = masters
        .map_err(CollectError::missing_is_no_data)?
        .to_owned();
    for master in masters.split_whitespace() {
        let dir = class.join(master);
        let Some(slaves) = files.value(&dir.join("bonding/slaves")).map(str::to_owned) else {
            continue;
        };
        let (mut all, mut active) = (0.0, 0.0);
        for slave in slaves.split_whitespace() {
            all += 1.0;
            // Older kernels name the link differently.
            let status = ["lower_", "slave_"].iter().find_map(|prefix| {
                let path = dir.join(format!("{prefix}{slave}/bonding_slave/mii_status"));
                files.value(&path).map(|status| status == "up")
            });
            if status == Some(true) {
                active += 1.0;
            }
        }
        let labels = [("master", master)];
        out.gauge(
            "node_bonding_slaves",
            "Number of configured slaves per bonding interface.",
            &labels,
            all,
        );
        out.gauge(
            "node_bonding_active",
            "Number of active slaves per bonding interface.",
            &labels,
            active,
        );
    }
    Ok(())
}
