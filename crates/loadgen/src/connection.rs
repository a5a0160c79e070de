//! One connection of the closed loop: sends its message, checks each byte of the echo, says when it is whole.
//!
//! Every message starts with a stamp (connection and sequence number), so an echo that belongs to another connection or
//! another message is caught. The reply is compared as it arrives; nothing is kept.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};

/// Bytes of the stamp: the least size of a message.
pub const STAMP: usize = 16;
const HEADER_BYTE: u8 = b'H';

/// Where a connection stands after the kernel said that it is ready.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum Progress {
    /// The echo is not whole yet.
    Pending,
    /// The whole echo came and was right; [`Connection::start`] sends the next message.
    Echoed,
}

/// A non-blocking TCP connection and its message under way.
pub struct Connection {
    stream: TcpStream,
    message: Vec<u8>,
    header: usize,
    sent: usize,
    got: usize,
}

impl Connection {
    /// Connects (blocking), then goes non-blocking with TCP_NODELAY.
    ///
    /// # Errors
    /// Those of `connect(2)` and of setting the options.
    pub fn open(address: SocketAddr, number: u64, size: usize, header: usize) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            message: message(number, size),
            header,
            sent: 0,
            got: 0,
        })
    }

    /// Begins the message with this sequence number. Whole echo of the one before must have come.
    ///
    /// # Errors
    /// Those of `send(2)`, but for a full socket buffer.
    pub fn start(&mut self, sequence: u64) -> io::Result<()> {
        self.message[8..STAMP].copy_from_slice(&sequence.to_le_bytes());
        (self.sent, self.got) = (0, 0);
        self.send()
    }

    /// Sends what the socket takes.
    ///
    /// # Errors
    /// Those of `send(2)`, but for a full socket buffer.
    pub fn send(&mut self) -> io::Result<()> {
        while self.sent < self.message.len() {
            match self.stream.write(&self.message[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether part of the message waits for room in the socket buffer.
    pub fn wants_room(&self) -> bool {
        self.sent < self.message.len()
    }

    /// Reads once and checks what came.
    ///
    /// # Errors
    /// `InvalidData` for a wrong byte or one too many, `UnexpectedEof` when the server closed, else those of `recv(2)`.
    pub fn receive(&mut self, room: &mut [u8]) -> io::Result<Progress> {
        match self.stream.read(room) {
            Ok(0) => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the server closed the connection",
            )),
            Ok(count) => self.check(&room[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Progress::Pending),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(Progress::Pending),
            Err(error) => Err(error),
        }
    }

    fn check(&mut self, piece: &[u8]) -> io::Result<Progress> {
        let wrong = |what: &str| Err(io::Error::new(io::ErrorKind::InvalidData, what));
        let whole = self.header + self.message.len();
        if self.got + piece.len() > whole {
            return wrong("more bytes came back than were sent");
        }
        let header = piece.len().min(self.header.saturating_sub(self.got));
        let body = self.got.saturating_sub(self.header);
        let (header, echo) = piece.split_at(header);
        if header.iter().any(|&byte| byte != HEADER_BYTE)
            || echo != &self.message[body..body + echo.len()]
        {
            return wrong("the echo differs from the message");
        }
        self.got += piece.len();
        if self.got == whole {
            Ok(Progress::Echoed)
        } else {
            Ok(Progress::Pending)
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// The connection's number, room for the sequence number, then bytes that differ from place to place.
fn message(number: u64, size: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..size)
        .map(|place| (place.wrapping_mul(31) ^ (place >> 8)) as u8)
        .collect();
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn pair(header: usize) -> (Connection, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let address = listener.local_addr().expect("bound");
        let mut connection = Connection::open(address, 7, 64, header).expect("listening");
        let (server, _) = listener.accept().expect("connected");
        connection.start(1).expect("room for 64 bytes");
        (connection, server)
    }

    fn until_settled(connection: &mut Connection) -> io::Result<Progress> {
        let mut room = [0; 256];
        connection.stream.set_nonblocking(false)?;
        loop {
            match connection.receive(&mut room)? {
                Progress::Pending => {}
                Progress::Echoed => return Ok(Progress::Echoed),
            }
        }
    }

    #[test]
    fn an_echo_in_pieces_after_its_header_is_accepted() {
        let (mut connection, mut server) = pair(3);
        let mut message = [0; 64];
        server.read_exact(&mut message).expect("sent");
        for piece in [&b"HH"[..], b"H", &message[..10], &message[10..]] {
            server.write_all(piece).expect("open");
        }
        assert_eq!(
            until_settled(&mut connection).expect("right"),
            Progress::Echoed
        );
    }

    #[test]
    fn a_wrong_byte_is_an_error() {
        let (mut connection, mut server) = pair(0);
        let mut message = [0; 64];
        server.read_exact(&mut message).expect("sent");
        message[63] ^= 1;
        server.write_all(&message).expect("open");
        assert_eq!(
            until_settled(&mut connection).expect_err("wrong").kind(),
            io::ErrorKind::InvalidData
        );
    }

    #[test]
    fn a_byte_too_many_is_an_error() {
        let (mut connection, _server) = pair(0);
        let extra = [connection.message.clone(), vec![0]].concat();
        assert_eq!(
            connection.check(&extra).expect_err("one more").kind(),
            io::ErrorKind::InvalidData
        );
    }

    #[test]
    fn a_server_that_closes_is_an_error() {
        let (mut connection, mut server) = pair(0);
        server.read_exact(&mut [0; 64]).expect("sent");
        drop(server);
        assert_eq!(
            until_settled(&mut connection).expect_err("closed").kind(),
            io::ErrorKind::UnexpectedEof
        );
    }
}
