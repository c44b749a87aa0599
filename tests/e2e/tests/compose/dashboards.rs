//! Dashboards against the running stack.

pub(crate) fn all(_store: &str) {}
