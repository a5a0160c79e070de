//! The functions whose wait is known: asyncio's and ours, under one name.
//!
//! What their waits are called is a future's purpose, where one has it: recordings and `ps` share that table.
//! Asked for each code object once, and for each native coroutine. A function of another folder is none of these, whatever its name.

use crate::future::Purpose;

/// What a known function says of its wait.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// It waits on the object.
    Plain,
    /// The same, whatever it awaits inside.
    Whole,
    /// Until a time.
    Timer,
    /// On the peer of the object's connection.
    Socket,
    /// The same, whatever it awaits inside.
    WholeSocket,
    /// On the tasks that the object has.
    Tasks,
    /// It enters the object, which the frame before it already seems to hold.
    Enter,
    /// It ends what it awaits when a timer comes.
    Limit,
}

/// A function whose wait is known.
pub struct Known {
    /// Its qualified name.
    pub name: &'static str,
    /// On what it waits, in a word or two.
    pub kind: &'static str,
    /// The object is the first of one of these classes that its frame refers to.
    pub classes: &'static [&'static str],
    /// What it says.
    pub how: How,
}

const fn known(
    name: &'static str,
    kind: &'static str,
    classes: &'static [&'static str],
    how: How,
) -> Known {
    Known {
        name,
        kind,
        classes,
        how,
    }
}

/// A function that waits for what a future can be for, and is called so.
const fn of(
    name: &'static str,
    purpose: Purpose,
    classes: &'static [&'static str],
    how: How,
) -> Known {
    known(name, purpose.short(), classes, how)
}

#[rustfmt::skip]
static KNOWN: &[Known] = &[
    of("sleep", Purpose::Timer, &["TimerHandle"], How::Timer),
    of("Lock.acquire", Purpose::Lock, &["Lock"], How::Plain),
    of("_ContextManagerMixin.__aenter__", Purpose::Lock, &["Lock", "Semaphore", "Condition"], How::Enter),
    of("Semaphore.acquire", Purpose::Semaphore, &["Semaphore"], How::Plain),
    of("Event.wait", Purpose::Event, &["Event"], How::Plain),
    of("Condition.wait", Purpose::Condition, &["Condition"], How::Plain),
    known("Barrier.wait", "barrier", &["Barrier"], How::Whole),
    of("Queue.get", Purpose::QueueGet, &["Queue"], How::Plain),
    of("Queue.put", Purpose::QueuePut, &["Queue"], How::Plain),
    of("Queue.join", Purpose::QueueJoin, &["Queue"], How::Whole),
    of("_wait", Purpose::Wait, &["set", "frozenset"], How::Tasks),
    of("wait", Purpose::Wait, &["list"], How::Tasks),
    known("wait_for", "wait_for", &["Task", "Future"], How::Limit),
    of("TaskGroup.__aexit__", Purpose::Group, &["TaskGroup"], How::Tasks),
    of("TaskGroup._aexit", Purpose::Group, &["TaskGroup"], How::Tasks),
    of("StreamReader._wait_for_data", Purpose::SocketRead, &["StreamReader"], How::Socket),
    of("StreamReader.read", Purpose::SocketRead, &["StreamReader"], How::Socket),
    of("StreamReader.readline", Purpose::SocketRead, &["StreamReader"], How::Socket),
    of("StreamReader.readuntil", Purpose::SocketRead, &["StreamReader"], How::Socket),
    of("StreamReader.readexactly", Purpose::SocketRead, &["StreamReader"], How::Socket),
    of("StreamWriter.drain", Purpose::SocketWrite, &["StreamWriter"], How::WholeSocket),
    of("StreamWriter.wait_closed", Purpose::SocketClose, &["StreamWriter"], How::WholeSocket),
    known("Server.serve_forever", "serve", &["Server"], How::Plain),
    known("Server.wait_closed", "close", &["Server"], How::Plain),
    of("to_thread", Purpose::Thread, &[], How::Whole),
    known("BaseEventLoop.getaddrinfo", "name look-up", &[], How::Whole),
    known("BaseEventLoop.getnameinfo", "name look-up", &[], How::Whole),
    of("BaseEventLoop.shutdown_default_executor", Purpose::Thread, &[], How::Whole),
    of("Process.wait", Purpose::Subprocess, &["Process"], How::Whole),
    of("Process.communicate", Purpose::Subprocess, &["Process"], How::Whole),
    of("BaseSubprocessTransport._wait", Purpose::Subprocess, &["BaseSubprocessTransport"], How::Whole),
    of("SubprocessTransport._wait", Purpose::Subprocess, &["SubprocessTransport"], How::Whole),
];

impl Known {
    /// By a code object's file and qualified name.
    pub fn of_code(file: &str, name: &str) -> Option<&'static Known> {
        let folder = file.rsplit('/').nth(1)?;
        if folder != "asyncio" && folder != "rondeau" {
            return None;
        }
        Known::of_native(name)
    }

    /// By a native coroutine's qualified name.
    pub fn of_native(name: &str) -> Option<&'static Known> {
        KNOWN.iter().find(|known| known.name == name)
    }
}
