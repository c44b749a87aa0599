//! What values become in each place (`html/template/{html,url,css,js,content}.go`).

use super::{Safe, attribute};
use crate::Value;

/// What stands in for a value that is not allowed where it is.
const FAILSAFE: &str = "ZgotmplZ";

/// A value as text, and what it is safe as.
pub(super) struct Content {
    pub text: String,
    safe: Option<Safe>,
}

impl Content {
    pub(super) fn plain(text: String) -> Content {
        Content { text, safe: None }
    }
}

/// A value as text; nothing is nothing.
pub(super) fn content(value: &Value) -> Content {
    match value {
        Value::Nil => Content::plain(String::new()),
        Value::Safe(safe, text) => Content {
            text: text.to_string(),
            safe: Some(*safe),
        },
        other => Content::plain(other.print()),
    }
}

/// Replaces characters, and code points that are none as references if `references`.
fn replaced(
    text: &str,
    references: bool,
    replace: impl Fn(char) -> Option<&'static str>,
) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match replace(c) {
            Some(replacement) => out.push_str(replacement),
            None if references
                && matches!(c, '\u{fdd0}'..='\u{fdef}' | '\u{fff0}'..='\u{ffff}') =>
            {
                out.push_str(&format!("&#x{:x};", u32::from(c)));
            }
            None => out.push(c),
        }
    }
    out
}

fn html_character(c: char) -> Option<&'static str> {
    Some(match c {
        '\0' => "\u{fffd}",
        '"' => "&#34;",
        '&' => "&amp;",
        '\'' => "&#39;",
        '+' => "&#43;",
        '<' => "&lt;",
        '>' => "&gt;",
        _ => return None,
    })
}

/// As above for HTML, whose references stay.
fn html_normal(c: char) -> Option<&'static str> {
    html_character(c).filter(|_| c != '&')
}

fn unquoted_character(c: char) -> Option<&'static str> {
    Some(match c {
        '\0' => "&#xfffd;",
        '\t' => "&#9;",
        '\n' => "&#10;",
        '\x0b' => "&#11;",
        '\x0c' => "&#12;",
        '\r' => "&#13;",
        ' ' => "&#32;",
        '=' => "&#61;",
        '`' => "&#96;",
        c => return html_character(c),
    })
}

/// In the page's text.
pub(super) fn html(content: Content) -> Content {
    match content.safe {
        Some(Safe::Html) => content,
        _ => Content::plain(replaced(&content.text, false, html_character)),
    }
}

/// In `<title>` and `<textarea>`.
pub(super) fn rcdata(content: Content) -> Content {
    Content::plain(match content.safe {
        Some(Safe::Html) => replaced(&content.text, false, html_normal),
        _ => replaced(&content.text, false, html_character),
    })
}

/// In a quoted attribute.
pub(super) fn attribute(content: Content) -> Content {
    Content::plain(match content.safe {
        Some(Safe::Html) => replaced(&strip_tags(&content.text), false, html_normal),
        _ => replaced(&content.text, false, html_character),
    })
}

/// In an attribute without quotes.
pub(super) fn unquoted(content: Content) -> Content {
    if content.text.is_empty() {
        return Content::plain(FAILSAFE.to_owned());
    }
    Content::plain(match content.safe {
        Some(Safe::Html) => replaced(&strip_tags(&content.text), true, |c| {
            unquoted_character(c).filter(|_| c != '&')
        }),
        _ => replaced(&content.text, true, unquoted_character),
    })
}

/// The text of an HTML fragment, without its tags and comments.
fn strip_tags(html: &str) -> String {
    use super::transition::{Context, Delim, State, after_text};
    let mut out = String::new();
    let mut context = Context::default();
    let mut rest = html;
    while !rest.is_empty() {
        let Ok((next, read)) = after_text(&context, rest) else {
            break;
        };
        if read == 0 && next == context {
            break;
        }
        if context.delim == Delim::None && matches!(context.state, State::Text | State::Rcdata) {
            let text = &rest[..read];
            let end = match next.state == context.state {
                true => read,
                false => text.rfind('<').unwrap_or(read),
            };
            out.push_str(&text[..end]);
        }
        context = next;
        rest = &rest[read..];
    }
    out
}

