//! What happens to operations that are cancelled, or whose driver goes, while the kernel has them.

#![allow(clippy::unwrap_used)]

mod both;

use both::{next, one, output, pipe};
use rondeau_driver::{Buf, Choice, Driver, Errno, Op, OpId, Output, SharedFd};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

on_both_back_ends![
    a_cancelled_read_ends_and_gives_its_buffer_back,
    an_operation_is_cancelled_before_it_was_flushed,
    a_cancel_hits_only_its_own_operation,
    a_late_cancel_is_nobodys,
    a_cancelled_close_closes_all_the_same,
    dropping_the_driver_ends_what_is_in_flight,
    dropping_the_driver_closes_what_was_opened_meanwhile,
    an_operation_keeps_its_descriptor_open,
    two_drivers_do_not_mix,
    the_driver_moves_to_another_thread,
];

fn read(fd: &SharedFd) -> Op {
    Op::Read {
        fd: fd.clone(),
        buf: Vec::with_capacity(4096),
        offset: None,
    }
}

/// A pipe with a read in flight that cannot end by itself.
fn blocked_read(driver: &mut Driver, waiter: u64) -> (OpId, SharedFd, OwnedFd) {
    let (from, to) = pipe();
    let from = Arc::new(from);
    let id = driver.submit(read(&from), waiter);
    (id, from, to)
}

fn a_cancelled_read_ends_and_gives_its_buffer_back(choice: Choice) {
    let mut driver = Driver::new(choice).unwrap();
    let (id, fd, _to) = blocked_read(&mut driver, 7);
    driver.flush();
    driver.cancel(id);
    let done = next(&mut driver);
    assert_eq!((done.id, done.waiter), (id, 7));
    assert_eq!(done.result.as_ref().unwrap_err(), &Errno(libc::ECANCELED));
    assert_eq!(
        done.into_vec()
            .map(|buf| (buf.len(), buf.capacity() >= 4096)),
        Some((0, true))
    );
    assert_eq!((driver.in_flight(), Arc::strong_count(&fd)), (0, 1));
}

fn an_operation_is_cancelled_before_it_was_flushed(choice: Choice) {
    let mut driver = Driver::new(choice).unwrap();
    let (id, _fd, _to) = blocked_read(&mut driver, 7);
    driver.cancel(id);
    assert_eq!(
        next(&mut driver).result.unwrap_err(),
        Errno(libc::ECANCELED)
    );
}

fn a_cancel_hits_only_its_own_operation(choice: Choice) {
    let mut driver = Driver::new(choice).unwrap();
    let blocked: Vec<_> = (0..10)
        .map(|waiter| blocked_read(&mut driver, waiter))
        .collect();
    driver.flush();
    driver.cancel(blocked[3].0);
    driver.cancel(blocked[9].0); // with threads this one is still queued
    let mut cancelled =
        [next(&mut driver), next(&mut driver)].map(|done| (done.waiter, done.result.unwrap_err()));
    cancelled.sort_by_key(|(waiter, _)| *waiter);
    assert_eq!(
        cancelled,
        [(3, Errno(libc::ECANCELED)), (9, Errno(libc::ECANCELED))]
    );
    for (waiter, (_, _, to)) in blocked
        .iter()
        .enumerate()
        .filter(|(waiter, _)| !matches!(waiter, 3 | 9))
    {
        let mut to = std::fs::File::from(to.try_clone().unwrap());
        to.write_all(&[waiter as u8]).unwrap();
        let done = next(&mut driver);
        assert_eq!(done.waiter, waiter as u64);
        assert_eq!(done.into_vec().unwrap(), [waiter as u8]);
    }
    assert_eq!(driver.in_flight(), 0);
}

fn a_late_cancel_is_nobodys(choice: Choice) {
    let mut driver = Driver::new(choice).unwrap();
    let done = one(
        &mut driver,
        Op::Unlink {
            path: c"/nonexistent/x".into(),
        },
    );
    // The place of the finished operation is used again at once; its old id must not hit the new one.
    let (_, _fd, to) = blocked_read(&mut driver, 8);
    driver.flush();
    driver.cancel(done.id);
    driver.flush();
    std::fs::File::from(to).write_all(b"x").unwrap();
    let done = next(&mut driver);
    assert!(matches!(done.result, Ok(Output::Count(1))), "{done:?}");
}

