//! The program; everything is in the library.

fn main() -> std::process::ExitCode {
    small_heap();
    service::main(&node_agent::PROGRAM, node_agent::run)
}

/// glibc gives each thread a heap of its own, and keeps what they once needed. The few threads here
/// seldom allocate at the same time: one heap for all is half as much memory. What a scrape leaves at
/// its end goes back to the system at once.
fn small_heap() {
    // SAFETY: no other thread runs yet.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 16 << 10);
        libc::mallopt(libc::M_TOP_PAD, 4 << 10);
    }
}
