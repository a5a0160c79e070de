//! On what a task waits: what the known functions of asyncio and of this crate say about themselves, and the futures about theirs.
//!
//! Called along the chain and at its end. A function is known by its name and its folder, asyncio's or ours, and native ones by the name
//! that they share with asyncio's; the object is the first of the right class that its frame refers to. So each Python's own code and the
//! native forms are one table, and nothing is noted while the loop runs.

use super::chain::Found;
use super::known::{How, Known};
use super::tables::{attribute, referents, text_of};
use crate::coroutine::CoroRef;
use crate::ffi::owned::Owned;
use crate::future::Purpose;
use crate::future::cell::State;
use crate::future::door::door;
use crate::future::layout::layout;
use crate::native_loop::Loop;
use crate::seconds::plain_seconds;
use crate::sock_calls::Waits;
use crate::{gather, handle, shield, sleep, transport};
use pyo3_ffi as ffi;
use rondeau_driver::{SockAddr, socket};
use std::collections::HashSet;
use std::ffi::CStr;

/// On what a task waits.
pub struct Wait {
    /// In a word or two.
    pub kind: &'static str,
    /// The lock, queue, future …, where there is one.
    pub object: Option<Owned>,
    /// What else can be said: a peer, a process.
    pub text: String,
    /// The tasks that it waits for.
    pub tasks: Vec<Owned>,
    /// Something that is no task can end it as well.
    pub open: bool,
    /// A timer's time, on the loop's clock.
    pub due: Option<f64>,
}

impl Wait {
    fn new(kind: &'static str, object: Option<Owned>) -> Wait {
        Wait {
            kind,
            object,
            text: String::new(),
            tasks: Vec::new(),
            open: false,
            due: None,
        }
    }

    /// A `sock_*` call's.
    pub fn socket(waits: Waits) -> Wait {
        let mut wait = Wait::new(waits.kind, None);
        wait.text = socket::peer_addr(waits.fd).map_or_else(
            |_| format!("descriptor {}", waits.fd),
            |peer| address(&peer),
        );
        wait
    }
}

/// Whether the object's class, or one that it inherits from, has one of these names; a native half's underscore does not count.
///
/// # Safety
/// The object lives.
pub unsafe fn has_class(object: *mut ffi::PyObject, names: &[&str]) -> bool {
    // SAFETY: a type's bases live as long as it does; names end in NUL.
    unsafe {
        let mut kind = ffi::Py_TYPE(object);
        while !kind.is_null() {
            let name = CStr::from_ptr((*kind).tp_name).to_bytes();
            let last = name.rsplit(|byte| *byte == b'.').next().unwrap_or(name);
            let last = last.strip_prefix(b"_").unwrap_or(last);
            if names.iter().any(|wanted| wanted.as_bytes() == last) {
                return true;
            }
            kind = (*kind).tp_base;
        }
        false
    }
}

/// A link's function is a known one: notes what it says. `coro` where it is native.
///
/// # Safety
/// The objects live.
pub unsafe fn note(
    found: &mut Found,
    known: &'static Known,
    held: &[Owned],
    coro: Option<CoroRef>,
) {
    // SAFETY: the caller's contract.
    unsafe {
        let object = held
            .iter()
            .find(|object| has_class(object.as_ptr(), known.classes));
        if known.kind == Purpose::Condition.short()
            && let Some(object) = object
        {
            // It has given the lock back until it has been told, and has it again.
            let lock = lock_of(object);
            found.holds.retain(|held| held.as_ptr() != lock.as_ptr());
        }
        let mut wait = Wait::new(known.kind, object.cloned());
        match known.how {
            How::Timer => {
                wait.due = match coro {
                    Some(coro) => sleep::ends_at(coro),
                    None => timer_of(held),
                };
                // An asyncio.sleep(0) has no timer: it gives way, and is ready.
                if wait.due.is_none() {
                    return;
                }
                wait.object = None;
            }
            How::Socket | How::WholeSocket => {
                wait.text = object
                    .and_then(|object| peer_of(object))
                    .unwrap_or_default();
            }
            How::Tasks => {
                let Some(object) = object else {
                    return;
                };
                let inside = attribute(object.as_ptr(), c"_tasks");
                let list = inside.as_ref().unwrap_or(object);
                for child in referents(list.as_ptr()) {
                    expand(child, &mut wait);
                }
                wait.object = None;
                match coro {
                    Some(coro) if coro.cell().timer.is_some() => found.limit(f64::INFINITY),
                    Some(_) => {}
                    None => {
                        if let Some(when) = timer_of(held) {
                            found.limit(when);
                        }
                    }
                }
            }
            How::Limit => {
                // From 3.12 on it is a block with a time-out, which is found on its frame; the native form holds one.
                for held in held {
                    if let Some(when) = limit_of(held.as_ptr()) {
                        found.limit(when);
                    }
                }
                if let Some(when) = timer_of(held) {
                    found.limit(when);
                    if let Some(object) = object {
                        expand(object.clone(), &mut wait);
                        wait.object = None;
                        found.inner = Some(wait);
                    }
                }
                return;
            }
            How::Enter => {
                let Some(object) = object else {
                    return;
                };
                let lock = lock_of(object);
                let same = |held: &Owned| held.as_ptr() == lock.as_ptr();
                if let Some(index) = found.holds.iter().rposition(same) {
                    found.holds.remove(index);
                }
                if has_class(lock.as_ptr(), &["Semaphore"]) {
                    wait.kind = Purpose::Semaphore.short();
                }
                wait.object = Some(lock);
            }
            How::Plain | How::Whole => {
                if let Some(object) = object
                    && known.kind == Purpose::Subprocess.short()
                {
                    wait.text = process_of(object.as_ptr());
                    wait.object = None;
                }
            }
        }
        if matches!(known.how, How::Whole | How::WholeSocket) {
            found.whole.get_or_insert(wait);
        } else {
            found.inner = Some(wait);
        }
    }
}

