//! A forked child may drop the parent's driver without touching the parent's operations.
//! A file of its own, since a fork copies only the calling thread.

#![allow(clippy::unwrap_used)]

mod both;

use rondeau_driver::{Buf, Choice, Driver, Events, Interest, Op, Output};
use std::os::fd::AsRawFd;
use std::sync::Arc;

/// Runs `child` in a fork; whether it ended well.
fn forked(child: impl FnOnce()) -> bool {
    // SAFETY: the child runs `child` and leaves by `_exit`, without the parent's exit handlers.
    unsafe {
        let pid = libc::fork();
        if pid == 0 {
            let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child));
            libc::_exit(i32::from(ended.is_err()));
        }
        let mut status = -1;
        assert_eq!(libc::waitpid(pid, &mut status, 0), pid);
        status == 0
    }
}

#[test]
fn the_child_leaves_the_parents_operations_alone() {
    for choice in [Choice::Auto, Choice::Epoll] {
        let mut driver = Some(Driver::new(choice).unwrap());
        let (from, to) = both::pipe();
        let (from, to) = (Arc::new(from), Arc::new(to));
        let parent = driver.as_mut().unwrap();
        let id = parent.submit(
            Op::Read {
                fd: from,
                buf: Vec::with_capacity(9),
                offset: None,
            },
            1,
        );
        parent.flush();

        assert!(forked(|| drop(driver.take())), "dropped in the child");
        assert!(
            forked(|| {
                let mut own = Driver::new(choice).unwrap();
                let op = Op::Open {
                    path: c"/dev/null".into(),
                    flags: libc::O_RDONLY,
                    mode: 0,
                };
                assert!(matches!(both::output(&mut own, op), Output::Fd(_)));
            }),
            "a child's own driver works"
        );
        assert!(
            forked(|| {
                let inherited = driver.as_mut().unwrap();
                inherited.cancel(id);
                inherited.flush();
                assert!(inherited.reap().is_none());
            }),
            "a child that uses the parent's gets nothing done"
        );

        let parent = driver.as_mut().unwrap();
        parent.submit(
            Op::Write {
                fd: to,
                buf: Buf::Static(b"still"),
                offset: None,
            },
            2,
        );
        let mut done = [both::next(parent), both::next(parent)];
        done.sort_by_key(|done| done.waiter);
        let [read, _] = done;
        assert_eq!(read.into_vec().unwrap(), b"still");
    }
}

#[test]
fn the_child_leaves_what_the_parent_watches_alone() {
    let driver = Driver::new(Choice::Auto).unwrap();
    let (ours, theirs) = rondeau_driver::socket::pair().unwrap();
    driver.add(ours.as_raw_fd(), Interest::READ, 7).unwrap();
    assert!(!driver.is_forked());
    assert!(forked(|| {
        assert!(driver.is_forked());
        driver.remove(ours.as_raw_fd()).unwrap();
    }));
    rondeau_driver::socket::send(theirs.as_raw_fd(), b"x").unwrap();
    let mut events = Events::new();
    assert_eq!(driver.park(&mut events, None).unwrap(), 1);
}
