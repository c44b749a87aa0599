//! The parser of the two line formats (prometheus/prometheus
//! `model/textparse/{promparse,openmetricsparse}.go`).
//!
//! A line whose series part is known is cut at its blanks only: bytes that were checked once need no
//! second look. Every other line goes through the lexer.

use std::borrow::Cow;

use golang::strconv::{append_float, parse_float, quote, quote_bytes};
use memchr::{memchr, memrchr2};
use model::MetricType;
use model::labels::{BUCKET_LABEL, METRIC_NAME, QUANTILE_LABEL};

use super::lex::{Dialect, Lexer, State, Token, is_metric_start};
use super::number::sample_value;
use super::{Entry, Known, ParseError};
use crate::{LabelBuf, TYPE_LABEL, UNIT_LABEL};

/// Where the name and the value of a label stand.
type Pair = [usize; 4];

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LineOptions {
    pub(super) type_and_unit_labels: bool,
    pub(super) start_timestamps: bool,
}

#[derive(Debug)]
pub(super) struct LineParser<'a> {
    lexer: Lexer<'a>,
    options: LineOptions,
    /// From the last `# TYPE` and `# UNIT` lines.
    kind: MetricType,
    unit: &'a [u8],
    family: &'a [u8],
    /// Where metadata lines stand that were skipped and not looked at yet.
    skipped: Vec<usize>,

    // The current entry.
    start: usize,
    name: Option<(usize, usize)>,
    series_end: usize,
    pairs: Vec<Pair>,
    /// Whether the line was cut only and `pairs` have to be read yet.
    uncut: bool,
    text: &'a [u8],
    value: f64,
    timestamp_ms: Option<i64>,
    exemplar: Option<(f64, Option<i64>)>,
    exemplar_pairs: Vec<Pair>,

    // Start timestamps, found ahead of the current line.
    start_key: Vec<u8>,
    start_ms: i64,
    /// No `_created` line before this position.
    no_created_before: usize,
}

impl<'a> LineParser<'a> {
    pub(super) fn new(input: &'a [u8], dialect: Dialect, options: LineOptions) -> LineParser<'a> {
        LineParser {
            lexer: Lexer::new(input, dialect),
            options,
            kind: MetricType::Unknown,
            unit: b"",
            family: b"",
            skipped: Vec::new(),
            start: 0,
            name: None,
            series_end: 0,
            pairs: Vec::new(),
            uncut: false,
            text: b"",
            value: 0.0,
            timestamp_ms: None,
            exemplar: None,
            exemplar_pairs: Vec::new(),
            start_key: Vec::new(),
            start_ms: 0,
            no_created_before: 0,
        }
    }

    #[inline]
    pub(super) fn next(&mut self, known: &mut impl Known) -> Result<Option<Entry>, ParseError> {
        if self.lexer.state == State::Init {
            while self.skip_metadata(known) {}
            if self.next_known(known) {
                return Ok(Some(Entry::Series));
            }
        }
        let entry = self.next_checked()?;
        if entry == Some(Entry::Series) {
            known.series(self.series());
        }
        Ok(entry)
    }

    /// Skips a line of metadata or a comment if it is known.
    #[inline]
    fn skip_metadata(&mut self, known: &mut impl Known) -> bool {
        let start = self.lexer.pos;
        let Some(rest @ [b'#', ..]) = self.lexer.input.get(start..) else {
            return false;
        };
        let end = match memchr(b'\n', rest) {
            Some(end) => end,
            None if self.lexer.dialect == Dialect::Text => rest.len(),
            None => return false,
        };
        if !known.metadata(&rest[..end]) {
            return false;
        }
        self.skipped.push(start);
        self.lexer.pos = (start + end + 1).min(self.lexer.end());
        true
    }

    /// Takes from skipped metadata what later lines depend on.
    fn look_at_skipped(&mut self) {
        if self.skipped.is_empty() {
            return;
        }
        let entry = (self.start, self.name, self.text);
        let here = self.lexer.clone();
        for start in std::mem::take(&mut self.skipped) {
            self.lexer = Lexer::new(here.input, here.dialect);
            self.lexer.pos = start;
            self.start = start;
            let token = self.lexer.next();
            if matches!(token, Token::Help | Token::Type | Token::Unit) {
                // The line was checked when it became known.
                let _ = self.metadata(token);
            }
        }
        self.lexer = here;
        (self.start, self.name, self.text) = entry;
    }

    /// See [`super::Parser::metadata_line`].
    pub(super) fn metadata_line(&self) -> Option<&'a [u8]> {
        let entry = self.lexer.slice(self.start, self.lexer.pos);
        let line = entry.strip_suffix(b"\n").unwrap_or(entry);
        (line.first() == Some(&b'#') && memchr(b'\n', line).is_none()).then_some(line)
    }

