//! The tokens of the two line formats, cut as upstream cuts them: what a lexer swallowed before it
//! gave up is part of the error texts that users see (prometheus/prometheus
//! `model/textparse/{promlex,openmetricslex}.l`).

/// Which line format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Text,
    OpenMetrics,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Invalid,
    Eof,
    Linebreak,
    Help,
    Type,
    Unit,
    EofWord,
    Text,
    Comment,
    MName,
    BraceOpen,
    BraceClose,
    LName,
    QString,
    LValue,
    Comma,
    Equal,
    Timestamp,
    Value,
}

impl Token {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Token::Invalid => "INVALID",
            Token::Eof => "EOF",
            Token::Linebreak => "LINEBREAK",
            Token::Help => "HELP",
            Token::Type => "TYPE",
            Token::Unit => "UNIT",
            Token::EofWord => "EOFWORD",
            Token::Text => "TEXT",
            Token::Comment => "COMMENT",
            Token::MName => "MNAME",
            Token::BraceOpen => "BOPEN",
            Token::BraceClose => "BCLOSE",
            Token::LName => "LNAME",
            Token::QString => "QSTRING",
            Token::LValue => "LVALUE",
            Token::Comma => "COMMA",
            Token::Equal => "EQUAL",
            Token::Timestamp => "TIMESTAMP",
            Token::Value => "VALUE",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Init,
    Comment,
    Meta1,
    Meta2,
    Labels,
    LValue,
    Value,
    Timestamp,
    Exemplar,
    EValue,
    ETimestamp,
}

