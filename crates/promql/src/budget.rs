//! Memory budgets: how many bytes a query, and all queries together, may hold.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::query_error::QueryError;

/// What one query holds, counted against its own limit and that of all queries.
pub(crate) struct QueryBytes<'q> {
    used: AtomicU64,
    /// 0 for no limit.
    limit: u64,
    total: &'q AtomicU64,
    /// 0 for no limit.
    total_limit: u64,
}

impl<'q> QueryBytes<'q> {
    pub(crate) fn new(limit: u64, total: &'q AtomicU64, total_limit: u64) -> QueryBytes<'q> {
        QueryBytes {
            used: AtomicU64::new(0),
            limit,
            total,
            total_limit,
        }
    }

    /// Takes bytes until the charge is dropped; `what` names the selector or operator for the error.
    ///
    /// # Errors
    /// [`QueryError::TooManyBytes`]; nothing is taken then.
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
        let over = |limit: u64, used: u64| limit > 0 && used > limit;
        if over(self.limit, used) {
            return Err(QueryError::TooManyBytes {
                limit_bytes: self.limit,
                scope: "this query",
                selector: what(),
            });
        }
        if over(self.total_limit, total) {
            return Err(QueryError::TooManyBytes {
                limit_bytes: self.total_limit,
                scope: "all queries together",
                selector: what(),
            });
        }
        Ok(charge)
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
        let a = QueryBytes::new(100, &total, 150);
        let b = QueryBytes::new(100, &total, 150);
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
    }
}
