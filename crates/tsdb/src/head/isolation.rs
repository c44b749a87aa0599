//! A query sees a commit whole or not at all.
//!
//! Applying a commit holds the gate shared; a new reader passes it alone, for an instant, and takes
//! the next epoch. So at a reader's epoch no commit is half applied. What is appended while readers
//! are there is hidden from them by a note in the shard ([`Pins`]): for a series, the first
//! timestamp that came after the epoch (in-order samples only ever grow in time), and a copy of the
//! out-of-order samples. Without readers no note is taken, and appends cost nothing more.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock, RwLockReadGuard};

use super::out_of_order::OutOfOrder;

/// The epochs of a head's readers.
#[derive(Default)]
pub struct Isolation {
    gate: RwLock<()>,
    active: Mutex<Active>,
    /// The newest reader's epoch, 0 without readers; changes only with the gate held alone, or to 0.
    newest: AtomicU64,
    oldest: AtomicU64,
}

#[derive(Default)]
struct Active {
    epoch: u64,
    /// Epoch to the time range of its reader.
    readers: BTreeMap<u64, (i64, i64)>,
}

/// The right to apply a commit; no reader begins meanwhile.
pub struct Applying<'a> {
    _gate: RwLockReadGuard<'a, ()>,
    /// Epoch of the newest reader that must not see what is applied, 0 for none.
    pub newest: u64,
    /// Epoch of the oldest reader.
    pub oldest: u64,
}

impl Isolation {
    /// Begins to apply a commit.
    pub fn apply(&self) -> Applying<'_> {
        let gate = self.gate.read();
        Applying {
            newest: self.newest.load(Ordering::Acquire),
            oldest: self.oldest.load(Ordering::Acquire),
            _gate: gate,
        }
    }

    /// Runs something while no commit is being applied.
    pub fn alone<T>(&self, run: impl FnOnce() -> T) -> T {
        let _alone = self.gate.write();
        run()
    }

    /// Begins to read the given time range.
    pub fn read(self: &Arc<Self>, min_ms: i64, max_ms: i64) -> Reader {
        let _alone = self.gate.write();
        let mut active = self.active.lock();
        active.epoch += 1;
        let epoch = active.epoch;
        active.readers.insert(epoch, (min_ms, max_ms));
        self.publish(&active);
        Reader {
            isolation: Arc::clone(self),
            epoch,
        }
    }

    /// Whether a reader that began before `epoch` still looks at a time before `before_ms`.
    pub fn reads_before(&self, before_ms: i64, epoch: u64) -> bool {
        let active = self.active.lock();
        active
            .readers
            .range(..epoch)
            .any(|(_, (min, _))| *min < before_ms)
    }

    /// The epoch that the next reader gets.
    pub fn next_epoch(&self) -> u64 {
        self.active.lock().epoch + 1
    }

    /// How many readers there are.
    pub fn readers(&self) -> usize {
        self.active.lock().readers.len()
    }

    fn publish(&self, active: &Active) {
        let newest = active.readers.last_key_value().map_or(0, |(k, _)| *k);
        let oldest = active.readers.first_key_value().map_or(0, |(k, _)| *k);
        self.oldest.store(oldest, Ordering::Release);
        self.newest.store(newest, Ordering::Release);
    }
}

/// A reader's place in the order of commits.
pub struct Reader {
    isolation: Arc<Isolation>,
    pub epoch: u64,
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut active = self.isolation.active.lock();
        active.readers.remove(&self.epoch);
        self.isolation.publish(&active);
    }
}

/// What the readers up to an epoch may see of a series.
struct Pin {
    epoch: u64,
    /// In-order samples from this time on are hidden.
    hidden_from_ms: i64,
    /// The out-of-order samples as they were, if they have changed.
    out_of_order: Option<Box<OutOfOrder>>,
}

/// The notes of one shard.
#[derive(Default)]
pub struct Pins {
    pins: HashMap<u32, Vec<Pin>>,
}

/// What a reader may see of a series.
pub struct Visible<'a> {
    /// In-order samples before this time, exclusive.
    pub before_ms: i64,
    /// The out-of-order samples as they were, if they are not as they are.
    pub out_of_order: Option<&'a OutOfOrder>,
}

impl Pins {
    /// Notes that the sample at `t_ms`, the first of its kind, is about to be appended to a series.
    #[inline]
    pub fn note_in_order(&mut self, applying: &Applying<'_>, id: u32, t_ms: i64) {
        if applying.newest == 0 {
            self.forget();
            return;
        }
        let pin = self.pin(applying, id);
        pin.hidden_from_ms = pin.hidden_from_ms.min(t_ms);
    }

    /// Notes that a series' out-of-order samples are about to change.
    pub fn note_out_of_order(&mut self, applying: &Applying<'_>, id: u32, now: &OutOfOrder) {
        if applying.newest == 0 {
            self.forget();
            return;
        }
        let pin = self.pin(applying, id);
        if pin.out_of_order.is_none() {
            pin.out_of_order = Some(Box::new(now.clone()));
        }
    }

    fn pin(&mut self, applying: &Applying<'_>, id: u32) -> &mut Pin {
        let pins = self.pins.entry(id).or_default();
        if pins.last().is_none_or(|pin| pin.epoch < applying.newest) {
            pins.retain(|pin| pin.epoch >= applying.oldest);
            pins.push(Pin {
                epoch: applying.newest,
                hidden_from_ms: i64::MAX,
                out_of_order: None,
            });
        }
        pins.last_mut().expect("one was just pushed")
    }

    fn forget(&mut self) {
        if !self.pins.is_empty() {
            self.pins = HashMap::new();
        }
    }

    /// What the reader of an epoch may see of a series.
    pub fn visible(&self, id: u32, epoch: u64) -> Visible<'_> {
        let mut visible = Visible {
            before_ms: i64::MAX,
            out_of_order: None,
        };
        let Some(pins) = self.pins.get(&id) else {
            return visible;
        };
        for pin in pins.iter().filter(|pin| pin.epoch >= epoch) {
            visible.before_ms = visible.before_ms.min(pin.hidden_from_ms);
            if visible.out_of_order.is_none() {
                visible.out_of_order = pin.out_of_order.as_deref();
            }
        }
        visible
    }

    /// Drops the notes of a series that is gone.
    pub fn remove(&mut self, id: u32) {
        self.pins.remove(&id);
    }
}
