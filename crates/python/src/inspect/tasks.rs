//! Which tasks there are: each is shown once to whoever asks, in slices.
//!
//! Called once a walk. No reference is kept over the end of a slice but weak ones: a task that ends meanwhile must end as if nobody looked,
//! and not later and in this thread. These are bookmarks, at the last tasks that were shown: it goes on behind the last one of them
//! that is still in its list.
//! Rejected: weak references to all tasks first. They are objects that the collector counts, so that a look at 100,000 tasks made it
//! collect everything, which held the loop for 0.2 s.

use super::hold::{Hold, Stopped};
use super::loops;
use super::tables::attribute;
use crate::door::import;
use crate::ffi::owned::Owned;
use crate::task::registry;
use pyo3_ffi as ffi;
use std::collections::HashSet;
use std::ptr;

/// As many tasks may end in one pause without its place in the list being lost.
const BOOKMARKS: usize = 64;

/// Shows all tasks that are not done, of every loop; how many ended before they could be shown.
///
/// # Safety
/// The GIL is held through `hold`.
pub unsafe fn each(
    hold: &mut Hold,
    mut show: impl FnMut(*mut ffi::PyObject),
) -> Result<usize, Stopped> {
    let mut missed = 0;
    // SAFETY: the caller's contract; a task that is shown is kept alive meanwhile.
    unsafe {
        let heads = registry::heads();
        let mut known = Vec::new();
        if heads.is_empty() {
            ask_asyncio(&mut known);
        }
        others(&mut known);
        for head in heads {
            in_list(hold, head, &mut show)?;
        }
        for weak in &known {
            match object(weak) {
                Some(task) => show(task.as_ptr()),
                None => missed += 1,
            }
            hold.breathe()?;
        }
    }
    Ok(missed)
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
unsafe fn object(weak: &Owned) -> Option<Owned> {
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
    show: &mut impl FnMut(*mut ffi::PyObject),
) -> Result<(), Stopped> {
    let mut seen = HashSet::new();
    // SAFETY: nothing changes a list within a slice; after one, list and bookmarks are asked for anew.
    unsafe {
        let mut next = registry::first(head);
        while let Some(task) = next {
            let task = Owned::from_borrowed(task);
            if seen.insert(task.as_ptr().addr()) {
                show(task.as_ptr());
            }
            if !registry::heads().contains(&head) {
                break; // What the program has in its attributes let a thread end.
            }
            if !hold.is_due() && registry::is_listed(task.as_ptr()) {
                next = registry::after(head, task.as_ptr());
                continue;
            }
            let bookmarks = bookmarks(head, task);
            hold.breathe()?;
            if !registry::heads().contains(&head) {
                break; // Its thread has ended.
            }
            let place = bookmarks
                .iter()
                .find_map(|weak| object(weak).filter(|task| registry::is_listed(task.as_ptr())));
            // Where all of them have ended it begins anew, with those that it has not seen.
            next = match place {
                Some(task) => registry::after(head, task.as_ptr()),
                None => registry::first(head),
            };
        }
    }
    Ok(())
}

/// Weak references to a task and those before it, the last one first.
unsafe fn bookmarks(head: registry::Head, task: Owned) -> Vec<Owned> {
    let mut found = Vec::new();
    // SAFETY: the list is walked within the slice; making a weak reference runs no Python code.
    unsafe {
        let mut at = registry::is_listed(task.as_ptr()).then(|| task.as_ptr());
        while let Some(task) = at.filter(|_| found.len() < BOOKMARKS) {
            found.extend(weak(task));
            at = registry::before(head, task);
        }
    }
    found
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
                Ok(tasks) => items(&tasks, |task| found.extend(weak(task))),
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
                items(&data, |weak| found.push(Owned::from_borrowed(weak)));
            }
        }
        if let Some(eager) = attribute(module.as_ptr(), c"_eager_tasks") {
            items(&eager, |task| found.extend(weak(task)));
        }
    }
}

unsafe fn items(container: &Owned, mut what: impl FnMut(*mut ffi::PyObject)) {
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
