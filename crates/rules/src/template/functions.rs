//! Prometheus' template functions.

use std::net::IpAddr;

use golang::regexp::Regexp;
use golang::strconv::{can_backquote, quote};
use gotemplate::{DurationValue, Function, Functions, Param, Safe, Value, escape_query};

use super::sample::{QueryResult, Sample};
use super::{Expander, numbers};

const ANY: Param = Param::Any;
const STRING: Param = Param::STRING;
const RESULT: Param = Param::Type("template.queryResult");
const SAMPLE: Param = Param::Type("*template.sample");

/// The functions for one expansion; `tmpl` is for HTML only.
pub(super) fn functions<'a>(expander: &Expander<'a>, html: bool) -> Functions<'a> {
    let mut functions = Functions::new();
    queries(&mut functions, expander);
    humanizers(&mut functions);
    times(&mut functions, expander.now_ms);
    texts(&mut functions);
    links(&mut functions, expander.external_url);
    if html {
        let call = |scope: &gotemplate::Scope<'_>, args: &[Value]| {
            let text = scope.execute(text(&args[0]), &args[1]);
            let text = text.map_err(|e| e.to_string())?;
            Ok(Value::Safe(Safe::Html, text.into()))
        };
        functions.add("tmpl", Function::scoped([STRING, ANY], None, call));
    }
    functions
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn sample(value: &Value) -> Result<&Sample, String> {
    let nil = || "runtime error: invalid memory address or nil pointer dereference".to_owned();
    value.downcast::<Sample>().ok_or_else(nil)
}

fn samples(value: &Value) -> &[Sample] {
    value.downcast::<QueryResult>().map_or(&[], |r| &r.0)
}

fn queries<'a>(functions: &mut Functions<'a>, expander: &Expander<'a>) {
    let (query, now_ms) = (expander.query, expander.now_ms);
    functions.add(
        "query",
        Function::new([STRING], move |args| {
            query(text(&args[0]), now_ms).map(|samples| Value::object(QueryResult(samples)))
        }),
    );
    functions.add(
        "first",
        Function::new([RESULT], |args| match samples(&args[0]) {
            [first, ..] => Ok(Value::object(first.clone())),
            [] => Err("first() called on vector with no elements".to_owned()),
        }),
    );
    functions.add(
        "label",
        Function::new([STRING, SAMPLE], |args| {
            Ok(sample(&args[1])?.labels.get(text(&args[0])).into())
        }),
    );
    functions.add(
        "value",
        Function::new([SAMPLE], |args| Ok(sample(&args[0])?.value.to_value())),
    );
    functions.add(
        "strvalue",
        Function::new([SAMPLE], |args| {
            Ok(sample(&args[0])?.labels.get("__value__").into())
        }),
    );
    functions.add(
        "sortByLabel",
        Function::new([STRING, RESULT], |args| {
            let label = text(&args[0]);
            let mut samples = samples(&args[1]).to_vec();
            samples.sort_by(|a, b| a.labels.get(label).cmp(b.labels.get(label)));
            Ok(Value::object(QueryResult(samples)))
        }),
    );
    functions.add(
        "args",
        Function::variadic([], ANY, |args| {
            let named = args.iter().enumerate();
            Ok(Value::map(
                named.map(|(at, arg)| (format!("arg{at}"), arg.clone())),
            ))
        }),
    );
}

fn humanizers(functions: &mut Functions<'_>) {
    let float = |call: fn(f64) -> Result<String, String>| {
        Function::new([ANY], move |args| {
            call(numbers::to_float(&args[0])?).map(Value::from)
        })
    };
    functions.add("humanize", float(|v| Ok(numbers::humanize(v))));
    functions.add("humanize1024", float(|v| Ok(numbers::humanize_1024(v))));
    functions.add(
        "humanizeDuration",
        float(|v| Ok(numbers::humanize_duration(v))),
    );
    functions.add(
        "humanizePercentage",
        float(|v| Ok(numbers::humanize_percentage(v))),
    );
    functions.add("humanizeTimestamp", float(numbers::humanize_timestamp));
}

fn times(functions: &mut Functions<'_>, now_ms: i64) {
    functions.add(
        "now",
        Function::new([], move |_| Ok(Value::Float(now_ms as f64 / 1000.0))),
    );
    functions.add(
        "toTime",
        Function::new([ANY], |args| {
            let value = numbers::to_float(&args[0])?;
            Ok(match numbers::time_of(value)? {
                Some(time) => Value::from(time),
                None => Value::Nil,
            })
        }),
    );
    functions.add(
        "toDuration",
        Function::new([ANY], |args| {
            let seconds = numbers::to_float(&args[0])?;
            Ok(Value::object(DurationValue((seconds * 1e9) as i64)))
        }),
    );
    functions.add(
        "parseDuration",
        Function::new([STRING], |args| {
            let given = text(&args[0]);
            let (sign, magnitude) = match given.strip_prefix('-') {
                Some(rest) => (-1.0, rest),
                None => (1.0, given),
            };
            let duration = model::parse_duration(magnitude).map_err(|e| e.to_string())?;
            Ok(Value::Float(sign * duration.as_secs_f64()))
        }),
    );
}