/// As the name of an attribute.
pub(super) fn attribute_name(content: Content) -> Content {
    if let Some(Safe::HtmlAttr) = content.safe {
        return content;
    }
    let name = content.text.to_lowercase();
    let plain = attribute::kind(&name) == attribute::Kind::Plain;
    let letters = name
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    Content::plain(if !name.is_empty() && plain && letters {
        name
    } else {
        FAILSAFE.to_owned()
    })
}

fn is_safe_url(url: &str) -> bool {
    match url.split_once(':') {
        Some((protocol, _)) if !protocol.contains('/') => ["http", "https", "mailto"]
            .iter()
            .any(|known| protocol.eq_ignore_ascii_case(known)),
        _ => true,
    }
}

/// At the start of a URL: only schemes that run nothing.
pub(super) fn url_filter(content: Content) -> Content {
    if content.safe == Some(Safe::Url) || is_safe_url(&content.text) {
        return content;
    }
    Content::plain(format!("#{FAILSAFE}"))
}

/// In a URL: `normal` keeps what has a meaning there.
pub(super) fn url(content: Content, normal: bool) -> Content {
    let normal = normal || content.safe == Some(Safe::Url);
    Content::plain(url_text(&content.text, normal))
}

fn url_text(text: &str, normal: bool) -> String {
    let bytes = text.as_bytes();
    let hexadecimal = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_hexdigit);
    let mut out = String::with_capacity(text.len());
    for (at, &byte) in bytes.iter().enumerate() {
        let kept = match byte {
            b'-' | b'.' | b'_' | b'~' => true,
            b'!' | b'#' | b'$' | b'&' | b'*' | b'+' | b',' | b'/' | b':' | b';' | b'=' | b'?'
            | b'@' | b'[' | b']' => normal,
            b'%' => normal && hexadecimal(at + 1) && hexadecimal(at + 2),
            byte => byte.is_ascii_alphanumeric(),
        };
        if kept {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02x}"));
        }
    }
    out
}

/// In `srcset`: URLs with sizes between commas.
pub(super) fn srcset(content: Content) -> Content {
    let text = &content.text;
    Content::plain(match content.safe {
        Some(Safe::Srcset) => text.clone(),
        Some(Safe::Url) => url_text(text, true).replace(',', "%2c"),
        _ => {
            let parts: Vec<String> = text.split(',').map(srcset_part).collect();
            parts.join(",")
        }
    })
}

fn srcset_part(part: &str) -> String {
    let space = |c: char| matches!(c, ' ' | '\t' | '\n' | '\x0c' | '\r');
    let body = part.trim_start_matches(space);
    let lead = &part[..part.len() - body.len()];
    let (url, rest) = body.split_at(body.find(space).unwrap_or(body.len()));
    let plain = rest.chars().all(|c| space(c) || c.is_ascii_alphanumeric());
    if is_safe_url(url) && plain {
        return format!("{lead}{}{rest}", url_text(url, true));
    }
    format!("#{FAILSAFE}")
}

/// In a string of a style.
pub(super) fn css_string(content: Content) -> Content {
    let text = &content.text;
    let mut out = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        let code = match c {
            '\\' => {
                out.push_str("\\\\");
                continue;
            }
            '\0' | '\t' | '\n' | '\x0c' | '\r' | '"' | '&' | '\'' | '(' | ')' | '+' | '/' | ':'
            | ';' | '<' | '>' | '{' | '}' => u32::from(c),
            c => {
                out.push(c);
                continue;
            }
        };
        out.push_str(&format!("\\{code:x}"));
        let next = text[at + 1..].chars().next();
        let joins = |c: char| c.is_ascii_hexdigit() || " \t\n\x0c\r".contains(c);
        if next.is_none_or(joins) {
            out.push(' ');
        }
    }
    Content::plain(out)
}

