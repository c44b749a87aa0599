//! How text moves a page from one context to the next (`html/template/{context,transition}.go`).

use super::attribute::{self, Kind};
use super::element_of;

/// Where in a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum State {
    #[default]
    Text,
    Tag,
    AttrName,
    AfterName,
    BeforeValue,
    HtmlComment,
    Rcdata,
    Attr,
    Url,
    Srcset,
    MetaContent,
    MetaContentUrl,
    Js,
    JsDqString,
    JsSqString,
    JsTemplate,
    JsRegexp,
    JsBlockComment,
    JsLineComment,
    JsHtmlOpenComment,
    JsHtmlCloseComment,
    Css,
    CssDqString,
    CssSqString,
    CssDqUrl,
    CssSqUrl,
    CssUrl,
    CssBlockComment,
    CssLineComment,
}

impl State {
    pub(super) fn is_comment(self) -> bool {
        matches!(
            self,
            State::HtmlComment
                | State::JsBlockComment
                | State::JsLineComment
                | State::JsHtmlOpenComment
                | State::JsHtmlCloseComment
                | State::CssBlockComment
                | State::CssLineComment
        )
    }

    fn is_script_literal(self) -> bool {
        matches!(
            self,
            State::JsDqString | State::JsSqString | State::JsTemplate | State::JsRegexp
        )
    }
}

/// What ends an attribute's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Delim {
    #[default]
    None,
    Double,
    Single,
    SpaceOrTagEnd,
}

/// How much of a URL has been written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum UrlPart {
    #[default]
    None,
    PreQuery,
    Query,
}

/// Elements whose content is not HTML.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Element {
    #[default]
    None,
    Script,
    Style,
    Textarea,
    Title,
    Meta,
}

/// What the value of the attribute being written is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Attr {
    #[default]
    None,
    Script,
    ScriptType,
    Style,
    Url,
    Srcset,
    MetaContent,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Context {
    pub state: State,
    pub delim: Delim,
    pub url_part: UrlPart,
    /// In scripts, whether a `/` is a division rather than the start of an expression.
    pub division: bool,
    /// Open braces inside of each `${` of template literals.
    braces: Vec<usize>,
    attr: Attr,
    element: Element,
}

type Step = Result<(Context, usize), String>;

impl Context {
    fn with(&self, state: State) -> Context {
        Context {
            state,
            ..self.clone()
        }
    }

    fn plain(state: State, element: Element) -> Context {
        Context {
            state,
            element,
            ..Context::default()
        }
    }

    /// A value about to be written decides what the next thing is.
    pub(super) fn nudge(&mut self) {
        match self.state {
            State::Tag => self.state = State::AttrName,
            State::BeforeValue => {
                self.state = start_of(self.attr);
                self.delim = Delim::SpaceOrTagEnd;
                self.attr = Attr::None;
            }
            State::AfterName => {
                self.state = State::AttrName;
                self.attr = Attr::None;
            }
            _ => {}
        }
    }
}

fn start_of(attr: Attr) -> State {
    match attr {
        Attr::None | Attr::ScriptType => State::Attr,
        Attr::Script => State::Js,
        Attr::Style => State::Css,
        Attr::Url => State::Url,
        Attr::Srcset => State::Srcset,
        Attr::MetaContent => State::MetaContent,
    }
}

const SPACES: [char; 5] = [' ', '\t', '\n', '\x0c', '\r'];

fn spaces(text: &str) -> usize {
    text.len() - text.trim_start_matches(SPACES).len()
}

/// The context after some of `text`, and how many bytes that was.
pub(super) fn after_text(context: &Context, text: &str) -> Step {
    if context.delim == Delim::None {
        let end = special_end(context, text);
        if end == Some(0) {
            return Ok((Context::default(), 0));
        }
        return step(context, &text[..end.unwrap_or(text.len())]);
    }
    let ends: &[char] = match context.delim {
        Delim::Double => &['"'],
        Delim::Single => &['\''],
        _ => &[' ', '\t', '\n', '\x0c', '\r', '>'],
    };
    let end = text.find(ends).unwrap_or(text.len());
    if context.delim == Delim::SpaceOrTagEnd
        && let Some(at) = text[..end].find(['"', '\'', '<', '=', '`'])
    {
        let quote = golang::strconv::quote(&text[at..at + 1]);
        let all = golang::strconv::quote(&text[..end]);
        return Err(format!("{quote} in unquoted attr: {all}"));
    }
    if end == text.len() {
        // The value goes on; what it says so far is behind character references.
        let decoded = decode_references(text);
        let mut rest = decoded.as_str();
        let mut context = context.clone();
        while !rest.is_empty() {
            let (next, read) = step(&context, rest)?;
            if read == 0 && next == context {
                break;
            }
            context = next;
            rest = &rest[read..];
        }
        return Ok((context, text.len()));
    }
    let mut element = context.element;
    if context.state == State::Attr
        && element == Element::Script
        && context.attr == Attr::ScriptType
        && !is_script_type(&text[..end])
    {
        element = Element::None;
    }
    let quote = usize::from(context.delim != Delim::SpaceOrTagEnd);
    Ok((Context::plain(State::Tag, element), end + quote))
}