/// What a task waits on whose chain said nothing: the future itself.
///
/// # Safety
/// The GIL is held.
pub unsafe fn of_future(future: &Owned) -> Wait {
    // SAFETY: it is kept.
    unsafe {
        if ffi::PyObject_TypeCheck(future.as_ptr(), door().task_base) != 0 {
            let mut wait = Wait::new(Purpose::Task.short(), None);
            expand(future.clone(), &mut wait);
            return wait;
        }
        let mut wait = Wait::new(Purpose::Future.short(), Some(future.clone()));
        expand(future.clone(), &mut wait);
        let future = future.as_ptr();
        if !wait.tasks.is_empty() {
            let gathers = gather::is_outer(future) || has_class(future, &["GatheringFuture"]);
            let purpose = if gathers {
                Purpose::Gather
            } else {
                Purpose::Shield
            };
            wait.kind = purpose.short();
            wait.object = None;
        } else if let Some(kind) = purpose(future) {
            wait.kind = kind;
            wait.object = None;
        } else {
            wait.open = false;
        }
        wait
    }
}

/// What a future is for, as it says itself, or as its callbacks tell.
unsafe fn purpose(future: *mut ffi::PyObject) -> Option<&'static str> {
    // SAFETY: the entries live as long as the future is not touched.
    unsafe {
        let cell = layout().exact(future)?.cell();
        if matches!(
            cell.purpose,
            Purpose::Thread
                | Purpose::Subprocess
                | Purpose::File
                | Purpose::SocketRead
                | Purpose::SocketWrite
                | Purpose::SocketAccept
                | Purpose::SocketConnect
                | Purpose::Timer
        ) {
            return Some(cell.purpose.short());
        }
        let more = cell.more.iter().flat_map(|more| more.iter());
        for entry in std::iter::once(&cell.first).chain(more) {
            // asyncio's is a function, and the name of a function is read without a line of the program's.
            if entry.is_empty()
                || entry.is_task()
                || entry.is_observer()
                || ffi::Py_TYPE(entry.object()) != &raw mut ffi::PyFunction_Type
            {
                continue;
            }
            let name = attribute(entry.object(), c"__qualname__")?;
            if text_of(name.as_ptr()).starts_with("_chain_future.") {
                return Some(Purpose::Thread.short());
            }
        }
        None
    }
}

/// Adds the tasks that a future stands for, in order; what is none makes the wait open.
unsafe fn expand(future: Owned, wait: &mut Wait) {
    // A gather of gathers may be deep, and one of the program's own making without an end.
    let mut seen = HashSet::new();
    let mut rest = vec![future];
    // SAFETY: what is on the list is kept.
    unsafe {
        while let Some(kept) = rest.pop() {
            let future = kept.as_ptr();
            if ffi::PyObject_TypeCheck(future, door().future_base) == 0 {
                continue;
            }
            if let Some(native) = layout().exact(future)
                && native.cell().state != State::Pending
            {
                continue;
            }
            if ffi::PyObject_TypeCheck(future, door().task_base) != 0 {
                wait.tasks.push(kept);
                continue;
            }
            if !seen.insert(future.addr()) {
                continue;
            }
            if gather::is_outer(future) {
                let children = gather::children_of(future).iter().rev();
                rest.extend(children.map(|child| Owned::from_borrowed(*child)));
            } else if has_class(future, &["GatheringFuture"])
                && let Some(children) = attribute(future, c"_children")
            {
                rest.extend(referents(children.as_ptr()).into_iter().rev());
            } else if let Some(inner) = shielded(future) {
                rest.push(inner);
            } else {
                wait.open = true;
            }
        }
    }
}

