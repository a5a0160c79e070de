//! A socket address in 32 bytes, whatever its family.
//!
//! [`crate::socket`] turns it into the kernel's `sockaddr` and back; the faces turn it into what their users see.
//! A `sockaddr_storage` (128 bytes) exists only on the stack, for the time of one call.

use std::mem::size_of;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Where a socket is bound or connected.
///
/// ```
/// use rondeau_driver::SockAddr;
/// use std::net::SocketAddr;
///
/// let inet: SocketAddr = "127.0.0.1:80".parse().unwrap();
/// assert_eq!(SockAddr::from(inet).as_inet(), Some(inet));
/// assert_eq!(SockAddr::unix(b"/run/app.sock").unwrap().as_unix(), Some(&b"/run/app.sock"[..]));
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum SockAddr {
    /// IPv4 or IPv6, with flow information and scope.
    Inet(SocketAddr),
    /// `AF_UNIX`: the path's bytes; empty for an unnamed socket, with a leading NUL for an abstract one (`unix(7)`).
    Unix(Box<[u8]>),
    /// Another family: the kernel's own bytes, the family first.
    Other(Box<[u8]>),
}

/// The kernel's form of an address, with how much of it counts.
pub(crate) struct Raw {
    pub(crate) storage: libc::sockaddr_storage,
    pub(crate) len: libc::socklen_t,
}

impl Raw {
    /// All of it zero, `len` covering all: ready to be filled by the kernel.
    pub(crate) fn empty() -> Self {
        // SAFETY: a sockaddr_storage is integers only, for which all bits zero is a value.
        let storage: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
        Raw {
            len: size_of_val(&storage) as libc::socklen_t,
            storage,
        }
    }

    fn holding<T: Copy>(value: &T, len: usize) -> Self {
        assert!(size_of::<T>() <= size_of::<libc::sockaddr_storage>());
        let mut raw = Raw {
            len: len as libc::socklen_t,
            ..Self::empty()
        };
        // SAFETY: the assertion keeps the copy inside `storage`, whose alignment is that of the strictest address type.
        unsafe { (&raw mut raw.storage).cast::<T>().write(*value) };
        raw
    }

    fn bytes(&self) -> &[u8] {
        let len = (self.len as usize).min(size_of::<libc::sockaddr_storage>());
        // SAFETY: `storage` is initialised, has no padding that matters to plain bytes, and `len` is within it.
        unsafe { std::slice::from_raw_parts((&raw const self.storage).cast(), len) }
    }

    pub(crate) fn as_ptr(&self) -> *const libc::sockaddr {
        (&raw const self.storage).cast()
    }

    pub(crate) fn as_mut_ptr(&mut self) -> *mut libc::sockaddr {
        (&raw mut self.storage).cast()
    }
}

/// Where the path begins in a `sockaddr_un`.
const PATH_AT: usize = std::mem::offset_of!(libc::sockaddr_un, sun_path);
/// How many bytes a path may have; the kernel takes one without a final NUL.
const PATH_MAX: usize = size_of::<libc::sockaddr_un>() - PATH_AT;

impl SockAddr {
    /// An `AF_UNIX` address, or `None` when the path is longer than the kernel's 108 bytes or has a NUL inside.
    #[must_use]
    pub fn unix(path: &[u8]) -> Option<Self> {
        let abstract_name = path.first() == Some(&0);
        let fits = path.len() <= PATH_MAX && (abstract_name || !path.contains(&0));
        fits.then(|| SockAddr::Unix(path.into()))
    }

    /// The IPv4 or IPv6 address, if it is one.
    #[must_use]
    pub fn as_inet(&self) -> Option<SocketAddr> {
        if let SockAddr::Inet(addr) = self {
            Some(*addr)
        } else {
            None
        }
    }

    /// The path's bytes, if it is a Unix address.
    #[must_use]
    pub fn as_unix(&self) -> Option<&[u8]> {
        if let SockAddr::Unix(path) = self {
            Some(path)
        } else {
            None
        }
    }

    /// The address family, `AF_INET` and so on.
    #[must_use]
    pub fn family(&self) -> i32 {
        match self {
            SockAddr::Inet(SocketAddr::V4(_)) => libc::AF_INET,
            SockAddr::Inet(SocketAddr::V6(_)) => libc::AF_INET6,
            SockAddr::Unix(_) => libc::AF_UNIX,
            SockAddr::Other(bytes) => bytes
                .first_chunk()
                .map_or(0, |family| u16::from_ne_bytes(*family).into()),
        }
    }

