//! Series descriptions: the notation of test scripts and rule unit tests, `name{l="v"} 1+1x3 _
//! stale {{sum:1}}`.

use std::sync::Arc;

use model::{CounterResetHint, FloatHistogram, Labels, STALE_NAN, Span};

use super::{Parsed, Parser, Stop};
use crate::ast::{BinaryOp, PosRange};
use crate::lex::{HistKey, Kind, ResetHint};

/// The most values that a series may be written out to. Upstream has no limit and runs out of
/// memory.
pub const MAX_SERIES_VALUES: u64 = 10_000_000;

/// One value of a sequence.
#[derive(Clone, Debug, PartialEq)]
pub enum SequenceValue {
    /// `_`: no sample.
    Omitted,
    Float(f64),
    Histogram {
        histogram: Arc<FloatHistogram>,
        /// The literal states a counter reset hint, so comparisons look at it.
        hint_given: bool,
    },
}

/// What a histogram literal gives for each key.
#[derive(Default)]
struct Literal {
    keys: Vec<HistKey>,
    histogram: FloatHistogram,
    offset: i32,
    negative_offset: i32,
}

impl Parser<'_> {
    pub(super) fn series_description(&mut self) -> Parsed<(Labels, Vec<SequenceValue>)> {
        let labels = self.metric()?;
        let mut values = Vec::new();
        while !matches!(self.peek(), Kind::Space | Kind::Eof | Kind::End) {
            if let Err(stop) = self.syntax_error() {
                self.recover(stop, "series values", "")?;
                break;
            }
        }
        while self.peek() == Kind::Space {
            self.advance();
            if !self.starts_item() {
                continue;
            }
            if let Err(stop) = self.item(&mut values) {
                self.recover(stop, "series values", "")?;
                values.clear();
            }
        }
        Ok((labels, values))
    }

    fn starts_item(&mut self) -> bool {
        matches!(
            self.peek(),
            Kind::Blank
                | Kind::Identifier
                | Kind::Number
                | Kind::Duration
                | Kind::Op(BinaryOp::Add | BinaryOp::Sub)
                | Kind::OpenHist
        )
    }

    fn item(&mut self, values: &mut Vec<SequenceValue>) -> Parsed<()> {
        match self.peek() {
            Kind::Blank => {
                self.advance();
                let mut count = 1;
                if self.peek() == Kind::Times {
                    self.advance();
                    count = self.repetitions(values)?;
                }
                values.extend((0..count).map(|_| SequenceValue::Omitted));
                Ok(())
            }
            Kind::OpenHist => self.histogram_item(values),
            _ => self.float_item(values),
        }
    }

    fn float_item(&mut self, values: &mut Vec<SequenceValue>) -> Parsed<()> {
        let mut value = match self.peek() {
            Kind::Identifier => {
                let word = self.advance();
                if self.text(word) != "stale" {
                    self.unexpected("series values", "number or \"stale\"");
                }
                STALE_NAN
            }
            _ => self.signed_or_unsigned_number()?,
        };
        let mut step = None;
        if matches!(self.peek(), Kind::Op(BinaryOp::Add | BinaryOp::Sub)) {
            step = Some(self.signed_or_unsigned_number()?);
            self.expect(Kind::Times)?;
        } else if self.peek() == Kind::Times {
            self.advance();
        } else {
            values.push(SequenceValue::Float(value));
            return Ok(());
        }
        let count = self.repetitions(values)?;
        for _ in 0..=count {
            values.push(SequenceValue::Float(value));
            if let Some(step) = step {
                value += step;
            }
        }
        Ok(())
    }

    fn histogram_item(&mut self, values: &mut Vec<SequenceValue>) -> Parsed<()> {
        let (base, base_hint_given) = self.histogram_literal()?;
        let op = match self.peek() {
            Kind::Op(op @ (BinaryOp::Add | BinaryOp::Sub)) => op,
            Kind::Times => {
                self.advance();
                let count = self.repetitions(values)?;
                let value = SequenceValue::Histogram {
                    histogram: Arc::new(base),
                    hint_given: base_hint_given,
                };
                values.extend((0..=count).map(|_| value.clone()));
                return Ok(());
            }
            _ => {
                values.push(SequenceValue::Histogram {
                    histogram: Arc::new(base),
                    hint_given: base_hint_given,
                });
                return Ok(());
            }
        };
        self.advance();
        while self.peek() != Kind::OpenHist {
            self.syntax_error()?;
        }
        let (step, hint_given) = self.histogram_literal()?;
        self.expect(Kind::Times)?;
        let count = self.repetitions(values)?;
        let mut current = base;
        for i in 0..=count {
            values.push(SequenceValue::Histogram {
                histogram: Arc::new(current.clone()),
                hint_given,
            });
            if i == count {
                break;
            }
            if current.schema > step.schema {
                let message = format!(
                    "error combining histograms: cannot merge from schema {} to {}",
                    step.schema, current.schema
                );
                self.error(self.last.pos(), message);
                break;
            }
            let combined = match op {
                BinaryOp::Add => current.add(&step),
                _ => current.sub(&step),
            };
            if let Err(error) = combined {
                self.error(self.last.pos(), error.to_string());
                break;
            }
        }
        Ok(())
    }

    fn signed_or_unsigned_number(&mut self) -> Parsed<f64> {
        let mut sign = 1.0;
        loop {
            match self.peek() {
                Kind::Number | Kind::Duration => break,
                Kind::Op(op @ (BinaryOp::Add | BinaryOp::Sub)) => {
                    self.advance();
                    if op == BinaryOp::Sub {
                        sign = -1.0;
                    }
                    return Ok(sign * self.unsigned_number()?);
                }
                _ => self.syntax_error()?,
            }
        }
        self.unsigned_number()
    }

    fn unsigned_number(&mut self) -> Parsed<f64> {
        while !matches!(self.peek(), Kind::Number | Kind::Duration) {
            self.syntax_error()?;
        }
        let token = self.advance();
        Ok(self.number_value(token))
    }

    fn uint(&mut self) -> Parsed<u64> {
        let token = self.expect(Kind::Number)?;
        match golang::strconv::parse_uint(self.text(token), 10, 64) {
            Ok(value) => Ok(value),
            Err(error) => {
                self.error(
                    token.pos(),
                    format!("invalid repetition in series values: {error}"),
                );
                Ok(0)
            }
        }
    }

    /// How often to repeat a value; the values so far count towards the limit.
    fn repetitions(&mut self, values: &[SequenceValue]) -> Parsed<u64> {
        let count = self.uint()?;
        if count.saturating_add(values.len() as u64) > MAX_SERIES_VALUES {
            let message = format!("more than {MAX_SERIES_VALUES} values in series values");
            self.error(self.last.pos(), message);
            return Ok(0);
        }
        Ok(count)
    }

    /// `{{schema:1 sum:3 buckets:[1 2]}}`, and whether it states a counter reset hint.
    fn histogram_literal(&mut self) -> Parsed<(FloatHistogram, bool)> {
        self.advance();
        let mut literal = Literal::default();
        if self.peek() == Kind::Space {
            self.advance();
            self.expect(Kind::CloseHist)?;
            return Ok(literal.build());
        }
        if self.peek() == Kind::CloseHist {
            self.advance();
            return Ok(literal.build());
        }
        self.histogram_field(&mut literal)?;
        loop {
            match self.peek() {
                Kind::CloseHist => {
                    self.advance();
                    return Ok(literal.build());
                }
                Kind::Space => {
                    self.advance();
                    if self.peek() == Kind::CloseHist {
                        continue;
                    }
                    if let Err(stop) = self.histogram_field(&mut literal) {
                        self.recover_in_histogram(stop)?;
                    }
                }
                _ => {
                    if let Err(stop) = self.syntax_error() {
                        self.recover_in_histogram(stop)?;
                    }
                }
            }
        }
    }

    fn recover_in_histogram(&mut self, stop: Stop) -> Parsed<()> {
        self.recover(
            stop,
            "histogram description",
            "histogram description key, e.g. buckets:[5 10 7]",
        )
    }

    fn histogram_field(&mut self, literal: &mut Literal) -> Parsed<()> {
        let key = loop {
            if let Kind::HistKey(key) = self.peek() {
                break key;
            }
            self.syntax_error()?;
        };
        self.advance();
        self.expect(Kind::Colon)?;
        let mut fresh = Literal::default();
        let h = &mut fresh.histogram;
        match key {
            HistKey::Schema => h.schema = self.int()?,
            HistKey::Sum => h.sum = self.signed_or_unsigned_number()?,
            HistKey::Count => h.count = self.signed_or_unsigned_number()?,
            HistKey::ZeroBucket => h.zero_count = self.signed_or_unsigned_number()?,
            HistKey::ZeroBucketWidth => h.zero_threshold = self.unsigned_number()?,
            HistKey::CustomValues => h.custom_values = self.bucket_set()?,
            HistKey::Buckets => h.positive_buckets = self.bucket_set()?,
            HistKey::NegativeBuckets => h.negative_buckets = self.bucket_set()?,
            HistKey::Offset => fresh.offset = self.int()?,
            HistKey::NegativeOffset => fresh.negative_offset = self.int()?,
            HistKey::CounterResetHint => {
                h.counter_reset_hint = loop {
                    if let Kind::ResetHint(hint) = self.peek() {
                        self.advance();
                        break match hint {
                            ResetHint::Unknown => CounterResetHint::Unknown,
                            ResetHint::Reset => CounterResetHint::CounterReset,
                            ResetHint::NotReset => CounterResetHint::NotCounterReset,
                            ResetHint::Gauge => CounterResetHint::Gauge,
                        };
                    }
                    self.syntax_error()?;
                };
            }
        }
        if literal.keys.contains(&key) {
            let message = format!("duplicate key \"{}\" in histogram", key.as_str());
            self.error(PosRange::default(), message);
            return Ok(());
        }
        literal.set(key, fresh);
        Ok(())
    }

    fn int(&mut self) -> Parsed<i32> {
        let negative = self.peek() == Kind::Op(BinaryOp::Sub);
        if negative {
            self.advance();
        }
        let value = self.uint()? as i64;
        Ok(if negative {
            value.wrapping_neg()
        } else {
            value
        } as i32)
    }

    /// `[1 2 3]`. Upstream drops what does not fit between the numbers, without a word.
    fn bucket_set(&mut self) -> Parsed<Vec<f64>> {
        self.expect(Kind::LeftBracket)?;
        let mut buckets = vec![self.signed_or_unsigned_number()?];
        loop {
            let fits = match self.peek() {
                Kind::RightBracket => {
                    self.advance();
                    return Ok(buckets);
                }
                Kind::Space => {
                    self.advance();
                    if self.peek() == Kind::RightBracket {
                        continue;
                    }
                    self.signed_or_unsigned_number()
                        .map(|bucket| buckets.push(bucket))
                }
                _ => self.syntax_error(),
            };
            if fits == Err(Stop::Abort) {
                return Err(Stop::Abort);
            }
        }
    }
}

