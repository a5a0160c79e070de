//! Descriptors are reported as epoll promises, and socket errors come through as the kernel gave them.

#![allow(clippy::unwrap_used)]

use rondeau_driver::{Choice, Driver, Event, Events, Interest, SockAddr, socket};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::thread::JoinHandleExt;
use std::time::{Duration, Instant};

fn driver() -> (Driver, Events) {
    (
        Driver::new(Choice::from_env().unwrap()).unwrap(),
        Events::new(),
    )
}

/// What a look at the kernel reports without waiting.
fn look(driver: &Driver, events: &mut Events) -> Vec<Event> {
    driver.park(events, Some(Duration::ZERO)).unwrap();
    events.iter().collect()
}

fn loopback() -> SockAddr {
    SockAddr::from(SocketAddr::from(([127, 0, 0, 1], 0)))
}

/// A connected pair of TCP sockets: who asked, who accepted.
fn tcp() -> (OwnedFd, OwnedFd) {
    let listener = socket::listener(&loopback(), 1).unwrap();
    let addr = socket::local_addr(listener.as_raw_fd()).unwrap();
    let (asking, pending) = socket::dial(&addr).unwrap();
    assert!(pending, "TCP connects in the background");
    let (driver, mut events) = driver();
    driver.add(listener.as_raw_fd(), Interest::READ, 0).unwrap();
    driver.park(&mut events, None).unwrap();
    let (accepted, peer) = socket::accept(listener.as_raw_fd()).unwrap();
    assert_eq!(peer, socket::local_addr(asking.as_raw_fd()).unwrap());
    assert_eq!(socket::peer_addr(asking.as_raw_fd()).unwrap(), addr);
    (asking, accepted)
}

#[test]
fn what_is_not_read_is_reported_again() {
    let (driver, mut events) = driver();
    let (here, there) = socket::pair().unwrap();
    driver.add(here.as_raw_fd(), Interest::READ, 5).unwrap();
    assert_eq!(look(&driver, &mut events), []);
    socket::send(there.as_raw_fd(), b"ab").unwrap();
    for _ in 0..3 {
        let seen = look(&driver, &mut events);
        assert_eq!(seen.len(), 1);
        assert!(
            seen[0].token == 5 && seen[0].readiness.readable() && !seen[0].readiness.writable()
        );
    }
    assert_eq!(socket::recv(here.as_raw_fd(), &mut [0; 9]).unwrap(), 2);
    assert_eq!(look(&driver, &mut events), []);
    let empty = socket::recv(here.as_raw_fd(), &mut [0; 9]).unwrap_err();
    assert_eq!(empty.kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn an_edge_is_reported_once() {
    let (driver, mut events) = driver();
    let (here, there) = socket::pair().unwrap();
    driver
        .add(here.as_raw_fd(), Interest::READ | Interest::EDGE, 5)
        .unwrap();
    for byte in [b"a", b"b"] {
        socket::send(there.as_raw_fd(), byte).unwrap();
        assert_eq!(look(&driver, &mut events).len(), 1);
        assert_eq!(look(&driver, &mut events), []);
    }
}

#[test]
fn interest_and_token_are_changed_and_removed() {
    let (driver, mut events) = driver();
    let (here, there) = socket::pair().unwrap();
    let fd = here.as_raw_fd();
    driver.add(fd, Interest::READ, 1).unwrap();
    assert_eq!(
        driver
            .add(fd, Interest::READ, 1)
            .unwrap_err()
            .raw_os_error(),
        Some(libc::EEXIST)
    );
    driver
        .modify(fd, Interest::READ | Interest::WRITE, 2)
        .unwrap();
    socket::send(there.as_raw_fd(), b"x").unwrap();
    let seen = look(&driver, &mut events);
    assert!(seen[0].token == 2 && seen[0].readiness.readable() && seen[0].readiness.writable());
    driver.modify(fd, Interest::NONE, 3).unwrap();
    assert_eq!(look(&driver, &mut events), []);
    driver.remove(fd).unwrap();
    assert_eq!(
        driver.remove(fd).unwrap_err().raw_os_error(),
        Some(libc::ENOENT)
    );
    assert_eq!(
        driver
            .modify(fd, Interest::READ, 4)
            .unwrap_err()
            .raw_os_error(),
        Some(libc::ENOENT)
    );
    let file = std::fs::File::open("/proc/self/exe").unwrap();
    let regular = driver.add(file.as_raw_fd(), Interest::READ, 5).unwrap_err();
    assert_eq!(
        regular.raw_os_error(),
        Some(libc::EPERM),
        "epoll takes no regular files"
    );
}

#[test]
fn another_thread_registers_during_a_park() {
    let (driver, mut events) = driver();
    let (here, there) = socket::pair().unwrap();
    socket::send(there.as_raw_fd(), b"x").unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| driver.add(here.as_raw_fd(), Interest::READ, 9).unwrap());
        driver.park(&mut events, None).unwrap();
    });
    assert_eq!(events.get(0).map(|event| event.token), Some(9));
}

#[test]
fn more_ready_than_there_is_room_for_come_in_turns() {
    let (driver, _) = driver();
    let mut events = Events::with_capacity(4);
    let pairs: Vec<_> = (0..10).map(|_| socket::pair().unwrap()).collect();
    for (token, (here, _)) in pairs.iter().enumerate() {
        driver
            .add(here.as_raw_fd(), Interest::WRITE, token as u64)
            .unwrap();
    }
    let mut seen = [false; 10];
    for _ in 0..3 {
        look(&driver, &mut events)
            .iter()
            .for_each(|event| seen[event.token as usize] = true);
    }
    assert_eq!(seen, [true; 10]);
}

