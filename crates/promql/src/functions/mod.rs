//! The functions: one signature table, and their implementations by family.

pub(crate) mod calendar;
pub(crate) mod extended;
pub(crate) mod math;
pub(crate) mod natural;
pub(crate) mod over_time;
pub(crate) mod quantile;
pub(crate) mod rate;
pub mod signatures;
pub(crate) mod window;
mod window_sums;

#[cfg(test)]
mod tests;

pub(crate) use window::window_of;
