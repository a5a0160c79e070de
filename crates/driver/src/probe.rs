//! Which back end serves files, and why: what the user asked for, and what this kernel allows.
//!
//! Sockets' readiness is always epoll's; the ring only sends to several at once. Kernels differ by this probe at run
//! time, never by the build: containers forbid io_uring by default (Docker's and containerd's seccomp profiles answer
//! `EPERM` or `ENOSYS`), administrators by `kernel.io_uring_disabled` (6.6), and kernels before 5.11 lack operations.

use std::fmt;
use std::io;

use crate::ring;

/// What the user asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Choice {
    /// io_uring for files where the kernel allows it, else threads.
    #[default]
    Auto,
    /// No io_uring: threads for files.
    Epoll,
    /// io_uring for files, or an error from [`crate::Driver::new`].
    Uring,
}

/// The environment variable that [`Choice::from_env`] reads.
pub const VARIABLE: &str = "RONDEAU_DRIVER";

impl Choice {
    /// What `RONDEAU_DRIVER` says: `epoll`, `uring`, or nothing (or empty) for [`Choice::Auto`].
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

    /// The same for a value from elsewhere.
    ///
    /// # Errors
    /// [`BadChoice`].
    ///
    /// ```
    /// use rondeau_driver::Choice;
    ///
    /// assert_eq!(Choice::parse("epoll"), Ok(Choice::Epoll));
    /// assert_eq!(
    ///     Choice::parse("kqueue").unwrap_err().to_string(),
    ///     r#"RONDEAU_DRIVER="kqueue" is no driver: it may be "epoll" or "uring", or unset"#
    /// );
    /// ```
    pub fn parse(value: &str) -> Result<Choice, BadChoice> {
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
            "{VARIABLE}={:?} is no driver: it may be \"epoll\" or \"uring\", or unset",
            self.0
        )
    }
}

impl std::error::Error for BadChoice {}

/// What serves files; its `Display` is the text for the user.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Backend {
    /// io_uring.
    Uring {
        /// How the ring is set up.
        mode: &'static str,
    },
    /// Threads.
    Threads {
        /// Why not io_uring.
        reason: Box<str>,
    },
}

impl Backend {
    pub(crate) fn asked_for_threads() -> Backend {
        Backend::Threads {
            reason: format!("{VARIABLE}=epoll").into(),
        }
    }

    pub(crate) fn refused(error: &io::Error) -> Backend {
        Backend::Threads {
            reason: refusal(error).to_string().into(),
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Backend::Uring { mode } => write!(f, "sockets: epoll; files: io_uring ({mode})"),
            Backend::Threads { reason } => write!(f, "sockets: epoll; files: threads ({reason})"),
        }
    }
}

/// Whether the kernel gives this thread a ring: its mode, or why not. Makes one and lets it go.
pub(crate) fn uring() -> io::Result<&'static str> {
    ring::build(1).map(|(_, mode)| mode)
}

/// The kernel's refusal, with what may be behind it.
pub(crate) fn refusal(error: &io::Error) -> io::Error {
    let hint = match error.raw_os_error() {
        Some(libc::EPERM) => {
            ": forbidden by a container's filter or by the sysctl kernel.io_uring_disabled"
        }
        Some(libc::ENOSYS) => ": this kernel or a container's filter does not have it",
        Some(libc::ENOMEM) => ": the limit of locked memory is too low",
        _ => "",
    };
    io::Error::new(error.kind(), format!("io_uring is refused: {error}{hint}"))
}
