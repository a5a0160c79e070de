//! The two directions of a stream, borrowed apart.

use std::io;
use std::net::Shutdown;

use super::stream::TcpStream;

/// The reading direction of a [`TcpStream`]; made by [`TcpStream::split`].
#[derive(Clone, Copy, Debug)]
pub struct ReadHalf<'a>(pub(super) &'a TcpStream);

/// The writing direction of a [`TcpStream`]; made by [`TcpStream::split`].
#[derive(Clone, Copy, Debug)]
pub struct WriteHalf<'a>(pub(super) &'a TcpStream);

impl ReadHalf<'_> {
    /// As [`TcpStream::read`].
    ///
    /// # Errors
    /// Those of [`TcpStream::read`].
    pub async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).await
    }

    /// As [`TcpStream::read_exact`].
    ///
    /// # Errors
    /// Those of [`TcpStream::read_exact`].
    pub async fn read_exact(&self, buffer: &mut [u8]) -> io::Result<()> {
        self.0.read_exact(buffer).await
    }

    /// As [`TcpStream::read_to_end`].
    ///
    /// # Errors
    /// Those of [`TcpStream::read_to_end`].
    pub async fn read_to_end(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        self.0.read_to_end(buffer).await
    }
}

impl WriteHalf<'_> {
    /// As [`TcpStream::write`].
    ///
    /// # Errors
    /// Those of [`TcpStream::write`].
    pub async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).await
    }

    /// As [`TcpStream::write_all`].
    ///
    /// # Errors
    /// Those of [`TcpStream::write_all`].
    pub async fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes).await
    }

    /// Ends this direction: the peer reads the end of the stream.
    ///
    /// # Errors
    /// Those of [`TcpStream::shutdown`].
    pub fn finish(&self) -> io::Result<()> {
        self.0.shutdown(Shutdown::Write)
    }
}
