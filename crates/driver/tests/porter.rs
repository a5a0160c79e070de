//! The door at which a process is asked: who comes in, what is heard, and that nothing a guest does holds it up.

use rondeau_driver::porter::{Peer, Porter, Visit};
use rondeau_driver::{Quiet, SockAddr, socket, user};
use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

fn name(of: &str) -> String {
    format!("rondeau-test/{}/{of}", std::process::id())
}

fn knock(name: &str) -> OwnedFd {
    // SAFETY: no pointers; the descriptor is new.
    let fd = unsafe {
        OwnedFd::from_raw_fd(libc::socket(
            libc::AF_UNIX,
            libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC,
            0,
        ))
    };
    let address = SockAddr::unix(format!("\0{name}").as_bytes()).expect("short");
    socket::connect(fd.as_raw_fd(), &address).expect("somebody listens");
    fd
}

fn asked(porter: &mut Porter) -> (std::sync::Arc<rondeau_driver::porter::Guest>, Vec<u8>) {
    match porter.next(|_| Ok(b"hello".into())) {
        Visit::Asked(guest, question) => (guest, question),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_question_is_heard_and_answered() {
    let name = name("heard");
    let mut porter = Porter::open(&name).expect("opens");
    let fd = knock(&name);
    socket::send(fd.as_raw_fd(), b"what is for dinner?").expect("sent");
    let (guest, question) = asked(&mut porter);
    assert_eq!(question, b"what is for dinner?");
    assert_eq!(
        guest.peer(),
        Peer {
            pid: std::process::id(),
            uid: user()
        }
    );
    guest.tell(b"soup").expect("told");
    let mut buffer = [0; 64];
    for said in [&b"hello"[..], b"soup"] {
        let length = socket::recv(fd.as_raw_fd(), &mut buffer).expect("received");
        assert_eq!(&buffer[..length], said);
    }
}

#[test]
fn a_long_answer_is_a_sealed_file() {
    let name = name("file");
    let mut porter = Porter::open(&name).expect("opens");
    let fd = knock(&name);
    socket::send(fd.as_raw_fd(), b"all of it").expect("sent");
    let long = vec![b'x'; 3_000_000];
    asked(&mut porter)
        .0
        .hand_over(b"here", &long)
        .expect("handed over");

    let mut control = [0_u64; 8];
    let mut buffer = [0_u8; 16];
    let mut part = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    // SAFETY: all that the header points to lives for the call; the kernel has put one descriptor into the control buffer.
    let mut file = unsafe {
        let mut header: libc::msghdr = std::mem::zeroed();
        header.msg_iov = &mut part;
        header.msg_iovlen = 1;
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = size_of_val(&control) as _;
        let greeting = libc::recv(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), 16, 0);
        assert_eq!(greeting, 5);
        assert_eq!(libc::recvmsg(fd.as_raw_fd(), &mut header, 0), 4);
        let first = libc::CMSG_FIRSTHDR(&header);
        File::from_raw_fd(libc::CMSG_DATA(first).cast::<i32>().read_unaligned())
    };
    assert_eq!(&buffer[..4], b"here");
    file.rewind().expect("a file");
    let mut content = Vec::new();
    file.read_to_end(&mut content).expect("readable");
    assert!(content == long);
    // SAFETY: the command takes nothing.
    let seals = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GET_SEALS) };
    assert!(seals & libc::F_SEAL_WRITE != 0);
}

#[test]
fn who_is_not_admitted_is_told_so_and_heard_no_further() {
    let name = name("refused");
    let mut porter = Porter::open(&name).expect("opens");
    let bell = porter.bell();
    let fd = knock(&name);
    let thread = std::thread::spawn(move || porter.next(|_| Err(b"no".into())));
    let mut buffer = [0; 64];
    assert_eq!(socket::recv(fd.as_raw_fd(), &mut buffer).expect("told"), 2);
    assert_eq!(
        socket::recv(fd.as_raw_fd(), &mut buffer).expect("closed"),
        0
    );
    assert!(bell.ring());
    assert!(matches!(thread.join().expect("no panic"), Visit::Over));
}

