//! The states of series descriptions: value sequences and histogram literals.

use golang::strconv::quote_rune;

use super::token::keyword;
use super::{
    HistKey, HistogramState, Kind, Lexer, ResetHint, State, Token, is_alpha, is_space, quoted,
};
use crate::ast::BinaryOp;

impl Lexer<'_> {
    pub(super) fn value_sequence(&mut self) -> Option<Token> {
        if self.histogram != HistogramState::None {
            self.state = State::Histogram;
            return None;
        }
        let Some(byte) = self.peek() else {
            self.state = State::Statements;
            return None;
        };
        match byte {
            b'{' if self.peek_at(1) == Some(b'{') => {
                self.histogram = HistogramState::Open;
                self.state = State::Histogram;
                self.take(2, Kind::OpenHist)
            }
            _ if is_space(byte) => self.space(),
            b'+' => self.take(1, Kind::Op(BinaryOp::Add)),
            b'-' => self.take(1, Kind::Op(BinaryOp::Sub)),
            b'x' => self.take(1, Kind::Times),
            b'_' => self.take(1, Kind::Blank),
            _ if byte.is_ascii_digit()
                || (byte == b'.' && self.peek_at(1).is_some_and(|b| b.is_ascii_digit())) =>
            {
                let token = self.number();
                if self.state != State::Done {
                    self.state = State::ValueSequence;
                }
                token
            }
            _ if is_alpha(byte) => self.keyword_or_identifier(),
            _ => self.fail_at("unexpected character in series sequence:", ""),
        }
    }

    /// A run of blanks as one token, which spans the first of them.
    fn space(&mut self) -> Option<Token> {
        let token = self.take(1, Kind::Space);
        self.skip_spaces();
        token
    }

    pub(super) fn histogram(&mut self) -> Option<Token> {
        let after_close = match self.histogram {
            HistogramState::Mul => Some(Kind::Times),
            HistogramState::Add => Some(Kind::Op(BinaryOp::Add)),
            HistogramState::Sub => Some(Kind::Op(BinaryOp::Sub)),
            HistogramState::None | HistogramState::Open => None,
        };
        if let Some(kind) = after_close {
            self.histogram = HistogramState::None;
            self.state = State::ValueSequence;
            return self.take(1, kind);
        }
        if self.bracket_open {
            self.state = State::Buckets;
            return None;
        }
        let Some(byte) = self.peek() else {
            return self.fail("histogram description incomplete unexpected: '\u{fffd}'");
        };
        match byte {
            _ if is_space(byte) => {
                self.state = State::Statements;
                self.space()
            }
            _ if is_alpha(byte) => self.histogram_word(),
            b':' => self.take(1, Kind::Colon),
            b'-' => self.take(1, Kind::Op(BinaryOp::Sub)),
            _ if byte.is_ascii_digit() => self.number(),
            b'[' => {
                self.bracket_open = true;
                self.got_colon = false;
                self.got_duration = false;
                self.state = State::Buckets;
                self.take(1, Kind::LeftBracket)
            }
            b'}' if self.peek_at(1) == Some(b'}') => {
                let token = self.take(2, Kind::CloseHist);
                self.histogram = match self.peek() {
                    Some(b'x') => HistogramState::Mul,
                    Some(b'+') => HistogramState::Add,
                    Some(b'-') => HistogramState::Sub,
                    _ => HistogramState::None,
                };
                self.state = if self.histogram == HistogramState::None {
                    State::ValueSequence
                } else {
                    State::Histogram
                };
                token
            }
            _ => self.fail_at("histogram description incomplete unexpected:", ""),
        }
    }

    fn histogram_word(&mut self) -> Option<Token> {
        while self.peek().is_some_and(is_alpha) {
            self.pos += 1;
        }
        let word = &self.input[self.start..self.pos];
        let lower = String::from_utf8_lossy(word).to_ascii_lowercase();
        if let Some(key) = HistKey::parse(&lower) {
            if self.peek() == Some(b':') {
                return Some(self.emit(Kind::HistKey(key)));
            }
            return self.fail("missing `:` for histogram descriptor");
        }
        if keyword(word) == Some(Kind::Number) {
            return Some(self.emit(Kind::Number));
        }
        let hint = match lower.as_str() {
            "unknown" => ResetHint::Unknown,
            "reset" => ResetHint::Reset,
            "not_reset" => ResetHint::NotReset,
            "gauge" => ResetHint::Gauge,
            _ => {
                let message = format!("bad histogram descriptor found: {}", quoted(word));
                return self.fail(message);
            }
        };
        Some(self.emit(Kind::ResetHint(hint)))
    }

    pub(super) fn buckets(&mut self) -> Option<Token> {
        let Some(byte) = self.peek() else {
            return self.fail("invalid character in buckets description: '\u{fffd}'");
        };
        match byte {
            _ if is_space(byte) => {
                self.state = State::Statements;
                self.space()
            }
            b'-' => {
                self.state = State::Number;
                self.take(1, Kind::Op(BinaryOp::Sub))
            }
            _ if byte.is_ascii_digit() => self.number(),
            b']' => {
                self.bracket_open = false;
                self.state = State::Histogram;
                self.take(1, Kind::RightBracket)
            }
            // Letters are gathered until they are `inf` or `nan`.
            _ if is_alpha(byte) => {
                self.pos += 1;
                if keyword(&self.input[self.start..self.pos]) == Some(Kind::Number) {
                    self.state = State::Statements;
                    return Some(self.emit(Kind::Number));
                }
                None
            }
            _ => {
                let (c, _) = self.decode(self.pos);
                self.fail(format!(
                    "invalid character in buckets description: {}",
                    quote_rune(c)
                ))
            }
        }
    }
}
