//! Tasks that give way: one alone, and a hundred in turns. The cost of one yield and the poll that follows it.

use std::time::Duration;

use crate::measure::{Row, spent, tokio};

pub const ONE: Row = Row {
    name: "yield, 1 task",
    operations: 500_000,
    rondeau: |n| on_rondeau(1, n),
    tokio: |n| on_tokio(1, n),
    smol: |n| on_smol(1, n),
};

pub const HUNDRED: Row = Row {
    name: "yield, 100 tasks",
    operations: 1_000_000,
    rondeau: |n| on_rondeau(100, n),
    tokio: |n| on_tokio(100, n),
    smol: |n| on_smol(100, n),
};

fn on_rondeau(tasks: u32, yields: u32) -> Duration {
    rondeau::run(spent(async move {
        let each = || async move {
            for _ in 0..yields / tasks {
                rondeau::yield_now().await;
            }
        };
        let handles: Vec<_> = (0..tasks).map(|_| rondeau::spawn(each())).collect();
        for handle in handles {
            handle.await.expect("it is not cancelled");
        }
    }))
}

fn on_tokio(tasks: u32, yields: u32) -> Duration {
    let local = tokio::task::LocalSet::new();
    local.block_on(
        &tokio(),
        spent(async move {
            let each = || async move {
                for _ in 0..yields / tasks {
                    tokio::task::yield_now().await;
                }
            };
            let handles: Vec<_> = (0..tasks)
                .map(|_| tokio::task::spawn_local(each()))
                .collect();
            for handle in handles {
                handle.await.expect("it is not cancelled");
            }
        }),
    )
}

fn on_smol(tasks: u32, yields: u32) -> Duration {
    let local = smol::LocalExecutor::new();
    smol::block_on(local.run(spent(async {
        let each = || async move {
            for _ in 0..yields / tasks {
                smol::future::yield_now().await;
            }
        };
        let handles: Vec<_> = (0..tasks).map(|_| local.spawn(each())).collect();
        for handle in handles {
            handle.await;
        }
    })))
}
