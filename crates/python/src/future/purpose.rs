//! What a future is for: one byte in each, written by whoever makes it, read by the recorder and by who lists what tasks wait for.

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
