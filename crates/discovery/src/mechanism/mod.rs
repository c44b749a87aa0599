//! The mechanisms, one a file.

pub(crate) mod consul;
pub(crate) mod dns;
pub(crate) mod docker;
pub(crate) mod dockerswarm;
pub(crate) mod ec2;
pub(crate) mod file;
pub(crate) mod http;
pub(crate) mod kubernetes;
pub(crate) mod moby;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use futures::future::BoxFuture;
use http_client::{Client, ClientOptions, HttpClientConfig};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::group::TargetGroup;
use crate::metrics::Metrics;

/// Something that finds targets.
pub trait Mechanism: Send + 'static {
    /// Looks for targets until the future is dropped, or until nobody listens any more.
    ///
    /// Every update holds the groups that changed; a group without targets is one that went away.
    fn run(self: Box<Self>, updates: Updates, metrics: Metrics) -> BoxFuture<'static, ()>;

    /// Makes relative paths of the configuration relative to the folder of its file.
    fn resolve_paths(&mut self, _dir: &Path) {}
}

/// Where a mechanism's updates go.
#[derive(Clone, Debug)]
pub struct Updates {
    pub(crate) provider: u64,
    /// The manager's name, for metrics.
    pub(crate) manager: Arc<str>,
    pub(crate) sender: mpsc::Sender<(u64, Vec<TargetGroup>)>,
    /// What fails at the moment, by what it is that fails.
    pub(crate) problems: Problems,
}

/// The problems of one provider.
pub(crate) type Problems = Arc<Mutex<BTreeMap<String, Problem>>>;

/// Why a mechanism cannot look at the moment. What it found last still holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The mechanism's name: `ec2`.
    pub mechanism: &'static str,
    /// What of: a URL, names, a region.
    pub config: String,
    /// What happened.
    pub error: String,
}

impl Updates {
    /// Publishes groups; `false` if nobody listens any more.
    pub async fn send(&self, groups: Vec<TargetGroup>) -> bool {
        self.sender.send((self.provider, groups)).await.is_ok()
    }

    /// Says that the last look failed, and logs it.
    pub fn failed(&self, mechanism: &'static str, config: &str, error: &str) {
        tracing::error!(discovery = mechanism, config, err = %error, "Unable to refresh target groups");
        let problem = Problem {
            mechanism,
            config: config.to_owned(),
            error: error.to_owned(),
        };
        self.problems.lock().insert(config.to_owned(), problem);
    }

    /// Says that the last look succeeded.
    pub fn recovered(&self, config: &str) {
        self.problems.lock().remove(config);
    }

    /// Says that the mechanism cannot run at all with this configuration.
    pub fn unusable(&self, mechanism: &'static str, config: &str, error: &str, metrics: &Metrics) {
        metrics.failed_configs.with(&[&self.manager]).add(1.0);
        self.failed(mechanism, config, error);
    }

    /// The client of a mechanism that has one; `None`, said and counted, where the section cannot be used.
    pub(crate) fn client(
        &self,
        (mechanism, config): (&'static str, &str),
        section: &HttpClientConfig,
        options: ClientOptions,
        metrics: &Metrics,
    ) -> Option<Client> {
        match Client::new(section, options) {
            Ok(client) => Some(client),
            Err(error) => {
                self.unusable(mechanism, config, &error.to_string(), metrics);
                None
            }
        }
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
