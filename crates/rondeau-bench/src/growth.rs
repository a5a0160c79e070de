//! `rondeau-bench growth`: memory and CPU time of 10,000 and of 100,000 tasks that sleep at once, and of 1,000 and of
//! 10,000 connections that are open at once. Both are to grow linearly: ten times as many, the same for each.
//!
//! Each measurement is a process of its own (this program, called with `growth-arm`), since memory that an earlier arm
//! gave back to the allocator would hide what a later one takes. What counts is the resident memory of user space, and
//! the process's CPU time.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, ExitCode, Stdio};
use std::rc::Rc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::measure::{pin, process_cpu, tokio};

const ARMS: [&str; 3] = ["rondeau", "tokio", "smol"];
const NAP: Duration = Duration::from_millis(300);

/// The parent: prints the table.
pub fn table() -> ExitCode {
    raise_limit();
    println!(
        "{:<28}{:>10}{:>14}{:>14}",
        "", "number", "bytes each", "CPU ns each"
    );
    for arm in ARMS {
        for number in [10_000, 100_000] {
            report(
                arm,
                "sleeping tasks",
                number,
                &start(arm, "tasks", number).wait(),
            );
        }
    }
    for arm in ARMS {
        // Fewer than 10,000 where the limit on descriptors says so.
        let most = getrlimit(Resource::Nofile)
            .current
            .map_or(10_000, |limit| limit.saturating_sub(100).min(10_000))
            as u32;
        for number in [most / 10, most] {
            report(
                arm,
                "open connections",
                number,
                &start(arm, "connections", number).wait(),
            );
        }
    }
    ExitCode::SUCCESS
}

fn report(arm: &str, what: &str, number: u32, [bytes, nanos]: &[f64; 2]) {
    let each = |total: &f64| total / f64::from(number);
    println!(
        "{:<28}{number:>10}{:>14.0}{:>14.0}",
        format!("{arm}, {what}"),
        each(bytes),
        each(nanos)
    );
}

/// As many descriptors as the hard limit allows.
fn raise_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    );
}

struct Child {
    process: std::process::Child,
    lines: BufReader<std::process::ChildStdout>,
    number: u32,
}

fn start(arm: &str, what: &str, number: u32) -> Child {
    let program = std::env::current_exe().expect("it runs");
    let mut process = Command::new(program)
        .args(["growth-arm", arm, what, &number.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a process can be started");
    let lines = BufReader::new(process.stdout.take().expect("it is piped"));
    Child {
        process,
        lines,
        number,
    }
}

impl Child {
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines
            .read_line(&mut line)
            .expect("the child writes text");
        line.trim().to_owned()
    }

    /// Bytes and nanoseconds, as the child reports them; opens the connections if it asks for some.
    fn wait(mut self) -> [f64; 2] {
        let mut line = self.line();
        let mut clients = Vec::new();
        if let Ok(addr) = line.parse::<SocketAddr>() {
            clients.extend(
                (0..self.number).map(|_| TcpStream::connect(addr).expect("the server accepts")),
            );
            line = self.line();
        }
        drop(clients);
        let status = self.process.wait().expect("it was started");
        assert!(status.success(), "the child failed");
        let mut numbers = line
            .split(' ')
            .map(|number| number.parse().expect("the child reports numbers"));
        [0, 1].map(|_| numbers.next().expect("two numbers"))
    }
}

/// The child.
pub fn arm(args: &[String]) -> ExitCode {
    let [arm, what, number] = args else {
        return ExitCode::from(2);
    };
    let Ok(number) = number.parse() else {
        return ExitCode::from(2);
    };
    raise_limit();
    pin(0);
    let what = what.as_str();
    match arm.as_str() {
        "rondeau" => rondeau::run(on_rondeau(what, number)),
        "tokio" => {
            let local = ::tokio::task::LocalSet::new();
            local.block_on(&tokio(), on_tokio(what, number));
        }
        _ => {
            let local = Rc::new(smol::LocalExecutor::new());
            smol::block_on(local.run(on_smol(Rc::clone(&local), what, number)));
        }
    }
    ExitCode::SUCCESS
}

/// What there was before.
struct Before(u64, Duration);

impl Before {
    fn now() -> Self {
        Before(resident(), process_cpu())
    }

    /// With everything alive: the difference, on a line.
    fn report(&self) {
        let memory = resident() - self.0;
        let cpu = process_cpu() - self.1;
        println!("{memory} {}", cpu.as_nanos());
    }
}

/// Resident bytes of this process.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok());
    pages.expect("Linux says so") * rustix::param::page_size() as u64
}

