//! What waits, its outcomes, forks, and several threads that send.

use super::*;
use std::os::fd::AsRawFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The list is the process's: one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    prepare();
    lock().watched = true;
    alone
}

fn received(fd: &impl AsRawFd) -> Vec<u8> {
    let mut room = [0; 8192];
    match socket::recv(fd.as_raw_fd(), &mut room) {
        Ok(count) => room[..count].to_vec(),
        Err(_) => Vec::new(),
    }
}

fn hand_over(owner: usize, fd: &impl AsRawFd, bytes: &'static [u8], new: bool) -> Pushed {
    // SAFETY: the bytes are static.
    unsafe { push(owner, fd.as_raw_fd(), bytes, new) }
}

#[test]
fn what_waits_leaves_once_and_is_told() {
    let _alone = alone();
    let (a, b) = socket::pair().unwrap();
    lock().send(); // A look at an empty list tries nothing.
    assert_eq!(hand_over(1, &a, b"head", true), Pushed::Waits);
    assert_eq!(hand_over(1, &a, b"body", false), Pushed::Waits);
    assert_eq!((waiting(), received(&b)), (8, Vec::new()));
    send_now();
    send_now();
    assert_eq!((waiting(), received(&b)), (0, b"headbody".to_vec()));
    assert_eq!(hand_over(1, &a, b"more", false), Pushed::Full);
    assert_eq!(take(1)[0], Outcome::Sent(8));
    assert_eq!(hand_over(1, &a, b"more", true), Pushed::Waits);
    assert_eq!(take(1)[0], Outcome::Untried);
}

#[test]
fn each_has_its_own_outcome() {
    let _alone = alone();
    let ((a, b), (gone, other)) = (socket::pair().unwrap(), socket::pair().unwrap());
    drop(other);
    hand_over(1, &gone, b"nobody", true);
    hand_over(1, &a, b"somebody", true);
    send_now();
    assert_eq!(
        take(1)[..2],
        [Outcome::Failed(0, libc::EPIPE), Outcome::Sent(8)]
    );
    assert_eq!(received(&b), b"somebody");
}

#[test]
fn one_owner_at_a_time_and_nobody_unwatched() {
    let _alone = alone();
    let (a, _b) = socket::pair().unwrap();
    assert_eq!(hand_over(1, &a, b"one", true), Pushed::Waits);
    assert_eq!(hand_over(2, &a, b"two", true), Pushed::Busy);
    assert_eq!(take(2)[0], Outcome::Untried);
    assert_eq!(waiting(), 3);
    take(1);
    lock().watched = false;
    assert_eq!(hand_over(2, &a, b"two", true), Pushed::Unwatched);
}

#[test]
fn a_full_list_is_taken_back_first() {
    let _alone = alone();
    let (a, _b) = socket::pair().unwrap();
    for _ in 0..TOGETHER {
        assert_eq!(hand_over(1, &a, b"x", true), Pushed::Waits);
    }
    assert_eq!(hand_over(1, &a, b"x", true), Pushed::Full);
    take(1);
}

#[test]
fn what_does_not_fit_is_told() {
    let _alone = alone();
    static MUCH: [u8; 4 << 20] = [7; 4 << 20];
    let (a, _b) = socket::pair().unwrap();
    hand_over(1, &a, &MUCH, true);
    hand_over(1, &a, b"behind it", false);
    send_now();
    let Outcome::Sent(count) = take(1)[0] else {
        panic!("a full socket is no failure");
    };
    assert!(count > 0 && count < MUCH.len());
}

#[test]
fn a_fork_sends_it_first_and_the_child_has_nothing() {
    let _alone = alone();
    let (a, b) = socket::pair().unwrap();
    hand_over(1, &a, b"before", true);
    // SAFETY: the child only looks at atomics and ends.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let nothing = lock().is_empty() && !PENDING.load(Ordering::Relaxed);
        // SAFETY: no destructor of the parent's may run here.
        unsafe { libc::_exit(i32::from(!nothing)) };
    }
    let mut status = -1;
    // SAFETY: the status is a place for one.
    unsafe { libc::waitpid(child, &mut status, 0) };
    assert_eq!((status, received(&b)), (0, b"before".to_vec()));
    assert_eq!(take(1)[0], Outcome::Sent(6));
}

#[test]
fn many_threads_send_what_one_writes() {
    let _alone = alone();
    let (a, b) = socket::pair().unwrap();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    send_now();
                    std::thread::yield_now();
                }
            });
        }
        let mut got = Vec::new();
        for number in 0..2000_u32 {
            let bytes = number.to_be_bytes();
            // SAFETY: they live until the list was taken back, below.
            let pushed = unsafe { push(1, a.as_raw_fd(), &bytes, true) };
            assert_eq!(pushed, Pushed::Waits);
            if take(1)[0] == Outcome::Untried {
                socket::send(a.as_raw_fd(), &bytes).unwrap();
            }
            got.extend(received(&b));
        }
        over.store(true, Ordering::Relaxed);
        let wanted: Vec<u8> = (0..2000_u32).flat_map(u32::to_be_bytes).collect();
        assert_eq!(got, wanted);
    });
}
