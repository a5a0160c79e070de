//! What can be connected to and bound: addresses as they are, and names that a thread of the pool resolves, since
//! `getaddrinfo(3)` blocks.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use rondeau_driver::SockAddr;

use crate::blocking::spawn_blocking;

/// Where to connect or bind: a [`SocketAddr`], an IP address with a port, or a host name with a port, as
/// `("localhost", 80)` or `"localhost:80"`. Numbers are taken as they are; names are looked up on a thread.
pub trait Address: sealed::Resolve {}

mod sealed {
    use super::Target;

    pub trait Resolve {
        fn target(self) -> Target;
    }
}

/// What an [`Address`] says.
pub enum Target {
    /// An address.
    Known(SocketAddr),
    /// A name to look up.
    Host(String, u16),
    /// `host:port` as one text, to look up.
    Text(String),
}

impl Target {
    async fn resolve(self) -> io::Result<Vec<SocketAddr>> {
        let found = match self {
            Target::Known(addr) => return Ok(vec![addr]),
            Target::Host(host, port) => {
                spawn_blocking(move || (host.as_str(), port).to_socket_addrs().map(Vec::from_iter))
                    .await
            }
            Target::Text(text) => {
                spawn_blocking(move || text.to_socket_addrs().map(Vec::from_iter)).await
            }
        };
        found.map_err(io::Error::other)?
    }
}

/// Tries `attempt` with each address that `address` stands for; the first success, or the last error.
pub(crate) async fn first<T>(
    address: impl Address,
    mut attempt: impl AsyncFnMut(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let mut failure = None;
    for addr in address.target().resolve().await? {
        match attempt(addr).await {
            Ok(value) => return Ok(value),
            Err(error) => failure = Some(error),
        }
    }
    Err(failure
        .unwrap_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no addresses")))
}

macro_rules! known {
    ($($type:ty),+) => {
        $(
            impl Address for $type {}
            impl sealed::Resolve for $type {
                fn target(self) -> Target {
                    Target::Known(self.into())
                }
            }
        )+
    };
}

known!(SocketAddr, (IpAddr, u16), (Ipv4Addr, u16), (Ipv6Addr, u16));

impl Address for &str {}
impl sealed::Resolve for &str {
    fn target(self) -> Target {
        self.parse()
            .map_or_else(|_| Target::Text(self.into()), Target::Known)
    }
}

impl Address for String {}
impl sealed::Resolve for String {
    fn target(self) -> Target {
        self.as_str().target()
    }
}

impl Address for (&str, u16) {}
impl sealed::Resolve for (&str, u16) {
    fn target(self) -> Target {
        let (host, port) = self;
        host.parse::<IpAddr>().map_or_else(
            |_| Target::Host(host.into(), port),
            |ip| Target::Known((ip, port).into()),
        )
    }
}

/// An internet address, or Unsupported.
pub(super) fn inet(addr: SockAddr) -> io::Result<SocketAddr> {
    addr.as_inet()
        .ok_or_else(|| io::Error::new(io::ErrorKind::Unsupported, "not an internet address"))
}
