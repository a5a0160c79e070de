//! Which back end serves files, and why.

use std::fmt;

/// What the user asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Choice {
    /// io_uring for files where the kernel allows it, else threads.
    #[default]
    Auto,
    /// No io_uring: epoll for sockets, threads for files.
    Epoll,
    /// io_uring for files, or an error.
    Uring,
}

/// The environment variable that [`Choice::from_env`] reads.
pub const VARIABLE: &str = "RONDEAU_DRIVER";

impl Choice {
    /// What the environment variable `RONDEAU_DRIVER` says: `epoll`, `uring`, or nothing (or empty) for [`Choice::Auto`].
    ///
    /// # Errors
    /// [`BadChoice`] for anything else; its message names the variable and what it may be.
    pub fn from_env() -> Result<Choice, BadChoice> {
        Self::parse(
            &std::env::var_os(VARIABLE)
                .unwrap_or_default()
                .to_string_lossy(),
        )
    }

    fn parse(value: &str) -> Result<Choice, BadChoice> {
        match value {
            "" => Ok(Choice::Auto),
            "epoll" => Ok(Choice::Epoll),
            "uring" => Ok(Choice::Uring),
            other => Err(BadChoice(other.into())),
        }
    }
}

/// `RONDEAU_DRIVER` has a value that means nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BadChoice(Box<str>);

impl fmt::Display for BadChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{VARIABLE}={:?} is not a driver: use \"epoll\", \"uring\", or leave it unset",
            self.0
        )
    }
}

impl std::error::Error for BadChoice {}
