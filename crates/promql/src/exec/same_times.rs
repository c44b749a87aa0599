//! What follows from the times of a series' samples alone: the series of a target have samples at the same
//! times, so that what was found for the one before is true of the next.

use std::cell::RefCell;
use std::thread::LocalKey;

/// What was found last.
pub(crate) struct SameTimes<K, T> {
    /// For what, and for which times.
    key: Option<K>,
    times: Vec<i64>,
    found: Vec<T>,
}

impl<K, T> SameTimes<K, T> {
    pub(crate) const fn new() -> SameTimes<K, T> {
        SameTimes {
            key: None,
            times: Vec::new(),
            found: Vec::new(),
        }
    }
}

/// Hands on what `find` appends for these times, or what it did the last time, if that was for the same key and
/// times. It must depend on nothing else.
pub(crate) fn with_found<K: PartialEq, T, R>(
    last: &'static LocalKey<RefCell<SameTimes<K, T>>>,
    key: K,
    times: &[i64],
    find: impl FnOnce(&mut Vec<T>),
    take: impl FnOnce(&[T]) -> R,
) -> R {
    /// More than this is not worth keeping memory for.
    const KEEP: usize = 1 << 16;
    last.with(|last| match last.try_borrow_mut() {
        Ok(mut last) if times.len() <= KEEP => {
            let last = &mut *last;
            if last.key.as_ref() != Some(&key) || last.times != times {
                last.key = None;
                last.found.clear();
                find(&mut last.found);
                if last.found.len() > KEEP {
                    return take(&std::mem::take(&mut last.found));
                }
                last.times.clear();
                last.times.extend_from_slice(times);
                last.key = Some(key);
            }
            take(&last.found)
        }
        // Also where one is found while another is taken.
        _ => {
            let mut found = Vec::new();
            find(&mut found);
            take(&found)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_times_are_looked_at_once() {
        thread_local! {
            static LAST: RefCell<SameTimes<u8, i64>> = const { RefCell::new(SameTimes::new()) };
        }
        let mut calls = 0;
        let mut sum = |key: u8, times: &[i64]| {
            let find = |found: &mut Vec<i64>| {
                calls += 1;
                found.push(times.iter().sum::<i64>() + i64::from(key));
            };
            let found = with_found(&LAST, key, times, find, |found| found.to_vec());
            assert_eq!(found, [times.iter().sum::<i64>() + i64::from(key)]);
            calls
        };
        assert_eq!(sum(1, &[1, 2, 3]), 1);
        assert_eq!(sum(1, &[1, 2, 3]), 1);
        assert_eq!(sum(2, &[1, 2, 3]), 2);
        assert_eq!(sum(2, &[1, 2, 4]), 3);
        assert_eq!(sum(2, &[1, 2]), 4);
        // Too many to be kept.
        let many = vec![1; (1 << 16) + 1];
        assert_eq!(sum(2, &many), 5);
        assert_eq!(sum(2, &many), 6);
        assert_eq!(sum(2, &[1, 2]), 6);
        // While another is taken.
        let inner = |found: &[i64]| {
            let find = |found: &mut Vec<i64>| found.push(7);
            with_found(&LAST, 9, &[5], find, |other| {
                (found.to_vec(), other.to_vec())
            })
        };
        let (outer, inner) = with_found(&LAST, 2, &[1, 2], |_| unreachable!(), inner);
        assert_eq!((outer, inner), (vec![5], vec![7]));
    }
}
