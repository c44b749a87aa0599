//! Byte runs of varying size in few allocations: open chunks, label sets and chunk lists of a shard.
//!
//! A run lives in a slot of the smallest size class it fits; classes grow by a quarter to a third,
//! so that a growing chunk wastes little, and slots are carved from 8 KiB pages, so that a run costs
//! no allocator header. A free slot holds the number of the next free one.

const PAGE: usize = 8 * 1024;
const NONE: u32 = u32::MAX;

/// Slot sizes in bytes; a longer run gets an allocation of its own.
const SIZES: [u16; 29] = [
    16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 152, 176, 208, 240, 288, 336, 400, 464, 544, 640,
    744, 864, 992, 1088, 1360, 1632, 2040, 4096,
];
const HUGE: u8 = SIZES.len() as u8;

/// Where a run lies; meaningful for the slab that gave it. Not `Copy`: one handle, one owner.
#[derive(Debug, PartialEq, Eq)]
pub struct Handle {
    slot: u32,
    class: u8,
}

impl Handle {
    /// No run at all: zero bytes.
    pub const fn none() -> Handle {
        Handle {
            slot: NONE,
            class: 0,
        }
    }

    /// Whether this is [`Handle::none`].
    pub fn is_none(&self) -> bool {
        self.slot == NONE
    }
}

struct Class {
    size: usize,
    per_page: u32,
    pages: Vec<Box<[u8]>>,
    /// Slots handed out so far, freed ones included.
    used: u32,
    free: u32,
}

/// The runs of one shard.
pub struct Slab {
    classes: Vec<Class>,
    huge: Vec<Box<[u8]>>,
    huge_free: Vec<u32>,
}

impl Default for Slab {
    fn default() -> Slab {
        let class = |size: &u16| Class {
            size: usize::from(*size),
            per_page: (PAGE / usize::from(*size)) as u32,
            pages: Vec::new(),
            used: 0,
            free: NONE,
        };
        Slab {
            classes: SIZES.iter().map(class).collect(),
            huge: Vec::new(),
            huge_free: Vec::new(),
        }
    }
}

impl Class {
    fn take(&mut self) -> u32 {
        if self.free != NONE {
            let slot = self.free;
            let bytes = self.slot(slot);
            let next = u32::from_le_bytes(bytes[..4].try_into().expect("a slot has 16 bytes"));
            self.free = next;
            return slot;
        }
        if self.used == self.pages.len() as u32 * self.per_page {
            self.pages
                .push(vec![0; self.per_page as usize * self.size].into_boxed_slice());
        }
        self.used += 1;
        self.used - 1
    }

    fn give(&mut self, slot: u32) {
        let next = self.free;
        self.slot_mut(slot)[..4].copy_from_slice(&next.to_le_bytes());
        self.free = slot;
    }

    #[inline]
    fn slot(&self, slot: u32) -> &[u8] {
        let at = (slot % self.per_page) as usize * self.size;
        &self.pages[(slot / self.per_page) as usize][at..at + self.size]
    }

    #[inline]
    fn slot_mut(&mut self, slot: u32) -> &mut [u8] {
        let at = (slot % self.per_page) as usize * self.size;
        &mut self.pages[(slot / self.per_page) as usize][at..at + self.size]
    }
}

impl Slab {
    /// A run of at least `len` bytes, its content undefined.
    pub fn take(&mut self, len: usize) -> Handle {
        if len == 0 {
            return Handle::none();
        }
        match SIZES.iter().position(|size| usize::from(*size) >= len) {
            Some(class) => Handle {
                slot: self.classes[class].take(),
                class: class as u8,
            },
            None => {
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
                Handle { slot, class: HUGE }
            }
        }
    }

    /// The run's bytes, all of its slot.
    #[inline]
    pub fn get(&self, handle: &Handle) -> &[u8] {
        match handle.class {
            _ if handle.is_none() => &[],
            HUGE => &self.huge[handle.slot as usize],
            class => self.classes[usize::from(class)].slot(handle.slot),
        }
    }

    /// The run's bytes for writing.
    #[inline]
    pub fn get_mut(&mut self, handle: &Handle) -> &mut [u8] {
        match handle.class {
            _ if handle.is_none() => &mut [],
            HUGE => &mut self.huge[handle.slot as usize],
            class => self.classes[usize::from(class)].slot_mut(handle.slot),
        }
    }

    /// How many bytes the run's slot has.
    #[inline]
    pub fn capacity(&self, handle: &Handle) -> usize {
        match handle.class {
            _ if handle.is_none() => 0,
            HUGE => self.huge[handle.slot as usize].len(),
            class => self.classes[usize::from(class)].size,
        }
    }

    /// Moves a run to a slot of at least `len` bytes, keeping its first `keep` bytes.
    #[cold]
    pub fn grow(&mut self, handle: &mut Handle, len: usize, keep: usize) {
        let target = self.take(len);
        let mut copy = [0u8; 4096];
        if keep <= copy.len() {
            copy[..keep].copy_from_slice(&self.get(handle)[..keep]);
            self.get_mut(&target)[..keep].copy_from_slice(&copy[..keep]);
        } else {
            let copy = self.get(handle)[..keep].to_vec();
            self.get_mut(&target)[..keep].copy_from_slice(&copy);
        }
        let old = std::mem::replace(handle, target);
        self.give(old);
    }

    /// Gives a run back.
    pub fn give(&mut self, handle: Handle) {
        match handle.class {
            _ if handle.is_none() => {}
            HUGE => {
                self.huge[handle.slot as usize] = Box::default();
                self.huge_free.push(handle.slot);
            }
            class => self.classes[usize::from(class)].give(handle.slot),
        }
    }

    /// Bytes taken from the allocator.
    pub fn bytes(&self) -> usize {
        let pages = |class: &Class| class.pages.len() * class.per_page as usize * class.size;
        self.classes.iter().map(pages).sum::<usize>()
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
        let small: Vec<Handle> = (0..100).map(|_| slab.take(20)).collect();
        small.into_iter().for_each(|handle| slab.give(handle));
        let after = slab.bytes();
        let again: Vec<Handle> = (0..100).map(|_| slab.take(20)).collect();
        assert_eq!(again.len(), 100);
        assert_eq!(slab.bytes(), after);
        assert!(after <= before + PAGE);
    }
}
