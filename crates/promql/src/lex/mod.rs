//! The lexer: a state machine over bytes that yields one token at a time
//! (prometheus/prometheus `promql/parser/lex.go`).
//!
//! Inside brackets and braces, and in series descriptions, other tokens exist than outside; the
//! states keep upstream's odd corners (after the first number in brackets the statement state goes
//! on), because they decide which message an error gets.

mod number;
mod series;
mod token;

#[cfg(test)]
mod tests;

use golang::strconv::{quote, quote_rune};

pub use token::{HistKey, Kind, ResetHint, Token, describe};
use token::{duration_keyword, keyword};

/// The state that the next call goes on in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Statements,
    InsideBraces,
    DurationExpr,
    ValueSequence,
    Histogram,
    Buckets,
    /// A number has to follow.
    Number,
    /// The input is used up, or was in error.
    Done,
}

/// What follows a histogram literal in a series description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HistogramState {
    None,
    Open,
    Mul,
    Add,
    Sub,
}

/// A lexer over one input, which may be any bytes.
#[derive(Debug)]
pub struct Lexer<'a> {
    input: &'a [u8],
    pos: usize,
    /// Where the token that is being scanned starts; after an error, where the message points.
    start: usize,
    state: State,
    paren_depth: i32,
    brace_open: bool,
    bracket_open: bool,
    got_colon: bool,
    got_duration: bool,
    series: bool,
    histogram: HistogramState,
    /// Where the most recent token starts.
    last_pos: usize,
    error: String,
}

