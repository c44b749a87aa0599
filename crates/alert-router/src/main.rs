//! alert-router: see the library.

use std::process::ExitCode;

// glibc's heap keeps a third more after each round of alerts (docs/performance.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    service::without_huge_pages();
    service::main(&alert_router::flags::PROGRAM, alert_router::run)
}
