//! Dashboards against the running stack.

use e2e::Dashboard;

use crate::host::LONG;

/// Waits until every query of those dashboards is answered that show what runs here.
pub(crate) fn all(store: &str) {
    for (name, chosen) in [
        ("fleet", &[][..]),
        ("host", &[("job", "node"), ("instance", "app-1")]),
        ("containers", &[]),
        ("stack", &[]),
        ("alerts", &[]),
    ] {
        let board = Dashboard::load(name);
        let mut faults = board.faults(store, chosen);
        let start = std::time::Instant::now();
        while !faults.is_empty() {
            assert!(
                start.elapsed() < LONG,
                "not answered:\n{}",
                faults.join("\n")
            );
            std::thread::sleep(std::time::Duration::from_millis(500));
            faults = board.faults(store, chosen);
        }
    }
}
