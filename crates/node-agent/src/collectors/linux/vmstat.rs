//! vmstat: chosen fields of /proc/vmstat.

use service::Args;

use super::filter::Fields;
use super::{CollectError, Collector, Outcome};
use crate::files::Files;
use crate::page::Page;

pub fn new(args: &Args) -> Result<Collector, String> {
    let fields = Fields::new(args, "collector.vmstat.fields")?;
    Ok(Box::new(move |files, out| collect(files, out, &fields)))
}

fn collect(files: &mut Files, out: &mut Page, fields: &Fields) -> Outcome {
    for line in files.proc("vmstat")?.lines() {
        let mut parts = line.split_ascii_whitespace();
        let (Some(name), value) = (parts.next(), parts.next()) else {
            continue;
        };
        let value = value.and_then(|v| v.parse().ok());
        let value = value.ok_or_else(|| CollectError::invalid("vmstat line", line))?;
        if fields.wants(name) {
            let help = format!("/proc/vmstat information field {name}.");
            out.untyped(&format!("node_vmstat_{name}"), &help, &[], value);
        }
    }
    Ok(())
}
