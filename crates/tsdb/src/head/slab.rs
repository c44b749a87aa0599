//! Byte runs of varying size in few allocations: open chunks, label sets and chunk lists of a shard.
//!
//! A run lives in a slot of the smallest size class it fits; classes grow by a quarter to a third,
//! so that a growing chunk wastes little, and slots are carved from 8 KiB pages, so that a run costs
//! no allocator header. A page whose slots are all free serves any class next: the chunks of a shard
//! grow at the same pace, and would leave a trail of empty classes behind otherwise. A free slot
//! holds the number of the next free one of its page.

use super::prefetch::prefetch;

const PAGE: usize = 8 * 1024;
const NONE: u32 = u32::MAX;
/// More slots than any page has.
const SLOT_BITS: u32 = 9;
const NO_SLOT: u16 = u16::MAX;
const NO_CLASS: u8 = u8::MAX;

/// Slot sizes in bytes; a longer run gets an allocation of its own.
const SIZES: [u16; 29] = [
    16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 152, 176, 208, 240, 288, 336, 400, 464, 544, 640,
    744, 864, 992, 1088, 1360, 1632, 2040, 4096,
];
/// The bit of a slot's number that says: an allocation of its own.
const HUGE: u32 = 1 << 31;
/// Pages beyond this many, some 32 GB, have no number: runs get allocations of their own then.
const MAX_PAGES: usize = (HUGE >> SLOT_BITS) as usize - 1;

/// Where a run lies; meaningful for the slab that gave it. Not `Copy`: one handle, one owner.
#[derive(Debug, PartialEq, Eq)]
pub struct Handle(u32);

impl Handle {
    /// No run at all: zero bytes.
    pub const fn none() -> Handle {
        Handle(NONE)
    }

    /// Whether this is [`Handle::none`].
    pub fn is_none(&self) -> bool {
        self.0 == NONE
    }

    /// Which of the allocations of their own it is, if it is one.
    #[inline]
    fn huge(&self) -> Option<usize> {
        (self.0 & HUGE != 0 && self.0 != NONE).then_some((self.0 & !HUGE) as usize)
    }
}

/// Slots of one class, or none at the moment.
struct Page {
    bytes: Box<[u8; PAGE]>,
    class: u8,
    used: u16,
    /// Slots handed out so far, freed ones included.
    begun: u16,
    free: u16,
}

/// The runs of one shard.
#[derive(Default)]
pub struct Slab {
    pages: Vec<Page>,
    /// Pages of no class.
    empty: Vec<u32>,
    /// By class, pages that had a free slot when they were entered here.
    partial: [Vec<u32>; SIZES.len()],
    huge: Vec<Box<[u8]>>,
    huge_free: Vec<u32>,
}

#[inline]
fn size_of_class(class: u8) -> usize {
    usize::from(SIZES[usize::from(class)])
}

impl Page {
    fn is_full(&self) -> bool {
        self.free == NO_SLOT && usize::from(self.begun) == PAGE / size_of_class(self.class)
    }

    fn take(&mut self) -> u16 {
        self.used += 1;
        if self.free == NO_SLOT {
            self.begun += 1;
            return self.begun - 1;
        }
        let slot = self.free;
        let bytes = &self.bytes[usize::from(slot) * size_of_class(self.class)..];
        self.free = u16::from_le_bytes([bytes[0], bytes[1]]);
        slot
    }

    fn give(&mut self, slot: u16) {
        let next = self.free.to_le_bytes();
        let at = usize::from(slot) * size_of_class(self.class);
        self.bytes[at..at + 2].copy_from_slice(&next);
        self.free = slot;
        self.used -= 1;
    }
}

/// Page and slot of a handle.
#[inline]
fn place(slot: u32) -> (usize, usize) {
    (
        (slot >> SLOT_BITS) as usize,
        (slot & ((1 << SLOT_BITS) - 1)) as usize,
    )
}

