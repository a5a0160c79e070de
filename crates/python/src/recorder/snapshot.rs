//! What was recorded, taken out of the hooks' reach, and turned into the rows of a recording.
//!
//! Called by `control`. First everything is copied under one borrow, without an allocation of Python's (a collection could run
//! code that comes back into the recorder); then rows are made. The window begins at `since`, or where the ring begins: who
//! was alive then is shown in the state that it was in, so that a lane has no hole at its left end.

use super::subject::{Code, Doing, Name, Subject, name_of};
use super::wait::names_a_task;
use super::{place::Made, state, wait};
use crate::task::cell::TaskRef;
use rondeau_core::record::{Event, Kind};
use rondeau_driver::SockAddr;
use std::collections::HashMap;

/// A subject as it was when it was asked for.
pub struct Shown {
    pub number: u32,
    pub serial: u64,
    pub is_task: bool,
    pub code: Code,
    pub name: Option<Name>,
    pub creator: u64,
    pub made: Option<Made>,
    alive: bool,
    doing: Doing,
}

/// All of it.
pub struct Snapshot {
    events: Vec<Event>,
    pub shown: Vec<Shown>,
    /// The addresses of peers, by number.
    pub peers: HashMap<u32, String>,
    /// The thread of each loop.
    pub loops: Vec<u64>,
    pub lost: u64,
    /// `CLOCK_MONOTONIC` of tick 0 and of now.
    started: u64,
    now: u64,
    nanos: rondeau_driver::clock::Scale,
}

/// The rows, and what they name.
pub struct Rows {
    /// `<QIIIHBx`: time, subject, other, wait, loop, kind.
    pub packed: Vec<u8>,
    /// The indices in `shown` of who is named, in the order of their ids from 1 on.
    pub named: Vec<usize>,
    /// Ids by serial number, of those named and of those only pointed at.
    pub ids: HashMap<u64, u32>,
    /// (purpose, detail) of each wait.
    pub waits: Vec<(u8, u64)>,
    /// `CLOCK_MONOTONIC` where it begins, and how long it is, in nanoseconds.
    pub began: u64,
    pub duration: u64,
    pub lost: u64,
}

fn clone_code(code: &Code) -> Code {
    match code {
        Code::Unknown => Code::Unknown,
        Code::Object(held) => Code::Object(held.clone()),
        Code::Native(name) => Code::Native(name),
        Code::Name(held) => Code::Name(held.clone()),
        Code::Method(name, code) => Code::Method(name.clone(), code.clone()),
    }
}

fn text_of(peer: &SockAddr, tls: bool) -> String {
    let text = match (peer.as_inet(), peer.as_unix()) {
        (Some(inet), _) => inet.to_string(),
        (_, Some([0, name @ ..])) => format!("@{}", String::from_utf8_lossy(name)),
        (_, Some([])) => "a Unix socket".to_owned(),
        (_, Some(path)) => String::from_utf8_lossy(path).into_owned(),
        _ => "a socket".to_owned(),
    };
    if tls { format!("{text} (TLS)") } else { text }
}

fn clone_name(name: &Name) -> Name {
    match name {
        Name::Number(number) => Name::Number(*number),
        Name::Text(held) => Name::Text(held.clone()),
    }
}

impl Snapshot {
    /// Copies it; None while off.
    ///
    /// # Safety
    /// The GIL is held.
    pub unsafe fn take() -> Option<Snapshot> {
        // SAFETY: references are only counted up; a live task's pointer is valid until its death takes it back.
        unsafe {
            let state = state()?;
            let nanos = state.ticks.scale();
            let now = state.ticks.now();
            let mut peers = HashMap::new();
            let shown = state
                .subjects
                .iter()
                .filter_map(|(number, subject)| match subject {
                    Subject::Peer(entry) => {
                        peers.insert(number, text_of(&entry.peer, entry.tls));
                        None
                    }
                    Subject::Task(task) => Some(Shown {
                        number,
                        serial: task.serial,
                        is_task: true,
                        code: clone_code(&task.code),
                        name: match &task.name {
                            Some(name) => Some(clone_name(name)),
                            None if task.task.is_null() => None,
                            None => Some(name_of(TaskRef::of(task.task))),
                        },
                        creator: task.creator,
                        made: task.made.as_ref().map(|made| Made {
                            code: made.code.clone(),
                            instruction: made.instruction,
                        }),
                        alive: !task.task.is_null() || task.weak.is_some(),
                        doing: task.doing,
                    }),
                    Subject::Callback(callback) => Some(Shown {
                        number,
                        serial: callback.serial,
                        is_task: false,
                        code: clone_code(&callback.code),
                        name: None,
                        creator: 0,
                        made: None,
                        alive: false,
                        doing: Doing::Unknown,
                    }),
                })
                .collect();
            Some(Snapshot {
                shown,
                peers,
                events: state.ring.iter().copied().collect(),
                loops: state.loops.iter().map(|seen| seen.thread).collect(),
                lost: state.ring.lost(),
                started: state.ticks.started(),
                now,
                nanos,
            })
        }
    }

