//! Whatever comes from the network: no panic, and nothing that grows without bound.

use std::time::Duration;

use proptest::prelude::*;
use statsd_bridge::{Action, Bridge, Mapper, Options, Parser, Tally};
use telemetry::Registry;

/// Bytes that look like StatsD, so that more than the first check is reached.
fn almost_statsd() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::sample::select(vec![
        "a", "name", "[", "]", "#", ",", "=", ":", "|", "c", "g", "ms", "h", "d", "s", "@", "0.1",
        "1", "-5", "+3", "NaN", "1e309", "-inf", "|#", "|c:", "|T1", "ä", "\n", "_e{", "_sc|", ".",
        "-", "0x1p-2", "$1", "", "\u{0}",
    ]);
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        prop::collection::vec(pieces, 0..40).prop_map(|pieces| pieces.concat().into_bytes()),
    ]
}

fn parser() -> impl Strategy<Value = Parser> {
    any::<[bool; 5]>().prop_map(|[dogstatsd, influxdb, librato, signalfx, sets]| Parser {
        dogstatsd,
        influxdb,
        librato,
        signalfx,
        sets,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_parser_takes_anything(line in almost_statsd(), parser in parser()) {
        let mut tally = Tally::default();
        let mut events = 0;
        parser.parse(&line, &mut tally, |event| {
            events += 1;
            assert!(!matches!(event.action, Action::Observe(_, 0)));
            assert!(event.tags.is_sorted_by(|a, b| a.0 < b.0), "{:?}", event.tags);
            assert!(event.tags.iter().all(|(n, v)| !n.is_empty() && !v.is_empty()));
        });
        // Each sample is an event, an error, or sampled away.
        assert!(events <= tally.samples);
    }

    #[test]
    fn the_bridge_takes_anything(packets in prop::collection::vec(almost_statsd(), 0..20)) {
        let registry = Registry::new();
        let mapper = Mapper::parse("mappings: [{match: a.*, name: x_$1, labels: {ll: $1}}]").unwrap();
        let mut options = Options::default();
        options.parser.sets = true;
        let bridge = Bridge::new(&registry, options, mapper, None);
        let mut intake = bridge.intake();
        for packet in &packets {
            intake.packet(packet, Duration::ZERO);
        }
        intake.flush();
        let page = registry.render(None).body;
        // What is printed can be read again.
        exposition::parse_families(&page, model::names::ValidationScheme::Utf8).unwrap();
    }
}
