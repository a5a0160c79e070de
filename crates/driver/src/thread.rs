//! What a thread of this process has done so far: computed, waited for a processor, slept. Read from outside, without stopping it.
//!
//! Called by whoever watches a loop's thread (`rondeau_core::Stall` judges what is read). CPU time is the thread's own clock, which is
//! exact also while it runs; the wait for a processor is `/proc/self/task/TID/schedstat` (proc(5); `CONFIG_SCHED_INFO`), which counts
//! a wait when it has ended; the state is the third field of `/proc/self/task/TID/stat`. Some microseconds a reading.
//!
//! Where a kernel lacks schedstat the wait is 0, and a judge that counts sleep as what is left counts too much: it is told
//! by `waited` being `None`.

use std::fs::File;
use std::io::Read;

/// What a thread does at a moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Runs, or is ready to and waits for a processor: the kernel does not tell these apart.
    Runnable,
    /// Waits in the kernel.
    Asleep,
    /// Is stopped: by a signal, or by a debugger.
    Stopped,
    /// It has ended, or the kernel does not say.
    Unknown,
}

/// A reading of a thread. Times in nanoseconds since it began.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Usage {
    /// How long it ran on a processor.
    pub ran: u64,
    /// How long it was ready and had none, waits that have ended only; None where the kernel does not count.
    pub waited: Option<u64>,
    /// What it does now.
    pub state: State,
}

/// The kernel's number of the calling thread (gettid(2)): the directory of `/proc/self/task` that is its.
///
/// ```
/// let number = rondeau_driver::thread::number();
/// assert!(std::path::Path::new(&format!("/proc/self/task/{number}")).exists());
/// ```
#[must_use]
pub fn number() -> u32 {
    // SAFETY: gettid takes nothing and cannot fail.
    unsafe { libc::gettid() as u32 }
}

/// What thread `thread` of this process has done so far; None once it has ended.
///
/// ```
/// use rondeau_driver::thread;
///
/// let usage = thread::usage(thread::number()).expect("this thread lives");
/// assert!(usage.ran > 0 && usage.state == thread::State::Runnable);
/// ```
#[must_use]
pub fn usage(thread: u32) -> Option<Usage> {
    // The state before the times: one that slept when it was asked has had all its waits counted.
    let state = state(thread);
    Some(Usage {
        ran: ran(thread)?,
        waited: waited(thread),
        state,
    })
}

/// What a thread does, by its system call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Doing {
    /// It is in no system call, or has been woken from it.
    Running,
    /// It sleeps in the system call of this number, which has this first argument.
    Call(i64, u64),
    /// The kernel does not say.
    Unknown,
}

/// The system call that thread `thread` sleeps in (`/proc/self/task/TID/syscall`, proc(5)).
///
/// ```
/// use rondeau_driver::thread;
/// assert!(!matches!(thread::doing(thread::number()), thread::Doing::Running)); // It reads a file.
/// ```
#[must_use]
pub fn doing(thread: u32) -> Doing {
    let mut buffer = [0; 256];
    let Some(text) = read(thread, "syscall", &mut buffer) else {
        return Doing::Unknown;
    };
    if text.starts_with("running") {
        return Doing::Running;
    }
    let call = || {
        let mut words = text.split(' ');
        let number = words.next()?.parse().ok()?;
        let first = words.next()?.strip_prefix("0x")?;
        Some(Doing::Call(number, u64::from_str_radix(first, 16).ok()?))
    };
    call().unwrap_or(Doing::Unknown)
}

/// The numbers of all threads of this process; empty where the kernel does not say.
#[must_use]
pub fn all() -> Vec<u32> {
    std::fs::read_dir("/proc/self/task").map_or_else(
        |_| Vec::new(),
        |entries| {
            entries
                .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
                .collect()
        },
    )
}

