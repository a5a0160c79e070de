//! No descriptor is left over. A file of its own, with one test, since it counts the whole process's.

#![allow(clippy::unwrap_used)]

mod both;

use both::{next, output, pipe};
use rondeau_driver::{Choice, Driver, Events, Interest, Op, Output, socket};
use std::collections::BTreeSet;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

/// The open descriptors, each with what it is.
fn open_now() -> BTreeSet<String> {
    let listing = std::fs::read_dir("/proc/self/fd").unwrap();
    let names = listing.filter_map(|entry| {
        let path = entry.unwrap().path();
        let target = std::fs::read_link(&path).ok()?; // the listing's own is gone by now
        (!target.ends_with("fd")).then(|| format!("{} -> {}", path.display(), target.display()))
    });
    names.collect()
}

fn leaves_nothing(step: &str, run: impl Fn()) {
    run(); // whatever the process sets up once
    let before = open_now();
    for _ in 0..3 {
        run();
    }
    let after = open_now();
    assert_eq!(
        after.difference(&before).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "{step}"
    );
}

#[test]
fn no_step_leaves_a_descriptor() {
    for choice in [Choice::Auto, Choice::Epoll] {
        // 1. a driver that did nothing; its waker may live longer, and holds one descriptor as long.
        leaves_nothing("new and drop", || drop(Driver::new(choice).unwrap()));

        // 2. the backend's probe.
        leaves_nothing("backend", || drop(Driver::new(choice).unwrap().backend()));

        // 3. sockets registered and not removed.
        leaves_nothing("registered", || {
            let driver = Driver::new(choice).unwrap();
            let (here, _there) = socket::pair().unwrap();
            driver.add(here.as_raw_fd(), Interest::WRITE, 1).unwrap();
            assert_eq!(
                driver
                    .park(&mut Events::new(), Some(Duration::ZERO))
                    .unwrap(),
                1
            );
        });

        // 4. files opened, and closed by an operation or by their owner.
        leaves_nothing("files", || {
            let mut driver = Driver::new(choice).unwrap();
            for by_operation in [true, false] {
                let op = Op::Open {
                    path: c"/dev/null".into(),
                    flags: libc::O_RDONLY,
                    mode: 0,
                };
                let Output::Fd(fd) = output(&mut driver, op) else {
                    panic!()
                };
                if by_operation {
                    output(&mut driver, Op::Close(fd));
                }
            }
        });

        // 5. operations in flight at the end, and results never reaped.
        leaves_nothing("in flight", || {
            let mut driver = Driver::new(choice).unwrap();
            let (from, _to) = pipe();
            driver.submit(
                Op::Read {
                    fd: Arc::new(from),
                    buf: Vec::with_capacity(9),
                    offset: None,
                },
                1,
            );
            driver.flush();
            for waiter in 2..20 {
                let op = Op::Open {
                    path: c"/dev/null".into(),
                    flags: libc::O_RDONLY,
                    mode: 0,
                };
                driver.submit(op, waiter);
                driver.submit(Op::Close(pipe().0), waiter);
            }
            next(&mut driver);
        });

        // 6. cancelled operations.
        leaves_nothing("cancelled", || {
            let mut driver = Driver::new(choice).unwrap();
            let (from, _to) = pipe();
            let read = Op::Read {
                fd: Arc::new(from),
                buf: Vec::with_capacity(9),
                offset: None,
            };
            let ids = [
                driver.submit(read, 1),
                driver.submit(Op::Close(pipe().0), 2),
            ];
            driver.flush();
            ids.into_iter().for_each(|id| driver.cancel(id));
            while driver.in_flight() > 0 {
                next(&mut driver);
            }
        });
    }
}
