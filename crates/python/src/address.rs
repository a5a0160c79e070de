//! A socket's address as the socket module gives it. Called where somebody asks a transport, and for each datagram received.

use crate::ffi::{Python, owned::Owned};
use pyo3_ffi as ffi;
use rondeau_driver::SockAddr;
use std::net::SocketAddr;

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
            SockAddr::Other(bytes) => Owned::new(ffi::PyBytes_FromStringAndSize(
                bytes.as_ptr().cast(),
                bytes.len() as ffi::Py_ssize_t,
            )),
        }
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
