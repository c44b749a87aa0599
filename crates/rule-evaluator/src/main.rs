//! The program; everything is in the library.

// A sixth of the CPU of an evaluation was glibc's heap (docs/performance.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    service::without_huge_pages();
    service::main(&rule_evaluator::PROGRAM, rule_evaluator::run)
}
