//! Where `_asyncio` (3.14+) keeps what C code and `python -m asyncio ps` read beside a task's own words: learnt at import.
//!
//! Each offset is found by changing one thing through asyncio's functions and looking which word changed. Where an answer
//! is not what it must be, the offset stays unknown and the slower public function is used instead: same results,
//! 23–45 ns more a step, and `ps` shows less.

use super::current::announcement;
use super::registry::list;
use super::samples::{Samples, words};
use crate::door::{attribute, import};
use crate::ffi::{Python, owned::Owned};
use crate::future::door::door;
use crate::future::layout;
use pyo3_ffi as ffi;
use std::ptr;

/// How far into a thread's state to look for the running loop, which is in it: the search ends where it is found.
const THREAD_STATE: usize = 1536;

/// Offsets at which two readings differ.
fn changed(before: &[usize], after: &[usize]) -> Vec<usize> {
    (0..before.len())
        .filter(|&at| before[at] != after[at])
        .map(|at| at * 8)
        .collect()
}

fn call(function: *mut ffi::PyObject, args: &[*mut ffi::PyObject]) -> Python<Owned> {
    // SAFETY: function and arguments are live.
    unsafe {
        Owned::new(ffi::PyObject_Vectorcall(
            function,
            args.as_ptr(),
            args.len(),
            ptr::null_mut(),
        ))
    }
}

/// The size of a future's storage.
fn future_size() -> usize {
    // SAFETY: the base is a live type.
    unsafe { (*door().future_base).tp_basicsize as usize }
}

/// Learns what can be learnt from the samples.
pub fn learn(samples: &Samples) -> Python<()> {
    let (first, second) = (samples.get(c"first")?, samples.get(c"second")?);
    fields(samples, &first, &second)?;
    running(&samples.get(c"loop")?, &first)
}

fn fields(samples: &Samples, first: &Owned, second: &Owned) -> Python<()> {
    let state = module_state(samples)?;
    let edges = edges(samples, first, second)?;
    let node = node(samples, first, second)?;
    // SAFETY: the import runs alone and no native task exists yet; each offset lies in the base's storage.
    unsafe {
        layout::set(|layout| {
            if let Some((offset, value)) = state {
                (layout.module_state, layout.module_state_value) = (offset, value);
            }
            if let Some((awaited_by, is_task)) = edges {
                (layout.awaited_by, layout.is_task) = (awaited_by, is_task);
            }
            if let Some(node) = node {
                layout.node = node;
            }
        });
        if node.is_some() {
            list::use_base_node();
        }
    }
    Ok(())
}

/// The word that is the same in two futures of different loops and stands before the loop.
fn module_state(samples: &Samples) -> Python<Option<(usize, usize)>> {
    let loops = [samples.get(c"loop")?, samples.get(c"other")?];
    let futures = [samples.get(c"mine")?, samples.get(c"others")?];
    let (a, b) = (
        words(&futures[0], future_size()),
        words(&futures[1], future_size()),
    );
    let at = 2;
    let fits = a[at] == b[at]
        && a[at] != 0
        && a[at + 1] == loops[0].as_ptr().addr()
        && b[at + 1] == loops[1].as_ptr().addr();
    Ok(fits.then_some((at * 8, a[at])))
}

