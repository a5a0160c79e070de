//! The ecosystems' reader and writer traits, where their features are on.
#![allow(clippy::unwrap_used)]
#![cfg(any(feature = "futures-io", feature = "tokio-io"))]

use std::future::poll_fn;
use std::pin::Pin;

use rondeau::{TcpListener, TcpStream, gather, run};

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (accepted, connected) = gather!(listener.accept(), TcpStream::connect(addr));
    (accepted.unwrap().0, connected.unwrap())
}

#[cfg(feature = "futures-io")]
#[test]
fn a_stream_is_read_and_written_through_futures_io() {
    use futures_io::{AsyncRead, AsyncWrite};
    run(async {
        let (left, mut right) = pair().await;
        let mut buffer = [0; 8];
        // By reference in one direction while the other waits.
        let (read, ()) = gather!(
            poll_fn(|cx| Pin::new(&mut right).poll_read(cx, &mut buffer)),
            async {
                let mut writer = &left;
                let n = poll_fn(|cx| Pin::new(&mut writer).poll_write(cx, b"soup"))
                    .await
                    .unwrap();
                assert_eq!(n, 4);
                poll_fn(|cx| Pin::new(&mut writer).poll_flush(cx))
                    .await
                    .unwrap();
                poll_fn(|cx| Pin::new(&mut writer).poll_close(cx))
                    .await
                    .unwrap();
            }
        );
        assert_eq!((read.unwrap(), &buffer[..4]), (4, &b"soup"[..]));
        assert_eq!(
            poll_fn(|cx| Pin::new(&mut right).poll_read(cx, &mut buffer))
                .await
                .unwrap(),
            0
        );
    });
}

#[cfg(feature = "tokio-io")]
#[test]
fn a_stream_is_read_and_written_through_tokios_traits() {
    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
    run(async {
        let (mut left, mut right) = pair().await;
        let mut memory = [0; 8];
        let mut buffer = ReadBuf::new(&mut memory);
        let (read, ()) = gather!(
            poll_fn(|cx| Pin::new(&mut right).poll_read(cx, &mut buffer)),
            async {
                let n = poll_fn(|cx| Pin::new(&mut left).poll_write(cx, b"roast"))
                    .await
                    .unwrap();
                assert_eq!(n, 5);
                poll_fn(|cx| Pin::new(&mut left).poll_flush(cx))
                    .await
                    .unwrap();
                poll_fn(|cx| Pin::new(&mut left).poll_shutdown(cx))
                    .await
                    .unwrap();
            }
        );
        read.unwrap();
        assert_eq!(buffer.filled(), b"roast");
        buffer.clear();
        poll_fn(|cx| Pin::new(&mut right).poll_read(cx, &mut buffer))
            .await
            .unwrap();
        assert!(buffer.filled().is_empty(), "the end");
    });
}

#[cfg(feature = "futures-io")]
#[test]
fn a_poll_that_is_given_up_takes_nobodys_place() {
    use futures_io::{AsyncRead, AsyncWrite};
    use std::rc::Rc;
    use std::task::Poll;
    use std::time::Duration;

    run(async {
        let (left, right) = pair().await;
        let right = Rc::new(right);
        let mine = Rc::clone(&right);
        let reader = rondeau::spawn(async move { mine.read(&mut [0; 9]).await.unwrap() });
        rondeau::yield_now().await;
        poll_fn(|cx| {
            let polled = Pin::new(&mut &*right).poll_read(cx, &mut [0; 9]);
            assert!(polled.is_pending(), "there is nothing to read");
            Poll::Ready(())
        })
        .await;
        left.write_all(b"hello").await.unwrap();
        let read = rondeau::timeout(Duration::from_secs(10), reader).await;
        assert_eq!(read.expect("it was never woken").unwrap(), 5);

        // The same of the writing direction, which is full.
        let mut room = 0;
        let full = vec![0; 1 << 20];
        while let Ok(n) = rondeau::timeout(Duration::from_millis(5), right.write(&full)).await {
            room += n.unwrap();
        }
        let mine = Rc::clone(&right);
        let writer = rondeau::spawn(async move { mine.write(b"more").await.unwrap() });
        rondeau::yield_now().await;
        poll_fn(|cx| {
            let polled = Pin::new(&mut &*right).poll_write(cx, b"other");
            assert!(polled.is_pending(), "there is no room");
            Poll::Ready(())
        })
        .await;
        let mut buffer = vec![0; 1 << 20];
        while room > 0 {
            room -= left.read(&mut buffer).await.unwrap().min(room);
        }
        let wrote = rondeau::timeout(Duration::from_secs(10), writer).await;
        assert_eq!(wrote.expect("it was never woken").unwrap(), 4);
    });
}

#[cfg(feature = "futures-io")]
#[test]
fn who_polls_by_hand_is_woken_beside_a_task_that_reads() {
    use futures_io::AsyncRead;
    use std::rc::Rc;
    use std::time::Duration;

    run(async {
        let (left, right) = pair().await;
        let right = Rc::new(right);
        let mine = Rc::clone(&right);
        let by_hand = rondeau::spawn(async move {
            let mut byte = [0; 1];
            poll_fn(|cx| Pin::new(&mut &*mine).poll_read(cx, &mut byte)).await
        });
        let mine = Rc::clone(&right);
        let reader = rondeau::spawn(async move { mine.read(&mut [0; 1]).await });
        rondeau::yield_now().await;
        left.write_all(b"ab").await.unwrap();
        let both = async { gather!(by_hand, reader) };
        let (one, other) = rondeau::timeout(Duration::from_secs(10), both)
            .await
            .unwrap();
        assert_eq!((one.unwrap().unwrap(), other.unwrap().unwrap()), (1, 1));
    });
}
