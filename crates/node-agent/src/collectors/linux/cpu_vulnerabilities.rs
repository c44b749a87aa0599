//! cpu_vulnerabilities: what the kernel says of each known weakness of the CPU.

use super::{CollectError, Outcome};
use crate::files::{Files, list};
use crate::page::Page;

/// State and mitigation.
fn parse(text: &str) -> (&str, &str) {
    if text == "Not affected" {
        return ("not affected", "");
    }
    if let Some(rest) = text.strip_prefix("Vulnerable") {
        return ("vulnerable", rest.trim_start_matches([':', ' ']));
    }
    match text
        .strip_prefix("Mitigation:")
        .or_else(|| text.strip_prefix("KVM: Mitigation:"))
    {
        Some(rest) => ("mitigation", rest.trim()),
        None => ("unknown", text),
    }
}

pub fn collect(files: &mut Files, out: &mut Page) -> Outcome {
    let dir = files.paths.sys.join("devices/system/cpu/vulnerabilities");
    for name in list(&dir).map_err(CollectError::missing_is_no_data)? {
        let Some(text) = files.value(&dir.join(&name)) else {
            continue;
        };
        let (state, mitigation) = parse(text);
        out.gauge(
            "node_cpu_vulnerabilities_info",
            "Details of each CPU vulnerability reported by sysfs. The value of the series is an int encoded state of the vulnerability. The same state is stored as a string in the label",
            &[("codename", &name), ("state", state), ("mitigation", mitigation)],
            1.0,
        );
    }
    Ok(())
}