    /// The rows from `since` (`CLOCK_MONOTONIC`, in nanoseconds) on.
    pub fn rows(&self, since: u64) -> Rows {
        let (times, split) = self.times(since);
        let began = match (self.lost, times.first()) {
            (1.., Some(first)) => since.max(*first),
            _ => since.max(self.started),
        };
        let end = (self.started + self.nanos.nanos(self.now))
            .max(began)
            .max(times.last().copied().unwrap_or(0));
        let mut writer = Writer::new(&self.shown, began);
        let at: HashMap<u32, usize> = self
            .shown
            .iter()
            .enumerate()
            .map(|(at, shown)| (shown.number, at))
            .collect();
        self.first_rows(split, &at, &mut writer);
        for (event, time) in self.events[split..].iter().zip(&times[split..]) {
            let at = match at.get(&event.subject) {
                Some(at) => Some(*at),
                None if event.subject == 0 => None,
                None => continue, // A callback that was forgotten while it ran.
            };
            writer.row(*time, at, event.kind, event.wait, event.detail, event.place);
        }
        writer.rows(end, self.lost + split as u64)
    }

    /// When each event was, never before the one before it, and how many there are before `since`.
    fn times(&self, since: u64) -> (Vec<u64>, usize) {
        let mut last = 0;
        let times: Vec<u64> = self
            .events
            .iter()
            .map(|event| {
                // An item may begin at the stamp of the end before it, after another thread wrote a later one.
                last = last.max(self.started + self.nanos.nanos(event.time));
                last
            })
            .collect();
        let split = times.partition_point(|time| *time < since);
        (times, split)
    }

    /// What each task and loop did when the window began.
    fn first_rows(&self, split: usize, at: &HashMap<u32, usize>, writer: &mut Writer<'_>) {
        let (before, within) = self.events.split_at(split);
        let mut states: HashMap<u32, Event> = HashMap::new();
        let mut parked: HashMap<u16, bool> = HashMap::new();
        for event in before {
            match event.kind {
                Kind::Park | Kind::Unpark => {
                    parked.insert(event.place, event.kind == Kind::Park);
                }
                Kind::Block => {}
                _ => {
                    states.insert(event.subject, *event);
                }
            }
        }
        let mut seen: HashMap<u32, Event> = HashMap::new();
        for event in within {
            seen.entry(event.subject).or_insert(*event);
        }
        for (number, at) in at {
            let shown = &self.shown[*at];
            let event = |kind, place, wait, detail| Event {
                time: 0,
                detail,
                subject: *number,
                place,
                kind,
                wait,
            };
            let known = states.get(number).copied();
            let first = seen.get(number);
            let place = first.map_or(0, |first| first.place);
            let event = match (known, first) {
                (Some(known), _) => match known.kind {
                    Kind::Created | Kind::Ready => event(Kind::Ready, known.place, 0, 0),
                    Kind::Run => event(Kind::Run, known.place, 0, 0),
                    Kind::Wait => event(Kind::Wait, known.place, known.wait, known.detail),
                    Kind::Callback => event(Kind::Callback, known.place, 0, 0),
                    _ => continue,
                },
                // Its first event tells what it did before.
                (None, Some(first)) if shown.is_task && self.lost > 0 => match first.kind {
                    Kind::Run => event(Kind::Ready, place, 0, 0),
                    Kind::Ready => event(Kind::Wait, place, wait::before(first.wait), 0),
                    Kind::Wait | Kind::Done | Kind::Failed | Kind::Cancelled => {
                        event(Kind::Run, place, 0, 0)
                    }
                    _ => continue,
                },
                (None, None) if shown.is_task && shown.alive => match shown.doing {
                    Doing::Waiting(wait, detail) => event(Kind::Wait, place, wait, detail),
                    Doing::Ready => event(Kind::Ready, place, 0, 0),
                    Doing::Running => event(Kind::Run, place, 0, 0),
                    Doing::Unknown => continue,
                },
                _ => continue,
            };
            writer.first.push((*at, event));
        }
        writer.write_first();
        for (place, parked) in parked {
            if parked {
                writer.row(writer.began, None, Kind::Park, 0, 0, place);
            }
        }
    }
}

