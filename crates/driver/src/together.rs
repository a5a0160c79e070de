//! Sending to several sockets in one system call: io_uring as a list of non-blocking calls.
//!
//! Used by [`crate::Driver::send_together`]. Each entry carries `MSG_DONTWAIT`, so it is carried out while it is submitted
//! and its answer lies in the completion queue when `io_uring_enter(2)` returns: nothing is in flight afterwards, and the
//! memory that was lent for the call is free again. Each answer is what `send(2)` would have given, `EAGAIN` included.
//!
//! It saves the way into the kernel and back: 550 ns of 3,450 for each of 16 sends of 1 KiB (loopback, Linux 6.18), 350 for
//! each of 4, 70 for each of 2. A single send is 450 ns dearer so and is made directly, as all are where io_uring is refused.
//! A loop that echoes 1 KiB on 64 connections spends 0.95 of what it spent without.
//!
//! The ring is not the files' one but a plain one, which any thread may enter (the driver's owner sees to it that one at a
//! time does): `SINGLE_ISSUER | DEFER_TASKRUN` would tie it to a thread and gain nothing, since nothing is deferred.
//!
//! Rejected: reading several sockets together in the same way, since with it the echo gained nothing more (0.808 against 0.807 of
//! uvloop) and what was read for a transport that then paused or closed had to be kept or dropped; fixed files (40 ns less a
//! send, and a table to keep in step with `close(2)`).

use std::io;
use std::os::fd::RawFd;

use io_uring::{EnterFlags, IoUring, opcode, squeue, types};

use crate::fork::Process;
use crate::probe::Choice;
use crate::ring;
use crate::socket;

/// The most sends in one system call.
pub const TOGETHER: usize = 16;

/// No answer yet; not an errno.
const NOT_MADE: i32 = i32::MIN;

/// What each send came to, in their order.
#[derive(Clone, Copy, Debug)]
pub struct Outcomes {
    /// A length, or an errno below zero.
    raw: [i32; TOGETHER],
}

impl Outcomes {
    /// How many bytes the kernel took of the message at `index`.
    ///
    /// # Errors
    /// The errno; `WouldBlock` where there was no room.
    #[inline]
    pub fn get(&self, index: usize) -> io::Result<usize> {
        let raw = self.raw[index];
        usize::try_from(raw).map_err(|_| io::Error::from_raw_os_error(-raw))
    }

    fn set(&mut self, index: usize, outcome: &io::Result<usize>) {
        self.raw[index] = match outcome {
            // A call moves at most 2 GiB (send(2), read(2)).
            Ok(count) => i32::try_from(*count).unwrap_or(i32::MAX),
            Err(error) => -error.raw_os_error().unwrap_or(libc::EIO),
        };
    }
}

/// Sends together where it can.
pub(crate) struct Together {
    ring: Option<IoUring>,
    /// Not to be asked for (again).
    refused: bool,
    process: Process,
}

impl Together {
    pub(crate) fn new(choice: Choice) -> Together {
        Together {
            ring: None,
            refused: choice == Choice::Epoll,
            process: Process::this(),
        }
    }

    /// Sends each message to its descriptor; at most [`TOGETHER`].
    pub(crate) fn send(&mut self, messages: &[(RawFd, &[u8])]) -> Outcomes {
        assert!(
            messages.len() <= TOGETHER,
            "at most {TOGETHER} messages leave together"
        );
        let mut outcomes = Outcomes {
            raw: [NOT_MADE; TOGETHER],
        };
        if messages.len() > 1 {
            self.through_the_ring(messages, &mut outcomes);
        }
        for (index, (fd, bytes)) in messages.iter().enumerate() {
            // ENOTSOCK: a pipe, to which the direct call writes.
            if matches!(outcomes.raw[index], NOT_MADE) || outcomes.raw[index] == -libc::ENOTSOCK {
                outcomes.set(index, &socket::send(*fd, bytes));
            }
        }
        outcomes
    }

    /// Makes as many sends as the ring makes; the others stay without an answer.
    fn through_the_ring(&mut self, messages: &[(RawFd, &[u8])], outcomes: &mut Outcomes) {
        let Some(uring) = self.ring() else { return };
        for (index, (fd, bytes)) in messages.iter().enumerate() {
            // SAFETY: the bytes live through this call, and no entry outlives it: see `finish`.
            let queued = unsafe { uring.submission().push(&entry(index, *fd, bytes)) };
            debug_assert!(queued.is_ok(), "the queue is empty between calls");
        }
        let mut failed = false;
        while !failed && !uring.submission().is_empty() {
            let queued = uring.submission().len() as u32;
            // The kernel stops early at an entry that it refuses; the next enter goes on behind it.
            failed =
                !matches!(enter(uring, queued, 0, EnterFlags::empty()), Ok(taken) if taken > 0);
        }
        let taken = messages.len() - uring.submission().len();
        finish(uring, taken, outcomes);
        if failed {
            // What was queued and not taken must never be: this ring goes, and the next call gets a new one.
            self.ring = None;
        }
    }

