//! Start a task and await its value: one after the other, and a hundred at a time.

use std::time::Duration;

use crate::measure::{Row, spent, tokio};

pub const ROW: Row = Row {
    name: "spawn + join",
    operations: 200_000,
    rondeau: |n| {
        rondeau::run(spent(async move {
            for i in 0..n {
                assert_eq!(
                    rondeau::spawn(async move { i })
                        .await
                        .expect("it is not cancelled"),
                    i
                );
            }
        }))
    },
    tokio: |n| {
        let local = tokio::task::LocalSet::new();
        local.block_on(
            &tokio(),
            spent(async move {
                for i in 0..n {
                    assert_eq!(
                        tokio::task::spawn_local(async move { i })
                            .await
                            .expect("it is not cancelled"),
                        i
                    );
                }
            }),
        )
    },
    smol: |n| {
        let local = smol::LocalExecutor::new();
        smol::block_on(local.run(spent(async {
            for i in 0..n {
                assert_eq!(local.spawn(async move { i }).await, i);
            }
        })))
    },
};

pub const MANY: Row = Row {
    name: "spawn 100, join 100",
    operations: 200_000,
    rondeau: many_rondeau,
    tokio: many_tokio,
    smol: many_smol,
};

fn many_rondeau(n: u32) -> Duration {
    rondeau::run(spent(async move {
        let mut handles = Vec::with_capacity(100);
        for i in 0..n / 100 {
            handles.extend((0..100).map(|_| rondeau::spawn(async move { i })));
            for handle in handles.drain(..) {
                assert_eq!(handle.await.expect("it is not cancelled"), i);
            }
        }
    }))
}

fn many_tokio(n: u32) -> Duration {
    let local = tokio::task::LocalSet::new();
    local.block_on(
        &tokio(),
        spent(async move {
            let mut handles = Vec::with_capacity(100);
            for i in 0..n / 100 {
                handles.extend((0..100).map(|_| tokio::task::spawn_local(async move { i })));
                for handle in handles.drain(..) {
                    assert_eq!(handle.await.expect("it is not cancelled"), i);
                }
            }
        }),
    )
}

fn many_smol(n: u32) -> Duration {
    let local = smol::LocalExecutor::new();
    smol::block_on(local.run(spent(async {
        let mut tasks = Vec::with_capacity(100);
        for i in 0..n / 100 {
            tasks.extend((0..100).map(|_| local.spawn(async move { i })));
            for task in tasks.drain(..) {
                assert_eq!(task.await, i);
            }
        }
    })))
}
