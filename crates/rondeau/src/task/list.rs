//! The loop's list of all its tasks, so that it can drop them when it ends. Doubly linked through the headers: a link
//! and an unlink are four stores and no allocation. A task is in it from its birth until its memory is freed, or until
//! the loop's end cuts it loose.

use std::cell::Cell;

use super::header::TaskRef;

#[derive(Default)]
pub(crate) struct TaskList {
    first: Cell<Option<TaskRef>>,
    len: Cell<usize>,
}

impl TaskList {
    /// How many tasks have memory, finished ones with a live handle or waker included.
    pub(crate) fn len(&self) -> usize {
        self.len.get()
    }

    pub(crate) fn first(&self) -> Option<TaskRef> {
        self.first.get()
    }

    /// All tasks, with a reference for each. To be called at home.
    pub(crate) fn hold_all(&self) -> Vec<TaskRef> {
        let mut all = Vec::with_capacity(self.len());
        let mut next = self.first();
        while let Some(task) = next {
            // SAFETY: in the list, so alive; the list belongs to the loop, so this is its thread.
            unsafe {
                task.hold_at_home();
                next = task.header().after.get();
            }
            all.push(task);
        }
        all
    }

    /// # Safety
    /// At home; `task` is alive and in no list.
    pub(crate) unsafe fn link(&self, task: TaskRef) {
        let second = self.first.replace(Some(task));
        // SAFETY: the new task is alive by the caller's word, the second because it is in the list.
        unsafe {
            task.header().after.set(second);
            if let Some(second) = second {
                second.header().before.set(Some(task));
            }
        }
        self.len.set(self.len.get() + 1);
    }

    /// # Safety
    /// At home; `task` is alive and in this list.
    pub(crate) unsafe fn unlink(&self, task: TaskRef) {
        // SAFETY: alive by the caller's word; its neighbours because they are in the list.
        unsafe {
            let before = task.header().before.take();
            let after = task.header().after.take();
            match before {
                Some(before) => before.header().after.set(after),
                None => self.first.set(after),
            }
            if let Some(after) = after {
                after.header().before.set(before);
            }
        }
        self.len.set(self.len.get() - 1);
    }
}