    /// Reads a line if it is a sample of a known series, or else leaves the position as it is.
    ///
    /// The series part is all before the last blank but one value and one timestamp. Cutting from
    /// behind can go wrong (blanks in labels, exemplars), but then there is no known series of that
    /// spelling: known ones have passed the lexer, which reads from the front and stops where they end.
    #[inline]
    fn next_known(&mut self, known: &mut impl Known) -> bool {
        let input = self.lexer.input;
        let text = self.lexer.dialect == Dialect::Text;
        let start = self.lexer.pos;
        match input.get(start) {
            Some(b) if is_metric_start(*b) || *b == b'{' => {}
            _ => return false,
        }
        let rest = &input[start..];
        let end = match memchr(b'\n', rest) {
            Some(end) => end,
            None if text => rest.len(),
            None => return false,
        };
        let line = &rest[..end];
        let Some(mut blank) = last_blank(line) else {
            return false;
        };
        let mut value = &line[blank + 1..];
        let mut timestamp = None;
        if !text && line[blank] != b' ' {
            return false;
        }
        if text
            && blank > 0
            && line[blank - 1] != b'}'
            && let Some(earlier) = last_blank(&line[..blank])
        {
            let Some(ms) = decimal(value) else {
                return false;
            };
            timestamp = Some(ms);
            value = &line[earlier + 1..blank];
            blank = earlier;
        }
        if !known.series(&line[..blank]) {
            return false;
        }
        let Ok(value) = sample_value(value) else {
            return false;
        };
        self.start = start;
        self.series_end = start + blank;
        self.uncut = true;
        self.value = value;
        self.timestamp_ms = timestamp;
        self.exemplar = None;
        self.lexer.pos = (start + end + 1).min(self.lexer.end());
        true
    }

    fn next_checked(&mut self) -> Result<Option<Entry>, ParseError> {
        loop {
            self.start = self.lexer.pos;
            self.name = None;
            self.pairs.clear();
            self.uncut = false;
            self.exemplar = None;
            self.exemplar_pairs.clear();
            let entry = match self.lexer.next() {
                Token::Linebreak if self.lexer.dialect == Dialect::Text => continue,
                Token::Eof if self.lexer.dialect == Dialect::Text => return Ok(None),
                Token::Eof => return Err(ParseError::new("data does not end with # EOF")),
                Token::EofWord => match self.lexer.next() {
                    Token::Eof => return Ok(None),
                    _ => return Err(ParseError::new("unexpected data after # EOF")),
                },
                token @ (Token::Help | Token::Type | Token::Unit) => {
                    self.look_at_skipped();
                    self.metadata(token)?
                }
                Token::Comment => {
                    self.text = self.lexer.token();
                    self.lexer.next();
                    Entry::Comment
                }
                Token::BraceOpen => {
                    self.trim_start();
                    self.braces()?;
                    self.series_end = self.lexer.pos;
                    let token = self.lexer.next();
                    self.rest_of_line(token)?;
                    Entry::Series
                }
                Token::MName => {
                    self.trim_start();
                    self.name = Some((self.lexer.start, self.lexer.pos));
                    self.series_end = self.lexer.pos;
                    let mut token = self.lexer.next();
                    if token == Token::BraceOpen {
                        self.braces()?;
                        self.series_end = self.lexer.pos;
                        token = self.lexer.next();
                    }
                    self.rest_of_line(token)?;
                    Entry::Series
                }
                token => return Err(self.unexpected("expected a valid start token", token)),
            };
            if entry == Entry::Series && self.options.start_timestamps {
                self.look_at_skipped();
                if self.is_created() {
                    continue;
                }
            }
            return Ok(Some(entry));
        }
    }

