//! What belongs to one loop and is awaited on another says so, instead of waiting for ever.

#![allow(clippy::unwrap_used, clippy::async_yields_async)]

use std::future::{Future, poll_fn};
use std::io::Write;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rondeau::{Runtime, TcpListener, TcpStream, fs, run, sleep, sleep_until, spawn, timeout};

fn says_so(error: std::io::Error) {
    let text = error.to_string();
    assert!(text.contains("belongs to another loop"), "{text}");
}

/// A loop's stream, and its peer.
async fn stream() -> (TcpStream, std::net::TcpStream) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    (stream, listener.accept().unwrap().0)
}

#[test]
fn streams_and_listeners() {
    let runtime = Runtime::new().unwrap();
    let (stream, mut peer) = runtime.block_on(stream());
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    peer.write_all(b"hello").unwrap(); // it could be read at once
    let attempts = async || {
        let mut buffer = [0; 9];
        says_so(stream.read(&mut buffer).await.unwrap_err());
        says_so(stream.read_exact(&mut buffer).await.unwrap_err());
        says_so(stream.write_all(b"hello").await.unwrap_err());
        says_so(listener.accept().await.unwrap_err());
    };
    run(attempts());
    // Its own one has lost nothing.
    let mut buffer = [0; 9];
    assert_eq!(runtime.block_on(stream.read(&mut buffer)).unwrap(), 5);
    drop(runtime);
    run(attempts());
}

#[cfg(feature = "futures-io")]
#[test]
fn streams_that_are_polled_by_hand() {
    let (mut stream, _peer) = run(stream());
    run(poll_fn(|cx| {
        use futures_io::{AsyncRead, AsyncWrite};
        let read = Pin::new(&mut stream).poll_read(cx, &mut [0; 9]);
        let Poll::Ready(Err(error)) = read else {
            panic!("{read:?}")
        };
        says_so(error);
        let written = Pin::new(&mut stream).poll_write(cx, b"hello");
        let Poll::Ready(Err(error)) = written else {
            panic!("{written:?}")
        };
        says_so(error);
        Poll::Ready(())
    }));
}

/// The panic of a future that is awaited on another loop.
fn panics<F: Future>(future: F) {
    let runtime = Runtime::new().unwrap();
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        runtime.block_on(async { timeout(Duration::from_secs(60), future).await })
    }));
    let payload = outcome.err().unwrap();
    let text = payload.downcast_ref::<String>().unwrap();
    assert!(text.contains("belongs to another loop"), "{text}");
}

#[test]
fn sleeps_and_tasks() {
    panics(run(async { sleep(Duration::from_millis(1)) }));
    panics(run(async {
        let mut nap = Box::pin(sleep(Duration::from_secs(1000)));
        poll_fn(|cx| Poll::Ready(nap.as_mut().poll(cx).is_ready())).await;
        nap
    }));
    let runtime = Runtime::new().unwrap();
    panics(runtime.block_on(async { sleep(Duration::from_millis(1)) }));
    panics(runtime.block_on(async { spawn(async {}) }));
    // Outside of any loop it may wait: its own can run later.
    let mut nap = Box::pin(runtime.block_on(async { sleep(Duration::from_millis(1)) }));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(nap.as_mut().poll(&mut cx).is_pending());
    runtime.block_on(nap);
    runtime.block_on(async { sleep_until(rondeau::Instant::now()).await });
}

#[test]
fn files_with_a_write_that_was_given_up() {
    let path = std::env::temp_dir().join(format!("rondeau-other-{}", std::process::id()));
    let file = Rc::new(run(async {
        let file = fs::File::create(&path).await.unwrap();
        {
            let mut write = pin!(file.write_all(vec![0; 1 << 20]));
            poll_fn(|cx| Poll::Ready(write.as_mut().poll(cx).is_pending())).await;
        }
        file
    }));
    run(async {
        says_so(file.write_all("x").await.unwrap_err());
        says_so(file.sync_all().await.unwrap_err());
        // What does not depend on it goes on.
        assert!(file.metadata().await.is_ok());
        fs::remove_file(&path).await.unwrap();
    });
}
