//! Containers that nobody sees alive.

use super::*;
use e2e::docker::engine;

#[test]
fn two_hundred_short_lives_are_counted() {
    const COUNT: usize = 200;
    /// Started at a time: the engine is busy enough.
    const TOGETHER: usize = 4;
    let Some(docker) = engine() else { return };
    if !docker.busybox("fw-short") {
        return;
    }
    let agent = Agent::start(&docker, &["-storage_duration=10m"]);
    let lives = |from: usize| {
        for number in (from..COUNT).step_by(TOGETHER) {
            let name = format!("fw-short-{number}");
            docker.docker(&[
                "run",
                "--rm",
                "--network=none",
                "--name",
                &name,
                "fw-short",
                "sleep",
                "0.3",
            ]);
        }
    };
    std::thread::scope(|scope| {
        for from in 0..TOGETHER {
            scope.spawn(move || lives(from));
        }
    });
    let shown = || {
        let names = agent.names();
        names.iter().filter(|n| n.starts_with("fw-short-")).count()
    };
    wait_for("all of them are on the page", LONG, || {
        (shown() == COUNT).then_some(())
    });
    let page = agent.page();
    let name = format!("fw-short-{}", COUNT - 1);
    let labels = page.labels(&name).expect("it is there");
    assert_eq!(labels["image"], "fw-short");
    assert!(page.of("container_start_time_seconds", &name).unwrap() > 1.6e9);
    // Numbers were read of most of them before they were gone.
    let cpu = "container_cpu_usage_seconds_total";
    let read = (0..COUNT).filter(|n| {
        let used = page.of(cpu, &format!("fw-short-{n}"));
        used.is_some_and(|used| used > 0.0)
    });
    let read = read.count();
    assert!(read > COUNT / 4, "numbers of {read} of {COUNT}");
    // One page shows them, the next still does: for as long as -storage_duration says.
    assert_eq!(shown(), COUNT);
}
