//! Alertmanager's template functions.

use std::sync::{Arc, Mutex};

use golang::regexp::Regexp;
use golang::strconv::{can_backquote, quote};
use golang::time::{Time, Zone};
use gotemplate::{
    DurationValue, Function, Functions, List, Param, Safe, Set, TimeValue, Value, to_json,
};

use super::data::Kv;
use super::numbers::humanize_duration;
use super::title::title;

const ANY: Param = Param::Any;
const STRING: Param = Param::STRING;
const TIME: Param = Param::Type("time.Time");

/// What functions of one expansion know.
pub(super) struct Context {
    pub set: Arc<Set>,
    /// The dot of the whole expansion.
    pub value: Value,
    pub route_labels: Kv,
    pub now: Time,
}

/// The functions as far as parsing needs them.
pub(super) fn parse_functions() -> Functions<'static> {
    functions(Context {
        set: Arc::new(Set::default()),
        value: Value::Nil,
        route_labels: Kv::default(),
        now: Time::default(),
    })
}

pub(super) fn functions(context: Context) -> Functions<'static> {
    let mut functions = Functions::new();
    texts(&mut functions);
    encodings(&mut functions);
    collections(&mut functions);
    times(&mut functions, &context.now);
    functions.add("routeLabels", route_labels(context));
    functions
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn texts(functions: &mut Functions<'static>) {
    let one = |call: fn(&str) -> String| {
        Function::new([STRING], move |args| Ok(call(text(&args[0])).into()))
    };
    functions.add("toUpper", one(|s| s.to_uppercase()));
    functions.add("toLower", one(|s| s.to_lowercase()));
    functions.add("title", one(title));
    functions.add("trimSpace", one(|s| s.trim().to_owned()));
    functions.add(
        "join",
        Function::new([STRING, Param::Type("[]string")], |args| {
            let Value::List(list) = args[1].plain() else {
                return Ok("".into());
            };
            let parts: Vec<&str> = list.items.iter().map(text).collect();
            Ok(parts.join(text(&args[0])).into())
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
                let shown = match can_backquote(pattern) {
                    true => format!("`{pattern}`"),
                    false => quote(pattern),
                };
                format!("regexp: Compile({shown}): {e}")
            })?;
            Ok(regexp.replace_all(text(&args[2]), text(&args[1])).into())
        }),
    );
    let safe = |safe: Safe| {
        Function::new([STRING], move |args| {
            Ok(Value::Safe(safe, text(&args[0]).into()))
        })
    };
    functions.add("safeHtml", safe(Safe::Html));
    functions.add("safeUrl", safe(Safe::Url));
}

fn encodings(functions: &mut Functions<'static>) {
    let try_one = |call: fn(&str) -> Result<String, String>| {
        Function::new([STRING], move |args| call(text(&args[0])).map(Value::from))
    };
    functions.add("urlUnescape", try_one(unescape_query));
    functions.add("base64encode", try_one(|s| Ok(encode_base64(s.as_bytes()))));
    functions.add("base64decode", try_one(decode_base64));
    functions.add(
        "toJson",
        Function::new([ANY], |args| to_json(&args[0]).map(Value::from)),
    );
}

fn collections(functions: &mut Functions<'static>) {
    functions.add(
        "stringSlice",
        Function::variadic([], STRING, |args| {
            Ok(Value::typed_list("[]string", args.iter().cloned()))
        }),
    );
    functions.add(
        "list",
        Function::variadic([], ANY, |args| Ok(Value::list(args.iter().cloned()))),
    );
    functions.add(
        "append",
        Function::variadic([Param::Type("[]interface {}")], ANY, |args| {
            let mut items = match args[0].plain() {
                Value::List(List { items, .. }) => items.to_vec(),
                _ => Vec::new(),
            };
            items.extend_from_slice(&args[1..]);
            Ok(Value::list(items))
        }),
    );
    functions.add(
        "dict",
        Function::variadic([], ANY, |args| {
            if args.len() % 2 != 0 {
                return Err("dict requires an even number of arguments".to_owned());
            }
            let mut entries = Vec::new();
            for pair in args.chunks_exact(2) {
                let Value::String(key) = &pair[0] else {
                    return Err("dict keys must be strings".to_owned());
                };
                entries.push((Arc::clone(key), pair[1].clone()));
            }
            Ok(Value::map(entries))
        }),
    );
}

/// The time in an argument that was declared as one.
fn time(value: &Value) -> Time {
    let time = value.downcast::<TimeValue>();
    time.map(|t| t.0.clone()).unwrap_or_default()
}

