//! The program; everything is in the library.

fn main() -> std::process::ExitCode {
    service::main(&statsd_bridge::PROGRAM, statsd_bridge::run)
}
