//! `create_future` and `create_task`. Called by every coroutine that starts another.
//!
//! A task factory, where one is set, goes asyncio's own way, in `rondeau._cold`.

use crate::ffi::{
    Python, Raised, answer,
    args::{Args, raise_type_error},
    names::names,
    owned::Owned,
};
use crate::native_loop::Loop;
use crate::native_loop::check_open;
use crate::{door, future, onlookers, recorder, task};
use pyo3_ffi as ffi;
use std::ptr;

/// `create_future()`.
pub unsafe extern "C" fn create_future(
    self_: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance of the type.
    unsafe {
        let made = future::new(Loop::from_object(self_));
        if recorder::is_on() {
            recorder::future_made(made);
        }
        made
    }
}

/// `create_task(coro, *, name=None, context=None, eager_start=None)`; a task factory, where set, is asyncio's own path.
pub unsafe extern "C" fn create_task(
    self_: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython's calling convention, on an instance of the type.
    answer::object(unsafe { task_for(Loop::from_object(self_), args, count, keywords) })
}

unsafe fn task_for(
    loop_: Loop,
    args: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    keywords: *mut ffi::PyObject,
) -> Python<Owned> {
    // SAFETY: the arguments live for the call; the references are borrowed.
    unsafe {
        check_open(loop_)?;
        let Some(eager_factory) = task::factory::native(loop_) else {
            return with_factory(loop_, args, count, keywords);
        };
        let call = Args::new(args, count, keywords);
        let known = [
            names().coro,
            names().name,
            names().context,
            names().eager_start,
        ];
        let mut given = [ptr::null_mut(); 4];
        if call.keyword_count() != 0 {
            call.keywords(
                crate::ffi::compat::WHO_TAKES_TASK_OPTIONS,
                known,
                &mut given,
            )?;
        }
        if eager_factory && !(given[1].is_null() && given[3].is_null()) {
            // When such a task gets its name differs within 3.13.
            return with_factory(loop_, args, count, keywords);
        }
        let coro = match call.positional {
            [coro] if given[0].is_null() => *coro,
            [] if !given[0].is_null() => given[0],
            [] => {
                return Err(raise_type_error(
                    "create_task() missing 1 required positional argument: 'coro'",
                ));
            }
            _ => {
                call.expect_positional("create_task", 1, 1)?;
                return Err(raise_type_error(
                    "create_task() got multiple values for argument 'coro'",
                ));
            }
        };
        let none = ffi::Py_None();
        let or_absent = |value: *mut ffi::PyObject| {
            if value == none {
                ptr::null_mut()
            } else {
                value
            }
        };
        let eager = match or_absent(given[3]) {
            value if value.is_null() => eager_factory,
            value => match ffi::PyObject_IsTrue(value) {
                -1 => return Err(Raised),
                truth => truth == 1,
            },
        };
        Owned::new(task::new(
            loop_,
            coro,
            or_absent(given[1]),
            or_absent(given[2]),
            eager,
        ))
    }
}

#[cold]
unsafe fn with_factory(
    loop_: Loop,
    args: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    keywords: *mut ffi::PyObject,
) -> Python<Owned> {
    // SAFETY: `_cold.create_task(loop, ...)` gets the same arguments after the loop; keyword values follow the positional ones.
    unsafe {
        let function = Owned::new(ffi::PyObject_GetAttrString(
            door::door().cold,
            c"create_task".as_ptr(),
        ))?;
        let keyword_count = if keywords.is_null() {
            0
        } else {
            ffi::PyTuple_GET_SIZE(keywords) as usize
        };
        let given = if args.is_null() {
            &[][..]
        } else {
            std::slice::from_raw_parts(args, count as usize + keyword_count)
        };
        let mut all = Vec::with_capacity(1 + given.len());
        all.push(loop_.object());
        all.extend_from_slice(given);
        let made = Owned::new(ffi::PyObject_Vectorcall(
            function.as_ptr(),
            all.as_ptr(),
            1 + count as usize,
            keywords,
        ))?;
        if recorder::is_on() {
            recorder::made(loop_, &made, given.first().copied());
        }
        if onlookers::any(onlookers::CREATED | onlookers::DONE) {
            onlookers::made(loop_, &made)?;
        }
        Ok(made)
    }
}
