//! Reading tasks, and writing them down: one answer in the making.
//!
//! Filled by the walk while it holds the GIL, finished without it. A native task is read by its fields, any other by the attributes that
//! asyncio's has.

use super::chain::{self, Found};
use super::hold::Held;
use super::tables::{Tables, attribute, attribute_text, text_of};
use super::waits::{self, Wait};
use super::{json, loops};
use crate::ffi::{Raised, owned::Owned};
use crate::future::cell::State;
use crate::future::layout::layout;
use crate::native_loop::{Loop, is_forked, loop_type};
use crate::task::cell::TaskRef;
use pyo3_ffi as ffi;
use std::collections::HashMap;

/// The loops, by address.
pub fn numbers() -> HashMap<usize, u64> {
    let loops = loops();
    let pairs = loops.all.iter();
    pairs
        .map(|known| (known.loop_.object().addr(), known.number))
        .collect()
}

/// What is read of one task. What it refers to is kept: a task of another kind may have made it for this look.
pub struct Task {
    /// What it waits for.
    pub waiter: Option<Owned>,
    /// Its coroutine.
    pub coro: Owned,
    /// Its loop's number; 0 where the loop is not known.
    pub loop_: u64,
    /// Requests to cancel it.
    pub cancels: u32,
}

impl Task {
    /// Whether what it waits for is not done yet.
    ///
    /// # Safety
    /// The GIL is held.
    pub unsafe fn waits(&self) -> bool {
        // SAFETY: it is kept.
        let done = |waiter: &Owned| unsafe { is_done(waiter.as_ptr()) };
        self.waiter.as_ref().is_some_and(|waiter| !done(waiter))
    }
}

/// Whether a loop is one of which this process is a fork: its tasks are the parent's.
unsafe fn is_parents(loop_: *mut ffi::PyObject) -> bool {
    // SAFETY: the caller has a live object or NULL; the type is checked before the layout is relied on.
    unsafe {
        !loop_.is_null()
            && ffi::PyObject_TypeCheck(loop_, loop_type()) != 0
            && is_forked(Loop::from_object(loop_))
    }
}

/// Reads a task; None where it is done, or another process's.
///
/// # Safety
/// The task lives and the GIL is held.
pub unsafe fn read(object: *mut ffi::PyObject, numbers: &HashMap<usize, u64>) -> Option<Task> {
    // SAFETY: the caller has a live task; what its fields refer to lives until Python code runs.
    unsafe {
        if ffi::PyObject_TypeCheck(object, layout().task) != 0 {
            let task = TaskRef::of(object);
            let cell = task.cell();
            if cell.future.state != State::Pending
                || (*task.coro()).is_null()
                || is_parents(cell.future.loop_)
            {
                return None;
            }
            return Some(Task {
                waiter: (!cell.waiter.is_null()).then(|| Owned::from_borrowed(cell.waiter)),
                coro: Owned::from_borrowed(*task.coro()),
                loop_: numbers.get(&cell.future.loop_.addr()).copied().unwrap_or(0),
                cancels: cell.cancels + u32::from(cell.must_cancel && cell.cancels == 0),
            });
        }
        let none = ffi::Py_None();
        let given = |name| attribute(object, name).filter(|found| found.as_ptr() != none);
        let coro = given(c"_coro")?;
        if attribute(object, c"_state").is_some_and(|state| text_of(state.as_ptr()) != "PENDING") {
            return None;
        }
        let waiter = given(c"_fut_waiter");
        let cancels = match attribute(object, c"_num_cancels_requested") {
            Some(number) => {
                let number = ffi::PyLong_AsLong(number.as_ptr());
                if number == -1 {
                    ffi::PyErr_Clear();
                }
                number.max(0) as u32
            }
            None => 0,
        };
        let loop_ = attribute(object, c"_loop").map_or(0, |loop_| loop_.as_ptr().addr());
        Some(Task {
            waiter,
            coro,
            loop_: numbers.get(&loop_).copied().unwrap_or(0),
            cancels,
        })
    }
}

