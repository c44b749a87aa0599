//! Lexer and parser on anything: bytes at random, and the conformance cases with bytes changed, taken
//! out, doubled and put together. No panic, memory in proportion to the input, and what parses is
//! printed as something that parses and prints the same.
//!
//! `FUZZ_CASES=1000000 cargo test -p promql --test fuzz_parse` for a longer run.

use std::path::Path;

use promql::parse::{parse_expr_bytes, parse_metric_selector, parse_series_desc};
use promql::print::{PRETTY_COLUMNS, pretty};
use promql::{Features, parse_expr};

/// A stream of numbers (xorshift64*); the same for each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % n
    }
}

fn cases() -> usize {
    let set = std::env::var("FUZZ_CASES").ok();
    set.map_or(20_000, |n| n.parse().expect("FUZZ_CASES is a number"))
}

/// Queries of the conformance set, and some of our own where that is missing.
fn corpus() -> Vec<Vec<u8>> {
    let mut corpus: Vec<Vec<u8>> = [
        "sum by (job) (rate(http_requests_total{code=~\"5..\"}[5m] offset 1h @ end()))",
        "histogram_quantile(0.9, sum by (le) (rate(x_bucket[5m]))) > bool on (a) group_left (b) y",
        "max_over_time((a unless b)[1h:5m] @ 1609746000)",
        "{\"utf8.name\", 'l.x'!~`a|b`} </ 1e-3 + 0x1f ^ -Inf",
        "metric[min_of(step(), 5m) * 2] anchored",
        "a + fill_left (1) fill_right (-2) b",
        "{{schema:1 sum:-0.3 count:3.1 buckets:[5.1 10 7] offset:-3}}x5",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into();
    let dir =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance/promql-parse");
    for file in [
        "parse-ok.json",
        "parse-errors.json",
        "series-descriptions.json",
    ] {
        let Ok(text) = std::fs::read_to_string(dir.join(file)) else {
            continue;
        };
        let set: serde_json::Value = serde_json::from_str(&text).expect("the set is JSON");
        let inputs = set["cases"].as_array().into_iter().flatten();
        corpus.extend(
            inputs.filter_map(|case| case["input"].as_str().map(|text| text.as_bytes().to_vec())),
        );
    }
    corpus.retain(|input| input.len() < 4096);
    corpus
}

fn check(input: &[u8]) {
    let parsed = parse_expr_bytes(input, Features::ALL);
    let text = String::from_utf8_lossy(input);
    let _ = parse_metric_selector(&text);
    let _ = parse_series_desc(&text);
    let Ok(expr) = parsed else { return };
    let printed = expr.to_string();
    for again in [printed.clone(), pretty(&expr, PRETTY_COLUMNS)] {
        match parse_expr(&again, Features::ALL) {
            Ok(expr) => assert_eq!(
                expr.to_string(),
                printed,
                "of {text:?}, by way of {again:?}"
            ),
            Err(errors) => panic!("{text:?} is printed as {again:?}, which fails: {errors}"),
        }
    }
}

#[test]
fn mutated_queries_parse_or_fail() {
    let corpus = corpus();
    let mut numbers = Numbers(0x5EED);
    const TOKENS: [&str; 24] = [
        "(", ")", "[", "]", "{", "}", ",", "\"", "'", "`", "\\", "5m", "1e", "0x", ":", "@",
        "offset ", " by ", "!=", "=~", "\n", "#", "\u{2028}", "é",
    ];
    for case in 0..cases() {
        let mut input = corpus[numbers.below(corpus.len())].clone();
        for _ in 0..=numbers.below(4) {
            let at = numbers.below(input.len() + 1);
            match numbers.below(6) {
                0 if at < input.len() => input[at] = numbers.below(256) as u8,
                1 if at < input.len() => {
                    let to = (at + 1 + numbers.below(8)).min(input.len());
                    input.drain(at..to);
                }
                2 => {
                    let token = TOKENS[numbers.below(TOKENS.len())].bytes();
                    input.splice(at..at, token);
                }
                3 => {
                    let other = &corpus[numbers.below(corpus.len())];
                    let from = numbers.below(other.len() + 1);
                    input.truncate(at);
                    input.extend_from_slice(&other[from..]);
                }
                4 => input.truncate(at),
                _ => {
                    let to = (at + numbers.below(12)).min(input.len());
                    let part = input[at..to].to_vec();
                    input.splice(at..at, part);
                }
            }
        }
        if input.len() < 8192 {
            let outcome = std::panic::catch_unwind(|| check(&input));
            assert!(
                outcome.is_ok(),
                "case {case}: {:?}",
                String::from_utf8_lossy(&input)
            );
        }
    }
}

#[test]
fn random_bytes_parse_or_fail() {
    let mut numbers = Numbers(0xB17E5);
    for _ in 0..cases() / 4 {
        let len = numbers.below(60);
        let input: Vec<u8> = (0..len).map(|_| numbers.below(256) as u8).collect();
        check(&input);
    }
}

/// The most memory that the process has had so far, in bytes; nothing where the system does not tell.
fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

#[test]
fn memory_is_in_proportion_to_the_input() {
    const LEN: usize = 1 << 20;
    let before = peak_bytes();
    for part in [
        "(",
        "-",
        "a+",
        "{",
        "[",
        "sum(",
        "a[5m:",
        "\"",
        "1,",
        "{a=\"b\",",
        "(a)or",
        "a offset ",
        "{{",
    ] {
        let text = part.repeat(LEN / part.len());
        let _ = parse_expr(&text, Features::ALL);
        let _ = parse_series_desc(&text);
    }
    if let (Some(before), Some(after)) = (before, peak_bytes()) {
        let grown = after - before;
        assert!(
            grown < 512 * LEN as u64,
            "{grown} bytes for inputs of {LEN}"
        );
    }
}
