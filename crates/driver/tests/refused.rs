//! Where a container's filter refuses io_uring or epoll_pwait2, the driver goes on without and says why.
//!
//! Each test puts a seccomp filter on a thread of its own, as Docker's default profile does on all of them.

#![allow(clippy::unwrap_used)]

mod both;

use rondeau_driver::{Backend, Choice, Driver, Events, Op, Output};
use std::thread;
use std::time::{Duration, Instant};

/// Makes this thread, and those it starts, get `errno` for the system call `number`.
fn refuse(number: i64, errno: i32) {
    let step = |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    };
    let mut filter = [
        // The first field of seccomp_data is the number of the call.
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        step(
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            0,
            1,
            number as u32,
        ),
        step(
            libc::BPF_RET | libc::BPF_K,
            0,
            0,
            libc::SECCOMP_RET_ERRNO | errno as u32,
        ),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: `program` names a valid filter that lives through the calls.
    let set = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
            | libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &program)
    };
    assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
}

/// Runs `test` in a thread that is refused `number`.
fn with_refused(number: i64, errno: i32, test: fn()) {
    let tested = thread::spawn(move || {
        refuse(number, errno);
        test();
    });
    tested.join().unwrap();
}

fn files_go_to_threads() {
    let mut driver = Driver::new(Choice::Auto).unwrap();
    for when in ["before", "after"] {
        let backend = driver.backend();
        assert!(
            matches!(backend, Backend::Threads { .. }),
            "{when} the first operation"
        );
        let text = backend.to_string();
        assert!(
            text.contains("io_uring is refused") && text.contains("filter"),
            "{text}"
        );
        let op = Op::Open {
            path: c"/dev/null".into(),
            flags: libc::O_RDONLY,
            mode: 0,
        };
        assert!(matches!(both::output(&mut driver, op), Output::Fd(_)));
    }
}

#[test]
fn a_container_without_io_uring_has_threads() {
    for errno in [libc::EPERM, libc::ENOSYS] {
        with_refused(libc::SYS_io_uring_setup, errno, files_go_to_threads);
    }
}

#[test]
fn io_uring_that_was_asked_for_and_is_refused_is_an_error() {
    with_refused(libc::SYS_io_uring_setup, libc::EPERM, || {
        let error = Driver::new(Choice::Uring).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
        assert!(
            error.to_string().contains("kernel.io_uring_disabled"),
            "{error}"
        );
    });
}

#[test]
fn a_kernel_without_epoll_pwait2_waits_in_milliseconds() {
    for errno in [libc::EPERM, libc::ENOSYS] {
        with_refused(libc::SYS_epoll_pwait2, errno, || {
            let driver = Driver::new(Choice::Auto).unwrap();
            let (begun, timeout) = (Instant::now(), Duration::from_micros(1_100));
            let found = driver.park(&mut Events::new(), Some(timeout)).unwrap();
            assert_eq!(found, 0);
            assert!(begun.elapsed() >= timeout);
        });
    }
}