    /// Blanks before a name belong to upstream's key of the line, not to ours.
    fn trim_start(&mut self) {
        self.start = self.lexer.start;
    }

    fn metadata(&mut self, token: Token) -> Result<Entry, ParseError> {
        let name = self.lexer.next();
        if name != Token::MName {
            let expected = format!("expected metric name after {}", token.as_str());
            return Err(self.unexpected(&expected, name));
        }
        let (mut start, mut end) = (self.lexer.start, self.lexer.pos);
        if self.lexer.input[start] == b'"' {
            start += 1;
            end -= 1;
        }
        self.name = Some((start, end));
        let family = self.lexer.slice(start, end);
        if family != self.family {
            self.family = family;
            self.unit = b"";
        }
        if self.lexer.next() != Token::Text {
            let text = format!("expected text in {}", token.as_str());
            return Err(ParseError::new(text));
        }
        let text = self.lexer.token();
        self.text = match self.lexer.dialect {
            Dialect::Text if text.iter().all(|b| matches!(b, b' ' | b'\t')) => b"",
            Dialect::Text => &text[1..],
            Dialect::OpenMetrics => &text[1..text.len() - 1],
        };
        let entry = match token {
            Token::Type => {
                self.kind = self.metric_type()?;
                Entry::Type
            }
            Token::Unit => {
                self.check_unit(family)?;
                self.unit = self.text;
                Entry::Unit
            }
            _ => {
                if std::str::from_utf8(self.text).is_err() {
                    return Err(ParseError::new(format!(
                        "help text {} is not a valid utf8 string",
                        quote_bytes(self.text)
                    )));
                }
                Entry::Help
            }
        };
        if self.lexer.dialect == Dialect::Text {
            let token = self.lexer.next();
            if token != Token::Linebreak {
                return Err(self.unexpected("linebreak expected after metadata", token));
            }
        }
        Ok(entry)
    }

    fn metric_type(&self) -> Result<MetricType, ParseError> {
        let kind = std::str::from_utf8(self.text)
            .ok()
            .and_then(MetricType::parse);
        let allowed = match (self.lexer.dialect, self.text) {
            (Dialect::Text, b"untyped") => true,
            (Dialect::Text, _) => matches!(
                kind,
                Some(
                    MetricType::Counter
                        | MetricType::Gauge
                        | MetricType::Histogram
                        | MetricType::Summary
                )
            ),
            (Dialect::OpenMetrics, text) => text != b"untyped",
        };
        kind.filter(|_| allowed).ok_or_else(|| {
            ParseError::new(format!("invalid metric type {}", quote_bytes(self.text)))
        })
    }

    fn check_unit(&self, family: &[u8]) -> Result<(), ParseError> {
        let unit = self.text;
        let is_suffix = family
            .strip_suffix(unit)
            .is_some_and(|rest| rest.ends_with(b"_"));
        if unit.is_empty() || is_suffix {
            return Ok(());
        }
        Err(ParseError::new(format!(
            "unit {} not a suffix of metric {}",
            quote_bytes(unit),
            quote_bytes(family)
        )))
    }

