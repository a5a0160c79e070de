//! The process's standard streams, without blocking the loop: a person's input above all.
//!
//! ```no_run
//! use rondeau::io::{stdin, stdout};
//!
//! rondeau::run(async {
//!     stdout().write_all("What goes on the cake? ").await?;
//!     let input = stdin();
//!     let answer = input.lines().next().await?;
//!     stdout().write_all(format!("Then {}.\n", answer.unwrap_or_default())).await
//! })
//! # .unwrap();
//! ```
//!
//! A terminal, a pipe, a file and `/dev/null` all work. Descriptor and terminal stay as they are: they are not made non-blocking,
//! which the shell that shares them would feel, and lines are edited by the terminal as always. The kernel waits for the input,
//! or a thread where io_uring is not allowed; either is given up when the loop ends.

use std::fmt;
use std::io::Result;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use crate::fs::Lines;
use crate::fs::room;
use crate::fs::sequence::Sequence;

/// The standard input. Each call gives one of its own; two that read at once share the input piece by piece.
///
/// # Panics
/// When the descriptor cannot be duplicated: it is closed, or the process has no descriptor left.
#[must_use]
pub fn stdin() -> Stdin {
    Stdin(stream(std::io::stdin().as_fd()))
}

/// The standard output. Nothing is buffered here; what `println!` buffers comes in its own time.
///
/// # Panics
/// As for [`stdin`].
#[must_use]
pub fn stdout() -> Output {
    Output(stream(std::io::stdout().as_fd()))
}

/// The standard error stream.
///
/// # Panics
/// As for [`stdin`].
#[must_use]
pub fn stderr() -> Output {
    Output(stream(std::io::stderr().as_fd()))
}

/// The descriptor's own position counts, also where it is a file: it is shared with whoever else has it.
fn stream(fd: BorrowedFd<'_>) -> Sequence {
    match fd.try_clone_to_owned() {
        Ok(own) => Sequence::stream(Arc::new(own)),
        Err(error) => panic!("a standard stream cannot be duplicated: {error}"),
    }
}

/// The standard input. Made by [`stdin`].
pub struct Stdin(Sequence);

impl Stdin {
    /// Reads up to `most` bytes as soon as there are any; none at the end of the input (Ctrl-D).
    ///
    /// Dropped while it waits, what comes is the next read's, of the same `Stdin`.
    ///
    /// # Errors
    /// Those of `read(2)`.
    pub async fn read(&self, most: usize) -> Result<Vec<u8>> {
        self.0.read(room(most)?).await
    }

    /// The input line by line.
    pub fn lines(&self) -> Lines<'_> {
        Lines::new(&self.0)
    }
}

/// The standard output or error stream. Made by [`stdout`] and [`stderr`].
pub struct Output(Sequence);

impl Output {
    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// Those of `write(2)`, such as `BrokenPipe`.
    pub async fn write_all(&self, bytes: impl Into<Vec<u8>>) -> Result<()> {
        self.0.write_all(bytes.into()).await
    }
}

impl fmt::Debug for Stdin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stdin").finish_non_exhaustive()
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output").finish_non_exhaustive()
    }
}
