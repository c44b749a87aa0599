//! One StatsD line as events (statsd_exporter `pkg/line/line.go`).
//!
//! ```text
//! name[signalfx=tags]#librato=tags,influx=tags:value|type|@rate|#dogstatsd:tags|c:container|Ttime
//! name:1|c:2|c            several samples
//! name:1:2:3|ms|#a:b      DogStatsD's extended aggregation: several values, one tail
//! ```
//!
//! Nothing is copied unless a tag's name has to be escaped or a tag stood inside the name. The work is
//! linear in the line's length, whatever it holds.

use std::borrow::Cow;

use golang::strconv::{NumError, NumErrorKind, parse_float};
use smallvec::SmallVec;

use crate::escape::escape_metric_name;

/// Tags, sorted by name; of doubles the last one.
pub type Tags<'a> = SmallVec<[(Cow<'a, str>, &'a str); 8]>;

/// Which notations are understood; the default is all of upstream's, without sets.
#[derive(Debug, Clone, Copy)]
pub struct Parser {
    /// `|#name:value,...`
    pub dogstatsd: bool,
    /// `name,tag=value,...:`
    pub influxdb: bool,
    /// `name#tag=value,...:`
    pub librato: bool,
    /// `name[tag=value,...]:`
    pub signalfx: bool,
    /// `|s`, which upstream refuses.
    pub sets: bool,
}

impl Default for Parser {
    fn default() -> Parser {
        Parser {
            dogstatsd: true,
            influxdb: true,
            librato: true,
            signalfx: true,
            sets: false,
        }
    }
}

/// Why a line or a sample is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Reason {
    MalformedLine,
    MixedTaggingStyles,
    NotEnoughPartsAfterColon,
    InvalidExtendedAggregateType,
    MalformedComponent,
    MalformedValue,
    InvalidSampleFactor,
    MalformedContainerId,
    IllegalEvent,
    /// Ours: the end of a datagram that was longer than our buffer.
    OversizedPacket,
}

impl Reason {
    /// All of them, in the order of their numbers.
    pub const ALL: [Reason; 10] = [
        Reason::MalformedLine,
        Reason::MixedTaggingStyles,
        Reason::NotEnoughPartsAfterColon,
        Reason::InvalidExtendedAggregateType,
        Reason::MalformedComponent,
        Reason::MalformedValue,
        Reason::InvalidSampleFactor,
        Reason::MalformedContainerId,
        Reason::IllegalEvent,
        Reason::OversizedPacket,
    ];

    /// The value of label `reason` of `statsd_exporter_sample_errors_total`.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::MalformedLine => "malformed_line",
            Reason::MixedTaggingStyles => "mixed_tagging_styles",
            Reason::NotEnoughPartsAfterColon => "not_enough_parts_after_colon",
            Reason::InvalidExtendedAggregateType => "invalid_extended_aggregate_type",
            Reason::MalformedComponent => "malformed_component",
            Reason::MalformedValue => "malformed_value",
            Reason::InvalidSampleFactor => "invalid_sample_factor",
            Reason::MalformedContainerId => "malformed_container_id",
            Reason::IllegalEvent => "illegal_event",
            Reason::OversizedPacket => "oversized_packet",
        }
    }
}

/// What parsing counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Samples seen.
    pub samples: u64,
    /// Refusals, by [`Reason`].
    pub sample_errors: [u64; Reason::ALL.len()],
    /// Samples with tags.
    pub tags: u64,
    /// Tags refused.
    pub tag_errors: u64,
}

impl Tally {
    pub(crate) fn error(&mut self, reason: Reason) {
        self.sample_errors[reason as usize] += 1;
    }
}

/// What an event does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Action<'a> {
    /// Adds to a counter; already scaled by the sampling rate.
    Count(f64),
    /// Sets a gauge.
    Set(f64),
    /// Changes a gauge by so much.
    Change(f64),
    /// Observes a value so many times; timers in seconds.
    Observe(f64, u64),
    /// Counts a value as seen.
    Member(&'a str),
}

/// One event of a line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Event<'a> {
    /// As sent, without the tags.
    pub name: &'a str,
    /// Sorted by name.
    pub tags: &'a [(Cow<'a, str>, &'a str)],
    pub action: Action<'a>,
}

/// The metric type of a sample, from the letters after the value.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Type {
    Counter,
    Gauge,
    Timer,
    Distribution,
    Set,
    #[default]
    Illegal,
}

impl Type {
    fn of(letters: &str) -> Type {
        match letters {
            "c" => Type::Counter,
            "g" => Type::Gauge,
            "ms" => Type::Timer,
            "h" | "d" => Type::Distribution,
            "s" => Type::Set,
            _ => Type::Illegal,
        }
    }