impl<'a> Lexer<'a> {
    /// A lexer for expressions, metrics and selectors.
    pub fn new(input: &'a [u8]) -> Lexer<'a> {
        Lexer {
            input,
            pos: 0,
            start: 0,
            state: State::Statements,
            paren_depth: 0,
            brace_open: false,
            bracket_open: false,
            got_colon: false,
            got_duration: false,
            series: false,
            histogram: HistogramState::None,
            last_pos: 0,
            error: String::new(),
        }
    }

    /// A lexer for series descriptions.
    pub fn for_series(input: &'a [u8]) -> Lexer<'a> {
        Lexer {
            series: true,
            ..Lexer::new(input)
        }
    }

    /// The next token, comments included. After the end it is [`Kind::Eof`] again and again; after
    /// an error nothing more should be asked for.
    pub fn next_token(&mut self) -> Token {
        let token = loop {
            let scanned = match self.state {
                State::Statements => self.statements(),
                State::InsideBraces => self.inside_braces(),
                State::DurationExpr => self.duration_expr(),
                State::ValueSequence => self.value_sequence(),
                State::Histogram => self.histogram(),
                State::Buckets => self.buckets(),
                State::Number => self.number(),
                State::Done => Some(self.emit(Kind::Eof)),
            };
            if let Some(token) = scanned {
                break token;
            }
        };
        self.last_pos = token.start as usize;
        token
    }

    /// Where an error's message points: the start of the token that could not be scanned.
    pub fn error_start(&self) -> u32 {
        self.start as u32
    }

    /// The message of the [`Kind::Error`] token.
    pub fn error_message(&self) -> &str {
        &self.error
    }

    /// The text of a token. Tokens are valid UTF-8, except for comments and what was not read.
    pub fn text(&self, token: Token) -> &'a str {
        let bytes = self
            .input
            .get(token.start as usize..token.end as usize)
            .unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }

    /// The end of the right parenthesis before the most recent token, if that token is one itself
    /// and only blanks are between; otherwise `fallback`. For positions of nodes whose end was
    /// passed while looking ahead.
    pub fn previous_right_paren(&self, fallback: u32) -> u32 {
        if fallback == 0
            || fallback as usize > self.input.len()
            || self.last_pos == 0
            || self.input.get(self.last_pos) != Some(&b')')
        {
            return fallback;
        }
        let before = &self.input[..self.last_pos];
        match before.iter().rposition(|b| !is_space(*b)) {
            Some(at) if at > 0 && before[at] == b')' => at as u32 + 1,
            _ => fallback,
        }
    }

    fn peek(&self) -> Option<u8> {
        self.input.get(self.pos).copied()
    }

    fn peek_at(&self, ahead: usize) -> Option<u8> {
        self.input.get(self.pos + ahead).copied()
    }

    /// The character at `at` as Go decodes it, and its length: bytes that are not UTF-8 are
    /// replacement characters of length one.
    fn decode(&self, at: usize) -> (char, usize) {
        let rest = self.input.get(at..).unwrap_or_default();
        let head = &rest[..rest.len().min(4)];
        let valid = match std::str::from_utf8(head) {
            Ok(text) => text,
            Err(error) => std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default(),
        };
        match valid.chars().next() {
            Some(c) => (c, c.len_utf8()),
            None => (char::REPLACEMENT_CHARACTER, 1),
        }
    }

    fn emit(&mut self, kind: Kind) -> Token {
        let token = Token {
            kind,
            start: self.start as u32,
            end: self.pos as u32,
        };
        self.start = self.pos;
        token
    }

    /// Moves on by `len` bytes and emits them.
    fn take(&mut self, len: usize, kind: Kind) -> Option<Token> {
        self.pos += len;
        Some(self.emit(kind))
    }

    fn fail(&mut self, message: impl Into<String>) -> Option<Token> {
        self.error = message.into();
        self.state = State::Done;
        Some(Token {
            kind: Kind::Error,
            start: self.start as u32,
            end: self.pos as u32,
        })
    }

    /// The character at the current position was not expected; it counts as read.
    fn fail_at(&mut self, what: &str, suffix: &str) -> Option<Token> {
        let (c, len) = self.decode(self.pos);
        self.pos = (self.pos + len).min(self.input.len());
        self.fail(format!("{what} {}{suffix}", quote_rune(c)))
    }

    fn skip_spaces(&mut self) {
        while self.peek().is_some_and(is_space) {
            self.pos += 1;
        }
        self.start = self.pos;
    }

    fn line_comment(&mut self) -> Option<Token> {
        let rest = &self.input[self.pos..];
        let len = rest
            .iter()
            .position(|b| matches!(b, b'\r' | b'\n'))
            .unwrap_or(rest.len());
        self.state = State::Statements;
        self.take(len, Kind::Comment)
    }

    fn statements(&mut self) -> Option<Token> {
        use crate::ast::BinaryOp::*;
        if self.histogram != HistogramState::None {
            self.state = State::Histogram;
            return None;
        }
        if self.brace_open {
            self.state = State::InsideBraces;
            return None;
        }
        let Some(byte) = self.peek() else {
            if self.paren_depth != 0 {
                return self.fail("unclosed left parenthesis");
            }
            if self.bracket_open {
                return self.fail("unclosed left bracket");
            }
            self.state = State::Done;
            return Some(self.emit(Kind::Eof));
        };
        match byte {
            b'#' => self.line_comment(),
            b',' => self.take(1, Kind::Comma),
            b' ' | b'\t' | b'\n' | b'\r' => {
                self.skip_spaces();
                None
            }
            b'*' => self.take(1, Kind::Op(Mul)),
            b'/' => self.take(1, Kind::Op(Div)),
            b'%' => self.take(1, Kind::Op(Mod)),
            b'+' => self.take(1, Kind::Op(Add)),
            b'-' => self.take(1, Kind::Op(Sub)),
            b'^' => self.take(1, Kind::Op(Pow)),
            b'=' => match self.peek_at(1) {
                Some(b'=') => self.take(2, Kind::Op(Eql)),
                Some(b'~') => {
                    self.pos += 1;
                    self.fail("unexpected character after '=': '~'")
                }
                _ => self.take(1, Kind::Eql),
            },
            b'!' => match self.peek_at(1) {
                Some(b'=') => self.take(2, Kind::Op(Neq)),
                after => self.fail_after_bang("unexpected character after '!':", after),
            },
            b'<' => match self.peek_at(1) {
                Some(b'=') => self.take(2, Kind::Op(Lte)),
                Some(b'/') => self.take(2, Kind::Op(TrimUpper)),
                _ => self.take(1, Kind::Op(Lss)),
            },
            b'>' => match self.peek_at(1) {
                Some(b'=') => self.take(2, Kind::Op(Gte)),
                Some(b'/') => self.take(2, Kind::Op(TrimLower)),
                _ => self.take(1, Kind::Op(Gtr)),
            },
            b'0'..=b'9' => self.number_or_duration(),
            b'.' if self.peek_at(1).is_some_and(|b| b.is_ascii_digit()) => {
                self.number_or_duration()
            }
            b'"' | b'\'' => self.string(byte),
            b'`' => self.raw_string(),
            b'_' | b':' | b'a'..=b'z' | b'A'..=b'Z' => {
                if self.bracket_open {
                    self.word_in_brackets(byte)
                } else {
                    self.keyword_or_identifier()
                }
            }
            b'(' => {
                self.paren_depth += 1;
                self.take(1, Kind::LeftParen)
            }
            b')' => self.right_paren(),
            b'{' => {
                self.brace_open = true;
                self.state = State::InsideBraces;
                self.take(1, Kind::LeftBrace)
            }
            b'[' => {
                if self.bracket_open {
                    return self.fail_at("unexpected left bracket", "");
                }
                self.got_colon = false;
                let token = self.take(1, Kind::LeftBracket);
                if self.peek().is_some_and(is_space) {
                    self.skip_spaces();
                }
                self.bracket_open = true;
                self.state = State::DurationExpr;
                token
            }
            b']' => {
                if !self.bracket_open {
                    return self.fail_at("unexpected right bracket", "");
                }
                self.bracket_open = false;
                self.take(1, Kind::RightBracket)
            }
            b'@' => self.take(1, Kind::At),
            _ => self.fail_at("unexpected character:", ""),
        }
    }

    fn fail_after_bang(&mut self, what: &str, after: Option<u8>) -> Option<Token> {
        self.pos += 1;
        match after {
            Some(_) => self.fail_at(what, ""),
            // Go prints its end-of-file mark, -1, as the replacement character.
            None => self.fail(format!("{what} '\u{fffd}'")),
        }
    }

    fn right_paren(&mut self) -> Option<Token> {
        self.paren_depth -= 1;
        let token = self.take(1, Kind::RightParen);
        if self.paren_depth < 0 {
            return self.fail("unexpected right parenthesis ')'");
        }
        token
    }

    /// A word between brackets, after the first number there.
    fn word_in_brackets(&mut self, first: u8) -> Option<Token> {
        if first == b':' {
            if self.got_colon {
                return self.fail_at("unexpected colon", "");
            }
            self.got_colon = true;
            return self.take(1, Kind::Colon);
        }
        self.pos += 1;
        if starts_duration_keyword(first)
            && let Some(kind) = self.scan_duration_keyword()
        {
            return Some(self.emit(kind));
        }
        self.fail(format!(
            "unexpected character: {}, expected ':'",
            quote_rune(first as char)
        ))
    }

    /// Reads the rest of a word whose first letter has been read.
    fn scan_duration_keyword(&mut self) -> Option<Kind> {
        while self.peek().is_some_and(is_alpha) {
            self.pos += 1;
        }
        duration_keyword(&self.input[self.start..self.pos])
    }

    fn duration_expr(&mut self) -> Option<Token> {
        use crate::ast::BinaryOp::*;
        const CONTEXT: &str = "unexpected character in duration expression:";
        let Some(byte) = self.peek() else {
            return self.fail("unexpected end of input in duration expression");
        };
        match byte {
            b']' => {
                self.bracket_open = false;
                self.got_colon = false;
                self.state = State::Statements;
                self.take(1, Kind::RightBracket)
            }
            b':' => {
                let token = self.take(1, Kind::Colon);
                if !self.got_duration {
                    return self.fail("unexpected colon before duration in duration expression");
                }
                if self.got_colon {
                    return self.fail("unexpected repeated colon in duration expression");
                }
                self.got_colon = true;
                token
            }
            b'(' => {
                self.paren_depth += 1;
                self.take(1, Kind::LeftParen)
            }
            b')' => self.right_paren(),
            b' ' | b'\t' | b'\n' | b'\r' => {
                self.skip_spaces();
                None
            }
            b'+' => self.take(1, Kind::Op(Add)),
            b'-' => self.take(1, Kind::Op(Sub)),
            b'*' => self.take(1, Kind::Op(Mul)),
            b'/' => self.take(1, Kind::Op(Div)),
            b'%' => self.take(1, Kind::Op(Mod)),
            b'^' => self.take(1, Kind::Op(Pow)),
            b',' => self.take(1, Kind::Comma),
            _ if starts_duration_keyword(byte) => {
                self.pos += 1;
                match self.scan_duration_keyword() {
                    Some(kind) => Some(self.emit(kind)),
                    None => self.fail(format!("{CONTEXT} {}", quote_rune(byte as char))),
                }
            }
            _ if byte.is_ascii_digit()
                || (byte == b'.' && self.peek_at(1).is_some_and(|b| b.is_ascii_digit())) =>
            {
                self.got_duration = true;
                self.number_or_duration()
            }
            _ => self.fail_at(CONTEXT, ""),
        }
    }

    fn inside_braces(&mut self) -> Option<Token> {
        let Some(byte) = self.peek() else {
            return self.fail("unexpected end of input inside braces");
        };
        match byte {
            b'#' => self.line_comment(),
            b' ' | b'\t' | b'\n' | b'\r' => {
                self.skip_spaces();
                None
            }
            _ if is_alpha(byte) => {
                let rest = &self.input[self.pos..];
                let len = rest.iter().position(|b| !is_alphanumeric(*b));
                self.take(len.unwrap_or(rest.len()), Kind::Identifier)
            }
            b',' => self.take(1, Kind::Comma),
            b'"' | b'\'' => self.string(byte),
            b'`' => self.raw_string(),
            b'=' => match self.peek_at(1) {
                Some(b'~') => self.take(2, Kind::EqlRegex),
                _ => self.take(1, Kind::Eql),
            },
            b'!' => match self.peek_at(1) {
                Some(b'~') => self.take(2, Kind::NeqRegex),
                Some(b'=') => self.take(2, Kind::Op(crate::ast::BinaryOp::Neq)),
                after => {
                    self.fail_after_bang("unexpected character after '!' inside braces:", after)
                }
            },
            b'{' => self.fail_at("unexpected left brace", ""),
            b'}' => {
                self.brace_open = false;
                self.state = if self.series {
                    State::ValueSequence
                } else {
                    State::Statements
                };
                self.take(1, Kind::RightBrace)
            }
            _ => self.fail_at("unexpected character inside braces:", ""),
        }
    }

    fn keyword_or_identifier(&mut self) -> Option<Token> {
        let rest = &self.input[self.pos..];
        let len = rest
            .iter()
            .position(|b| !is_alphanumeric(*b) && *b != b':')
            .unwrap_or(rest.len());
        let word = &rest[..len];
        let kind = match keyword(word) {
            // `fill` was a fine metric name before it was a modifier.
            Some(Kind::Fill | Kind::FillLeft | Kind::FillRight)
                if rest[len..].iter().find(|b| !is_space(**b)) != Some(&b'(') =>
            {
                Kind::Identifier
            }
            Some(kind) => kind,
            None if word.contains(&b':') => Kind::MetricIdentifier,
            None => Kind::Identifier,
        };
        let token = self.take(len, kind);
        self.state = if self.series && self.peek() != Some(b'{') {
            State::ValueSequence
        } else {
            State::Statements
        };
        token
    }

    fn string(&mut self, quote: u8) -> Option<Token> {
        self.pos += 1;
        loop {
            match self.peek() {
                None => return self.fail("unterminated quoted string"),
                Some(b'\n') => {
                    self.pos += 1;
                    return self.fail("unterminated quoted string");
                }
                Some(b'\\') => {
                    self.pos += 1;
                    if let Err(message) = self.escape(quote) {
                        return self.fail(message);
                    }
                }
                Some(byte) if byte == quote => {
                    self.state = State::Statements;
                    return self.take(1, Kind::String);
                }
                Some(byte) if byte.is_ascii() => self.pos += 1,
                Some(_) => match self.decode(self.pos) {
                    (char::REPLACEMENT_CHARACTER, _) => return self.fail("invalid UTF-8 rune"),
                    (_, len) => self.pos += len,
                },
            }
        }
    }

    fn raw_string(&mut self) -> Option<Token> {
        self.pos += 1;
        loop {
            match self.peek() {
                None => return self.fail("unterminated raw string"),
                Some(b'`') => {
                    self.state = State::Statements;
                    return self.take(1, Kind::String);
                }
                Some(byte) if byte.is_ascii() => self.pos += 1,
                Some(_) => match self.decode(self.pos) {
                    (char::REPLACEMENT_CHARACTER, _) => return self.fail("invalid UTF-8 rune"),
                    (_, len) => self.pos += len,
                },
            }
        }
    }

    /// An escape sequence, whose backslash has been read.
    fn escape(&mut self, quote: u8) -> Result<(), String> {
        let Some(byte) = self.peek() else {
            return Err("escape sequence not terminated".to_owned());
        };
        let (digits, base, largest) = match byte {
            b'a' | b'b' | b'f' | b'n' | b'r' | b't' | b'v' | b'\\' => {
                self.pos += 1;
                return Ok(());
            }
            _ if byte == quote => {
                self.pos += 1;
                return Ok(());
            }
            b'0'..=b'7' => (3, 8, 255),
            b'x' => (2, 16, 255),
            b'u' => (4, 16, u32::from(char::MAX)),
            b'U' => (8, 16, u32::from(char::MAX)),
            _ => {
                let (c, len) = self.decode(self.pos);
                self.pos += len;
                return Err(format!("unknown escape sequence {}", unicode(c)));
            }
        };
        if base == 16 {
            self.pos += 1;
        }
        let mut value = 0u32;
        for _ in 0..digits {
            if self.pos >= self.input.len() {
                return Err("escape sequence not terminated".to_owned());
            }
            let (c, len) = self.decode(self.pos);
            self.pos += len;
            let digit = c
                .to_digit(base)
                .ok_or_else(|| format!("illegal character {} in escape sequence", unicode(c)))?;
            value = value.wrapping_mul(base).wrapping_add(digit);
        }
        if value > largest || (0xd800..0xe000).contains(&value) {
            return Err("escape sequence is an invalid Unicode code point".to_owned());
        }
        Ok(())
    }
}

/// As Go's `%#U`: `U+0063 'c'`, the character only if it is printable.
fn unicode(c: char) -> String {
    let code = u32::from(c);
    if golang::strconv::is_print(c) {
        format!("U+{code:04X} '{c}'")
    } else {
        format!("U+{code:04X}")
    }
}

fn quoted(bytes: &[u8]) -> String {
    quote(&String::from_utf8_lossy(bytes))
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

const fn is_alpha(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_'
}

const fn is_alphanumeric(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// First letters of `step`, `range`, `max_of`, `min_of`.
const fn starts_duration_keyword(byte: u8) -> bool {
    matches!(byte.to_ascii_lowercase(), b's' | b'r' | b'm')
}
