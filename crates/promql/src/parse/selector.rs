//! Selectors, label matchers, metrics and grouping labels.

use model::labels::METRIC_NAME;
use model::{Labels, LabelsBuilder, MatchKind, Matcher};

use super::{Parsed, Parser};
use crate::ast::{BinaryOp, VectorSelector};
use crate::lex::{Kind, Token};

impl Parser<'_> {
    /// A selector that begins with its name, which has been accepted.
    pub(super) fn named_selector(&mut self, name: Token) -> Parsed<VectorSelector> {
        let mut selector = VectorSelector {
            name: self.text(name).to_owned(),
            pos: name.pos(),
            ..VectorSelector::default()
        };
        if self.peek() == Kind::LeftBrace {
            self.label_matchers(&mut selector)?;
            selector.pos.start = name.start;
        }
        let matcher = Matcher::equal(METRIC_NAME, selector.name.as_str());
        selector.matchers.push(matcher);
        Ok(selector)
    }

    /// `{...}`: fills in matchers and position.
    pub(super) fn label_matchers(&mut self, selector: &mut VectorSelector) -> Parsed<()> {
        let open = self.advance();
        let mut close = self.matcher_or_brace(&mut selector.matchers)?;
        while close.is_none() {
            match self.peek() {
                Kind::RightBrace => close = Some(self.advance()),
                Kind::Comma => {
                    self.advance();
                    close = self.matcher_or_brace(&mut selector.matchers)?;
                }
                _ => {
                    if let Err(stop) = self.syntax_error() {
                        self.recover(stop, "label matching", "\",\" or \"}\"")?;
                    }
                }
            }
        }
        selector.pos = open.pos().to(close.unwrap_or(open).pos());
        Ok(())
    }

    /// The next matcher, or the closing brace.
    fn matcher_or_brace(&mut self, matchers: &mut Vec<Matcher>) -> Parsed<Option<Token>> {
        loop {
            match self.peek() {
                Kind::RightBrace => return Ok(Some(self.advance())),
                Kind::Identifier | Kind::String => {
                    matchers.extend(self.matcher()?);
                    return Ok(None);
                }
                _ => {
                    if let Err(stop) = self.syntax_error() {
                        self.recover(stop, "label matching", "identifier or \"}\"")?;
                        return Ok(None);
                    }
                }
            }
        }
    }

    fn matcher(&mut self) -> Parsed<Option<Matcher>> {
        let label = self.advance();
        let quoted_name = (label.kind == Kind::String).then(|| self.unquote(label));
        let kind = loop {
            match self.peek() {
                Kind::Eql => break MatchKind::Equal,
                Kind::Op(BinaryOp::Neq) => break MatchKind::NotEqual,
                Kind::EqlRegex => break MatchKind::Regexp,
                Kind::NeqRegex => break MatchKind::NotRegexp,
                _ => match &quoted_name {
                    Some(name) => return Ok(Some(Matcher::equal(METRIC_NAME, name.as_str()))),
                    None => {
                        if let Err(stop) = self.syntax_error() {
                            self.recover(stop, "label matching", "label matching operator")?;
                            return Ok(None);
                        }
                    }
                },
            }
        };
        self.advance();
        while self.peek() != Kind::String {
            if let Err(stop) = self.syntax_error() {
                self.recover(stop, "label matching", "string")?;
                return Ok(None);
            }
        }
        let value_token = self.advance();
        let value = self.unquote(value_token);
        let name = match &quoted_name {
            Some(name) => name.as_str(),
            None => self.text(label),
        };
        let is_regexp = matches!(kind, MatchKind::Regexp | MatchKind::NotRegexp);
        let matcher = if is_regexp && closes_more_than_it_opens(&value) {
            // `a)|(b` is no pattern, though it becomes one between the anchors' parentheses.
            golang::regexp::Regexp::new(&value)
                .and_then(|_| Matcher::new(kind, name, value.as_str()))
        } else {
            Matcher::new(kind, name, value.as_str())
        };
        match matcher {
            Ok(matcher) => Ok(Some(matcher)),
            Err(error) => {
                // The message is about the pattern as written, without the anchors around it.
                let error = golang::regexp::Regexp::new(&value).err().unwrap_or(error);
                self.error(label.pos().to(value_token.pos()), error.to_string());
                Ok(None)
            }
        }
    }

    /// A selector and nothing else.
    pub(super) fn vector_selector_only(&mut self) -> Parsed<VectorSelector> {
        loop {
            let kind = self.peek();
            if kind == Kind::LeftBrace {
                let mut selector = VectorSelector::default();
                self.label_matchers(&mut selector)?;
                return Ok(selector);
            }
            if is_metric_identifier(kind) {
                let name = self.advance();
                return self.named_selector(name);
            }
            self.syntax_error()?;
        }
    }

    /// The text of a string token without quotes and escapes.
    pub(super) fn unquote(&mut self, token: Token) -> String {
        let text = self.text(token);
        match golang::strconv::unquote_any(text) {
            Ok(unquoted) => unquoted,
            Err(error) => {
                let message = format!(
                    "error unquoting string {}: {error}",
                    golang::strconv::quote(text)
                );
                self.error(self.last.pos(), message);
                String::new()
            }
        }
    }

    /// A metric: name and labels, either of which may be missing.
    pub(super) fn metric(&mut self) -> Parsed<Labels> {
        let kind = self.peek();
        if is_metric_identifier(kind) {
            let name = self.advance();
            let mut labels = LabelsBuilder::new(self.label_set()?);
            labels.set(METRIC_NAME, self.text(name));
            return Ok(labels.build());
        }
        self.label_set()
    }

    fn label_set(&mut self) -> Parsed<Labels> {
        if self.peek() != Kind::LeftBrace {
            return Ok(Labels::empty());
        }
        self.advance();
        let mut pairs = Vec::new();
        let mut closed = self.label_or_brace(&mut pairs)?;
        while !closed {
            match self.peek() {
                Kind::RightBrace => {
                    self.advance();
                    closed = true;
                }
                Kind::Comma => {
                    self.advance();
                    closed = self.label_or_brace(&mut pairs)?;
                }
                _ => {
                    if let Err(stop) = self.syntax_error() {
                        self.recover(stop, "label set", "\",\" or \"}\"")?;
                    }
                }
            }
        }
        Ok(Labels::from_pairs(pairs))
    }

    fn label_or_brace(&mut self, pairs: &mut Vec<(String, String)>) -> Parsed<bool> {
        loop {
            match self.peek() {
                Kind::RightBrace => {
                    self.advance();
                    return Ok(true);
                }
                Kind::Identifier | Kind::String => {
                    pairs.extend(self.label()?);
                    return Ok(false);
                }
                _ => {
                    if let Err(stop) = self.syntax_error() {
                        self.recover(stop, "label set", "identifier or \"}\"")?;
                        return Ok(false);
                    }
                }
            }
        }
    }

    fn label(&mut self) -> Parsed<Option<(String, String)>> {
        let token = self.advance();
        let is_quoted = token.kind == Kind::String;
        let name = if is_quoted {
            self.unquote(token)
        } else {
            self.text(token).to_owned()
        };
        while self.peek() != Kind::Eql {
            if is_quoted {
                return Ok(Some((METRIC_NAME.to_owned(), name)));
            }
            if let Err(stop) = self.syntax_error() {
                self.recover(stop, "label set", "\"=\"")?;
                return Ok(None);
            }
        }
        self.advance();
        while self.peek() != Kind::String {
            if let Err(stop) = self.syntax_error() {
                self.recover(stop, "label set", "string")?;
                return Ok(None);
            }
        }
        let value = self.advance();
        Ok(Some((name, self.unquote(value))))
    }

    /// `(a, b)` after `by`, `on` and their like.
    pub(super) fn grouping_labels(&mut self) -> Parsed<Vec<String>> {
        while self.peek() != Kind::LeftParen {
            if let Err(stop) = self.syntax_error() {
                self.recover(stop, "grouping opts", "\"(\"")?;
                return Ok(Vec::new());
            }
        }
        self.advance();
        let mut labels = Vec::new();
        let mut closed = self.grouping_label_or_paren(&mut labels)?;
        while !closed {
            match self.peek() {
                Kind::RightParen => {
                    self.advance();
                    closed = true;
                }
                Kind::Comma => {
                    self.advance();
                    closed = self.grouping_label_or_paren(&mut labels)?;
                }
                _ => {
                    if let Err(stop) = self.syntax_error() {
                        self.recover(stop, "grouping opts", "\",\" or \")\"")?;
                    }
                }
            }
        }
        Ok(labels)
    }

    fn grouping_label_or_paren(&mut self, labels: &mut Vec<String>) -> Parsed<bool> {
        loop {
            let kind = self.peek();
            if kind == Kind::RightParen {
                self.advance();
                return Ok(true);
            }
            if kind == Kind::String || is_label_word(kind) {
                let token = self.advance();
                let label = if kind == Kind::String {
                    self.unquote(token)
                } else {
                    self.text(token).to_owned()
                };
                if label.is_empty() {
                    self.error(token.pos(), "invalid label name for grouping: \"\"");
                }
                labels.push(label);
                return Ok(false);
            }
            if let Err(stop) = self.syntax_error() {
                self.recover(stop, "grouping opts", "label")?;
                return Ok(false);
            }
        }
    }
}

