//! Natural order of label values: runs of digits compare as numbers (facette/natsort).

use std::cmp::Ordering;

/// Compares `a10` after `a9`.
pub(crate) fn compare(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (chunks(a), chunks(b));
    loop {
        return match (left.next(), right.next()) {
            (None, None) => a.cmp(b),
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(l), Some(r)) if l == r => continue,
            (Some(l), Some(r)) => match (number(l), number(r)) {
                (Some(l), Some(r)) if l == r => continue,
                (Some(l), Some(r)) => l.cmp(&r),
                // A run of digits beside something else is text, too: `+Inf` comes before `0.1`.
                _ => l.cmp(r),
            },
        };
    }
}

fn number(chunk: &str) -> Option<u64> {
    chunk.parse().ok()
}

/// Runs of digits, and what is between them.
fn chunks(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.bytes().next()?;
        let digits = first.is_ascii_digit();
        let end = rest
            .bytes()
            .position(|b| b.is_ascii_digit() != digits)
            .unwrap_or(rest.len());
        let (chunk, tail) = rest.split_at(end);
        rest = tail;
        Some(chunk)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_numbers() {
        for (a, b, want) in [
            ("a9", "a10", Ordering::Less),
            ("a10", "a10", Ordering::Equal),
            ("4m500", "4m1000", Ordering::Less),
            ("", "a", Ordering::Less),
            ("b1", "a2", Ordering::Greater),
            ("1a", "a1", Ordering::Less),
            ("a01", "a1", Ordering::Less),
            ("+Inf", "0.1", Ordering::Less),
        ] {
            assert_eq!(compare(a, b), want, "{a} {b}");
        }
    }
}
