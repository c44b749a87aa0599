//! What collectors write into, and how it becomes a page: families sorted by name, samples by label
//! values, as client_golang's registry gathers them.
//!
//! One [`Page`] holds all text in one string and all samples in one list, so that a sample costs no
//! allocation of its own.

use std::cmp::Ordering;
use std::ops::Range;

use exposition::{Family, Metric, Value, Writer};
use model::MetricType;

/// The samples of one collector.
#[derive(Debug, Default)]
pub struct Page {
    text: String,
    pairs: Vec<(Range<u32>, Range<u32>)>,
    families: Vec<PageFamily>,
    samples: Vec<Sample>,
    /// Histograms and summaries (of text files), and whatever else comes as families.
    whole: Vec<Family>,
    /// Where the search for a family begins: collectors repeat their order for each device.
    next: usize,
}

#[derive(Debug)]
struct PageFamily {
    name: Range<u32>,
    help: Range<u32>,
    kind: MetricType,
}

#[derive(Debug)]
struct Sample {
    family: u32,
    first: u32,
    count: u32,
    value: f64,
}

impl Page {
    /// An empty page.
    pub fn new() -> Page {
        Page::default()
    }

    /// Adds a gauge.
    pub fn gauge(&mut self, name: &str, help: &str, labels: &[(&str, &str)], value: f64) {
        self.add(MetricType::Gauge, name, help, labels, value);
    }

    /// Adds a counter.
    pub fn counter(&mut self, name: &str, help: &str, labels: &[(&str, &str)], value: f64) {
        self.add(MetricType::Counter, name, help, labels, value);
    }

    /// Adds a sample without a type.
    pub fn untyped(&mut self, name: &str, help: &str, labels: &[(&str, &str)], value: f64) {
        self.add(MetricType::Unknown, name, help, labels, value);
    }

    /// Adds a sample of a type that is known only at run time.
    pub fn add(
        &mut self,
        kind: MetricType,
        name: &str,
        help: &str,
        labels: &[(&str, &str)],
        value: f64,
    ) {
        let family = self.family(kind, name, help);
        let first = self.pairs.len();
        for (label, value) in labels {
            let pair = (self.keep(label), self.keep(value));
            // Labels are printed in the order of their names; there are few.
            let mut at = self.pairs.len();
            while at > first && self.slice(&self.pairs[at - 1].0) > *label {
                at -= 1;
            }
            self.pairs.insert(at, pair);
        }
        self.samples.push(Sample {
            family,
            first: first as u32,
            count: labels.len() as u32,
            value,
        });
    }

