//! Many quiet connections: opened when stdin says so, each greets the server once and then says nothing.
//!
//! The greeting is one message and its echo, so a connection that is counted was truly accepted and has done what a
//! connection does before it goes idle. They open in small waves, since a listener's backlog is short.

use std::io::{self, BufRead, Read, Write};
use std::net::{Shutdown, TcpStream};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::arguments::Hold;

const WAVE: usize = 64;
const GREETING: [u8; 64] = [b'g'; 64];

/// Obeys `open N` and `close` from stdin until it ends; answers each with `{"held": N}`.
///
/// # Errors
/// A connection that fails or stays silent longer than the plan's time, or a line that is neither.
pub fn run(plan: &Hold) -> io::Result<()> {
    crate::pin(plan.core)?;
    raise_descriptor_limit()?;
    let mut held: Vec<TcpStream> = Vec::new();
    for line in io::stdin().lock().lines() {
        let line = line?;
        let mut words = line.split_whitespace();
        match (words.next(), words.next().map(str::parse::<usize>)) {
            (Some("open"), Some(Ok(count))) => {
                while held.len() < count {
                    let wave = WAVE.min(count - held.len());
                    held.extend(open_wave(plan, wave)?);
                }
            }
            (Some("close"), None) => {
                for stream in held.drain(..) {
                    stream.shutdown(Shutdown::Both)?;
                }
            }
            _ => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    format!("what is {line:?}?"),
                ));
            }
        }
        println!("{{\"held\": {}}}", held.len());
        io::stdout().flush()?;
    }
    Ok(())
}

fn open_wave(plan: &Hold, count: usize) -> io::Result<Vec<TcpStream>> {
    let mut wave = Vec::with_capacity(count);
    for _ in 0..count {
        let mut stream = TcpStream::connect(plan.address)?;
        stream.set_read_timeout(Some(plan.limit))?;
        stream.write_all(&GREETING)?;
        wave.push(stream);
    }
    let mut echo = [0; GREETING.len()];
    for stream in &mut wave {
        stream.read_exact(&mut echo)?;
        if echo != GREETING {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the echo differs from the greeting",
            ));
        }
    }
    Ok(wave)
}

/// The soft limit on descriptors rises to the hard one.
fn raise_descriptor_limit() -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    )?;
    Ok(())
}
