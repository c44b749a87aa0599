//! How names with characters beyond the old alphabet are written for clients that know only the old
//! one (prometheus/common `model/metric.go`, `EscapeName` and `UnescapeName`).

use std::borrow::Cow;

use model::names::is_legacy_metric_name;

/// An escaping scheme, the `escaping` parameter of a content type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Escaping {
    /// Names as they are, quoted where needed.
    AllowUtf8,
    /// Every foreign character becomes `_`.
    #[default]
    Underscores,
    /// Dots become `_dot_`, underscores are doubled, other foreign characters become `__`.
    Dots,
    /// `U__` and every foreign character as its code point: `_2e_`.
    Values,
}

impl Escaping {
    /// The name in content types and configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Escaping::AllowUtf8 => "allow-utf-8",
            Escaping::Underscores => "underscores",
            Escaping::Dots => "dots",
            Escaping::Values => "values",
        }
    }

    /// The scheme of this name.
    pub fn parse(name: &str) -> Option<Escaping> {
        [
            Escaping::AllowUtf8,
            Escaping::Underscores,
            Escaping::Dots,
            Escaping::Values,
        ]
        .into_iter()
        .find(|scheme| scheme.as_str() == name)
    }

    /// The escaped form of a metric or label name.
    pub fn escape(self, name: &str) -> Cow<'_, str> {
        // Dots doubles underscores, so that it changes legacy names too.
        if name.is_empty()
            || self == Escaping::AllowUtf8
            || (self != Escaping::Dots && is_legacy_metric_name(name))
        {
            return Cow::Borrowed(name);
        }
        let mut out = String::with_capacity(name.len() + 8);
        if self == Escaping::Values {
            out.push_str("U__");
        }
        for (i, c) in name.char_indices() {
            let legacy =
                c.is_ascii_alphabetic() || c == '_' || c == ':' || (c.is_ascii_digit() && i > 0);
            match (self, c) {
                (Escaping::Dots | Escaping::Values, '_') => out.push_str("__"),
                (Escaping::Dots, '.') => out.push_str("_dot_"),
                (_, c) if legacy => out.push(c),
                (Escaping::Dots, _) => out.push_str("__"),
                (Escaping::Values, c) => out.push_str(&format!("_{:x}_", c as u32)),
                _ => out.push('_'),
            }
        }
        Cow::Owned(out)
    }
}

/// Undoes [`Escaping::Values`]; a name that is not in that form is returned as it is.
pub fn unescape_values(name: &str) -> Cow<'_, str> {
    let Some(rest) = name.strip_prefix("U__") else {
        return Cow::Borrowed(name);
    };
    let mut out = String::with_capacity(rest.len());
    let mut chars = rest.char_indices();
    while let Some((i, c)) = chars.next() {
        if c != '_' {
            out.push(c);
            continue;
        }
        let tail = &rest[i + 1..];
        if tail.starts_with('_') {
            out.push('_');
            chars.next();
            continue;
        }
        let Some(end) = tail.find('_').filter(|end| *end <= 6) else {
            return Cow::Borrowed(name);
        };
        let code = u32::from_str_radix(&tail[..end], 16).ok();
        let Some(c) = code.and_then(char::from_u32) else {
            return Cow::Borrowed(name);
        };
        out.push(c);
        for _ in 0..=end {
            chars.next();
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes() {
        for (name, underscores, dots, values) in [
            ("up", "up", "up", "up"),
            (
                "no:escaping_required",
                "no:escaping_required",
                "no:escaping__required",
                "no:escaping_required",
            ),
            (
                "mysystem.prod.west.cpu.load",
                "mysystem_prod_west_cpu_load",
                "mysystem_dot_prod_dot_west_dot_cpu_dot_load",
                "U__mysystem_2e_prod_2e_west_2e_cpu_2e_load",
            ),
            (
                "http.status:sum",
                "http_status:sum",
                "http_dot_status:sum",
                "U__http_2e_status:sum",
            ),
            ("花火", "__", "____", "U___82b1__706b_"),
            (
                "label with 😱",
                "label_with__",
                "label__with____",
                "U__label_20_with_20__1f631_",
            ),
            ("1a", "_a", "__a", "U___31_a"),
            ("", "", "", ""),
        ] {
            assert_eq!(Escaping::Underscores.escape(name), underscores);
            assert_eq!(Escaping::Dots.escape(name), dots);
            assert_eq!(Escaping::Values.escape(name), values);
            assert_eq!(Escaping::AllowUtf8.escape(name), name);
            assert_eq!(unescape_values(values), name);
        }
        for odd in ["U__a_zz_", "U__a_", "U__a_110000_", "U__a_d800_", "x_2e_y"] {
            assert_eq!(unescape_values(odd), odd);
        }
    }
}
