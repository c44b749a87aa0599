//! Whatever comes over the network: an error at most.

use std::collections::HashSet;

use exposition::{
    Entry, Known, LabelBuf, MediaType, ParseOptions, Parser, choose_parser, parse_families,
};
use model::names::ValidationScheme;
use proptest::prelude::*;

fn read_all(input: &[u8], media_type: MediaType, options: ParseOptions, known: u64) {
    let mut parser = Parser::new(input, media_type, options);
    let mut labels = LabelBuf::new();
    let mut questions = 0u32;
    let mut entries = 0;
    while let Ok(Some(entry)) = parser.next(&mut |_: &[u8]| {
        questions += 1;
        known >> (questions % 64) & 1 == 1
    }) {
        let _ = (
            parser.metadata_name(),
            parser.help(),
            parser.unit(),
            parser.comment(),
        );
        if matches!(entry, Entry::Series | Entry::Histogram) {
            parser.labels(&mut labels);
            let _ = (parser.series().len(), parser.value(), parser.histogram());
            let _ = (parser.timestamp_ms(), parser.start_ms(), labels.to_labels());
            while parser.exemplar(&mut labels).is_some() {}
        }
        entries += 1;
        assert!(
            entries <= input.len() * 3 + 16,
            "the parser goes on for ever"
        );
    }
}

/// What was on a page; of that, it is known what the bits of `only` say.
#[derive(Default)]
struct Lines {
    lines: HashSet<Vec<u8>>,
    only: u64,
    asked: u32,
}

impl Lines {
    fn knows(&mut self, line: &[u8]) -> bool {
        self.asked += 1;
        self.only >> (self.asked % 64) & 1 == 1 && self.lines.contains(line)
    }
}

impl Known for Lines {
    fn series(&mut self, series: &[u8]) -> bool {
        self.knows(series)
    }

    fn metadata(&mut self, line: &[u8]) -> bool {
        self.knows(line)
    }
}

/// The samples of a page, and how it ended. Its lines become known with `learn`.
fn samples(
    page: &[u8],
    media_type: MediaType,
    options: ParseOptions,
    known: &mut Lines,
    learn: bool,
) -> Vec<String> {
    let mut parser = Parser::new(page, media_type, options);
    let mut labels = LabelBuf::new();
    let mut out = Vec::new();
    loop {
        let entry = match parser.next(known) {
            Ok(Some(entry)) => entry,
            end => {
                out.push(format!("{end:?}"));
                return out;
            }
        };
        let line = match entry {
            Entry::Series | Entry::Histogram => Some(parser.series()),
            _ => parser.metadata_line(),
        };
        if learn {
            known.lines.extend(line.map(<[u8]>::to_vec));
        }
        if matches!(entry, Entry::Series | Entry::Histogram) {
            parser.labels(&mut labels);
            let mut text = format!("{} {:?}", labels.to_labels(), parser.timestamp_ms());
            text += &format!(" {} {:?}", parser.value(), parser.histogram());
            if options.start_timestamps {
                text += &format!(" {}", parser.start_ms());
            }
            while let Some(exemplar) = parser.exemplar(&mut labels) {
                text += &format!(" {} {exemplar:?}", labels.to_labels());
            }
            out.push(text);
        }
    }
}

fn options() -> impl Strategy<Value = ParseOptions> {
    any::<[bool; 5]>().prop_map(|on| ParseOptions {
        type_and_unit_labels: on[0],
        start_timestamps: on[1],
        convert_classic_histograms_to_nhcb: on[2],
        always_scrape_classic_histograms: on[3],
        ignore_native_histograms: on[4],
    })
}

