//! Which parser a response is for (prometheus/prometheus `model/textparse/interface.go`), by Go's
//! reading of content types (`mime.ParseMediaType`).

use golang::strconv::quote;

/// The formats that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MediaType {
    /// `text/plain`
    Text,
    /// `application/openmetrics-text`
    OpenMetrics,
    /// `application/vnd.google.protobuf`
    Protobuf,
}

impl MediaType {
    /// The media type's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            MediaType::Text => "text/plain",
            MediaType::OpenMetrics => "application/openmetrics-text",
            MediaType::Protobuf => "application/vnd.google.protobuf",
        }
    }

    /// The media type of this name.
    pub fn parse(name: &str) -> Option<MediaType> {
        [MediaType::Text, MediaType::OpenMetrics, MediaType::Protobuf]
            .into_iter()
            .find(|media_type| media_type.as_str() == name)
    }
}

/// Picks the parser for a response's `Content-Type`. With a `fallback` an unusable content type is only
/// worth a warning, the second part of the result; without one it is an error, and so the scrape's.
///
/// # Errors
/// Upstream's text for a content type that is missing, malformed or of no format that can be read.
pub fn choose_parser(
    content_type: &str,
    fallback: Option<MediaType>,
) -> Result<(MediaType, Option<String>), String> {
    let fallback_name = quote(fallback.map_or("", MediaType::as_str));
    let content = quote(content_type);
    let (warning, error) = if content_type.is_empty() {
        let what = "non-compliant scrape target sending blank Content-Type";
        (
            format!("{what}, using fallback_scrape_protocol {fallback_name}"),
            format!("{what} and no fallback_scrape_protocol specified for target"),
        )
    } else {
        match parse_media_type(content_type) {
            Err(cause) => (
                format!(
                    "could not parse received Content-Type {content}, using fallback_scrape_protocol {fallback_name}\nmime: {cause}"
                ),
                format!(
                    "cannot parse Content-Type {content} and no fallback_scrape_protocol for target\nmime: {cause}"
                ),
            ),
            Ok(name) => match MediaType::parse(&name) {
                Some(media_type) => return Ok((media_type, None)),
                None => (
                    format!(
                        "received unsupported Content-Type {content}, using fallback_scrape_protocol {fallback_name}"
                    ),
                    format!(
                        "received unsupported Content-Type {content} and no fallback_scrape_protocol specified for target"
                    ),
                ),
            },
        }
    };
    match fallback {
        Some(fallback) => Ok((fallback, Some(warning))),
        None => Err(error),
    }
}

/// The media type in lower case, once the parameters have been found in order.
fn parse_media_type(value: &str) -> Result<String, &'static str> {
    let (base, mut rest) = match value.split_once(';') {
        Some((base, _)) => (base, &value[base.len()..]),
        None => (value, ""),
    };
    let media_type = base.trim().to_ascii_lowercase();
    check_media_type(&media_type)?;
    let mut names: Vec<String> = Vec::new();
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return Ok(media_type);
        }
        let Some((name, after)) = parameter(rest) else {
            // One semicolon at the end is let pass.
            return if rest.trim() == ";" {
                Ok(media_type)
            } else {
                Err("invalid media parameter")
            };
        };
        if names.contains(&name) {
            return Err("duplicate parameter name");
        }
        names.push(name);
        rest = after;
    }
}

fn check_media_type(media_type: &str) -> Result<(), &'static str> {
    let (kind, rest) = token(media_type);
    if kind.is_empty() {
        return Err("no media type");
    }
    if rest.is_empty() {
        return Ok(());
    }
    let Some(rest) = rest.strip_prefix('/') else {
        return Err("expected slash after first token");
    };
    let (subtype, rest) = token(rest);
    if subtype.is_empty() {
        return Err("expected token after slash");
    }
    if !rest.is_empty() {
        return Err("unexpected content after media subtype");
    }
    Ok(())
}

fn token(text: &str) -> (&str, &str) {
    let is_token = |c: char| c.is_ascii_graphic() && !"()<>@,;:\\\"/[]?=".contains(c);
    text.split_at(text.find(|c| !is_token(c)).unwrap_or(text.len()))
}

/// `; name=value`, the value as a token or in quotes.
fn parameter(text: &str) -> Option<(String, &str)> {
    let rest = text.strip_prefix(';')?.trim_start();
    let (name, rest) = token(rest);
    let rest = rest.trim_start().strip_prefix('=')?.trim_start();
    if name.is_empty() {
        return None;
    }
    let name = name.to_ascii_lowercase();
    let Some(quoted) = rest.strip_prefix('"') else {
        let (value, rest) = token(rest);
        return (!value.is_empty()).then_some((name, rest));
    };
    let mut escaped = false;
    for (i, c) in quoted.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some((name, &quoted[i + 1..])),
            '\r' | '\n' => return None,
            _ => {}
        }
    }
    None
}
