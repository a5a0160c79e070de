//! Socket calls, as thin as they come: one system call each, its result or its errno.
//!
//! Called by the faces' transports and by [`crate::SendQueue`]. Here are the calls that move bytes; those that set a
//! socket up are in `setup.rs` and re-exported. Nothing is retried (`EINTR` is the caller's to see, since a signal may
//! have to be served first) and nothing is owned: descriptors are borrowed as numbers, because their owners live a
//! floor above.
//!
//! `std::net` was rejected for the hot calls: it cannot accept with `SOCK_NONBLOCK` (two more system calls a
//! connection) nor borrow a descriptor without a wrapper.

use std::io::{self, IoSlice};
use std::os::fd::RawFd;

use crate::addr::{Raw, SockAddr};
use crate::errno::check_len;
pub use crate::setup::{
    How, accept, bind, connect, dial, listen, listener, local_addr, open, option, pair, peer_addr,
    set_nodelay, set_option, set_reuse_addr, set_reuse_port, shutdown, take_error,
};

/// `recv(2)` without flags; 0 is the end of file.
///
/// # Errors
/// The errno; `WouldBlock` when there is nothing yet.
#[inline]
pub fn recv(fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the kernel writes at most `len` bytes, all inside `buffer`.
    check_len(unsafe { libc::recv(fd, buffer.as_mut_ptr().cast(), buffer.len(), 0) })
}

/// `recv(2)` that does not wait, whatever mode the socket is in (`MSG_DONTWAIT`); 0 is the end of file.
///
/// # Errors
/// The errno; `WouldBlock` when there is nothing yet.
#[inline]
pub fn try_recv(fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the kernel writes at most `len` bytes, all inside `buffer`.
    check_len(unsafe {
        libc::recv(
            fd,
            buffer.as_mut_ptr().cast(),
            buffer.len(),
            libc::MSG_DONTWAIT,
        )
    })
}

/// `recvfrom(2)` that does not wait, whatever mode the socket is in. The sender is `None` where the kernel names none: on a connected
/// stream, or for a datagram from a Unix socket without a name.
///
/// # Errors
/// The errno; `WouldBlock` when there is nothing yet.
pub fn try_recv_from(fd: RawFd, buffer: &mut [u8]) -> io::Result<(usize, Option<SockAddr>)> {
    let mut raw = Raw::empty();
    let mut len = raw.len;
    // SAFETY: as in `recv_from`.
    let got = unsafe {
        libc::recvfrom(
            fd,
            buffer.as_mut_ptr().cast(),
            buffer.len(),
            libc::MSG_DONTWAIT,
            raw.as_mut_ptr(),
            &mut len,
        )
    };
    raw.len = len;
    let got = check_len(got)?;
    Ok((got, (len > 0).then(|| SockAddr::from_raw(&raw))))
}

/// `recvfrom(2)`: a datagram and who sent it.
///
/// # Errors
/// The errno; `WouldBlock` when there is nothing yet.
pub fn recv_from(fd: RawFd, buffer: &mut [u8]) -> io::Result<(usize, SockAddr)> {
    let mut raw = Raw::empty();
    let mut len = raw.len;
    // SAFETY: the kernel writes at most the buffer's length, and an address of at most `len` bytes into `raw`.
    let got = unsafe {
        libc::recvfrom(
            fd,
            buffer.as_mut_ptr().cast(),
            buffer.len(),
            0,
            raw.as_mut_ptr(),
            &mut len,
        )
    };
    raw.len = len;
    Ok((check_len(got)?, SockAddr::from_raw(&raw)))
}

/// `send(2)` with `MSG_NOSIGNAL`, or `write(2)` where `fd` is no socket; how many bytes were taken.
///
/// # Errors
/// The errno; `WouldBlock` when there is no room.
#[inline]
pub fn send(fd: RawFd, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: the kernel reads `len` bytes, all inside `bytes`.
    let taken = check_len(unsafe {
        libc::send(fd, bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL)
    });
    match taken {
        Err(error) if error.raw_os_error() == Some(libc::ENOTSOCK) => write(fd, bytes),
        taken => taken,
    }
}

/// `send(2)` that does not wait, whatever mode the socket is in; how many bytes were taken.
///
/// # Errors
/// The errno; `WouldBlock` when there is no room.
#[inline]
pub fn try_send(fd: RawFd, bytes: &[u8]) -> io::Result<usize> {
    let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
    // SAFETY: the kernel reads `len` bytes, all inside `bytes`.
    check_len(unsafe { libc::send(fd, bytes.as_ptr().cast(), bytes.len(), flags) })
}

/// `sendmsg(2)` with `MSG_NOSIGNAL` (or `writev(2)` where `fd` is no socket): all slices in one call, at most 1024.
///
/// # Errors
/// The errno; `WouldBlock` when there is no room.
pub fn send_vectored(fd: RawFd, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    // SAFETY: a msghdr is integers and pointers, for which all bits zero is a value.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = slices.as_ptr().cast_mut().cast(); // IoSlice has the layout of iovec; the kernel only reads it
    message.msg_iovlen = slices.len() as _;
    // SAFETY: `message` names `slices.len()` valid iovecs, which live through the call.
    let taken = check_len(unsafe { libc::sendmsg(fd, &message, libc::MSG_NOSIGNAL) });
    match taken {
        Err(error) if error.raw_os_error() == Some(libc::ENOTSOCK) => {
            // SAFETY: the same iovecs.
            check_len(unsafe {
                libc::writev(fd, slices.as_ptr().cast(), slices.len() as libc::c_int)
            })
        }
        taken => taken,
    }
}

/// `sendto(2)` with `MSG_NOSIGNAL`: a datagram to an address.
///
/// # Errors
/// The errno; `WouldBlock` when there is no room.
pub fn send_to(fd: RawFd, bytes: &[u8], addr: &SockAddr) -> io::Result<usize> {
    let raw = addr.to_raw();
    // SAFETY: the kernel reads `bytes` and `raw.len` bytes of the address, both alive through the call.
    check_len(unsafe {
        libc::sendto(
            fd,
            bytes.as_ptr().cast(),
            bytes.len(),
            libc::MSG_NOSIGNAL,
            raw.as_ptr(),
            raw.len,
        )
    })
}

/// `read(2)`, for pipes and terminals; 0 is the end of file.
///
/// # Errors
/// The errno; `WouldBlock` when there is nothing yet.
#[inline]
pub fn read(fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the kernel writes at most `len` bytes, all inside `buffer`.
    check_len(unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len()) })
}

/// `write(2)`, for pipes and terminals. The process must ignore SIGPIPE, as Rust's and Python's start-up do.
///
/// # Errors
/// The errno; `WouldBlock` when there is no room.
#[inline]
pub fn write(fd: RawFd, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: the kernel reads `len` bytes, all inside `bytes`.
    check_len(unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) })
}
