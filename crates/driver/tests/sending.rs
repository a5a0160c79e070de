//! A send queue delivers all bytes in order, however little the socket takes at a time.

#![allow(clippy::unwrap_used)]

mod both;

use rondeau_driver::{Flush, SendQueue, socket};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

/// A pair whose sender's buffer is as small as the kernel allows.
fn narrow() -> (OwnedFd, OwnedFd) {
    let (from, to) = socket::pair().unwrap();
    socket::set_option(from.as_raw_fd(), libc::SOL_SOCKET, libc::SO_SNDBUF, 1).unwrap();
    (from, to)
}

fn drain(fd: RawFd, into: &mut Vec<u8>) {
    let mut buffer = [0; 4096];
    loop {
        match socket::read(fd, &mut buffer) {
            Ok(0) => return,
            Ok(count) => into.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Pushes the parts, then flushes and reads in turn until all has come over.
fn deliver(from: RawFd, to: RawFd, parts: &[Vec<u8>]) -> usize {
    let mut queue = SendQueue::default();
    parts.iter().for_each(|part| queue.push(part.clone()));
    let whole = parts.concat();
    assert_eq!(queue.pending(), whole.len());
    let (mut sent, mut got, mut blocked) = (Vec::new(), Vec::new(), 0);
    while queue.flush(from, &mut sent).unwrap() == Flush::Blocked {
        blocked += 1;
        assert!(queue.pending() > 0 && !queue.is_empty());
        drain(to, &mut got);
    }
    drain(to, &mut got);
    assert!(queue.is_empty() && queue.pending() == 0);
    assert!(got == whole, "{} bytes of {}", got.len(), whole.len());
    assert!(sent == parts, "every buffer comes back, in order");
    blocked
}

fn parts(lengths: impl IntoIterator<Item = usize>) -> Vec<Vec<u8>> {
    lengths
        .into_iter()
        .enumerate()
        .map(|(i, len)| (0..len).map(|j| (i * 31 + j) as u8).collect())
        .collect()
}

#[test]
fn one_large_buffer_goes_in_short_sends() {
    let (from, to) = narrow();
    let blocked = deliver(from.as_raw_fd(), to.as_raw_fd(), &parts([300_000]));
    assert!(
        blocked > 2,
        "the socket was meant to be full again and again"
    );
}

#[test]
fn many_buffers_go_in_short_vectored_sends() {
    let (from, to) = narrow();
    let blocked = deliver(
        from.as_raw_fd(),
        to.as_raw_fd(),
        &parts((0..300).map(|i| i * 7)),
    );
    assert!(
        blocked > 2,
        "the socket was meant to be full again and again"
    );
}

#[test]
fn more_buffers_than_one_call_takes() {
    let (from, to) = socket::pair().unwrap();
    assert_eq!(
        deliver(
            from.as_raw_fd(),
            to.as_raw_fd(),
            &parts((0..200).map(|i| 1 + i % 3))
        ),
        0
    );
}

#[test]
fn empty_buffers_come_back_at_once() {
    let (from, to) = socket::pair().unwrap();
    for lengths in [&[0][..], &[0, 0, 0], &[0, 5, 0], &[3, 0], &[0; 100]] {
        assert_eq!(
            deliver(
                from.as_raw_fd(),
                to.as_raw_fd(),
                &parts(lengths.iter().copied())
            ),
            0
        );
    }
}

#[test]
fn a_pipe_takes_them_too() {
    let (to, from) = both::pipe();
    for fd in [to.as_raw_fd(), from.as_raw_fd()] {
        // SAFETY: no pointers are passed.
        let set = unsafe { libc::fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK) };
        assert_eq!(set, 0);
    }
    assert_eq!(deliver(from.as_raw_fd(), to.as_raw_fd(), &parts([10])), 0);
    assert!(
        deliver(
            from.as_raw_fd(),
            to.as_raw_fd(),
            &parts([1_000, 200_000, 5])
        ) > 0
    );
}

#[test]
fn a_push_while_blocked_goes_last() {
    let (from, to) = narrow();
    let mut queue = SendQueue::default();
    let mut sent = Vec::new();
    queue.push(vec![1; 100_000]);
    assert_eq!(
        queue.flush(from.as_raw_fd(), &mut sent).unwrap(),
        Flush::Blocked
    );
    let before = queue.pending();
    assert!(before < 100_000 && sent.is_empty());
    queue.push(vec![2; 3]);
    assert_eq!(queue.pending(), before + 3);
    let mut got = Vec::new();
    while queue.flush(from.as_raw_fd(), &mut sent).unwrap() == Flush::Blocked {
        drain(to.as_raw_fd(), &mut got);
    }
    drain(to.as_raw_fd(), &mut got);
    assert_eq!((got.len(), &got[99_999..]), (100_003, &[1, 2, 2, 2][..]));
}

#[test]
fn an_error_leaves_the_unsent_buffers() {
    let (from, to) = narrow();
    let (mut queue, mut sent) = (SendQueue::default(), Vec::new());
    parts([10, 100_000, 20])
        .into_iter()
        .for_each(|part| queue.push(part));
    assert_eq!(
        queue.flush(from.as_raw_fd(), &mut sent).unwrap(),
        Flush::Blocked
    );
    drop(to);
    let error = queue.flush(from.as_raw_fd(), &mut sent).unwrap_err();
    assert!(
        matches!(
            error.kind(),
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
        ),
        "{error}"
    );
    assert_eq!(sent.iter().map(Vec::len).collect::<Vec<_>>(), [10]);
    assert_eq!(
        queue
            .take_all()
            .map(|buffer| buffer.len())
            .collect::<Vec<_>>(),
        [100_000, 20]
    );
    assert!(queue.is_empty());
}