/// The name of a system call in which programs block, for people to read; None for the others.
///
/// ```
/// use rondeau_driver::thread::call_name;
/// assert_eq!(call_name(libc::SYS_clock_nanosleep), Some("clock_nanosleep"));
/// ```
#[must_use]
pub fn call_name(number: i64) -> Option<&'static str> {
    let known = [
        (libc::SYS_clock_nanosleep, "clock_nanosleep"),
        (libc::SYS_nanosleep, "nanosleep"),
        (libc::SYS_futex, "futex"),
        (libc::SYS_read, "read"),
        (libc::SYS_pread64, "pread"),
        (libc::SYS_readv, "readv"),
        (libc::SYS_write, "write"),
        (libc::SYS_pwrite64, "pwrite"),
        (libc::SYS_writev, "writev"),
        (libc::SYS_fsync, "fsync"),
        (libc::SYS_fdatasync, "fdatasync"),
        (libc::SYS_openat, "open"),
        (libc::SYS_flock, "flock"),
        (libc::SYS_recvfrom, "recv"),
        (libc::SYS_recvmsg, "recvmsg"),
        (libc::SYS_sendto, "send"),
        (libc::SYS_sendmsg, "sendmsg"),
        (libc::SYS_connect, "connect"),
        (libc::SYS_accept4, "accept"),
        (libc::SYS_ppoll, "poll"),
        (libc::SYS_pselect6, "select"),
        (libc::SYS_epoll_pwait, "epoll_wait"),
        (libc::SYS_wait4, "wait"),
        (libc::SYS_waitid, "wait"),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_poll, "poll"),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_select, "select"),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_epoll_wait, "epoll_wait"),
    ];
    known
        .into_iter()
        .find_map(|(known, name)| (known == number).then_some(name))
}

fn ran(thread: u32) -> Option<u64> {
    // A thread's clock, as pthread_getcpuclockid(3) makes it from the kernel's number: CPUCLOCK_PERTHREAD | CPUCLOCK_SCHED
    // (include/linux/posix-timers.h).
    let clock = (!(thread as i32) << 3) | 0b110;
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a valid timespec that the call fills.
    let failed = unsafe { libc::clock_gettime(clock, &mut time) } != 0;
    (!failed).then_some(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

/// How long thread `thread` was ready and had no processor, in nanoseconds; None where the kernel does not count.
#[must_use]
pub fn waited(thread: u32) -> Option<u64> {
    let mut buffer = [0; 128];
    let text = read(thread, "schedstat", &mut buffer)?;
    text.split(' ').nth(1)?.parse().ok()
}

fn state(thread: u32) -> State {
    let mut buffer = [0; 256];
    // The name, in brackets, may hold anything.
    let letter =
        read(thread, "stat", &mut buffer).and_then(|text| text.rsplit_once(") ")?.1.chars().next());
    match letter {
        Some('R') => State::Runnable,
        Some('S' | 'D' | 'I') => State::Asleep,
        Some('T' | 't') => State::Stopped,
        _ => State::Unknown,
    }
}

fn read<'a>(thread: u32, what: &str, buffer: &'a mut [u8]) -> Option<&'a str> {
    let mut file = File::open(format!("/proc/self/task/{thread}/{what}")).ok()?;
    let length = file.read(buffer).ok()?;
    std::str::from_utf8(&buffer[..length]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_thread_that_sleeps_is_seen_asleep_and_one_that_ended_is_not_there() {
        let (tell, told) = mpsc::channel();
        let (wake, woken) = mpsc::channel::<()>();
        let sleeper = std::thread::spawn(move || {
            tell.send(number()).expect("somebody listens");
            woken.recv().expect("somebody wakes");
        });
        let id = told.recv().expect("it lives");
        while usage(id).expect("it lives").state != State::Asleep {
            std::thread::yield_now();
        }
        assert!(usage(id).expect("it lives").ran > 0);
        wake.send(()).expect("it lives");
        sleeper.join().expect("it ends well");
        while usage(id).is_some() {
            std::thread::yield_now(); // The kernel forgets it a little after the join.
        }
    }

    #[test]
    fn what_a_thread_computes_is_counted_while_it_runs() {
        let before = usage(number()).expect("this thread lives").ran;
        let mut sum = 0u64;
        while usage(number()).expect("this thread lives").ran < before + 1_000_000 {
            sum = sum.wrapping_mul(31).wrapping_add(1);
        }
        assert_eq!(
            usage(number()).map(|usage| usage.state),
            Some(State::Runnable)
        );
        std::hint::black_box(sum);
    }
}
