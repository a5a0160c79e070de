//! The native `Future`: `_core.Future`, a subclass of `_asyncio.Future` that overrides all of it.
//!
//! Called by the loop (`create_future`), by tasks and by Python. `cell.rs` has the fields, `layout.rs` where they lie,
//! `callbacks.rs` who is told, `outcome.rs` how it ends, `awaiter.rs` what `await` does.
//!
//! Why a subclass and not a type of its own: anyio and Tornado test `isinstance(f, asyncio.Future)`, and anyio loses
//! results silently where it fails. Price: the base's storage, zeroed (104–128 bytes an object).
//! Limit: an unbound call of the base's method (`asyncio.Future.done(f)`) sees the zeroed storage.

mod attributes;
mod awaiter;
pub mod callbacks;
pub mod cell;
pub mod door;
pub mod layout;
pub mod lifecycle;
pub mod methods;
pub mod outcome;
mod purpose;
pub mod soon;

pub use attributes::{status, truth};
pub use lifecycle::{new, new_for};
pub use purpose::Purpose;

use crate::ffi::{
    Python, compat, stop_iteration,
    types::{self, Type},
};
use layout::Kind;
use pyo3_ffi as ffi;
use std::ffi::c_void;

/// `__class_getitem__`, as asyncio has it.
unsafe extern "C" fn class_getitem(
    kind: *mut ffi::PyObject,
    item: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: both are live.
    unsafe { ffi::Py_GenericAlias(kind, item) }
}

/// The methods that both types have, but for what a task replaces.
pub fn shared_methods<K: Kind>() -> Vec<ffi::PyMethodDef> {
    let mut await_method = types::noargs(
        c"__await__",
        awaiter::await_method::<K>,
        c"__await__($self, /)\n--\n\nReturn an iterator to be used in await expression.",
    );
    // The slot wrapper of the same name is there first and would return the future itself.
    await_method.ml_flags |= ffi::METH_COEXIST;
    vec![
        await_method,
        types::noargs(c"result", methods::result::<K>, c"result($self, /)\n--\n\nReturn the result, or raise the exception or CancelledError."),
        types::noargs(c"exception", methods::exception::<K>, c"exception($self, /)\n--\n\nReturn the exception that was set, or None."),
        types::fast_keywords(c"add_done_callback", methods::add_done_callback::<K>, c"add_done_callback($self, fn, /, *, context=<unrepresentable>)\n--\n\nCall fn(self) soon after the future is done."),
        types::one(c"remove_done_callback", methods::remove_done_callback::<K>, c"remove_done_callback($self, fn, /)\n--\n\nRemove all instances of a callback; return how many."),
        types::fast_keywords(c"cancel", methods::cancel::<K>, c"cancel($self, /, msg=None)\n--\n\nCancel; False if it was done."),
        types::noargs(c"cancelled", methods::cancelled::<K>, c"cancelled($self, /)\n--\n\nWhether it was cancelled."),
        types::noargs(c"done", methods::done::<K>, c"done($self, /)\n--\n\nWhether it is done."),
        types::noargs(c"get_loop", methods::get_loop::<K>, c"get_loop($self, /)\n--\n\nThe event loop it is bound to."),
        types::noargs(c"_make_cancelled_error", methods::make_cancelled_error::<K>, c"_make_cancelled_error($self, /)\n--\n\nThe CancelledError to raise."),
        types::class_method(types::one(c"__class_getitem__", class_getitem, c"See PEP 585")),
    ]
}

