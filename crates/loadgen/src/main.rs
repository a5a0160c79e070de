//! The other end of the benchmark's sockets: `rondeau-loadgen echo …` drives an echo server in a closed
//! loop, `rondeau-loadgen http …` an HTTP server, `rondeau-loadgen hold …` holds many quiet connections. `benches/` starts it, one process a round,
//! and reads one JSON object a line from its output.
//!
//! It shares no code with Rondeau, so that a fault of the driver cannot hide on both ends. It pins itself to a
//! core of its own, and every run is bounded in messages and in time.

mod answer;
mod arguments;
mod connection;
mod echo;
mod hold;
mod http;
mod server_clock;
mod talk;
mod wire;

use std::process::ExitCode;

use arguments::Command;

fn main() -> ExitCode {
    let command = match arguments::parse() {
        Ok(command) => command,
        Err(error) => {
            eprintln!("rondeau-loadgen: {error}\n{}", arguments::USAGE);
            return ExitCode::from(2);
        }
    };
    let outcome = match command {
        Command::Echo(plan) => echo::run(&plan).map(|report| println!("{}", report.to_json())),
        Command::Hold(plan) => hold::run(&plan),
        Command::Help => {
            println!("{}", arguments::USAGE);
            Ok(())
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rondeau-loadgen: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Pins this process to one core; the server has another.
///
/// # Errors
/// That of `sched_setaffinity(2)`, for a core that is not there or not allowed.
fn pin(core: Option<usize>) -> std::io::Result<()> {
    if let Some(core) = core {
        let mut cores = rustix::thread::CpuSet::new();
        cores.set(core);
        rustix::thread::sched_setaffinity(None, &cores)?;
    }
    Ok(())
}