    fn is_observer(self) -> bool {
        matches!(self, Type::Timer | Type::Distribution)
    }
}

/// What follows a sample's value, read once for all values that share it.
#[derive(Default)]
struct Tail {
    kind: Type,
    /// More components than a sample may have.
    too_long: bool,
    /// Sampling rates in their order: a counter is divided by each.
    rates: SmallVec<[f64; 2]>,
    /// Counted for every value.
    tag_errors: u64,
    bad_rates: u64,
    /// Why no value with this tail makes an event.
    refused: Option<Reason>,
}

impl Parser {
    /// Parses a line without its end and hands every event to `sink`. An empty line is nothing.
    pub fn parse(&self, line: &[u8], tally: &mut Tally, mut sink: impl FnMut(Event<'_>)) {
        if line.is_empty() {
            return;
        }
        let Ok(line) = std::str::from_utf8(line) else {
            return tally.error(Reason::MalformedLine);
        };
        let (full_name, rest) = match split(line, b':') {
            Some((name, rest)) if !name.is_empty() => (name, rest),
            _ => return tally.error(Reason::MalformedLine),
        };
        let mut tags = Tags::new();
        let name = self.name_and_tags(full_name, &mut tags, &mut tally.tag_errors);
        let uses_dogstatsd = has_dogstatsd_tags(rest);
        if uses_dogstatsd && !tags.is_empty() {
            return tally.error(Reason::MixedTaggingStyles);
        }
        let Some((values, tail)) = split(rest, b'|') else {
            return tally.error(Reason::NotEnoughPartsAfterColon);
        };
        if memchr::memchr(b':', values.as_bytes()).is_some() {
            let kind = Type::of(first(tail, b'|'));
            let may_have_many = kind.is_observer() || (kind == Type::Set && self.sets);
            if !may_have_many {
                return tally.error(Reason::InvalidExtendedAggregateType);
            }
            let tail = self.tail(tail, &mut tags);
            sort_tags(&mut tags);
            for value in values.split(':') {
                self.sample(&name, value, &tail, &tags, tally, &mut sink);
            }
        } else if uses_dogstatsd {
            let tail = self.tail(tail, &mut tags);
            sort_tags(&mut tags);
            self.sample(&name, values, &tail, &tags, tally, &mut sink);
        } else {
            sort_tags(&mut tags);
            // Most lines end with their first sample.
            let mut samples = Some(rest);
            while let Some(here) = samples {
                let sample = first(here, b':');
                samples = here.get(sample.len() + 1..);
                let Some((value, tail)) = split(sample, b'|') else {
                    tally.samples += 1;
                    tally.error(Reason::MalformedComponent);
                    continue;
                };
                // Without `|#` and `:` no tail can add a tag.
                let tail = self.tail(tail, &mut Tags::new());
                self.sample(&name, value, &tail, &tags, tally, &mut sink);
            }
        }
    }

    /// One value with what follows it.
    fn sample(
        &self,
        name: &str,
        text: &str,
        tail: &Tail,
        tags: &[(Cow<'_, str>, &str)],
        tally: &mut Tally,
        sink: &mut impl FnMut(Event<'_>),
    ) {
        tally.samples += 1;
        if tail.too_long {
            return tally.error(Reason::MalformedComponent);
        }
        let is_set = tail.kind == Type::Set && self.sets;
        let value = match is_set {
            true => 0.0,
            false => match number(text) {
                Ok(value) => value,
                Err(_) => return tally.error(Reason::MalformedValue),
            },
        };
        tally.tag_errors += tail.tag_errors;
        tally.sample_errors[Reason::InvalidSampleFactor as usize] += tail.bad_rates;
        if let Some(reason) = tail.refused {
            return tally.error(reason);
        }
        if !tags.is_empty() {
            tally.tags += 1;
        }
        let action = match tail.kind {
            Type::Counter => Action::Count(tail.rates.iter().fold(value, |v, rate| v / rate)),
            Type::Gauge if text.starts_with(['+', '-']) => Action::Change(value),
            Type::Gauge => Action::Set(value),
            Type::Timer => Action::Observe(value / 1000.0, tail.times()),
            Type::Distribution => Action::Observe(value, tail.times()),
            Type::Set if is_set => Action::Member(text),
            Type::Set | Type::Illegal => return tally.error(Reason::IllegalEvent),
        };
        if !matches!(action, Action::Observe(_, 0)) {
            sink(Event { name, tags, action });
        }
    }

    /// Reads what follows the value; DogStatsD tags and the container's id go to `tags`.
    fn tail<'a>(&self, text: &'a str, tags: &mut Tags<'a>) -> Tail {
        let (kind, rest) = match split(text, b'|') {
            Some((kind, rest)) => (kind, Some(rest)),
            None => (text, None),
        };
        let mut tail = Tail {
            kind: Type::of(kind),
            ..Tail::default()
        };
        let Some(rest) = rest else { return tail };
        let (mut bars, mut empty) = (1, rest.is_empty() || rest.starts_with('|'));
        for at in memchr::memchr_iter(b'|', rest.as_bytes()) {
            bars += 1;
            empty |= matches!(rest.as_bytes().get(at + 1), None | Some(b'|'));
        }
        // Value and type are two components, at most six may follow.
        tail.too_long = bars > 6;
        if tail.too_long {
            return tail;
        }
        if empty {
            tail.refused = Some(Reason::MalformedComponent);
            return tail;
        }
        let mut components = Some(rest);
        while let Some(here) = components {
            let component = first(here, b'|');
            components = here.get(component.len() + 1..);
            match component.as_bytes()[0] {
                b'@' => tail.rate(&component[1..]),
                b'#' => {
                    if self.dogstatsd {
                        each_tag(&component[1..], |tag| {
                            let tag = tag.strip_prefix('#').unwrap_or(tag);
                            push_tag(tag, b':', tags, &mut tail.tag_errors);
                        });
                    }
                }
                // What else DogStatsD's clients say of the container and of the tags they wish for.
                b'c' if component.starts_with("card:") => {}
                b'e' if component.starts_with("e:") => {}
                b'c' => match component.strip_prefix("c:") {
                    Some(id) if !id.is_empty() => tags.push((Cow::Borrowed("container_id"), id)),
                    _ => {
                        tail.refused = Some(Reason::MalformedContainerId);
                        return tail;
                    }
                },
                // DogStatsD 1.3's time of the sample: a scrape has its own.
                b'T' => {}
                _ => {
                    tail.refused = Some(Reason::InvalidSampleFactor);
                    return tail;
                }
            }
        }
        tail
    }

    /// Splits tags off a name: SignalFX's anywhere in it, else Librato's or InfluxDB's at its end.
    fn name_and_tags<'a>(
        &self,
        name: &'a str,
        tags: &mut Tags<'a>,
        errors: &mut u64,
    ) -> Cow<'a, str> {
        let mut push = |tag| push_tag(tag, b'=', tags, errors);
        let bytes = name.as_bytes();
        if memchr::memchr3(b'[', b']', b'#', bytes).is_none()
            && memchr::memchr(b',', bytes).is_none()
        {
            return Cow::Borrowed(name);
        }
        if self.signalfx {
            match (name.find('['), name.find(']')) {
                (Some(open), Some(close)) if open < close => {
                    each_tag(&name[open + 1..close], push);
                    let (before, after) = (&name[..open], &name[close + 1..]);
                    return match (before, after) {
                        (name, "") | ("", name) => Cow::Borrowed(name),
                        _ => Cow::Owned([before, after].concat()),
                    };
                }
                (None, None) => {}
                // One bracket alone, or both the wrong way round (at which upstream crashes).
                _ => {
                    *errors += 1;
                    return Cow::Borrowed(name);
                }
            }
        }
        let starts = |c| (c == '#' && self.librato) || (c == ',' && self.influxdb);
        match name.find(starts) {
            Some(at) => {
                each_tag(&name[at + 1..], &mut push);
                Cow::Borrowed(&name[..at])
            }
            None => Cow::Borrowed(name),
        }
    }
}

impl Tail {
    fn rate(&mut self, text: &str) {
        let rate = match parse_float(text) {
            Ok(rate) => rate,
            Err(error) => {
                self.bad_rates += 1;
                // Go's ParseFloat answers a value beside its error, and upstream goes on with it.
                match error.kind {
                    NumErrorKind::Range if text.starts_with('-') => f64::NEG_INFINITY,
                    NumErrorKind::Range => f64::INFINITY,
                    _ => 0.0,
                }
            }
        };
        self.rates.push(if rate == 0.0 { 1.0 } else { rate });
    }