    /// Adds a whole family.
    pub fn push(&mut self, family: Family) {
        self.whole.push(family);
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.samples.len() + self.whole.iter().map(|f| f.metrics.len()).sum::<usize>()
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn family(&mut self, kind: MetricType, name: &str, help: &str) -> u32 {
        let count = self.families.len();
        for step in 0..count {
            let at = (self.next + step) % count;
            if self.slice(&self.families[at].name) == name {
                // The same family may come again before the next one does.
                self.next = if self.next == at + 1 { at } else { at + 1 };
                return at as u32;
            }
        }
        let (name, help) = (self.keep(name), self.keep(help));
        self.families.push(PageFamily { name, help, kind });
        self.next = count + 1;
        count as u32
    }

    fn keep(&mut self, text: &str) -> Range<u32> {
        let start = self.text.len() as u32;
        self.text.push_str(text);
        start..self.text.len() as u32
    }

    fn slice(&self, range: &Range<u32>) -> &str {
        &self.text[range.start as usize..range.end as usize]
    }

    fn labels(&self, sample: &Sample) -> impl Iterator<Item = (&str, &str)> {
        let first = sample.first as usize;
        self.pairs[first..first + sample.count as usize]
            .iter()
            .map(|(name, value)| (self.slice(name), self.slice(value)))
    }

    fn order(&self, a: &Sample, other: &Page, b: &Sample) -> Ordering {
        let values = || {
            self.labels(a)
                .map(|(_, value)| value)
                .cmp(other.labels(b).map(|(_, value)| value))
        };
        a.count.cmp(&b.count).then_with(values)
    }
}

/// One source of a family's metrics.
enum Part<'p> {
    Samples(&'p Page, usize),
    Whole(&'p Family),
}

impl Part<'_> {
    fn name(&self) -> &str {
        match self {
            Part::Samples(page, at) => page.slice(&page.families[*at].name),
            Part::Whole(family) => &family.name,
        }
    }
}

/// Writes pages and families as one, sorted; what is there twice is written once.
pub fn render(pages: &[Page], others: &[Family], writer: &mut Writer) {
    let mut parts: Vec<Part<'_>> = Vec::new();
    // The samples of a page by family, in the order they came.
    let mut by_family: Vec<Vec<Vec<u32>>> = Vec::with_capacity(pages.len());
    for page in pages {
        let mut lists = vec![Vec::new(); page.families.len()];
        for (at, sample) in page.samples.iter().enumerate() {
            lists[sample.family as usize].push(at as u32);
        }
        by_family.push(lists);
        parts.extend((0..page.families.len()).map(|at| Part::Samples(page, at)));
        parts.extend(page.whole.iter().map(Part::Whole));
    }
    parts.extend(others.iter().map(Part::Whole));
    parts.sort_by(|a, b| a.name().cmp(b.name()));
    let mut labels: Vec<(&str, &str)> = Vec::new();
    for group in parts.chunk_by(|a, b| a.name() == b.name()) {
        let kind = match &group[0] {
            Part::Samples(page, at) => {
                let family = &page.families[*at];
                writer.family(
                    page.slice(&family.name),
                    page.slice(&family.help),
                    family.kind,
                );
                family.kind
            }
            Part::Whole(family) => {
                writer.family(
                    &family.name,
                    family.help.as_deref().unwrap_or_default(),
                    family.kind,
                );
                family.kind
            }
        };
        let mut samples: Vec<(&Page, &Sample)> = Vec::new();
        let mut metrics: Vec<&Metric> = Vec::new();
        for part in group {
            match part {
                // One family has one type: the first that came, as in client_golang.
                Part::Samples(page, at) if page.families[*at].kind == kind => {
                    let index = pages
                        .iter()
                        .position(|p| std::ptr::eq(p, *page))
                        .unwrap_or_default();
                    let of_family = &by_family[index][*at];
                    samples.extend(
                        of_family
                            .iter()
                            .map(|s| (*page, &page.samples[*s as usize])),
                    );
                }
                Part::Whole(family) if family.kind == kind => metrics.extend(&family.metrics),
                _ => {}
            }
        }
        samples.sort_by(|a, b| a.0.order(a.1, b.0, b.1));
        samples.dedup_by(|b, a| {
            a.0.order(a.1, b.0, b.1) == Ordering::Equal && a.0.labels(a.1).eq(b.0.labels(b.1))
        });
        if metrics.is_empty() {
            for (page, sample) in samples {
                labels.clear();
                labels.extend(page.labels(sample));
                writer.sample(&labels, sample.value);
            }
            continue;
        }
        let simple: Vec<Metric> = samples
            .iter()
            .map(|(page, sample)| {
                let labels = page.labels(sample);
                let labels = labels.map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
                Metric::new(labels, Value::Untyped(sample.value))
            })
            .collect();
        metrics.extend(&simple);
        let values = |m: &Metric| -> Vec<String> { m.labels.iter().map(|l| l.1.clone()).collect() };
        metrics.sort_by(|a, b| {
            let count = a.labels.len().cmp(&b.labels.len());
            count.then_with(|| values(a).cmp(&values(b)))
        });
        metrics.dedup_by(|b, a| a.labels == b.labels);
        for metric in metrics {
            write_metric(writer, metric);
        }
    }
}

fn write_metric(writer: &mut Writer, metric: &Metric) {
    match &metric.value {
        Value::Counter(value) | Value::Gauge(value) | Value::Untyped(value) => {
            writer.sample_at(&metric.labels, *value, metric.timestamp_ms);
        }
        Value::Summary(summary) => {
            writer.summary(&metric.labels, summary);
        }
        Value::Histogram(histogram) => {
            writer.histogram(&metric.labels, histogram);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use exposition::Format;

    #[test]
    fn a_page_is_sorted_and_has_no_doubles() {
        let mut first = Page::new();
        first.gauge("b", "B.", &[("z", "2"), ("a", "1")], 1.0);
        first.gauge("a", "A.", &[], 2.0);
        first.gauge("b", "B.", &[("z", "1"), ("a", "1")], 3.0);
        let mut second = Page::new();
        second.gauge("b", "B.", &[("a", "1"), ("z", "1")], 4.0);
        second.gauge("b", "B.", &[("c", "9")], 5.0);
        let mut writer = Writer::new(Format::default());
        render(&[first, second], &[], &mut writer);
        let text = String::from_utf8(writer.finish().unwrap()).unwrap();
        let expected = "# HELP a A.\n# TYPE a gauge\na 2\n# HELP b B.\n# TYPE b gauge\n\
                        b{c=\"9\"} 5\nb{a=\"1\",z=\"1\"} 3\nb{a=\"1\",z=\"2\"} 1\n";
        assert_eq!(text, expected);
    }
}
