//! An opening that nobody waits for any more leaves no descriptor. A file of its own, since it counts its process's.

#![allow(clippy::unwrap_used)]

use std::future::Future;
use std::task::{Context, Waker};
use std::time::Duration;

use rondeau::fs::File;
use rondeau::sleep;

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn a_dropped_opening_is_closed() {
    let before = descriptors();
    for _ in 0..20 {
        rondeau::run(async {
            let begin = || {
                let mut opening = Box::pin(File::open("/dev/null"));
                let polled = opening
                    .as_mut()
                    .poll(&mut Context::from_waker(Waker::noop()));
                assert!(polled.is_pending());
                opening
            };
            drop(begin()); // before the kernel has it
            let opened = begin();
            sleep(Duration::from_millis(1)).await;
            drop(opened); // when it has come
            let last = begin();
            drop(last);
        });
    }
    assert_eq!(descriptors(), before);
}
