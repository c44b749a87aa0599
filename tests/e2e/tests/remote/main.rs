//! scraper-store and other stores: samples go to a real Prometheus and a real VictoriaMetrics and come
//! from them, over outages and kill -9, and the same samples are on both sides.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on may say so by panicking"
)]

mod agent;
mod otlp;
mod read;
mod store;
mod write;
