//! Sockets: what arrives, what ends, what fails, and what is cancelled.

#![allow(clippy::unwrap_used)]

use std::cell::Cell;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use rondeau::{TcpListener, TcpStream, gather, gather_all, run, select, spawn, timeout, yield_now};

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (accepted, connected) = gather!(listener.accept(), TcpStream::connect(addr));
    (accepted.unwrap().0, connected.unwrap())
}

#[test]
fn bytes_arrive_in_order_whatever_their_number() {
    run(async {
        let (left, right) = pair().await;
        let sent: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
        let mut received = Vec::new();
        let (write, read) = gather!(
            async {
                left.write_all(&sent).await?; // more than the kernel buffers: it waits for the reader
                left.shutdown(Shutdown::Write)
            },
            right.read_to_end(&mut received),
        );
        write.unwrap();
        assert_eq!(read.unwrap(), sent.len());
        assert!(received == sent);
    });
}

#[test]
fn both_directions_at_once_in_two_tasks() {
    run(async {
        let (left, right) = pair().await;
        let (left, right) = (Rc::new(left), Rc::new(right));
        let echo = {
            let right = Rc::clone(&right);
            spawn(async move {
                let mut buffer = [0; 1000];
                loop {
                    let n = right.read(&mut buffer).await.unwrap();
                    if n == 0 {
                        return right.shutdown(Shutdown::Write).unwrap();
                    }
                    right.write_all(&buffer[..n]).await.unwrap();
                }
            })
        };
        let writer = {
            let left = Rc::clone(&left);
            spawn(async move {
                for _ in 0..2000 {
                    left.write_all(&[7; 777]).await.unwrap();
                }
                left.shutdown(Shutdown::Write).unwrap();
            })
        };
        let mut back = Vec::new();
        left.read_to_end(&mut back).await.unwrap();
        assert_eq!(back, vec![7; 2000 * 777]);
        writer.await.unwrap();
        echo.await.unwrap();
    });
}

#[test]
fn the_end_is_seen_after_a_short_read_that_came_with_it() {
    // The data and the end of file arrive in one event; the read is short; no further event comes.
    for pause in [false, true] {
        run(async {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let stream = TcpStream::connect(listener.local_addr().unwrap())
                .await
                .unwrap();
            let mut peer = listener.accept().unwrap().0;
            let mut buffer = [0; 64];
            if pause {
                // The reader waits before they come.
                let read = stream.read(&mut buffer);
                let (n, ()) = gather!(read, async {
                    yield_now().await;
                    peer.write_all(b"last words").unwrap();
                    drop(peer);
                });
                assert_eq!(n.unwrap(), 10);
            } else {
                peer.write_all(b"last words").unwrap();
                drop(peer);
                // The loop hears of both before the read: it asks the kernel every 64 turns at least.
                for _ in 0..200 {
                    yield_now().await;
                }
                assert_eq!(stream.read(&mut buffer).await.unwrap(), 10);
            }
            assert_eq!(stream.read(&mut buffer).await.unwrap(), 0);
            assert_eq!(stream.read(&mut buffer).await.unwrap(), 0);
        });
    }
}

#[test]
fn a_refused_connection_says_so() {
    run(async {
        let free = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        assert_eq!(
            TcpStream::connect(free).await.unwrap_err().kind(),
            ErrorKind::ConnectionRefused
        );
    });
}

#[test]
fn an_address_in_use_says_so() {
    run(async {
        let held = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let again = TcpListener::bind(held.local_addr().unwrap()).await;
        assert_eq!(again.unwrap_err().kind(), ErrorKind::AddrInUse);
    });
}

#[test]
fn a_peer_that_resets_is_an_error_for_both_directions() {
    run(async {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let peer = listener.accept().unwrap().0;
        stream.write_all(b"never read").await.unwrap();
        // Closing with unread data in the buffer resets the connection.
        let mut wait = [0; 1];
        assert_eq!(peer.peek(&mut wait).unwrap(), 1);
        drop(peer);
        let error = stream.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        let error = stream.write_all(&[0; 100_000]).await.unwrap_err();
        assert!(
            matches!(
                error.kind(),
                ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
            ),
            "{error}"
        );
    });
}

