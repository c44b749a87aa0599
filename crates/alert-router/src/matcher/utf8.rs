//! The new notation (prometheus/alertmanager `matcher/parse`): names and values are runs of
//! characters that are not reserved, or double-quoted Go strings. Errors carry columns.

use model::MatchKind;

use super::{Matcher, ParseError, is_reserved};

/// A list with optional braces and an optional trailing comma.
pub(super) fn matchers(input: &str) -> Result<Vec<Matcher>, ParseError> {
    Parser {
        lexer: Lexer::new(input),
        matchers: Vec::new(),
    }
    .list()
    .map_err(ParseError)
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    OpenBrace,
    CloseBrace,
    Comma,
    Operator(MatchKind),
    Quoted,
    Unquoted,
}

#[derive(Clone, Copy, Debug)]
struct Token<'a> {
    kind: Kind,
    text: &'a str,
    start: usize,
    end: usize,
}

/// Columns count characters.
struct Lexer<'a> {
    rest: &'a str,
    column: usize,
}

const END: &str = "end of input";

impl<'a> Lexer<'a> {
    fn new(input: &'a str) -> Lexer<'a> {
        Lexer {
            rest: input,
            column: 0,
        }
    }

    /// The next token without consuming it; `None` at the end.
    fn peek(&mut self) -> Result<Option<Token<'a>>, String> {
        let trimmed = self.rest.trim_start();
        self.column += self.rest[..self.rest.len() - trimmed.len()].chars().count();
        self.rest = trimmed;
        let Some(first) = self.rest.chars().next() else {
            return Ok(None);
        };
        let token = match first {
            '{' => self.token(Kind::OpenBrace, 1),
            '}' => self.token(Kind::CloseBrace, 1),
            ',' => self.token(Kind::Comma, 1),
            '=' if self.rest.starts_with("=~") => self.token(Kind::Operator(MatchKind::Regexp), 2),
            '=' => self.token(Kind::Operator(MatchKind::Equal), 1),
            '!' if self.rest.starts_with("!=") => {
                self.token(Kind::Operator(MatchKind::NotEqual), 2)
            }
            '!' if self.rest.starts_with("!~") => {
                self.token(Kind::Operator(MatchKind::NotRegexp), 2)
            }
            '!' => return Err(self.error(1, "expected one of '=~'")),
            '"' => self.quoted()?,
            c if is_reserved(c) => return Err(self.error(c.len_utf8(), "invalid input")),
            _ => {
                let len = self.rest.find(is_reserved).unwrap_or(self.rest.len());
                self.token(Kind::Unquoted, len)
            }
        };
        Ok(Some(token))
    }

    fn quoted(&self) -> Result<Token<'a>, String> {
        let mut escaped = false;
        for (i, c) in self.rest.char_indices().skip(1) {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => return Ok(self.token(Kind::Quoted, i + 1)),
                _ => {}
            }
        }
        Err(self.error(self.rest.len(), "missing end \""))
    }

    fn token(&self, kind: Kind, len: usize) -> Token<'a> {
        let text = &self.rest[..len];
        Token {
            kind,
            text,
            start: self.column,
            end: self.column + text.chars().count(),
        }
    }

    fn error(&self, len: usize, what: &str) -> String {
        let text = &self.rest[..len];
        let end = self.column + text.chars().count();
        format!("{}:{end}: {text}: {what}", self.column)
    }

    fn consume(&mut self, token: Token<'a>) {
        self.rest = &self.rest[token.text.len()..];
        self.column = token.end;
    }
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    matchers: Vec<Matcher>,
}

