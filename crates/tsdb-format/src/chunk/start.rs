//! Start timestamps within chunks (prometheus/prometheus `tsdb/chunkenc/st.go`).
//!
//! A header byte says whether the first sample has one (bit 7) and from which sample on one is
//! stored with each (bits 0 to 6; 0: with none). They are stored as the distance to the sample's
//! predecessor, and from the second stored one on as the change of that distance.

use super::bits::{BitReader, BitVec};

/// Sample from which on every sample has its start stored, whether it changed or not: the header
/// cannot name a later one.
const LAST_FIRST_CHANGE: u16 = 0x7f;

/// What writer and reader know of the samples before.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Starts {
    pub(super) start_ms: i64,
    distance: i64,
    first_change: u16,
    first_known: bool,
}

impl Starts {
    pub(super) fn from_header(byte: u8) -> Starts {
        Starts {
            first_known: byte & 0x80 != 0,
            first_change: u16::from(byte & 0x7f),
            ..Starts::default()
        }
    }

    pub(super) fn header(&self) -> u8 {
        u8::from(self.first_known) << 7 | self.first_change as u8
    }

    /// Writes the start of sample `index`; the header may change.
    pub(super) fn put(
        &mut self,
        bits: &mut BitVec,
        index: u16,
        t_ms: i64,
        previous_t_ms: i64,
        start_ms: i64,
    ) {
        let distance = previous_t_ms.wrapping_sub(start_ms);
        if index == 0 {
            if start_ms != 0 {
                bits.put_varint(t_ms.wrapping_sub(start_ms));
                self.first_known = true;
            }
        } else if self.first_change > 0 {
            bits.put_varbit_int(distance.wrapping_sub(self.distance));
            self.distance = distance;
        } else if start_ms != self.start_ms || index == LAST_FIRST_CHANGE {
            self.first_change = index;
            bits.put_varbit_int(distance);
            self.distance = distance;
        }
        self.start_ms = start_ms;
    }

    /// Reads the start of sample `index`; `None` for a broken varint.
    pub(super) fn read(
        &mut self,
        bits: &mut BitReader<'_>,
        index: u16,
        t_ms: i64,
        previous_t_ms: i64,
    ) -> Option<()> {
        if index == 0 {
            if self.first_known {
                self.start_ms = t_ms.wrapping_sub(bits.varint()?);
            }
        } else if self.first_change > 0 && index >= self.first_change {
            let stored = bits.varbit_int();
            self.distance = if index == self.first_change {
                stored
            } else {
                self.distance.wrapping_add(stored)
            };
            self.start_ms = previous_t_ms.wrapping_sub(self.distance);
        }
        Some(())
    }
}
