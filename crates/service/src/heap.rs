//! What a service with an allocator of its own tells the kernel.

/// To be called first in `main` of a program with mimalloc: huge pages would back memory that is
/// reserved and hardly touched; they double what a small store takes (measured: docs/performance.md)
/// and make nothing faster.
pub fn without_huge_pages() {
    #[cfg(target_os = "linux")]
    // SAFETY: this option takes plain numbers and touches no memory of ours. Where the kernel does not
    // know it, nothing changes.
    unsafe {
        libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0);
    }
}
