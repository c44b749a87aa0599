//! Contextual escaping (`html/template`): what a value needs depends on where in the page it stands.
//!
//! Go rewrites the templates beforehand; here the context is followed while the page is written, by
//! the same transitions ([`transition`]), and each value goes through the same filters
//! ([`filters`]). Comments are dropped from the page, as Go does.

mod attribute;
mod filters;
mod transition;

use crate::{Error, Value};
use filters::Content;
use transition::{Context, Delim, Element, State};

/// Text that its author vouches for, in the place named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Safe {
    Css,
    Html,
    HtmlAttr,
    Js,
    JsStr,
    Url,
    Srcset,
}

impl Safe {
    pub(crate) fn type_name(self) -> &'static str {
        match self {
            Safe::Css => "template.CSS",
            Safe::Html => "template.HTML",
            Safe::HtmlAttr => "template.HTMLAttr",
            Safe::Js => "template.JS",
            Safe::JsStr => "template.JSStr",
            Safe::Url => "template.URL",
            Safe::Srcset => "template.Srcset",
        }
    }
}

/// Follows a page as it is written.
#[derive(Debug, Default)]
pub(crate) struct Escaper {
    context: Context,
    failed: Option<String>,
}

impl Escaper {
    /// Appends literal text of a template.
    pub(crate) fn literal(&mut self, out: &mut String, text: &str) {
        let mut context = std::mem::take(&mut self.context);
        let (mut at, mut written) = (0, 0);
        while at < text.len() {
            let (next, read) = match transition::after_text(&context, &text[at..]) {
                Ok(step) => step,
                Err(message) => {
                    self.failed.get_or_insert(message);
                    out.push_str(&text[written..]);
                    self.context = context;
                    return;
                }
            };
            let end = at + read;
            if matches!(context.state, State::Text | State::Rcdata) {
                // A `<` that opens no tag is text.
                let mut limit = end;
                if next.state != context.state
                    && let Some(open) = text[at..end].rfind('<')
                {
                    limit = at + open;
                }
                for open in text[at..limit].match_indices('<').map(|(i, _)| at + i) {
                    let doctype = text[open..]
                        .get(..9)
                        .is_some_and(|start| start.eq_ignore_ascii_case("<!DOCTYPE"));
                    if !doctype {
                        out.push_str(&text[written..open]);
                        out.push_str("&lt;");
                        written = open + 1;
                    }
                }
            } else if context.state.is_comment() && context.delim == Delim::None {
                match context.state {
                    State::JsBlockComment => {
                        let lines =
                            text[written..end].contains(['\n', '\r', '\u{2028}', '\u{2029}']);
                        out.push(if lines { '\n' } else { ' ' });
                    }
                    State::CssBlockComment => out.push(' '),
                    _ => {}
                }
                written = end;
            }
            if next.state != context.state && next.state.is_comment() && next.delim == Delim::None {
                let mark = match next.state {
                    State::HtmlComment | State::JsHtmlOpenComment => 4,
                    State::JsHtmlCloseComment => 3,
                    _ => 2,
                };
                out.push_str(&text[written..end - mark.min(end - written)]);
                written = end;
            }
            if read == 0 && next == context {
                // Not to be reached; never loop for it.
                break;
            }
            context = next;
            at = end;
        }
        if !context.state.is_comment() || context.delim != Delim::None {
            out.push_str(&text[written..]);
        }
        self.context = context;
    }

    /// A value as the place it stands in needs it. `functions` are those of its pipeline, each
    /// with whether it is the last one.
    pub(crate) fn value(
        &mut self,
        value: &Value,
        functions: &[(&str, bool)],
    ) -> Result<String, String> {
        if let Some(message) = &self.failed {
            return Err(message.clone());
        }
        let context = &mut self.context;
        context.nudge();
        for (name, last) in functions {
            let unquoted = context.state == State::Attr
                && context.delim == Delim::SpaceOrTagEnd
                && *name == "html";
            if matches!(*name, "html" | "urlquery") && (!last || unquoted) {
                return Err(format!(
                    "predefined escaper \"{name}\" disallowed in template"
                ));
            }
        }
        let last = functions.iter().find(|(_, last)| *last).map(|(n, _)| *n);
        let (by_html, by_query) = (last == Some("html"), last == Some("urlquery"));
        let mut content = filters::content(value);
        match context.state {
            State::Url
            | State::CssDqString
            | State::CssSqString
            | State::CssDqUrl
            | State::CssSqUrl
            | State::CssUrl => match context.url_part {
                transition::UrlPart::None | transition::UrlPart::PreQuery => {
                    if context.url_part == transition::UrlPart::None {
                        content = filters::url_filter(content);
                    }
                    if matches!(context.state, State::CssDqString | State::CssSqString) {
                        content = filters::css_string(content);
                    } else if !by_query {
                        content = filters::url(content, true);
                    }
                }
                transition::UrlPart::Query if !by_query => content = filters::url(content, false),
                transition::UrlPart::Query => {}
            },
            State::MetaContentUrl => content = filters::url_filter(content),
            State::Js => {
                content = Content::plain(filters::js_value(value));
                context.division = true;
            }
            State::JsDqString | State::JsSqString => content = filters::js_string(content),
            State::JsTemplate => content = filters::js_template(content),
            State::JsRegexp => content = filters::js_regexp(content),
            State::Css => content = filters::css_value(content),
            State::Text if !by_html => content = filters::html(content),
            State::Rcdata if !by_html => content = filters::rcdata(content),
            State::AttrName | State::Tag => {
                context.state = State::AttrName;
                content = filters::attribute_name(content);
            }
            State::Srcset => content = filters::srcset(content),
            State::HtmlComment
            | State::JsBlockComment
            | State::JsLineComment
            | State::JsHtmlOpenComment
            | State::JsHtmlCloseComment
            | State::CssBlockComment
            | State::CssLineComment => content = Content::plain(String::new()),
            State::Text
            | State::Rcdata
            | State::Attr
            | State::MetaContent
            | State::AfterName
            | State::BeforeValue => {}
        }
        match context.delim {
            Delim::None => {}
            Delim::SpaceOrTagEnd => content = filters::unquoted(content),
            Delim::Single | Delim::Double if !by_html => content = filters::attribute(content),
            Delim::Single | Delim::Double => {}
        }
        Ok(content.text)
    }

    /// The page ends here; it must not be inside of a tag.
    pub(crate) fn finish(&self, name: &str) -> Result<(), Error> {
        if let Some(message) = &self.failed {
            return Err(Error(format!("html/template:{name}: {message}")));
        }
        if self.context.state != State::Text {
            return Err(Error(format!(
                "html/template:{name}: ends in a non-text context"
            )));
        }
        Ok(())
    }
}

/// The element whose content the tag that begins in `name` opens.
fn element_of(name: &str) -> Element {
    match name.to_ascii_lowercase().as_str() {
        "script" => Element::Script,
        "style" => Element::Style,
        "textarea" => Element::Textarea,
        "title" => Element::Title,
        "meta" => Element::Meta,
        _ => Element::None,
    }
}
