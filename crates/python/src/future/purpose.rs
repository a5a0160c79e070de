//! What a future is for: one byte in each, written by whoever makes it, read by the recorder and by who lists what tasks wait for. And what
//! each is called: one table for a recording and for `ps`.

/// What somebody waits for who awaits a future.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// Nobody said: a future of the program's.
    Future = 0,
    /// A sleep's end.
    Timer = 1,
    /// `Queue.get`.
    QueueGet = 2,
    /// `Queue.put`.
    QueuePut = 3,
    /// `Queue.join`.
    QueueJoin = 4,
    /// `Lock.acquire`.
    Lock = 5,
    /// `Event.wait`.
    Event = 6,
    /// `Condition.wait`.
    Condition = 7,
    /// `Semaphore.acquire`.
    Semaphore = 8,
    /// All children of a gather.
    Gather = 9,
    /// `wait`.
    Wait = 10,
    /// The inside of a shield.
    Shield = 11,
    /// A task (which is one itself: no future says so).
    Task = 12,
    /// The tasks of a group.
    Group = 13,
    /// A job of an executor.
    Thread = 14,
    /// Data to read.
    SocketRead = 15,
    /// Room to write.
    SocketWrite = 16,
    /// A connection to accept.
    SocketAccept = 17,
    /// A connection to be made.
    SocketConnect = 18,
    /// The end of a subprocess.
    Subprocess = 19,
    /// An operation on a file.
    File = 20,
    /// A future that is not native.
    Foreign = 21,
    /// Something else.
    Other = 22,
    /// The end of a connection.
    SocketClose = 23,
}

/// How a wait is called.
#[derive(Clone, Copy)]
pub struct Words {
    purpose: Purpose,
    /// Its group, as a recording has it.
    pub kind: &'static str,
    /// What a recording says of it, where no more is known.
    pub text: &'static str,
    /// What `ps` says.
    pub short: &'static str,
}

const fn row(
    purpose: Purpose,
    kind: &'static str,
    text: &'static str,
    short: &'static str,
) -> Words {
    Words {
        purpose,
        kind,
        text,
        short,
    }
}

#[rustfmt::skip]
const TABLE: [Words; 24] = [
    row(Purpose::Future, "future", "", "future"),
    row(Purpose::Timer, "timer", "sleep", "timer"),
    row(Purpose::QueueGet, "queue", "Queue.get", "queue get"),
    row(Purpose::QueuePut, "queue", "Queue.put", "queue put"),
    row(Purpose::QueueJoin, "queue", "Queue.join", "queue join"),
    row(Purpose::Lock, "lock", "Lock.acquire", "lock"),
    row(Purpose::Event, "event", "Event.wait", "event"),
    row(Purpose::Condition, "condition", "Condition.wait", "condition"),
    row(Purpose::Semaphore, "semaphore", "Semaphore.acquire", "semaphore"),
    row(Purpose::Gather, "task", "gather", "gather"),
    row(Purpose::Wait, "task", "wait", "wait"),
    row(Purpose::Shield, "task", "shield", "shield"),
    row(Purpose::Task, "task", "await", "task"),
    row(Purpose::Group, "task", "TaskGroup", "group"),
    row(Purpose::Thread, "thread", "run_in_executor", "thread"),
    row(Purpose::SocketRead, "socket", "read", "read"),
    row(Purpose::SocketWrite, "socket", "write", "write"),
    row(Purpose::SocketAccept, "socket", "accept", "accept"),
    row(Purpose::SocketConnect, "socket", "connect", "connect"),
    row(Purpose::Subprocess, "subprocess", "Process.wait", "process"),
    row(Purpose::File, "file", "file", "file"),
    row(Purpose::Foreign, "future", "a future that is not native", "future"),
    row(Purpose::Other, "other", "", "future"),
    row(Purpose::SocketClose, "socket", "close", "close"),
];

// Each purpose is its row's number.
const _: () = {
    let mut number = 0;
    while number < TABLE.len() {
        assert!(TABLE[number].purpose as usize == number);
        number += 1;
    }
};

impl Purpose {
    /// How a wait for it is called.
    pub const fn words(self) -> Words {
        TABLE[self as usize]
    }

    /// What `ps` says of it.
    pub const fn short(self) -> &'static str {
        self.words().short
    }

    /// The purpose that has this number; `Other` for none's.
    pub fn of(number: u8) -> Purpose {
        TABLE
            .get(usize::from(number))
            .map_or(Purpose::Other, |words| words.purpose)
    }
}
