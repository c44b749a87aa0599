//! Reading pages of metrics.

mod compact;
mod content_type;
mod lex;
mod lines;
mod nhcb;
mod number;
mod protobuf;
mod wire;

use std::borrow::Cow;

use model::{FloatHistogram, Histogram, MetricType};

use crate::LabelBuf;
pub use content_type::{MediaType, choose_parser};
use lex::Dialect;
use lines::{LineOptions, LineParser};
use nhcb::Nhcb;
use protobuf::ProtobufParser;

/// The label that carries a metric's type with [`ParseOptions::type_and_unit_labels`].
pub const TYPE_LABEL: &str = "__type__";
/// The label that carries a metric's unit with [`ParseOptions::type_and_unit_labels`].
pub const UNIT_LABEL: &str = "__unit__";

/// Why a page cannot be read on. The text is upstream's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParseError(String);

impl ParseError {
    pub(crate) fn new(text: impl Into<String>) -> ParseError {
        ParseError(text.into())
    }
}

/// How a page is read: the scrape configuration's options.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ParseOptions {
    /// Adds the labels [`TYPE_LABEL`] and [`UNIT_LABEL`].
    pub type_and_unit_labels: bool,
    /// OpenMetrics: `_created` lines are start timestamps of the other series only, and no samples.
    pub start_timestamps: bool,
    /// Classic histograms become native histograms with custom buckets.
    pub convert_classic_histograms_to_nhcb: bool,
    /// Classic histograms are read although there is a native one, or one converted.
    pub always_scrape_classic_histograms: bool,
    /// Protobuf: native histograms are taken for classic ones.
    pub ignore_native_histograms: bool,
}

/// What [`Parser::next`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// [`Parser::metadata_name`] and [`Parser::help`].
    Help,
    /// [`Parser::metadata_name`] and [`Parser::kind`].
    Type,
    /// [`Parser::metadata_name`] and [`Parser::unit`].
    Unit,
    /// [`Parser::comment`].
    Comment,
    /// A sample: [`Parser::series`], [`Parser::labels`], [`Parser::value`], ...
    Series,
    /// A native histogram: [`Parser::series`], [`Parser::labels`], [`Parser::histogram`], ...
    Histogram,
}

/// A native histogram as read.
#[derive(Clone, Debug, PartialEq)]
pub enum ParsedHistogram {
    Integer(Histogram),
    Float(FloatHistogram),
}

/// What the reader of a page knows from pages before it. A closure that knows series will do.
pub trait Known {
    /// Whether the bytes of a series have been read without error before: such a line is not checked
    /// again. It is asked at least once for every series, and last with the bytes of the entry returned;
    /// before that perhaps with bytes that turn out to be no series.
    fn series(&mut self, series: &[u8]) -> bool;

    /// Whether a line that begins with `#`, without its line feed, has been read without error before
    /// ([`Parser::metadata_line`]), and nobody wants to see it again: it is skipped.
    fn metadata(&mut self, _line: &[u8]) -> bool {
        false
    }
}

impl<F: FnMut(&[u8]) -> bool> Known for F {
    fn series(&mut self, series: &[u8]) -> bool {
        self(series)
    }
}

/// A page of metrics, read entry by entry.
///
/// The accessors speak of the entry that [`Parser::next`] came to last.
pub struct Parser<'a> {
    source: Source<'a>,
    nhcb: Option<Box<Nhcb>>,
}

