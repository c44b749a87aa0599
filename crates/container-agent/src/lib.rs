//! container-agent: what cAdvisor shows of containers, read when somebody asks.
//!
//! `groups`, `info`, `labels` and `metrics` are pure: information in, a page out.

pub mod cgroup;
pub mod groups;
pub mod info;
pub mod labels;
pub mod machine;
pub mod metrics;
pub mod proc;