fn announce(addr: io::Result<SocketAddr>) {
    println!("{}", addr.expect("it is bound"));
    let _ = io::stdout().flush();
}

async fn on_rondeau(what: &str, number: u32) {
    if what == "tasks" {
        let before = Before::now();
        let tasks: Vec<_> = (0..number)
            .map(|_| rondeau::spawn(rondeau::sleep(NAP)))
            .collect();
        settle(rondeau::yield_now).await;
        let memory = resident() - before.0;
        for task in tasks {
            task.await.expect("it is not cancelled");
        }
        println!("{memory} {}", (process_cpu() - before.1).as_nanos());
        return;
    }
    let listener = rondeau::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port is free");
    announce(listener.local_addr());
    let before = Before::now();
    for _ in 0..number {
        let (stream, _) = listener.accept().await.expect("the limit was raised");
        drop(rondeau::spawn(
            async move { stream.read(&mut [0; 16]).await },
        ));
    }
    settle(rondeau::yield_now).await;
    before.report();
}

async fn on_tokio(what: &str, number: u32) {
    use ::tokio::io::AsyncReadExt;
    if what == "tasks" {
        let before = Before::now();
        let tasks: Vec<_> = (0..number)
            .map(|_| ::tokio::task::spawn_local(async { ::tokio::time::sleep(NAP).await }))
            .collect();
        settle(::tokio::task::yield_now).await;
        let memory = resident() - before.0;
        for task in tasks {
            task.await.expect("it is not cancelled");
        }
        println!("{memory} {}", (process_cpu() - before.1).as_nanos());
        return;
    }
    let listener = ::tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port is free");
    announce(listener.local_addr());
    let before = Before::now();
    for _ in 0..number {
        let (mut stream, _) = listener.accept().await.expect("the limit was raised");
        drop(::tokio::task::spawn_local(async move {
            stream.read(&mut [0; 16]).await
        }));
    }
    settle(::tokio::task::yield_now).await;
    before.report();
}

async fn on_smol(local: Rc<smol::LocalExecutor<'_>>, what: &str, number: u32) {
    use smol::io::AsyncReadExt;
    if what == "tasks" {
        let before = Before::now();
        let tasks: Vec<_> = (0..number)
            .map(|_| {
                local.spawn(async {
                    smol::Timer::after(NAP).await;
                })
            })
            .collect();
        settle(smol::future::yield_now).await;
        let memory = resident() - before.0;
        for task in tasks {
            task.await;
        }
        println!("{memory} {}", (process_cpu() - before.1).as_nanos());
        return;
    }
    let listener = smol::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port is free");
    announce(listener.local_addr());
    let before = Before::now();
    for _ in 0..number {
        let (mut stream, _) = listener.accept().await.expect("the limit was raised");
        local
            .spawn(async move { stream.read(&mut [0; 16]).await })
            .detach();
    }
    settle(smol::future::yield_now).await;
    before.report();
}

/// Until every task has had its first poll: executors that run so many tasks a turn (tokio 61, smol 200) need more
/// than one.
async fn settle<F: Future>(yield_now: impl Fn() -> F) {
    for _ in 0..2000 {
        yield_now().await;
    }
}
