//! When something runs: the agenda, the timers, the inbox of other threads, the clock, and the pace of asking the kernel. And what
//! happened (`record`), and what holds a loop up (`stall`).
//!
//! All of it is generic over a small handle `H` that says what to run. Nothing in here ever calls a handle or drops
//! one on its own: removal returns it, because running or dropping it may re-enter the loop. One turn, as both faces
//! take it:
//!
//! ```
//! use rondeau_core::{Agenda, Clock, Inbox, Pace, Park, Time, Timers};
//! use std::time::Duration;
//!
//! let (mut agenda, mut timers, inbox) = (Agenda::new(), Timers::new(), Inbox::new());
//! let (mut pace, mut clock) = (Pace::new(), Clock::virtual_at(Time::from_nanos(0)));
//! timers.insert(clock.now() + Duration::from_secs(15), "roast");
//! agenda.push("salad");
//! inbox.push("dessert"); // from another thread
//!
//! let mut served = Vec::new();
//! while served.len() < 3 {
//!     inbox.drain_into(&mut agenda);
//!     match pace.decide(!agenda.is_empty(), timers.next_due(), || clock.now()) {
//!         Park::Skip | Park::Poll | Park::Forever => {} // here the kernel is asked
//!         Park::Until(pause) => clock.advance_to(clock.now() + pause), // or the thread parks
//!     }
//!     let now = clock.now();
//!     while let Some(handle) = timers.pop_due(now) {
//!         agenda.push(handle);
//!     }
//!     for _ in 0..agenda.len() {
//!         served.extend(agenda.pop());
//!     }
//! }
//! assert_eq!(served, ["salad", "dessert", "roast"]);
//! ```

#![forbid(unsafe_code)]

mod agenda;
mod clock;
mod inbox;
mod order;
mod pace;
pub mod record;
mod schedule;
mod stall;
mod tape;
mod time;
mod timers;

pub use agenda::Agenda;
pub use clock::Clock;
pub use inbox::Inbox;
pub use pace::{Pace, Park};
pub use schedule::Schedule;
pub use stall::{Beat, Held, Sight, Stall, Verdict};
pub use tape::Tape;
pub use time::Time;
pub use timers::{TimerKey, Timers};