/// What a shield's outer future stands before.
unsafe fn shielded(outer: *mut ffi::PyObject) -> Option<Owned> {
    // SAFETY: the entries live as long as the future is not touched.
    unsafe {
        let cell = layout().exact(outer)?.cell();
        let more = cell.more.iter().flat_map(|more| more.iter());
        std::iter::once(&cell.first)
            .chain(more)
            .filter(|entry| !entry.is_empty())
            .find_map(|entry| {
                if entry.is_observer() {
                    let inner = shield::inner_of(entry.object(), outer)?;
                    return Some(Owned::from_borrowed(inner));
                }
                // asyncio's own: a function that closes over both.
                if ffi::Py_TYPE(entry.object()) != &raw mut ffi::PyFunction_Type {
                    return None;
                }
                let name = attribute(entry.object(), c"__qualname__")?;
                if !text_of(name.as_ptr()).starts_with("shield.<locals>.") {
                    return None;
                }
                let cells = attribute(entry.object(), c"__closure__")?;
                referents(cells.as_ptr())
                    .into_iter()
                    .flat_map(|cell| referents(cell.as_ptr()))
                    .find(|held| {
                        let held = held.as_ptr();
                        held != outer && ffi::PyObject_TypeCheck(held, door().future_base) != 0
                    })
            })
    }
}

/// The time of the first timer handle among these.
unsafe fn timer_of(held: &[Owned]) -> Option<f64> {
    // SAFETY: the objects live; the type is checked before its slot is read.
    unsafe {
        let kind = crate::door::door().timer_handle;
        let timer = held
            .iter()
            .find(|object| ffi::PyObject_TypeCheck(object.as_ptr(), kind) != 0)?;
        let when = *handle::slot(timer.as_ptr(), crate::door::door().slots.when);
        float_of(when)
    }
}

unsafe fn float_of(object: *mut ffi::PyObject) -> Option<f64> {
    // SAFETY: NULL or live; the type is checked first.
    unsafe {
        if object.is_null() {
            None
        } else {
            plain_seconds(object)
        }
    }
}

/// When a block ends that is in itself a time-out: asyncio's, ours, or a cancel scope of anyio's.
///
/// # Safety
/// The object lives.
pub unsafe fn limit_of(manager: *mut ffi::PyObject) -> Option<f64> {
    // SAFETY: the caller's contract.
    unsafe {
        let name = if has_class(manager, &["Timeout"]) {
            c"_when"
        } else if has_class(manager, &["CancelScope"]) {
            c"_deadline"
        } else {
            return None;
        };
        let when = attribute(manager, name)?;
        float_of(when.as_ptr()).filter(|when| when.is_finite())
    }
}

/// The lock that a manager is, or that a condition has.
///
/// # Safety
/// The GIL is held.
pub unsafe fn lock_of(manager: &Owned) -> Owned {
    // SAFETY: it is kept.
    unsafe {
        if has_class(manager.as_ptr(), &["Condition"])
            && let Some(lock) = attribute(manager.as_ptr(), c"_lock")
        {
            return lock;
        }
        manager.clone()
    }
}

fn address(addr: &SockAddr) -> String {
    match addr {
        SockAddr::Inet(inet) => inet.to_string(),
        SockAddr::Unix(path) if path.is_empty() => "a Unix socket".to_owned(),
        SockAddr::Unix(path) => String::from_utf8_lossy(path).replace('\0', "@"),
        SockAddr::Other(_) => format!("a socket of family {}", addr.family()),
    }
}

/// The peer of a stream's connection.
unsafe fn peer_of(stream: &Owned) -> Option<String> {
    // SAFETY: each object is kept.
    unsafe {
        let mut holder = attribute(stream.as_ptr(), c"_transport")?;
        let mut tls = "";
        // Below TLS is another.
        while let Some(protocol) = attribute(holder.as_ptr(), c"_ssl_protocol") {
            holder = attribute(protocol.as_ptr(), c"_transport")?;
            tls = " (TLS)";
        }
        if !transport::is_socket_transport(holder.as_ptr()) {
            let kind = CStr::from_ptr((*ffi::Py_TYPE(holder.as_ptr())).tp_name);
            return Some(kind.to_string_lossy().into_owned());
        }
        transport::peer(holder.as_ptr()).map(|peer| address(peer) + tls)
    }
}

unsafe fn process_of(object: *mut ffi::PyObject) -> String {
    // SAFETY: the caller has a live object.
    unsafe {
        let pid = attribute(object, c"pid").or_else(|| attribute(object, c"_pid"));
        match pid {
            Some(pid) if ffi::PyLong_CheckExact(pid.as_ptr()) != 0 => {
                format!("pid {}", ffi::PyLong_AsLong(pid.as_ptr()))
            }
            _ => String::new(),
        }
    }
}

/// The loop's clock, now.
///
/// # Safety
/// The loop lives.
pub unsafe fn now(loop_: Loop) -> f64 {
    // SAFETY: the caller's contract.
    unsafe { loop_.parts().clock.now().as_nanos() as f64 / 1e9 }
}
