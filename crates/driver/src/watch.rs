//! What changes under a path, by `inotify(7)`: a tree of watched folders, and events with whole paths.
//!
//! Called by both faces' `watch`: they wait until [`Watcher::fd`] can be read, then call [`Watcher::read`], and [`Watcher::scan`] while that
//! says so. Neither of the first two blocks; `scan` opens folders, so a thread calls it where that may take long.
//!
//! A folder is a node under its parent, by the kernel's number for its watch. So a folder that moves within the tree keeps its watch, and all
//! paths below it follow from one changed name. A new folder is watched first and listed then: what was made in it before is found by
//! the list, what comes later by the watch, and what both saw is told once (`listed`).
//!
//! The two halves of a move come one after the other, though maybe in two reads: the first waits for the second ([`Watcher::half_moved`]),
//! and is a deletion if the face, after a moment, calls [`Watcher::settle`]. When the kernel's queue overflowed, that is an event, and the folders
//! that it may have kept from us are looked for.
//!
//! `change` is what is told, `tree` the folders that are watched.
//!
//! Rejected: `fanotify(7)`, which needs privileges for a whole mount; a path in each node, which a move of a folder would have to rewrite.

mod change;
mod tree;

pub use change::{Change, Kind, WatchError};

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use self::change::change;
use self::tree::{Found, Node};
use crate::errno::{Errno, check};

const MASK: u32 = libc::IN_CREATE
    | libc::IN_DELETE
    | libc::IN_MODIFY
    | libc::IN_CLOSE_WRITE
    | libc::IN_ATTRIB
    | libc::IN_MOVED_FROM
    | libc::IN_MOVED_TO
    | libc::IN_DELETE_SELF
    | libc::IN_MOVE_SELF
    | libc::IN_EXCL_UNLINK
    | libc::IN_ONLYDIR;

struct HalfMoved {
    cookie: u32,
    parent: i32,
    name: OsString,
    directory: bool,
}

/// The kernel's answer to `inotify_add_watch` that no folder has.
const NOBODY: i32 = -1;
const BUFFER: usize = 64 * 1024;
const HEAD: usize = size_of::<libc::inotify_event>();

/// A path that is watched. See the module.
///
/// ```
/// use rondeau_driver::watch::{Kind, Watcher};
///
/// let folder = std::env::temp_dir().join(format!("rondeau-watch-{}", std::process::id()));
/// std::fs::create_dir(&folder)?;
/// let mut watcher = Watcher::new(&folder, true)?;
/// std::fs::write(folder.join("menu"), "soup")?;
/// let changes = watcher.read()?;
/// assert!(changes.iter().any(|change| change.kind == Kind::Created && change.path == folder.join("menu")));
/// std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Watcher {
    fd: OwnedFd,
    top: PathBuf,
    root: i32,
    /// Where a file is watched, its name: the watched folder is the one that it is in, since a file is replaced by renaming.
    only: Option<OsString>,
    recursive: bool,
    nodes: HashMap<i32, Node>,
    found: Vec<Found>,
    half_moved: Option<HalfMoved>,
    ended: bool,
    buffer: Box<[u8]>,
}

