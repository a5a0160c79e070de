//! Runs each test on both back ends: `Choice::Auto` (io_uring where this machine allows it) and `Choice::Epoll`.

#![allow(dead_code, reason = "not every test file waits for operations")]

use rondeau_driver::{Done, Driver, Events, Op, Output};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

/// Declares `uring::NAME` and `threads::NAME` for each `fn NAME(choice: Choice)`.
#[macro_export]
macro_rules! on_both_back_ends {
    ($($name:ident),* $(,)?) => {
        mod uring { $(#[test] fn $name() { super::$name(rondeau_driver::Choice::Auto) })* }
        mod threads { $(#[test] fn $name() { super::$name(rondeau_driver::Choice::Epoll) })* }
    };
}

/// The next operation that ends.
pub fn next(driver: &mut Driver) -> Done {
    let mut events = Events::new();
    loop {
        driver.flush();
        if let Some(done) = driver.reap() {
            return done;
        }
        match driver.park(&mut events, None) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => panic!("{error}"),
            _ => {}
        }
    }
}

/// Does one operation alone.
pub fn one(driver: &mut Driver, op: Op) -> Done {
    let id = driver.submit(op, 42);
    let done = next(driver);
    assert_eq!((done.id, done.waiter), (id, 42));
    done
}

/// The same, for its output.
pub fn output(driver: &mut Driver, op: Op) -> Output {
    one(driver, op).result.unwrap()
}

/// A pipe: the end to read from and the one to write to.
pub fn pipe() -> (OwnedFd, OwnedFd) {
    let mut fds = [-1; 2];
    // SAFETY: the kernel writes two new descriptors into `fds`.
    let made = unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) };
    assert_eq!(made, 0);
    // SAFETY: nobody else knows these descriptors.
    unsafe { (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])) }
}
