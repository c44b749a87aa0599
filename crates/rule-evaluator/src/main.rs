//! The program; everything is in the library.

fn main() -> std::process::ExitCode {
    service::main(&rule_evaluator::PROGRAM, rule_evaluator::run)
}
