//! The functions: one signature table, and their implementations by family.

pub mod signatures;
