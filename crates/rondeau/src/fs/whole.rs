//! Whole files at once.

use std::io;
use std::path::Path;

use rondeau_driver::work;

use super::file::File;
use super::open_options::c_path;
use super::operation::Operation;

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
/// An old file's permissions are kept, and its owner where that is allowed; a new one is its owner's alone to read and write. A future that is
/// dropped meanwhile leaves the file's old or its new contents, and nothing beside it.
///
/// # Errors
/// Those of the steps. The old file is untouched then, unless it was the directory that could not be synced.
pub async fn write_atomic(path: impl AsRef<Path>, bytes: impl Into<Vec<u8>>) -> io::Result<()> {
    let how = work::Replace {
        sync: true,
        mode: None,
    };
    let op = work::write_atomic_owned(c_path(path.as_ref())?, bytes.into(), how);
    Operation::begin(op).await?.result?;
    Ok(())
}
