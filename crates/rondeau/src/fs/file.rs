//! An opened file.

use std::fmt;
use std::io::{self, SeekFrom};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;
use std::sync::Arc;

use rondeau_driver::file::{Stat, stat_of_open};
use rondeau_driver::{Buf, Op, Output, SharedFd};

use super::lines::Lines;
use super::open_options::OpenOptions;
use super::operation::Operation;
use super::sequence::Sequence;
use crate::blocking::spawn_blocking;

/// An opened file. Closed when it is dropped and nothing is under way on it any more, or by [`close`](Self::close).
///
/// [`read`](Self::read), [`write_all`](Self::write_all) and [`seek`](Self::seek) work at a position that moves, one after
/// the other, in the order in which they were first polled. [`read_at`](Self::read_at) and [`write_at`](Self::write_at) name
/// their own, and any number of them may be under way at once. Buffers are given to the operation and come back, since the
/// kernel may use them after a future was dropped.
///
/// # Examples
/// ```
/// # let path = std::env::temp_dir().join(format!("rondeau-file-{}", std::process::id()));
/// use rondeau::fs::{self, File};
///
/// rondeau::run(async {
///     let file = File::create(&path).await?;
///     file.write_all("soup, roast, salad").await?;
///     file.sync_all().await?;
///
///     let file = File::open(&path).await?;
///     let (soup, salad) = rondeau::gather!(file.read_at(4, 0), file.read_at(5, 13));
///     assert_eq!((&soup?[..], &salad?[..]), (&b"soup"[..], &b"salad"[..]));
///     fs::remove_file(&path).await
/// })
/// # .unwrap();
/// ```
pub struct File {
    sequence: Sequence,
}

impl File {
    pub(super) fn new(fd: OwnedFd) -> Self {
        File {
            sequence: Sequence::new(Arc::new(fd)),
        }
    }

    /// Opens a file to read it.
    ///
    /// # Errors
    /// Those of `open(2)`, such as `NotFound`.
    pub async fn open(path: impl AsRef<Path>) -> io::Result<File> {
        OpenOptions::new().read(true).open(path).await
    }

