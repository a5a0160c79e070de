//! Files, without blocking the loop.
//!
//! Opening, reading, writing, syncing, asking what is known, renaming and removing go through io_uring where the kernel allows
//! it, and otherwise through a few threads of the driver's: `rondeau_driver` decides, by asking. What has no operation there
//! (directories, permissions, links) is done by the pool behind [`spawn_blocking`](crate::spawn_blocking).
//!
//! No operation borrows: what the kernel reads or writes belongs to the operation until it has ended, also where the future
//! that waited for it was dropped.
//!
//! ```
//! # let folder = std::env::temp_dir().join(format!("rondeau-fs-{}", std::process::id()));
//! use rondeau::fs;
//!
//! rondeau::run(async {
//!     fs::create_dir_all(&folder).await?;
//!     let (dressing, menu) = (folder.join("dressing"), folder.join("menu"));
//!     let (one, two) = rondeau::gather!(fs::write(&dressing, "oil"), fs::write_atomic(&menu, "salad"));
//!     one.and(two)?;
//!     assert_eq!(fs::read_to_string(&dressing).await?, "oil");
//!     assert_eq!(fs::metadata(&menu).await?.len(), 5);
//!     fs::remove_dir_all(&folder).await
//! })
//! # .unwrap();
//! ```

mod directories;
mod file;
mod lines;
mod names;
mod open_options;
pub(crate) mod operation;
pub(crate) mod sequence;
pub mod watch;
mod whole;

pub use directories::{DirEntry, create_dir, create_dir_all, read_dir, remove_dir, remove_dir_all};
pub use file::File;
pub(crate) use file::room;
pub use lines::Lines;
pub use names::{
    canonicalize, copy, hard_link, metadata, read_link, remove_file, rename, set_permissions,
    symlink, symlink_metadata,
};
pub use open_options::OpenOptions;
/// What is known of a file: its kind, its length, its times (`statx(2)`).
pub use rondeau_driver::file::Stat;
pub use whole::{read, read_to_string, write, write_atomic};