fn times(functions: &mut Functions<'static>, now: &Time) {
    let this = now.clone();
    functions.add(
        "now",
        Function::new([], move |_| Ok(Value::from(this.clone()))),
    );
    let this = now.clone();
    functions.add(
        "since",
        Function::new([TIME], move |args| {
            let passed = this.sub(&time(&args[0]));
            Ok(Value::object(DurationValue(passed)))
        }),
    );
    functions.add(
        "date",
        Function::new([STRING, TIME], |args| {
            Ok(time(&args[1]).format(text(&args[0])).into())
        }),
    );
    functions.add(
        "tz",
        Function::new([STRING, TIME], |args| {
            let zone = Zone::load(text(&args[0])).map_err(|e| e.to_string())?;
            Ok(time(&args[1]).in_zone(zone).into())
        }),
    );
    functions.add(
        "toDate",
        Function::new([STRING, STRING], |args| {
            let time = Time::parse(text(&args[0]), text(&args[1]));
            Ok(time.unwrap_or_default().into())
        }),
    );
    functions.add(
        "mustToDate",
        Function::new([STRING, STRING], |args| {
            let time = Time::parse(text(&args[0]), text(&args[1]));
            time.map(Value::from).map_err(|e| e.to_string())
        }),
    );
    functions.add(
        "humanizeDuration",
        Function::new([ANY], |args| humanize_duration(&args[0]).map(Value::from)),
    );
}

/// `routeLabels name`: the route's label, itself a template over the same data, expanded.
fn route_labels(context: Context) -> Function<'static> {
    // The labels being expanded, so that one that needs itself is found out.
    let open = Mutex::new(Vec::<String>::new());
    Function::scoped([STRING], None, move |scope, args| {
        let name = text(&args[0]);
        let Some(template) = context.route_labels.get(name) else {
            return Ok("".into());
        };
        {
            let mut open = open.lock().unwrap_or_else(|e| e.into_inner());
            if open.iter().any(|known| known == name) {
                return Err(format!("route label {} refers to itself", quote(name)));
            }
            open.push(name.to_owned());
        }
        let mut set = Set::clone(&context.set);
        let result = set
            .parse("", template, scope.functions())
            .and_then(|()| scope.execute_in(&set, "", &context.value));
        open.lock().unwrap_or_else(|e| e.into_inner()).pop();
        result.map(Value::from).map_err(|e| e.to_string())
    })
}

/// Go's `url.QueryUnescape`.
fn unescape_query(text: &str) -> Result<String, String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let digits = after.get(..2).and_then(|d| std::str::from_utf8(d).ok());
                let code = digits
                    .filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))
                    .and_then(|d| u8::from_str_radix(d, 16).ok());
                let Some(code) = code else {
                    let end = after.len().min(2);
                    let shown = String::from_utf8_lossy(&after[..end]).into_owned();
                    return Err(format!(
                        "invalid URL escape {}",
                        quote(&format!("%{shown}"))
                    ));
                };
                out.push(code);
                rest = &after[2..];
            }
            byte => out.push(byte),
        }
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Go's `base64.URLEncoding`.
fn encode_base64(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk
            .iter()
            .fold(0u32, |group, &byte| group << 8 | u32::from(byte))
            << (8 * (3 - chunk.len()));
        for at in 0..4 {
            let digit = BASE64[(group >> (18 - 6 * at) & 63) as usize];
            out.push(if at <= chunk.len() {
                char::from(digit)
            } else {
                '='
            });
        }
    }
    out
}

/// Go's `base64.URLEncoding`, which passes over line breaks; errors name the byte at fault.
fn decode_base64(text: &str) -> Result<String, String> {
    let corrupt = |at: usize| format!("illegal base64 data at input byte {at}");
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len() / 4 * 3);
    let (mut group, mut digits, mut at) = (0u32, 0u32, 0);
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        if matches!(byte, b'\n' | b'\r') {
            continue;
        }
        if byte == b'=' {
            let rest: Vec<usize> = (at..bytes.len())
                .filter(|&i| !matches!(bytes[i], b'\n' | b'\r'))
                .collect();
            let padding = match (digits, &rest[..]) {
                (2, [next, more @ ..]) if bytes[*next] == b'=' => Ok(more.first().copied()),
                (2, [next, ..]) => Err(*next),
                (2, []) => Err(bytes.len()),
                (3, more) => Ok(more.first().copied()),
                _ => Err(at - 1),
            };
            if let Some(extra) = padding.map_err(corrupt)? {
                return Err(corrupt(extra));
            }
            group <<= 6 * (4 - digits);
            out.push((group >> 16) as u8);
            if digits == 3 {
                out.push((group >> 8) as u8);
            }
            digits = 0;
            break;
        }
        let Some(value) = BASE64.iter().position(|&known| known == byte) else {
            return Err(corrupt(at - 1));
        };
        group = group << 6 | value as u32;
        digits += 1;
        if digits == 4 {
            out.extend_from_slice(&[(group >> 16) as u8, (group >> 8) as u8, group as u8]);
            (group, digits) = (0, 0);
        }
    }
    if digits > 0 {
        return Err(corrupt(at - digits as usize));
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}
