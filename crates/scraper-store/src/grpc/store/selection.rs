//! What a request to the Store means for series that carry external labels: which matchers are answered here,
//! and which label sets go out.

use model::{Labels, MatchKind, Matcher};
use proto::thanos::{LabelMatcher, ShardInfo, label_matcher};
use tonic::Status;

/// The external labels of a request, without those that it wants to be without.
pub(super) struct Outgoing {
    external: Labels,
    without: Vec<String>,
    shard: Option<ShardInfo>,
}

impl Outgoing {
    pub(super) fn new(
        external: &Labels,
        without: Vec<String>,
        shard: Option<ShardInfo>,
    ) -> Outgoing {
        Outgoing {
            external: external.without(|name| without.iter().any(|w| w == name)),
            without,
            shard: shard.filter(|shard| shard.total_shards >= 1),
        }
    }

    /// A stored label set as it goes out: external labels win. `None`: it belongs to another shard.
    pub(super) fn labels(&self, stored: &Labels) -> Option<Labels> {
        let mut builder = stored.builder();
        for name in &self.without {
            builder.del(name);
        }
        for (name, value) in &self.external {
            builder.set(name, value);
        }
        let labels = builder.build();
        self.is_in_shard(&labels).then_some(labels)
    }

    /// Whether the hash of the labels that count falls to the shard that was asked for.
    fn is_in_shard(&self, labels: &Labels) -> bool {
        let Some(shard) = &self.shard else {
            return true;
        };
        let listed = |name: &str| shard.labels.iter().any(|l| l == name);
        let counting = labels.without(|name| listed(name) != shard.by);
        counting.xxh64() % shard.total_shards as u64 == shard.shard_index as u64
    }

    /// Names of external labels that go out.
    pub(super) fn external_names(&self) -> impl Iterator<Item = &str> {
        self.external.iter().map(|(name, _)| name)
    }
}

/// The matchers that are left for storage once those on external labels are answered; `None`: one of these
/// says no.
pub(in crate::grpc) fn left_for_storage(
    matchers: impl IntoIterator<Item = Matcher>,
    external: &Labels,
) -> Option<Vec<Matcher>> {
    let mut left = Vec::new();
    for matcher in matchers {
        match external.find(&matcher.name) {
            None => left.push(matcher),
            Some(value) if matcher.matches(value) => {}
            Some(_) => return None,
        }
    }
    Some(left)
}

/// [`left_for_storage`] of matchers as they come.
///
/// # Errors
/// A matcher that is none.
pub(in crate::grpc) fn on_stored(
    matchers: &[LabelMatcher],
    external: &Labels,
) -> Result<Option<Vec<Matcher>>, Status> {
    let mut read = Vec::with_capacity(matchers.len());
    for given in matchers {
        let kind = match given.r#type() {
            label_matcher::Type::Eq => MatchKind::Equal,
            label_matcher::Type::Neq => MatchKind::NotEqual,
            label_matcher::Type::Re => MatchKind::Regexp,
            label_matcher::Type::Nre => MatchKind::NotRegexp,
        };
        let matcher = Matcher::new(kind, given.name.as_str(), given.value.as_str());
        read.push(matcher.map_err(|e| Status::invalid_argument(e.to_string()))?);
    }
    Ok(left_for_storage(read, external))
}