    /// The labels after an opening brace, the closing one included.
    fn braces(&mut self) -> Result<(), ParseError> {
        let mut token = self.lexer.next();
        loop {
            let (start, end) = (self.lexer.start, self.lexer.pos);
            match token {
                Token::BraceClose => return Ok(()),
                Token::LName | Token::QString => {}
                token => return Err(self.unexpected("expected label name", token)),
            }
            let quoted = token == Token::QString;
            token = self.lexer.next();
            if quoted && matches!(token, Token::Comma | Token::BraceClose) {
                // A quoted string alone is the metric name.
                if self.name.is_some() {
                    return Err(self.whole("metric name already set"));
                }
                self.name = Some((start + 1, end - 1));
                if token == Token::BraceClose {
                    return Ok(());
                }
                token = self.lexer.next();
                continue;
            }
            let pair = self.label(token, start, end, quoted)?;
            self.pairs.push(pair);
            token = self.lexer.next();
            if token == Token::Comma {
                token = self.lexer.next();
            } else if self.lexer.dialect == Dialect::OpenMetrics && token != Token::BraceClose {
                return Err(self.unexpected("expected comma or brace close", token));
            }
        }
    }

    fn exemplar_braces(&mut self) -> Result<(), ParseError> {
        let mut token = self.lexer.next();
        loop {
            let (start, end) = (self.lexer.start, self.lexer.pos);
            match token {
                Token::BraceClose => return Ok(()),
                Token::LName | Token::QString => {}
                token => return Err(self.unexpected("expected label name", token)),
            }
            let quoted = token == Token::QString;
            token = self.lexer.next();
            if quoted && matches!(token, Token::Comma | Token::BraceClose) {
                return Err(self.unexpected("expected label name", token));
            }
            let pair = self.label(token, start, end, quoted)?;
            self.exemplar_pairs.push(pair);
            token = self.lexer.next();
            if token == Token::Comma {
                token = self.lexer.next();
            } else if token != Token::BraceClose {
                return Err(self.unexpected("expected comma or brace close", token));
            }
        }
    }

    /// The rest of a label whose name stands between `start` and `end`.
    fn label(
        &mut self,
        token: Token,
        start: usize,
        end: usize,
        quoted: bool,
    ) -> Result<Pair, ParseError> {
        if token != Token::Equal {
            return Err(self.unexpected("expected equal", token));
        }
        let token = self.lexer.next();
        if token != Token::LValue {
            return Err(self.unexpected("expected label value", token));
        }
        let value = self.lexer.token();
        if std::str::from_utf8(value).is_err() {
            let quoted = quote_bytes(value);
            return Err(ParseError::new(format!(
                "invalid UTF-8 label value: {quoted}"
            )));
        }
        let quote = usize::from(quoted);
        Ok([
            start + quote,
            end - quote,
            self.lexer.start + 1,
            self.lexer.pos - 1,
        ])
    }

    fn rest_of_line(&mut self, token: Token) -> Result<(), ParseError> {
        let Some((start, end)) = self.name else {
            return Err(self.whole("metric name not set"));
        };
        let names = self.pairs.iter().map(|p| (p[0], p[1]));
        for (start, end) in names.chain([(start, end)]) {
            let name = self.lexer.slice(start, end);
            if std::str::from_utf8(name).is_err() {
                let name = quote_bytes(name);
                let text = format!("invalid metric name or label names: {name}");
                return Err(ParseError::new(text));
            }
        }
        self.value = self.number(token, "metric")?;
        self.timestamp_ms = None;
        match self.lexer.dialect {
            Dialect::Text => self.text_timestamp(),
            Dialect::OpenMetrics => self.openmetrics_tail(),
        }
    }

    fn text_timestamp(&mut self) -> Result<(), ParseError> {
        match self.lexer.next() {
            Token::Linebreak => Ok(()),
            Token::Timestamp => {
                let Some(ms) = decimal(self.lexer.token()) else {
                    let digits = quote_bytes(self.lexer.token());
                    let cause = format!("strconv.ParseInt: parsing {digits}: value out of range");
                    return Err(self.whole(&cause));
                };
                self.timestamp_ms = Some(ms);
                match self.lexer.next() {
                    Token::Linebreak => Ok(()),
                    token => Err(self.unexpected("expected next entry after timestamp", token)),
                }
            }
            token => Err(self.unexpected("expected timestamp or new record", token)),
        }
    }

