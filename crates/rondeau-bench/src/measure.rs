//! Rows, rounds and ratios.

use std::fmt;
use std::time::Duration;

use rustix::thread::{CpuSet, sched_setaffinity};
use rustix::time::{ClockId, Timespec, clock_gettime};

/// One workload: its arms do the same number of operations and return the CPU time they took.
pub struct Row {
    pub name: &'static str,
    pub operations: u32,
    pub rondeau: fn(u32) -> Duration,
    pub tokio: fn(u32) -> Duration,
    pub smol: fn(u32) -> Duration,
}

pub const HEAD: &str = "\
CPU time per operation (median), and Rondeau's share of it (median of the rounds' ratios [quartiles])

                                     rondeau     tokio      smol   of tokio             of smol              of the better
";

/// The medians of one row.
pub struct Outcome {
    name: &'static str,
    nanos: [f64; 3],
    of_tokio: [f64; 3],
    of_smol: [f64; 3],
    of_better: [f64; 3],
}

impl Row {
    pub fn measure(&self, rounds: usize) -> Outcome {
        let arms = [self.rondeau, self.tokio, self.smol];
        for arm in arms {
            arm(self.operations / 10); // warm: the allocator's pools, the caches
        }
        let mut costs: [Vec<f64>; 3] = Default::default();
        for round in 0..rounds {
            for turn in 0..3 {
                let arm = (round + turn) % 3;
                let spent = arms[arm](self.operations);
                costs[arm].push(spent.as_nanos() as f64 / f64::from(self.operations));
            }
        }
        let [ours, tokio, smol] = &costs;
        let ratio = |theirs: &dyn Fn(usize) -> f64| {
            quartiles((0..rounds).map(|i| ours[i] / theirs(i)).collect())
        };
        Outcome {
            name: self.name,
            nanos: [ours, tokio, smol].map(|costs| quartiles(costs.clone())[1]),
            of_tokio: ratio(&|i| tokio[i]),
            of_smol: ratio(&|i| smol[i]),
            of_better: ratio(&|i| tokio[i].min(smol[i])),
        }
    }
}

/// First quartile, median, third quartile.
fn quartiles(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| values[(values.len() - 1) * quarter / 4])
}

impl Outcome {
    pub fn holds(&self) -> bool {
        self.of_better[1] <= 1.05
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<34}", self.name)?;
        for nanos in self.nanos {
            write!(f, "{nanos:>8.0}ns")?;
        }
        for [low, median, high] in [self.of_tokio, self.of_smol, self.of_better] {
            write!(f, "   {median:.2} [{low:.2}-{high:.2}]  ")?;
        }
        Ok(())
    }
}

fn duration(time: Timespec) -> Duration {
    Duration::new(
        time.tv_sec.unsigned_abs(),
        time.tv_nsec.unsigned_abs() as u32,
    )
}

/// The CPU time of all threads so far; smol's helper thread counts as smol's.
pub fn process_cpu() -> Duration {
    duration(clock_gettime(ClockId::ProcessCPUTime))
}

/// The CPU time of this thread so far.
pub fn thread_cpu() -> Duration {
    duration(clock_gettime(ClockId::ThreadCPUTime))
}

/// Pins this thread, and those it starts, to a core; on a machine that has no such core, not at all.
pub fn pin(core: usize) {
    let mut cores = CpuSet::new();
    cores.set(core);
    let _ = sched_setaffinity(None, &cores);
}

/// tokio's single-threaded runtime.
pub fn tokio() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be made")
}

/// Runs `future` and returns the process's CPU time meanwhile.
pub async fn spent(future: impl Future<Output = ()>) -> Duration {
    let start = process_cpu();
    future.await;
    process_cpu() - start
}
