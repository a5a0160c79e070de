//! The io_uring form of each operation.
//!
//! The opcodes are those of Linux 5.1–5.11 (`io_uring_enter(2)`); [`NEEDED`] names them for the probe.

use io_uring::{opcode, squeue, types};
use std::os::fd::AsRawFd;

use crate::op::{Flight, HERE, Op};
use crate::perform::AT_MOST;

/// Every opcode that [`encode`] may produce, the cancel and the ring's timer.
pub(crate) const NEEDED: [u8; 11] = [
    opcode::OpenAt::CODE,
    opcode::Read::CODE,
    opcode::Write::CODE,
    opcode::Writev::CODE,
    opcode::Fsync::CODE,
    opcode::Statx::CODE,
    opcode::Close::CODE,
    opcode::UnlinkAt::CODE,
    opcode::RenameAt::CODE,
    opcode::AsyncCancel::CODE,
    opcode::Timeout::CODE,
];

/// More bytes than this are copied by a kernel thread (`IOSQE_ASYNC`), also where the page cache has them: the copy would be
/// made inside the loop's own system call, 50 to 100 µs a MiB, and everybody would wait for it.
pub const INLINE: usize = 64 * 1024;

/// But of larger reads so many bytes may be copied there by one system call: a thread's hop costs 14 µs, and a file that is read from
/// end to end by a MiB at a time would take 1.28 of what blocking reads take, against 1.09.
pub(crate) const INLINE_TOGETHER: usize = 1024 * 1024;

/// The submission entry. It points into the flight's heap memory (buffer, paths, stat), never into the flight itself,
/// so the flight may be moved but not dropped or changed until the completion has come.
/// `room` is what is left of [`INLINE_TOGETHER`].
pub(crate) fn encode(flight: &mut Flight, room: &mut usize) -> squeue::Entry {
    let cwd = types::Fd(libc::AT_FDCWD);
    let entry = match &mut flight.op {
        Op::Open { path, flags, mode } => opcode::OpenAt::new(cwd, path.as_ptr())
            .flags(*flags | libc::O_CLOEXEC)
            .mode(*mode)
            .build(),
        Op::Read { fd, buf, offset } => {
            let spare = buf.spare_capacity_mut();
            let len = spare.len().min(AT_MOST) as u32;
            let entry =
                opcode::Read::new(types::Fd(fd.as_raw_fd()), spare.as_mut_ptr().cast(), len)
                    .offset(offset.unwrap_or(HERE))
                    .build();
            read_apart(entry, len as usize, *offset, room)
        }
        Op::ReadInto { fd, to, offset } => {
            let len = to.len().min(AT_MOST) as u32;
            let entry = opcode::Read::new(types::Fd(fd.as_raw_fd()), to.start(), len)
                .offset(offset.unwrap_or(HERE))
                .build();
            read_apart(entry, len as usize, *offset, room)
        }
        Op::Writev { fd, parts, offset } => {
            let entry =
                opcode::Writev::new(types::Fd(fd.as_raw_fd()), parts.as_ptr(), parts.count())
                    .offset(offset.unwrap_or(HERE))
                    .build();
            apart(entry, usize::MAX, *offset)
        }
        Op::Work(_) => unreachable!("work goes to the pool: `Files::submit`"),
        Op::Write { fd, buf, offset } => {
            let bytes = buf.as_slice();
            let len = bytes.len().min(AT_MOST) as u32;
            let entry = opcode::Write::new(types::Fd(fd.as_raw_fd()), bytes.as_ptr(), len)
                .offset(offset.unwrap_or(HERE))
                .build();
            apart(entry, len as usize, *offset)
        }
        Op::Fsync { fd, data_only } => {
            let flags = if *data_only {
                types::FsyncFlags::DATASYNC
            } else {
                types::FsyncFlags::empty()
            };
            opcode::Fsync::new(types::Fd(fd.as_raw_fd()))
                .flags(flags)
                .build()
        }
        Op::Statx {
            dir,
            path,
            flags,
            mask,
        } => {
            let dir = dir.as_ref().map_or(cwd, |fd| types::Fd(fd.as_raw_fd()));
            opcode::Statx::new(dir, path.as_ptr(), flight.stat.as_mut_ptr().cast())
                .flags(*flags)
                .mask(*mask)
                .build()
        }
        Op::Close(fd) => opcode::Close::new(types::Fd(fd.as_raw_fd())).build(),
        Op::Unlink { path } => opcode::UnlinkAt::new(cwd, path.as_ptr()).build(),
        Op::Rename { from, to } => {
            opcode::RenameAt::new(cwd, from.as_ptr(), cwd, to.as_ptr()).build()
        }
    };
    entry.user_data(flight.id.0)
}

/// Marks a large transfer at an offset as one for a kernel thread. A stream's (no offset) waits by itself until it is ready.
fn apart(entry: squeue::Entry, len: usize, offset: Option<u64>) -> squeue::Entry {
    if len > INLINE && offset.is_some() {
        entry.flags(squeue::Flags::ASYNC)
    } else {
        entry
    }
}

/// The same of a read, for which there may be room.
fn read_apart(
    entry: squeue::Entry,
    len: usize,
    offset: Option<u64>,
    room: &mut usize,
) -> squeue::Entry {
    if len > INLINE && len <= *room && offset.is_some() {
        *room -= len;
        return entry;
    }
    apart(entry, len, offset)
}