    fn openmetrics_tail(&mut self) -> Result<(), ParseError> {
        match self.lexer.next() {
            Token::Eof => Err(ParseError::new("data does not end with # EOF")),
            Token::Comment => self.exemplar_of_line(),
            Token::Timestamp => {
                self.timestamp_ms = Some(self.seconds("timestamp")?);
                match self.lexer.next() {
                    Token::Linebreak => Ok(()),
                    Token::Comment => self.exemplar_of_line(),
                    token => Err(self.unexpected("expected next entry after timestamp", token)),
                }
            }
            // Upstream accepts anything here, and stumbles at the next entry where it is no line
            // feed.
            _ => Ok(()),
        }
    }

    fn exemplar_of_line(&mut self) -> Result<(), ParseError> {
        self.exemplar_braces()?;
        let token = self.lexer.next();
        let value = self.number(token, "exemplar labels")?;
        let mut timestamp_ms = None;
        match self.lexer.next() {
            Token::Eof => return Err(ParseError::new("data does not end with # EOF")),
            Token::Linebreak => {}
            Token::Timestamp => {
                timestamp_ms = Some(self.seconds("exemplar timestamp")?);
                let token = self.lexer.next();
                if token != Token::Linebreak {
                    let expected = "expected next entry after exemplar timestamp";
                    return Err(self.unexpected(expected, token));
                }
            }
            token => return Err(self.unexpected("expected timestamp or comment", token)),
        }
        self.exemplar = Some((value, timestamp_ms));
        Ok(())
    }

    fn number(&mut self, token: Token, after: &str) -> Result<f64, ParseError> {
        if token != Token::Value {
            return Err(self.unexpected(&format!("expected value after {after}"), token));
        }
        let text = self.lexer.token();
        let text = text.strip_prefix(b" ").unwrap_or(text);
        sample_value(text).map_err(|error| self.whole(&error))
    }

    /// OpenMetrics' timestamps are seconds.
    fn seconds(&mut self, what: &str) -> Result<i64, ParseError> {
        let text = self.lexer.token();
        let text = text.strip_prefix(b" ").unwrap_or(text);
        let seconds = sample_value(text).map_err(|error| self.whole(&error))?;
        if !seconds.is_finite() {
            let text = golang::strconv::format_float(seconds, 'f', 6, 64);
            return Err(ParseError::new(format!("invalid {what} {text}")));
        }
        Ok((seconds * 1000.0) as i64)
    }

    /// `expected ..., got "..." ("TOKEN") while parsing: "..."`, with the byte that was one too many.
    #[cold]
    fn unexpected(&self, expected: &str, token: Token) -> ParseError {
        let end = (self.lexer.pos + 1).min(self.lexer.end());
        ParseError::new(format!(
            "{expected}, got {} ({}) while parsing: {}",
            self.quoted(self.lexer.start, end),
            quote(token.as_str()),
            self.quoted(self.start, end)
        ))
    }

    #[cold]
    fn whole(&self, cause: &str) -> ParseError {
        let line = self.quoted(self.start, self.lexer.pos);
        ParseError::new(format!("{cause} while parsing: {line}"))
    }

    fn quoted(&self, start: usize, end: usize) -> String {
        let mut bytes = self.lexer.slice(start, end).to_vec();
        if end > self.lexer.input.len() {
            // The line feed behind the end.
            bytes.push(b'\n');
        }
        quote_bytes(&bytes)
    }

