//! What the values of attributes are (`html/template/attr.go`).

/// What an attribute's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Plain,
    Css,
    Html,
    Js,
    Url,
    Srcset,
    /// Not to be named by a value.
    Unsafe,
}

const URLS: &[&str] = &[
    "action",
    "archive",
    "background",
    "cite",
    "classid",
    "codebase",
    "data",
    "formaction",
    "href",
    "icon",
    "longdesc",
    "manifest",
    "poster",
    "profile",
    "src",
    "usemap",
    "xmlns",
];

const UNSAFE: &[&str] = &[
    "accept-charset",
    "async",
    "challenge",
    "charset",
    "content",
    "crossorigin",
    "defer",
    "enctype",
    "form",
    "formenctype",
    "formmethod",
    "formnovalidate",
    "http-equiv",
    "keytype",
    "language",
    "method",
    "novalidate",
    "pattern",
    "rel",
    "sandbox",
    "type",
    "value",
];

/// Known names that hold the letters the heuristics look for, or begin with `on`.
const PLAIN: &[&str] = &["srclang"];

/// The kind of an attribute by its lower-case name.
pub(super) fn kind(name: &str) -> Kind {
    let name = match (name.strip_prefix("data-"), name.split_once(':')) {
        (Some(rest), _) => rest,
        (None, Some(("xmlns", _))) => return Kind::Url,
        (None, Some((_, short))) => short,
        (None, None) => name,
    };
    match name {
        "style" => Kind::Css,
        "srcdoc" => Kind::Html,
        "srcset" => Kind::Srcset,
        name if PLAIN.contains(&name) => Kind::Plain,
        name if URLS.contains(&name) => Kind::Url,
        name if UNSAFE.contains(&name) => Kind::Unsafe,
        name if name.starts_with("on") => Kind::Js,
        name if ["src", "uri", "url"].iter().any(|part| name.contains(part)) => Kind::Url,
        _ => Kind::Plain,
    }
}
