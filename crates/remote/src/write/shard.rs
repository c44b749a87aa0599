//! A shard: batches in order, one request at a time.
//!
//! Every series has its shard, so that its samples arrive in order. A batch waits and is tried again
//! until it was taken or refused for good; nothing is given up because of time.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::batch::{Batch, Counts};
use super::metrics::{QueueMetrics, Reason};
use super::position::{Position, PositionFile, Progress};
use super::{Clock, Settings};
use crate::push::{Protocol, Push, PushError, compress};

/// What a queue's reader and its shards share.
pub(crate) struct Shared {
    pub settings: Settings,
    pub push: Push,
    pub metrics: QueueMetrics,
    pub clock: Clock,
    /// Up to where the reader has handed everything to shards.
    pub reader: Mutex<Position>,
    pub shards: RwLock<Arc<Vec<Arc<Shard>>>>,
    pub file: Mutex<PositionFile>,
    /// No more is coming: send what is there, as long as the receiver takes it.
    pub stopping: CancellationToken,
    /// With that, whether the log is read to its end first.
    pub flush: AtomicBool,
    /// End now, whatever is under way.
    pub hard: CancellationToken,
    /// Since the last look of the resharding rule.
    pub taken: AtomicU64,
    pub dropped: AtomicU64,
    pub sent: AtomicU64,
    pub sending_ns: AtomicU64,
    /// When a request was last taken, in ms; and the newest sample that was.
    pub last_sent_ms: AtomicI64,
    pub newest_sent_ms: AtomicI64,
    pub saving_failed: AtomicBool,
}

impl Shared {
    /// How far each shard has come.
    pub fn progress(&self) -> Vec<Progress> {
        let shards = Arc::clone(&self.shards.read());
        shards
            .iter()
            .map(|shard| {
                let state = shard.state.lock();
                match state.is_busy() {
                    true => Progress {
                        taken: state.taken,
                        sending: state.sending.max(state.taken),
                    },
                    // In this order: the reader's position is only moved when all before it is with
                    // the shards.
                    false => Progress::at(state.taken.max(*self.reader.lock())),
                }
            })
            .collect()
    }

    /// Saves how far each shard has come.
    pub fn save(&self) {
        let mut file = self.file.lock();
        let result = file.save(&self.progress());
        let failed = result.is_err();
        if let Err(error) = result
            && !self.saving_failed.swap(true, Ordering::Relaxed)
        {
            tracing::error!(%error, remote_name = self.settings.name, "saving the position of remote write failed; a restart would send some samples twice");
        }
        if !failed {
            self.saving_failed.store(false, Ordering::Relaxed);
        }
    }

    /// The oldest segment that is still needed.
    pub fn first_segment(&self) -> u64 {
        let reader = self.reader.lock().segment;
        let progress = self.progress();
        progress
            .iter()
            .map(|p| p.taken.segment)
            .min()
            .unwrap_or(reader)
    }
}

/// A queue of batches and its sender.
pub(crate) struct Shard {
    pub state: Mutex<State>,
    /// Something to send, or to end.
    arrived: Notify,
    /// A place became free, or nothing is left.
    room: Condvar,
}

#[derive(Default)]
pub(crate) struct State {
    pub open: Option<Batch>,
    ready: VecDeque<Batch>,
    in_flight: bool,
    /// What is there is to be sent at once.
    flush: bool,
    /// The sender ends when nothing is left.
    closing: bool,
    /// The sender has ended.
    ended: bool,
    /// Up to where everything of this shard was taken, as long as it is busy.
    taken: Position,
    /// Where the request that is under way ends.
    sending: Position,
    /// Where the request ended that was under way when an earlier run was killed.
    uncertain: Position,
}

impl State {
    fn is_busy(&self) -> bool {
        self.open.is_some() || !self.ready.is_empty() || self.in_flight
    }
}

/// What a waiting batch became.
enum Sent {
    Done,
    Stopped,
}

impl Shard {
    /// A shard that goes on where another one was.
    pub fn new(start: Progress) -> Shard {
        Shard {
            state: Mutex::new(State {
                taken: start.taken,
                sending: start.sending,
                uncertain: start.sending,
                ..State::default()
            }),
            arrived: Notify::new(),
            room: Condvar::new(),
        }
    }

