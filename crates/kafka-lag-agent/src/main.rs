//! The program; everything is in the library.

fn main() -> std::process::ExitCode {
    service::main(&kafka_lag_agent::PROGRAM, kafka_lag_agent::run)
}
