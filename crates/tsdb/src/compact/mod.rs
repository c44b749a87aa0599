//! Compaction: which blocks become one ([`plan`]), and how ([`merge`]).

pub mod merge;
pub mod plan;

#[cfg(test)]
mod tests;

pub use merge::{Merged, compact_blocks};
pub use plan::{block_ranges, compacted_meta, plan};
