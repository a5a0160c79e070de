//! A socket's address as the socket module gives and takes it. Called where somebody asks a transport, and for each datagram.

use crate::ffi::{Python, owned::Owned};
use pyo3_ffi as ffi;
use rondeau_driver::SockAddr;
use std::ffi::CStr;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// An address as the socket module gives it.
pub fn address(addr: &SockAddr) -> Python<Owned> {
    // SAFETY: formats and arguments match; texts end in NUL or carry their length.
    unsafe {
        match addr {
            SockAddr::Inet(SocketAddr::V4(v4)) => {
                let host = text(&v4.ip().to_string())?;
                let port = Owned::new(ffi::PyLong_FromLong(v4.port().into()))?;
                Owned::new(ffi::PyTuple_Pack(2, host.as_ptr(), port.as_ptr()))
            }
            SockAddr::Inet(SocketAddr::V6(v6)) => {
                let host = text(&v6.ip().to_string())?;
                let port = Owned::new(ffi::PyLong_FromLong(v6.port().into()))?;
                let flow = Owned::new(ffi::PyLong_FromUnsignedLong(
                    u32::from_be(v6.flowinfo()).into(),
                ))?;
                let scope = Owned::new(ffi::PyLong_FromUnsignedLong(v6.scope_id().into()))?;
                Owned::new(ffi::PyTuple_Pack(
                    4,
                    host.as_ptr(),
                    port.as_ptr(),
                    flow.as_ptr(),
                    scope.as_ptr(),
                ))
            }
            SockAddr::Unix(path) if path.first() == Some(&0) => Owned::new(
                ffi::PyBytes_FromStringAndSize(path.as_ptr().cast(), path.len() as ffi::Py_ssize_t),
            ),
            SockAddr::Unix(path) => Owned::new(ffi::PyUnicode_DecodeFSDefaultAndSize(
                path.as_ptr().cast(),
                path.len() as ffi::Py_ssize_t,
            )),
            SockAddr::Other(bytes) => other(bytes),
        }
    }
}

/// An address of a rarer family, whose `struct sockaddr` begins with these bytes, as CPython's `makesockaddr` gives it: netlink(7),
/// vsock(7), packet(7), CAN's raw sockets; of one that it does not know, the family and what follows it.
fn other(bytes: &[u8]) -> Python<Owned> {
    let half = |at: usize| bytes.get(at..at + 2).map_or([0; 2], |b| [b[0], b[1]]);
    let word = |at: usize| {
        let bytes = bytes
            .get(at..at + 4)
            .map_or([0; 4], |b| [b[0], b[1], b[2], b[3]]);
        u32::from_ne_bytes(bytes)
    };
    let family = i32::from(u16::from_ne_bytes(half(0)));
    let number = |number: u32| {
        // SAFETY: the GIL is held by whoever asks for the address.
        unsafe { Owned::new(ffi::PyLong_FromUnsignedLong(number.into())) }
    };
    let data = |from: usize, len: usize| {
        let part = bytes.get(from..).unwrap_or_default();
        let part = &part[..part.len().min(len)];
        // SAFETY: so many bytes.
        unsafe {
            Owned::new(ffi::PyBytes_FromStringAndSize(
                part.as_ptr().cast(),
                part.len() as ffi::Py_ssize_t,
            ))
        }
    };
    match family {
        _ if bytes.is_empty() => {
            // SAFETY: None is live.
            Ok(unsafe { Owned::from_borrowed(ffi::Py_None()) })
        }
        libc::AF_NETLINK => tuple(&[number(word(4))?, number(word(8))?]),
        libc::AF_VSOCK => tuple(&[number(word(8))?, number(word(4))?]),
        libc::AF_PACKET => {
            let kind = bytes.get(10).copied().unwrap_or(0);
            let length = bytes.get(11).copied().unwrap_or(0);
            tuple(&[
                interface(word(4))?,
                number(u16::from_be_bytes(half(2)).into())?,
                number(kind.into())?,
                number(u16::from_ne_bytes(half(8)).into())?,
                data(12, length.into())?,
            ])
        }
        libc::AF_CAN => tuple(&[interface(word(4))?]),
        _ => tuple(&[number(family.cast_unsigned())?, data(2, 14)?]),
    }
}

/// The name of a network interface; empty where it has none, or none any more.
fn interface(index: u32) -> Python<Owned> {
    let mut name = [0; libc::IF_NAMESIZE];
    // SAFETY: there is room for the longest name and its NUL; the buffer is zeroed.
    unsafe {
        libc::if_indextoname(index, name.as_mut_ptr());
        Owned::new(ffi::PyUnicode_DecodeFSDefault(name.as_ptr()))
    }
}

fn tuple(items: &[Owned]) -> Python<Owned> {
    // SAFETY: each place is filled with a reference of its own before anybody sees the tuple.
    unsafe {
        let made = Owned::new(ffi::PyTuple_New(items.len() as ffi::Py_ssize_t))?;
        for (index, item) in items.iter().enumerate() {
            ffi::PyTuple_SET_ITEM(made.as_ptr(), index as isize, item.clone().into_ptr());
        }
        Ok(made)
    }
}

unsafe fn text(text: &str) -> Python<Owned> {
    // SAFETY: valid UTF-8 of the given length.
    unsafe {
        Owned::new(ffi::PyUnicode_FromStringAndSize(
            text.as_ptr().cast(),
            text.len() as ffi::Py_ssize_t,
        ))
    }
}

/// The address that a tuple of a literal host and a port means; None for everything else, names above all: the socket module knows it.
///
/// # Safety
/// `object` lives.
pub unsafe fn parse(object: *mut ffi::PyObject) -> Option<SockAddr> {
    // SAFETY: the types are checked first; the text lives as long as the str. No Python code runs.
    unsafe {
        if ffi::PyTuple_CheckExact(object) == 0 {
            return None;
        }
        let size = ffi::PyTuple_GET_SIZE(object);
        let host = (size >= 2).then(|| ffi::PyTuple_GET_ITEM(object, 0))?;
        if ffi::PyUnicode_CheckExact(host) == 0 {
            return None;
        }
        let host = ffi::PyUnicode_AsUTF8(host);
        if host.is_null() {
            ffi::PyErr_Clear();
            return None;
        }
        let host = CStr::from_ptr(host).to_str().ok()?;
        let number = |index: isize| -> Option<u32> {
            let item = ffi::PyTuple_GET_ITEM(object, index);
            if ffi::PyLong_CheckExact(item) == 0 {
                return None;
            }
            let mut overflow = 0;
            u32::try_from(ffi::PyLong_AsLongAndOverflow(item, &mut overflow)).ok()
        };
        let port = u16::try_from(number(1)?).ok()?;
        if size == 2
            && let Ok(host) = host.parse::<Ipv4Addr>()
        {
            return Some(SockAddr::Inet(SocketAddrV4::new(host, port).into()));
        }
        let host = (size == 4).then(|| host.parse::<Ipv6Addr>().ok())??;
        let flow = number(2).filter(|flow| *flow <= 0xf_ffff)?;
        let inet = SocketAddrV6::new(host, port, flow.to_be(), number(3)?);
        Some(SockAddr::Inet(inet.into()))
    }
}