unsafe fn name(object: *mut ffi::PyObject) -> String {
    // SAFETY: the caller has a live task, whose `get_name` is C code or its own class's.
    unsafe {
        if ffi::PyObject_TypeCheck(object, layout().task) != 0 {
            let name = *TaskRef::of(object).name();
            if name.is_null() {
                return format!("Task-{}", TaskRef::of(object).cell().number);
            }
            if ffi::PyLong_CheckExact(name) != 0 {
                return format!("Task-{}", ffi::PyLong_AsLong(name));
            }
            return text_of(name);
        }
        let Some(get) = attribute(object, c"get_name") else {
            return "?".to_owned();
        };
        match Owned::new(ffi::PyObject_CallNoArgs(get.as_ptr())) {
            Ok(name) => text_of(name.as_ptr()),
            Err(Raised) => {
                ffi::PyErr_Clear();
                "?".to_owned()
            }
        }
    }
}

/// Whether a future is done.
///
/// # Safety
/// It lives.
pub unsafe fn is_done(future: *mut ffi::PyObject) -> bool {
    // SAFETY: the caller has a live future.
    unsafe {
        match layout().exact(future) {
            Some(native) => native.cell().state != State::Pending,
            None => attribute(future, c"_state")
                .is_some_and(|state| text_of(state.as_ptr()) != "PENDING"),
        }
    }
}

/// An answer in the making.
pub struct Answer {
    /// What many tasks have in common.
    pub tables: Tables,
    numbers: HashMap<usize, u64>,
    tasks: String,
    /// What is waited on, by address: its description, once.
    objects: HashMap<usize, String>,
    /// Tasks that ended between being listed and being read.
    pub missed: usize,
    /// What else the answer has: members, each with a comma before it.
    pub rest: String,
}

impl Answer {
    /// Nothing yet. With the GIL held.
    pub fn new() -> Answer {
        Answer {
            tables: Tables::default(),
            numbers: numbers(),
            tasks: String::new(),
            objects: HashMap::new(),
            missed: 0,
            rest: String::new(),
        }
    }

