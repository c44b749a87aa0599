//! Remote write and read, both sides.
