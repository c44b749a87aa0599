//! alert-router: see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    service::main(&alert_router::flags::PROGRAM, alert_router::run)
}