impl<'a> Parser<'a> {
    fn list(mut self) -> Result<Vec<Matcher>, String> {
        let Some(first) = self.lexer.peek()? else {
            return Ok(self.matchers);
        };
        let open = first.kind == Kind::OpenBrace;
        if open {
            self.lexer.consume(first);
        }
        loop {
            // After an opening brace or a comma the list may end.
            match self.lexer.peek()? {
                None => break,
                Some(token) if token.kind == Kind::CloseBrace => break,
                Some(_) => {}
            }
            self.matcher()?;
            let after = |e| format!("{e}: expected a comma or close brace");
            match self.lexer.peek().map_err(after)? {
                None => break,
                Some(token) if token.kind == Kind::CloseBrace => break,
                Some(token) if token.kind == Kind::Comma => {
                    self.lexer.consume(token);
                    self.after_comma()?;
                }
                Some(token) => return Err(after(unexpected(token))),
            }
        }
        self.close(open)?;
        match self
            .lexer
            .peek()
            .map_err(|e| format!("{e}: expected end of input"))?
        {
            None => Ok(self.matchers),
            Some(t) => Err(format!(
                "{}:{}: {}: expected end of input",
                t.start, t.end, t.text
            )),
        }
    }

    fn after_comma(&mut self) -> Result<(), String> {
        let after = |e| format!("{e}: expected a matcher or close brace after comma");
        match self.lexer.peek().map_err(after)? {
            None => Ok(()),
            Some(token) => match token.kind {
                Kind::CloseBrace | Kind::Quoted | Kind::Unquoted => Ok(()),
                Kind::OpenBrace | Kind::Comma | Kind::Operator(_) => Err(after(unexpected(token))),
            },
        }
    }

    fn close(&mut self, open: bool) -> Result<(), String> {
        let next = self.lexer.peek();
        match (open, next) {
            (true, Ok(Some(token))) if token.kind == Kind::CloseBrace => {
                self.lexer.consume(token);
                Ok(())
            }
            (true, next) => {
                let problem = match next {
                    Ok(Some(token)) => unexpected(token),
                    Ok(None) => END.to_owned(),
                    Err(e) => e,
                };
                Err(format!(
                    "0:{}: {problem}: expected close brace",
                    self.lexer.column
                ))
            }
            (false, Ok(Some(token))) if token.kind == Kind::CloseBrace => {
                Err(format!("0:{}: }}: expected opening brace", token.end))
            }
            (false, _) => Ok(()),
        }
    }

    fn matcher(&mut self) -> Result<(), String> {
        let name = self.text("expected label name")?;
        let operator = self.expect(
            |kind| matches!(kind, Kind::Operator(_)),
            "expected an operator such as '=', '!=', '=~' or '!~'",
        )?;
        let Kind::Operator(kind) = operator.kind else {
            return Err(unexpected(operator));
        };
        let value = self.text("expected label value")?;
        let matcher = Matcher::new(kind, name, value)
            .map_err(|e| format!("failed to create matcher: {e}"))?;
        self.matchers.push(matcher);
        Ok(())
    }

    /// A quoted or unquoted run, unquoted.
    fn text(&mut self, wanted: &str) -> Result<String, String> {
        let token = self.expect(|kind| matches!(kind, Kind::Quoted | Kind::Unquoted), wanted)?;
        match token.kind {
            Kind::Quoted => unquote(token.text).ok_or_else(|| {
                format!(
                    "{}:{}: {}: invalid input",
                    token.start, token.end, token.text
                )
            }),
            _ => Ok(token.text.to_owned()),
        }
    }

    fn expect(&mut self, accept: fn(Kind) -> bool, wanted: &str) -> Result<Token<'a>, String> {
        let problem = match self.lexer.peek() {
            Ok(Some(token)) if accept(token.kind) => {
                self.lexer.consume(token);
                return Ok(token);
            }
            Ok(Some(token)) => unexpected(token),
            Ok(None) => END.to_owned(),
            Err(e) => e,
        };
        Err(format!("{problem}: {wanted}"))
    }
}

fn unexpected(token: Token<'_>) -> String {
    format!("{}:{}: unexpected {}", token.start, token.end, token.text)
}

/// A quoted Go string; `None` where Go refuses it or where its bytes are not UTF-8.
fn unquote(quoted: &str) -> Option<String> {
    String::from_utf8(golang::strconv::unquote_bytes(quoted).ok()?).ok()
}
