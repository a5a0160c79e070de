//! The CPU time of the server, read from outside it: the server is not disturbed, and the window holds the measured
//! messages and not the set-up.
//!
//! `clock_getcpuclockid(3)` names another process's CPU clock, `clock_gettime(2)` reads it in nanoseconds,
//! all its threads together. Of another process it tells what was booked at the last tick or switch (Linux 6.18,
//! `thread_group_cputime`), up to some milliseconds ago while that process runs, so it is read while the server sleeps.
//! Rejected: `/proc/PID/stat` (10 ms ticks) and `/proc/PID/schedstat` (one thread).

use std::io;
use std::time::{Duration, Instant};

/// Another process's CPU clock.
pub struct ServerClock {
    process: i32,
    clock: libc::clockid_t,
}

const LONGEST_WAIT: Duration = Duration::from_secs(5);

impl ServerClock {
    /// # Errors
    /// When there is no such process.
    pub fn of(process: i32) -> io::Result<Self> {
        let mut clock = 0;
        // SAFETY: `clock` is a valid place for one clockid_t during the call.
        match unsafe { libc::clock_getcpuclockid(process, &raw mut clock) } {
            0 => Ok(Self { process, clock }),
            code => Err(io::Error::from_raw_os_error(code)),
        }
    }

    /// The clock once the process's main thread sleeps.
    ///
    /// # Errors
    /// When the process has ended, or `TimedOut` when it does not come to rest.
    pub fn asleep(&self) -> io::Result<u64> {
        let deadline = Instant::now() + LONGEST_WAIT;
        while !sleeps(self.process)? {
            if Instant::now() > deadline {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the server does not come to rest",
                ));
            }
            std::thread::sleep(Duration::from_micros(100));
        }
        self.nanoseconds()
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
        if unsafe { libc::clock_gettime(self.clock, &raw mut now) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let part = |count: i64| u64::try_from(count).expect("a CPU clock starts at zero");
        Ok(part(now.tv_sec) * 1_000_000_000 + part(now.tv_nsec))
    }
}

/// Whether the main thread waits in the kernel: state S in `proc_pid_stat(5)`, the word after the name in brackets.
fn sleeps(process: i32) -> io::Result<bool> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    Ok(stat
        .rsplit_once(')')
        .is_some_and(|(_, rest)| rest.trim_start().starts_with('S')))
}

#[cfg(test)]
mod tests {
    use super::ServerClock;
    use std::process::{Command, Stdio};

    #[test]
    fn own_clock_moves_forward() {
        let own = i32::try_from(std::process::id()).expect("a pid fits an i32");
        let clock = ServerClock::of(own).expect("this process is alive");
        let before = clock.nanoseconds().expect("alive");
        let work: u64 = (0..5_000_000u64).map(std::hint::black_box).sum();
        assert!(work > 0 && clock.nanoseconds().expect("alive") > before);
    }

    #[test]
    fn a_process_that_waits_for_input_is_asleep() {
        let mut waiting = Command::new("cat")
            .stdin(Stdio::piped())
            .spawn()
            .expect("cat is everywhere");
        let process = i32::try_from(waiting.id()).expect("a pid fits an i32");
        let read = ServerClock::of(process).and_then(|clock| clock.asleep());
        drop(waiting.stdin.take());
        waiting.wait().expect("our child");
        assert!(read.expect("it sleeps") > 0);
    }

    #[test]
    fn a_process_that_is_not_there_is_an_error() {
        let above_every_pid = (1 << 22) + 1; // PID_MAX_LIMIT, proc_sys_kernel(5)
        assert!(ServerClock::of(above_every_pid).is_err());
    }
}
