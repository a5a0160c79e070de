//! `cargo run --release -p rondeau-bench [rows…] [--rounds N]` and `… growth` (`growth.rs`): what an operation costs on Rondeau, on tokio's
//! current-thread runtime with a LocalSet, and on smol's LocalExecutor with async-io.
//!
//! Each workload is a file and has three arms, written as that ecosystem's users would. They take turns within a round, in
//! an order that moves from round to round, in one process pinned to one core; what counts is CPU time. A ratio is
//! formed within a round, where the machine was the same, and the table shows the median of the rounds' ratios with
//! their quartiles. Below 1.00 is Rondeau's favour; under 5 % (7 % for sockets) is noise.

mod echo;
mod growth;
mod measure;
mod ping_pong;
mod spawn_join;
mod timers;
mod yielding;

use std::process::ExitCode;

use measure::Row;

const ROWS: &[Row] = &[
    spawn_join::ROW,
    spawn_join::MANY,
    yielding::ONE,
    yielding::HUNDRED,
    ping_pong::ROW,
    timers::SAME,
    timers::RANDOM,
    echo::ROW,
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some("growth") => return growth::table(),
        Some("growth-arm") => return growth::arm(&args[1..]),
        _ => {}
    }
    let mut rounds = 15;
    let mut wanted = Vec::new();
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--rounds" => match args.next().and_then(|n| n.parse().ok()) {
                Some(n) if n > 0 => rounds = n,
                _ => return usage(),
            },
            // What `cargo bench` adds.
            "--bench" => {}
            name if ROWS.iter().any(|row| row.name.contains(name)) => wanted.push(arg),
            _ => return usage(),
        }
    }
    measure::pin(0);
    println!("{}", measure::HEAD);
    let mut lost = 0;
    for row in ROWS {
        if wanted.is_empty() || wanted.iter().any(|part| row.name.contains(part.as_str())) {
            let result = row.measure(rounds);
            println!("{result}");
            lost += usize::from(!result.holds());
        }
    }
    println!(
        "\nTarget: at most 1.00 of the better one (within noise: 1.05). Rows that miss it: {lost}."
    );
    ExitCode::SUCCESS
}

fn usage() -> ExitCode {
    eprintln!("usage: rondeau-bench [--rounds N] [part of a row's name]… | growth\nrows:");
    for row in ROWS {
        eprintln!("  {}", row.name);
    }
    ExitCode::from(2)
}
