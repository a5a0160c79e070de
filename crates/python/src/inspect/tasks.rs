//! Which tasks there are: a weak reference to each, taken in slices.
//!
//! Called once a walk. Weak and not strong: a task that ends between two slices must end as if nobody looked, and not later and in this
//! thread. The last task that was listed is the bookmark: where it has gone meanwhile, the one before it.

use super::hold::{Hold, Stopped};
use super::loops;
use super::tables::attribute;
use crate::door::import;
use crate::ffi::owned::Owned;
use crate::task::registry;
use pyo3_ffi as ffi;
use std::ptr;

/// All tasks that are not done, of every loop.
///
/// # Safety
/// The GIL is held through `hold`.
pub unsafe fn all(hold: &mut Hold) -> Result<Vec<Owned>, Stopped> {
    let mut found = Vec::new();
    // SAFETY: the caller's contract.
    unsafe {
        let heads = registry::heads();
        if heads.is_empty() {
            ask_asyncio(&mut found);
        }
        for head in heads {
            in_list(hold, head, &mut found)?;
        }
        others(&mut found);
    }
    Ok(found)
}

unsafe fn weak(task: *mut ffi::PyObject) -> Option<Owned> {
    // SAFETY: the caller has a live object.
    unsafe {
        match Owned::new(ffi::PyWeakref_NewRef(task, ptr::null_mut())) {
            Ok(weak) => Some(weak),
            Err(_) => {
                ffi::PyErr_Clear();
                None
            }
        }
    }
}

/// The object behind a weak reference, kept alive by what is returned.
///
/// # Safety
/// A weak reference.
pub unsafe fn object(weak: &Owned) -> Option<Owned> {
    let mut object = ptr::null_mut();
    // SAFETY: the caller's contract.
    unsafe {
        if ffi::compat::PyWeakref_GetRef(weak.as_ptr(), &mut object) < 0 {
            ffi::PyErr_Clear();
        }
        (!object.is_null()).then(|| Owned::from_owned(object))
    }
}

unsafe fn in_list(
    hold: &mut Hold,
    head: registry::Head,
    found: &mut Vec<Owned>,
) -> Result<(), Stopped> {
    let begun = found.len();
    // SAFETY: nothing changes a list within a slice; after one, list and bookmark are asked for anew.
    unsafe {
        let mut next = registry::first(head);
        while let Some(task) = next {
            found.extend(weak(task));
            let slices = hold.held.slices;
            hold.breathe()?;
            if hold.held.slices == slices {
                next = registry::after(head, task);
                continue;
            }
            if !registry::heads().contains(&head) {
                break; // Its thread has ended.
            }
            let bookmark = found[begun..]
                .iter()
                .rev()
                .find_map(|weak| object(weak).filter(|task| registry::is_listed(task.as_ptr())));
            next = match bookmark {
                Some(task) => registry::after(head, task.as_ptr()),
                None => registry::first(head),
            };
        }
    }
    Ok(())
}

/// Where the list's place is not known: `asyncio.all_tasks`, for each loop.
unsafe fn ask_asyncio(found: &mut Vec<Owned>) {
    let known: Vec<_> = loops().all.iter().map(|known| known.loop_).collect();
    for loop_ in known {
        // SAFETY: the loop lives as long as it is in the list, which only a thread with the GIL changes.
        unsafe {
            let Ok(module) = import(c"asyncio") else {
                ffi::PyErr_Clear();
                return;
            };
            let Some(function) = attribute(module.as_ptr(), c"all_tasks") else {
                return;
            };
            match Owned::new(ffi::PyObject_CallOneArg(function.as_ptr(), loop_.object())) {
                Ok(tasks) => each(&tasks, |task| found.extend(weak(task))),
                Err(_) => ffi::PyErr_Clear(),
            }
        }
    }
}

/// What asyncio keeps in Python: tasks that are not its own, or that start eagerly.
unsafe fn others(found: &mut Vec<Owned>) {
    // SAFETY: sets of weak references and of tasks, which nothing changes within a slice.
    unsafe {
        let Ok(module) = import(c"asyncio.tasks") else {
            ffi::PyErr_Clear();
            return;
        };
        for name in [c"_scheduled_tasks", c"_all_tasks"] {
            if let Some(set) = attribute(module.as_ptr(), name)
                && let Some(data) = attribute(set.as_ptr(), c"data")
            {
                each(&data, |weak| found.push(Owned::from_borrowed(weak)));
            }
        }
        if let Some(eager) = attribute(module.as_ptr(), c"_eager_tasks") {
            each(&eager, |task| found.extend(weak(task)));
        }
    }
}

unsafe fn each(container: &Owned, mut what: impl FnMut(*mut ffi::PyObject)) {
    // SAFETY: iterating a set runs no Python code.
    unsafe {
        let Ok(iterator) = Owned::new(ffi::PyObject_GetIter(container.as_ptr())) else {
            ffi::PyErr_Clear();
            return;
        };
        loop {
            match Owned::new(ffi::PyIter_Next(iterator.as_ptr())) {
                Ok(item) => what(item.as_ptr()),
                Err(_) => {
                    ffi::PyErr_Clear();
                    return;
                }
            }
        }
    }
}
