//! Whatever comes from the network: no panic, nothing that grows without bound, and every sample
//! accounted for. `FUZZ_CASES` says how many inputs each test tries (2000).
//!
//! Inputs are the lines of the conformance set with bytes changed, pieces of StatsD in any order, and
//! any bytes at all.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::time::Duration;

use base64::Engine as _;
use proptest::prelude::*;
use statsd_bridge::{Action, Bridge, Mapper, Options, Parser, Reason, Tally};
use telemetry::Registry;

fn cases() -> ProptestConfig {
    let cases = std::env::var("FUZZ_CASES").ok();
    ProptestConfig::with_cases(cases.and_then(|n| n.parse().ok()).unwrap_or(2000))
}

/// The lines of the conformance set; one of ours where it is missing.
fn corpus() -> Vec<Vec<u8>> {
    let mut lines = vec![b"name:1:2|ms|@0.5|#tag:value,b:c|c:id|e:x|card:low|T1".to_vec()];
    let Some(dir) = conformance::directory("statsd") else {
        return lines;
    };
    let text = std::fs::read_to_string(dir.join("lines.json")).unwrap();
    let set: serde_json::Value = serde_json::from_str(&text).unwrap();
    for case in set["cases"].as_array().unwrap() {
        let plain = || case["input"].as_str().map(|text| text.as_bytes().to_vec());
        let coded = || {
            let text = case["input_base64"].as_str()?;
            base64::engine::general_purpose::STANDARD.decode(text).ok()
        };
        lines.extend(plain().or_else(coded));
    }
    assert!(lines.len() > 100);
    lines
}

/// What happens to a line on its way to us: bytes lost, doubled, changed, put in.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let marks = prop::sample::select(b"|:#,=@[]cgmshdT+-.\n_0\xff".to_vec());
    let change = (
        any::<prop::sample::Index>(),
        prop_oneof![marks, any::<u8>()],
        0..4,
    );
    let changes = prop::collection::vec(change, 0..6);
    (prop::sample::select(corpus()), changes).prop_map(|(mut line, changes)| {
        for (at, byte, how) in changes {
            let at = at.index(line.len() + 1);
            match how {
                0 => line.insert(at, byte),
                1 => line.truncate(at),
                2 if at < line.len() => drop(line.remove(at)),
                3 if at < line.len() => line[at] = byte,
                _ => line.extend_from_within(at..),
            }
        }
        line
    })
}

/// Bytes that look like StatsD, so that more than the first check is reached.
fn almost_statsd() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::sample::select(vec![
        "a", "name", "[", "]", "#", ",", "=", ":", "|", "c", "g", "ms", "h", "d", "s", "@", "0.1",
        "1", "-5", "+3", "NaN", "1e309", "-inf", "|#", "|c:", "|T1", "|e:", "|card:", "ä", "\n",
        "_e{", "_sc|", ".", "-", "0x1p-2", "$1", "", "\u{0}",
    ]);
    prop_oneof![
        3 => mutated(),
        1 => prop::collection::vec(any::<u8>(), 0..200),
        2 => prop::collection::vec(pieces, 0..40).prop_map(|pieces| pieces.concat().into_bytes()),
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
    #![proptest_config(cases())]

    #[test]
    fn the_parser_takes_anything(line in almost_statsd(), parser in parser()) {
        let mut tally = Tally::default();
        let (mut events, mut members) = (0, 0);
        parser.parse(&line, &mut tally, |event| {
            events += 1;
            members += u64::from(matches!(event.action, Action::Member(_)));
            assert!(!matches!(event.action, Action::Observe(_, 0)));
            assert!(event.tags.is_sorted_by(|a, b| a.0 < b.0), "{:?}", event.tags);
            assert!(event.tags.iter().all(|(n, v)| !n.is_empty() && !v.is_empty()));
            assert!(line.windows(event.name.len()).count() > 0, "a name longer than its line");
        });
        assert!(parser.sets || members == 0);
        // Each sample is an event, an error, or sampled away; no line takes more than it has bytes.
        assert!(events <= tally.samples);
        assert!(tally.samples <= line.len() as u64);
        let errors: u64 = tally.sample_errors.iter().sum();
        assert!(line.is_empty() || tally.samples > 0 || errors == 1, "{tally:?}");
        if std::str::from_utf8(&line).is_err() {
            assert_eq!((tally.sample_errors[Reason::MalformedLine as usize], events), (1, 0));
        }
        let mut again = Tally::default();
        parser.parse(&line, &mut again, |_| {});
        assert_eq!(again, tally);
    }

    #[test]
    fn the_bridge_takes_anything(packets in prop::collection::vec(almost_statsd(), 0..20)) {
        let registry = Registry::new();
        let mapper = Mapper::parse("mappings: [{match: a.*, name: x_$1, labels: {ll: $1}}]").unwrap();
        let mut options = Options::default();
        options.parser.sets = true;
        options.limits.per_metric = 5;
        options.limits.total = 20;
        let bridge = Bridge::new(&registry, options, mapper, None);
        let mut intake = bridge.intake();
        for (i, packet) in packets.iter().enumerate() {
            match i % 3 {
                0 => intake.cut_packet(packet, Duration::ZERO),
                _ => intake.packet(packet, Duration::ZERO),
            }
        }
        intake.flush();
        let page = registry.render(None).body;
        // What is printed can be read again.
        let families = exposition::parse_families(&page, model::names::ValidationScheme::Utf8);
        let families = families.unwrap();
        let ours = families.iter().filter(|f| !f.name.starts_with("statsd_"));
        assert!(ours.map(|f| f.metrics.len()).sum::<usize>() <= 20);
    }
}
