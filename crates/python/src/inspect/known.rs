//! The functions whose wait is known: asyncio's and ours, under one name.
//!
//! Asked for each code object once, and for each native coroutine. A function of another folder is none of these, whatever its name.

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

#[rustfmt::skip]
static KNOWN: &[Known] = &[
    known("sleep", "timer", &["TimerHandle"], How::Timer),
    known("Lock.acquire", "lock", &["Lock"], How::Plain),
    known("_ContextManagerMixin.__aenter__", "lock", &["Lock", "Semaphore", "Condition"], How::Enter),
    known("Semaphore.acquire", "semaphore", &["Semaphore"], How::Plain),
    known("Event.wait", "event", &["Event"], How::Plain),
    known("Condition.wait", "condition", &["Condition"], How::Plain),
    known("Barrier.wait", "barrier", &["Barrier"], How::Whole),
    known("Queue.get", "queue get", &["Queue"], How::Plain),
    known("Queue.put", "queue put", &["Queue"], How::Plain),
    known("Queue.join", "queue join", &["Queue"], How::Whole),
    known("_wait", "wait", &["set", "frozenset"], How::Tasks),
    known("wait", "wait", &["list"], How::Tasks),
    known("wait_for", "wait_for", &["Task", "Future"], How::Limit),
    known("TaskGroup.__aexit__", "group", &["TaskGroup"], How::Tasks),
    known("TaskGroup._aexit", "group", &["TaskGroup"], How::Tasks),
    known("StreamReader._wait_for_data", "read", &["StreamReader"], How::Socket),
    known("StreamReader.read", "read", &["StreamReader"], How::Socket),
    known("StreamReader.readline", "read", &["StreamReader"], How::Socket),
    known("StreamReader.readuntil", "read", &["StreamReader"], How::Socket),
    known("StreamReader.readexactly", "read", &["StreamReader"], How::Socket),
    known("StreamWriter.drain", "write", &["StreamWriter"], How::WholeSocket),
    known("StreamWriter.wait_closed", "close", &["StreamWriter"], How::WholeSocket),
    known("Server.serve_forever", "serve", &["Server"], How::Plain),
    known("Server.wait_closed", "close", &["Server"], How::Plain),
    known("to_thread", "thread", &[], How::Whole),
    known("BaseEventLoop.getaddrinfo", "name look-up", &[], How::Whole),
    known("BaseEventLoop.getnameinfo", "name look-up", &[], How::Whole),
    known("BaseEventLoop.shutdown_default_executor", "thread", &[], How::Whole),
    known("Process.wait", "process", &["Process"], How::Whole),
    known("Process.communicate", "process", &["Process"], How::Whole),
    known("BaseSubprocessTransport._wait", "process", &["BaseSubprocessTransport"], How::Whole),
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
