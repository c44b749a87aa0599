//! How many lines a second one thread takes: one metric name with 1,000 tag sets and a mapping of 100
//! globs, as the target in `docs/services/statsd-bridge.md` has it. `cargo bench -p statsd-bridge`.

use std::fmt::Write;
use std::time::{Duration, Instant};

use statsd_bridge::{Bridge, Mapper, Options};
use telemetry::Registry;

fn main() {
    let mut mapping = String::from("mappings:\n");
    for i in 0..100 {
        let line = "- {match: \"app.part";
        writeln!(
            mapping,
            "{line}{i}.*.*\", name: \"app_part{i}_$1\", labels: {{verb: $2}}}}"
        )
        .expect("a string takes everything");
    }
    for (what, value) in [
        ("counters", "1|c"),
        ("timers", "320|ms|@0.5"),
        ("gauges", "-3|g"),
    ] {
        let mapper = Mapper::parse(&mapping).expect("the mapping is right");
        let bridge = Bridge::new(&Registry::new(), Options::default(), mapper, None);
        let packets: Vec<String> = (0..1000)
            .map(|i| {
                let line = format!(
                    "app.part77.requests.get:{value}|#host:h{i},zone:z{}\n",
                    i % 7
                );
                line.repeat(20).trim_end().to_owned()
            })
            .collect();
        let mut intake = bridge.intake();
        let (start, mut lines) = (Instant::now(), 0_u64);
        while start.elapsed() < Duration::from_secs(1) {
            let now = bridge.now();
            for packet in &packets {
                intake.packet(packet.as_bytes(), now);
                lines += 20;
            }
            intake.flush();
        }
        let nanoseconds = start.elapsed().as_nanos() as f64 / lines as f64;
        println!(
            "{what}: {nanoseconds:.0} ns a line, {:.2} million a second",
            1e3 / nanoseconds
        );
    }
}
