//! Memory budgets: how many bytes a query, and all queries together, may hold.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::query_error::QueryError;

/// Without a limit in bytes a query may hold this much for each sample that it is allowed. Columns
/// have a place at every step, also where there is no sample: a limit of samples alone would not
/// keep them small.
const BYTES_A_SAMPLE: u64 = 32;
/// But this much in any case.
const LEAST_BYTES: u64 = 64 << 20;

/// What one query holds, counted against its own limit and that of all queries.
pub(crate) struct QueryBytes<'q> {
    used: AtomicU64,
    limit: u64,
    /// The limit follows from that of samples.
    derived: bool,
    total: &'q AtomicU64,
    /// 0 for no limit.
    total_limit: u64,
}

impl<'q> QueryBytes<'q> {
    /// `limit` and `total_limit` in bytes, 0 for none of its own.
    pub(crate) fn new(
        limit: u64,
        max_samples: u64,
        total: &'q AtomicU64,
        total_limit: u64,
    ) -> QueryBytes<'q> {
        QueryBytes {
            used: AtomicU64::new(0),
            limit: if limit > 0 {
                limit
            } else {
                max_samples.saturating_mul(BYTES_A_SAMPLE).max(LEAST_BYTES)
            },
            derived: limit == 0,
            total,
            total_limit,
        }
    }

    /// Takes bytes until the charge is dropped; `what` names the selector or operator for the error.
    ///
    /// # Errors
    /// [`QueryError::TooManyBytes`], or [`QueryError::TooManySamples`] where only those are limited;
    /// nothing is taken then.
    pub(crate) fn take<'a>(
        &'a self,
        bytes: u64,
        what: impl FnOnce() -> String,
    ) -> Result<Charge<'a>, QueryError> {
        let used = self.used.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let total = self.total.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let charge = Charge {
            bytes,
            used: &self.used,
            total: self.total,
        };
        if used > self.limit && self.derived {
            return Err(QueryError::TooManySamples);
        }
        if used > self.limit {
            return Err(QueryError::TooManyBytes {
                limit_bytes: self.limit,
                scope: "this query",
                selector: what(),
            });
        }
        if self.total_limit > 0 && total > self.total_limit {
            return Err(QueryError::TooManyBytes {
                limit_bytes: self.total_limit,
                scope: "all queries together",
                selector: what(),
            });
        }
        Ok(charge)
    }
}

impl Drop for QueryBytes<'_> {
    /// Gives back what was taken until the end of the query.
    fn drop(&mut self) {
        self.total
            .fetch_sub(*self.used.get_mut(), Ordering::Relaxed);
    }
}

/// Bytes that are given back when this is dropped.
pub(crate) struct Charge<'a> {
    bytes: u64,
    used: &'a AtomicU64,
    total: &'a AtomicU64,
}

impl Drop for Charge<'_> {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes, Ordering::Relaxed);
        self.total.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_gives_back() {
        let total = AtomicU64::new(0);
        let a = QueryBytes::new(100, 10, &total, 150);
        let b = QueryBytes::new(100, 10, &total, 150);
        let charge = a.take(80, String::new).unwrap();
        assert!(matches!(
            a.take(30, || "x".to_owned()),
            Err(QueryError::TooManyBytes {
                limit_bytes: 100,
                ..
            })
        ));
        assert!(matches!(
            b.take(80, String::new),
            Err(QueryError::TooManyBytes {
                limit_bytes: 150,
                ..
            })
        ));
        drop(charge);
        assert_eq!(total.load(Ordering::Relaxed), 0);
        assert!(a.take(30, String::new).is_ok());
        let unlimited = QueryBytes::new(0, 10, &total, 0);
        assert!(unlimited.take(LEAST_BYTES, String::new).is_ok());
        assert!(matches!(
            unlimited.take(LEAST_BYTES + 1, String::new),
            Err(QueryError::TooManySamples)
        ));
    }
}
