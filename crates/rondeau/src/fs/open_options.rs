//! How a file is opened.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rondeau_driver::file::{Access, without_access};
use rondeau_driver::{Op, Output};

use super::file::File;
use super::operation::Operation;

/// How to open a file: `std::fs::OpenOptions`, with an `open` to await.
///
/// # Examples
/// ```
/// # let path = std::env::temp_dir().join(format!("rondeau-options-{}", std::process::id()));
/// use rondeau::fs;
///
/// rondeau::run(async {
///     let log = fs::OpenOptions::new().append(true).create(true).open(&path).await?;
///     log.write_all("soup\n").await?;
///     log.write_all("roast\n").await?;
///     assert_eq!(fs::read_to_string(&path).await?, "soup\nroast\n");
///     fs::remove_file(&path).await
/// })
/// # .unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct OpenOptions {
    access: Access,
    mode: u32,
    custom_flags: i32,
}

impl OpenOptions {
    /// Nothing is allowed yet.
    #[must_use]
    pub fn new() -> Self {
        OpenOptions {
            access: Access::default(),
            mode: 0o666,
            custom_flags: 0,
        }
    }

    /// The file may be read.
    pub fn read(&mut self, yes: bool) -> &mut Self {
        self.access.read = yes;
        self
    }

    /// The file may be written.
    pub fn write(&mut self, yes: bool) -> &mut Self {
        self.access.write = yes;
        self
    }

    /// Each write goes to the end of the file, wherever that is then (`O_APPEND`).
    pub fn append(&mut self, yes: bool) -> &mut Self {
        self.access.append = yes;
        self
    }

    /// The file is emptied first.
    pub fn truncate(&mut self, yes: bool) -> &mut Self {
        self.access.truncate = yes;
        self
    }

    /// The file is made if there is none.
    pub fn create(&mut self, yes: bool) -> &mut Self {
        self.access.create = yes;
        self
    }

    /// The file is made; it is an error if there is one (`O_EXCL`).
    pub fn create_new(&mut self, yes: bool) -> &mut Self {
        self.access.create_new = yes;
        self
    }

    /// The permissions of a file that is made, less the process's umask; 0o666 unless told.
    pub fn mode(&mut self, mode: u32) -> &mut Self {
        self.mode = mode;
        self
    }

    /// Further flags of `open(2)`, such as `O_NOFOLLOW`; those that decide about reading and writing are left out of them.
    pub fn custom_flags(&mut self, flags: i32) -> &mut Self {
        self.custom_flags = flags;
        self
    }

    /// Opens the file.
    ///
    /// # Errors
    /// Those of `open(2)`; `InvalidInput` for options that contradict each other and for a path with a zero byte.
    pub async fn open(&self, path: impl AsRef<Path>) -> io::Result<File> {
        let op = Op::Open {
            path: c_path(path.as_ref())?,
            flags: self.access.flags()? | without_access(self.custom_flags),
            mode: self.mode,
        };
        open(op).await
    }
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// Carries out an [`Op::Open`].
pub(super) async fn open(op: Op) -> io::Result<File> {
    match Operation::begin(op).await?.result? {
        Output::Fd(fd) => Ok(File::new(fd)),
        other => unreachable!("an open gives a descriptor, not {other:?}"),
    }
}

/// The path as the kernel takes it.
pub(super) fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("the path {path:?} contains a zero byte"),
        )
    })
}
