//! `TcpStream`.

use std::fmt;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rondeau_driver::socket::How;
use rondeau_driver::{SockAddr, socket as sys};

use super::address::inet;
use super::address::{self, Address};
use super::socket::Socket;
use super::split::{ReadHalf, WriteHalf};
use crate::budget;

/// A TCP connection.
///
/// Reading and writing take it by shared reference, so two tasks may do one each, with an `Rc` or within
/// [`gather!`](crate::gather!). Features `futures-io` and `tokio-io` implement the reader's and writer's traits of
/// those ecosystems.
///
/// # Examples
/// ```
/// use rondeau::{TcpListener, TcpStream};
/// rondeau::run(async {
///     let listener = TcpListener::bind("127.0.0.1:0").await?;
///     let addr = listener.local_addr()?;
///     let echo = rondeau::spawn(async move {
///         let (peer, _) = listener.accept().await?;
///         let mut buffer = [0; 64];
///         let n = peer.read(&mut buffer).await?;
///         peer.write_all(&buffer[..n]).await
///     });
///     let stream = TcpStream::connect(addr).await?;
///     stream.write_all(b"order up").await?;
///     let mut answer = [0; 8];
///     stream.read_exact(&mut answer).await?;
///     assert_eq!(&answer, b"order up");
///     echo.await.unwrap()
/// }).unwrap();
/// ```
pub struct TcpStream(Socket);

impl TcpStream {
    /// Connects, trying the addresses that `address` stands for one after the other. `TCP_NODELAY` is set, as asyncio
    /// does it: what is written leaves at once.
    ///
    /// # Errors
    /// What resolving or `connect(2)` failed with; of several addresses, the last one's.
    pub async fn connect(address: impl Address) -> io::Result<Self> {
        address::first(address, async |addr| {
            let (fd, pending) = sys::dial(&SockAddr::from(addr))?;
            // Registered after `connect(2)`: epoll reports a socket that is not connecting as hung up.
            let stream = Self::adopt(fd, pending)?;
            if pending {
                let socket = &stream.0;
                socket
                    .call(socket.writing(), |fd| {
                        sys::take_error(fd)?.map_or(Ok(()), Err)
                    })
                    .await?;
            }
            Ok(stream)
        })
        .await
    }

    pub(super) fn adopt(fd: OwnedFd, connecting: bool) -> io::Result<Self> {
        sys::set_nodelay(fd.as_raw_fd(), true)?;
        Ok(TcpStream(Socket::new(fd, connecting)?))
    }

    #[cfg(any(feature = "futures-io", feature = "tokio-io"))]
    pub(super) fn socket(&self) -> &Socket {
        &self.0
    }

    /// One `recv(2)`; a short one means that nothing more is there.
    #[inline]
    pub(super) fn receive(&self, fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
        let outcome = sys::recv(fd, buffer);
        if let Ok(n) = outcome {
            budget::spend(budget::of_bytes(n));
            if 0 < n && n < buffer.len() {
                self.0.reading().exhausted();
            }
        }
        outcome
    }

    /// One `send(2)`; a short one means that no more has room.
    #[inline]
    pub(super) fn transmit(&self, fd: RawFd, bytes: &[u8]) -> io::Result<usize> {
        let outcome = sys::send(fd, bytes);
        if let Ok(n) = outcome {
            budget::spend(budget::of_bytes(n));
            if n < bytes.len() {
                self.0.writing().exhausted();
            }
        }
        outcome
    }