/// Whether some closing parenthesis of a pattern has no opening one before it. Character classes
/// are not looked into: a wrong yes costs a second compilation only.
fn closes_more_than_it_opens(pattern: &str) -> bool {
    let mut depth = 0i32;
    let mut bytes = pattern.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => {
                bytes.next();
            }
            b'(' => depth += 1,
            b')' => depth -= 1,
            _ => {}
        }
        if depth < 0 {
            return true;
        }
    }
    false
}

/// Whether a token can be a metric name: identifiers, and the keywords that may be names too.
pub(super) fn is_metric_identifier(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Identifier
            | Kind::MetricIdentifier
            | Kind::Aggregate(_)
            | Kind::By
            | Kind::Without
            | Kind::Fill
            | Kind::FillLeft
            | Kind::FillRight
            | Kind::Offset
            | Kind::Anchored
            | Kind::Smoothed
            | Kind::Start
            | Kind::EndFn
            | Kind::Step
            | Kind::Range
            | Kind::MaxOf
            | Kind::MinOf
            | Kind::Op(BinaryOp::And | BinaryOp::Or | BinaryOp::Unless)
    )
}

/// Whether a token can be a label name in `by (...)`: more keywords than metric names, except that
/// upstream forgot `without`.
fn is_label_word(kind: Kind) -> bool {
    (is_metric_identifier(kind) && kind != Kind::Without)
        || matches!(
            kind,
            Kind::Bool
                | Kind::GroupLeft
                | Kind::GroupRight
                | Kind::Ignoring
                | Kind::On
                | Kind::Op(BinaryOp::Atan2)
        )
}
