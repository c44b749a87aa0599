//! Compiled patterns of `label_replace`, kept from query to query: dashboards ask the same ones again
//! and again, and compiling one takes longer than all else that such a query does.

use std::sync::{Arc, Mutex, PoisonError};

use golang::regexp::{Error, Regexp};
use hashbrown::HashMap;

/// Patterns that are kept.
const MOST: usize = 64;
/// Longer ones are not.
const MAX_PATTERN_BYTES: usize = 256;

/// The patterns of an engine.
#[derive(Default)]
pub(crate) struct Regexps(Mutex<HashMap<String, Arc<Regexp>>>);

impl Regexps {
    /// The compiled pattern, anchored at both ends.
    ///
    /// # Errors
    /// Go's message for a pattern that is no RE2 expression.
    pub(crate) fn anchored(&self, pattern: &str) -> Result<Arc<Regexp>, Error> {
        let kept = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = kept().get(pattern) {
            return Ok(Arc::clone(found));
        }
        let compiled = Arc::new(Regexp::anchored(pattern)?);
        if pattern.len() <= MAX_PATTERN_BYTES {
            let mut kept = kept();
            if kept.len() >= MOST {
                kept.clear();
            }
            kept.insert(pattern.to_owned(), Arc::clone(&compiled));
        }
        Ok(compiled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_few() {
        let regexps = Regexps::default();
        let first = regexps.anchored("a(.*)").unwrap();
        assert!(Arc::ptr_eq(&first, &regexps.anchored("a(.*)").unwrap()));
        assert!(regexps.anchored("(").is_err());
        for i in 0..1000 {
            regexps.anchored(&format!("{i}")).unwrap();
            regexps
                .anchored(&"x".repeat(MAX_PATTERN_BYTES + i))
                .unwrap();
        }
        assert!(regexps.0.lock().unwrap().len() <= MOST);
    }
}
