//! `TcpListener`.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use rondeau_driver::{SockAddr, socket as sys};

use super::address::inet;
use super::address::{self, Address};
use super::socket::Socket;
use super::stream::TcpStream;
use crate::budget;

/// How many connections the kernel completes ahead of `accept`; it caps the number at `net.core.somaxconn`.
const BACKLOG: i32 = 1024;

/// Accepts TCP connections.
///
/// # Examples
/// ```
/// use rondeau::{TcpListener, TcpStream};
/// rondeau::run(async {
///     let listener = TcpListener::bind("127.0.0.1:0").await?;
///     let (accepted, connected) = rondeau::gather!(listener.accept(), TcpStream::connect(listener.local_addr()?));
///     assert_eq!(accepted?.1, connected?.local_addr()?);
///     Ok::<(), std::io::Error>(())
/// }).unwrap();
/// ```
pub struct TcpListener(Socket);

impl TcpListener {
    /// Listens at an address, with `SO_REUSEADDR`; port 0 lets the kernel choose.
    ///
    /// # Errors
    /// What resolving, `bind(2)` or `listen(2)` failed with; of several addresses, the last one's.
    pub async fn bind(address: impl Address) -> io::Result<Self> {
        address::first(address, async |addr| {
            let fd = sys::listener(&SockAddr::from(addr), BACKLOG)?;
            Ok(TcpListener(Socket::new(fd, false)?))
        })
        .await
    }

    /// Waits for the next connection. A connection that was aborted before it could be accepted is passed over.
    ///
    /// Several tasks may accept at once. Dropped while it waits, it loses no connection.
    ///
    /// # Errors
    /// Those of `accept4(2)`. When descriptors run out (`EMFILE`), the connection stays in line: try again when some
    /// were closed.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let call = |fd| loop {
            match sys::accept(fd) {
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                outcome => {
                    if outcome.is_ok() {
                        budget::spend(budget::CONNECTION);
                    }
                    return outcome;
                }
            }
        };
        let (fd, peer) = self.0.call(self.0.reading(), call).await?;
        Ok((TcpStream::adopt(fd, false)?, inet(peer)?))
    }

    /// Where it listens.
    ///
    /// # Errors
    /// Those of `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        inet(sys::local_addr(self.0.fd())?)
    }
}

impl AsFd for TcpListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for TcpListener {
    fn as_raw_fd(&self) -> RawFd {
        self.0.fd()
    }
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpListener")
            .field("local", &self.local_addr().ok())
            .finish()
    }
}
