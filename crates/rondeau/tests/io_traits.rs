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
