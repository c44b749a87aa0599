//! Hints to the processor.

/// Tells the processor that this is about to be read: it fetches it from memory while it goes on.
#[inline]
pub fn prefetch<T>(items: &[T]) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        /// Bytes that are fetched together.
        const LINE: usize = 64;
        let start = items.as_ptr().cast::<i8>();
        let before = start.addr() % LINE;
        let end = before + size_of_val(items);
        for line in (0..end).step_by(LINE) {
            // SAFETY: it is a hint, which no address makes fail.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(start.wrapping_sub(before).wrapping_add(line)) };
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = items;
}