impl Slab {
    /// A slot of a class, unless all pages are in use.
    fn take_slot(&mut self, class: u8) -> Option<u32> {
        let partial = &mut self.partial[usize::from(class)];
        let page = loop {
            match partial.last() {
                // Entries may be out of date: full again, or gone to another class.
                Some(page) => {
                    let state = &self.pages[*page as usize];
                    if state.class == class && !state.is_full() {
                        break *page;
                    }
                    partial.pop();
                }
                None => {
                    let page = match self.empty.pop() {
                        Some(page) => page,
                        None if self.pages.len() == MAX_PAGES => return None,
                        None => {
                            self.pages.push(Page {
                                bytes: Box::new([0; PAGE]),
                                class: NO_CLASS,
                                used: 0,
                                begun: 0,
                                free: NO_SLOT,
                            });
                            self.pages.len() as u32 - 1
                        }
                    };
                    self.pages[page as usize].class = class;
                    partial.push(page);
                    break page;
                }
            }
        };
        Some(page << SLOT_BITS | u32::from(self.pages[page as usize].take()))
    }

    fn give_slot(&mut self, slot: u32) {
        let (number, slot) = place(slot);
        let page = &mut self.pages[number];
        let was_full = page.is_full();
        let class = page.class;
        page.give(slot as u16);
        if page.used == 0 {
            (page.class, page.begun, page.free) = (NO_CLASS, 0, NO_SLOT);
            self.empty.push(number as u32);
        } else if was_full {
            self.partial[usize::from(class)].push(number as u32);
        }
    }

    /// A run of at least `len` bytes, its content undefined.
    pub fn take(&mut self, len: usize) -> Handle {
        if len == 0 {
            return Handle::none();
        }
        let class = SIZES.iter().position(|size| usize::from(*size) >= len);
        if let Some(slot) = class.and_then(|class| self.take_slot(class as u8)) {
            return Handle(slot);
        }
        let bytes = vec![0; len].into_boxed_slice();
        let slot = match self.huge_free.pop() {
            Some(slot) => {
                self.huge[slot as usize] = bytes;
                slot
            }
            None => {
                self.huge.push(bytes);
                self.huge.len() as u32 - 1
            }
        };
        Handle(slot | HUGE)
    }

    /// The run's bytes, all of its slot.
    #[inline]
    pub fn get(&self, handle: &Handle) -> &[u8] {
        if handle.0 & HUGE != 0 {
            return match handle.huge() {
                Some(huge) => &self.huge[huge],
                None => &[],
            };
        }
        let (page, slot) = place(handle.0);
        let page = &self.pages[page];
        let size = size_of_class(page.class);
        &page.bytes[slot * size..(slot + 1) * size]
    }

    /// The run's bytes for writing.
    #[inline]
    pub fn get_mut(&mut self, handle: &Handle) -> &mut [u8] {
        if handle.0 & HUGE != 0 {
            return match handle.huge() {
                Some(huge) => &mut self.huge[huge],
                None => &mut [],
            };
        }
        let (page, slot) = place(handle.0);
        let page = &mut self.pages[page];
        let size = size_of_class(page.class);
        &mut page.bytes[slot * size..(slot + 1) * size]
    }

    /// Has what an append at byte `at` of a run needs fetched: the place, or all of a run that is
    /// about to move.
    #[inline]
    pub fn fetch_end(&self, handle: &Handle, at: usize) {
        /// Most samples take no more.
        const SAMPLE: usize = 8;
        let bytes = self.get(handle);
        match bytes.get(at..at + SAMPLE) {
            Some(place) => prefetch(place),
            None => prefetch(bytes),
        }
    }

    /// How many bytes the run's slot has.
    #[inline]
    pub fn capacity(&self, handle: &Handle) -> usize {
        self.get(handle).len()
    }

