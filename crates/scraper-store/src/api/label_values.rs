//! `/api/v1/label/<name>/values`: the values of a label.

use http_api::ApiError;
use storage::Queryable;

use super::{Answer, Api, Call};

pub(super) fn handle(api: &Api, call: &Call) -> Answer {
    let name = unescape_name(&call.path_argument);
    if name.is_empty() {
        let quoted = golang::strconv::quote(&name);
        return Err(ApiError::bad_data(format!("invalid label name: {quoted}")));
    }
    let limit = http_api::parse_limit(&call.params)?;
    let (start_ms, end_ms) = super::series::range(call)?;
    let sets = http_api::parse_match_params(call.params.all("match[]"))?;
    let querier = api
        .store
        .querier(start_ms, end_ms)
        .map_err(super::storage_error)?;
    let (values, annotations) = super::labels::union(limit, &sets, |hints, matchers| {
        querier.label_values(&name, hints, matchers)
    })?;
    Ok(super::labels::answer(values, annotations))
}

/// A name as paths carry it: `U__` and then letters, digits, `__` for `_` and `_<hex>_` for any
/// other character (prometheus/common `model/metric.go`, ValueEncodingEscaping). Names without the
/// prefix, and those that do not decode, stand for themselves.
fn unescape_name(name: &str) -> String {
    let Some(escaped) = name.strip_prefix("U__") else {
        return name.to_owned();
    };
    let mut out = String::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        if c != '_' {
            out.push(c);
        } else if let Some(after) = rest.strip_prefix('_') {
            out.push('_');
            rest = after;
        } else {
            let decoded = rest.split_once('_').and_then(|(hex, after)| {
                let code = u32::from_str_radix(hex, 16)
                    .ok()
                    .filter(|_| hex.len() <= 6)?;
                Some((char::from_u32(code)?, after))
            });
            let Some((decoded, after)) = decoded else {
                return name.to_owned();
            };
            out.push(decoded);
            rest = after;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::unescape_name;

    #[test]
    fn names_in_paths() {
        for (escaped, name) in [
            ("job", "job"),
            ("U__n_e4_me", "näme"),
            ("U__a__b", "a_b"),
            ("U__a_2e_b", "a.b"),
            ("U__bad_zz_", "U__bad_zz_"),
            ("U__bad_12", "U__bad_12"),
        ] {
            assert_eq!(unescape_name(escaped), name);
        }
    }
}
