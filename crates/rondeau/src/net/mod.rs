//! TCP. `table.rs` finds the socket that an event is about, `socket.rs` waits for readiness and tries the call;
//! `address.rs` resolves names; `listener.rs`, `stream.rs` and `split.rs` are what the user sees; the two adapters
//! implement the ecosystems' traits.

pub(crate) mod address;
#[cfg(feature = "futures-io")]
mod futures_io;
mod listener;
pub(crate) mod socket;
mod split;
mod stream;
pub(crate) mod table;
#[cfg(feature = "tokio-io")]
mod tokio_io;

pub use address::Address;
pub use listener::TcpListener;
pub use split::{ReadHalf, WriteHalf};
pub use stream::TcpStream;
