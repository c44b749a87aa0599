//! Chunks, index, WAL records, tombstones and meta.json: encode and decode, no files.
