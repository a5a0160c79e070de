//! The loops' part of an answer: what each counts, how its executor stands, and what its thread runs.
//!
//! Called by the walk, with the GIL held.

use super::tables::{Tables, attribute};
use super::{answer::integer, json, loops, waits};
use crate::door::import;
use crate::ffi::owned::Owned;
use crate::native_loop::{Loop, descriptors::Slot};
use pyo3_ffi as ffi;
use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;

/// The stack of each thread that runs Python code, innermost first, by Python's number of the thread.
///
/// # Safety
/// The GIL is held.
pub unsafe fn threads(tables: &mut Tables) -> HashMap<u64, Vec<u32>> {
    let mut stacks = HashMap::new();
    // SAFETY: functions of C's; the frames are kept by the dict, and each one's predecessor by it.
    unsafe {
        let frames = import(c"sys").ok().and_then(|sys| {
            let function = attribute(sys.as_ptr(), c"_current_frames")?;
            Owned::new(ffi::PyObject_CallNoArgs(function.as_ptr())).ok()
        });
        let Some(frames) = frames else {
            ffi::PyErr_Clear();
            return stacks;
        };
        let mut at = 0;
        let (mut key, mut value) = (std::ptr::null_mut(), std::ptr::null_mut());
        while ffi::PyDict_Next(frames.as_ptr(), &mut at, &mut key, &mut value) != 0 {
            let thread = ffi::PyLong_AsUnsignedLongLong(key);
            let mut frame = Some(Owned::from_borrowed(value));
            let mut stack = Vec::new();
            while let Some(current) = frame {
                if stack.len() == 200 {
                    break;
                }
                stack.push(tables.frame(current.as_ptr().cast()).0);
                let back = ffi::PyFrame_GetBack(current.as_ptr().cast());
                frame = (!back.is_null()).then(|| Owned::from_owned(back.cast()));
            }
            stacks.insert(thread, stack);
        }
    }
    stacks
}

/// Writes the loops, with their figures and what their threads run.
///
/// # Safety
/// The GIL is held.
pub unsafe fn write_loops(out: &mut String, stacks: &HashMap<u64, Vec<u32>>) {
    let keep = |loop_: Loop| {
        // SAFETY: it lives as long as it is in the list; kept, since an attribute of one loop may let another go.
        unsafe { Owned::from_borrowed(loop_.object()) }
    };
    let known: Vec<(u64, Loop, Owned)> = loops()
        .all
        .iter()
        .map(|known| (known.number, known.loop_, keep(known.loop_)))
        .collect();
    out.push_str(r#","loops":"#);
    json::list(out, &known, |out, (number, loop_, _)| {
        // SAFETY: the loop is kept; the borrow of its parts ends before Python code can run.
        unsafe {
            let parts = loop_.parts();
            let metrics = parts.metrics.clone();
            let (mut connections, mut descriptors) = (0, 0);
            for (_, slot) in parts.descriptors.iter() {
                match slot {
                    Slot::Transport { .. } => connections += 1,
                    _ => descriptors += 1,
                }
            }
            json::number(
                out,
                format_args!(
                    r#"{{"number":{number},"running":{},"parked":{},"thread":{},"ready":{},"timers":{},"connections":{connections},"descriptors":{descriptors},"turns":{},"asks":{},"waits":{},"ran":{},"waited":{},"longest":{},"time":{:.6}"#,
                    parts.thread != 0,
                    metrics.parked.load(Relaxed),
                    metrics.thread.load(Relaxed),
                    parts.agenda.len(),
                    parts.timers.len(),
                    metrics.turns.load(Relaxed),
                    metrics.asks.load(Relaxed),
                    metrics.waits.load(Relaxed),
                    metrics.ran_until_now() as f64 / 1e9,
                    metrics.waited_until_now() as f64 / 1e9,
                    metrics.longest.load(Relaxed) as f64 / 1e9,
                    waits::now(*loop_),
                ),
            );
            let thread = parts.thread;
            out.push_str(r#","delays":"#);
            json::list(out, metrics.delays(), |out, (upper, count)| {
                json::number(out, format_args!("[{},{count}]", upper as f64 / 1e9));
            });
            metrics.watch();
            if let Some(stack) = stacks.get(&thread) {
                out.push_str(r#","stack":"#);
                json::list(out, stack, json::number);
            }
            executor(out, *loop_);
            out.push('}');
        }
    });
}

/// The default executor's threads and what waits for one.
unsafe fn executor(out: &mut String, loop_: Loop) {
    // SAFETY: the loop lives; the attributes are in its slots and in the executor's dict.
    unsafe {
        let Some(pool) = attribute(loop_.object(), c"_default_executor") else {
            return;
        };
        let size = |name| {
            attribute(pool.as_ptr(), name).map(|found| {
                let size = ffi::PyObject_Size(found.as_ptr());
                if size < 0 {
                    ffi::PyErr_Clear();
                }
                size.max(0)
            })
        };
        let Some(threads) = size(c"_threads") else {
            return;
        };
        let most = integer(pool.as_ptr(), c"_max_workers").unwrap_or(0);
        let waiting = crate::executor::waiting(pool.as_ptr());
        json::number(
            out,
            format_args!(r#","executor":{{"threads":{threads},"most":{most}"#),
        );
        if let Some((items, idle)) = waiting {
            json::number(out, format_args!(r#","waiting":{items},"idle":{idle}"#));
        }
        out.push('}');
    }
}
