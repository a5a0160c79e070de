//! The watched folders: how they are found, watched, placed under their parents, moved and forgotten.
//!
//! Part of [`Watcher`], which reads the events. Invariants: each node but the root's is among its parent's `children` under its name, and
//! the kernel has a watch of its number.

use std::collections::{HashMap, HashSet};
use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use super::change::{Change, Kind, WatchError, change};
use super::{MASK, Watcher};
use crate::errno::Errno;

/// A watched folder.
pub(super) struct Node {
    pub(super) parent: i32,
    pub(super) name: OsString,
    pub(super) children: HashMap<OsString, i32>,
    /// What was found by listing it and may be told by the kernel too.
    pub(super) listed: HashSet<OsString>,
}

/// A folder that is to be watched and listed.
pub(super) struct Found {
    pub(super) parent: i32,
    pub(super) name: OsString,
    /// Whether what is in it is told.
    pub(super) told: bool,
}

impl Node {
    pub(super) fn new(parent: i32, name: OsString) -> Self {
        Node {
            parent,
            name,
            children: HashMap::new(),
            listed: HashSet::new(),
        }
    }
}

impl Watcher {
    /// Whether there are new folders to be watched and listed.
    #[must_use]
    pub fn has_found(&self) -> bool {
        !self.found.is_empty()
    }

    /// Watches and lists new folders, and those in them. Blocks as long as the disk takes.
    ///
    /// # Errors
    /// There are no watches left. What is not watched then stays so.
    pub fn scan(&mut self) -> Result<Vec<Change>, WatchError> {
        let mut changes = Vec::new();
        while let Some(found) = self.found.pop() {
            if !self.nodes.contains_key(&found.parent) {
                continue; // Its folder went meanwhile.
            }
            let path = self.path(found.parent, &found.name);
            match self.add(&path, MASK | libc::IN_DONT_FOLLOW) {
                Ok(number) => {
                    self.place(number, found.parent, found.name);
                    self.list(number, found.told, &mut changes);
                }
                Err(errno) if matches!(errno.raw(), libc::ENOSPC | libc::ENOMEM) => {
                    return Err(WatchError { errno, path });
                }
                Err(_) => {} // Gone again, no folder any more, or not ours to read.
            }
        }
        Ok(changes)
    }

    /// Nothing of that name is in the folder any more; what comes is another.
    pub(super) fn replaced(&mut self, parent: i32, name: &OsStr) {
        let Some(node) = self.nodes.get_mut(&parent) else {
            return;
        };
        node.listed.remove(name);
        if let Some(child) = node.children.remove(name) {
            self.forget(child, true);
        }
    }

    /// Forgets a folder and those below it. `watched`: the kernel still has the watch, unless the folder is gone.
    pub(super) fn forget(&mut self, number: i32, watched: bool) {
        let Some(node) = self.nodes.remove(&number) else {
            return;
        };
        if let Some(parent) = self.nodes.get_mut(&node.parent) {
            if parent.children.get(&node.name) == Some(&number) {
                parent.children.remove(&node.name);
            }
        }
        if watched {
            // SAFETY: `inotify_rm_watch` takes no pointers. That the watch has gone by itself is no matter.
            unsafe { libc::inotify_rm_watch(self.fd(), number) };
        }
        for child in node.children.into_values() {
            self.forget(child, true);
        }
    }

    pub(super) fn place(&mut self, number: i32, parent: i32, name: OsString) {
        if number == self.root {
            return; // Bound into itself: once is enough.
        }
        match self.nodes.get_mut(&number) {
            Some(node) => {
                let (former, old) = (node.parent, std::mem::replace(&mut node.name, name.clone()));
                node.parent = parent;
                if let Some(former) = self.nodes.get_mut(&former) {
                    if former.children.get(&old) == Some(&number) {
                        former.children.remove(&old);
                    }
                }
            }
            None => {
                self.nodes.insert(number, Node::new(parent, name.clone()));
            }
        }
        if let Some(parent) = self.nodes.get_mut(&parent) {
            parent.children.insert(name, number);
        }
    }

    pub(super) fn find(&mut self, parent: i32, name: &OsStr, told: bool) {
        self.found.push(Found {
            parent,
            name: name.to_owned(),
            told,
        });
    }

    /// What is in a folder whose watch has begun.
    pub(super) fn list(&mut self, number: i32, told: bool, changes: &mut Vec<Change>) {
        let path = self.path(number, OsStr::new(""));
        let Ok(entries) = std::fs::read_dir(if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            &path
        }) else {
            return; // Gone again, or not ours to read.
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if told {
                changes.push(change(Kind::Created, path.join(&name), directory));
                if let Some(node) = self.nodes.get_mut(&number) {
                    node.listed.insert(name.clone());
                }
            }
            if directory {
                self.find(number, &name, told);
            }
        }
    }

    /// The whole path of what is called `name` in a folder, or of the folder.
    pub(super) fn path(&self, number: i32, name: &OsStr) -> PathBuf {
        let mut names = vec![name];
        let mut at = number;
        while let Some(node) = self.nodes.get(&at).filter(|_| at != self.root) {
            names.push(&node.name);
            at = node.parent;
        }
        let mut path = self.top.clone();
        path.extend(names.into_iter().rev().filter(|name| !name.is_empty()));
        path
    }

    pub(super) fn add(&self, path: &Path, mask: u32) -> Result<i32, Errno> {
        let path = CString::new(path.as_os_str().to_owned().into_vec())
            .map_err(|_| Errno::from_raw(libc::EINVAL))?;
        // SAFETY: the path ends in NUL and lives through the call.
        let number = unsafe { libc::inotify_add_watch(self.fd(), path.as_ptr(), mask) };
        if number < 0 {
            Err(Errno::last())
        } else {
            Ok(number)
        }
    }
}