    /// Adds an entry with `add`; `before` is the position before it, `after` behind it. Waits while
    /// the queue is full; answers whether the entry was taken: not if the queue ends.
    pub fn push(
        &self,
        shared: &Shared,
        before: Position,
        after: Position,
        add: impl FnOnce(&mut Batch),
    ) -> bool {
        let settings = &shared.settings;
        let mut state = self.state.lock();
        let uncertain = state.uncertain;
        if let Some(open) = &state.open
            && open.end <= uncertain
            && uncertain < after
            && !self.hand_over(&mut state, shared)
        {
            return false;
        }
        if state.open.is_none() {
            if !state.is_busy() {
                state.taken = state.taken.max(before);
            }
            let mut batch = Batch::new(
                settings.protocol,
                settings.sample_age_limit > Duration::ZERO,
            );
            batch.again = after <= uncertain;
            state.open = Some(batch);
            self.arrived.notify_one();
        }
        let Some(open) = &mut state.open else {
            return false;
        };
        add(open);
        open.end = after;
        open.len() < settings.max_samples_per_send || self.hand_over(&mut state, shared)
    }

    /// Queues the open batch; waits while there is no room, and answers `false` if the queue ends.
    fn hand_over(&self, state: &mut MutexGuard<'_, State>, shared: &Shared) -> bool {
        let mut waited = false;
        while state.ready.len() >= shared.settings.batches_per_shard {
            if state.ended || shared.hard.is_cancelled() {
                return false;
            }
            if !std::mem::replace(&mut waited, true) {
                shared.metrics.enqueue_retries.inc();
            }
            self.room.wait_for(state, Duration::from_millis(500));
        }
        // The sender may have taken it meanwhile, by its age.
        if let Some(full) = state.open.take() {
            state.ready.push_back(full);
            self.arrived.notify_one();
        }
        true
    }

    /// Sends what is there without waiting for more, then answers; not if the queue ends.
    pub fn drain(&self, shared: &Shared) -> bool {
        let mut state = self.state.lock();
        state.flush = true;
        self.arrived.notify_one();
        while state.is_busy() {
            if state.ended || shared.hard.is_cancelled() {
                return false;
            }
            self.room.wait_for(&mut state, Duration::from_millis(500));
        }
        state.flush = false;
        true
    }

    /// Lets the sender end when everything is sent.
    pub fn close(&self) {
        self.state.lock().closing = true;
        self.arrived.notify_one();
    }

    /// The sender.
    pub async fn run(self: Arc<Shard>, shared: Arc<Shared>) {
        while let Some(batch) = self.next(&shared).await {
            let end = batch.end;
            self.state.lock().sending = end;
            shared.save();
            match send(&shared, batch).await {
                Sent::Done => {
                    let mut state = self.state.lock();
                    state.taken = end;
                    state.in_flight = false;
                    self.room.notify_all();
                }
                // It stays where it is: behind what was saved.
                Sent::Stopped => break,
            }
            shared.save();
        }
        self.state.lock().ended = true;
        self.room.notify_all();
    }