#[test]
fn the_seventeenth_guest_sends_the_first_away() {
    let name = name("many");
    let mut porter = Porter::open(&name).expect("opens");
    let silent: Vec<OwnedFd> = (0..16).map(|_| knock(&name)).collect();
    let last = knock(&name);
    socket::send(last.as_raw_fd(), b"and me?").expect("sent");
    assert_eq!(asked(&mut porter).1, b"and me?");
    let mut buffer = [0; 64];
    for length in [5, 0] {
        let received = socket::recv(silent[0].as_raw_fd(), &mut buffer);
        assert_eq!(received.expect("told, then sent away"), length);
    }
    socket::send(silent[1].as_raw_fd(), b"I am still here").expect("still open");
}

#[test]
fn a_question_that_is_too_long_is_none() {
    let name = name("long");
    let mut porter = Porter::open(&name).expect("opens");
    let fd = knock(&name);
    let size: libc::c_int = 2_000_000;
    // SAFETY: the kernel reads an int. SO_SNDBUFFORCE where it may, since the usual limit is below the longest question.
    unsafe {
        for option in [libc::SO_SNDBUF, libc::SO_SNDBUFFORCE] {
            libc::setsockopt(
                fd.as_raw_fd(),
                libc::SOL_SOCKET,
                option,
                (&raw const size).cast(),
                size_of_val(&size) as u32,
            );
        }
    }
    if socket::send(fd.as_raw_fd(), &vec![b'?'; 300_000]).is_err() {
        return; // EMSGSIZE: this machine lets nobody send so much.
    }
    assert!(matches!(
        porter.next(|_| Ok(b"hello".into())),
        Visit::TooLong(_)
    ));
}

#[test]
fn a_name_that_is_taken_gets_a_number() {
    let name = name("taken");
    let _squatter = Porter::open(&name).expect("opens");
    let mut second = Porter::open(&name).expect("opens");
    let fd = knock(&format!("{name}.1"));
    socket::send(fd.as_raw_fd(), b"?").expect("sent");
    assert_eq!(asked(&mut second).1, b"?");
}

#[test]
fn the_bell_ends_the_wait() {
    let mut porter = Porter::open(&name("bell")).expect("opens");
    let bell = porter.bell();
    let thread = Quiet::start("porter", 128 * 1024, move || {
        assert!(matches!(porter.next(|_| Ok(b"hello".into())), Visit::Over));
    })
    .expect("starts");
    assert!(bell.ring());
    thread.join();
}

#[test]
fn a_quiet_thread_is_not_counted_once_it_was_joined() {
    // SAFETY: no pointers.
    let count = || std::fs::read_dir("/proc/self/task").expect("proc").count();
    let (send, receive) = std::sync::mpsc::channel::<()>();
    let (say, number) = std::sync::mpsc::channel();
    let thread = Quiet::start("quiet", 128 * 1024, move || {
        say.send(rondeau_driver::thread::number()).expect("heard");
        let _ = receive.recv();
    })
    .expect("starts");
    let number = number.recv().expect("said");
    let path = format!("/proc/self/task/{number}");
    assert!(std::path::Path::new(&path).exists() && count() >= 2);
    drop(send);
    thread.join();
    assert!(!std::path::Path::new(&path).exists());
}

#[test]
fn a_number_that_the_program_gave_to_another_file_is_left_alone() {
    let porter = Porter::open(&name("closed")).expect("opens");
    let bell = porter.bell();
    // The door is the newest socket of this name: found as the program that closes everything would.
    let door = (3..1000)
        .find(|fd| {
            socket::local_addr(*fd)
                .is_ok_and(|own| own.as_unix() == Some(format!("\0{}", name("closed")).as_bytes()))
        })
        .expect("it is open");
    let own = socket::pair().expect("two sockets");
    // SAFETY: no pointers; the number is given to a file of the test's.
    assert_eq!(unsafe { libc::dup2(own.0.as_raw_fd(), door) }, door);
    assert!(!bell.ring());
    drop(porter);
    drop(bell);
    socket::send(door, b"still open").expect("it was neither shut down nor closed");
    // SAFETY: ours since `dup2`.
    drop(unsafe { OwnedFd::from_raw_fd(door) });
}