enum Source<'a> {
    Lines(Box<LineParser<'a>>),
    Protobuf(Box<ProtobufParser<'a>>),
}

impl<'a> Parser<'a> {
    /// A parser of a page of this media type.
    pub fn new(input: &'a [u8], media_type: MediaType, options: ParseOptions) -> Parser<'a> {
        let line_options = LineOptions {
            type_and_unit_labels: options.type_and_unit_labels,
            start_timestamps: options.start_timestamps,
        };
        let lines =
            |dialect| Source::Lines(Box::new(LineParser::new(input, dialect, line_options)));
        let (source, convert) = match media_type {
            MediaType::Text => (lines(Dialect::Text), true),
            MediaType::OpenMetrics => (lines(Dialect::OpenMetrics), true),
            MediaType::Protobuf => {
                let parser = ProtobufParser::new(input, options);
                (Source::Protobuf(Box::new(parser)), false)
            }
        };
        let nhcb = (convert && options.convert_classic_histograms_to_nhcb)
            .then(|| Box::new(Nhcb::new(options.always_scrape_classic_histograms)));
        Parser { source, nhcb }
    }

    /// Goes to the next entry; `None` at the end of the page.
    ///
    /// `known` is asked what need not be checked. What is known of a series is to be taken from
    /// [`Parser::series`] after this returned.
    ///
    /// # Errors
    /// [`ParseError`]: nothing after it can be read.
    #[inline]
    pub fn next(&mut self, known: &mut impl Known) -> Result<Option<Entry>, ParseError> {
        match (&mut self.source, &mut self.nhcb) {
            (Source::Lines(lines), None) => lines.next(known),
            // What is a histogram shows in the metadata: no line of them is skipped.
            (Source::Lines(lines), Some(nhcb)) => {
                nhcb.next(lines, &mut |series: &[u8]| known.series(series))
            }
            (Source::Protobuf(protobuf), _) => {
                protobuf.next(&mut |series: &[u8]| known.series(series))
            }
        }
    }

    /// The line of a help, type, unit or comment, without its line feed; `None` where the entry is not
    /// exactly one line.
    pub fn metadata_line(&self) -> Option<&[u8]> {
        match &self.source {
            Source::Lines(lines) => lines.metadata_line(),
            Source::Protobuf(_) => None,
        }
    }

    /// A key of the series, the same for the same spelling of its labels.
    pub fn series(&self) -> &[u8] {
        match (&self.source, &self.nhcb) {
            (_, Some(nhcb)) if nhcb.emitting() => nhcb.series(),
            (Source::Lines(lines), _) => lines.series(),
            (Source::Protobuf(protobuf), _) => protobuf.series(),
        }
    }

    /// Puts the labels of the series, sorted by name, into `out`.
    pub fn labels(&mut self, out: &mut LabelBuf) {
        match (&mut self.source, &self.nhcb) {
            (_, Some(nhcb)) if nhcb.emitting() => out.clone_from(nhcb.labels()),
            (Source::Lines(lines), _) => lines.labels(out),
            (Source::Protobuf(protobuf), _) => protobuf.labels(out),
        }
    }

    /// The sample's value.
    pub fn value(&self) -> f64 {
        match &self.source {
            Source::Lines(lines) => lines.value(),
            Source::Protobuf(protobuf) => protobuf.value(),
        }
    }

    /// The native histogram, handed out once.
    pub fn histogram(&mut self) -> Option<ParsedHistogram> {
        match (&mut self.source, &mut self.nhcb) {
            (Source::Lines(_), Some(nhcb)) => nhcb.histogram(),
            (Source::Lines(_), None) => None,
            (Source::Protobuf(protobuf), _) => protobuf.histogram(),
        }
    }

    /// The timestamp that the page gives.
    pub fn timestamp_ms(&self) -> Option<i64> {
        match (&self.source, &self.nhcb) {
            (_, Some(nhcb)) if nhcb.emitting() => nhcb.timestamp_ms(),
            (Source::Lines(lines), _) => lines.timestamp_ms(),
            (Source::Protobuf(protobuf), _) => protobuf.timestamp_ms(),
        }
    }

    /// The start timestamp of the series, 0 if unknown. Once this was asked, OpenMetrics' `_created`
    /// lines of the family are no samples any more.
    pub fn start_ms(&mut self) -> i64 {
        match (&mut self.source, &self.nhcb) {
            (_, Some(nhcb)) if nhcb.emitting() => nhcb.start_ms(),
            (Source::Lines(lines), _) => lines.start_ms(),
            (Source::Protobuf(protobuf), _) => protobuf.start_ms(),
        }
    }

    /// The next exemplar of the sample: its labels go to `out`, its value and timestamp are returned.
    pub fn exemplar(&mut self, out: &mut LabelBuf) -> Option<(f64, Option<i64>)> {
        match (&mut self.source, &mut self.nhcb) {
            (_, Some(nhcb)) if nhcb.emitting() => nhcb.exemplar(out),
            (Source::Lines(lines), _) => lines.exemplar(out),
            (Source::Protobuf(protobuf), _) => protobuf.exemplar(out),
        }
    }

    /// The family that a help, type or unit is of.
    pub fn metadata_name(&self) -> Cow<'_, str> {
        match &self.source {
            Source::Lines(lines) => lines.metadata_name(),
            Source::Protobuf(protobuf) => Cow::Borrowed(protobuf.family_name()),
        }
    }

    /// The help text.
    pub fn help(&self) -> Cow<'_, str> {
        match &self.source {
            Source::Lines(lines) => lines.help(),
            Source::Protobuf(protobuf) => Cow::Borrowed(protobuf.help()),
        }
    }

    /// The type of the family.
    pub fn kind(&self) -> MetricType {
        match &self.source {
            Source::Lines(lines) => lines.kind(),
            Source::Protobuf(protobuf) => protobuf.kind(),
        }
    }

    /// The unit.
    pub fn unit(&self) -> Cow<'_, str> {
        match &self.source {
            Source::Lines(lines) => lines.unit(),
            Source::Protobuf(protobuf) => Cow::Borrowed(protobuf.unit()),
        }
    }

    /// The comment, with its `#`.
    pub fn comment(&self) -> Cow<'_, str> {
        match &self.source {
            Source::Lines(lines) => lines.comment(),
            Source::Protobuf(_) => Cow::Borrowed(""),
        }
    }
}