    pub(crate) fn to_raw(&self) -> Raw {
        match self {
            SockAddr::Inet(SocketAddr::V4(v4)) => {
                let addr = libc::sockaddr_in {
                    sin_family: libc::AF_INET as libc::sa_family_t,
                    sin_port: v4.port().to_be(),
                    sin_addr: libc::in_addr {
                        s_addr: u32::from_ne_bytes(v4.ip().octets()),
                    },
                    sin_zero: [0; 8],
                };
                Raw::holding(&addr, size_of_val(&addr))
            }
            SockAddr::Inet(SocketAddr::V6(v6)) => {
                let addr = libc::sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as libc::sa_family_t,
                    sin6_port: v6.port().to_be(),
                    sin6_flowinfo: v6.flowinfo(),
                    sin6_addr: libc::in6_addr {
                        s6_addr: v6.ip().octets(),
                    },
                    sin6_scope_id: v6.scope_id(),
                };
                Raw::holding(&addr, size_of_val(&addr))
            }
            SockAddr::Unix(path) => {
                let mut addr = libc::sockaddr_un {
                    sun_family: libc::AF_UNIX as libc::sa_family_t,
                    sun_path: [0; PATH_MAX],
                };
                let len = path.len().min(PATH_MAX);
                for (to, from) in addr.sun_path.iter_mut().zip(path.iter()) {
                    *to = *from as libc::c_char;
                }
                // A path is counted with its final NUL where there is room; an abstract name and "unnamed" without.
                let nul = usize::from(path.first().is_some_and(|b| *b != 0) && len < PATH_MAX);
                Raw::holding(&addr, PATH_AT + len + nul)
            }
            SockAddr::Other(bytes) => {
                let mut whole = [0_u8; size_of::<libc::sockaddr_storage>()];
                let len = bytes.len().min(whole.len());
                whole[..len].copy_from_slice(&bytes[..len]);
                Raw::holding(&whole, len)
            }
        }
    }

    pub(crate) fn from_raw(raw: &Raw) -> Self {
        let bytes = raw.bytes();
        match i32::from(raw.storage.ss_family) {
            // A peer of socketpair(2) or an unbound socket may report no bytes at all.
            _ if bytes.len() < 2 => SockAddr::Unix(Box::default()),
            libc::AF_INET if bytes.len() >= size_of::<libc::sockaddr_in>() => {
                // SAFETY: the family says which type the kernel wrote, the length that all of it is there; the
                // storage is aligned for it.
                let addr = unsafe { &*raw.as_ptr().cast::<libc::sockaddr_in>() };
                let ip = Ipv4Addr::from(addr.sin_addr.s_addr.to_ne_bytes());
                SockAddr::Inet(SocketAddrV4::new(ip, u16::from_be(addr.sin_port)).into())
            }
            libc::AF_INET6 if bytes.len() >= size_of::<libc::sockaddr_in6>() => {
                // SAFETY: as for AF_INET.
                let addr = unsafe { &*raw.as_ptr().cast::<libc::sockaddr_in6>() };
                let ip = Ipv6Addr::from(addr.sin6_addr.s6_addr);
                let port = u16::from_be(addr.sin6_port);
                SockAddr::Inet(
                    SocketAddrV6::new(ip, port, addr.sin6_flowinfo, addr.sin6_scope_id).into(),
                )
            }
            libc::AF_UNIX => {
                let path = &bytes[PATH_AT..];
                let is_path = path.first().is_some_and(|b| *b != 0);
                let end = if is_path {
                    path.iter().position(|b| *b == 0)
                } else {
                    None
                };
                SockAddr::Unix(path[..end.unwrap_or(path.len())].into())
            }
            _ => SockAddr::Other(bytes.into()),
        }
    }
}

impl From<SocketAddr> for SockAddr {
    fn from(addr: SocketAddr) -> Self {
        SockAddr::Inet(addr)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_survives_the_kernels_form() {
        let longest = vec![b'a'; PATH_MAX];
        let all = [
            SockAddr::Inet("127.0.0.1:80".parse().unwrap()),
            SockAddr::Inet(SocketAddrV6::new("fe80::1".parse().unwrap(), 443, 7, 3).into()),
            SockAddr::unix(b"").unwrap(),
            SockAddr::unix(b"/tmp/x").unwrap(),
            SockAddr::unix(b"\0abstract\0name").unwrap(),
            SockAddr::unix(&longest).unwrap(),
            SockAddr::Other(vec![16, 0, 1, 2, 3, 4, 5, 6].into()),
        ];
        for addr in all {
            assert_eq!(SockAddr::from_raw(&addr.to_raw()), addr);
            assert_eq!(addr.family(), i32::from(addr.to_raw().storage.ss_family));
        }
    }

    #[test]
    fn a_unix_path_that_cannot_be_is_refused() {
        assert_eq!(SockAddr::unix(&[b'a'; PATH_MAX + 1]), None);
        assert_eq!(SockAddr::unix(b"a\0b"), None);
    }

    #[test]
    fn is_compact() {
        assert_eq!(size_of::<SockAddr>(), 32);
    }
}