    /// How often a sampled observation counts: the inverse of the last rate, cut off.
    fn times(&self) -> u64 {
        let times = 1.0 / self.rates.last().copied().unwrap_or(1.0);
        // Go's conversion of a number too large, or of none, gives a negative one: no event.
        if times >= 1.0 && times < i64::MAX as f64 {
            times as u64
        } else {
            0
        }
    }
}

/// Go's `ParseFloat`; the whole numbers that most samples are go a short way.
fn number(text: &str) -> Result<f64, NumError> {
    // So many digits are exact in a float.
    if matches!(text.len(), 1..=15) && text.bytes().all(|b| b.is_ascii_digit()) {
        let digits = text.bytes().map(|b| u64::from(b - b'0'));
        return Ok(digits.fold(0, |number, digit| number * 10 + digit) as f64);
    }
    parse_float(text)
}

/// Goes over tags between commas; an empty one at the end is none.
fn each_tag<'a>(text: &'a str, mut tag: impl FnMut(&'a str)) {
    let mut rest = text;
    while !rest.is_empty() {
        let (head, tail) = split(rest, b',').unwrap_or((rest, ""));
        tag(head);
        rest = tail;
    }
}

fn push_tag<'a>(tag: &'a str, separator: u8, tags: &mut Tags<'a>, errors: &mut u64) {
    match split(tag, separator) {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => {
            tags.push((escape_metric_name(name), value));
        }
        _ => *errors += 1,
    }
}

