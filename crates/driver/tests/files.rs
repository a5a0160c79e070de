//! Operations on files give what the blocking calls give, on io_uring and on threads.

#![allow(clippy::unwrap_used)]

mod both;

use both::{next, one, output};
use rondeau_driver::{Buf, Choice, Driver, Errno, Op, Output, SharedFd};
use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

on_both_back_ends![
    a_file_lives_through_all_operations,
    a_read_appends_and_ends_at_the_end_of_file,
    no_offset_means_the_files_own_position,
    errors_come_back_as_numbers_with_the_buffers,
    a_thousand_operations_in_flight_all_come_back,
    more_operations_than_both_queues_hold,
    writes_take_bytes_from_any_owner,
    statx_follows_flags_and_descriptors,
    a_close_closes,
    an_opened_file_is_close_on_exec,
];

fn c(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap()
}

fn open(driver: &mut Driver, path: &Path, flags: i32) -> SharedFd {
    match output(
        driver,
        Op::Open {
            path: c(path),
            flags,
            mode: 0o600,
        },
    ) {
        Output::Fd(fd) => Arc::new(fd),
        other => panic!("{other:?}"),
    }
}

fn count(output: Output) -> usize {
    if let Output::Count(count) = output {
        count
    } else {
        panic!("{output:?}")
    }
}

fn a_file_lives_through_all_operations(choice: Choice) {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (dir.path().join("old"), dir.path().join("new"));
    let mut driver = Driver::new(choice).unwrap();

    let fd = open(
        &mut driver,
        &old,
        libc::O_RDWR | libc::O_CREAT | libc::O_EXCL,
    );
    let write = Op::Write {
        fd: fd.clone(),
        buf: b"hello soup".to_vec().into(),
        offset: Some(0),
    };
    assert_eq!(count(output(&mut driver, write)), 10);
    for data_only in [false, true] {
        let fsync = Op::Fsync {
            fd: fd.clone(),
            data_only,
        };
        assert!(matches!(output(&mut driver, fsync), Output::Unit));
    }
    let read = Op::Read {
        fd: fd.clone(),
        buf: Vec::with_capacity(64),
        offset: Some(6),
    };
    let done = one(&mut driver, read);
    assert_eq!(count(done.result.unwrap()), 4);
    assert_eq!(
        Some(Buf::as_slice(done.buf.as_ref().unwrap())),
        Some(&b"soup"[..])
    );

    let rename = Op::Rename {
        from: c(&old),
        to: c(&new),
    };
    assert!(matches!(output(&mut driver, rename), Output::Unit));
    assert_eq!(fs::read(&new).unwrap(), b"hello soup");
    assert!(!old.exists());
    assert!(matches!(
        output(&mut driver, Op::Unlink { path: c(&new) }),
        Output::Unit
    ));
    assert!(!new.exists());
    let fd = Arc::try_unwrap(fd).expect("no operation holds it any more");
    assert!(matches!(output(&mut driver, Op::Close(fd)), Output::Unit));
    assert_eq!(driver.in_flight(), 0);
}

fn a_read_appends_and_ends_at_the_end_of_file(choice: Choice) {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), b"abcdef").unwrap();
    let mut driver = Driver::new(choice).unwrap();
    let fd = open(&mut driver, file.path(), libc::O_RDONLY);

    let mut buf = Vec::with_capacity(8);
    buf.extend_from_slice(b"--");
    let done = one(
        &mut driver,
        Op::Read {
            fd: fd.clone(),
            buf,
            offset: Some(3),
        },
    );
    assert!(matches!(done.result, Ok(Output::Count(3))));
    let buf = done.into_vec().unwrap();
    assert_eq!(buf, b"--def");

    let done = one(
        &mut driver,
        Op::Read {
            fd,
            buf,
            offset: Some(6),
        },
    );
    assert!(matches!(done.result, Ok(Output::Count(0))));
    assert_eq!(done.into_vec().unwrap(), b"--def");
}

fn no_offset_means_the_files_own_position(choice: Choice) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut driver = Driver::new(choice).unwrap();
    let fd = open(&mut driver, file.path(), libc::O_RDWR);
    for part in [&b"one "[..], b"two"] {
        output(
            &mut driver,
            Op::Write {
                fd: fd.clone(),
                buf: Buf::Static(part),
                offset: None,
            },
        );
    }
    assert_eq!(fs::read(file.path()).unwrap(), b"one two");

    let (read, write) = both::pipe();
    let (read, write) = (Arc::new(read), Arc::new(write));
    driver.submit(
        Op::Read {
            fd: read,
            buf: Vec::with_capacity(16),
            offset: None,
        },
        1,
    );
    driver.flush();
    driver.submit(
        Op::Write {
            fd: write,
            buf: Buf::Static(b"through a pipe"),
            offset: None,
        },
        2,
    );
    let mut done = [next(&mut driver), next(&mut driver)];
    done.sort_by_key(|done| done.waiter);
    let [read, write] = done;
    assert_eq!(count(write.result.unwrap()), 14);
    assert!(matches!(read.result, Ok(Output::Count(14))));
    assert_eq!(read.into_vec().unwrap(), b"through a pipe");
}