/// The attributes that both types have.
pub fn shared_attributes<K: Kind>() -> Vec<ffi::PyGetSetDef> {
    let mut all = vec![
        types::attribute(c"_state", attributes::state::<K>, None),
        types::attribute(
            c"_asyncio_future_blocking",
            attributes::blocking::<K>,
            Some(attributes::set_blocking::<K>),
        ),
        types::attribute(c"_loop", attributes::loop_::<K>, None),
        types::attribute(c"_callbacks", attributes::callbacks::<K>, None),
        types::attribute(c"_result", attributes::result::<K>, None),
        types::attribute(c"_exception", attributes::exception::<K>, None),
        types::attribute(
            c"_log_traceback",
            attributes::log_traceback::<K>,
            Some(attributes::set_log_traceback::<K>),
        ),
        types::attribute(
            c"_source_traceback",
            attributes::source_traceback::<K>,
            None,
        ),
        types::attribute(
            c"_cancel_message",
            attributes::cancel_message::<K>,
            Some(attributes::set_cancel_message::<K>),
        ),
    ];
    if compat::TASKS_IN_THREAD_STATE {
        all.push(types::attribute(
            c"_asyncio_awaited_by",
            attributes::awaited_by,
            None,
        ));
    }
    all
}

/// The slots that both types have.
pub fn shared_slots<K: Kind>() -> Vec<(std::ffi::c_int, *mut c_void)> {
    vec![
        (ffi::Py_tp_new, lifecycle::tp_new as *mut c_void),
        (ffi::Py_tp_iter, awaiter::iterator::<K> as *mut c_void),
        (ffi::Py_tp_iternext, awaiter::next_self::<K> as *mut c_void),
        (ffi::Py_am_await, awaiter::am_await::<K> as *mut c_void),
        (ffi::Py_am_send, awaiter::send_self::<K> as *mut c_void),
    ]
}

/// Makes the type and adds it to the module as `Future`.
pub fn init(module: *mut ffi::PyObject) -> Python<()> {
    door::open()?;
    stop_iteration::probe()?;
    awaiter::init()?;
    let mut methods = shared_methods::<layout::OfFuture>();
    methods.extend([
        types::one(
            c"set_result",
            methods::set_result::<layout::OfFuture>,
            c"set_result($self, result, /)\n--\n\nMark the future done and set its result.",
        ),
        types::one(
            c"set_exception",
            methods::set_exception::<layout::OfFuture>,
            c"set_exception($self, exception, /)\n--\n\nMark the future done and set an exception.",
        ),
    ]);
    let mut slots = shared_slots::<layout::OfFuture>();
    slots.extend([
        (
            ffi::Py_tp_doc,
            c"Future(*, loop=None)\n--\n\nA result that is not there yet.".as_ptr() as *mut c_void,
        ),
        (ffi::Py_tp_init, lifecycle::tp_init as *mut c_void),
        (ffi::Py_tp_repr, lifecycle::tp_repr as *mut c_void),
        (ffi::Py_tp_traverse, lifecycle::tp_traverse as *mut c_void),
        (ffi::Py_tp_clear, lifecycle::tp_clear as *mut c_void),
        (ffi::Py_tp_finalize, lifecycle::tp_finalize as *mut c_void),
        (ffi::Py_tp_dealloc, lifecycle::tp_dealloc as *mut c_void),
        (ffi::Py_tp_methods, types::table_of(methods)),
        (
            ffi::Py_tp_getset,
            types::table_of(shared_attributes::<layout::OfFuture>()),
        ),
    ]);
    let base = door::door().future_base;
    let offset = lifecycle::cell_offset(base);
    let kind = Type {
        name: c"rondeau._core.Future",
        size: offset + size_of::<cell::Cell>(),
        flags: ffi::Py_TPFLAGS_HAVE_GC | ffi::Py_TPFLAGS_BASETYPE | ffi::Py_TPFLAGS_IMMUTABLETYPE,
        slots,
    };
    // SAFETY: the slots match their numbers; the size covers the base's storage and our fields. The import runs alone.
    unsafe {
        let kind = kind.publish(module, base.cast())?;
        types::trim(kind)?;

        layout::set(|layout| {
            layout.future = kind;
            layout.future_cell = offset;
        });
    }
    Ok(())
}
