//! What the C library keeps of freed memory. Called once, at import.
//!
//! A turn of the loop reads from every connection that has something, then the tasks answer: with 64 connections of 100 KiB, 6 MB
//! come and go each turn. glibc gives the heap's free end back to the kernel above M_TRIM_THRESHOLD (128 KiB), so each turn could
//! fault the same pages in again: 60 of 117 µs a message. Whether it did depended on what the process had freed before, since
//! glibc raises the threshold to twice the largest mapped block that was freed (mallopt(3)); that is why figures for large
//! messages differed by two from process to process, on every loop.
//!
//! So one large block is freed first, as many programs do by themselves. glibc then keeps up to 8 MiB at the heap's end. Settings of
//! the user's (`MALLOC_TRIM_THRESHOLD_`) still decide, since they switch that rule off; other C libraries do nothing here.
//! Rejected: mallopt(3), which would overrule them; buffers of our own, since most of what is freed are Python's bytes objects.

use std::hint::black_box;

/// Bytes of the block; half of what is kept.
const BLOCK: usize = 4 << 20;

/// Has glibc keep some freed memory from now on.
pub fn keep_some() {
    // SAFETY: the block is not touched, and freed once. Its pages are never made.
    unsafe { libc::free(black_box(libc::malloc(BLOCK))) }
}
