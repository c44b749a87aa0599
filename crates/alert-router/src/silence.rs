//! Silences: matchers that mute alerts for a time (prometheus/alertmanager `silence`).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use model::{Labels, MatchKind};

use crate::matcher::{self, Matcher, Mode};
use crate::moment;

/// One silence. It mutes an alert if all matchers of one of its sets match.
#[derive(Clone, Debug, PartialEq)]
pub struct Silence {
    /// A UUID.
    pub id: String,
    /// Alternatives; upstream's old single list is one set.
    pub matcher_sets: Vec<Vec<Matcher>>,
    /// From when on it mutes.
    pub starts_at: Timestamp,
    /// Until when it mutes.
    pub ends_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// Why.
    pub comment: String,
    /// More about it, for programs.
    pub annotations: Labels,
}

/// What a silence does at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// It mutes.
    Active,
    /// It will mute.
    Pending,
    /// It does no longer.
    Expired,
}

impl State {
    /// As the API writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            State::Active => "active",
            State::Pending => "pending",
            State::Expired => "expired",
        }
    }
}

/// Why a silence is refused, in upstream's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is none of this id.
    #[error("silence not found")]
    NotFound,
    /// It says too little, or nonsense.
    #[error("invalid silence: {0}")]
    Invalid(String),
    /// `--silences.max-silences`.
    #[error("exceeded maximum number of silences: {count} (limit: {limit})")]
    TooMany {
        /// How many there would be.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
    /// `--silences.max-silence-size-bytes`.
    #[error("silence exceeded maximum size: {size} bytes (limit: {limit} bytes)")]
    TooLarge {
        /// Its size in upstream's encoding.
        size: usize,
        /// The size it may have.
        limit: usize,
    },
}

/// Bounds on silences; 0 is none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// How many there may be, expired ones included.
    pub max_silences: usize,
    /// How large one may be.
    pub max_silence_size_bytes: usize,
}

impl Silence {
    /// Its state at an instant.
    pub fn state(&self, now: Timestamp) -> State {
        if now < self.starts_at {
            State::Pending
        } else if now > self.ends_at {
            State::Expired
        } else {
            State::Active
        }
    }

    /// Whether it is about alerts with these labels.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.matcher_sets
            .iter()
            .any(|set| matcher::all_match(set, labels))
    }

    fn validate(&self, mode: Mode) -> Result<(), Error> {
        let invalid = |text: String| Err(Error::Invalid(text));
        if self.matcher_sets.iter().all(Vec::is_empty) {
            return invalid("at least one matcher required".to_owned());
        }
        for (n, set) in self.matcher_sets.iter().enumerate() {
            for (i, m) in set.iter().enumerate() {
                if !mode.is_label_name(&m.name) {
                    return invalid(format!(
                        "invalid label matcher {i} in set {n}: invalid label name {}",
                        golang::strconv::quote(&m.name)
                    ));
                }
            }
            if set.iter().all(|m| m.matches("")) {
                return invalid(format!(
                    "matcher set {n}: at least one matcher must not match the empty string"
                ));
            }
        }
        if self.ends_at < self.starts_at {
            return invalid("end time must not be before start time".to_owned());
        }
        Ok(())
    }
}

/// All silences.
#[derive(Debug, Default)]
pub struct Silences {
    by_id: HashMap<String, Arc<Silence>>,
    /// In order of the version in which they were last changed.
    changes: Vec<(u64, Arc<Silence>)>,
    version: u64,
    /// How many were matched against alerts, and how many did not have to be.
    looked_at: [u64; 2],
}

/// Which silences are about an alert, as of a version: kept beside the alert.
#[derive(Clone, Debug, Default)]
pub struct Matching {
    version: u64,
    /// Sorted by id. Those that are forgotten meanwhile stay here; they have ended.
    silences: Box<[Arc<Silence>]>,
}

impl Silences {
    /// A silence by its id.
    pub fn get(&self, id: &str) -> Option<&Silence> {
        self.by_id.get(id).map(|silence| &**silence)
    }

    /// Every silence.
    pub fn iter(&self) -> impl Iterator<Item = &Silence> {
        self.by_id.values().map(|silence| &**silence)
    }

    /// How many silences were matched against alerts so far, and how many did not have to be.
    pub fn looked_at(&self) -> [u64; 2] {
        self.looked_at
    }

    /// How many there are, expired ones included.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Plans a creation or change as upstream's API does: one with an id changes that silence if
    /// it still may be changed, otherwise it ends it and starts a new one. Answers what to
    /// [`Silences::apply`], the new silence last.
    ///
    /// # Errors
    /// [`Error`]; then nothing is to be done.
    pub fn plan_set(
        &self,
        mut silence: Silence,
        new_id: impl FnOnce() -> String,
        limits: Limits,
        mode: Mode,
        now: Timestamp,
    ) -> Result<Vec<Silence>, Error> {
        let previous = match silence.id.as_str() {
            "" => None,
            id => Some(self.by_id.get(id).ok_or(Error::NotFound)?),
        };
        silence.updated_at = now;
        check_size(&silence, limits)?;
        if let Some(previous) = previous
            && may_change(previous, &silence, now)
        {
            silence.validate(mode)?;
            return Ok(vec![silence]);
        }
        let count = self.by_id.len() + 1;
        if limits.max_silences > 0 && count > limits.max_silences {
            return Err(Error::TooMany {
                count,
                limit: limits.max_silences,
            });
        }
        silence.id = new_id();
        silence.starts_at = silence.starts_at.max(now);
        silence.validate(mode)?;
        let mut changes: Vec<Silence> = previous
            .and_then(|previous| ended(previous, now))
            .into_iter()
            .collect();
        changes.push(silence);
        Ok(changes)
    }

