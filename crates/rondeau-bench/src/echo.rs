//! TCP echo: 64 connections, each sends 1 KiB, waits for it to come back, and sends again. The server's CPU time per
//! message.
//!
//! The load comes from a thread of its own on the other core, which reads the clocks when the connections are warm and
//! when the last message is back: the process's CPU time less its own. So the server's helper threads count, and
//! setting up the connections does not.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use rustix::event::epoll;

use crate::measure::{Row, pin, process_cpu, thread_cpu, tokio};

const CONNECTIONS: usize = 64;
const MESSAGE: usize = 1024;
/// What a server reads at once; larger than a message, as servers have it.
const BUFFER: usize = 4096;

pub const ROW: Row = Row {
    name: "TCP echo, 64 x 1 KiB",
    operations: 40_000,
    rondeau: |n| {
        rondeau::run(async move {
            let listener = rondeau::TcpListener::bind("127.0.0.1:0")
                .await
                .expect("a port is free");
            let load = Load::start(listener.local_addr().expect("it is bound"), n);
            let mut served = Vec::new();
            for _ in 0..CONNECTIONS {
                let (stream, _) = listener.accept().await.expect("the load connects");
                served.push(rondeau::spawn(async move {
                    let mut buffer = [0; BUFFER];
                    loop {
                        match stream.read(&mut buffer).await {
                            Ok(n) if n > 0 => stream
                                .write_all(&buffer[..n])
                                .await
                                .expect("the load reads"),
                            _ => break,
                        }
                    }
                }));
            }
            for task in served {
                task.await.expect("it is not cancelled");
            }
            load.spent()
        })
    },
    tokio: |n| {
        use ::tokio::io::{AsyncReadExt, AsyncWriteExt};
        let local = ::tokio::task::LocalSet::new();
        local.block_on(&tokio(), async move {
            let listener = ::tokio::net::TcpListener::bind("127.0.0.1:0")
                .await
                .expect("a port is free");
            let load = Load::start(listener.local_addr().expect("it is bound"), n);
            let mut served = Vec::new();
            for _ in 0..CONNECTIONS {
                let (mut stream, _) = listener.accept().await.expect("the load connects");
                stream.set_nodelay(true).expect("it is TCP");
                served.push(::tokio::task::spawn_local(async move {
                    let mut buffer = [0; BUFFER];
                    loop {
                        match stream.read(&mut buffer).await {
                            Ok(n) if n > 0 => stream
                                .write_all(&buffer[..n])
                                .await
                                .expect("the load reads"),
                            _ => break,
                        }
                    }
                }));
            }
            for task in served {
                task.await.expect("it is not cancelled");
            }
            load.spent()
        })
    },
    smol: |n| {
        use smol::io::{AsyncReadExt, AsyncWriteExt};
        let local = smol::LocalExecutor::new();
        smol::block_on(local.run(async {
            let listener = smol::net::TcpListener::bind("127.0.0.1:0")
                .await
                .expect("a port is free");
            let load = Load::start(listener.local_addr().expect("it is bound"), n);
            let mut served = Vec::new();
            for _ in 0..CONNECTIONS {
                let (mut stream, _) = listener.accept().await.expect("the load connects");
                stream.set_nodelay(true).expect("it is TCP");
                served.push(local.spawn(async move {
                    let mut buffer = [0; BUFFER];
                    loop {
                        match stream.read(&mut buffer).await {
                            Ok(n) if n > 0 => stream
                                .write_all(&buffer[..n])
                                .await
                                .expect("the load reads"),
                            _ => break,
                        }
                    }
                }));
            }
            for task in served {
                task.await;
            }
            load.spent()
        }))
    },
};

/// The thread that makes the load.
struct Load(thread::JoinHandle<Duration>);

impl Load {
    fn start(addr: SocketAddr, messages: u32) -> Self {
        Load(thread::spawn(move || {
            pin(1);
            drive(addr, messages)
        }))
    }

    /// What the server spent. The connections are closed by now, so the thread is at its end.
    fn spent(self) -> Duration {
        self.0.join().expect("the load does not panic")
    }
}

struct Connection {
    stream: TcpStream,
    missing: usize,
}

fn drive(addr: SocketAddr, messages: u32) -> Duration {
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("there are descriptors left");
    let mut connections: Vec<Connection> = (0..CONNECTIONS)
        .map(|i| {
            let stream = TcpStream::connect(addr).expect("the server listens");
            stream.set_nodelay(true).expect("it is TCP");
            stream.set_nonblocking(true).expect("it is a socket");
            let data = epoll::EventData::new_u64(i as u64);
            epoll::add(&poll, &stream, data, epoll::EventFlags::IN).expect("it can be watched");
            Connection { stream, missing: 0 }
        })
        .collect();
    exchange(&poll, &mut connections, CONNECTIONS * 20); // warm
    let (process, own) = (process_cpu(), thread_cpu());
    exchange(&poll, &mut connections, messages as usize);
    (process_cpu() - process) - (thread_cpu() - own)
}

/// Sends `messages` messages in all, each connection its next one as soon as the last came back.
fn exchange(poll: &impl std::os::fd::AsFd, connections: &mut [Connection], messages: usize) {
    let payload = [b'x'; MESSAGE];
    let mut buffer = [0; MESSAGE];
    let send = |connection: &mut Connection| {
        connection.missing = MESSAGE;
        connection
            .stream
            .write_all(&payload)
            .expect("1 KiB has room");
    };
    let (mut to_send, mut to_receive) = (messages, messages);
    for connection in connections.iter_mut().take(messages) {
        send(connection);
        to_send -= 1;
    }
    let mut events = [epoll::Event {
        flags: epoll::EventFlags::empty(),
        data: epoll::EventData::new_u64(0),
    }; CONNECTIONS];
    while to_receive > 0 {
        let ready = epoll::wait(poll, &mut events, None).expect("no signal comes");
        for event in &events[..ready] {
            let connection = &mut connections[event.data.u64() as usize];
            let n = connection
                .stream
                .read(&mut buffer[..connection.missing])
                .expect("something is there");
            assert!(n > 0, "the server closed a connection");
            connection.missing -= n;
            if connection.missing == 0 {
                to_receive -= 1;
                if to_send > 0 {
                    to_send -= 1;
                    send(connection);
                }
            }
        }
    }
}
