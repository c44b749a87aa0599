//! Random and mutated query strings: whatever a client sends is read or refused, and nothing panics.
//! `FUZZ_CASES` makes it longer.

use http_api::rules::RulesQuery;
use http_api::{Params, parse_duration_ms, parse_limit, parse_match_params, parse_time_or};

const SEEDS: [&str; 8] = [
    "query=sum%28rate%28x%7Ba%3D%22b%22%7D%5B5m%5D%29%29&time=1700000000.123&timeout=1m30s&limit=10",
    "query=up&start=2015-06-03T14:21:58.555+01:00&end=-292273086-05-16T16:47:06Z&step=1e30",
    "match[]=%7B%22a.b%22%2C%22c%22%3D~%22%28a%7Cb%29%2B%22%7D&match[]=x&limit=-1",
    "type=alert&rule_name[]=a&exclude_alerts=t&group_limit=1&group_next_token=x",
    "start=9223372036854775807&end=-9223372036854775808.5&timeout=292y",
    "time=1e400&step=-Inf&limit=99999999999999999999",
    "a=%zz&=&&;&%=%&b=%e2%82&c=+",
    "match[]=up%5B5m%5D&query=%00%ff",
];

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n.max(1) as u64) as usize
    }
}

fn read(text: &str) {
    let mut params = Params::default();
    params.add_encoded(text);
    for name in ["time", "start", "end", "step", "timeout"] {
        let _ = parse_time_or(&params, name, 0);
        let _ = parse_duration_ms(params.get(name));
    }
    let _ = parse_limit(&params);
    let _ = parse_match_params(params.all("match[]"));
    let _ = http_api::parse_selectors(params.all("query"));
    if let Ok(query) = RulesQuery::parse(&params) {
        let _ = query.apply(Vec::new());
    }
}

#[test]
fn whatever_clients_send() {
    let cases = std::env::var("FUZZ_CASES")
        .ok()
        .and_then(|n| n.parse().ok());
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    for seed in SEEDS {
        read(seed);
    }
    for _ in 0..cases.unwrap_or(3_000_u64) {
        let mut bytes = SEEDS[random.below(SEEDS.len())].as_bytes().to_vec();
        for _ in 0..=random.below(8) {
            let at = random.below(bytes.len());
            match random.below(4) {
                0 => bytes[at] = random.below(256) as u8,
                1 => bytes.insert(at, b"%&=+;(){}[]\"~!.-eNy0"[random.below(20)]),
                2 => {
                    bytes.remove(at);
                }
                _ => {
                    let other = SEEDS[random.below(SEEDS.len())].as_bytes();
                    let from = random.below(other.len());
                    bytes.splice(at..at, other[from..].iter().copied());
                }
            }
            if bytes.is_empty() {
                bytes.push(b'=');
            }
        }
        read(&String::from_utf8_lossy(&bytes));
    }
}
