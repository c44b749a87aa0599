//! The program; everything is in the library.

fn main() -> std::process::ExitCode {
    one_heap();
    service::main(&node_agent::PROGRAM, node_agent::run)
}

/// glibc gives each thread a heap of its own, and keeps what they once needed. The few threads here
/// seldom allocate at the same time: one heap for all is half as much memory.
fn one_heap() {
    // SAFETY: no other thread runs yet.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}