/// Pieces of pages in any order: more of the grammar is reached than by random bytes.
fn page() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::sample::select(vec![
        "# HELP ",
        "# TYPE ",
        "# UNIT ",
        "# EOF\n",
        "h ",
        "h_bucket",
        "h_count",
        "h_sum",
        "h_created",
        "histogram",
        "counter",
        "summary",
        "{",
        "}",
        "le=",
        "quantile=",
        "\"1\"",
        "\"+Inf\"",
        "\"\\\"",
        ",",
        " ",
        "\t",
        "\n",
        "1",
        " 2",
        " 1.5e3",
        " NaN",
        " # {",
        "\"a.b\"",
        "\0",
        "é",
        "\\",
        "#",
        "=",
        "\"",
    ]);
    prop::collection::vec(pieces, 0..40).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn pages_of_pieces(page in page(), options in options(), known in any::<u64>()) {
        for media_type in [MediaType::Text, MediaType::OpenMetrics] {
            read_all(&page, media_type, options, known);
        }
        let _ = parse_families(&page, ValidationScheme::Utf8);
    }

    #[test]
    fn random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300), options in options()) {
        for media_type in [MediaType::Text, MediaType::OpenMetrics, MediaType::Protobuf] {
            read_all(&bytes, media_type, options, 0);
        }
        let _ = parse_families(&bytes, ValidationScheme::Legacy);
        let _ = choose_parser(&String::from_utf8_lossy(&bytes), None);
    }

    /// Lines that are known are read as if they were not.
    #[test]
    fn known_pages(page in page(), options in options(), only in any::<u64>()) {
        for media_type in [MediaType::Text, MediaType::OpenMetrics] {
            let mut known = Lines { only: 0, ..Lines::default() };
            let first = samples(&page, media_type, options, &mut known, true);
            for only in [u64::MAX, only] {
                (known.only, known.asked) = (only, 0);
                let again = samples(&page, media_type, options, &mut known, false);
                prop_assert_eq!(&again, &first);
            }
        }
    }

    /// Real protobuf with bytes changed.
    #[test]
    fn damaged_protobuf(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        options in options(),
    ) {
        let mut bytes = protobuf_page();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        read_all(&bytes, MediaType::Protobuf, options, 0);
    }
}

fn protobuf_page() -> Vec<u8> {
    use exposition::{Bucket, Count, Family, Format, Histogram, Metric, Native, Syntax, Value};
    let mut family = Family::new("h", "help", model::MetricType::Histogram);
    let native = model::Histogram {
        schema: 3,
        zero_threshold: 0.1,
        positive_spans: vec![model::Span {
            offset: -2,
            length: 3,
        }],
        positive_buckets: vec![1, -1, 2],
        ..model::Histogram::default()
    };
    family.push(Metric::new(
        vec![("a".to_owned(), "b".to_owned())],
        Value::Histogram(Histogram {
            count: Count::Integer(7),
            sum: 2.0,
            buckets: vec![Bucket {
                upper_bound: 1.0,
                cumulative_count: Count::Integer(3),
                exemplar: None,
            }],
            native: Some(Native::Integer(native)),
        }),
    ));
    let format = Format {
        syntax: Syntax::ProtobufDelimited,
        ..Format::default()
    };
    let mut out = Vec::new();
    exposition::encode(&[family], format, &mut out).expect("the family is whole");
    out
}

#[test]
fn spans_of_four_billion_buckets_are_refused_at_once() {
    // positive_span { length: 0xffffffff }, no buckets.
    let histogram = [0x62, 6, 0x10, 0xff, 0xff, 0xff, 0xff, 0x0f];
    let mut family = vec![0x0a, 1, b'h', 0x18, 4, 0x22, 10, 0x3a, 8];
    family.extend(histogram);
    let mut page = vec![family.len() as u8];
    page.extend(family);
    let mut parser = Parser::new(&page, MediaType::Protobuf, ParseOptions::default());
    assert_eq!(parser.next(&mut |_: &[u8]| false), Ok(Some(Entry::Help)));
    assert_eq!(parser.next(&mut |_: &[u8]| false), Ok(Some(Entry::Type)));
    let error = parser.next(&mut |_: &[u8]| false).unwrap_err().to_string();
    assert_eq!(
        error,
        "histogram \"h\": positive side: spans require 4294967295 buckets, have 0"
    );
}
