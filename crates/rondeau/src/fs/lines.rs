//! A file or stream line by line.

use std::fmt;
use std::io;

use super::sequence::Sequence;

/// Bytes asked for at once.
const PIECE: usize = 64 * 1024;

/// The lines of a file, without their ends (`\n` or `\r\n`). Made by [`File::lines`](super::File::lines) and
/// [`Stdin::lines`](crate::io::Stdin::lines).
///
/// It reads ahead: the file's position is behind the piece that the line came from.
pub struct Lines<'a> {
    source: &'a Sequence,
    /// What was read, of which `used` bytes were given out.
    piece: Vec<u8>,
    used: usize,
    /// The bytes up to here hold no line end.
    searched: usize,
    ended: bool,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(source: &'a Sequence) -> Self {
        Lines {
            source,
            piece: Vec::new(),
            used: 0,
            searched: 0,
            ended: false,
        }
    }

    /// The next line; None after the last. Dropped while it waits, it loses nothing.
    ///
    /// # Errors
    /// Those of `read(2)`; `InvalidData` for a line that is not UTF-8, which is then passed over.
    #[allow(clippy::should_implement_trait)] // an iterator cannot wait
    pub async fn next(&mut self) -> io::Result<Option<String>> {
        loop {
            let found = memchr(b'\n', &self.piece[self.searched..]);
            if let Some(at) = found {
                let end = self.searched + at;
                let line = text(&self.piece[self.used..end]);
                (self.used, self.searched) = (end + 1, end + 1);
                return line.map(Some);
            }
            self.searched = self.piece.len();
            if self.ended {
                if self.used == self.piece.len() {
                    return Ok(None);
                }
                let line = text(&self.piece[self.used..]);
                self.used = self.piece.len();
                return line.map(Some);
            }
            let more = self.source.read(Vec::with_capacity(PIECE)).await?;
            self.ended = more.is_empty();
            self.piece.drain(..self.used);
            (self.searched, self.used) = (self.searched - self.used, 0);
            self.piece.try_reserve(more.len())?;
            self.piece.extend_from_slice(&more);
        }
    }
}

fn memchr(byte: u8, bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|each| *each == byte)
}

fn text(line: &[u8]) -> io::Result<String> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    String::from_utf8(line.to_vec())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

impl fmt::Debug for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines").finish_non_exhaustive()
    }
}