/// What is before and after the first `mark`, an ASCII character; quicker than `str::split_once`.
fn split(text: &str, mark: u8) -> Option<(&str, &str)> {
    let at = memchr::memchr(mark, text.as_bytes())?;
    Some((&text[..at], &text[at + 1..]))
}

/// What is before the first `mark`, or all.
fn first(text: &str, mark: u8) -> &str {
    match memchr::memchr(mark, text.as_bytes()) {
        Some(at) => &text[..at],
        None => text,
    }
}

/// Whether `|#` is somewhere.
fn has_dogstatsd_tags(text: &str) -> bool {
    let text = text.as_bytes();
    memchr::memchr_iter(b'|', text).any(|at| text.get(at + 1) == Some(&b'#'))
}

/// Sorts by name and keeps the last of doubles.
fn sort_tags(tags: &mut Tags<'_>) {
    // Most clients send their tags in one order, often this one.
    if !tags.is_sorted_by(|a, b| a.0 < b.0) {
        tags.sort_by(|a, b| a.0.cmp(&b.0));
        tags.reverse();
        tags.dedup_by(|a, b| a.0 == b.0);
        tags.reverse();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(parser: Parser, line: &str) -> (Vec<String>, Tally) {
        let mut tally = Tally::default();
        let mut events = Vec::new();
        parser.parse(line.as_bytes(), &mut tally, |event| {
            let tags: Vec<String> = event.tags.iter().map(|(n, v)| format!("{n}={v}")).collect();
            events.push(format!(
                "{}{{{}}} {:?}",
                event.name,
                tags.join(","),
                event.action
            ));
        });
        (events, tally)
    }

    #[test]
    fn lines() {
        let check = |line: &str, expected: &[&str]| {
            assert_eq!(events(Parser::default(), line).0, expected, "{line}");
        };
        check("a:1|c", &["a{} Count(1.0)"]);
        check("a:1|c|@0.1|#x:y,x:z", &["a{x=z} Count(10.0)"]);
        check("a:+3|g", &["a{} Change(3.0)"]);
        check("a,b=c:3|g", &["a{b=c} Set(3.0)"]);
        check("a[q=1]b:1500|ms|@0.5", &["ab{q=1} Observe(1.5, 2)"]);
        check(
            "a:1:2|h|#z:1,b:2|c:id",
            &[
                "a{b=2,container_id=id,z=1} Observe(1.0, 1)",
                "a{b=2,container_id=id,z=1} Observe(2.0, 1)",
            ],
        );
        check(
            "a:1|c|#z:1|c:id|e:it-false,cn-a|card:low|T1",
            &["a{container_id=id,z=1} Count(1.0)"],
        );
        check("a:x|s", &[]);
        check("a:1|ms|@nan", &[]);
        check("]a[:1|c", &["]a[{} Count(1.0)"]);
    }

    #[test]
    fn both_ways_to_a_number_agree() {
        for text in [
            "0",
            "7",
            "007",
            "123456789012345",
            "1234567890123456",
            "",
            "1.5",
            "-1",
            "1e3",
        ] {
            assert_eq!(number(text), parse_float(text), "{text}");
        }
    }

    #[test]
    fn sets_are_ours() {
        let parser = Parser {
            sets: true,
            ..Parser::default()
        };
        assert_eq!(events(parser, "u:bob|s|#a:b").0, ["u{a=b} Member(\"bob\")"]);
        assert_eq!(events(parser, "u:bob:eve|s").0.len(), 2);
        let (none, tally) = events(Parser::default(), "u:1|s");
        assert!(none.is_empty());
        assert_eq!(tally.sample_errors[Reason::IllegalEvent as usize], 1);
    }

    #[test]
    fn a_packet_of_tags_takes_no_quadratic_time() {
        let mut line = "a:".to_owned();
        line.push_str(&"1:".repeat(10_000));
        line.push_str("1|ms|#");
        for i in 0..5_000 {
            line.push_str(&format!("t{i}:v,"));
        }
        let start = std::time::Instant::now();
        let mut count = 0;
        Parser::default().parse(line.as_bytes(), &mut Tally::default(), |_| count += 1);
        assert_eq!(count, 10_001);
        assert!(start.elapsed() < std::time::Duration::from_secs(2));
    }
}