struct Writer<'a> {
    shown: &'a [Shown],
    began: u64,
    packed: Vec<u8>,
    named: Vec<usize>,
    ids: HashMap<u64, u32>,
    pointed: Vec<u64>,
    waits: Vec<(u8, u64)>,
    wait_numbers: HashMap<(u8, u64), u32>,
    first: Vec<(usize, Event)>,
    /// The place in `packed` of each `other` that is filled in at the end.
    others: Vec<(usize, u64)>,
}

impl<'a> Writer<'a> {
    fn new(shown: &'a [Shown], began: u64) -> Writer<'a> {
        Writer {
            shown,
            began,
            packed: Vec::new(),
            named: Vec::new(),
            ids: HashMap::new(),
            pointed: Vec::new(),
            waits: Vec::new(),
            wait_numbers: HashMap::new(),
            first: Vec::new(),
            others: Vec::new(),
        }
    }

    /// In the order in which they were made.
    fn write_first(&mut self) {
        let mut first = std::mem::take(&mut self.first);
        first.sort_by_key(|(at, _)| self.shown[*at].serial);
        for (at, event) in first {
            self.row(
                self.began,
                Some(at),
                event.kind,
                event.wait,
                event.detail,
                event.place,
            );
        }
    }

    fn id(&mut self, at: usize) -> u32 {
        let next = self.named.len() as u32 + 1;
        let serial = self.shown[at].serial;
        let id = *self.ids.entry(serial).or_insert(next);
        if id == next {
            self.named.push(at);
        }
        id
    }

    fn row(&mut self, time: u64, at: Option<usize>, kind: Kind, wait: u8, detail: u64, place: u16) {
        let subject = at.map_or(0, |at| self.id(at));
        let wait = match kind {
            Kind::Wait => {
                let next = self.waits.len() as u32;
                let number = *self.wait_numbers.entry((wait, detail)).or_insert(next);
                if number == next {
                    self.waits.push((wait, detail));
                    if names_a_task(wait) {
                        self.pointed.push(detail);
                    }
                }
                number
            }
            Kind::Block => detail as u32,
            _ => 0,
        };
        if matches!(kind, Kind::Created | Kind::Ready) && detail != 0 {
            self.others.push((self.packed.len() + 12, detail));
        }
        self.packed.extend((time - self.began).to_le_bytes());
        self.packed.extend(subject.to_le_bytes());
        self.packed.extend(0u32.to_le_bytes());
        self.packed.extend(wait.to_le_bytes());
        self.packed.extend(place.to_le_bytes());
        self.packed.extend([kind as u8, 0]);
    }

    /// Fills in who is only pointed at: with a number of its own, which `tasks` need not know.
    fn rows(mut self, end: u64, lost: u64) -> Rows {
        let creators: Vec<u64> = self
            .named
            .iter()
            .map(|at| self.shown[*at].creator)
            .collect();
        let others = std::mem::take(&mut self.others);
        let mut next = self.named.len() as u32;
        let pointed = others.iter().map(|(_, serial)| *serial);
        for serial in pointed
            .chain(creators)
            .chain(std::mem::take(&mut self.pointed))
        {
            if serial != 0 {
                self.ids.entry(serial).or_insert_with(|| {
                    next += 1;
                    next
                });
            }
        }
        for (at, serial) in others {
            let id = self.ids.get(&serial).copied().unwrap_or(0);
            self.packed[at..at + 4].copy_from_slice(&id.to_le_bytes());
        }
        Rows {
            packed: self.packed,
            named: self.named,
            ids: self.ids,
            waits: self.waits,
            began: self.began,
            duration: end - self.began,
            lost,
        }
    }
}
