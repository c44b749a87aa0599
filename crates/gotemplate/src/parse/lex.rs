//! Text to tokens (`text/template/parse/lex.go`).

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Error,
    Bool,
    Char,
    CharConstant,
    Complex,
    Assign,
    Declare,
    Eof,
    Field,
    Identifier,
    LeftDelim,
    LeftParen,
    Number,
    Pipe,
    RawString,
    RightDelim,
    RightParen,
    Space,
    String,
    Text,
    Variable,
    // Keywords from here on; `.` counts as one.
    Block,
    Break,
    Continue,
    Dot,
    Define,
    Else,
    End,
    If,
    Nil,
    Range,
    Template,
    With,
}

/// A token: its text (of an error, the message), where it starts, and on which line.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub kind: Kind,
    pub pos: usize,
    pub text: String,
    pub line: usize,
}

impl std::fmt::Display for Item {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let keyword = !matches!(self.kind, Kind::Error | Kind::Eof) && is_keyword(self.kind);
        if self.kind == Kind::Eof {
            f.write_str("EOF")
        } else if self.kind == Kind::Error {
            f.write_str(&self.text)
        } else if keyword {
            write!(f, "<{}>", self.text)
        } else if self.text.len() > 10 {
            let start: String = self.text.chars().take(10).collect();
            write!(f, "{}...", golang::strconv::quote(&start))
        } else {
            f.write_str(&golang::strconv::quote(&self.text))
        }
    }
}

fn is_keyword(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Block
            | Kind::Break
            | Kind::Continue
            | Kind::Dot
            | Kind::Define
            | Kind::Else
            | Kind::End
            | Kind::If
            | Kind::Nil
            | Kind::Range
            | Kind::Template
            | Kind::With
    )
}

fn keyword(word: &str) -> Option<Kind> {
    Some(match word {
        "block" => Kind::Block,
        "break" => Kind::Break,
        "continue" => Kind::Continue,
        "define" => Kind::Define,
        "else" => Kind::Else,
        "end" => Kind::End,
        "if" => Kind::If,
        "nil" => Kind::Nil,
        "range" => Kind::Range,
        "template" => Kind::Template,
        "with" => Kind::With,
        "true" | "false" => Kind::Bool,
        _ => return None,
    })
}

const SPACES: [char; 4] = [' ', '\t', '\r', '\n'];

struct Lexer<'t> {
    input: &'t str,
    pos: usize,
    start: usize,
    /// The line of `start`.
    line: usize,
    parens: usize,
    items: Vec<Item>,
}

