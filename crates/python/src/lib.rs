//! The extension module `rondeau._core`: the loop for Python coroutines, in raw ffi.
//!
//! Where to look: `native_loop` is what a loop owns, `event_loop` its methods and its turn, `handle` is what it runs,
//! `future` and `task` are what coroutines wait with,
//! `transport` is what they talk through, `tls` how it is encrypted, `sock_calls` how they use sockets of their own and `datagrams` what is done for each packet, `ffi` is how any of it speaks to CPython, `door` is where asyncio's own objects come in.
//! `python/rondeau` puts it together; nothing here runs once per loop or per connection if Python could do it.

#[cfg(not(target_os = "linux"))]
compile_error!("rondeau speaks to Linux only: epoll, eventfd, io_uring");

mod address;
mod alarm;
mod as_completed;
mod coroutine;
mod create_task;
mod datagrams;
mod door;
mod errors;
mod event_loop;
mod executor;
mod ffi;
mod file_number;
mod files;
mod future;
mod gather;
mod handle;
mod inspect;
mod memory;
mod metrics;
mod native_loop;
mod observer;
mod onlookers;
mod outward;
mod patched_clock;
mod probe;
mod ready;
mod recorder;
mod run_threadsafe;
mod running;
mod seconds;
mod shield;
mod sleep;
mod sock_calls;
mod stand_in;
mod streams;
mod sync;
mod task;
mod task_group;
mod timeout;
mod tls;
mod to_thread;
mod transport;
mod wait;
mod wait_for;
mod watchdog;
mod watching;

use crate::ffi::{Python, args::raise, names};
use pyo3_ffi as c;
use std::ffi::{c_int, c_void};

fn fill(module: *mut c::PyObject) -> Python<()> {
    memory::keep_some();
    names::intern()?;
    door::open()?;
    handle::init(module)?;
    transport::init(module)?;
    tls::init(module)?;
    patched_clock::init()?;
    event_loop::init(module)?;
    future::init(module)?;
    task::init(module)?;
    sock_calls::init(module)?;
    datagrams::init(module)?;
    running::init()?;
    coroutine::init(module)?;
    sleep::init(module)?;
    sync::init(module)?;
    gather::init(module)?;
    timeout::init(module)?;
    wait_for::init(module)?;
    task_group::init(module)?;
    create_task::init(module)?;
    wait::init(module)?;
    as_completed::init(module)?;
    shield::init(module)?;
    executor::init(module)?;
    to_thread::init(module)?;
    run_threadsafe::init(module)?;
    streams::init(module)?;
    files::init(module)?;
    recorder::init()?;
    watchdog::init(module)?;
    outward::init()?;
    version(module)
}

/// Which release this is, as Python writes it: `0.2.0-rc.1` is `0.2.0rc1`. What is run is told, not what pip knows of.
fn version(module: *mut c::PyObject) -> Python<()> {
    let text = env!("CARGO_PKG_VERSION")
        .replace("-alpha.", "a")
        .replace("-beta.", "b")
        .replace("-rc.", "rc");
    let text = std::ffi::CString::new(text).expect("a version has no zero byte");
    // SAFETY: the module and the text live through the call, which copies the text.
    match unsafe { c::PyModule_AddStringConstant(module, c"__version__".as_ptr(), text.as_ptr()) } {
        0 => Ok(()),
        _ => Err(ffi::Raised),
    }
}

unsafe extern "C" fn exec(module: *mut c::PyObject) -> c_int {
    // SAFETY: the GIL is held by the import.
    unsafe {
        if c::PyInterpreterState_Get() != c::PyInterpreterState_Main() {
            raise(
                c::PyExc_ImportError,
                "rondeau does not run in subinterpreters: its types are shared by the process; run it in the main interpreter",
            );
            return -1;
        }
    }
    if fill(module).is_ok() { 0 } else { -1 }
}

/// The module's entry point, by the name that CPython looks for.
///
/// # Safety
/// Called by CPython's import with the GIL held.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PyInit__core() -> *mut c::PyObject {
    let slots = ffi::types::table([
        c::PyModuleDef_Slot {
            slot: c::Py_mod_exec,
            value: exec as *mut c_void,
        },
        #[cfg(Py_3_12)]
        c::PyModuleDef_Slot {
            slot: c::Py_mod_multiple_interpreters,
            value: c::Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED,
        },
        #[cfg(Py_3_13)]
        c::PyModuleDef_Slot {
            slot: c::Py_mod_gil,
            value: c::Py_MOD_GIL_USED,
        },
    ]);
    let mut methods = vec![
        probe::METHOD,
        inspect::FORKING,
        inspect::PARENT,
        inspect::FORKED,
        inspect::LEAVE,
        ffi::types::one(
            c"own_methods",
            event_loop::own_methods,
            c"own_methods(cls, /)\n--\n\nPut the hot methods on a subclass of EventLoop itself; return it.",
        ),
        streams::ADOPT,
        outward::UNSENT,
    ];
    methods.extend(files::functions());
    methods.extend(recorder::METHODS);
    methods.push(onlookers::LISTEN);
    methods.extend(event_loop::HOLDING);
    methods.push(task::NUMBER_TASKS);
    methods.extend(watching::functions());
    let methods = ffi::types::table_of(methods);
    let definition = Box::leak(Box::new(c::PyModuleDef {
        m_base: c::PyModuleDef_HEAD_INIT,
        m_name: c"rondeau._core".as_ptr(),
        m_doc: c"Rondeau's native loop, tasks and transports.".as_ptr(),
        m_size: 0,
        m_methods: methods.cast(),
        m_slots: slots.cast(),
        m_traverse: None,
        m_clear: None,
        m_free: None,
    }));
    // SAFETY: the definition lives as long as the process.
    unsafe { c::PyModuleDef_Init(definition) }
}