    pub(super) fn series(&self) -> &'a [u8] {
        self.lexer.slice(self.start, self.series_end)
    }

    pub(super) fn value(&self) -> f64 {
        self.value
    }

    pub(super) fn timestamp_ms(&self) -> Option<i64> {
        self.timestamp_ms
    }

    pub(super) fn kind(&self) -> MetricType {
        self.kind
    }

    pub(super) fn comment(&self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.text)
    }

    pub(super) fn metadata_name(&self) -> Cow<'a, str> {
        let (start, end) = self.name.unwrap_or_default();
        unescape(String::from_utf8_lossy(self.lexer.slice(start, end)), true)
    }

    pub(super) fn help(&self) -> Cow<'a, str> {
        let text = String::from_utf8_lossy(self.text);
        unescape(text, self.lexer.dialect == Dialect::OpenMetrics)
    }

    pub(super) fn unit(&self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.text)
    }

    /// Reads the labels of a line that was cut only.
    fn cut(&mut self) {
        if !self.uncut {
            return;
        }
        self.uncut = false;
        let mut lexer = Lexer::new(self.lexer.input, self.lexer.dialect);
        lexer.pos = self.start;
        std::mem::swap(&mut lexer, &mut self.lexer);
        self.name = None;
        self.pairs.clear();
        if self.lexer.next() == Token::MName {
            self.name = Some((self.lexer.start, self.lexer.pos));
            self.lexer.next();
        }
        if self.series_end > self.lexer.start && self.lexer.state == State::Labels {
            // The line was checked when it became known.
            let _ = self.braces();
        }
        std::mem::swap(&mut lexer, &mut self.lexer);
    }

    pub(super) fn labels(&mut self, out: &mut LabelBuf) {
        self.look_at_skipped();
        self.cut();
        out.clear();
        let (start, end) = self.name.unwrap_or_default();
        out.push(METRIC_NAME, &self.unescaped(start, end));
        let kind = (self.options.type_and_unit_labels && self.kind != MetricType::Unknown)
            .then_some(self.kind.as_str());
        let unit = (self.options.type_and_unit_labels && !self.unit.is_empty())
            .then(|| String::from_utf8_lossy(self.unit));
        if let Some(kind) = kind {
            out.push(TYPE_LABEL, kind);
        }
        if let Some(unit) = &unit {
            out.push(UNIT_LABEL, unit);
        }
        for [a, b, c, d] in &self.pairs {
            let name = self.unescaped(*a, *b);
            if (kind.is_some() && name == TYPE_LABEL) || (unit.is_some() && name == UNIT_LABEL) {
                continue;
            }
            let value = self.unescaped(*c, *d);
            out.push(&name, &normalized(self.kind, &name, value));
        }
        out.sort();
    }

    fn unescaped(&self, start: usize, end: usize) -> Cow<'a, str> {
        unescape(String::from_utf8_lossy(self.lexer.slice(start, end)), true)
    }

    /// The exemplar of the line: its labels go to `out`.
    pub(super) fn exemplar(&mut self, out: &mut LabelBuf) -> Option<(f64, Option<i64>)> {
        let exemplar = self.exemplar.take()?;
        out.clear();
        for [a, b, c, d] in &self.exemplar_pairs {
            out.push(&self.unescaped(*a, *b), &self.unescaped(*c, *d));
        }
        out.sort();
        Some(exemplar)
    }

    fn has_start(&self) -> bool {
        matches!(
            self.kind,
            MetricType::Counter | MetricType::Summary | MetricType::Histogram
        )
    }

    fn is_created(&self) -> bool {
        let (start, end) = self.name.unwrap_or_default();
        self.has_start() && self.lexer.slice(start, end).ends_with(b"_created")
    }

    /// The start timestamp of the current series, 0 if unknown: from the `_created` line of the same
    /// labels, which stands behind the other lines of the metric.
    pub(super) fn start_ms(&mut self) -> i64 {
        self.look_at_skipped();
        if !self.has_start() || self.lexer.dialect == Dialect::Text {
            return 0;
        }
        // Who asks once takes the `_created` lines for answers, as upstream.
        self.options.start_timestamps = true;
        if self.lexer.pos < self.no_created_before {
            return 0;
        }
        self.cut();
        let (start, end) = self.name.unwrap_or_default();
        let name = self.lexer.slice(start, end);
        let key = self.metric_key(&name[..name.len().min(self.family.len())]);
        if key == self.start_key && self.start_ms > 0 {
            return self.start_ms;
        }
        self.start_key = key;
        self.start_ms = self.find_created();
        self.start_ms
    }

    /// Looks ahead for the `_created` line of the current series, up to the next family.
    fn find_created(&mut self) -> i64 {
        let mut ahead =
            LineParser::new(self.lexer.input, self.lexer.dialect, LineOptions::default());
        ahead.lexer = self.lexer.clone();
        ahead.kind = self.kind;
        while let Ok(Some(Entry::Series)) = ahead.next_checked() {
            let (start, end) = ahead.name.unwrap_or_default();
            let Some(name) = ahead.lexer.slice(start, end).strip_suffix(b"_created") else {
                continue;
            };
            return if ahead.metric_key(name) == self.start_key {
                (ahead.value * 1000.0) as i64
            } else {
                0
            };
        }
        self.no_created_before = ahead.lexer.pos;
        0
    }

    /// What the series of one metric have in common.
    fn metric_key(&self, name: &[u8]) -> Vec<u8> {
        let mut key = Vec::with_capacity(128);
        for [a, b, c, d] in &self.pairs {
            let label = self.lexer.slice(*a, *b);
            let varies = match self.kind {
                MetricType::Summary => QUANTILE_LABEL,
                MetricType::Histogram => BUCKET_LABEL,
                _ => "",
            };
            if label != varies.as_bytes() {
                key.extend_from_slice(label);
                key.push(0xff);
                key.extend_from_slice(self.lexer.slice(*c, *d));
                key.push(0xff);
            }
        }
        key.extend_from_slice(name);
        key
    }
}