fn errors_come_back_as_numbers_with_the_buffers(choice: Choice) {
    let dir = tempfile::tempdir().unwrap();
    let missing = c(&dir.path().join("missing"));
    let mut driver = Driver::new(choice).unwrap();
    let ops = [
        Op::Open {
            path: missing.clone(),
            flags: libc::O_RDONLY,
            mode: 0,
        },
        Op::Unlink {
            path: missing.clone(),
        },
        Op::Rename {
            from: missing.clone(),
            to: missing.clone(),
        },
        Op::Statx {
            dir: None,
            path: missing,
            flags: 0,
            mask: libc::STATX_BASIC_STATS,
        },
    ];
    for op in ops {
        assert_eq!(
            one(&mut driver, op).result.unwrap_err(),
            Errno(libc::ENOENT)
        );
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    let fd = open(&mut driver, file.path(), libc::O_RDONLY);
    let done = one(
        &mut driver,
        Op::Write {
            fd,
            buf: b"kept".to_vec().into(),
            offset: Some(0),
        },
    );
    assert_eq!(done.result.as_ref().unwrap_err(), &Errno(libc::EBADF));
    assert_eq!(done.into_vec().unwrap(), b"kept");
}

fn a_thousand_operations_in_flight_all_come_back(choice: Choice) {
    in_flight_at_once(choice, 1000);
}

fn more_operations_than_both_queues_hold(choice: Choice) {
    in_flight_at_once(choice, 5000);
}

/// Writes and reads back `n` 8-byte records, all submitted before the first is reaped.
fn in_flight_at_once(choice: Choice, n: u64) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut driver = Driver::new(choice).unwrap();
    let fd = open(&mut driver, file.path(), libc::O_RDWR);
    for i in 0..n {
        let buf = i.to_le_bytes().to_vec().into();
        driver.submit(
            Op::Write {
                fd: fd.clone(),
                buf,
                offset: Some(i * 8),
            },
            i,
        );
    }
    assert_eq!(driver.in_flight(), n as usize);
    let mut seen = vec![false; n as usize];
    for _ in 0..n {
        let done = next(&mut driver);
        assert!(matches!(done.result, Ok(Output::Count(8))), "{done:?}");
        assert!(!std::mem::replace(&mut seen[done.waiter as usize], true));
        assert_eq!(
            done.buf.as_ref().unwrap().as_slice(),
            done.waiter.to_le_bytes()
        );
    }
    assert_eq!((driver.in_flight(), driver.reap().is_none()), (0, true));

    for i in 0..n {
        driver.submit(
            Op::Read {
                fd: fd.clone(),
                buf: Vec::with_capacity(8),
                offset: Some(i * 8),
            },
            i,
        );
    }
    for _ in 0..n {
        let done = next(&mut driver);
        let waiter = done.waiter;
        assert_eq!(done.into_vec().unwrap(), waiter.to_le_bytes());
    }
}

fn writes_take_bytes_from_any_owner(choice: Choice) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut driver = Driver::new(choice).unwrap();
    let fd = open(&mut driver, file.path(), libc::O_WRONLY);
    let shared: Arc<[u8]> = Arc::from(&b"shared"[..]);
    let owner = Buf::Owner(Box::new(shared.clone()));
    let done = one(
        &mut driver,
        Op::Write {
            fd,
            buf: owner,
            offset: Some(0),
        },
    );
    assert_eq!(
        Arc::strong_count(&shared),
        2,
        "the owner comes back with the completion"
    );
    drop(done);
    assert_eq!(Arc::strong_count(&shared), 1);
    assert_eq!(fs::read(file.path()).unwrap(), b"shared");
}

fn statx_follows_flags_and_descriptors(choice: Choice) {
    let dir = tempfile::tempdir().unwrap();
    let (file, link) = (dir.path().join("file"), dir.path().join("link"));
    fs::write(&file, [0; 1234]).unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    let mut driver = Driver::new(choice).unwrap();
    let mut size_and_type = |dir, path, flags| {
        let mask = libc::STATX_BASIC_STATS;
        match output(
            &mut driver,
            Op::Statx {
                dir,
                path,
                flags,
                mask,
            },
        ) {
            Output::Statx(stat) => (stat.stx_size, u32::from(stat.stx_mode) & libc::S_IFMT),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(size_and_type(None, c(&link), 0), (1234, libc::S_IFREG));
    assert_eq!(
        size_and_type(None, c(&link), libc::AT_SYMLINK_NOFOLLOW).1,
        libc::S_IFLNK
    );
    let opened: SharedFd = Arc::new(fs::File::open(dir.path()).unwrap().into());
    assert_eq!(
        size_and_type(Some(opened.clone()), c"file".into(), 0),
        (1234, libc::S_IFREG)
    );
    assert_eq!(
        size_and_type(Some(opened), c"".into(), libc::AT_EMPTY_PATH).1,
        libc::S_IFDIR
    );
}

fn a_close_closes(choice: Choice) {
    let (read, write) = both::pipe();
    let mut driver = Driver::new(choice).unwrap();
    assert!(matches!(
        output(&mut driver, Op::Close(write)),
        Output::Unit
    ));
    // The last writer is gone: end of file, where an open pipe would block for ever.
    let done = one(
        &mut driver,
        Op::Read {
            fd: Arc::new(read),
            buf: Vec::with_capacity(1),
            offset: None,
        },
    );
    assert!(matches!(done.result, Ok(Output::Count(0))));
}

fn an_opened_file_is_close_on_exec(choice: Choice) {
    use std::os::fd::AsRawFd;
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut driver = Driver::new(choice).unwrap();
    let fd = open(&mut driver, file.path(), libc::O_RDONLY);
    // SAFETY: no pointers are passed.
    let flags = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFD) };
    assert_eq!(flags & libc::FD_CLOEXEC, libc::FD_CLOEXEC);
}