    /// Reads and writes one task; what was found of it, where it is not done.
    ///
    /// # Safety
    /// The task lives and the GIL is held.
    pub unsafe fn add(&mut self, object: *mut ffi::PyObject) -> Option<(Task, Found)> {
        // SAFETY: the caller has a live task and keeps the GIL.
        unsafe {
            let task = read(object, &self.numbers)?;
            let mut found = chain::follow(&mut self.tables, &task.coro);
            let waits = task.waits();
            let state = match () {
                () if found.running => "running",
                () if waits => "waiting",
                () if found.fresh => "new",
                () => "ready",
            };
            let wait = task.waiter.as_ref().filter(|_| waits).map(|waiter| {
                let known = found.whole.take().or_else(|| found.inner.take());
                known.unwrap_or_else(|| waits::of_future(waiter))
            });
            let out = &mut self.tasks;
            if !out.is_empty() {
                out.push(',');
            }
            json::number(out, format_args!("[{},", object.addr()));
            json::text(out, &name(object));
            let stack = self.tables.stack(&found.stack);
            json::number(
                out,
                format_args!(r#",{},"{state}",{},{stack},"#, task.loop_, task.cancels),
            );
            match &wait {
                Some(wait) => self.wait(wait),
                None => self.tasks.push_str("null"),
            }
            let out = &mut self.tasks;
            out.push(',');
            found.holds.sort_unstable_by_key(|lock| lock.as_ptr());
            found.holds.dedup_by_key(|lock| lock.as_ptr());
            json::list(out, &found.holds, |out, lock| {
                json::number(out, lock.as_ptr().addr())
            });
            out.push(',');
            json::seconds(out, found.until);
            out.push(']');
            for lock in &found.holds {
                self.object(lock.as_ptr());
            }
            Some((task, found))
        }
    }

    unsafe fn wait(&mut self, wait: &Wait) {
        let out = &mut self.tasks;
        json::number(
            out,
            format_args!(
                r#"["{}",{},"#,
                wait.kind,
                wait.object
                    .as_ref()
                    .map_or(0, |object| object.as_ptr().addr())
            ),
        );
        json::text(out, &wait.text);
        out.push(',');
        json::list(out, &wait.tasks, |out, task| {
            json::number(out, task.as_ptr().addr())
        });
        json::number(out, format_args!(",{},", wait.open));
        json::seconds(out, wait.due);
        out.push(']');
        if let Some(object) = &wait.object {
            // SAFETY: what is waited on is kept.
            unsafe { self.object(object.as_ptr()) };
        }
    }

    /// Describes what is waited on: its class, and what its attributes say of its state.
    unsafe fn object(&mut self, object: *mut ffi::PyObject) {
        if self.objects.contains_key(&object.addr()) {
            return;
        }
        let mut text = String::new();
        // SAFETY: the caller has a live object; the attributes are read by C code, or from its dict.
        unsafe {
            let kind = Owned::from_borrowed(ffi::Py_TYPE(object).cast());
            json::text(&mut text, &attribute_text(kind.as_ptr(), c"__name__"));
            text.push_str(",{");
            let mut first = true;
            let mut put = |key: &str, value: String| {
                if !std::mem::take(&mut first) {
                    text.push(',');
                }
                json::number(&mut text, format_args!("\"{key}\":{value}"));
            };
            if waits::has_class(object, &["Lock"])
                && let Some(locked) = attribute(object, c"_locked")
            {
                put("locked", (locked.as_ptr() == ffi::Py_True()).to_string());
            }
            if waits::has_class(object, &["Semaphore"])
                && let Some(value) = integer(object, c"_value")
            {
                put("value", value.to_string());
            }
            if waits::has_class(object, &["Queue"]) {
                if let Some(items) = attribute(object, c"_queue") {
                    let size = ffi::PyObject_Size(items.as_ptr());
                    if size < 0 {
                        ffi::PyErr_Clear();
                    } else {
                        put("size", size.to_string());
                    }
                }
                if let Some(most) = integer(object, c"_maxsize") {
                    put("maxsize", most.to_string());
                }
            }
            text.push('}');
        }
        self.objects.insert(object.addr(), text);
    }

    /// The whole text. Needs no GIL.
    pub fn finish(&self, held: Held) -> String {
        let mut out = String::with_capacity(self.tasks.len() + self.rest.len() + 4096);
        json::number(
            &mut out,
            format_args!(
                r#"{{"slices":{},"missed":{},"longest":"#,
                held.slices, self.missed
            ),
        );
        json::seconds(&mut out, Some(held.longest as f64 / 1e9));
        self.tables.write(&mut out);
        out.push_str(r#","objects":{"#);
        for (index, (address, text)) in self.objects.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            json::number(&mut out, format_args!("\"{address}\":[{text}]"));
        }
        out.push_str(r#"},"tasks":["#);
        out.push_str(&self.tasks);
        out.push(']');
        out.push_str(&self.rest);
        out.push('}');
        out
    }
}

/// `object.name`, where it is a number.
///
/// # Safety
/// The object lives.
pub unsafe fn integer(object: *mut ffi::PyObject, name: &std::ffi::CStr) -> Option<i64> {
    // SAFETY: the caller has a live object; the type is checked.
    unsafe {
        let found = attribute(object, name)?;
        if ffi::PyLong_CheckExact(found.as_ptr()) == 0 {
            return None;
        }
        let value = ffi::PyLong_AsLongLong(found.as_ptr());
        if value == -1 {
            ffi::PyErr_Clear();
        }
        Some(value)
    }
}
