//! The program; everything is in the library.

fn main() -> std::process::ExitCode {
    small_heap();
    service::main(&node_agent::PROGRAM, node_agent::run)
}

/// glibc gives each thread a heap of its own, and keeps what they once needed. The few threads here
/// seldom allocate at the same time: one heap for all is half as much memory. What a scrape needs stays for
/// the next one: to give it back and ask for it again was a tenth of a scrape's CPU.
fn small_heap() {
    // SAFETY: no other thread runs yet.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 1 << 20);
        libc::mallopt(libc::M_TOP_PAD, 64 << 10);
    }
}