/// Where awaited-by is, and the byte that says "is a task", which stands before the one that says "is a set".
fn edges(samples: &Samples, first: &Owned, second: &Owned) -> Python<Option<(usize, usize)>> {
    let future = samples.get(c"future")?;
    let fresh = words(&future, future_size());
    call(door().add_to_awaited_by, &[future.as_ptr(), first.as_ptr()])?;
    let one = words(&future, future_size());
    call(
        door().add_to_awaited_by,
        &[future.as_ptr(), second.as_ptr()],
    )?;
    let two = words(&future, future_size());
    call(
        door().discard_from_awaited_by,
        &[future.as_ptr(), first.as_ptr()],
    )?;
    call(
        door().discard_from_awaited_by,
        &[future.as_ptr(), second.as_ptr()],
    )?;
    let edge = match changed(&fresh, &one)[..] {
        [at] if one[at / 8] == first.as_ptr().addr() => at,
        _ => return Ok(None),
    };
    let flags: Vec<usize> = changed(&one, &two)
        .into_iter()
        .filter(|&at| at != edge)
        .collect();
    let [flags] = flags[..] else { return Ok(None) };
    let byte = (one[flags / 8] ^ two[flags / 8]).trailing_zeros() as usize / 8;
    let is_task = (flags + byte).wrapping_sub(1);
    let says = |object: &Owned| {
        // SAFETY: the byte lies in the base's storage.
        unsafe { *object.as_ptr().cast::<u8>().add(is_task) }
    };
    let fits = two[flags / 8] == one[flags / 8] | (1 << (8 * byte))
        && byte > 0
        && says(first) == 1
        && says(&future) == 0;
    Ok(fits.then_some((edge, is_task)))
}

/// Where the node of the list of tasks is: the two words that unregistering clears, in a list in which a task is put last.
fn node(samples: &Samples, first: &Owned, second: &Owned) -> Python<Option<usize>> {
    let (first_task, second_task) = (first.as_ptr(), second.as_ptr());
    // SAFETY: both tasks live.
    let (linked, free, a, b) = unsafe {
        let linked = words(first, samples.task_size);
        list::unregister(first_task)?;
        let free = words(first, samples.task_size);
        list::unregister(second_task)?;
        list::register(first_task)?;
        list::register(second_task)?;
        let (a, b) = (
            words(first, samples.task_size),
            words(second, samples.task_size),
        );
        list::unregister(second_task)?;
        list::unregister(first_task)?;
        (linked, free, a, b)
    };
    let [next, prev] = changed(&linked, &free)[..] else {
        return Ok(None);
    };
    let cleared = prev == next + 8 && free[next / 8] == 0 && free[prev / 8] == 0;
    let adjacent =
        a[next / 8] == second.as_ptr().addr() + next && b[prev / 8] == first.as_ptr().addr() + next;
    Ok((cleared && adjacent).then_some(next))
}

/// One word of this thread's state.
fn state_word(offset: usize) -> usize {
    // SAFETY: the caller looks no further than the first word that holds the running loop, and one word behind it.
    unsafe { *ffi::PyThreadState_Get().byte_add(offset).cast::<usize>() }
}

/// Where a thread's state has the running task: behind the running loop.
fn running(loop_: &Owned, task: &Owned) -> Python<()> {
    let native = import(c"_asyncio")?;
    let set = attribute(&native, c"_set_running_loop")?;
    let before = call(attribute(&native, c"_get_running_loop")?.as_ptr(), &[])?;
    // SAFETY: None is live.
    let none = unsafe { Owned::from_borrowed(ffi::Py_None()) };
    call(set.as_ptr(), &[loop_.as_ptr()])?;
    let mut found = None;
    for offset in (0..THREAD_STATE).step_by(8) {
        if state_word(offset) != loop_.as_ptr().addr() {
            continue;
        }
        call(set.as_ptr(), &[none.as_ptr()])?;
        let without = state_word(offset);
        call(set.as_ptr(), &[loop_.as_ptr()])?;
        if without == 0 && state_word(offset) == loop_.as_ptr().addr() {
            found = Some(offset + 8);
            break;
        }
    }
    let at = |found: Option<usize>| found.map_or(0, state_word);
    let outside = at(found);
    let previous = call(door().swap_current_task, &[loop_.as_ptr(), task.as_ptr()])?;
    let during = at(found);
    call(
        door().swap_current_task,
        &[loop_.as_ptr(), previous.as_ptr()],
    )?;
    let after = at(found);
    call(set.as_ptr(), &[before.as_ptr()])?;
    if let Some(offset) = found
        && during == task.as_ptr().addr()
        && outside == after
        && outside != during
    {
        // SAFETY: the import runs alone; the word was seen to hold the running task.
        unsafe { announcement::set_offset(offset) };
    }
    Ok(())
}