    /// Opens a file to write it: a new one, or the old one emptied.
    ///
    /// # Errors
    /// Those of `open(2)`.
    pub async fn create(path: impl AsRef<Path>) -> io::Result<File> {
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)
            .await
    }

    fn fd(&self) -> SharedFd {
        self.sequence.fd()
    }

    /// Reads up to `most` bytes at the position; none at the end of the file. Fewer may come at any time.
    ///
    /// Dropped while it waits, it has moved nothing, and what it took out of a pipe comes with the next read.
    ///
    /// # Errors
    /// Those of `read(2)`.
    pub async fn read(&self, most: usize) -> io::Result<Vec<u8>> {
        self.sequence.read(room(most)?).await
    }

    /// As [`read`](Self::read), into the spare capacity of a buffer, which comes back: for memory that is used again and again.
    ///
    /// # Errors
    /// Those of `read(2)`; the buffer is gone then.
    pub async fn read_into(&self, buffer: Vec<u8>) -> io::Result<Vec<u8>> {
        self.sequence.read(buffer).await
    }

    /// Reads everything from the position to the end of the file.
    ///
    /// # Errors
    /// Those of `read(2)`. The position is behind what was read before.
    pub async fn read_to_end(&self) -> io::Result<Vec<u8>> {
        let expected = self.metadata().await.map_or(0, |stat| stat.len());
        let mut all = Vec::new();
        // One byte more than there should be finds the end with the same read.
        all.try_reserve_exact(
            usize::try_from(expected)
                .unwrap_or(usize::MAX)
                .saturating_add(1),
        )?;
        loop {
            let before = all.len();
            all = self.sequence.read(all).await?;
            if all.len() == before {
                return Ok(all);
            }
            if all.len() == all.capacity() {
                all.try_reserve(all.len().max(8 * 1024))?;
            }
        }
    }

    /// Reads everything from the position to the end of the file, as text.
    ///
    /// # Errors
    /// Those of `read(2)`; `InvalidData` where it is not UTF-8.
    pub async fn read_to_string(&self) -> io::Result<String> {
        String::from_utf8(self.read_to_end().await?)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// The lines from the position on, read in large pieces.
    ///
    /// ```
    /// # let path = std::env::temp_dir().join(format!("rondeau-lines-{}", std::process::id()));
    /// use rondeau::fs::{self, File};
    ///
    /// rondeau::run(async {
    ///     fs::write(&path, "soup\r\nroast\nsalad").await?;
    ///     let file = File::open(&path).await?;
    ///     let mut lines = file.lines();
    ///     let mut dishes = Vec::new();
    ///     while let Some(dish) = lines.next().await? {
    ///         dishes.push(dish);
    ///     }
    ///     assert_eq!(dishes, ["soup", "roast", "salad"]);
    ///     fs::remove_file(&path).await
    /// })
    /// # .unwrap();
    /// ```
    pub fn lines(&self) -> Lines<'_> {
        Lines::new(&self.sequence)
    }

    /// Writes all of `bytes` at the position; with `append`, at the end.
    ///
    /// Dropped while it waits, a part may be written; the position is behind that part for whoever comes next.
    ///
    /// # Errors
    /// Those of `write(2)`, such as `StorageFull`; also those of an earlier write whose future was dropped.
    pub async fn write_all(&self, bytes: impl Into<Vec<u8>>) -> io::Result<()> {
        self.sequence.write_all(bytes.into()).await
    }

    /// Reads up to `most` bytes beginning with the one at `offset`, and moves no position. None beyond the end of the file.
    ///
    /// # Errors
    /// Those of `pread(2)`, such as `NotSeekable`.
    pub async fn read_at(&self, most: usize, offset: u64) -> io::Result<Vec<u8>> {
        let op = Op::Read {
            fd: self.fd(),
            buf: room(most)?,
            offset: Some(within(offset)?),
        };
        if most == 0 {
            return Ok(Vec::new());
        }
        let done = Operation::begin(op).await?;
        if let Err(errno) = done.result {
            return Err(errno.into());
        }
        let mut bytes = done.into_vec().unwrap_or_default();
        bytes.truncate(most); // the allocator may give more than it is asked for
        Ok(bytes)
    }

    /// Writes all of `bytes`, beginning at `offset`, and moves no position.
    ///
    /// # Errors
    /// Those of `pwrite(2)`. How much was written before is not known then.
    pub async fn write_at(&self, bytes: impl Into<Vec<u8>>, mut offset: u64) -> io::Result<()> {
        let mut rest = Buf::from(bytes.into());
        within(offset)?;
        while !rest.as_slice().is_empty() {
            let op = Op::Write {
                fd: self.fd(),
                buf: rest,
                offset: Some(offset),
            };
            let done = Operation::begin(op).await?;
            let count = match &done.result {
                Ok(Output::Count(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(Output::Count(count)) => *count,
                Ok(other) => unreachable!("a write gives a count, not {other:?}"),
                Err(errno) => return Err((*errno).into()),
            };
            let Some(written) = done.buf else {
                return Ok(()); // never: a write gives its buffer back
            };
            rest = written.behind(count);
            offset += count as u64;
        }
        Ok(())
    }

    /// Moves the position, and returns it in bytes from the beginning. It may lie beyond the end.
    ///
    /// # Errors
    /// `NotSeekable` for a pipe or terminal, `InvalidInput` for a position before the beginning.
    pub async fn seek(&self, to: SeekFrom) -> io::Result<u64> {
        self.sequence
            .seek(async |here| {
                Ok(match to {
                    SeekFrom::Start(offset) => Some(offset),
                    SeekFrom::Current(distance) => here.checked_add_signed(distance),
                    SeekFrom::End(distance) => {
                        self.metadata().await?.len().checked_add_signed(distance)
                    }
                }
                .and_then(|to| within(to).ok()))
            })
            .await
    }

    /// Makes the file so many bytes long: cuts it, or adds zeros. The position stays.
    ///
    /// # Errors
    /// Those of `ftruncate(2)`.
    pub async fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.sequence.settled().await?;
        let file = std::fs::File::from(self.as_fd().try_clone_to_owned()?);
        assistant(move || file.set_len(bytes)).await
    }

    /// Waits until everything written is on the disk, data and metadata (`fsync(2)`).
    ///
    /// # Errors
    /// Those of `fsync(2)`, after which what was written may be lost; also those of a write whose future was dropped.
    pub async fn sync_all(&self) -> io::Result<()> {
        self.sync(false).await
    }

    /// As [`sync_all`](Self::sync_all), without the times (`fdatasync(2)`).
    ///
    /// # Errors
    /// As there.
    pub async fn sync_data(&self) -> io::Result<()> {
        self.sync(true).await
    }

    async fn sync(&self, data_only: bool) -> io::Result<()> {
        self.sequence.settled().await?;
        let op = Op::Fsync {
            fd: self.fd(),
            data_only,
        };
        Operation::begin(op).await?.result?;
        Ok(())
    }

    /// What is known of the file.
    ///
    /// # Errors
    /// Those of `statx(2)`.
    pub async fn metadata(&self) -> io::Result<Stat> {
        stat(stat_of_open(self.fd())).await
    }

    /// Closes the file and tells how that went, which a drop does not: some file systems report a failed write only here.
    ///
    /// # Errors
    /// Those of `close(2)`, and those of a write whose future was dropped. The file is closed in any case.
    pub async fn close(self) -> io::Result<()> {
        let settled = self.sequence.settled().await;
        let fd = self.fd();
        drop(self);
        if let Some(fd) = Arc::into_inner(fd) {
            Operation::begin(Op::Close(fd)).await?.result?;
        }
        settled
    }
}

/// An empty buffer for so many bytes, or `OutOfMemory`.
pub(crate) fn room(most: usize) -> io::Result<Vec<u8>> {
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(most)?;
    Ok(buffer)
}

/// Carries out a stat.
pub(super) async fn stat(op: Op) -> io::Result<Stat> {
    match Operation::begin(op).await?.result? {
        Output::Statx(raw) => Ok(Stat::new(raw)),
        other => unreachable!("a stat gives what is known, not {other:?}"),
    }
}

/// What has no operation of its own is done by a thread of the pool.
pub(super) async fn assistant<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    spawn_blocking(work)
        .await
        .unwrap_or_else(|failed| Err(io::Error::other(failed)))
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.sequence.as_fd()
    }
}

impl AsRawFd for File {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File")
            .field("fd", &self.as_raw_fd())
            .finish_non_exhaustive()
    }
}

/// An offset that the kernel has: beyond its type's end are its own meanings (`rondeau_driver::HERE`).
fn within(offset: u64) -> io::Result<u64> {
    match i64::try_from(offset) {
        Ok(_) => Ok(offset),
        Err(_) => Err(io::ErrorKind::InvalidInput.into()),
    }
}
