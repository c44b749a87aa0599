//! Passwords and request rates.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use http::HeaderMap;
use parking_lot::Mutex;

/// How many checked passwords are remembered; bcrypt takes some 50 ms on purpose.
const REMEMBERED: usize = 100;
/// Checked for users that do not exist, so that they cannot be told from those that do.
const NOBODY: &str = "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi";

/// Checks passwords and remembers the answers.
#[derive(Default)]
pub(super) struct Passwords {
    /// (user, hash, password) triples that fit and that do not.
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    right: HashSet<(String, String, String)>,
    wrong: HashSet<(String, String, String)>,
}

impl Passwords {
    /// Whether the request's `Authorization` names one of the users with its password.
    pub async fn allow(&self, users: &[(String, String)], headers: &HeaderMap) -> bool {
        let Some((user, password)) = headers
            .get(http::header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(basic)
        else {
            return false;
        };
        let hash = users
            .iter()
            .find(|(name, _)| *name == user)
            .map(|(_, hash)| hash);
        let key = (
            user,
            hash.map_or(NOBODY, String::as_str).to_owned(),
            password,
        );
        {
            let known = self.known.lock();
            if known.right.contains(&key) {
                return hash.is_some();
            }
            if known.wrong.contains(&key) {
                return false;
            }
        }
        let (hashed, password) = (key.1.clone(), key.2.clone());
        let right =
            tokio::task::spawn_blocking(move || bcrypt::verify(password, &hashed).unwrap_or(false))
                .await
                .unwrap_or(false);
        let mut known = self.known.lock();
        let set = if right {
            &mut known.right
        } else {
            &mut known.wrong
        };
        if set.len() >= REMEMBERED
            && let Some(any) = set.iter().next().cloned()
        {
            set.remove(&any);
        }
        set.insert(key);
        right && hash.is_some()
    }
}

/// User and password of `Basic <base64>`.
fn basic(value: &str) -> Option<(String, String)> {
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded =
        base64::Engine::decode(&base64::engine::general_purpose::STANDARD, encoded.trim()).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// One request an interval, and so many at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct RateLimit {
    pub interval: Duration,
    pub burst: u32,
}

/// A bucket of tokens.
#[derive(Default)]
pub(super) struct Limiter(Mutex<Option<(f64, Instant)>>);

impl Limiter {
    pub fn allow(&self, limit: RateLimit) -> bool {
        self.allow_at(limit, Instant::now())
    }

    fn allow_at(&self, limit: RateLimit, now: Instant) -> bool {
        let mut bucket = self.0.lock();
        let full = f64::from(limit.burst);
        let (tokens, then) = bucket.unwrap_or((full, now));
        let grown =
            now.saturating_duration_since(then).as_secs_f64() / limit.interval.as_secs_f64();
        let tokens = (tokens + grown).min(full);
        let allowed = tokens >= 1.0;
        *bucket = Some((if allowed { tokens - 1.0 } else { tokens }, now));
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_headers() {
        assert_eq!(
            basic("Basic YTpiOmM="),
            Some(("a".to_owned(), "b:c".to_owned()))
        );
        assert_eq!(basic("basic YTo="), Some(("a".to_owned(), String::new())));
        for wrong in ["Bearer YTo=", "Basic", "Basic ???", "Basic YQ=="] {
            assert_eq!(basic(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn buckets_refill() {
        let (limiter, start) = (Limiter::default(), Instant::now());
        let limit = RateLimit {
            interval: Duration::from_secs(1),
            burst: 2,
        };
        let at = |ms| limiter.allow_at(limit, start + Duration::from_millis(ms));
        assert_eq!(
            [at(0), at(0), at(0), at(1000), at(1000)],
            [true, true, false, true, false]
        );
        assert_eq!([at(9000), at(9000), at(9000)], [true, true, false]);
    }

    #[test]
    fn the_hash_of_nobody_is_a_hash() {
        assert!(NOBODY.parse::<bcrypt::HashParts>().is_ok());
    }
}
