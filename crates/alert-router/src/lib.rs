//! alert-router: Alertmanager's place. It takes alerts, groups, inhibits and silences them, and
//! notifies receivers; an alert it has acknowledged is on disk, and nothing is sent twice within
//! its repeat interval, restarts included.
//!
//! Pure, without files, sockets or a clock (`now` is an argument): [`matcher`], [`config`],
//! [`route`], [`time_interval`], [`inhibit`], [`silence`], [`nflog`], [`group`].
//! Shell: [`start`] puts it together: [`store`] keeps the state on disk, [`engine`] keeps the time,
//! [`notify`] sends, [`api`] and [`grpc`] listen,
//! [`cluster`] makes several routers one.

pub mod alert;
pub mod api;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod engine;
pub mod flags;
pub mod group;
pub mod grpc;
mod handlers;
pub mod inhibit;
pub mod intake;
pub mod live;
pub mod matcher;
pub mod metrics;
pub mod metrics_state;
pub mod moment;
pub mod nflog;
pub mod notify;
pub mod route;
pub mod router;
pub mod silence;
pub mod start;
pub mod store;
pub mod template;
pub mod time_interval;

pub use start::run;