#[test]
fn end_of_file_and_hang_up_are_readable() {
    let (driver, mut events) = driver();
    let (here, there) = socket::pair().unwrap();
    driver.add(here.as_raw_fd(), Interest::READ, 1).unwrap();
    socket::shutdown(there.as_raw_fd(), socket::How::Write).unwrap();
    let half = look(&driver, &mut events)[0].readiness;
    assert!(half.readable() && !half.hangup());
    assert_eq!(socket::recv(here.as_raw_fd(), &mut [0; 9]).unwrap(), 0);
    driver.modify(here.as_raw_fd(), Interest::NONE, 1).unwrap();
    assert_eq!(
        look(&driver, &mut events),
        [],
        "a half-closed peer does not spin a paused reader"
    );
    drop(there);
    let whole = look(&driver, &mut events)[0].readiness;
    assert!(whole.hangup() && whole.readable() && whole.writable());
}

#[test]
fn a_reset_by_the_peer_is_reported_and_collected() {
    let (driver, mut events) = driver();
    let (here, there) = tcp();
    driver.add(here.as_raw_fd(), Interest::READ, 1).unwrap();
    // Closing with unread data makes TCP send a reset.
    socket::send(here.as_raw_fd(), b"never read").unwrap();
    driver.add(there.as_raw_fd(), Interest::READ, 2).unwrap();
    driver.park(&mut events, None).unwrap();
    drop(there);
    driver.park(&mut events, None).unwrap();
    let seen: Vec<_> = events.iter().collect();
    assert!(seen[0].token == 1 && seen[0].readiness.error() && seen[0].readiness.readable());
    let reset = socket::recv(here.as_raw_fd(), &mut [0; 9]).unwrap_err();
    assert_eq!(reset.kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(
        socket::send(here.as_raw_fd(), b"x").unwrap_err().kind(),
        io::ErrorKind::BrokenPipe
    );
}

#[test]
fn a_refused_connection_is_the_sockets_error() {
    let (driver, mut events) = driver();
    let nobody = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let asking = socket::open(libc::AF_INET, libc::SOCK_STREAM).unwrap();
    let pending = socket::connect(asking.as_raw_fd(), &nobody.into()).unwrap_err();
    if pending.raw_os_error() == Some(libc::EINPROGRESS) {
        driver.add(asking.as_raw_fd(), Interest::WRITE, 1).unwrap();
        driver.park(&mut events, None).unwrap();
        let error = socket::take_error(asking.as_raw_fd()).unwrap().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert!(
            socket::take_error(asking.as_raw_fd()).unwrap().is_none(),
            "taking it clears it"
        );
    } else {
        assert_eq!(pending.kind(), io::ErrorKind::ConnectionRefused);
    }
}

#[test]
fn datagrams_carry_their_senders_address() {
    let [one, two] = [(); 2].map(|()| {
        let fd = socket::open(libc::AF_INET, libc::SOCK_DGRAM).unwrap();
        socket::bind(fd.as_raw_fd(), &loopback()).unwrap();
        let addr = socket::local_addr(fd.as_raw_fd()).unwrap();
        (fd, addr)
    });
    for payload in [&b"ping"[..], b""] {
        assert_eq!(
            socket::send_to(one.0.as_raw_fd(), payload, &two.1).unwrap(),
            payload.len()
        );
        let mut got = [0; 9];
        assert_eq!(
            socket::recv_from(two.0.as_raw_fd(), &mut got).unwrap(),
            (payload.len(), one.1.clone())
        );
    }
}

#[test]
fn unix_sockets_by_path_and_by_abstract_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let abstract_name = format!("\0rondeau-{}", std::process::id());
    for name in [path.to_str().unwrap().as_bytes(), abstract_name.as_bytes()] {
        let addr = SockAddr::unix(name).unwrap();
        let listener = socket::listener(&addr, 1).unwrap();
        assert_eq!(socket::local_addr(listener.as_raw_fd()).unwrap(), addr);
        let asking = socket::open(libc::AF_UNIX, libc::SOCK_STREAM).unwrap();
        socket::connect(asking.as_raw_fd(), &addr).unwrap();
        let (_accepted, peer) = socket::accept(listener.as_raw_fd()).unwrap();
        assert_eq!(peer.as_unix(), Some(&b""[..]), "the asking side is unnamed");
        assert_eq!(
            socket::accept(listener.as_raw_fd()).unwrap_err().kind(),
            io::ErrorKind::WouldBlock
        );
    }
}

#[test]
fn a_park_never_ends_before_its_time() {
    let (driver, mut events) = driver();
    for timeout in [1, 1_000, 999_999, 1_500_000].map(Duration::from_nanos) {
        let begun = Instant::now();
        assert_eq!(driver.park(&mut events, Some(timeout)).unwrap(), 0);
        assert!(begun.elapsed() >= timeout && !events.woken());
    }
}

#[test]
fn a_signal_interrupts_a_park() {
    extern "C" fn ignore(_: libc::c_int) {}
    // SAFETY: the handler does nothing; without SA_RESTART, and epoll_wait is never restarted anyway (signal(7)).
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = ignore as *const () as usize;
        libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut());
    }
    let (driver, mut events) = driver();
    let parked = std::thread::spawn(move || {
        let result = driver.park(&mut events, None);
        result.unwrap_err().kind()
    });
    let target = parked.as_pthread_t();
    while !parked.is_finished() {
        // SAFETY: the thread has not been joined, so its handle is valid; one that has ended gives ESRCH.
        unsafe { libc::pthread_kill(target, libc::SIGUSR1) };
        std::thread::yield_now();
    }
    assert_eq!(parked.join().unwrap(), io::ErrorKind::Interrupted);
}
