//! Reading and writing one after the other, at a position that moves: what [`File`](super::File) and the standard streams
//! share.
//!
//! The operation that is under way lives here and not in the future that waits for it. So a future that is dropped leaves
//! nothing undefined: whoever comes next first waits for what was begun. A write has then happened, and moved the position;
//! a read of a file has not; what a read took out of a pipe or terminal is kept for the next one.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use rondeau_driver::{Buf, Done, Op, Output, SharedFd, file};

use super::operation::Operation;
use crate::lock::Lock;

/// A descriptor that is used in sequence.
pub(crate) struct Sequence {
    fd: SharedFd,
    state: Lock<State>,
}

struct State {
    /// Where the next operation begins; None for what has no position.
    position: Option<u64>,
    /// What was begun, and its future dropped.
    left: Option<Left>,
    /// What such a read took out of a stream.
    kept: VecDeque<u8>,
}

enum Left {
    Read(Operation),
    Write(Operation),
}

impl State {
    /// Begins an operation and waits for it, with it kept here meanwhile.
    async fn carry_out(&mut self, op: Op) -> io::Result<Done> {
        let reads = matches!(op, Op::Read { .. });
        let operation = Operation::begin(op);
        let left = self.left.insert(if reads {
            Left::Read(operation)
        } else {
            Left::Write(operation)
        });
        let (Left::Read(operation) | Left::Write(operation)) = left;
        let done = operation.await?;
        self.left = None;
        Ok(done)
    }

    /// Waits for what an earlier future has begun and not waited for.
    async fn settle(&mut self) -> io::Result<()> {
        if let Some(Left::Read(operation) | Left::Write(operation)) = &mut self.left {
            let done = operation.await?;
            let wrote = matches!(self.left, Some(Left::Write(_)));
            self.left = None;
            if wrote {
                // What it wrote is written; how it failed, the next one is told.
                self.moved(&done)?;
            } else if self.position.is_none() {
                self.kept.extend(done.into_vec().unwrap_or_default());
            }
        }
        Ok(())
    }

    /// Moves the position behind what was read or written.
    fn moved(&mut self, done: &Done) -> io::Result<usize> {
        let count = match &done.result {
            Ok(Output::Count(count)) => *count,
            Ok(other) => unreachable!("a read or write gives a count, not {other:?}"),
            Err(errno) => return Err((*errno).into()),
        };
        if let Some(position) = &mut self.position {
            *position += count as u64;
        }
        Ok(count)
    }
}

impl Sequence {
    /// Of a file that was opened just now: at its beginning, if it is something that has one.
    pub(crate) fn new(fd: SharedFd) -> Self {
        let position = file::is_seekable(fd.as_fd()).then_some(0);
        Self::at(position, fd)
    }

    /// Of a descriptor whose own position counts.
    pub(crate) fn stream(fd: SharedFd) -> Self {
        Self::at(None, fd)
    }

    fn at(position: Option<u64>, fd: SharedFd) -> Self {
        Sequence {
            fd,
            state: Lock::new(State {
                position,
                left: None,
                kept: VecDeque::new(),
            }),
        }
    }

    pub(crate) fn fd(&self) -> SharedFd {
        Arc::clone(&self.fd)
    }

    /// Reads into the spare capacity of `buffer` and gives it back; unchanged at the end of the file, or without spare capacity.
    pub(crate) async fn read(&self, mut buffer: Vec<u8>) -> io::Result<Vec<u8>> {
        let spare = buffer.capacity() - buffer.len();
        if spare == 0 {
            return Ok(buffer);
        }
        let mut state = self.state.lock().await;
        state.settle().await?;
        if !state.kept.is_empty() {
            let ready = spare.min(state.kept.len());
            buffer.extend(state.kept.drain(..ready));
            return Ok(buffer);
        }
        let op = Op::Read {
            fd: self.fd(),
            buf: buffer,
            offset: state.position,
        };
        let done = state.carry_out(op).await?;
        state.moved(&done)?;
        Ok(done.into_vec().unwrap_or_default())
    }

    /// Writes all of `bytes`.
    pub(crate) async fn write_all(&self, bytes: Vec<u8>) -> io::Result<()> {
        let mut state = self.state.lock().await;
        state.settle().await?;
        let mut rest = Buf::from(bytes);
        while !rest.as_slice().is_empty() {
            let op = Op::Write {
                fd: self.fd(),
                buf: rest,
                offset: state.position,
            };
            let done = state.carry_out(op).await?;
            let count = state.moved(&done)?;
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            let Some(written) = done.buf else {
                return Ok(()); // never: a write gives its buffer back
            };
            rest = written.behind(count);
        }
        Ok(())
    }

    /// Moves the position; what it is then.
    pub(crate) async fn seek(
        &self,
        to: impl AsyncFnOnce(u64) -> io::Result<Option<u64>>,
    ) -> io::Result<u64> {
        let mut state = self.state.lock().await;
        state.settle().await?;
        let Some(here) = state.position else {
            return Err(io::Error::new(
                io::ErrorKind::NotSeekable,
                "a pipe, socket or terminal has no position",
            ));
        };
        let there = to(here).await?.ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                "the position would lie before the beginning of the file",
            )
        })?;
        state.position = Some(there);
        Ok(there)
    }

    /// Waits for what was begun and not waited for.
    pub(crate) async fn settled(&self) -> io::Result<()> {
        self.state.lock().await.settle().await
    }
}

impl AsFd for Sequence {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
