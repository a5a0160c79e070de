//! Large transfers on io_uring: writes begin a few at a time, all of them end, a cancelled one too, and those that hang hold nobody up;
//! reads are copied by the loop's own call or by a thread, and give the same.

#![allow(clippy::unwrap_used)]

mod both;

use both::{next, one, pipe};
use rondeau_driver::{Backend, Buf, Choice, Driver, Errno, Op, Output, SharedFd};
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;

const LARGE: usize = 256 * 1024;

fn write(fd: &SharedFd, offset: u64) -> Op {
    Op::Write {
        fd: fd.clone(),
        buf: Buf::Vec(vec![b'x'; LARGE]),
        offset: Some(offset),
    }
}

/// More than begin at once.
fn many() -> usize {
    3 * thread::available_parallelism().map_or(1, usize::from) + 1
}

fn file() -> (tempfile::TempDir, SharedFd) {
    let folder = tempfile::tempdir().unwrap();
    let file = File::create(folder.path().join("large")).unwrap();
    (folder, Arc::new(OwnedFd::from(file)))
}

/// A driver with a ring, where the machine allows one.
fn driver() -> Option<Driver> {
    let mut driver = Driver::new(Choice::Auto).unwrap();
    let path = c"/".into();
    let (flags, mode) = (libc::O_RDONLY, 0);
    drop(one(&mut driver, Op::Open { path, flags, mode }));
    matches!(driver.backend(), Backend::Uring { .. }).then_some(driver)
}

#[test]
fn all_of_them_are_written() {
    let Some(mut driver) = driver() else { return };
    let (folder, fd) = file();
    for number in 0..many() {
        driver.submit(write(&fd, (number * LARGE) as u64), number as u64);
    }
    let mut ended: Vec<_> = (0..many())
        .map(|_| {
            let done = next(&mut driver);
            assert!(matches!(done.result, Ok(Output::Count(LARGE))));
            done.waiter
        })
        .collect();
    ended.sort_unstable();
    assert!(ended.into_iter().eq(0..many() as u64));
    let written = std::fs::read(folder.path().join("large")).unwrap();
    assert!(written == vec![b'x'; many() * LARGE]);
}

#[test]
fn one_that_has_not_begun_is_cancelled_at_once() {
    let Some(mut driver) = driver() else { return };
    let (_folder, fd) = file();
    let ids: Vec<_> = (0..many())
        .map(|number| driver.submit(write(&fd, 0), number as u64))
        .collect();
    let last = *ids.last().unwrap();
    driver.cancel(last);
    driver.cancel(last);
    let first = next(&mut driver);
    assert_eq!(
        (first.id, first.result.unwrap_err()),
        (last, Errno(libc::ECANCELED))
    );
    assert_eq!(first.buf.unwrap().as_slice().len(), LARGE);
    for _ in 1..many() {
        assert!(next(&mut driver).result.is_ok());
    }
    assert_eq!((driver.in_flight(), Arc::strong_count(&fd)), (0, 1));
}

#[test]
fn a_driver_that_goes_has_begun_only_some() {
    let Some(mut driver) = driver() else { return };
    let (_folder, fd) = file();
    for number in 0..many() {
        driver.submit(write(&fd, 0), number as u64);
    }
    driver.flush();
    drop(driver);
    assert_eq!(Arc::strong_count(&fd), 1);
}

#[test]
fn those_that_hang_let_others_begin() {
    let Some(mut driver) = driver() else { return };
    let (_from, to) = pipe();
    File::from(to.try_clone().unwrap())
        .write_all(&[0; 65536])
        .unwrap();
    let to = Arc::new(to);
    // io_uring passes over the offset of a pipe; this one is full, and nobody will read.
    for number in 0..many() {
        driver.submit(write(&to, 0), number as u64);
    }
    let (_folder, fd) = file();
    let done = one(&mut driver, write(&fd, 0));
    assert!(matches!(done.result, Ok(Output::Count(LARGE))));
    assert_eq!(driver.in_flight(), many());
}

#[test]
fn reads_of_every_size_at_once() {
    let Some(mut driver) = driver() else { return };
    let bytes: Vec<u8> = (0..1 << 20).map(|at: u32| (at >> 4) as u8).collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large");
    std::fs::write(&path, &bytes).unwrap();
    let fd = Arc::new(OwnedFd::from(File::open(&path).unwrap()));
    let sizes = [
        100,
        64 << 10,
        (64 << 10) + 1,
        1 << 19,
        1 << 20,
        (1 << 20) + 1,
    ];
    let reads: Vec<_> = (0..5).flat_map(|_| sizes).collect();
    for (number, size) in reads.iter().enumerate() {
        let (fd, buf, offset) = (
            fd.clone(),
            Vec::with_capacity(*size),
            Some(16 * number as u64),
        );
        driver.submit(Op::Read { fd, buf, offset }, number as u64);
    }
    for _ in &reads {
        let done = next(&mut driver);
        let from = 16 * done.waiter as usize;
        let until = bytes.len().min(from + reads[done.waiter as usize]);
        assert!(done.into_vec().unwrap()[..] == bytes[from..until]);
    }
}