/// All tokens; the last is the end or an error.
pub(super) fn lex(input: &str) -> Vec<Item> {
    let mut lexer = Lexer {
        input,
        pos: 0,
        start: 0,
        line: 1,
        parens: 0,
        items: Vec::new(),
    };
    if let Err(message) = lexer.run() {
        let (pos, line) = (lexer.start, lexer.line);
        lexer.items.push(Item {
            kind: Kind::Error,
            pos,
            text: message,
            line,
        });
    }
    lexer.items
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.input[self.pos..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.pos += c.len_utf8();
        Some(c)
    }

    fn emit(&mut self, kind: Kind) {
        let text = self.input[self.start..self.pos].to_owned();
        self.items.push(Item {
            kind,
            pos: self.start,
            text,
            line: self.line,
        });
        self.ignore();
    }

    fn ignore(&mut self) {
        let skipped = &self.input[self.start..self.pos];
        self.line += skipped.bytes().filter(|&b| b == b'\n').count();
        self.start = self.pos;
    }

    fn run(&mut self) -> Result<(), String> {
        loop {
            let Some(at) = self.rest().find("{{") else {
                self.pos = self.input.len();
                if self.pos > self.start {
                    self.emit(Kind::Text);
                }
                self.emit(Kind::Eof);
                return Ok(());
            };
            let delim = self.pos + at;
            let text = &self.input[self.pos..delim];
            let trim = left_trim(&self.input[delim + 2..]);
            self.pos = if trim {
                self.pos + text.trim_end_matches(SPACES).len()
            } else {
                delim
            };
            if self.pos > self.start {
                self.emit(Kind::Text);
            }
            self.pos = delim;
            self.ignore();
            self.pos += 2;
            let marker = if trim { 2 } else { 0 };
            if self.input[self.pos + marker..].starts_with("/*") {
                self.pos += marker;
                self.ignore();
                self.comment()?;
                continue;
            }
            self.emit(Kind::LeftDelim);
            self.pos += marker;
            self.ignore();
            self.parens = 0;
            while !self.action()? {}
        }
    }

    fn comment(&mut self) -> Result<(), String> {
        let Some(end) = self.rest()[2..].find("*/") else {
            return Err("unclosed comment".to_owned());
        };
        self.pos += end + 4;
        let Some(trim) = self.right_delim() else {
            return Err("comment ends before closing delimiter".to_owned());
        };
        self.close(trim);
        self.ignore();
        Ok(())
    }

    /// Whether the action ends here, and if so whether the text behind it is trimmed.
    fn right_delim(&self) -> Option<bool> {
        let rest = self.rest();
        if right_trim(rest) && rest[2..].starts_with("}}") {
            return Some(true);
        }
        rest.starts_with("}}").then_some(false)
    }

    /// Steps behind the end of an action, and the blanks that go with it.
    fn close(&mut self, trim: bool) {
        self.pos += if trim { 4 } else { 2 };
        if trim {
            self.skip_spaces();
        }
    }

    fn skip_spaces(&mut self) {
        let rest = self.rest();
        self.pos += rest.len() - rest.trim_start_matches(SPACES).len();
    }

    /// One token inside of an action; true when it was the end.
    fn action(&mut self) -> Result<bool, String> {
        if let Some(trim) = self.right_delim() {
            if self.parens > 0 {
                return Err("unclosed left paren".to_owned());
            }
            if trim {
                self.pos += 2;
                self.ignore();
            }
            self.pos += 2;
            self.emit(Kind::RightDelim);
            if trim {
                self.skip_spaces();
                self.ignore();
            }
            return Ok(true);
        }
        let Some(c) = self.next() else {
            return Err("unclosed action".to_owned());
        };
        match c {
            c if SPACES.contains(&c) => self.space(),
            '=' => self.emit(Kind::Assign),
            ':' => {
                if self.next() != Some('=') {
                    return Err("expected :=".to_owned());
                }
                self.emit(Kind::Declare);
            }
            '|' => self.emit(Kind::Pipe),
            '"' => self.quoted('"', Kind::String, "unterminated quoted string")?,
            '\'' => {
                self.quoted('\'', Kind::CharConstant, "unterminated character constant")?;
            }
            '`' => {
                let Some(end) = self.rest().find('`') else {
                    return Err("unterminated raw quoted string".to_owned());
                };
                self.pos += end + 1;
                self.emit(Kind::RawString);
            }
            '$' => self.field_or_variable(Kind::Variable)?,
            '.' if !self.peek().is_some_and(|c| c.is_ascii_digit()) && self.peek().is_some() => {
                self.field_or_variable(Kind::Field)?;
            }
            '.' | '+' | '-' | '0'..='9' => {
                self.pos -= 1;
                self.number()?;
            }
            c if is_alphanumeric(c) => self.identifier()?,
            '(' => {
                self.parens += 1;
                self.emit(Kind::LeftParen);
            }
            ')' => {
                if self.parens == 0 {
                    return Err("unexpected right paren".to_owned());
                }
                self.parens -= 1;
                self.emit(Kind::RightParen);
            }
            ' '..='~' => self.emit(Kind::Char),
            c => return Err(bad_character("unrecognized character in action:", Some(c))),
        }
        Ok(false)
    }

    /// A run of blanks, but not the one that belongs to ` -}}`.
    fn space(&mut self) {
        let rest = &self.input[self.start..];
        let count = rest.len() - rest.trim_start_matches(SPACES).len();
        let last = self.start + count - 1;
        let before_end =
            right_trim(&self.input[last..]) && self.input[last + 2..].starts_with("}}");
        self.pos = if before_end { last } else { last + 1 };
        if self.pos > self.start {
            self.emit(Kind::Space);
        }
    }

    fn quoted(&mut self, end: char, kind: Kind, unterminated: &str) -> Result<(), String> {
        loop {
            match self.next() {
                Some('\\') if !matches!(self.next(), None | Some('\n')) => {}
                None | Some('\n' | '\\') => return Err(unterminated.to_owned()),
                Some(c) if c == end => break,
                Some(_) => {}
            }
        }
        self.emit(kind);
        Ok(())
    }

    fn at_terminator(&self) -> bool {
        match self.peek() {
            None | Some(' ' | '\t' | '\r' | '\n' | '.' | ',' | '|' | ':' | ')' | '(') => true,
            Some(_) => self.rest().starts_with("}}"),
        }
    }

    fn word(&mut self) {
        while self.peek().is_some_and(is_alphanumeric) {
            self.next();
        }
    }

    fn field_or_variable(&mut self, kind: Kind) -> Result<(), String> {
        if self.at_terminator() {
            self.emit(if kind == Kind::Variable {
                kind
            } else {
                Kind::Dot
            });
            return Ok(());
        }
        self.word();
        if !self.at_terminator() {
            return Err(bad_character("bad character", self.peek()));
        }
        self.emit(kind);
        Ok(())
    }

    fn identifier(&mut self) -> Result<(), String> {
        self.word();
        if !self.at_terminator() {
            return Err(bad_character("bad character", self.peek()));
        }
        let word = &self.input[self.start..self.pos];
        self.emit(keyword(word).unwrap_or(Kind::Identifier));
        Ok(())
    }

    fn number(&mut self) -> Result<(), String> {
        if !self.scan_number() {
            return Err(self.bad_number());
        }
        if matches!(self.peek(), Some('+' | '-')) {
            if !self.scan_number() || !self.input[..self.pos].ends_with('i') {
                return Err(self.bad_number());
            }
            self.emit(Kind::Complex);
            return Ok(());
        }
        self.emit(Kind::Number);
        Ok(())
    }

    fn bad_number(&self) -> String {
        let text = golang::strconv::quote(&self.input[self.start..self.pos]);
        format!("bad number syntax: {text}")
    }

    fn accept(&mut self, valid: &str) -> bool {
        let found = self.peek().is_some_and(|c| valid.contains(c));
        if found {
            self.pos += 1;
        }
        found
    }

    fn accept_run(&mut self, valid: &str) {
        while self.accept(valid) {}
    }

    fn scan_number(&mut self) -> bool {
        self.accept("+-");
        let mut digits = "0123456789_";
        let mut exponent = "eE";
        if self.accept("0") {
            (digits, exponent) = if self.accept("xX") {
                ("0123456789abcdefABCDEF_", "pP")
            } else if self.accept("oO") {
                ("01234567_", "")
            } else if self.accept("bB") {
                ("01_", "")
            } else {
                (digits, exponent)
            };
        }
        self.accept_run(digits);
        if self.accept(".") {
            self.accept_run(digits);
        }
        if self.accept(exponent) {
            self.accept("+-");
            self.accept_run("0123456789_");
        }
        self.accept("i");
        if self.peek().is_some_and(is_alphanumeric) {
            self.next();
            return false;
        }
        true
    }
}

fn bad_character(what: &str, c: Option<char>) -> String {
    // Go prints the end of the text as the code point -1.
    let code = match c {
        Some(c) => golang::fmt::sprintf("%#U", &[golang::fmt::Arg::from(i64::from(u32::from(c)))]),
        None => "U+FFFFFFFFFFFFFFFF".to_owned(),
    };
    format!("{what} {code}")
}

fn is_alphanumeric(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// `- ` right behind `{{`.
fn left_trim(text: &str) -> bool {
    text.strip_prefix('-')
        .is_some_and(|rest| rest.starts_with(SPACES))
}

/// ` -`, as before `}}`.
fn right_trim(text: &str) -> bool {
    text.strip_prefix(SPACES)
        .is_some_and(|rest| rest.starts_with('-'))
}
