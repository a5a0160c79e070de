//! One connection of the closed loop: sends its message, checks each byte of the echo, says when it is whole.
//!
//! Every message starts with a stamp (connection and sequence number), so an echo that belongs to another connection or
//! another message is caught. The reply is compared as it arrives; nothing is kept.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use rustls::ClientConfig;

use crate::wire::Wire;

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

/// A non-blocking TCP connection, with TLS or without, and its message under way.
pub struct Connection {
    wire: Wire,
    message: Vec<u8>,
    header: usize,
    sent: usize,
    got: usize,
}

impl Connection {
    /// Connects (blocking) with TCP_NODELAY, shakes hands where there is TLS, then goes non-blocking.
    ///
    /// # Errors
    /// Those of `connect(2)`, of the handshake and of setting the options.
    pub fn open(
        address: SocketAddr,
        tls: Option<&Arc<ClientConfig>>,
        number: u64,
        size: usize,
        header: usize,
    ) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self {
            wire: Wire::new(stream, tls)?,
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
        loop {
            let done = if self.sent < self.message.len() {
                self.wire.write(&self.message[self.sent..])
            } else if self.wire.wants_room() {
                self.wire.flush().map(|()| 0)
            } else {
                return Ok(());
            };
            match done {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether part of the message waits for room in the socket buffer.
    pub fn wants_room(&self) -> bool {
        self.sent < self.message.len() || self.wire.wants_room()
    }

    /// Reads from the socket once and checks what came.
    ///
    /// # Errors
    /// `InvalidData` for a wrong byte or one too many, `UnexpectedEof` when the server closed, else those of `recv(2)`.
    pub fn receive(&mut self, room: &mut [u8]) -> io::Result<Progress> {
        let mut received = self.wire.receive();
        loop {
            match received.and_then(|()| self.wire.read(room)) {
                Ok(0) => {
                    return Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "the server closed the connection",
                    ));
                }
                Ok(count) => {
                    let progress = self.check(&room[..count])?;
                    if progress == Progress::Echoed || !self.wire.holds_back() {
                        return Ok(progress);
                    }
                }
                Err(error) => {
                    return match error.kind() {
                        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => {
                            Ok(Progress::Pending)
                        }
                        _ => Err(error),
                    };
                }
            }
            received = Ok(());
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
        self.wire.stream().as_fd()
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
    use std::io::{Read, Write};
    use std::net::TcpListener;

    fn pair(header: usize) -> (Connection, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let address = listener.local_addr().expect("bound");
        let mut connection = Connection::open(address, None, 7, 64, header).expect("listening");
        let (server, _) = listener.accept().expect("connected");
        connection.start(1).expect("room for 64 bytes");
        (connection, server)
    }

    fn until_settled(connection: &mut Connection) -> io::Result<Progress> {
        let mut room = [0; 256];
        connection.wire.stream().set_nonblocking(false)?;
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
