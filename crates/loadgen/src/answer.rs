//! What a message's answer can be: not whole yet, whole and right, or wrong. Said by each kind of talk.

use std::io;

/// Where a connection stands after the kernel said that it is ready.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum Progress {
    /// The answer is not whole yet.
    Pending,
    /// The whole answer came and was right; the next message may be sent.
    Answered,
}

/// The error for an answer that is none.
pub fn wrong(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}
