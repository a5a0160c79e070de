//! The closed loop over all connections: one thread, one level-triggered epoll.
//!
//! The measured window opens when the warm-up's last echo came and closes when the last measured one did; about as
//! many messages are under way at its start as at its end, so their halves cancel. Those are then awaited, so that no
//! connection closes with bytes unread: the server would see a reset.

use std::io;
use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

use crate::arguments::Echo;
use crate::connection::{Connection, Progress};
use crate::server_clock::ServerClock;

const ROOM: usize = 256 * 1024;
const EVENTS: usize = 512;

/// What one run found.
pub struct Report {
    messages: u64,
    wall: Duration,
    server_cpu: Option<u64>,
}

impl Report {
    fn between(begun: &Mark, ended: &Mark) -> Self {
        Self {
            messages: ended.echoes - begun.echoes,
            wall: ended.at - begun.at,
            server_cpu: ended.cpu.zip(begun.cpu).map(|(ended, begun)| ended - begun),
        }
    }

    /// One JSON object; times in nanoseconds.
    pub fn to_json(&self) -> String {
        let cpu = self
            .server_cpu
            .map_or_else(|| "null".to_owned(), |cpu| cpu.to_string());
        format!(
            "{{\"messages\": {}, \"wall_ns\": {}, \"server_cpu_ns\": {cpu}}}",
            self.messages,
            self.wall.as_nanos()
        )
    }
}

/// The state of the clocks at one end of the window.
struct Mark {
    echoes: u64,
    at: Instant,
    cpu: Option<u64>,
}

/// Runs the plan.
///
/// # Errors
/// A connection that fails, an echo that is wrong, or `TimedOut` when the plan's time is over.
pub fn run(plan: &Echo) -> io::Result<Report> {
    crate::pin(plan.core)?;
    let clock = plan.server.map(ServerClock::of).transpose()?;
    let mark = |echoes| -> io::Result<Mark> {
        let cpu = clock.as_ref().map(ServerClock::nanoseconds).transpose()?;
        Ok(Mark {
            echoes,
            at: Instant::now(),
            cpu,
        })
    };
    let deadline = Instant::now() + plan.limit;
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut connections = open(plan, &epoll)?;
    let mut room = vec![0; ROOM];
    let mut events = Vec::with_capacity(EVENTS);
    let mut echoes = 0;
    let mut begun = if plan.warmup == 0 {
        Some(mark(0)?)
    } else {
        None
    };
    for connection in &mut connections {
        connection.start(0)?;
    }
    watch_for_room(&epoll, &connections)?;
    let mut under_way = connections.len();
    let mut report = None;
    while under_way > 0 {
        wait(&epoll, &mut events, plan.spin, deadline)?;
        for event in &events {
            let connection =
                &mut connections[usize::try_from(event.data.u64()).expect("an index of ours")];
            let waited_for_room = connection.wants_room();
            let ready = event.flags;
            if ready.contains(epoll::EventFlags::OUT) {
                connection.send()?;
            }
            if ready
                .intersects(epoll::EventFlags::IN | epoll::EventFlags::HUP | epoll::EventFlags::ERR)
                && connection.receive(&mut room)? == Progress::Echoed
            {
                echoes += 1;
                match &begun {
                    None if echoes >= plan.warmup => begun = Some(mark(echoes)?),
                    Some(begun) if report.is_none() && echoes - begun.echoes >= plan.messages => {
                        report = Some(Report::between(begun, &mark(echoes)?));
                    }
                    _ => {}
                }
                if report.is_none() {
                    connection.start(echoes)?;
                } else {
                    under_way -= 1;
                }
            }
            if connection.wants_room() != waited_for_room {
                watch(&epoll, connection, event.data)?;
            }
        }
    }
    Ok(report.expect("only a closed window stops connections from starting their next message"))
}

fn open(plan: &Echo, epoll: &impl std::os::fd::AsFd) -> io::Result<Vec<Connection>> {
    (0..plan.connections as u64)
        .map(|number| {
            let connection = Connection::open(plan.address, number, plan.size, plan.header)?;
            epoll::add(
                epoll,
                &connection,
                epoll::EventData::new_u64(number),
                epoll::EventFlags::IN,
            )?;
            Ok(connection)
        })
        .collect()
}

fn watch_for_room(epoll: &impl std::os::fd::AsFd, connections: &[Connection]) -> io::Result<()> {
    for (number, connection) in (0..).zip(connections) {
        if connection.wants_room() {
            watch(epoll, connection, epoll::EventData::new_u64(number))?;
        }
    }
    Ok(())
}

fn watch(
    epoll: &impl std::os::fd::AsFd,
    connection: &Connection,
    data: epoll::EventData,
) -> io::Result<()> {
    let mut interest = epoll::EventFlags::IN;
    interest.set(epoll::EventFlags::OUT, connection.wants_room());
    epoll::modify(epoll, connection, data, interest)?;
    Ok(())
}

fn wait(
    epoll: &impl std::os::fd::AsFd,
    events: &mut Vec<epoll::Event>,
    spin: bool,
    deadline: Instant,
) -> io::Result<()> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the time for this run is over",
        ));
    }
    let left = if spin { Duration::ZERO } else { left };
    let timeout = Timespec::try_from(left).expect("a run's limit is far below i64::MAX seconds");
    events.clear();
    match epoll::wait(
        epoll,
        rustix::buffer::spare_capacity(events),
        Some(&timeout),
    ) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
