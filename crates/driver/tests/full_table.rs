//! With the descriptor table full, calls fail with EMFILE and everything goes on when there is room again.
//! A file of its own, since the limit is the process's.

#![allow(clippy::unwrap_used)]

mod both;

use rondeau_driver::{Choice, Driver, Errno, Events, Interest, Op, Output, SockAddr, socket};
use std::fs::File;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::time::Duration;

/// Runs `then` while no descriptor can be opened.
fn with_a_full_table<T>(then: impl FnOnce() -> T) -> T {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is a valid rlimit, filled by the call.
    let got = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    assert_eq!(got, 0);
    let before = limit.rlim_cur;
    let set = |limit: &libc::rlimit| {
        // SAFETY: `limit` is a valid rlimit.
        let set = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, limit) };
        assert_eq!(set, 0);
    };
    limit.rlim_cur = 200;
    set(&limit);
    let mut fillers = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        fillers.push(file);
    }
    let result = then();
    drop(fillers);
    limit.rlim_cur = before;
    set(&limit);
    result
}

#[test]
fn a_full_table_is_an_error_and_no_end() {
    // 1. accept: EMFILE, and the connection is still there afterwards.
    let driver = Driver::new(Choice::Auto).unwrap();
    let mut events = Events::new();
    let anywhere = SockAddr::from(SocketAddr::from(([127, 0, 0, 1], 0)));
    let listener = socket::listener(&anywhere, 8).unwrap();
    let addr = socket::local_addr(listener.as_raw_fd()).unwrap();
    let asking = socket::open(libc::AF_INET, libc::SOCK_STREAM).unwrap();
    driver.add(listener.as_raw_fd(), Interest::READ, 1).unwrap();
    let _ = socket::connect(asking.as_raw_fd(), &addr);
    driver.park(&mut events, None).unwrap();
    let refused = with_a_full_table(|| socket::accept(listener.as_raw_fd()).unwrap_err());
    assert_eq!(refused.raw_os_error(), Some(libc::EMFILE));
    assert_eq!(
        driver.park(&mut events, Some(Duration::ZERO)).unwrap(),
        1,
        "still reported"
    );
    socket::accept(listener.as_raw_fd()).unwrap();

    // 2. a new driver: the error, and nothing left behind.
    let refused = with_a_full_table(|| Driver::new(Choice::Auto).unwrap_err());
    assert_eq!(refused.raw_os_error(), Some(libc::EMFILE));

    for choice in [Choice::Auto, Choice::Epoll] {
        // 3. the first operation finds no descriptor for its back end: it fails, the next ones do not.
        let mut driver = Driver::new(choice).unwrap();
        let open = || Op::Open {
            path: c"/dev/null".into(),
            flags: libc::O_RDONLY,
            mode: 0,
        };
        let done = with_a_full_table(|| both::one(&mut driver, open()));
        assert_eq!(done.result.unwrap_err(), Errno(libc::EMFILE));
        assert!(matches!(
            both::one(&mut driver, open()).result,
            Ok(Output::Fd(_))
        ));
        if choice == Choice::Auto {
            let fresh = Driver::new(choice).unwrap();
            assert_eq!(
                driver.backend(),
                fresh.backend(),
                "the ring was not given up for ever"
            );
        }

        // 4. an open on a back end that works.
        let done = with_a_full_table(|| both::one(&mut driver, open()));
        assert_eq!(done.result.unwrap_err(), Errno(libc::EMFILE));
    }
}
