//! Which thread this is, for the kernel and for `/proc`. Called once a run by a loop.

/// The kernel's number of the calling thread (gettid(2)): the directory of `/proc/self/task` that is its.
///
/// ```
/// let number = rondeau_driver::thread_number();
/// assert!(std::path::Path::new(&format!("/proc/self/task/{number}")).exists());
/// ```
#[must_use]
pub fn thread_number() -> u32 {
    // SAFETY: gettid takes nothing and cannot fail.
    unsafe { libc::gettid() as u32 }
}
