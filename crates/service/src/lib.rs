//! Bootstrap of all seven services: flags, logs, listeners with TLS and authentication, `/metrics`,
//! `/-/{healthy,ready,reload}`, signals and an orderly stop.
//!
//! A service's `main.rs` is a [`Program`] (data: name, flags, default port) and an async function
//! that takes a [`Boot`]:
//!
//! ```no_run
//! use service::{Boot, Error, Flag, Program};
//!
//! static PROGRAM: Program = Program {
//!     name: "statsd-bridge",
//!     about: "Turns StatsD metrics into Prometheus metrics.",
//!     metric_prefix: "statsd_exporter",
//!     listen: ":9102",
//!     flags: &[Flag::string("statsd.mapping-config", "", "Metric mapping configuration file name.")],
//!     ..Program::DEFAULT
//! };
//!
//! async fn run(boot: Boot) -> Result<(), Error> {
//!     let mapping = boot.args.str("statsd.mapping-config").to_owned();
//!     boot.on_reload(move || {
//!         let mapping = mapping.clone();
//!         async move { std::fs::read_to_string(&mapping).map(drop) }
//!     });
//!     boot.http(axum::Router::new()).await?;
//!     boot.ready();
//!     boot.shutdown.requested().await;
//!     Ok(())
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     service::main(&PROGRAM, run)
//! }
//! ```
//!
//! Nothing here is global: what a service needs is in its [`Boot`].

mod boot;
mod error;
pub mod flags;
#[cfg(feature = "grpc")]
mod grpc;
#[cfg(feature = "grpc")]
mod grpc_client;
mod healthcheck;
mod heap;
mod kit_flags;
mod landing;
mod logging;
mod process;
mod program;
mod program_pages;
mod reload;
mod request_metrics;
mod routes;
mod server;
mod shutdown;
mod signals;
mod stream;
pub mod version;
mod web_config;

pub use boot::{Boot, HttpOptions, ServerTls};
pub use error::Error;
pub use flags::{Args, Flag, Kind};
#[cfg(feature = "grpc")]
pub use grpc::GrpcServices;
#[cfg(feature = "grpc")]
pub use grpc_client::GrpcClient;
pub use heap::without_huge_pages;
pub use kit_flags::{AUTO_RELOAD, AUTO_RELOAD_INTERVAL};
pub use landing::landing_page;
pub use logging::{LogFormat, LogLevel, init as init_logging};
pub use program::{FlagStyle, Program, main};
pub use program_pages::give_back_program_pages;
pub use request_metrics::{Form, Handlers};
pub use shutdown::Shutdown;
pub use web_config::TlsServerConfig;
pub use web_config::check as check_web_config;