/// A position in a page and what is expected there.
#[derive(Clone, Debug)]
pub(super) struct Lexer<'a> {
    pub(super) input: &'a [u8],
    pub(super) dialect: Dialect,
    pub(super) state: State,
    /// The bytes of the last token.
    pub(super) start: usize,
    pub(super) pos: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(input: &'a [u8], dialect: Dialect) -> Lexer<'a> {
        Lexer {
            input,
            dialect,
            state: State::Init,
            start: 0,
            pos: 0,
        }
    }

    /// The end of the input. The text format is read as if a line feed stood behind it.
    pub(super) fn end(&self) -> usize {
        self.input.len() + usize::from(self.dialect == Dialect::Text)
    }

    /// The bytes of the last token.
    pub(super) fn token(&self) -> &'a [u8] {
        self.slice(self.start, self.pos)
    }

    /// The bytes between two positions, of which the second may lie behind the imagined line feed.
    pub(super) fn slice(&self, start: usize, end: usize) -> &'a [u8] {
        let len = self.input.len();
        &self.input[start.min(len)..end.min(len)]
    }

    /// The byte at the position: 0 at the end, as upstream's lexer sees it.
    #[inline]
    fn cur(&self) -> u8 {
        match self.input.get(self.pos) {
            Some(byte) => *byte,
            None if self.pos < self.end() => b'\n',
            None => 0,
        }
    }

    fn advance(&mut self) -> u8 {
        self.pos += 1;
        // NUL bytes are allowed inside of label values, help texts and comments only.
        while matches!(self.state, State::LValue | State::Meta2 | State::Comment)
            && self.input.get(self.pos) == Some(&0)
        {
            self.pos += 1;
        }
        self.cur()
    }

    fn skip_while(&mut self, accept: impl Fn(u8) -> bool) {
        while self.pos < self.end() && accept(self.cur()) {
            self.advance();
        }
    }

    /// The next token; the text format's blanks are skipped.
    pub(super) fn next(&mut self) -> Token {
        if self.dialect == Dialect::Text && self.state != State::Meta2 {
            self.skip_while(is_blank);
        }
        if self.pos >= self.end() {
            return Token::Eof;
        }
        self.start = self.pos;
        match self.state {
            State::Init => self.init(),
            State::Comment => Token::Invalid,
            State::Meta1 => self.meta_name(),
            State::Meta2 => self.meta_text(),
            State::Labels => self.labels(),
            State::LValue => {
                if self.quoted(self.dialect == Dialect::Text) {
                    self.state = State::Labels;
                    Token::LValue
                } else {
                    Token::Invalid
                }
            }
            State::Value => self.value(),
            State::Timestamp => self.timestamp(),
            State::Exemplar => self.exemplar(),
            State::EValue => self.exemplar_value(),
            State::ETimestamp => match self.cur() {
                b'\n' => self.single(Token::Linebreak, State::Init),
                b' ' => self.spaced(Token::Timestamp, State::ETimestamp),
                _ => Token::Invalid,
            },
        }
    }

    fn single(&mut self, token: Token, state: State) -> Token {
        self.advance();
        self.state = state;
        token
    }

    fn init(&mut self) -> Token {
        match self.cur() {
            b'#' => self.hash(),
            b'{' => self.single(Token::BraceOpen, State::Labels),
            b if is_metric_start(b) => {
                self.skip_while(is_metric_char);
                self.state = State::Value;
                Token::MName
            }
            b'\n' if self.dialect == Dialect::Text => self.single(Token::Linebreak, State::Init),
            // Upstream takes a NUL at the start of a line for the end of the page.
            0 if self.dialect == Dialect::Text => Token::Eof,
            _ => Token::Invalid,
        }
    }

    /// Comments, and the words that make a comment mean something.
    fn hash(&mut self) -> Token {
        self.advance();
        let blank: fn(u8) -> bool = match self.dialect {
            Dialect::Text => is_blank,
            Dialect::OpenMetrics => |b| b == b' ',
        };
        if self.pos >= self.end() || !blank(self.cur()) {
            return self.not_a_word();
        }
        self.state = State::Comment;
        match self.dialect {
            Dialect::Text => self.skip_while(is_blank),
            Dialect::OpenMetrics => {
                self.advance();
            }
        }
        let words: &[(&[u8], Token)] = match self.dialect {
            Dialect::Text => &[(b"HELP", Token::Help), (b"TYPE", Token::Type)],
            Dialect::OpenMetrics => &[
                (b"HELP", Token::Help),
                (b"TYPE", Token::Type),
                (b"UNIT", Token::Unit),
                (b"EOF", Token::EofWord),
            ],
        };
        let first = self.cur();
        let Some((word, token)) = words.iter().find(|(word, _)| word[0] == first) else {
            return self.not_a_word();
        };
        for expected in *word {
            if self.pos >= self.end() || self.cur() != *expected {
                return self.not_a_word();
            }
            self.advance();
        }
        if *token == Token::EofWord {
            if self.pos < self.end() && self.cur() == b'\n' {
                self.advance();
            }
            self.state = State::Init;
            return Token::EofWord;
        }
        if self.pos >= self.end() || !blank(self.cur()) {
            return self.not_a_word();
        }
        match self.dialect {
            Dialect::Text => self.skip_while(is_blank),
            Dialect::OpenMetrics => {
                self.advance();
            }
        }
        self.state = State::Meta1;
        *token
    }

    /// A comment in the text format; OpenMetrics has none.
    fn not_a_word(&mut self) -> Token {
        if self.dialect == Dialect::OpenMetrics {
            return Token::Invalid;
        }
        let rest = &self.input[self.pos.min(self.input.len())..];
        self.pos += rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
        self.state = State::Init;
        Token::Comment
    }

    fn meta_name(&mut self) -> Token {
        if self.cur() == b'"' {
            if !self.quoted(true) {
                return Token::Invalid;
            }
        } else if is_metric_start(self.cur()) {
            self.skip_while(is_metric_char);
        } else {
            return Token::Invalid;
        }
        self.state = State::Meta2;
        Token::MName
    }

    fn meta_text(&mut self) -> Token {
        if self.dialect == Dialect::OpenMetrics && self.cur() != b' ' {
            return Token::Invalid;
        }
        self.skip_while(|b| b != b'\n');
        if self.dialect == Dialect::OpenMetrics {
            if self.pos >= self.end() {
                return Token::Invalid;
            }
            self.advance();
        }
        self.state = State::Init;
        Token::Text
    }

    fn labels(&mut self) -> Token {
        match self.cur() {
            b'}' => self.single(Token::BraceClose, State::Value),
            b'=' => self.single(Token::Equal, State::LValue),
            b',' => self.single(Token::Comma, State::Labels),
            b'"' if self.quoted(true) => Token::QString,
            b if is_label_start(b) => {
                self.skip_while(is_label_char);
                Token::LName
            }
            _ => Token::Invalid,
        }
    }

    fn value(&mut self) -> Token {
        match (self.dialect, self.cur()) {
            (_, b'{') => self.single(Token::BraceOpen, State::Labels),
            (Dialect::OpenMetrics, b' ') => self.spaced(Token::Value, State::Timestamp),
            (Dialect::OpenMetrics, _) | (_, b'\n' | 0) => Token::Invalid,
            (Dialect::Text, _) => {
                self.skip_while(|b| !matches!(b, b'{' | b' ' | b'\t' | b'\n' | 0));
                self.state = State::Timestamp;
                Token::Value
            }
        }
    }

    fn timestamp(&mut self) -> Token {
        match (self.dialect, self.cur()) {
            (_, b'\n') => self.single(Token::Linebreak, State::Init),
            (Dialect::Text, b'0'..=b'9') => {
                self.skip_while(|b| b.is_ascii_digit());
                Token::Timestamp
            }
            (Dialect::OpenMetrics, b' ') => {
                let token = self.spaced(Token::Timestamp, State::Timestamp);
                if token != Token::Timestamp || self.token() != b" #" || self.cur() != b' ' {
                    return token;
                }
                // ` # ` can only be the start of an exemplar.
                self.advance();
                if self.pos >= self.end() || self.cur() != b'{' {
                    return Token::Invalid;
                }
                self.single(Token::Comment, State::Exemplar)
            }
            _ => Token::Invalid,
        }
    }

    /// A space and what stands behind it up to the next one.
    fn spaced(&mut self, token: Token, state: State) -> Token {
        self.advance();
        let start = self.pos;
        self.skip_while(|b| !matches!(b, b' ' | b'\n' | 0));
        if self.pos == start {
            return Token::Invalid;
        }
        self.state = state;
        token
    }

    fn exemplar(&mut self) -> Token {
        match self.cur() {
            b'}' => self.single(Token::BraceClose, State::EValue),
            b'=' => self.single(Token::Equal, State::EValue),
            b',' => self.single(Token::Comma, State::Exemplar),
            b'"' if self.quoted(false) => Token::QString,
            b if is_label_start(b) => {
                self.skip_while(is_label_char);
                Token::LName
            }
            _ => Token::Invalid,
        }
    }

    fn exemplar_value(&mut self) -> Token {
        match self.cur() {
            b' ' => self.spaced(Token::Value, State::ETimestamp),
            b'"' if self.quoted(false) => {
                self.state = State::Exemplar;
                Token::LValue
            }
            _ => Token::Invalid,
        }
    }

    /// Moves behind a string in double quotes, or to where it turns out not to be one.
    fn quoted(&mut self, line_feeds: bool) -> bool {
        if self.cur() != b'"' {
            return false;
        }
        self.advance();
        loop {
            if self.pos >= self.end() {
                return false;
            }
            match self.cur() {
                b'"' => {
                    self.advance();
                    return true;
                }
                b'\\' => {
                    let escaped = self.advance();
                    if self.pos >= self.end() || matches!(escaped, b'\n' | 0) {
                        return false;
                    }
                }
                b'\n' if !line_feeds => return false,
                0 => return false,
                _ => {}
            }
            self.advance();
        }
    }
}

#[inline]
fn is_blank(b: u8) -> bool {
    matches!(b, b' ' | b'\t')
}

#[inline]
pub(super) fn is_metric_start(b: u8) -> bool {
    b.is_ascii_alphabetic() || b == b'_' || b == b':'
}

#[inline]
pub(super) fn is_metric_char(b: u8) -> bool {
    is_metric_start(b) || b.is_ascii_digit()
}

#[inline]
fn is_label_start(b: u8) -> bool {
    b.is_ascii_alphabetic() || b == b'_'
}

#[inline]
fn is_label_char(b: u8) -> bool {
    is_label_start(b) || b.is_ascii_digit()
}
