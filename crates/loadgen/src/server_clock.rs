//! The CPU time of the server, read from outside it: the server is not disturbed, and the window starts and ends
//! with the measured messages, not with the set-up.
//!
//! `clock_getcpuclockid(3)` names another process's CPU clock, `clock_gettime(2)` reads it in nanoseconds,
//! all its threads together, up to the moment of the call. Rejected: `/proc/PID/stat` (10 ms ticks) and
//! `/proc/PID/schedstat` (one thread, as old as the last tick).

use std::io;

/// Another process's CPU clock.
pub struct ServerClock(libc::clockid_t);

impl ServerClock {
    /// # Errors
    /// When there is no such process.
    pub fn of(process: i32) -> io::Result<Self> {
        let mut clock = 0;
        // SAFETY: `clock` is a valid place for one clockid_t during the call.
        match unsafe { libc::clock_getcpuclockid(process, &raw mut clock) } {
            0 => Ok(Self(clock)),
            code => Err(io::Error::from_raw_os_error(code)),
        }
    }

    /// Nanoseconds of CPU, user and kernel, that the process has used.
    ///
    /// # Errors
    /// When the process has ended.
    pub fn nanoseconds(&self) -> io::Result<u64> {
        let mut now = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: `now` is a valid place for one timespec during the call.
        if unsafe { libc::clock_gettime(self.0, &raw mut now) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let part = |count: i64| u64::try_from(count).expect("a CPU clock starts at zero");
        Ok(part(now.tv_sec) * 1_000_000_000 + part(now.tv_nsec))
    }
}

#[cfg(test)]
mod tests {
    use super::ServerClock;

    #[test]
    fn own_clock_moves_forward() {
        let own = i32::try_from(std::process::id()).expect("a pid fits an i32");
        let clock = ServerClock::of(own).expect("this process is alive");
        let before = clock.nanoseconds().expect("alive");
        let work: u64 = (0..5_000_000u64).map(std::hint::black_box).sum();
        assert!(work > 0 && clock.nanoseconds().expect("alive") > before);
    }

    #[test]
    fn a_process_that_is_not_there_is_an_error() {
        let above_every_pid = (1 << 22) + 1; // PID_MAX_LIMIT, proc_sys_kernel(5)
        assert!(ServerClock::of(above_every_pid).is_err());
    }
}
