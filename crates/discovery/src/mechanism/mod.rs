//! The mechanisms, one a file.

pub(crate) mod dns;
pub(crate) mod docker;
pub(crate) mod file;
pub(crate) mod http;

use futures::future::BoxFuture;
use tokio::sync::mpsc;

use crate::group::TargetGroup;
use crate::metrics::Metrics;

/// Something that finds targets.
pub trait Mechanism: Send + 'static {
    /// Looks for targets until the future is dropped, or until nobody listens any more.
    ///
    /// Every update holds the groups that changed; a group without targets is one that went away.
    fn run(self: Box<Self>, updates: Updates, metrics: Metrics) -> BoxFuture<'static, ()>;
}

/// Where a mechanism's updates go.
#[derive(Clone, Debug)]
pub struct Updates {
    pub(crate) provider: u64,
    /// The manager's name, for metrics.
    pub(crate) manager: std::sync::Arc<str>,
    pub(crate) sender: mpsc::Sender<(u64, Vec<TargetGroup>)>,
}

impl Updates {
    /// Publishes groups; `false` if nobody listens any more.
    pub async fn send(&self, groups: Vec<TargetGroup>) -> bool {
        self.sender.send((self.provider, groups)).await.is_ok()
    }
}

/// Groups that were published before and are not among the new ones, as groups without targets.
pub(crate) fn vanished(
    before: &std::collections::BTreeSet<String>,
    now: &[TargetGroup],
) -> Vec<TargetGroup> {
    let is_gone = |source: &&String| !now.iter().any(|group| group.source == **source);
    let gone = before.iter().filter(is_gone);
    gone.map(|source| TargetGroup {
        source: source.clone(),
        ..TargetGroup::default()
    })
    .collect()
}
