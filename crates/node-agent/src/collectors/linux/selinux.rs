//! selinux: whether it is there, and its mode.

use super::Outcome;
use crate::files::Files;
use crate::page::Page;

/// SELINUX= of /etc/selinux/config as the number the kernel has for it.
fn configured(text: &str) -> f64 {
    let mode = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("SELINUX="));
    match mode.map(str::trim) {
        Some("enforcing") => 1.0,
        Some("permissive") => 0.0,
        _ => -1.0,
    }
}

pub fn collect(files: &mut Files, out: &mut Page) -> Outcome {
    let enforce = files.paths.sys.join("fs/selinux/enforce");
    let current = files.number(&enforce);
    out.gauge(
        "node_selinux_enabled",
        "SELinux is enabled, 1 is true, 0 is false",
        &[],
        if current.is_some() { 1.0 } else { 0.0 },
    );
    if let Some(current) = current {
        let config = files.paths.root.join("etc/selinux/config");
        let mode = files.read(&config).map_or(-1.0, configured);
        out.gauge(
            "node_selinux_config_mode",
            "Configured SELinux enforcement mode",
            &[],
            mode,
        );
        out.gauge(
            "node_selinux_current_mode",
            "Current SELinux enforcement mode",
            &[],
            current,
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn modes() {
        assert_eq!(super::configured("# c\nSELINUX=enforcing\n"), 1.0);
        assert_eq!(super::configured("SELINUX=permissive"), 0.0);
        assert_eq!(super::configured("SELINUXTYPE=targeted"), -1.0);
    }
}
