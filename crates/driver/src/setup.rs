//! Setting sockets up: making, binding, listening, accepting, connecting, options, names, shutting down.
//!
//! Public as [`crate::socket`], whose rules hold here too. All sockets made here are non-blocking and close-on-exec.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use crate::addr::{Raw, SockAddr};
use crate::errno::check;

/// Which half of a connection [`shutdown`] closes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(i32)]
pub enum How {
    /// No more reading.
    Read = libc::SHUT_RD,
    /// No more writing: the peer reads to the end of file.
    Write = libc::SHUT_WR,
    /// Neither.
    Both = libc::SHUT_RDWR,
}

fn own(fd: libc::c_int) -> OwnedFd {
    // SAFETY: callers pass what the kernel has just returned as a new descriptor, which nobody else knows.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// A new connection of a listening socket, non-blocking and close-on-exec (`accept4(2)`), and its peer.
///
/// # Errors
/// The errno: `WouldBlock` when nobody waits; `EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM` when the machine is full (stop
/// accepting for a while: the connection stays in the backlog and the socket stays readable); `ECONNABORTED` is the
/// peer's doing and may be skipped.
pub fn accept(fd: RawFd) -> io::Result<(OwnedFd, SockAddr)> {
    let mut raw = Raw::empty();
    let mut len = raw.len;
    // SAFETY: the kernel writes an address of at most `len` bytes into `raw`, and its length into `len`.
    let new = unsafe {
        libc::accept4(
            fd,
            raw.as_mut_ptr(),
            &mut len,
            libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC,
        )
    };
    let new = own(check(new)?);
    raw.len = len;
    Ok((new, SockAddr::from_raw(&raw)))
}

/// `connect(2)`. `EINPROGRESS` (wait until writable, then [`take_error`]) comes back as the error it is; a Unix socket
/// whose backlog is full says `EAGAIN` (`WouldBlock`) instead.
///
/// # Errors
/// The errno.
pub fn connect(fd: RawFd, addr: &SockAddr) -> io::Result<()> {
    let raw = addr.to_raw();
    // SAFETY: the kernel reads `raw.len` bytes of the address, alive through the call.
    check(unsafe { libc::connect(fd, raw.as_ptr(), raw.len) })?;
    Ok(())
}

/// A new stream socket on its way to `addr`; `true`: not there yet, so wait until it is writable and [`take_error`].
///
/// # Errors
/// The errno of `socket(2)` or `connect(2)`.
pub fn dial(addr: &SockAddr) -> io::Result<(OwnedFd, bool)> {
    let socket = open(addr.family(), libc::SOCK_STREAM)?;
    match connect(socket.as_raw_fd(), addr) {
        Ok(()) => Ok((socket, false)),
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => Ok((socket, true)),
        Err(error) => Err(error),
    }
}

/// A new socket: `domain` as [`SockAddr::family`] says, `kind` `SOCK_STREAM` or `SOCK_DGRAM`.
///
/// # Errors
/// The errno.
pub fn open(domain: i32, kind: i32) -> io::Result<OwnedFd> {
    // SAFETY: no pointers are passed.
    Ok(own(check(unsafe {
        libc::socket(domain, kind | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, 0)
    })?))
}

/// Two connected Unix stream sockets (`socketpair(2)`).
///
/// # Errors
/// The errno.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut fds = [-1; 2];
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: the kernel writes two descriptors into `fds`.
    check(unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, fds.as_mut_ptr()) })?;
    Ok((own(fds[0]), own(fds[1])))
}

/// `bind(2)`.
///
/// # Errors
/// The errno.
pub fn bind(fd: RawFd, addr: &SockAddr) -> io::Result<()> {
    let raw = addr.to_raw();
    // SAFETY: the kernel reads `raw.len` bytes of the address, alive through the call.
    check(unsafe { libc::bind(fd, raw.as_ptr(), raw.len) })?;
    Ok(())
}

/// `listen(2)`; the kernel caps the backlog at `net.core.somaxconn`.
///
/// # Errors
/// The errno.
pub fn listen(fd: RawFd, backlog: i32) -> io::Result<()> {
    // SAFETY: no pointers are passed.
    check(unsafe { libc::listen(fd, backlog) })?;
    Ok(())
}

