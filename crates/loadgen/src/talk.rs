//! What a connection says and what it must hear: an echo, or an HTTP response.
//!
//! Every message carries a stamp (connection and sequence number), so an answer that belongs to another connection or another
//! message is caught. The answer is compared as it arrives; nothing of it is kept but an HTTP head that is not whole yet.

use std::io;

use crate::answer::{Progress, wrong};
use crate::http::Request;

/// Bytes of the stamp: the least size of an echoed message.
pub const STAMP: usize = 16;
const HEADER_BYTE: u8 = b'H';

/// The message under way and what came of its answer.
pub enum Talk {
    Echo(Message),
    Http(Request),
}

impl Talk {
    /// A message of `size` bytes; its echo follows `header` bytes, each `H`.
    pub fn echo(number: u64, size: usize, header: usize) -> Self {
        Self::Echo(Message::new(number, size, header))
    }

    /// Forgets the last answer and stamps the next message.
    pub fn begin(&mut self, sequence: u64) {
        match self {
            Self::Echo(message) => message.begin(sequence),
            Self::Http(request) => request.begin(sequence),
        }
    }

    /// The bytes to send.
    pub fn message(&self) -> &[u8] {
        match self {
            Self::Echo(message) => &message.bytes,
            Self::Http(request) => request.bytes(),
        }
    }

    /// Checks the next piece of the answer.
    ///
    /// # Errors
    /// `InvalidData` for whatever is not the answer.
    pub fn check(&mut self, piece: &[u8]) -> io::Result<Progress> {
        match self {
            Self::Echo(message) => message.check(piece),
            Self::Http(request) => request.check(piece),
        }
    }
}

/// A message to be echoed.
pub struct Message {
    bytes: Vec<u8>,
    header: usize,
    got: usize,
}

impl Message {
    /// The connection's number, room for the sequence number, then bytes that differ from place to place.
    fn new(number: u64, size: usize, header: usize) -> Self {
        let mut bytes: Vec<u8> = (0..size)
            .map(|place| (place.wrapping_mul(31) ^ (place >> 8)) as u8)
            .collect();
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        Self {
            bytes,
            header,
            got: 0,
        }
    }

    fn begin(&mut self, sequence: u64) {
        self.bytes[8..STAMP].copy_from_slice(&sequence.to_le_bytes());
        self.got = 0;
    }

    fn check(&mut self, piece: &[u8]) -> io::Result<Progress> {
        let whole = self.header + self.bytes.len();
        if self.got + piece.len() > whole {
            return Err(wrong("more bytes came back than were sent"));
        }
        let header = piece.len().min(self.header.saturating_sub(self.got));
        let body = self.got.saturating_sub(self.header);
        let (header, echo) = piece.split_at(header);
        if header.iter().any(|&byte| byte != HEADER_BYTE)
            || echo != &self.bytes[body..body + echo.len()]
        {
            return Err(wrong("the echo differs from the message"));
        }
        self.got += piece.len();
        Ok(if self.got == whole {
            Progress::Answered
        } else {
            Progress::Pending
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_too_many_is_an_error() {
        let mut talk = Talk::echo(7, 64, 0);
        talk.begin(1);
        let extra = [talk.message(), &[0]].concat();
        assert_eq!(
            talk.check(&extra).expect_err("one more").kind(),
            io::ErrorKind::InvalidData
        );
    }

    #[test]
    fn the_echo_of_another_message_is_an_error() {
        let (mut talk, mut other) = (Talk::echo(7, 64, 0), Talk::echo(7, 64, 0));
        talk.begin(1);
        other.begin(2);
        assert!(talk.check(other.message()).is_err());
    }
}
