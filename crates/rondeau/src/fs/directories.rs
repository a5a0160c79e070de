//! Directories: the kernel has no operations for them that the ring could carry out, so a thread of the pool does.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use super::file::assistant;

/// Makes a directory.
///
/// # Errors
/// Those of `mkdir(2)`, such as `AlreadyExists`.
pub async fn create_dir(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    assistant(move || std::fs::create_dir(path)).await
}

/// Makes a directory and those above it that are not there.
///
/// # Errors
/// Those of `mkdir(2)`; that it is there already is none.
pub async fn create_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    assistant(move || std::fs::create_dir_all(path)).await
}

/// Removes an empty directory.
///
/// # Errors
/// Those of `rmdir(2)`, such as `DirectoryNotEmpty`.
pub async fn remove_dir(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    assistant(move || std::fs::remove_dir(path)).await
}

/// Removes a directory with all that is in it; symbolic links are removed and not followed.
///
/// # Errors
/// Those of `std::fs::remove_dir_all`. A part may be removed then.
pub async fn remove_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    assistant(move || std::fs::remove_dir_all(path)).await
}

/// What is in a directory, without `.` and `..`, in no order.
///
/// # Errors
/// Those of `opendir(3)` and `readdir(3)`.
pub async fn read_dir(path: impl AsRef<Path>) -> io::Result<Vec<DirEntry>> {
    let path = path.as_ref().to_owned();
    assistant(move || {
        std::fs::read_dir(path)?
            .map(|entry| {
                let entry = entry?;
                Ok(DirEntry {
                    path: entry.path(),
                    kind: entry.file_type()?,
                })
            })
            .collect()
    })
    .await
}

/// An entry of a directory.
#[derive(Clone, Debug)]
pub struct DirEntry {
    path: PathBuf,
    kind: std::fs::FileType,
}

impl DirEntry {
    /// The directory's path and the entry's name.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name.
    #[must_use]
    pub fn file_name(&self) -> OsString {
        self.path.file_name().unwrap_or_default().to_owned()
    }

    /// Whether it is a file, a directory, a link; a link is not followed.
    #[must_use]
    pub fn file_type(&self) -> std::fs::FileType {
        self.kind
    }
}