fn a_cancelled_close_closes_all_the_same(choice: Choice) {
    let mut driver = Driver::new(choice).unwrap();
    // With threads, four blocked reads keep all workers busy, so that the close is cancelled in the queue.
    let blocked: Vec<_> = (0..4)
        .map(|waiter| blocked_read(&mut driver, waiter))
        .collect();
    let (from, to) = pipe();
    let id = driver.submit(Op::Close(to), 9);
    driver.cancel(id);
    let done = next(&mut driver);
    assert_eq!(done.waiter, 9);
    assert_eq!(
        std::fs::File::from(from).read(&mut [0]).unwrap(),
        0,
        "the last writer is gone"
    );
    drop(driver);
    drop(blocked);
}

fn dropping_the_driver_ends_what_is_in_flight(choice: Choice) {
    let mut driver = Driver::new(choice).unwrap();
    let blocked: Vec<_> = (0..10)
        .map(|waiter| blocked_read(&mut driver, waiter))
        .collect();
    driver.flush();
    let unflushed = blocked_read(&mut driver, 10);
    drop(driver);
    // The descriptors are no operation's any more, and neither are the buffers: what is written now stays in the pipe.
    for (_, from, to) in blocked.into_iter().chain([unflushed]) {
        assert_eq!(Arc::strong_count(&from), 1);
        std::fs::File::from(to).write_all(b"unread").unwrap();
        let mut got = String::new();
        std::fs::File::from(Arc::try_unwrap(from).unwrap())
            .read_to_string(&mut got)
            .unwrap();
        assert_eq!(got, "unread");
    }
}

fn dropping_the_driver_closes_what_was_opened_meanwhile(choice: Choice) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fifo");
    let path = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
    // SAFETY: `path` is a C string.
    assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0);
    let mut driver = Driver::new(choice).unwrap();
    let flags = libc::O_RDWR | libc::O_NONBLOCK; // opens at once
    for waiter in 0..20 {
        driver.submit(
            Op::Open {
                path: path.clone(),
                flags,
                mode: 0,
            },
            waiter,
        );
    }
    driver.flush();
    drop(driver);
    // SAFETY: `path` is a C string.
    let writer = unsafe { libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_NONBLOCK) };
    let error = io::Error::last_os_error();
    assert_eq!(
        (writer, error.raw_os_error()),
        (-1, Some(libc::ENXIO)),
        "nobody has it open for reading"
    );
}

fn an_operation_keeps_its_descriptor_open(choice: Choice) {
    let mut driver = Driver::new(choice).unwrap();
    let (from, to) = pipe();
    let number = from.as_raw_fd();
    let from: SharedFd = Arc::new(from);
    driver.submit(read(&from), 1);
    driver.flush();
    drop(from); // the owner lets go while the read is in flight
    let other = std::fs::File::open("/dev/null").unwrap();
    assert_ne!(
        other.as_raw_fd(),
        number,
        "the number is not given to another file"
    );
    std::fs::File::from(to).write_all(b"late").unwrap();
    assert_eq!(next(&mut driver).into_vec().unwrap(), b"late");
}

fn two_drivers_do_not_mix(choice: Choice) {
    let (mut one, mut two) = (Driver::new(choice).unwrap(), Driver::new(choice).unwrap());
    let (from, to) = pipe();
    one.submit(read(&Arc::new(from)), 1);
    two.submit(
        Op::Write {
            fd: Arc::new(to),
            buf: Buf::Static(b"over"),
            offset: None,
        },
        2,
    );
    one.flush();
    assert_eq!(next(&mut two).waiter, 2);
    let done = next(&mut one);
    assert_eq!(
        (done.waiter, done.into_vec().unwrap()),
        (1, b"over".to_vec())
    );
}

fn the_driver_moves_to_another_thread(choice: Choice) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let fd: SharedFd = Arc::new(file.reopen().unwrap().into());
    let mut driver = Driver::new(choice).unwrap();
    let write = |fd: &SharedFd| Op::Write {
        fd: fd.clone(),
        buf: Buf::Static(b"abc"),
        offset: Some(0),
    };
    output(&mut driver, write(&fd));
    let there = fd.clone();
    let mut driver = std::thread::spawn(move || {
        output(&mut driver, write(&there));
        // In flight when it moves back: nobody's buffer is freed, and this thread's operations go on.
        driver.submit(write(&there), 3);
        driver
    })
    .join()
    .unwrap();
    driver.submit(write(&fd), 4);
    while next(&mut driver).waiter != 4 {}
}
