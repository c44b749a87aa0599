//! Receivers: one file each, with its configuration and how it sends.

pub mod discord;
pub mod email;
pub mod mattermost;
pub mod msteamsv2;
pub mod opsgenie;
pub mod pagerduty;
pub mod pushover;
pub mod refused;
pub mod slack;
pub mod telegram;
pub mod webhook;
