//! The program; everything is in the library.

// Builds with a C compiler alone; jemalloc would want make as well.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Huge pages would back memory that is reserved and hardly touched: they double what a small store
/// takes (measured: docs/performance.md) and make nothing faster.
fn without_huge_pages() {
    #[cfg(target_os = "linux")]
    // SAFETY: this option takes plain numbers and touches no memory of ours. Where the kernel does not
    // know it, nothing changes.
    unsafe {
        libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0);
    }
}

fn main() -> std::process::ExitCode {
    without_huge_pages();
    service::main(&scraper_store::PROGRAM, scraper_store::run)
}
