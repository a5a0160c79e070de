//! The command line, read into plain plans; `main` calls it once.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use lexopt::prelude::*;

pub const USAGE: &str = "\
usage: rondeau-loadgen echo --address IP:PORT --connections N --size BYTES --messages N
                            [--warmup N] [--header BYTES] [--server PID] [--core N] [--spin] [--seconds N]
                            [--tls CERTIFICATE.pem: speak TLS and trust this certificate only]
       rondeau-loadgen http (as echo, without --size and --header: GET requests on connections that are kept alive,
                            each answered with its path)
       rondeau-loadgen hold --address IP:PORT [--core N] [--seconds N]
                            (then lines on stdin: `open N` holds N connections in all, `close` closes them)";

/// What one process is asked to do.
pub enum Command {
    Echo(Echo),
    Hold(Hold),
    Help,
}

/// A closed loop: each connection sends a message, waits for its echo, and sends the next.
pub struct Echo {
    pub address: SocketAddr,
    /// The server's certificate, where it speaks TLS.
    pub tls: Option<PathBuf>,
    pub connections: usize,
    /// HTTP/1.1 requests and not echoed messages; `size` and `header` say nothing then.
    pub http: bool,
    /// Bytes a message.
    pub size: usize,
    /// Bytes, each `H`, that the server sends before each echo.
    pub header: usize,
    /// Messages measured, over all connections.
    pub messages: u64,
    /// Messages before the measured ones.
    pub warmup: u64,
    /// The process whose CPU time is read.
    pub server: Option<i32>,
    pub core: Option<usize>,
    /// Poll without sleeping, so that the server never pays for waking this process.
    pub spin: bool,
    pub limit: Duration,
}

/// Connections that say one message and then nothing.
pub struct Hold {
    pub address: SocketAddr,
    pub core: Option<usize>,
    pub limit: Duration,
}

/// Reads the process's arguments.
///
/// # Errors
/// Names the argument that is unknown, missing or not a number.
pub fn parse() -> Result<Command, lexopt::Error> {
    let mut parser = lexopt::Parser::from_env();
    let mut mode = None;
    let (mut address, mut tls) = (None, None);
    let (mut connections, mut size, mut header) = (1, 64, 0);
    let (mut messages, mut warmup) = (1000, 0);
    let (mut server, mut core, mut spin) = (None, None, false);
    let mut limit = Duration::from_secs(60);
    while let Some(argument) = parser.next()? {
        match argument {
            Value(name) if mode.is_none() => mode = Some(name.string()?),
            Long("address") => address = Some(parser.value()?.parse()?),
            Long("tls") => tls = Some(PathBuf::from(parser.value()?)),
            Long("connections") => connections = parser.value()?.parse()?,
            Long("size") => size = parser.value()?.parse()?,
            Long("header") => header = parser.value()?.parse()?,
            Long("messages") => messages = parser.value()?.parse()?,
            Long("warmup") => warmup = parser.value()?.parse()?,
            Long("server") => server = Some(parser.value()?.parse()?),
            Long("core") => core = Some(parser.value()?.parse()?),
            Long("spin") => spin = true,
            Long("seconds") => limit = Duration::from_secs(parser.value()?.parse()?),
            Long("help") | Short('h') => return Ok(Command::Help),
            other => return Err(other.unexpected()),
        }
    }
    let address = address.ok_or("--address is missing");
    match mode.as_deref() {
        Some("echo" | "http") if connections == 0 || size < connection_minimum() => {
            Err("--connections must be at least 1 and --size at least 16".into())
        }
        Some(mode @ ("echo" | "http")) => Ok(Command::Echo(Echo {
            address: address?,
            tls,
            connections,
            http: mode == "http",
            size,
            header,
            messages,
            warmup,
            server,
            core,
            spin,
            limit,
        })),
        Some("hold") => Ok(Command::Hold(Hold {
            address: address?,
            core,
            limit,
        })),
        _ => Err("the first argument must be echo, http or hold".into()),
    }
}

const fn connection_minimum() -> usize {
    crate::talk::STAMP
}
