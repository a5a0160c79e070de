//! What a watch tells: changes, and why something cannot be watched. Made by [`super::Watcher`], read by the faces.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::errno::Errno;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A file or folder is new here: made, linked, or moved from outside of what is watched.
    Created,
    /// A file's contents changed, and may go on changing.
    Modified,
    /// A file that was open for writing was closed: its contents are whole for now.
    Written,
    /// Mode, owner, times or the like.
    Attributes,
    /// It is not here any more: removed, or moved to outside of what is watched.
    Deleted,
    /// It has another name; [`Change::from`] is the former one.
    Moved,
    /// The kernel had no room for all events: anything may have changed, look again.
    Overflow,
    /// What was watched was itself removed, moved or unmounted. Nothing follows.
    Gone,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What happened.
    pub kind: Kind,
    /// To what: the watched path with what is below it.
    pub path: PathBuf,
    /// Its name before a [`Kind::Moved`].
    pub from: Option<PathBuf>,
    /// Whether it is a folder.
    pub directory: bool,
}

/// Why something cannot be watched.
#[derive(Debug)]
pub struct WatchError {
    /// What the system call failed with.
    pub errno: Errno,
    /// At which path.
    pub path: PathBuf,
}

impl fmt::Display for WatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let now = |name: &str| {
            let found = std::fs::read_to_string(format!("/proc/sys/fs/inotify/{name}"));
            found.map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
        };
        match self.errno.raw() {
            libc::ENOSPC => write!(
                f,
                "no inotify watch is left, one a folder: raise fs.inotify.max_user_watches (now {})",
                now("max_user_watches")
            ),
            libc::EMFILE => write!(
                f,
                "no inotify instance or no descriptor is left: raise fs.inotify.max_user_instances (now {}), or the limit of open files",
                now("max_user_instances")
            ),
            // As `strerror` has it, without Rust's number behind it.
            _ => {
                let text = io::Error::from(self.errno).to_string();
                f.write_str(text.split(" (os error").next().unwrap_or(&text))
            }
        }
    }
}

impl std::error::Error for WatchError {}

impl From<WatchError> for io::Error {
    fn from(error: WatchError) -> Self {
        let text = format!("{}: {error}", error.path.display());
        io::Error::new(io::Error::from(error.errno).kind(), text)
    }
}

pub(super) fn change(kind: Kind, path: PathBuf, directory: bool) -> Change {
    Change {
        kind,
        path,
        from: None,
        directory,
    }
}
