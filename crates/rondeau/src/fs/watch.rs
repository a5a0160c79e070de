//! What changes under a path, one change after the other: the driver's watcher (`rondeau_driver::watch`), waited for as a socket is.
//!
//! Folders are gone through by the pool behind `spawn_blocking`, at the beginning and where new ones appear; all else is a read that does
//! not block.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, ErrorKind};
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rondeau_driver::watch::Watcher;
pub use rondeau_driver::watch::{Change, Kind};

use super::file::assistant;
use crate::net::socket::Socket;

/// How long the first half of a move waits for the second: the kernel queues both within one `rename(2)`.
const HALF: Duration = Duration::from_millis(50);

/// Begins to watch a file or a folder; `recursive`: with all folders below it, also new ones.
///
/// A file is watched by its name: it may be replaced by another, or go and come again. Symbolic links below the path are not followed.
///
/// ```
/// # let folder = std::env::temp_dir().join(format!("rondeau-fs-watch-{}", std::process::id()));
/// use rondeau::fs;
/// use rondeau::fs::watch::Kind;
///
/// rondeau::run(async {
///     fs::create_dir_all(&folder).await?;
///     let mut changes = fs::watch::watch(&folder, true).await?;
///     fs::write(folder.join("menu"), "soup").await?;
///     let change = changes.next().await?.expect("the folder is there");
///     assert_eq!((change.kind, change.path), (Kind::Created, folder.join("menu")));
///     fs::remove_dir_all(&folder).await
/// })
/// # .unwrap();
/// ```
///
/// # Errors
/// `NotFound` and the like; where the kernel has no watches left (`StorageFull`) the text says what to raise.
pub async fn watch(path: impl AsRef<Path>, recursive: bool) -> io::Result<Watch> {
    let path = path.as_ref().to_owned();
    let watcher = assistant(move || Ok(Watcher::new(&path, recursive)?)).await?;
    // SAFETY: the watcher lives to the end of this statement.
    let own = unsafe { BorrowedFd::borrow_raw(watcher.fd()) }.try_clone_to_owned()?;
    Ok(Watch {
        socket: Socket::new(own, false)?,
        watcher: Arc::new(Mutex::new(watcher)),
        changes: VecDeque::new(),
    })
}

/// A path that is watched. Made by [`watch`]; the watch ends when it is dropped.
pub struct Watch {
    // A duplicate of the watcher's descriptor, since a thread may hold the watcher longer than this lives.
    socket: Socket,
    watcher: Arc<Mutex<Watcher>>,
    changes: VecDeque<Change>,
}

impl Watch {
    /// The next change; `None` after [`Kind::Gone`].
    ///
    /// Dropped while it waits, it loses nothing: the next call has what came.
    ///
    /// # Errors
    /// The kernel has no watches left for a new folder: what is below that is not watched.
    pub async fn next(&mut self) -> io::Result<Option<Change>> {
        loop {
            if let Some(change) = self.changes.pop_front() {
                return Ok(Some(change));
            }
            let (found, half_moved, ended) = {
                let watcher = lock(&self.watcher);
                (watcher.has_found(), watcher.half_moved(), watcher.ended())
            };
            if ended {
                return Ok(None);
            }
            if found {
                let watcher = Arc::clone(&self.watcher);
                self.changes
                    .extend(assistant(move || Ok(lock(&watcher).scan()?)).await?);
                continue;
            }
            let read = self.socket.call(self.socket.reading(), |_| {
                let mut watcher = lock(&self.watcher);
                let changes = watcher.read()?;
                let news = watcher.has_found() || watcher.ended();
                if changes.is_empty() && !news && watcher.half_moved() == half_moved {
                    return Err(ErrorKind::WouldBlock.into());
                }
                Ok(changes)
            });
            let changes = if half_moved {
                match crate::timeout(HALF, read).await {
                    Ok(changes) => changes?,
                    Err(_) => lock(&self.watcher).settle().into_iter().collect(),
                }
            } else {
                read.await?
            };
            self.changes.extend(changes);
        }
    }
}

fn lock(watcher: &Mutex<Watcher>) -> MutexGuard<'_, Watcher> {
    watcher.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Watch").field(&self.watcher).finish()
    }
}
