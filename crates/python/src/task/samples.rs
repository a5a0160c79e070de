//! C futures and tasks made at import, to learn from them where `_asyncio` keeps what its own methods and other programs read.
//!
//! Called once by `task::init`. Here: the words of the coroutine and the context, on every version, so that a method that is
//! called on the base class (`asyncio.Task.get_coro(t)`) finds them instead of following NULL. What only 3.14 and later
//! keep is in `probe.rs`.
//!
//! Each word is found by looking for an object that is known to be in it. Nothing is computed and the binary is not read. Where
//! a word is not found the field stays ours.

use crate::door::import;
use crate::ffi::{Python, Raised, compat, owned::Owned, source};
use crate::future::door::door;
use crate::future::layout;
use pyo3_ffi as ffi;
use std::ffi::CStr;

const SOURCE: &CStr = c"
from contextvars import copy_context
class Loop:
    def get_debug(self): return False
    def call_soon(self, callback, *args, context=None): pass
    def call_exception_handler(self, context): pass
async def coroutine(): pass
loop = Loop()
other = Loop()
coroutines = [coroutine(), coroutine()]
coroutine = coroutines[0]
context = copy_context()
name = 'rondeau ' + 'sample'
first = asyncio.Task(coroutine, loop=loop, name=name, context=context)
second = asyncio.Task(coroutines[1], loop=loop, name=name)
futures = [asyncio.Future(loop=loop) for _ in range(2)] + [asyncio.Future(loop=other)]
future, mine, others = futures
";

const END: &CStr = c"
for task in first, second:
    task._log_destroy_pending = False
for coroutine in coroutines:
    coroutine.close()
";

/// The words of an object's base storage.
pub fn words(object: &Owned, size: usize) -> Vec<usize> {
    // SAFETY: `size` is the instance's size; every word of it is initialised.
    unsafe { std::slice::from_raw_parts(object.as_ptr().cast::<usize>(), size / 8).to_vec() }
}

/// The only offset at which `value` is found, from the third word on.
fn only(words: &[usize], value: usize) -> Option<usize> {
    let mut found = (2..words.len())
        .filter(|&at| words[at] == value)
        .map(|at| at * 8);
    found.next().filter(|_| found.next().is_none())
}

/// C objects, by name, and the size of a task's storage.
pub struct Samples {
    namespace: Owned,
    pub task_size: usize,
}

impl Samples {
    fn run(&self, source: &CStr) -> Python<()> {
        // SAFETY: the namespace is a dict.
        unsafe { source::run(source, &self.namespace) }
    }

    /// A sample.
    pub fn get(&self, name: &CStr) -> Python<Owned> {
        // SAFETY: the namespace is a dict whose names were just assigned.
        unsafe {
            let object = ffi::PyDict_GetItemString(self.namespace.as_ptr(), name.as_ptr());
            if object.is_null() {
                Err(Raised)
            } else {
                Ok(Owned::from_borrowed(object))
            }
        }
    }
}

/// Makes the samples, learns the task's words, and lets `more` learn from them. Err only where asyncio itself does not work.
pub fn learn(more: impl FnOnce(&Samples) -> Python<()>) -> Python<()> {
    if cfg!(debug_assertions) && std::env::var_os("RONDEAU_NO_PROBE").is_some() {
        return Ok(());
    }
    // SAFETY: the base is a live type; the namespace is fresh.
    let samples = unsafe {
        Samples {
            namespace: Owned::new(ffi::PyDict_New())?,
            task_size: (*door().task_base).tp_basicsize as usize,
        }
    };
    let native = import(c"_asyncio")?;
    // SAFETY: the namespace is a dict and the name ends in NUL.
    if unsafe {
        ffi::PyDict_SetItemString(
            samples.namespace.as_ptr(),
            c"asyncio".as_ptr(),
            native.as_ptr(),
        )
    } != 0
    {
        return Err(Raised);
    }
    samples.run(SOURCE)?;
    let learnt = task_words(&samples).and_then(|()| more(&samples));
    samples.run(END)?;
    // SAFETY: the namespace is a dict.
    unsafe { ffi::PyDict_Clear(samples.namespace.as_ptr()) };
    learnt
}

fn task_words(samples: &Samples) -> Python<()> {
    let task = words(&samples.get(c"first")?, samples.task_size);
    let find = |name: &CStr| Ok(only(&task, samples.get(name)?.as_ptr().addr()));
    let (coro, context, name) = (find(c"coroutine")?, find(c"context")?, find(c"name")?);
    // SAFETY: the import runs alone and no native task exists yet; each offset lies in the base's storage.
    unsafe {
        layout::set(|layout| {
            layout.coro = coro.unwrap_or(layout.coro);
            layout.context = context.unwrap_or(layout.context);
            // Before 3.14 nobody reads the name there, and a number need not become an int.
            if compat::TASKS_IN_THREAD_STATE {
                layout.name = name.unwrap_or(layout.name);
            }
        });
    }
    Ok(())
}