    /// The next batch: the oldest full one, or the open one when its time has come.
    async fn next(&self, shared: &Shared) -> Option<Batch> {
        loop {
            let deadline = {
                let mut state = self.state.lock();
                let mut next = state.ready.pop_front();
                if next.is_none() {
                    let due = |batch: &mut Batch| {
                        batch.since.elapsed() >= shared.settings.batch_send_deadline
                    };
                    let at_once = state.flush || state.closing;
                    next = state.open.take_if(|batch| at_once || due(batch));
                }
                if next.is_some() {
                    state.in_flight = true;
                    self.room.notify_all();
                    return next;
                }
                if state.closing {
                    return None;
                }
                (state.open.as_ref()).map(|batch| batch.since + shared.settings.batch_send_deadline)
            };
            let arrived = self.arrived.notified();
            tokio::select! {
                () = arrived => {}
                () = sleep_until(deadline) => {}
                () = shared.hard.cancelled() => return None,
            }
        }
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

/// How long a request that failed before may take after its queue was told to stop.
const GRACE: Duration = Duration::from_secs(5);

async fn stopped_for(shared: &Shared, time: Duration) {
    shared.stopping.cancelled().await;
    tokio::time::sleep(time).await;
}

/// What became of a request that was tried until it was settled.
pub(crate) enum Settled {
    Taken,
    Refused,
    Stopped,
}

/// Tries `attempt` until it succeeds or fails for good, with pauses that grow. `attempt` is told how
/// often it was tried before.
pub(crate) async fn with_backoff<F>(
    shared: &Shared,
    mut attempt: impl FnMut(u32) -> F,
    mut retried: impl FnMut(),
) -> (Settled, Option<PushError>)
where
    F: Future<Output = Result<(), PushError>>,
{
    let settings = &shared.settings;
    let mut backoff = settings.min_backoff;
    let mut tries = 0;
    loop {
        let result = tokio::select! {
            result = attempt(tries) => result,
            () = shared.hard.cancelled() => return (Settled::Stopped, None),
            // It failed before: it is not worth waiting for long.
            () = stopped_for(shared, GRACE), if tries > 0 => return (Settled::Stopped, None),
        };
        let error = match result {
            Ok(()) => return (Settled::Taken, None),
            Err(error) if !error.is_temporary(settings.retry_on_http_429) => {
                return (Settled::Refused, Some(error));
            }
            Err(error) => error,
        };
        retried();
        // What is not taken now is sent after the restart.
        if shared.stopping.is_cancelled() {
            return (Settled::Stopped, None);
        }
        let pause = error.retry_after.unwrap_or(backoff);
        tracing::warn!(
            remote_name = settings.name,
            url = settings.shown_url,
            err = %error,
            "Failed to send batch, retrying"
        );
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shared.stopping.cancelled() => return (Settled::Stopped, None),
        }
        backoff = (pause * 2).min(settings.max_backoff);
        tries += 1;
    }
}

async fn send(shared: &Shared, mut batch: Batch) -> Sent {
    let (settings, metrics) = (&shared.settings, &shared.metrics);
    let age_limit_ms = settings.sample_age_limit.as_millis() as i64;
    let mut body = None;
    let counts_at_first = batch.counts;
    let begin = Instant::now();
    let state = Mutex::new((&mut batch, &mut body));
    let stored = Mutex::new(None);
    let (settled, error) = with_backoff(
        shared,
        |tries| {
            let mut state = state.lock();
            let (batch, body) = &mut *state;
            if age_limit_ms > 0 {
                let dropped = batch.drop_before((shared.clock)() - age_limit_ms);
                if dropped != [0; 3] {
                    **body = None;
                    metrics.dropped(dropped, Reason::TooOld);
                }
            }
            let empty = batch.len() == 0;
            let bytes = match &**body {
                Some(bytes) => bytes::Bytes::clone(bytes),
                None => {
                    let bytes = compress(&batch.encoded());
                    **body = Some(bytes.clone());
                    bytes
                }
            };
            let stored = &stored;
            async move {
                if empty {
                    return Ok(());
                }
                let begin = Instant::now();
                let size = bytes.len() as u64;
                let answer = shared.push.attempt(bytes, tries).await;
                metrics.batch_seconds.observe_duration(begin.elapsed());
                *stored.lock() = match &answer {
                    Ok(stored) => *stored,
                    Err(error) => error.stored,
                };
                metrics.bytes.add(size);
                match answer? {
                    // Upstream's suspicion: somebody took it for version 1.0, and found nothing.
                    None if settings.protocol == Protocol::V2 => Err(PushError::unconfirmed()),
                    _ => Ok(()),
                }
            }
        },
        || metrics.retried.add(state.lock().0.counts),
    )
    .await;
    let stored = stored.into_inner();
    metrics.pending(counts_at_first, -1.0);
    if let Settled::Stopped = settled {
        return Sent::Stopped;
    }
    let counts = batch.counts;
    // A receiver of version 2.0 says how much of it was stored.
    let kept: Counts = match stored {
        Some(stored) => {
            let said = [stored.samples, stored.histograms, stored.exemplars];
            std::array::from_fn(|kind| counts[kind].min(said[kind]))
        }
        None if error.is_some() && !batch.again => [0; 3],
        None => counts,
    };
    let lost: Counts = std::array::from_fn(|kind| counts[kind] - kept[kind]);
    metrics.failed.add(lost);
    metrics.total.add(counts);
    if let Some(error) = &error
        && batch.again
    {
        tracing::info!(
            remote_name = settings.name,
            url = settings.shown_url,
            err = %error,
            "what was under way when this program was killed is refused: the receiver has it"
        );
    } else if let Some(error) = error {
        tracing::error!(
            remote_name = settings.name,
            url = settings.shown_url,
            count = counts[0],
            exemplarCount = counts[2],
            histogramCount = counts[1],
            err = %error,
            "non-recoverable error"
        );
    } else if batch.len() > 0 {
        shared
            .newest_sent_ms
            .fetch_max(batch.newest_ms, Ordering::Relaxed);
        let newest = shared.newest_sent_ms.load(Ordering::Relaxed);
        metrics.highest_sent.set((newest / 1000) as f64);
        shared
            .last_sent_ms
            .store((shared.clock)(), Ordering::Relaxed);
    }
    shared
        .sent
        .fetch_add(counts.iter().sum(), Ordering::Relaxed);
    let took = begin.elapsed().as_nanos() as u64;
    shared.sending_ns.fetch_add(took, Ordering::Relaxed);
    Sent::Done
}
