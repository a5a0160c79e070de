//! What is done to a file by its name.

use std::io;
use std::path::{Path, PathBuf};

use rondeau_driver::file::{Stat, stat_of};
use rondeau_driver::{Op, Output, work};

use super::file::{assistant, stat};
use super::open_options::c_path;
use super::operation::Operation;

/// What is known of what the path leads to.
///
/// # Errors
/// Those of `statx(2)`, such as `NotFound`.
pub async fn metadata(path: impl AsRef<Path>) -> io::Result<Stat> {
    stat(stat_of(c_path(path.as_ref())?, true)).await
}

/// What is known of what has this name: of a symbolic link itself.
///
/// # Errors
/// Those of `statx(2)`.
pub async fn symlink_metadata(path: impl AsRef<Path>) -> io::Result<Stat> {
    stat(stat_of(c_path(path.as_ref())?, false)).await
}

/// Removes a file's name; the file itself goes with its last name and its last opener.
///
/// # Errors
/// Those of `unlink(2)`.
pub async fn remove_file(path: impl AsRef<Path>) -> io::Result<()> {
    let path = c_path(path.as_ref())?;
    Operation::begin(Op::Unlink { path }).await?.result?;
    Ok(())
}

/// Gives a file or directory another name, in place of what has that name.
///
/// # Errors
/// Those of `rename(2)`, such as `CrossesDevices`.
pub async fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
    let (from, to) = (c_path(from.as_ref())?, c_path(to.as_ref())?);
    Operation::begin(Op::Rename { from, to }).await?.result?;
    Ok(())
}

/// Copies a file's bytes and permissions, inside the kernel where it can (`copy_file_range(2)`); the number of bytes. Holes stay holes.
///
/// # Errors
/// Those of `open(2)`, `read(2)` and `write(2)`; `InvalidInput` where both are the same file.
pub async fn copy(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<u64> {
    let op = work::copy(c_path(from.as_ref())?, c_path(to.as_ref())?, None);
    match Operation::begin(op).await?.result? {
        Output::Made(made) => match made.downcast::<work::Made>().map(|made| *made) {
            Ok(work::Made::Number(count)) => Ok(count),
            other => unreachable!("a copy gives a number, not {other:?}"),
        },
        other => unreachable!("a copy gives a number, not {other:?}"),
    }
}

/// Gives a file a second name.
///
/// # Errors
/// Those of `link(2)`.
pub async fn hard_link(original: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    let (original, link) = owned(original, link);
    assistant(move || std::fs::hard_link(original, link)).await
}

/// Makes a symbolic link that leads to `original`.
///
/// # Errors
/// Those of `symlink(2)`.
pub async fn symlink(original: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    let (original, link) = owned(original, link);
    assistant(move || std::os::unix::fs::symlink(original, link)).await
}

/// Where a symbolic link leads to.
///
/// # Errors
/// Those of `readlink(2)`.
pub async fn read_link(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    let path = path.as_ref().to_owned();
    assistant(move || std::fs::read_link(path)).await
}

/// The path without symbolic links, dots and doubled slashes, from the root.
///
/// # Errors
/// Those of `realpath(3)`.
pub async fn canonicalize(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    let path = path.as_ref().to_owned();
    assistant(move || std::fs::canonicalize(path)).await
}

/// Changes a file's permissions.
///
/// # Errors
/// Those of `chmod(2)`.
pub async fn set_permissions(
    path: impl AsRef<Path>,
    permissions: std::fs::Permissions,
) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    assistant(move || std::fs::set_permissions(path, permissions)).await
}

fn owned(one: impl AsRef<Path>, other: impl AsRef<Path>) -> (PathBuf, PathBuf) {
    (one.as_ref().to_owned(), other.as_ref().to_owned())
}