/// A stream socket that listens at `addr`, with `SO_REUSEADDR` for IPv4 and IPv6 (and IPv6 for IPv6 only).
///
/// # Errors
/// The errno of the call that failed.
pub fn listener(addr: &SockAddr, backlog: i32) -> io::Result<OwnedFd> {
    let socket = open(addr.family(), libc::SOCK_STREAM)?;
    let fd = socket.as_raw_fd();
    if let SockAddr::Inet(inet) = addr {
        set_option(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, true)?;
        if inet.is_ipv6() {
            set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, true)?;
        }
    }
    bind(fd, addr)?;
    listen(fd, backlog)?;
    Ok(socket)
}

/// Takes the error that waits on a socket (`SO_ERROR`), clearing it.
///
/// # Errors
/// The errno of asking, where `fd` is no socket.
pub fn take_error(fd: RawFd) -> io::Result<Option<io::Error>> {
    let number = option(fd, libc::SOL_SOCKET, libc::SO_ERROR)?;
    Ok((number != 0).then(|| io::Error::from_raw_os_error(number)))
}

/// `shutdown(2)`.
///
/// # Errors
/// The errno; `NotConnected` when the peer has reset meanwhile.
pub fn shutdown(fd: RawFd, how: How) -> io::Result<()> {
    // SAFETY: no pointers are passed.
    check(unsafe { libc::shutdown(fd, how as i32) })?;
    Ok(())
}

type NameCall =
    unsafe extern "C" fn(libc::c_int, *mut libc::sockaddr, *mut libc::socklen_t) -> libc::c_int;

fn name(fd: RawFd, call: NameCall) -> io::Result<SockAddr> {
    let mut raw = Raw::empty();
    let mut len = raw.len;
    // SAFETY: `call` is getsockname or getpeername, which writes at most `len` bytes into `raw` and its length into `len`.
    check(unsafe { call(fd, raw.as_mut_ptr(), &mut len) })?;
    raw.len = len;
    Ok(SockAddr::from_raw(&raw))
}

/// Where a socket is bound (`getsockname(2)`).
///
/// # Errors
/// The errno.
pub fn local_addr(fd: RawFd) -> io::Result<SockAddr> {
    name(fd, libc::getsockname)
}

/// Whom a socket is connected to (`getpeername(2)`).
///
/// # Errors
/// The errno; `NotConnected` when it is not.
pub fn peer_addr(fd: RawFd) -> io::Result<SockAddr> {
    name(fd, libc::getpeername)
}

/// Whether small segments leave at once (`TCP_NODELAY`).
///
/// # Errors
/// The errno; `EOPNOTSUPP` on a socket that is not TCP.
pub fn set_nodelay(fd: RawFd, on: bool) -> io::Result<()> {
    set_option(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, on)
}

/// Whether an address in TIME_WAIT may be bound (`SO_REUSEADDR`).
///
/// # Errors
/// The errno.
pub fn set_reuse_addr(fd: RawFd, on: bool) -> io::Result<()> {
    set_option(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, on)
}

/// Whether several sockets may share an address (`SO_REUSEPORT`).
///
/// # Errors
/// The errno.
pub fn set_reuse_port(fd: RawFd, on: bool) -> io::Result<()> {
    set_option(fd, libc::SOL_SOCKET, libc::SO_REUSEPORT, on)
}

/// Sets an integer socket option (`setsockopt(2)`).
///
/// # Errors
/// The errno.
pub fn set_option(fd: RawFd, level: i32, name: i32, value: impl Into<i32>) -> io::Result<()> {
    let value: i32 = value.into();
    let len = size_of::<i32>() as libc::socklen_t;
    // SAFETY: the kernel reads the four bytes of `value`.
    check(unsafe { libc::setsockopt(fd, level, name, (&raw const value).cast(), len) })?;
    Ok(())
}

/// Reads an integer socket option (`getsockopt(2)`).
///
/// # Errors
/// The errno.
pub fn option(fd: RawFd, level: i32, name: i32) -> io::Result<i32> {
    let mut value = 0_i32;
    let mut len = size_of::<i32>() as libc::socklen_t;
    // SAFETY: the kernel writes at most the four bytes of `value`.
    check(unsafe { libc::getsockopt(fd, level, name, (&raw mut value).cast(), &mut len) })?;
    Ok(value)
}