    /// Reads what is there, waiting for something if need be, and returns how many bytes it was: 0 at the end of the
    /// stream (or when `buffer` is empty). Dropped while it waits, it loses nothing.
    ///
    /// # Errors
    /// Those of `recv(2)`, such as `ConnectionReset`.
    #[inline]
    pub async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0
            .call(self.0.reading(), |fd| self.receive(fd, buffer))
            .await
    }

    /// Fills `buffer`.
    ///
    /// # Errors
    /// `UnexpectedEof` when the stream ends before; those of [`read`](Self::read).
    pub async fn read_exact(&self, mut buffer: &mut [u8]) -> io::Result<()> {
        while !buffer.is_empty() {
            match self.read(buffer).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => buffer = &mut buffer[n..],
            }
        }
        Ok(())
    }

    /// Appends everything up to the end of the stream to `buffer`, and returns how many bytes it was.
    ///
    /// # Errors
    /// Those of [`read`](Self::read); what was read before is in `buffer`.
    pub async fn read_to_end(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let start = buffer.len();
        let mut growing = Growing::new(buffer);
        loop {
            match self.read(growing.room()?).await? {
                0 => return Ok(growing.filled - start),
                count => growing.filled += count,
            }
        }
    }

    /// Writes as many of `bytes` as there is room for, waiting for some if need be, and returns how many it was.
    ///
    /// # Errors
    /// Those of `send(2)`: `BrokenPipe` or `ConnectionReset` when the peer is gone (no signal is raised).
    #[inline]
    pub async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .call(self.0.writing(), |fd| self.transmit(fd, bytes))
            .await
    }

    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// Those of [`write`](Self::write). How much was written before is not known then.
    #[inline]
    pub async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let n = self.write(bytes).await?;
            bytes = &bytes[n..];
        }
        Ok(())
    }

    /// Closes one direction or both. After `Shutdown::Write` the peer reads the end of the stream.
    ///
    /// # Errors
    /// Those of `shutdown(2)`, such as `NotConnected`.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        let how = match how {
            Shutdown::Read => How::Read,
            Shutdown::Write => How::Write,
            Shutdown::Both => How::Both,
        };
        sys::shutdown(self.0.fd(), how)
    }

    /// Borrows the two directions apart, for a reader and a writer that must not mix them up.
    ///
    /// ```
    /// use rondeau::{TcpListener, TcpStream};
    /// # rondeau::run(async {
    /// # let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// # let stream = TcpStream::connect(listener.local_addr()?).await?;
    /// # let (peer, _) = listener.accept().await?;
    /// let (reader, writer) = stream.split();
    /// # rondeau::spawn(async move { peer.write_all(b"hello").await });
    /// let mut greeting = [0; 5];
    /// rondeau::gather!(reader.read_exact(&mut greeting), writer.write_all(b"hello"));
    /// # assert_eq!(&greeting, b"hello");
    /// # Ok::<(), std::io::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn split(&self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        (ReadHalf(self), WriteHalf(self))
    }

    /// This end's address.
    ///
    /// # Errors
    /// Those of `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        inet(sys::local_addr(self.0.fd())?)
    }

    /// The other end's address.
    ///
    /// # Errors
    /// Those of `getpeername(2)`: `NotConnected` when the peer has reset.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        inet(sys::peer_addr(self.0.fd())?)
    }

    /// Whether small segments leave at once (`TCP_NODELAY`); they do unless this is called with `false`.
    ///
    /// # Errors
    /// Those of `setsockopt(2)`.
    pub fn set_nodelay(&self, on: bool) -> io::Result<()> {
        sys::set_nodelay(self.0.fd(), on)
    }
}

/// A buffer that is read into: zeroed once behind what is filled, and cut there in the end, also where the read is given up.
struct Growing<'a> {
    buffer: &'a mut Vec<u8>,
    filled: usize,
}

impl<'a> Growing<'a> {
    fn new(buffer: &'a mut Vec<u8>) -> Self {
        let filled = buffer.len();
        Growing { buffer, filled }
    }

    /// What may be read into next; never empty.
    fn room(&mut self) -> io::Result<&mut [u8]> {
        if self.filled == self.buffer.len() {
            let more = self.filled.clamp(8 * 1024, 1 << 20);
            self.buffer.try_reserve(more)?;
            let more = more.max(self.buffer.capacity() - self.filled).min(1 << 20);
            self.buffer.resize(self.filled + more, 0);
        }
        Ok(&mut self.buffer[self.filled..])
    }
}

impl Drop for Growing<'_> {
    fn drop(&mut self) {
        self.buffer.truncate(self.filled);
    }
}

impl AsFd for TcpStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for TcpStream {
    fn as_raw_fd(&self) -> RawFd {
        self.0.fd()
    }
}

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpStream")
            .field("local", &self.local_addr().ok())
            .field("peer", &self.peer_addr().ok())
            .finish()
    }
}
