//! Head, WAL, blocks, compaction, retention.