    fn ring(&mut self) -> Option<&mut IoUring> {
        if !self.process.is_this() {
            self.leave_to_the_parent();
            self.process = Process::this();
        }
        if self.ring.is_none() && !self.refused {
            match ring::plain(TOGETHER as u32) {
                Ok(uring) => self.ring = Some(uring),
                Err(_) => self.refused = true,
            }
        }
        self.ring.as_mut()
    }
}

impl Together {
    /// In a forked child the ring is not mapped: unmapping it would hit whatever is there now.
    fn leave_to_the_parent(&mut self) {
        if let Some(uring) = self.ring.take() {
            ring::close_unmapped(uring);
        }
    }
}

impl Drop for Together {
    fn drop(&mut self) {
        if !self.process.is_this() {
            self.leave_to_the_parent();
        }
    }
}

fn entry(index: usize, fd: RawFd, bytes: &[u8]) -> squeue::Entry {
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    opcode::Send::new(types::Fd(fd), bytes.as_ptr(), len)
        .flags(libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
        .build()
        .user_data(index as u64)
}

fn enter(uring: &IoUring, submit: u32, wait: u32, flags: EnterFlags) -> io::Result<usize> {
    // SAFETY: no argument is passed beside numbers; the entries were vouched for when they were queued.
    unsafe {
        uring
            .submitter()
            .enter::<libc::sigset_t>(submit, wait, flags.bits(), None)
    }
}

/// Collects the answers to the `taken` entries. Normally all are there; whatever happens, this does not return before they are,
/// since until then the kernel may read the messages.
fn finish(uring: &mut IoUring, taken: usize, outcomes: &mut Outcomes) {
    let mut missing = taken;
    loop {
        for completion in uring.completion() {
            outcomes.raw[completion.user_data() as usize] = completion.result();
            missing -= 1;
        }
        if missing == 0 {
            return;
        }
        // A failure (a signal came) means: once more.
        let _ = enter(uring, 0, missing as u32, EnterFlags::GETEVENTS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::{AsRawFd, OwnedFd};

    fn both() -> [Together; 2] {
        [Together::new(Choice::Auto), Together::new(Choice::Epoll)]
    }

    fn pairs<const N: usize>() -> [(OwnedFd, OwnedFd); N] {
        std::array::from_fn(|_| socket::pair().unwrap())
    }

    fn received(fd: &OwnedFd) -> Vec<u8> {
        let mut buffer = [0; 64];
        let count = socket::recv(fd.as_raw_fd(), &mut buffer).unwrap();
        buffer[..count].to_vec()
    }

    #[test]
    fn each_message_has_its_own_outcome() {
        for mut together in both() {
            let [soup, roast, (hungup, reader)] = pairs();
            drop(reader);
            let sent = together.send(&[
                (soup.0.as_raw_fd(), b"soup"),
                (hungup.as_raw_fd(), b"nobody reads this"),
                (-1, b"nor this"),
                (roast.0.as_raw_fd(), b"roast"),
            ]);
            assert_eq!((sent.get(0).unwrap(), sent.get(3).unwrap()), (4, 5));
            assert_eq!(sent.get(1).unwrap_err().raw_os_error(), Some(libc::EPIPE));
            assert_eq!(sent.get(2).unwrap_err().raw_os_error(), Some(libc::EBADF));
            assert_eq!(
                (received(&soup.1), received(&roast.1)),
                (b"soup".to_vec(), b"roast".to_vec())
            );
        }
    }

    #[test]
    fn a_full_socket_takes_a_part_and_then_nothing() {
        for mut together in both() {
            let pairs: [_; 2] = pairs();
            let much = vec![7; 4 << 20];
            let messages = pairs.each_ref().map(|(a, _)| (a.as_raw_fd(), &much[..]));
            let first = together.send(&messages);
            assert!((1..much.len()).contains(&first.get(0).unwrap()));
            let second = together.send(&messages);
            assert_eq!(second.get(1).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        }
    }

    #[test]
    fn a_pipe_is_written_to() {
        for mut together in both() {
            let ([pair], (reader, writer)) = (pairs(), io::pipe().unwrap());
            let sent = together.send(&[
                (writer.as_raw_fd(), b"pipe"),
                (pair.0.as_raw_fd(), b"socket"),
            ]);
            assert_eq!((sent.get(0).unwrap(), sent.get(1).unwrap()), (4, 6));
            assert_eq!(received(&pair.1), b"socket");
            drop(reader);
        }
    }

    #[test]
    fn it_moves_to_another_thread() {
        let mut together = Together::new(Choice::Auto);
        let pairs: [_; 2] = pairs();
        let messages = pairs
            .each_ref()
            .map(|(a, _)| (a.as_raw_fd(), &b"salad"[..]));
        assert_eq!(together.send(&messages).get(1).unwrap(), 5);
        std::thread::scope(|scope| {
            scope.spawn(|| assert_eq!(together.send(&messages).get(1).unwrap(), 5));
        });
    }
}
