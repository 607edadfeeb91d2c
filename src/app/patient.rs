//! A connection that does not wait for ever for a peer that takes nothing.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// Fails a write, or a flush, that comes to nothing for so long.
///
/// Both are timed for themselves: under TLS a write is taken into a buffer, so that only the flush shows that the peer
/// takes nothing, while of a long answer each write that is taken shows that it does.
#[derive(Debug)]
pub(super) struct Patient<T> {
    bytes: T,
    patience: Duration,
    write: Stall,
    flush: Stall,
}

/// Runs from the first attempt in vain to the next that succeeds.
type Stall = Option<Pin<Box<Sleep>>>;

impl<T> Patient<T> {
    pub(super) fn new(bytes: T, patience: Duration) -> Self {
        Self { bytes, patience, write: None, flush: None }
    }
}

fn timed<R>(
    stall: &mut Stall,
    patience: Duration,
    cx: &mut Context<'_>,
    polled: Poll<io::Result<R>>,
) -> Poll<io::Result<R>> {
    if polled.is_ready() {
        *stall = None;
        return polled;
    }
    let sleep = stall.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
    sleep.as_mut().poll(cx).map(|()| Err(io::Error::new(io::ErrorKind::TimedOut, "the peer takes nothing")))
}

impl<T: AsyncRead + Unpin> AsyncRead for Patient<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.bytes).poll_read(cx, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Patient<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.bytes).poll_write(cx, buffer);
        timed(&mut this.write, this.patience, cx, polled)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.bytes).poll_write_vectored(cx, buffers);
        timed(&mut this.write, this.patience, cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.bytes.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.bytes).poll_flush(cx);
        timed(&mut this.flush, this.patience, cx, polled)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.bytes).poll_shutdown(cx);
        timed(&mut this.flush, this.patience, cx, polled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, BufWriter};

    const SHORT: Duration = Duration::from_millis(50);

    #[tokio::test]
    async fn who_takes_nothing_is_given_up() {
        let (here, _there) = tokio::io::duplex(16);
        let error = Patient::new(here, SHORT).write_all(&[0; 100]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn what_a_buffer_takes_is_not_taken_by_the_peer() {
        let (here, _there) = tokio::io::duplex(16);
        let mut patient = Patient::new(BufWriter::with_capacity(1 << 20, here), SHORT);
        let error = loop {
            patient.write_all(&[0; 20]).await.unwrap();
            // Shorter than the patience, as the beats of a stream are.
            if let Ok(flushed) = tokio::time::timeout(SHORT / 5, patient.flush()).await {
                break flushed.unwrap_err();
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn who_takes_it_slowly_gets_all() {
        let (here, mut there) = tokio::io::duplex(16);
        let slowly = async {
            let (mut all, mut part) = (0, [0; 16]);
            while all < 160 {
                tokio::time::sleep(SHORT / 5).await;
                all += there.read(&mut part).await.unwrap();
            }
        };
        let mut patient = Patient::new(here, SHORT * 20);
        let (written, ()) = tokio::join!(patient.write_all(&[0; 160]), slowly);
        written.unwrap();
    }
}
