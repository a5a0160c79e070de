//! A work queue: two workers share four jobs and finish in 17 units, not in 32.
//!
//!     cargo run --example work_queue           # a unit is a tenth of a second
//!     cargo run --example work_queue -- 1      # the full-size kitchen: 17 seconds
//!
//! One takes the long job (15 units). While it sleeps, Two does the next pair (10 + 5), and whoever is free first
//! takes what is left (2). Nobody told them how to share. The same program in Python: examples/work_queue.py.

use std::rc::Rc;
use std::time::{Duration, Instant};

use rondeau::{Queue, gather, sleep, spawn};

/// Takes one delay after another from the queue until it is empty.
async fn worker(name: &str, work: Rc<Queue<u32>>, unit: Duration) {
    while !work.is_empty() {
        let delay = work.get().await;
        println!("Task {name} running {delay}");
        let start = Instant::now();
        sleep(delay * unit).await; // The worker waits; the thread does not.
        println!(
            "Task {name} elapsed time: {:.1}",
            start.elapsed().as_secs_f64() / unit.as_secs_f64()
        );
    }
}

fn main() {
    let unit = std::env::args().nth(1).map_or(0.1, |arg| {
        arg.parse().expect("the unit is a number of seconds")
    });
    let unit = Duration::from_secs_f64(unit);
    rondeau::run(async {
        let work = Rc::new(Queue::unbounded());
        for delay in [15, 10, 5, 2] {
            work.put(delay).await;
        }
        let start = Instant::now();
        let (one, two) = gather!(
            spawn(worker("One", Rc::clone(&work), unit)),
            spawn(worker("Two", Rc::clone(&work), unit)),
        );
        one.and(two).expect("nobody cancels them");
        println!(
            "\nTotal elapsed time: {:.1}",
            start.elapsed().as_secs_f64() / unit.as_secs_f64()
        );
    });
}