#[test]
fn an_end_too_early_is_an_error_of_read_exact() {
    run(async {
        let (left, right) = pair().await;
        left.write_all(b"abc").await.unwrap();
        drop(left);
        let error = right.read_exact(&mut [0; 4]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    });
}

#[test]
fn a_cancelled_read_loses_nothing() {
    run(async {
        let (left, right) = pair().await;
        let mut buffer = [0; 16];
        for _ in 0..100 {
            assert!(
                timeout(Duration::ZERO, right.read(&mut buffer))
                    .await
                    .is_err()
            );
        }
        left.write_all(b"still here").await.unwrap();
        assert_eq!(right.read(&mut buffer).await.unwrap(), 10);
        assert_eq!(&buffer[..10], b"still here");
    });
}

#[test]
fn several_tasks_may_wait_for_one_socket() {
    run(async {
        let listener = Rc::new(TcpListener::bind("127.0.0.1:0").await.unwrap());
        let addr = listener.local_addr().unwrap();
        let accepted = Rc::new(Cell::new(0));
        let mut acceptors = Vec::new();
        for _ in 0..5 {
            let (listener, accepted) = (Rc::clone(&listener), Rc::clone(&accepted));
            acceptors.push(spawn(async move {
                let (stream, _) = listener.accept().await.unwrap();
                accepted.set(accepted.get() + 1);
                stream
            }));
        }
        yield_now().await;
        acceptors.remove(2).cancel();
        acceptors.remove(0).cancel();
        yield_now().await;
        let clients = gather_all((0..3).map(|_| TcpStream::connect(addr))).await;
        for acceptor in acceptors {
            acceptor.await.unwrap();
        }
        assert_eq!(accepted.get(), 3);
        assert!(clients.iter().all(Result::is_ok));
    });
}

#[test]
fn two_readers_of_one_stream_are_both_woken() {
    run(async {
        let (left, right) = pair().await;
        let right = Rc::new(right);
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let right = Rc::clone(&right);
                spawn(async move {
                    let mut byte = [0];
                    right.read_exact(&mut byte).await.unwrap();
                    byte[0]
                })
            })
            .collect();
        yield_now().await;
        left.write_all(b"a").await.unwrap();
        left.write_all(b"b").await.unwrap();
        let mut got = Vec::new();
        for reader in readers {
            got.push(reader.await.unwrap());
        }
        got.sort_unstable();
        assert_eq!(got, *b"ab");
    });
}

#[test]
fn names_are_looked_up_and_numbers_are_not() {
    run(async {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        // "localhost" may also be ::1, where nobody listens: the next address is tried.
        for stream in [
            TcpStream::connect(("localhost", port)).await,
            TcpStream::connect(format!("localhost:{port}")).await,
            TcpStream::connect((std::net::Ipv4Addr::LOCALHOST, port)).await,
            TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).await,
        ] {
            assert_eq!(stream.unwrap().peer_addr().unwrap().port(), port);
        }
        assert!(TcpStream::connect("no port here").await.is_err());
    });
}

#[test]
fn a_server_with_no_descriptors_left_says_so_and_lives_on() {
    // In a process of its own: the limit is the process's.
    if std::env::var_os("RONDEAU_TEST_EMFILE").is_none() {
        let status = std::process::Command::new("sh")
            .args(["-c", "ulimit -n 40; exec \"$0\" --exact a_server_with_no_descriptors_left_says_so_and_lives_on"])
            .arg(std::env::current_exe().unwrap())
            .env("RONDEAU_TEST_EMFILE", "1")
            .stdout(std::process::Stdio::null())
            .status()
            .unwrap();
        assert!(status.success());
        return;
    }
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut hoard = Vec::new();
        let full = loop {
            match std::fs::File::open("/dev/null") {
                Ok(file) => hoard.push(file),
                Err(error) => break error,
            }
        };
        let refused = listener.accept().await.unwrap_err();
        assert_eq!(refused.raw_os_error(), full.raw_os_error());
        drop(hoard);
        let (stream, _) = listener.accept().await.unwrap();
        (&client).write_all(b"x").unwrap();
        assert_eq!(stream.read(&mut [0; 4]).await.unwrap(), 1);
    });
}

#[test]
fn a_busy_loop_still_hears_its_sockets() {
    run(async {
        let (left, right) = pair().await;
        drop(spawn(async {
            loop {
                yield_now().await;
            }
        }));
        let mut buffer = [0; 4];
        for _ in 0..10 {
            let (read, ()) = gather!(right.read(&mut buffer), async {
                yield_now().await;
                left.write_all(b"x").await.unwrap();
            });
            assert_eq!(read.unwrap(), 1);
        }
    });
}