impl Watcher {
    /// Watches `path`; with `recursive`, all folders below it too, which takes a while where there are many.
    ///
    /// # Errors
    /// Those of `inotify_init1(2)` and `inotify_add_watch(2)`. A folder below that may not be read is left out.
    pub fn new(path: &Path, recursive: bool) -> Result<Self, WatchError> {
        let fail = |errno| WatchError {
            errno,
            path: path.to_owned(),
        };
        let from_io =
            |error: io::Error| fail(Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)));
        let directory = std::fs::metadata(path).map_err(from_io)?.is_dir();
        // SAFETY: `inotify_init1` takes no pointers.
        let fd = check(unsafe { libc::inotify_init1(libc::IN_NONBLOCK | libc::IN_CLOEXEC) })
            .map_err(from_io)?;
        // SAFETY: the kernel has just returned this descriptor and nobody else knows it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let (top, only) = match (directory, path.file_name()) {
            (false, Some(name)) => {
                let folder = path.parent().unwrap_or(Path::new(""));
                (folder.to_owned(), Some(name.to_owned()))
            }
            _ => (path.to_owned(), None),
        };
        let mut watcher = Watcher {
            fd,
            top,
            root: NOBODY,
            recursive: recursive && directory,
            only,
            nodes: HashMap::new(),
            found: Vec::new(),
            half_moved: None,
            ended: false,
            buffer: vec![0; BUFFER].into(),
        };
        let folder = if watcher.top.as_os_str().is_empty() {
            Path::new(".").to_owned()
        } else {
            watcher.top.clone()
        };
        watcher.root = watcher.add(&folder, MASK).map_err(fail)?;
        watcher
            .nodes
            .insert(watcher.root, Node::new(NOBODY, OsString::new()));
        if watcher.recursive {
            watcher.list(watcher.root, false, &mut Vec::new());
            watcher.scan()?;
        }
        Ok(watcher)
    }

    /// What to wait for: it can be read when something has changed. Non-blocking.
    #[must_use]
    pub fn fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// Takes what has changed, without blocking; nothing where there is nothing to read. Call [`scan`](Self::scan) next if
    /// [`has_found`](Self::has_found) says so.
    ///
    /// # Errors
    /// Those of `read(2)`.
    pub fn read(&mut self) -> io::Result<Vec<Change>> {
        let mut changes = Vec::new();
        // What is read may be nobody's concern: then there may be more.
        while changes.is_empty() && self.found.is_empty() && !self.ended {
            if !self.read_some(&mut changes)? {
                break;
            }
        }
        Ok(changes)
    }

    /// One read; false if there was nothing.
    fn read_some(&mut self, changes: &mut Vec<Change>) -> io::Result<bool> {
        let mut buffer = std::mem::take(&mut self.buffer);
        // SAFETY: the buffer is as long as is said.
        let count = unsafe { libc::read(self.fd(), buffer.as_mut_ptr().cast(), buffer.len()) };
        let error = Errno::last();
        let read = usize::try_from(count).unwrap_or(0);
        let mut rest = &buffer[..read];
        while rest.len() >= HEAD {
            // SAFETY: the kernel wrote a whole event, at whatever alignment.
            let event = unsafe { rest.as_ptr().cast::<libc::inotify_event>().read_unaligned() };
            let end = HEAD + event.len as usize;
            let name = rest[HEAD..end].split(|byte| *byte == 0).next();
            self.take(&event, OsStr::from_bytes(name.unwrap_or_default()), changes);
            rest = &rest[end..];
        }
        self.buffer = buffer;
        let drained = read + HEAD + (libc::PATH_MAX as usize) < BUFFER;
        if drained && self.found.is_empty() {
            for node in self.nodes.values_mut() {
                if !node.listed.is_empty() {
                    node.listed = HashSet::new();
                }
            }
        }
        match error.raw() {
            _ if count >= 0 => Ok(count > 0),
            libc::EAGAIN => Ok(false),
            libc::EINTR => Ok(true),
            _ => Err(error.into()),
        }
    }

    /// Whether the first half of a move waits for the second.
    #[must_use]
    pub fn half_moved(&self) -> bool {
        self.half_moved.is_some()
    }

    /// The second half did not come: it was moved away, to where nobody watches.
    pub fn settle(&mut self) -> Option<Change> {
        let half = self.half_moved.take()?;
        let path = self.path(half.parent, &half.name);
        let child = self
            .nodes
            .get_mut(&half.parent)?
            .children
            .remove(&half.name);
        if let Some(child) = child {
            self.forget(child, true);
        }
        Some(change(Kind::Deleted, path, half.directory))
    }

    /// Whether what was watched is gone.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.ended
    }

    fn take(&mut self, event: &libc::inotify_event, name: &OsStr, changes: &mut Vec<Change>) {
        let (number, mask) = (event.wd, event.mask);
        let directory = mask & libc::IN_ISDIR != 0;
        if mask & libc::IN_Q_OVERFLOW != 0 {
            changes.extend(self.settle());
            changes.push(change(Kind::Overflow, self.whole(), true));
            if self.recursive {
                self.list(self.root, false, &mut Vec::new());
            }
            return;
        }
        if self.ended || !self.nodes.contains_key(&number) {
            return; // Of a folder that was left.
        }
        if name.is_empty() {
            self.take_own(number, mask, changes);
            return;
        }
        if self.only.as_deref().is_some_and(|only| only != name) {
            return;
        }
        let second = self
            .half_moved
            .take_if(|half| mask & libc::IN_MOVED_TO != 0 && half.cookie == event.cookie);
        // Only what concerns the same name must come after the first half's end.
        if self.half_moved.as_ref().is_some_and(|half| {
            mask & libc::IN_MOVED_FROM != 0 || (half.parent == number && half.name == name)
        }) {
            changes.extend(self.settle());
        }
        let path = self.path(number, name);
        if mask & libc::IN_MOVED_FROM != 0 {
            if let Some(node) = self.nodes.get_mut(&number) {
                node.listed.remove(name);
            }
            self.half_moved = Some(HalfMoved {
                cookie: event.cookie,
                parent: number,
                name: name.to_owned(),
                directory,
            });
        } else if let Some(first) = second {
            let from = self.path(first.parent, &first.name);
            let child = self.nodes.get_mut(&first.parent);
            let child = child.and_then(|node| node.children.remove(&first.name));
            self.replaced(number, name);
            if let Some(child) = child {
                self.place(child, number, name.to_owned());
            } else if directory && self.recursive {
                // It moved before it was watched.
                self.find(number, name, true);
            }
            changes.push(Change {
                from: Some(from),
                ..change(Kind::Moved, path, directory)
            });
        } else if mask & (libc::IN_CREATE | libc::IN_MOVED_TO) != 0 {
            let node = self.nodes.get_mut(&number);
            let told = node.is_some_and(|node| node.listed.remove(name));
            if !told || mask & libc::IN_MOVED_TO != 0 {
                self.replaced(number, name);
                changes.push(change(Kind::Created, path, directory));
                if directory && self.recursive {
                    self.find(number, name, true);
                }
            }
        } else if mask & libc::IN_DELETE != 0 {
            self.replaced(number, name);
            changes.push(change(Kind::Deleted, path, directory));
        } else {
            let kinds = [
                (libc::IN_MODIFY, Kind::Modified),
                (libc::IN_CLOSE_WRITE, Kind::Written),
                (libc::IN_ATTRIB, Kind::Attributes),
            ];
            for (bit, kind) in kinds {
                if mask & bit != 0 {
                    changes.push(change(kind, path.clone(), directory));
                }
            }
        }
    }

    /// An event of a watched folder itself.
    fn take_own(&mut self, number: i32, mask: u32, changes: &mut Vec<Change>) {
        let gone = libc::IN_DELETE_SELF | libc::IN_MOVE_SELF | libc::IN_IGNORED | libc::IN_UNMOUNT;
        if number == self.root {
            if mask & gone != 0 {
                changes.extend(self.settle());
                self.ended = true;
                changes.push(change(Kind::Gone, self.whole(), self.only.is_none()));
            } else if mask & libc::IN_ATTRIB != 0 && self.only.is_none() {
                changes.push(change(Kind::Attributes, self.whole(), true));
            }
        } else if mask & libc::IN_IGNORED != 0 {
            // The rest its parent tells.
            self.forget(number, false);
        }
    }

    /// What is watched.
    fn whole(&self) -> PathBuf {
        match &self.only {
            Some(name) => self.top.join(name),
            None => self.top.clone(),
        }
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watcher")
            .field("path", &self.whole())
            .field("folders", &self.nodes.len())
            .finish_non_exhaustive()
    }
}
