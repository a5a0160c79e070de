//! The closed loop over all connections: one thread, one level-triggered epoll.
//!
//! Two stretches, the warm-up and the measured one; each begins and ends with no message under way and the server
//! asleep, because only then is its CPU clock exact (`server_clock`). So no connection closes with bytes unread either.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

use crate::answer::Progress;
use crate::arguments::Echo;
use crate::connection::Connection;
use crate::http::Request;
use crate::server_clock::ServerClock;
use crate::talk::Talk;
use crate::wire;

const ROOM: usize = 256 * 1024;
const EVENTS: usize = 512;

/// What one run found.
pub struct Report {
    messages: u64,
    wall: Duration,
    server_cpu: Option<u64>,
}

impl Report {
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

/// Runs the plan.
///
/// # Errors
/// A connection that fails, an echo that is wrong, or `TimedOut` when the plan's time is over.
pub fn run(plan: &Echo) -> io::Result<Report> {
    crate::pin(plan.core)?;
    let clock = plan.server.map(ServerClock::of).transpose()?;
    let cpu = || clock.as_ref().map(ServerClock::asleep).transpose();
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut exchange = Exchange {
        connections: open(plan, &epoll)?,
        epoll,
        room: vec![0; ROOM],
        spin: plan.spin,
        deadline: Instant::now() + plan.limit,
        echoes: 0,
    };
    exchange.run(plan.warmup)?;
    let (before, begun, counted) = (cpu()?, Instant::now(), exchange.echoes);
    exchange.run(plan.messages)?;
    let wall = begun.elapsed();
    Ok(Report {
        messages: exchange.echoes - counted,
        wall,
        server_cpu: cpu()?.zip(before).map(|(after, before)| after - before),
    })
}

struct Exchange {
    connections: Vec<Connection>,
    epoll: OwnedFd,
    room: Vec<u8>,
    spin: bool,
    deadline: Instant,
    /// Whole echoes since the start; also the sequence number of the next message.
    echoes: u64,
}

impl Exchange {
    /// At least so many messages (each connection sends one), until the last echo has come.
    fn run(&mut self, messages: u64) -> io::Result<()> {
        let enough = self.echoes + messages;
        let mut under_way = self.connections.len();
        for number in 0..under_way {
            self.start(number)?;
        }
        let mut events = Vec::with_capacity(EVENTS);
        while under_way > 0 {
            wait(&self.epoll, &mut events, self.spin, self.deadline)?;
            for event in &events {
                let number = usize::try_from(event.data.u64()).expect("an index of ours");
                let ready = event.flags;
                if ready.contains(epoll::EventFlags::OUT) {
                    self.connections[number].send()?;
                    watch(&self.epoll, &self.connections[number], event.data)?;
                }
                if ready.intersects(
                    epoll::EventFlags::IN | epoll::EventFlags::HUP | epoll::EventFlags::ERR,
                ) && self.connections[number].receive(&mut self.room)? == Progress::Answered
                {
                    self.echoes += 1;
                    if self.echoes + (under_way as u64) <= enough {
                        self.start(number)?;
                    } else {
                        under_way -= 1;
                    }
                }
            }
        }
        Ok(())
    }

    fn start(&mut self, number: usize) -> io::Result<()> {
        let connection = &mut self.connections[number];
        connection.start(self.echoes)?;
        if connection.wants_room() {
            watch(
                &self.epoll,
                connection,
                epoll::EventData::new_u64(number as u64),
            )?;
        }
        Ok(())
    }
}

fn open(plan: &Echo, epoll: &impl std::os::fd::AsFd) -> io::Result<Vec<Connection>> {
    let tls = plan.tls.as_deref().map(wire::trusting).transpose()?;
    (0..plan.connections as u64)
        .map(|number| {
            let talk = if plan.http {
                Talk::Http(Request::new(number))
            } else {
                Talk::echo(number, plan.size, plan.header)
            };
            let connection = Connection::open(plan.address, tls.as_ref(), talk)?;
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
