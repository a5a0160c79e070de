//! Two tasks hand a number back and forth through two bounded queues of one. The cost of a round trip.

use std::rc::Rc;

use crate::measure::{Row, spent, tokio};

pub const ROW: Row = Row {
    name: "queue ping-pong, round trip",
    operations: 200_000,
    rondeau: |n| {
        rondeau::run(spent(async move {
            let there = Rc::new(rondeau::Queue::bounded(1));
            let back = Rc::new(rondeau::Queue::bounded(1));
            let other = {
                let (there, back) = (Rc::clone(&there), Rc::clone(&back));
                rondeau::spawn(async move {
                    for _ in 0..n {
                        let i: u32 = there.get().await;
                        back.put(i).await;
                    }
                })
            };
            for i in 0..n {
                there.put(i).await;
                assert_eq!(back.get().await, i);
            }
            other.await.expect("it is not cancelled");
        }))
    },
    tokio: |n| {
        let local = tokio::task::LocalSet::new();
        local.block_on(
            &tokio(),
            spent(async move {
                let (there, mut arriving) = tokio::sync::mpsc::channel(1);
                let (back, mut returning) = tokio::sync::mpsc::channel(1);
                let other = tokio::task::spawn_local(async move {
                    while let Some(i) = arriving.recv().await {
                        let i: u32 = i;
                        back.send(i).await.expect("the other end is there");
                    }
                });
                for i in 0..n {
                    there.send(i).await.expect("the other end is there");
                    assert_eq!(returning.recv().await, Some(i));
                }
                drop(there);
                other.await.expect("it is not cancelled");
            }),
        )
    },
    smol: |n| {
        let local = smol::LocalExecutor::new();
        smol::block_on(local.run(spent(async {
            let (there, arriving) = smol::channel::bounded(1);
            let (back, returning) = smol::channel::bounded(1);
            let other = local.spawn(async move {
                while let Ok(i) = arriving.recv().await {
                    let i: u32 = i;
                    back.send(i).await.expect("the other end is there");
                }
            });
            for i in 0..n {
                there.send(i).await.expect("the other end is there");
                assert_eq!(returning.recv().await, Ok(i));
            }
            drop(there);
            other.await;
        })))
    },
};