fn texts(functions: &mut Functions<'_>) {
    let one = |call: fn(&str) -> String| {
        Function::new([STRING], move |args| Ok(call(text(&args[0])).into()))
    };
    functions.add("title", one(title));
    functions.add("toUpper", one(|s| s.to_uppercase()));
    functions.add("toLower", one(|s| s.to_lowercase()));
    functions.add("stripPort", one(strip_port));
    functions.add("stripDomain", one(strip_domain));
    functions.add("urlQueryEscape", one(escape_query));
    functions.add(
        "safeHtml",
        Function::new([STRING], |args| {
            Ok(Value::Safe(Safe::Html, text(&args[0]).into()))
        }),
    );
    functions.add(
        "match",
        Function::new([STRING, STRING], |args| {
            let regexp = Regexp::new(text(&args[0])).map_err(|e| e.to_string())?;
            Ok(regexp.is_match(text(&args[1])).into())
        }),
    );
    functions.add(
        "reReplaceAll",
        Function::new([STRING, STRING, STRING], |args| {
            let pattern = text(&args[0]);
            let regexp = Regexp::new(pattern).map_err(|e| {
                let shown = if can_backquote(pattern) {
                    format!("`{pattern}`")
                } else {
                    quote(pattern)
                };
                format!("regexp: Compile({shown}): {e}")
            })?;
            Ok(regexp.replace_all(text(&args[2]), text(&args[1])).into())
        }),
    );
}

fn links<'a>(functions: &mut Functions<'a>, external_url: &'a str) {
    let link = |tab: u8| {
        Function::new([STRING], move |args| {
            let expression = escape_query(text(&args[0]));
            Ok(format!("/graph?g0.expr={expression}&g0.tab={tab}").into())
        })
    };
    functions.add("graphLink", link(0));
    functions.add("tableLink", link(1));
    functions.add(
        "externalURL",
        Function::new([], move |_| Ok(external_url.into())),
    );
    functions.add(
        "pathPrefix",
        Function::new([], move |_| Ok(path(external_url).into())),
    );
}

/// Every word's first letter in capitals (Go's `strings.Title`).
fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut previous = ' ';
    for c in text.chars() {
        let in_word = previous.is_alphanumeric() || previous == '_';
        let separates = !in_word && (previous.is_ascii() || previous.is_whitespace());
        if separates {
            out.extend(c.to_uppercase());
        } else {
            out.push(c);
        }
        previous = c;
    }
    out
}

/// Host and port of `host:port` or `[host]:port` (Go's `net.SplitHostPort`).
fn split_host_port(text: &str) -> Option<(&str, &str)> {
    let colon = text.rfind(':')?;
    if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        let port = port.strip_prefix(':')?;
        let clean = !port.contains([':', '[', ']']) && !host.contains(['[', ']']);
        return clean.then_some((host, port));
    }
    let (host, port) = (&text[..colon], &text[colon + 1..]);
    (!host.contains([':', '[', ']']) && !port.contains(['[', ']'])).then_some((host, port))
}

fn strip_port(text: &str) -> String {
    split_host_port(text)
        .map_or(text, |(host, _)| host)
        .to_owned()
}

fn strip_domain(text: &str) -> String {
    let (host, port) = split_host_port(text).unwrap_or((text, ""));
    if host.parse::<IpAddr>().is_ok() {
        return text.to_owned();
    }
    let name = host.split('.').next().unwrap_or_default();
    match port {
        "" => name.to_owned(),
        port if name.contains(':') => format!("[{name}]:{port}"),
        port => format!("{name}:{port}"),
    }
}

/// A URL's path, percent signs decoded.
fn path(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let start = match url.contains("://") {
        true => rest.find(['/', '?', '#']).unwrap_or(rest.len()),
        false => 0,
    };
    let path = rest[start..].split(['?', '#']).next().unwrap_or_default();
    let mut out = Vec::with_capacity(path.len());
    let mut bytes = path.as_bytes();
    while let Some((&byte, after)) = bytes.split_first() {
        let code = after
            .get(..2)
            .filter(|_| byte == b'%')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match code {
            Some(code) => {
                out.push(code);
                bytes = &after[2..];
            }
            None => {
                out.push(byte);
                bytes = after;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
