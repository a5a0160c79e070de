//! The loop's `sock_*` methods: each makes a call that is not begun. Called by programs, and by asyncio's own code for connecting.

use super::call::Kind;
use super::new;
use crate::ffi::{
    Python, Raised, answer,
    args::{Args, raise_type_error},
    names::names,
    owned::Owned,
    types::fast_keywords,
};
use pyo3_ffi as ffi;
use std::ffi::CStr;
use std::ptr;

/// Makes a call from `(sock, first, second)`, of which the first `least` must be given.
unsafe fn make<const N: usize>(
    loop_: *mut ffi::PyObject,
    call: Args<'_>,
    kind: Kind,
    least: usize,
    names: [*mut ffi::PyObject; N],
) -> Python<Owned> {
    let function = kind.name().to_str().unwrap_or_default();
    let mut given = [ptr::null_mut(); N];
    if call.keyword_count() != 0 {
        call.keywords(function, names, &mut given)?;
    }
    if call.positional.len() > N {
        return Err(too_many(function, least, N, call.positional.len()));
    }
    for (index, value) in call.positional.iter().enumerate() {
        if !given[index].is_null() {
            // SAFETY: the names are str objects that live for ever.
            let name = unsafe { quoted(names[index]) };
            let message = format!("got multiple values for argument {name}");
            return Err(wrong(function, &message));
        }
        given[index] = *value;
    }
    if given[..least].iter().any(|value| value.is_null()) {
        let absent = (0..least).filter(|index| given[*index].is_null());
        // SAFETY: the names are str objects that live for ever.
        let absent: Vec<String> = absent
            .map(|index| unsafe { quoted(names[index]) })
            .collect();
        return Err(missing(function, &absent));
    }
    let at = |index: usize| given.get(index).copied().unwrap_or(ptr::null_mut());
    // SAFETY: the arguments live for the call, on an instance of the loop's type.
    unsafe { new(loop_, kind, at(0), at(1), at(2)) }
}

#[cold]
fn wrong(function: &str, what: &str) -> Raised {
    raise_type_error(&format!("{function}() {what}"))
}

#[cold]
unsafe fn quoted(name: *mut ffi::PyObject) -> String {
    // SAFETY: the caller has a str, which keeps its UTF-8 form; it ends in NUL.
    let text = unsafe { CStr::from_ptr(ffi::PyUnicode_AsUTF8(name)) };
    format!("'{}'", text.to_string_lossy())
}

/// The counts are a Python function's, which has the loop among its arguments.
#[cold]
fn too_many(function: &str, least: usize, most: usize, given: usize) -> Raised {
    let takes = if least == most {
        format!("{}", most + 1)
    } else {
        format!("from {} to {}", least + 1, most + 1)
    };
    wrong(
        function,
        &format!(
            "takes {takes} positional arguments but {} were given",
            given + 1
        ),
    )
}

#[cold]
fn missing(function: &str, absent: &[String]) -> Raised {
    let plural = if absent.len() == 1 { "" } else { "s" };
    let named = match absent {
        [one] => one.clone(),
        [one, other] => format!("{one} and {other}"),
        _ => format!(
            "{}, and {}",
            absent[..absent.len() - 1].join(", "),
            absent[absent.len() - 1]
        ),
    };
    wrong(
        function,
        &format!(
            "missing {} required positional argument{plural}: {named}",
            absent.len()
        ),
    )
}

macro_rules! sock_methods {
    ($($function:ident: $kind:ident, $least:literal, [$($name:ident),+], $doc:literal;)+) => {
        $(unsafe extern "C" fn $function(
            self_: *mut ffi::PyObject,
            args: *const *mut ffi::PyObject,
            count: ffi::Py_ssize_t,
            keywords: *mut ffi::PyObject,
        ) -> *mut ffi::PyObject {
            // SAFETY: CPython's calling convention, on an instance of the loop's type.
            answer::object(unsafe {
                make(self_, Args::new(args, count, keywords), Kind::$kind, $least, [$(names().$name),+])
            })
        })+

        /// The methods, for the loop's type.
        pub fn methods() -> Vec<ffi::PyMethodDef> {
            vec![$(fast_keywords(name(stringify!($function), Kind::$kind), $function, $doc)),+]
        }
    };
}

/// The method's public name; a private one where Python code stands in front.
fn name(function: &str, kind: Kind) -> &'static CStr {
    if function == "connect" {
        c"_sock_connect_resolved"
    } else {
        kind.name()
    }
}

sock_methods! {
    recv: Recv, 2, [sock, n], c"sock_recv($self, sock, n)\n--\n\nReceive up to n bytes; b\"\" at the end.";
    recv_into: RecvInto, 2, [sock, buf], c"sock_recv_into($self, sock, buf)\n--\n\nReceive into a writable buffer; return how many bytes.";
    recvfrom: Recvfrom, 2, [sock, bufsize], c"sock_recvfrom($self, sock, bufsize)\n--\n\nReceive a datagram of up to bufsize bytes; return (bytes, address).";
    recvfrom_into: RecvfromInto, 2, [sock, buf, nbytes], c"sock_recvfrom_into($self, sock, buf, nbytes=0)\n--\n\nReceive a datagram into a writable buffer; return (how many bytes, address).";
    sendall: Sendall, 2, [sock, data], c"sock_sendall($self, sock, data)\n--\n\nSend all of data.";
    sendto: Sendto, 3, [sock, data, address], c"sock_sendto($self, sock, data, address)\n--\n\nSend a datagram to address; return how many bytes were sent.";
    accept: Accept, 1, [sock], c"sock_accept($self, sock)\n--\n\nAccept a connection; return (non-blocking socket, address).";
    connect: Connect, 2, [sock, address], c"_sock_connect_resolved($self, sock, address)\n--\n\n";
}