    /// Plans the end of a silence; `None` if it is over already.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn plan_expire(&self, id: &str, now: Timestamp) -> Result<Option<Silence>, Error> {
        let silence = self.by_id.get(id).ok_or(Error::NotFound)?;
        Ok(ended(silence, now))
    }

    /// Whether a silence of another router says more than is known here.
    pub fn is_news(&self, silence: &Silence, retention: Duration, now: Timestamp) -> bool {
        let known = self.by_id.get(&silence.id);
        moment::after(silence.ends_at, retention) >= now
            && known.is_none_or(|known| known.updated_at < silence.updated_at)
    }

    /// Puts a silence in, replacing what has its id unless that is newer.
    pub fn apply(&mut self, silence: Silence) {
        let known = self.by_id.get(&silence.id);
        if known.is_some_and(|known| known.updated_at > silence.updated_at) {
            return;
        }
        self.version += 1;
        if known.is_some() {
            self.changes.retain(|(_, known)| known.id != silence.id);
        }
        let silence = Arc::new(silence);
        self.changes.push((self.version, Arc::clone(&silence)));
        self.by_id.insert(silence.id.clone(), silence);
    }

    /// Forgets a silence.
    pub fn remove(&mut self, id: &str) {
        self.by_id.remove(id);
        self.changes.retain(|(_, known)| known.id != id);
    }

    /// Forgets silences that ended longer ago than the retention; answers how many.
    pub fn remove_expired(&mut self, retention: Duration, now: Timestamp) -> usize {
        let before = self.by_id.len();
        self.by_id
            .retain(|_, silence| moment::after(silence.ends_at, retention) > now);
        let by_id = &self.by_id;
        self.changes
            .retain(|(_, known)| by_id.contains_key(&known.id));
        before - self.by_id.len()
    }

    /// The ids of the silences that mute an alert now, sorted. `cache` belongs to the alert's
    /// labels; only silences that changed since its last use are matched anew.
    pub fn muting(&mut self, labels: &Labels, cache: &mut Matching, now: Timestamp) -> Vec<String> {
        let mut scanned = 0;
        if cache.version != self.version {
            let first = self
                .changes
                .partition_point(|(version, _)| *version <= cache.version);
            let changed = &self.changes[first..];
            scanned = changed.len();
            let still = |known: &&Arc<Silence>| !changed.iter().any(|(_, s)| s.id == known.id);
            let matching = changed.iter().map(|(_, silence)| silence);
            let matching = matching.filter(|silence| silence.matches(labels));
            let known = cache.silences.iter().filter(still);
            let mut silences: Vec<Arc<Silence>> = known.chain(matching).cloned().collect();
            silences.sort_unstable_by(|a, b| a.id.cmp(&b.id));
            cache.silences = silences.into();
            cache.version = self.version;
        }
        self.looked_at[0] += scanned as u64;
        self.looked_at[1] += (self.by_id.len() - scanned.min(self.by_id.len())) as u64;
        let active = cache.silences.iter().filter(|silence| {
            silence.state(now) == State::Active && self.by_id.contains_key(&silence.id)
        });
        active.map(|silence| silence.id.clone()).collect()
    }
}

/// Whether a change can keep the silence's id: the same matchers, and times that do not rewrite
/// the past.
fn may_change(previous: &Silence, silence: &Silence, now: Timestamp) -> bool {
    previous.matcher_sets == silence.matcher_sets
        && match previous.state(now) {
            State::Active => {
                previous.starts_at.as_second() == silence.starts_at.as_second()
                    && silence.ends_at >= now
            }
            State::Pending => silence.starts_at >= now,
            State::Expired => false,
        }
}

/// The silence as it is when somebody ends it now.
fn ended(silence: &Silence, now: Timestamp) -> Option<Silence> {
    let starts_at = match silence.state(now) {
        State::Expired => return None,
        State::Active => silence.starts_at,
        State::Pending => now,
    };
    Some(Silence {
        starts_at,
        ends_at: now,
        updated_at: now,
        ..silence.clone()
    })
}

fn check_size(silence: &Silence, limits: Limits) -> Result<(), Error> {
    let limit = limits.max_silence_size_bytes;
    if limit == 0 {
        return Ok(());
    }
    let size = crate::store::upstream::silence_size(silence);
    if size > limit {
        return Err(Error::TooLarge { size, limit });
    }
    Ok(())
}

/// The order in which the API lists silences: active, pending, expired; the next change first.
pub fn listing_order(a: &Silence, b: &Silence, now: Timestamp) -> std::cmp::Ordering {
    let state = a.state(now);
    state
        .cmp(&b.state(now))
        .then_with(|| match state {
            State::Active => a.ends_at.cmp(&b.ends_at),
            State::Pending => a.starts_at.cmp(&b.starts_at),
            State::Expired => b.ends_at.cmp(&a.ends_at),
        })
        .then_with(|| a.id.cmp(&b.id))
}

/// The kinds of matchers as upstream's API spells them: `(isRegex, isEqual)`.
pub const fn api_flags(kind: MatchKind) -> (bool, bool) {
    match kind {
        MatchKind::Equal => (false, true),
        MatchKind::NotEqual => (false, false),
        MatchKind::Regexp => (true, true),
        MatchKind::NotRegexp => (true, false),
    }
}

/// The reverse of [`api_flags`].
pub const fn kind_from_api_flags(is_regex: bool, is_equal: bool) -> MatchKind {
    match (is_regex, is_equal) {
        (false, true) => MatchKind::Equal,
        (false, false) => MatchKind::NotEqual,
        (true, true) => MatchKind::Regexp,
        (true, false) => MatchKind::NotRegexp,
    }
}

#[cfg(test)]
mod tests;
