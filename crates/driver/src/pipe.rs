//! Reading what is not only sockets: pipes, FIFOs, terminals, one system call each. Called by the Python face's pipe transports.
//!
//! Descriptors are borrowed as numbers and nothing is retried, as in [`crate::socket`].

use crate::errno::check_len;
use std::io;
use std::os::fd::RawFd;

/// `read(2)` at the descriptor's own position; 0 is the end of the file.
///
/// # Errors
/// The errno; `WouldBlock` when there is nothing yet.
#[inline]
pub fn read(fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the kernel writes at most `len` bytes, all inside `buffer`.
    check_len(unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len()) })
}

#[cfg(test)]
mod tests {
    use super::read;
    use std::io::Write;
    use std::os::fd::AsRawFd;

    #[test]
    fn a_pipe_gives_what_it_holds_and_then_its_end() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let mut room = [0; 8];
        writer.write_all(b"soup").unwrap();
        assert_eq!(read(reader.as_raw_fd(), &mut room).unwrap(), 4);
        assert_eq!(&room[..4], b"soup");
        drop(writer);
        assert_eq!(read(reader.as_raw_fd(), &mut room).unwrap(), 0);
    }

    #[test]
    fn a_number_of_nobody_is_an_error() {
        assert_eq!(
            read(-1, &mut [0]).unwrap_err().raw_os_error(),
            Some(libc::EBADF)
        );
    }
}