fn step(context: &Context, text: &str) -> Step {
    let all = text.len();
    match context.state {
        State::Text => Ok(text_step(context, text)),
        State::Tag => tag_step(context, text),
        State::AttrName => {
            let end = attribute_name_end(text, 0)?;
            let state = if end == all {
                State::AttrName
            } else {
                State::AfterName
            };
            Ok((context.with(state), end))
        }
        State::AfterName => {
            let at = spaces(text);
            if at == all {
                return Ok((context.clone(), all));
            }
            if !text[at..].starts_with('=') {
                return Ok((context.with(State::Tag), at));
            }
            Ok((context.with(State::BeforeValue), at + 1))
        }
        State::BeforeValue => {
            let at = spaces(text);
            let (delim, read) = match text.as_bytes().get(at) {
                None => return Ok((context.clone(), all)),
                Some(b'\'') => (Delim::Single, at + 1),
                Some(b'"') => (Delim::Double, at + 1),
                Some(_) => (Delim::SpaceOrTagEnd, at),
            };
            let mut next = context.with(start_of(context.attr));
            next.delim = delim;
            Ok((next, read))
        }
        State::HtmlComment => Ok(match text.find("-->") {
            Some(at) => (Context::default(), at + 3),
            None => (context.clone(), all),
        }),
        State::Rcdata | State::Attr => Ok((context.clone(), all)),
        State::Url | State::Srcset => Ok((url_step(context.clone(), text), all)),
        State::MetaContent => Ok(match meta_url(text) {
            Some(at) => (context.with(State::MetaContentUrl), at),
            None => (context.clone(), all),
        }),
        State::MetaContentUrl => Ok(match text.find(';') {
            Some(at) => (context.with(State::MetaContent), at + 1),
            None => (context.clone(), all),
        }),
        State::Js => Ok(script_step(context, text)),
        State::JsTemplate => template_step(context, text),
        State::JsDqString => script_string(context, text, &['\\', '"']),
        State::JsSqString => script_string(context, text, &['\\', '\'']),
        State::JsRegexp => script_string(context, text, &['\\', '/', '[', ']']),
        State::JsBlockComment | State::CssBlockComment => Ok(match text.find("*/") {
            Some(at) => (context.with(outer(context.state)), at + 2),
            None => (context.clone(), all),
        }),
        State::JsLineComment | State::JsHtmlOpenComment | State::JsHtmlCloseComment => {
            let end = text.find(['\n', '\r', '\u{2028}', '\u{2029}']);
            Ok(match end {
                Some(at) => (context.with(State::Js), at),
                None => (context.clone(), all),
            })
        }
        State::CssLineComment => Ok(match text.find(['\n', '\x0c', '\r']) {
            Some(at) => (context.with(State::Css), at),
            None => (context.clone(), all),
        }),
        State::Css => Ok(style_step(context, text)),
        State::CssDqString | State::CssDqUrl => style_string(context, text, &['\\', '"']),
        State::CssSqString | State::CssSqUrl => style_string(context, text, &['\\', '\'']),
        State::CssUrl => style_string(context, text, &['\\', '\t', '\n', '\x0c', '\r', ' ', ')']),
    }
}

fn outer(comment: State) -> State {
    if comment == State::CssBlockComment {
        State::Css
    } else {
        State::Js
    }
}

