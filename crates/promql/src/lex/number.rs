//! Numbers and durations.

use super::{Kind, Lexer, State, Token, is_alphanumeric, quoted};

impl Lexer<'_> {
    pub(super) fn number_or_duration(&mut self) -> Option<Token> {
        self.state = State::Statements;
        if self.scan_number() {
            return Some(self.emit(Kind::Number));
        }
        if self.scan_rest_of_duration() {
            return Some(self.emit(Kind::Duration));
        }
        let message = format!(
            "bad number or duration syntax: {}",
            quoted(&self.input[self.start..self.pos])
        );
        self.fail(message)
    }

    pub(super) fn number(&mut self) -> Option<Token> {
        self.state = State::Statements;
        if self.scan_number() {
            return Some(self.emit(Kind::Number));
        }
        let message = format!(
            "bad number syntax: {}",
            quoted(&self.input[self.start..self.pos])
        );
        self.fail(message)
    }

    /// Reads one byte if it is in `set`.
    fn accept(&mut self, set: &[u8]) -> bool {
        let accepted = self.peek().is_some_and(|byte| set.contains(&byte));
        self.pos += usize::from(accepted);
        accepted
    }

    /// Goes on after the digits of what turned out to be no number. On failure the offending
    /// character counts as read, because the message shows it.
    fn scan_rest_of_duration(&mut self) -> bool {
        if !self.accept(b"smhdwy") {
            return false;
        }
        // For `ms`. Units that do not exist, like `hs`, are the duration parser's concern.
        self.accept(b"s");
        while self.accept(b"0123456789") {
            while self.accept(b"0123456789") {}
            // Years come first and so cannot come here.
            if !self.accept(b"smhdw") {
                return false;
            }
            self.accept(b"s");
        }
        match self.peek() {
            Some(byte) if is_alphanumeric(byte) => {
                self.pos += 1;
                false
            }
            _ => true,
        }
    }

    /// Scans digits, dots, exponents and underscores; what they mean, and whether they mean
    /// anything, the parser finds out. On failure the offending character counts as read.
    fn scan_number(&mut self) -> bool {
        let first = self.pos;
        let mut hexadecimal = false;
        // In series descriptions `0x3` is a repetition.
        if !self.series && self.accept(b"0") && self.accept(b"xX") {
            self.accept(b"_");
            hexadecimal = true;
        }
        let is_digit = |byte: u8| {
            if hexadecimal {
                byte.is_ascii_hexdigit()
            } else {
                byte.is_ascii_digit()
            }
        };
        self.accept(b".");
        if self.peek().is_some_and(is_digit) {
            self.pos += 1;
        }
        let mut dot = false;
        let mut exponent = false;
        while let Some(byte) = self.peek() {
            match byte {
                b'.' => {
                    self.pos += 1;
                    if dot {
                        return false;
                    }
                    dot = true;
                    if self.accept(b"_.") || hexadecimal {
                        return false;
                    }
                }
                // Upstream looks for exponents before digits, also among hexadecimal ones.
                b'e' | b'E' => {
                    self.pos += 1;
                    if exponent {
                        return false;
                    }
                    exponent = true;
                    self.accept(b"+-");
                    if self.accept(b"._eE") || self.peek().is_none() {
                        return false;
                    }
                }
                b'_' => {
                    self.pos += 1;
                    if self.accept(b"._eE") || self.peek().is_none() {
                        return false;
                    }
                }
                _ if is_digit(byte) => {
                    while self.peek().is_some_and(is_digit) {
                        self.pos += 1;
                    }
                }
                _ => break,
            }
        }
        if self.pos == first {
            return false;
        }
        match self.peek() {
            Some(b'x') if self.series => true,
            Some(byte) => !is_alphanumeric(byte),
            None => true,
        }
    }
}