#[test]
fn many_connections_at_once() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let server = spawn(async move {
            let mut served = Vec::new();
            for _ in 0..400 {
                let (stream, _) = listener.accept().await.unwrap();
                served.push(spawn(async move {
                    let mut all = Vec::new();
                    stream.read_to_end(&mut all).await.unwrap();
                    stream.write_all(&all).await.unwrap();
                }));
            }
            for task in served {
                task.await.unwrap();
            }
        });
        let asked = gather_all((0..400_u32).map(|i| async move {
            let stream = TcpStream::connect(addr).await?;
            stream.write_all(&i.to_le_bytes()).await?;
            stream.shutdown(Shutdown::Write)?;
            let mut back = Vec::new();
            stream.read_to_end(&mut back).await?;
            assert_eq!(back, i.to_le_bytes());
            Ok::<(), std::io::Error>(())
        }))
        .await;
        assert!(asked.into_iter().all(|outcome| outcome.is_ok()));
        server.await.unwrap();
    });
}

#[test]
fn select_over_a_socket_and_a_timer() {
    run(async {
        let (left, right) = pair().await;
        let mut buffer = [0; 8];
        let early = select! {
            n = right.read(&mut buffer) => n.unwrap(),
            () = rondeau::sleep(Duration::from_micros(10)) => 99,
        };
        assert_eq!(early, 99);
        let mut left = std::net::TcpStream::from(left_fd(&left));
        left.write_all(b"hi").unwrap();
        let late = select! {
            () = rondeau::sleep(Duration::from_secs(60)) => 99,
            n = right.read(&mut buffer) => n.unwrap(),
        };
        assert_eq!(late, 2);
        left.shutdown(Shutdown::Both).unwrap();
        assert_eq!(left.read(&mut buffer).unwrap(), 0);
    });
}

/// A duplicate that lives apart from the loop.
fn left_fd(stream: &TcpStream) -> std::os::fd::OwnedFd {
    use std::os::fd::AsFd;
    stream.as_fd().try_clone_to_owned().unwrap()
}

#[test]
fn a_read_to_the_end_keeps_what_was_there_also_when_it_is_given_up() {
    run(async {
        let (left, right) = pair().await;
        let mut all = b"before".to_vec();
        left.write_all(&[1; 10_000]).await.unwrap();
        let given_up = timeout(Duration::from_millis(5), right.read_to_end(&mut all)).await;
        assert!(given_up.is_err());
        assert_eq!(all.len(), 6 + 10_000, "no zeros behind what was read");
        let sent = vec![2; 8 << 20];
        let writer = spawn(async move { left.write_all(&sent).await });
        assert_eq!(right.read_to_end(&mut all).await.unwrap(), 8 << 20);
        writer.await.unwrap().unwrap();
        let (first, rest) = all.split_at(6 + 10_000);
        assert_eq!(&first[..6], b"before");
        assert!(first[6..].iter().all(|byte| *byte == 1) && rest.iter().all(|byte| *byte == 2));
    });
}

/// Sends bytes with an urgent mark at the last of them.
fn send_urgent(peer: &std::net::TcpStream, bytes: &[u8]) {
    use std::os::fd::AsRawFd;
    // SAFETY: the kernel reads so many bytes of the slice.
    let sent = unsafe {
        libc::send(
            peer.as_raw_fd(),
            bytes.as_ptr().cast(),
            bytes.len(),
            libc::MSG_OOB,
        )
    };
    assert_eq!(sent, bytes.len() as isize);
}

#[test]
fn bytes_behind_an_urgent_mark_are_read() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        for pause in [false, true] {
            let mut peer = std::net::TcpStream::connect(addr).unwrap();
            peer.set_nodelay(true).unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            let mut seen = Vec::new();
            for round in 0..3 {
                peer.write_all(b"before").unwrap();
                send_urgent(&peer, b"!");
                peer.write_all(b"behind").unwrap();
                if pause {
                    // All of it is announced by one event.
                    rondeau::sleep(Duration::from_millis(5)).await;
                }
                let mut buffer = [0; 64];
                while seen.len() < 12 * (round + 1) {
                    let n = timeout(Duration::from_secs(10), stream.read(&mut buffer))
                        .await
                        .expect("the bytes behind the mark were left")
                        .unwrap();
                    seen.extend_from_slice(&buffer[..n]);
                }
            }
            assert_eq!(seen, b"beforebehind".repeat(3));
            // Where the mark is passed, a short read is the last one again: nothing spins.
            let mut buffer = [0; 64];
            let more = timeout(Duration::from_millis(2), stream.read(&mut buffer)).await;
            assert!(more.is_err());
            peer.write_all(b"end").unwrap();
            assert_eq!(stream.read(&mut buffer).await.unwrap(), 3);
        }
    });
}
