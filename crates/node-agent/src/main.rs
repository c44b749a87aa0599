//! The program; everything is in the library.

fn main() -> std::process::ExitCode {
    service::main(&node_agent::PROGRAM, node_agent::run)
}
