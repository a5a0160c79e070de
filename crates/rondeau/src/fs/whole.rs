//! Whole files at once.

use std::ffi::OsString;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rondeau_driver::file::open_directory;

use super::file::File;
use super::names::{metadata, remove_file, rename, set_permissions};
use super::open_options::{OpenOptions, c_path, open};

/// All bytes of a file.
///
/// # Errors
/// Those of `open(2)` and `read(2)`.
pub async fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    File::open(path).await?.read_to_end().await
}

/// All of a file, as text.
///
/// # Errors
/// Those of [`read`]; `InvalidData` where it is not UTF-8.
pub async fn read_to_string(path: impl AsRef<Path>) -> io::Result<String> {
    File::open(path).await?.read_to_string().await
}

/// Makes `bytes` the content of a file, old or new. Whoever reads it meanwhile may see a part; see [`write_atomic`].
///
/// # Errors
/// Those of `open(2)` and `write(2)`. A part may be written then.
pub async fn write(path: impl AsRef<Path>, bytes: impl Into<Vec<u8>>) -> io::Result<()> {
    let file = File::create(path).await?;
    file.write_all(bytes).await?;
    file.close().await
}

/// Makes `bytes` the content of a file, whole or not at all, also where the machine stops in the middle: a new file beside it is
/// written, synced and renamed, and then the directory is synced.
///
/// An old file's permissions are kept; a new one is its owner's alone to read and write.
///
/// # Errors
/// Those of the steps. The old file is untouched then, unless it was the directory that could not be synced.
pub async fn write_atomic(path: impl AsRef<Path>, bytes: impl Into<Vec<u8>>) -> io::Result<()> {
    let path = path.as_ref();
    let beside = beside(path)?;
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)
        .await?;
    let filled = fill(path, &beside, file, bytes.into()).await;
    if filled.is_err() {
        // The first failure is the one to tell of.
        let _ = remove_file(&beside).await;
        return filled;
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    open(open_directory(c_path(folder)?))
        .await?
        .sync_all()
        .await
}

async fn fill(path: &Path, beside: &Path, file: File, bytes: Vec<u8>) -> io::Result<()> {
    file.write_all(bytes).await?;
    match metadata(path).await {
        Ok(old) => set_permissions(beside, Permissions::from_mode(old.mode() & 0o7777)).await?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    file.sync_all().await?;
    file.close().await?;
    rename(beside, path).await
}

/// A name in the same directory that nobody else uses.
fn beside(path: &Path) -> io::Result<PathBuf> {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let Some(name) = path.file_name() else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{path:?} names no file"),
        ));
    };
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}-{number}", std::process::id()));
    Ok(path.with_file_name(hidden))
}
