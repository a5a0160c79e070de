//! Telling the kernel what to watch. Called by `add_reader` and its kin, and by transports.

use rondeau_driver::{Driver, Interest};
use std::io;
use std::os::fd::RawFd;

/// What the kernel knew of a number.
pub enum Asked {
    /// What was expected.
    Again,
    /// Nothing, though it was told to watch it: the number was closed and opened again.
    Anew,
}

/// Asks the kernel for `wanted` where it was asked for `asked`. A number that was closed and opened again without a word to the
/// loop is not what it was: the kernel says ENOENT or EEXIST, and the other call is right. In a fork nothing is asked: the kernel would
/// change what it reports to the parent.
pub fn ask(driver: &Driver, fd: RawFd, asked: Interest, wanted: Interest) -> io::Result<Asked> {
    if driver.is_forked() {
        return Ok(Asked::Again);
    }
    let token = fd as u64;
    if wanted.is_empty() {
        // A descriptor that is closed already is not registered any more.
        let _ = driver.remove(fd);
        return Ok(Asked::Again);
    }
    let first = if asked == Interest::NONE {
        driver.add(fd, wanted, token)
    } else {
        driver.modify(fd, wanted, token)
    };
    match first {
        Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {
            driver.modify(fd, wanted, token).map(|()| Asked::Again)
        }
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
            driver.add(fd, wanted, token).map(|()| Asked::Anew)
        }
        done => done.map(|()| Asked::Again),
    }
}
