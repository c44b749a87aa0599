//! The program; everything is in the library.

fn main() -> std::process::ExitCode {
    service::main(&container_agent::PROGRAM, container_agent::run)
}