fn text_step(context: &Context, text: &str) -> (Context, usize) {
    let mut from = 0;
    while let Some(at) = text[from..].find('<').map(|i| from + i) {
        let rest = &text[at + 1..];
        if rest.is_empty() {
            break;
        }
        if rest.starts_with("!--") {
            return (Context::plain(State::HtmlComment, Element::None), at + 4);
        }
        let (closing, name_at) = match rest.strip_prefix('/') {
            Some("") => break,
            Some(_) => (true, at + 2),
            None => (false, at + 1),
        };
        let length = tag_name(&text[name_at..]);
        if length > 0 {
            let end = name_at + length;
            let element = match closing {
                true => Element::None,
                false => element_of(&text[name_at..end]),
            };
            return (Context::plain(State::Tag, element), end);
        }
        from = name_at;
    }
    (context.clone(), text.len())
}

/// The length of the tag name that `text` begins with.
fn tag_name(text: &str) -> usize {
    let bytes = text.as_bytes();
    if !bytes.first().is_some_and(u8::is_ascii_alphabetic) {
        return 0;
    }
    let alphanumeric = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_alphanumeric);
    let mut at = 1;
    loop {
        if alphanumeric(at) {
            at += 1;
        } else if matches!(bytes.get(at), Some(b':' | b'-')) && alphanumeric(at + 1) {
            at += 2;
        } else {
            return at;
        }
    }
}

/// Where the attribute's name ends that begins at `start`.
fn attribute_name_end(text: &str, start: usize) -> Result<usize, String> {
    for (at, c) in text[start..].char_indices() {
        let at = start + at;
        match c {
            ' ' | '\t' | '\n' | '\x0c' | '\r' | '=' | '>' => return Ok(at),
            '\'' | '"' | '<' => {
                let bad = golang::strconv::quote(c.encode_utf8(&mut [0; 4]));
                let start: String = text.chars().take(32).collect();
                let start = golang::strconv::quote(&start);
                return Err(format!("{bad} in attribute name: {start}"));
            }
            _ => {}
        }
    }
    Ok(text.len())
}

fn tag_step(context: &Context, text: &str) -> Step {
    let at = spaces(text);
    let rest = &text[at..];
    if rest.is_empty() {
        return Ok((context.clone(), text.len()));
    }
    if rest.starts_with('>') {
        let (state, element) = match context.element {
            Element::None | Element::Meta => (State::Text, Element::None),
            Element::Script => (State::Js, Element::Script),
            Element::Style => (State::Css, Element::Style),
            other => (State::Rcdata, other),
        };
        return Ok((Context::plain(state, element), at + 1));
    }
    let length = attribute_name_end(text, at)? - at;
    if length == 0 {
        let rest = golang::strconv::quote(rest);
        return Err(format!(
            "expected space, attr name, or end of tag, but got {rest}"
        ));
    }
    let name = rest[..length].to_ascii_lowercase();
    let attr = match (context.element, name.as_str()) {
        (Element::Script, "type") => Attr::ScriptType,
        (Element::Meta, "content") => Attr::MetaContent,
        _ => match attribute::kind(&name) {
            Kind::Url => Attr::Url,
            Kind::Css => Attr::Style,
            Kind::Js => Attr::Script,
            Kind::Srcset => Attr::Srcset,
            Kind::Plain | Kind::Html | Kind::Unsafe => Attr::None,
        },
    };
    let state = if length == rest.len() {
        State::AttrName
    } else {
        State::AfterName
    };
    let mut next = Context::plain(state, context.element);
    next.attr = attr;
    Ok((next, at + length))
}

/// Where `</script` and its kind end the element that the page is in.
fn special_end(context: &Context, text: &str) -> Option<usize> {
    let name = match context.element {
        Element::None => return None,
        Element::Script if context.state.is_script_literal() || context.state.is_comment() => {
            return None;
        }
        Element::Script => "script",
        Element::Style => "style",
        Element::Textarea => "textarea",
        Element::Title => "title",
        Element::Meta => "",
    };
    text.match_indices("</").map(|(at, _)| at).find(|at| {
        let rest = &text[at + 2..];
        let named = rest
            .get(..name.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(name));
        named && rest[name.len()..].starts_with(['>', ' ', '\t', '\n', '\x0c', '/'])
    })
}

fn url_step(mut context: Context, text: &str) -> Context {
    if text.contains(['#', '?']) {
        context.url_part = UrlPart::Query;
    } else if spaces(text) != text.len() && context.url_part == UrlPart::None {
        context.url_part = UrlPart::PreQuery;
    }
    context
}

/// Behind `url =` in the content of a refresh.
fn meta_url(text: &str) -> Option<usize> {
    let lower = text.to_ascii_lowercase();
    lower.match_indices("url").find_map(|(at, _)| {
        let behind = at + 3;
        let equals = behind + spaces(&text[behind..]);
        text[equals..].starts_with('=').then_some(equals + 1)
    })
}

