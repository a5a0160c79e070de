//! 100,000 tasks sleep at once: all equally long, or each for 0–50 ms. The cost of a task, its sleep and its join.

use std::time::Duration;

use crate::measure::{Row, spent, tokio};

pub const SAME: Row = Row {
    name: "100,000 sleeps, same delay",
    operations: 100_000,
    rondeau: |n| on_rondeau(n, same),
    tokio: |n| on_tokio(n, same),
    smol: |n| on_smol(n, same),
};

pub const RANDOM: Row = Row {
    name: "100,000 sleeps, 0-50 ms",
    operations: 100_000,
    rondeau: |n| on_rondeau(n, random),
    tokio: |n| on_tokio(n, random),
    smol: |n| on_smol(n, random),
};

fn same(_: u32) -> Duration {
    Duration::from_millis(50)
}

/// The same numbers in every arm and round.
fn random(i: u32) -> Duration {
    let mixed = u64::from(i)
        .wrapping_add(1)
        .wrapping_mul(0x9E37_79B9_7F4A_7C15);
    Duration::from_nanos((mixed >> 24) % 50_000_000)
}

fn on_rondeau(n: u32, delay: fn(u32) -> Duration) -> Duration {
    rondeau::run(spent(async move {
        let handles: Vec<_> = (0..n)
            .map(|i| rondeau::spawn(async move { rondeau::sleep(delay(i)).await }))
            .collect();
        for handle in handles {
            handle.await.expect("it is not cancelled");
        }
    }))
}

fn on_tokio(n: u32, delay: fn(u32) -> Duration) -> Duration {
    let local = tokio::task::LocalSet::new();
    local.block_on(
        &tokio(),
        spent(async move {
            let handles: Vec<_> = (0..n)
                .map(|i| {
                    tokio::task::spawn_local(async move { tokio::time::sleep(delay(i)).await })
                })
                .collect();
            for handle in handles {
                handle.await.expect("it is not cancelled");
            }
        }),
    )
}

fn on_smol(n: u32, delay: fn(u32) -> Duration) -> Duration {
    let local = smol::LocalExecutor::new();
    smol::block_on(local.run(spent(async {
        let handles: Vec<_> = (0..n)
            .map(|i| {
                local.spawn(async move {
                    smol::Timer::after(delay(i)).await;
                })
            })
            .collect();
        for handle in handles {
            handle.await;
        }
    })))
}