#[inline]
fn last_blank(bytes: &[u8]) -> Option<usize> {
    memrchr2(b' ', b'\t', bytes)
}

/// A number of digits only, within the range of timestamps.
#[inline]
fn decimal(digits: &[u8]) -> Option<i64> {
    if digits.is_empty() {
        return None;
    }
    let mut number = 0i64;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number.checked_mul(10)?.checked_add(i64::from(digit))?;
    }
    Some(number)
}

/// Resolves `\\`, `\n` and, with `quotes`, `\"`; other backslashes stay.
fn unescape(text: Cow<'_, str>, quotes: bool) -> Cow<'_, str> {
    if memchr(b'\\', text.as_bytes()).is_none() {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let resolved = match (c, chars.peek()) {
            ('\\', Some('\\')) => '\\',
            ('\\', Some('n')) => '\n',
            ('\\', Some('"')) if quotes => '"',
            (c, _) => {
                out.push(c);
                continue;
            }
        };
        out.push(resolved);
        chars.next();
    }
    Cow::Owned(out)
}

/// Bounds of buckets and quantiles in OpenMetrics' form, so that they are the same series in whichever
/// format they were scraped.
fn normalized<'v>(kind: MetricType, name: &str, value: Cow<'v, str>) -> Cow<'v, str> {
    match (kind, name) {
        (MetricType::Histogram, BUCKET_LABEL) | (MetricType::Summary, QUANTILE_LABEL) => {}
        _ => return value,
    }
    match parse_float(&value) {
        Ok(number) => Cow::Owned(openmetrics_float(number)),
        Err(_) => value,
    }
}

/// A float as OpenMetrics prints it: never without a point or an exponent.
pub(super) fn openmetrics_float(number: f64) -> String {
    let mut text = String::with_capacity(24);
    append_float(
        &mut text,
        if number == 0.0 { 0.0 } else { number },
        'g',
        -1,
        64,
    );
    if number.is_finite() && !text.contains(['.', 'e']) {
        text.push_str(".0");
    }
    text
}