fn script_step(context: &Context, text: &str) -> (Context, usize) {
    let mut next = context.clone();
    let Some(at) = text.find(['"', '`', '\'', '/', '{', '}', '<', '-', '#']) else {
        next.division = divides(text, context.division);
        return (next, text.len());
    };
    next.division = divides(&text[..at], context.division);
    let rest = &text[at..];
    let mut read = 1;
    match rest.as_bytes()[0] {
        quote @ (b'"' | b'\'' | b'`') => {
            next.state = match quote {
                b'"' => State::JsDqString,
                b'\'' => State::JsSqString,
                _ => State::JsTemplate,
            };
            next.division = false;
        }
        b'/' if rest.starts_with("//") => (next.state, read) = (State::JsLineComment, 2),
        b'/' if rest.starts_with("/*") => (next.state, read) = (State::JsBlockComment, 2),
        b'/' if next.division => next.division = false,
        b'/' => next.state = State::JsRegexp,
        b'<' if rest.starts_with("<!--") => (next.state, read) = (State::JsHtmlOpenComment, 4),
        b'-' if rest.starts_with("-->") => (next.state, read) = (State::JsHtmlCloseComment, 3),
        b'#' if rest.starts_with("#!") => (next.state, read) = (State::JsLineComment, 2),
        b'{' => {
            if let Some(depth) = next.braces.last_mut() {
                *depth += 1;
            }
            next.division = false;
        }
        b'}' => {
            next.division = false;
            match next.braces.last_mut() {
                None => {}
                Some(0) => {
                    next.braces.pop();
                    next.state = State::JsTemplate;
                }
                Some(depth) => *depth -= 1,
            }
        }
        _ => next.division = divides(&rest[..1], next.division),
    }
    (next, at + read)
}

/// Whether a `/` behind this piece of a script divides.
fn divides(text: &str, before: bool) -> bool {
    let text = text.trim_end_matches([' ', '\t', '\n', '\x0c', '\r', '\u{2028}', '\u{2029}']);
    let Some(last) = text.chars().next_back() else {
        return before;
    };
    match last {
        '+' | '-' => {
            // `x++ /` divides, `x + /` does not.
            let run = text.len() - text.trim_end_matches(last).len();
            run.is_multiple_of(2)
        }
        '.' => text[..text.len() - 1].ends_with(|c: char| c.is_ascii_digit()),
        ',' | '<' | '>' | '=' | '*' | '%' | '&' | '|' | '^' | '?' | '!' | '~' | '(' | '[' | ':'
        | ';' | '{' | '}' => false,
        _ => {
            let part = |c: char| c == '$' || c == '_' || c.is_ascii_alphanumeric();
            let word = &text[text.trim_end_matches(part).len()..];
            !matches!(
                word,
                "break"
                    | "case"
                    | "continue"
                    | "delete"
                    | "do"
                    | "else"
                    | "finally"
                    | "in"
                    | "instanceof"
                    | "return"
                    | "throw"
                    | "try"
                    | "typeof"
                    | "void"
            )
        }
    }
}

fn unfinished(what: &str, text: &str) -> String {
    let text = golang::strconv::quote(text);
    format!("unfinished escape sequence in {what} string: {text}")
}

fn template_step(context: &Context, text: &str) -> Step {
    let mut from = 0;
    while let Some(at) = text[from..].find(['`', '\\', '$']).map(|i| from + i) {
        let rest = &text[at..];
        from = at + 1;
        if let Some(escaped) = rest.strip_prefix('\\') {
            match escaped.chars().next() {
                None => return Err(unfinished("JS", text)),
                Some(c) => from += c.len_utf8(),
            }
        } else if rest.starts_with("${") {
            let mut next = context.with(State::Js);
            next.braces.push(0);
            return Ok((next, at + 2));
        } else if rest.starts_with('`') {
            return Ok((context.with(State::Js), at + 1));
        }
    }
    Ok((context.clone(), text.len()))
}