    /// Moves a run to a slot of at least `len` bytes, keeping its first `keep` bytes.
    pub fn grow(&mut self, handle: &mut Handle, len: usize, keep: usize) {
        let target = self.take(len);
        self.copy(handle, &target, keep);
        let old = std::mem::replace(handle, target);
        self.give(old);
    }

    /// Copies a run's first `keep` bytes to another run.
    fn copy(&mut self, from: &Handle, to: &Handle, keep: usize) {
        if keep == 0 {
            return;
        }
        if (from.0 | to.0) & HUGE != 0 {
            let bytes = self.get(from)[..keep].to_vec();
            self.get_mut(to)[..keep].copy_from_slice(&bytes);
            return;
        }
        let (from, to) = (place(from.0), place(to.0));
        if from.0 == to.0 {
            let page = &mut self.pages[from.0];
            let size = size_of_class(page.class);
            let at = from.1 * size;
            page.bytes.copy_within(at..at + keep, to.1 * size);
        } else if let Ok([source, target]) = self.pages.get_disjoint_mut([from.0, to.0]) {
            let at = to.1 * size_of_class(target.class);
            let bytes = &source.bytes[from.1 * size_of_class(source.class)..][..keep];
            target.bytes[at..at + keep].copy_from_slice(bytes);
        }
    }

    /// Gives a run back.
    pub fn give(&mut self, handle: Handle) {
        if let Some(huge) = handle.huge() {
            self.huge[huge] = Box::default();
            self.huge_free.push(huge as u32);
        } else if !handle.is_none() {
            self.give_slot(handle.0);
        }
    }

    /// Bytes taken from the allocator.
    pub fn bytes(&self) -> usize {
        self.pages.len() * (PAGE + size_of::<Page>())
            + self.huge.iter().map(|bytes| bytes.len()).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_keep_their_bytes_and_slots_are_used_again() {
        let mut slab = Slab::default();
        let mut runs: Vec<(Handle, u8, usize)> = Vec::new();
        for i in 0..4000usize {
            let len = (i * 37) % 1500 + 1 + if i % 500 == 0 { 9000 } else { 0 };
            let handle = slab.take(len);
            slab.get_mut(&handle)[..len].fill(i as u8);
            runs.push((handle, i as u8, len));
            if i % 3 == 0 {
                let (mut handle, byte, len) = runs.swap_remove(i % runs.len());
                slab.grow(&mut handle, len + 1, len);
                slab.get_mut(&handle)[len] = byte;
                runs.push((handle, byte, len + 1));
            }
            if i % 4 == 0 {
                let (handle, ..) = runs.swap_remove(i % runs.len());
                slab.give(handle);
            }
        }
        for (handle, byte, len) in &runs {
            assert!(slab.get(handle)[..*len].iter().all(|b| b == byte));
        }
        let before = slab.bytes();
        assert!(
            runs.iter()
                .all(|(handle, _, len)| slab.capacity(handle) >= *len)
        );
        let small: Vec<Handle> = (0..100).map(|_| slab.take(20)).collect();
        small.into_iter().for_each(|handle| slab.give(handle));
        let after = slab.bytes();
        let again: Vec<Handle> = (0..100).map(|_| slab.take(20)).collect();
        assert_eq!(again.len(), 100);
        assert_eq!(slab.bytes(), after);
        assert!(after <= before + PAGE);
    }

    #[test]
    fn runs_that_grow_together_leave_nothing_behind() {
        let mut slab = Slab::default();
        let mut runs: Vec<Handle> = (0..2000).map(|_| slab.take(16)).collect();
        for len in [30, 60, 90, 120, 200, 300, 400, 600, 800] {
            for run in &mut runs {
                slab.grow(run, len, 16);
            }
        }
        let needed = 2000 * 864;
        assert!(
            slab.bytes() < needed * 4 / 3,
            "{} for {needed}",
            slab.bytes()
        );
        runs.into_iter().for_each(|run| slab.give(run));
        assert_eq!(slab.empty.len(), slab.pages.len());
    }
}