impl Literal {
    fn set(&mut self, key: HistKey, from: Literal) {
        self.keys.push(key);
        let (h, f) = (&mut self.histogram, from.histogram);
        match key {
            HistKey::Schema => h.schema = f.schema,
            HistKey::Sum => h.sum = f.sum,
            HistKey::Count => h.count = f.count,
            HistKey::ZeroBucket => h.zero_count = f.zero_count,
            HistKey::ZeroBucketWidth => h.zero_threshold = f.zero_threshold,
            HistKey::CustomValues => h.custom_values = f.custom_values,
            HistKey::Buckets => h.positive_buckets = f.positive_buckets,
            HistKey::NegativeBuckets => h.negative_buckets = f.negative_buckets,
            HistKey::Offset => self.offset = from.offset,
            HistKey::NegativeOffset => self.negative_offset = from.negative_offset,
            HistKey::CounterResetHint => h.counter_reset_hint = f.counter_reset_hint,
        }
    }

    fn build(self) -> (FloatHistogram, bool) {
        let hint_given = self.keys.contains(&HistKey::CounterResetHint);
        let mut histogram = self.histogram;
        histogram.positive_spans = spans(self.offset, &histogram.positive_buckets);
        histogram.negative_spans = spans(self.negative_offset, &histogram.negative_buckets);
        (histogram, hint_given)
    }
}

fn spans(offset: i32, buckets: &[f64]) -> Vec<Span> {
    if buckets.is_empty() {
        return Vec::new();
    }
    vec![Span {
        offset,
        length: buckets.len() as u32,
    }]
}
