//! The kernel's side of the Rondeau event loop: what a system call, a flag or an errno has to do with.
//!
//! A [`Driver`] watches sockets with level-triggered epoll, parks the thread until something happens, and is woken
//! from any other thread by a [`Waker`]. It knows no tasks and no timers, and it never calls back: it returns.
//!
//! ```
//! use rondeau_driver::{Choice, Driver, Events, Interest, socket};
//! use std::os::fd::AsRawFd;
//!
//! let mut driver = Driver::new(Choice::Auto)?;
//! let (left, right) = socket::pair()?;
//! driver.add(left.as_raw_fd(), Interest::READ, 7)?;
//! socket::send(right.as_raw_fd(), b"soup is ready")?;
//!
//! let mut events = Events::new();
//! driver.park(&mut events, None)?;
//! let event = events.iter().next().expect("something was sent");
//! assert!(event.token == 7 && event.readiness.readable());
//! let got = socket::recv(left.as_raw_fd(), driver.hot())?;
//! assert_eq!(&driver.hot()[..got], b"soup is ready");
//! # Ok::<(), std::io::Error>(())
//! ```

mod addr;
pub mod clock;
mod copying;
pub mod courier;
mod driver;
mod encode;
mod errno;
pub mod file;
mod files;
mod flight;
mod fork;
mod interest;
mod lent;
pub mod op;
mod perform;
pub mod poll;
mod pool;
pub mod porter;
pub mod probe;
mod quiet;
mod ring;
pub mod send;
mod setup;
pub mod socket;
pub mod thread;
mod together;
pub mod unsent;
mod waker;
pub mod watch;
pub mod work;

pub use addr::SockAddr;
pub use driver::Driver;
pub use encode::INLINE;
pub use errno::Errno;
pub use lent::{Lent, LentParts};
pub use op::{Buf, Done, HERE, Op, OpId, Output, SharedFd, Work};
pub use poll::{Event, Events, Interest, Readiness};
pub use probe::{Backend, BadChoice, Choice};
pub use quiet::{Quiet, user};
pub use send::{FLUSH_AT_ONCE, Flush, SEND_GATHERS, SendQueue};
pub use together::{Outcomes, TOGETHER};
pub use waker::Waker;