/// As a value in a style: only what cannot run or break out.
pub(super) fn css_value(content: Content) -> Content {
    if content.safe == Some(Safe::Css) {
        return content;
    }
    let decoded = decode_css(&content.text);
    let bad = decoded.contains(|c| "\0\"'()/;@[\\]`{}<>".contains(c)) || decoded.contains("--");
    let word: String = decoded
        .chars()
        .filter(|&c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        .map(|c| c.to_ascii_lowercase())
        .collect();
    if bad || word.contains("expression") || word.contains("mozbinding") {
        return Content::plain(FAILSAFE.to_owned());
    }
    Content::plain(decoded)
}

/// Undoes escapes of style sheets.
pub(super) fn decode_css(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let digits = rest
            .bytes()
            .take(6)
            .take_while(u8::is_ascii_hexdigit)
            .count();
        if digits == 0 {
            // A lone backslash at the end is dropped; any other character is itself.
            let Some(c) = rest.chars().next() else {
                return out;
            };
            out.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        }
        let mut used = digits;
        let mut code = u32::from_str_radix(&rest[..used], 16).unwrap_or(0);
        if code > 0x10_ffff {
            used -= 1;
            code /= 16;
        }
        out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
        rest = &rest[used..];
        rest = rest
            .strip_prefix("\r\n")
            .or_else(|| rest.strip_prefix(['\t', '\n', '\x0c', ' ', '\r']))
            .unwrap_or(rest);
    }
    out.push_str(rest);
    out
}

fn control(c: char) -> Option<String> {
    Some(match c {
        '\t' => "\\t".to_owned(),
        '\n' => "\\n".to_owned(),
        '\x0c' => "\\f".to_owned(),
        '\r' => "\\r".to_owned(),
        c if c < ' ' => format!("\\u{:04x}", u32::from(c)),
        '\u{2028}' | '\u{2029}' => format!("\\u{:x}", u32::from(c)),
        _ => return None,
    })
}

fn script_text(text: &str, special: impl Fn(char) -> bool, slashed: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if let Some(escaped) = control(c) {
            out.push_str(&escaped);
        } else if slashed.contains(c) {
            out.extend(['\\', c]);
        } else if special(c) {
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
}

fn quotes(c: char) -> bool {
    "\"`&'+<>".contains(c)
}

/// In a string of a script.
pub(super) fn js_string(content: Content) -> Content {
    // A string that is safe already keeps its backslashes.
    let slashed = match content.safe {
        Some(Safe::JsStr) => "/",
        _ => "/\\",
    };
    Content::plain(script_text(&content.text, quotes, slashed))
}

/// In a template literal of a script.
pub(super) fn js_template(content: Content) -> Content {
    let special = |c: char| quotes(c) || "${}".contains(c);
    Content::plain(script_text(&content.text, special, "/\\"))
}

/// In a regular expression of a script.
pub(super) fn js_regexp(content: Content) -> Content {
    if content.text.is_empty() {
        return Content::plain("(?:)".to_owned());
    }
    let special = |c: char| "\"&'+<>".contains(c);
    let slashed = "$()*-./?[\\]^{|}";
    Content::plain(script_text(&content.text, special, slashed))
}

/// As a value in a script: JSON.
pub(super) fn js_value(value: &Value) -> String {
    match value {
        Value::Safe(Safe::Js, text) => return text.to_string(),
        Value::Safe(Safe::JsStr, text) => return format!("\"{text}\""),
        _ => {}
    }
    let json = match crate::json::to_json(value) {
        Ok(json) => json,
        Err(message) => {
            let message = message.replace("*/", "* /").replace("<!--", "\\x3C!--");
            return format!(" /* {message} */null ");
        }
    };
    let part = |c: char| c == '$' || c == '_' || c.is_ascii_alphanumeric();
    if json.starts_with(part) || json.ends_with(part) {
        return format!(" {json} ");
    }
    json
}
