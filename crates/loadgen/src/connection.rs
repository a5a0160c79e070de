//! One connection of the closed loop: sends its message, has the answer checked as it comes, says when it is whole.
//!
//! What the message and its answer are is [`Talk`]'s.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use rustls::ClientConfig;

use crate::answer::Progress;
use crate::talk::Talk;
use crate::wire::Wire;

/// A non-blocking TCP connection, with TLS or without, and its message under way.
pub struct Connection {
    wire: Wire,
    talk: Talk,
    sent: usize,
}

impl Connection {
    /// Connects (blocking) with TCP_NODELAY, shakes hands where there is TLS, then goes non-blocking.
    ///
    /// # Errors
    /// Those of `connect(2)`, of the handshake and of setting the options.
    pub fn open(
        address: SocketAddr,
        tls: Option<&Arc<ClientConfig>>,
        talk: Talk,
    ) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self {
            wire: Wire::new(stream, tls)?,
            talk,
            sent: 0,
        })
    }

    /// Begins the message with this sequence number. The whole answer to the one before must have come.
    ///
    /// # Errors
    /// Those of `send(2)`, but for a full socket buffer.
    pub fn start(&mut self, sequence: u64) -> io::Result<()> {
        self.talk.begin(sequence);
        self.sent = 0;
        self.send()
    }

    /// Sends what the socket takes.
    ///
    /// # Errors
    /// Those of `send(2)`, but for a full socket buffer.
    pub fn send(&mut self) -> io::Result<()> {
        loop {
            let done = if self.sent < self.talk.message().len() {
                self.wire.write(&self.talk.message()[self.sent..])
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
        self.sent < self.talk.message().len() || self.wire.wants_room()
    }

    /// Reads from the socket once and checks what came.
    ///
    /// # Errors
    /// `InvalidData` for a wrong answer, `UnexpectedEof` when the server closed, else those of `recv(2)`.
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
                    let progress = self.talk.check(&room[..count])?;
                    if progress == Progress::Answered || !self.wire.holds_back() {
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
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wire.stream().as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    fn pair(header: usize) -> (Connection, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let address = listener.local_addr().expect("bound");
        let mut connection =
            Connection::open(address, None, Talk::echo(7, 64, header)).expect("listening");
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
                Progress::Answered => return Ok(Progress::Answered),
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
            Progress::Answered
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