fn script_string(context: &Context, text: &str, specials: &[char]) -> Step {
    let (mut from, mut in_set) = (0, false);
    while let Some(at) = text[from..].find(specials).map(|i| from + i) {
        from = at + 1;
        match text.as_bytes()[at] {
            b'\\' => match text[from..].chars().next() {
                None => return Err(unfinished("JS", text)),
                Some(c) => from += c.len_utf8(),
            },
            b'[' => in_set = true,
            b']' => in_set = false,
            b'/' if at > 0
                && text[at - 1..]
                    .get(..8)
                    .is_some_and(|s| s.eq_ignore_ascii_case("</script")) =>
            {
                from += 1;
            }
            _ if in_set => {}
            _ => {
                let mut next = context.with(State::Js);
                next.division = true;
                return Ok((next, at + 1));
            }
        }
    }
    if in_set {
        let text = golang::strconv::quote(text);
        return Err(format!("unfinished JS regexp charset: {text}"));
    }
    Ok((context.clone(), text.len()))
}

fn style_step(context: &Context, text: &str) -> (Context, usize) {
    let mut from = 0;
    while let Some(at) = text[from..].find(['(', '"', '\'', '/']).map(|i| from + i) {
        let rest = &text[at + 1..];
        from = at + 1;
        match text.as_bytes()[at] {
            b'(' if ends_with_url(text[..at].trim_end_matches(SPACES)) => {
                let value = at + 1 + spaces(rest);
                let (state, read) = match text.as_bytes().get(value) {
                    Some(b'"') => (State::CssDqUrl, value + 1),
                    Some(b'\'') => (State::CssSqUrl, value + 1),
                    _ => (State::CssUrl, value),
                };
                return (context.with(state), read);
            }
            b'/' if rest.starts_with('/') => {
                return (context.with(State::CssLineComment), at + 2);
            }
            b'/' if rest.starts_with('*') => {
                return (context.with(State::CssBlockComment), at + 2);
            }
            b'"' => return (context.with(State::CssDqString), at + 1),
            b'\'' => return (context.with(State::CssSqString), at + 1),
            _ => {}
        }
    }
    (context.clone(), text.len())
}

fn ends_with_url(text: &str) -> bool {
    let Some(at) = text.len().checked_sub(3) else {
        return false;
    };
    let named = text
        .get(at..)
        .is_some_and(|end| end.eq_ignore_ascii_case("url"));
    let joined = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || !c.is_ascii();
    named && !text[..at].ends_with(joined)
}

fn style_string(context: &Context, text: &str, ends: &[char]) -> Step {
    let mut context = context.clone();
    let mut from = 0;
    loop {
        let Some(at) = text[from..].find(ends).map(|i| from + i) else {
            let decoded = super::filters::decode_css(&text[from..]);
            return Ok((url_step(context, &decoded), text.len()));
        };
        let mut end = at + 1;
        if !text[at..].starts_with('\\') {
            context.state = State::Css;
            return Ok((context, at + 1));
        }
        match text[end..].chars().next() {
            None => return Err(unfinished("CSS", text)),
            Some(c) => end += c.len_utf8(),
        }
        context = url_step(context, &super::filters::decode_css(&text[..end]));
        from = end;
    }
}

fn is_script_type(mime: &str) -> bool {
    let mime = mime.split(';').next().unwrap_or_default();
    let mime = mime.trim().to_ascii_lowercase();
    let (kind, name) = mime.split_once('/').unwrap_or(("", &mime));
    match kind {
        "" => matches!(name, "" | "module"),
        "application" => matches!(
            name,
            "ecmascript" | "javascript" | "json" | "ld+json" | "x-ecmascript" | "x-javascript"
        ),
        "text" => {
            matches!(
                name,
                "ecmascript"
                    | "javascript"
                    | "jscript"
                    | "livescript"
                    | "x-ecmascript"
                    | "x-javascript"
            ) || matches!(
                name.strip_prefix("javascript1."),
                Some("0" | "1" | "2" | "3" | "4" | "5")
            )
        }
        _ => false,
    }
}

/// Character references, as far as they matter to scripts, styles and URLs.
fn decode_references(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = rest.find(';').filter(|&end| end <= 10);
        let decoded = end.and_then(|end| match &rest[1..end] {
            "amp" => Some('&'),
            "lt" => Some('<'),
            "gt" => Some('>'),
            "quot" => Some('"'),
            "apos" => Some('\''),
            name => {
                let number = name.strip_prefix('#')?;
                let code = match number.strip_prefix(['x', 'X']) {
                    Some(digits) => u32::from_str_radix(digits, 16),
                    None => number.parse(),
                };
                char::from_u32(code.ok()?)
            }
        });
        match (decoded, end) {
            (Some(c), Some(end)) => {
                out.push(c);
                rest = &rest[end + 1..];
            }
            _ => {
                out.push('&');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}
