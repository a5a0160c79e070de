//! The functions of OpenSSL that records are pumped with, found in the very library that this Python's `_ssl` uses.
//!
//! Called by `session` and `lent`. Looked up once, at import, through `_ssl`'s own file, so that no other OpenSSL in the process is
//! found. Where `_ssl` is built in, or the library hides its functions, there are none, and records go through `_ssl`'s methods
//! instead: the same behaviour, dearer.

use crate::door;
use crate::ffi::{gil::GilCell, owned::Owned};
use pyo3_ffi as ffi;
use std::ffi::{CStr, c_char, c_int, c_long, c_ulong, c_void};

/// An `SSL`: one connection's state.
pub enum Ssl {}
/// A `BIO`: where OpenSSL reads ciphertext from or writes it to.
pub enum Bio {}
/// A `BIO_METHOD`.
pub enum BioMethod {}

/// `SSL_ERROR_WANT_READ` of `SSL_get_error(3)`.
pub const WANT_READ: c_int = 2;
/// The least OpenSSL whose `SSL_set0_rbio`, `SSL_read_ex` and opaque BIOs are used: 1.1.1.
const LEAST_VERSION: c_ulong = 0x1010_1000;

pub type BioRead = unsafe extern "C" fn(*mut Bio, *mut c_char, c_int) -> c_int;
pub type BioWrite = unsafe extern "C" fn(*mut Bio, *const c_char, c_int) -> c_int;
pub type BioControl = unsafe extern "C" fn(*mut Bio, c_int, c_long, *mut c_void) -> c_long;

macro_rules! functions {
    ($($field:ident = $name:literal: fn($($argument:ty),*) $(-> $result:ty)?;)+) => {
        /// See each name's man page, openssl(3).
        pub struct Functions { $(pub $field: unsafe extern "C" fn($($argument),*) $(-> $result)?),+ }

        /// All of them, or None where one is missing.
        unsafe fn find(library: *mut c_void) -> Option<Functions> {
            Some(Functions { $($field: {
                // SAFETY: the name ends in NUL; a function of that name has this signature in OpenSSL 1.1.1 and 3.
                unsafe {
                    let found = libc::dlsym(library, concat!($name, "\0").as_ptr().cast());
                    if found.is_null() { return None; }
                    std::mem::transmute::<*mut c_void, unsafe extern "C" fn($($argument),*) $(-> $result)?>(found)
                }
            }),+ })
        }
    };
}

functions! {
    version = "OpenSSL_version_num": fn() -> c_ulong;
    read = "SSL_read_ex": fn(*mut Ssl, *mut c_void, usize, *mut usize) -> c_int;
    write = "SSL_write_ex": fn(*mut Ssl, *const c_void, usize, *mut usize) -> c_int;
    error = "SSL_get_error": fn(*const Ssl, c_int) -> c_int;
    has_pending = "SSL_has_pending": fn(*const Ssl) -> c_int;
    ex_data = "SSL_get_ex_data": fn(*const Ssl, c_int) -> *mut c_void;
    reader = "SSL_get_rbio": fn(*const Ssl) -> *mut Bio;
    writer = "SSL_get_wbio": fn(*const Ssl) -> *mut Bio;
    set_reader = "SSL_set0_rbio": fn(*mut Ssl, *mut Bio);
    set_writer = "SSL_set0_wbio": fn(*mut Ssl, *mut Bio);
    bio_new = "BIO_new": fn(*const BioMethod) -> *mut Bio;
    bio_free = "BIO_free": fn(*mut Bio) -> c_int;
    bio_up_ref = "BIO_up_ref": fn(*mut Bio) -> c_int;
    bio_control = "BIO_ctrl": fn(*mut Bio, c_int, c_long, *mut c_void) -> c_long;
    bio_set_init = "BIO_set_init": fn(*mut Bio, c_int);
    bio_set_data = "BIO_set_data": fn(*mut Bio, *mut c_void);
    bio_data = "BIO_get_data": fn(*mut Bio) -> *mut c_void;
    bio_set_flags = "BIO_set_flags": fn(*mut Bio, c_int);
    bio_clear_flags = "BIO_clear_flags": fn(*mut Bio, c_int);
    method_new = "BIO_meth_new": fn(c_int, *const c_char) -> *mut BioMethod;
    method_index = "BIO_get_new_index": fn() -> c_int;
    method_read = "BIO_meth_set_read": fn(*mut BioMethod, BioRead) -> c_int;
    method_write = "BIO_meth_set_write": fn(*mut BioMethod, BioWrite) -> c_int;
    method_control = "BIO_meth_set_ctrl": fn(*mut BioMethod, BioControl) -> c_int;
}

static FUNCTIONS: GilCell<Option<Functions>> = GilCell::new(None);

/// The functions; None where they are not to be had.
#[inline]
pub fn functions() -> Option<&'static Functions> {
    // SAFETY: written once at import, before any session, and only read afterwards.
    unsafe { FUNCTIONS.get().as_ref() }
}

/// Looks for them; called once, at import. What is missing is no error.
pub fn look() {
    // SAFETY: the import runs alone; an exception means that there is nothing to be found.
    unsafe {
        match library() {
            Some(library) => {
                *FUNCTIONS.get() = find(library).filter(|found| (found.version)() >= LEAST_VERSION);
            }
            None => ffi::PyErr_Clear(),
        }
    }
}

/// A handle on `_ssl`'s file, through which `dlsym(3)` searches the libraries that it was linked with.
unsafe fn library() -> Option<*mut c_void> {
    // SAFETY: the text lives as long as its object; a library that is loaded stays so.
    unsafe {
        let module = door::import(c"_ssl").ok()?;
        let file = door::attribute(&module, c"__file__").ok()?;
        let path = Owned::new(ffi::PyUnicode_EncodeFSDefault(file.as_ptr())).ok()?;
        let text = ffi::PyBytes_AsString(path.as_ptr());
        if text.is_null() {
            return None;
        }
        let handle = libc::dlopen(
            CStr::from_ptr(text).as_ptr(),
            libc::RTLD_NOW | libc::RTLD_NOLOAD,
        );
        (!handle.is_null()).then_some(handle)
    }
}
