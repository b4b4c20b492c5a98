//! A connection that waits for its client only so long.
//!
//! A client that does not read what it asked for is cut off. One that is still sending what was refused is listened to for
//! a moment after the answer, without keeping any of it: otherwise the system tells it that the connection broke, and the
//! answer that says why is lost.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

/// How long a client may read nothing.
const READS: Duration = Duration::from_secs(60);
/// How long, and how much, is listened to after the last answer.
const LINGERS: Duration = Duration::from_secs(5);
const LINGERS_BYTES: usize = 512 << 20;

/// Such a connection.
pub struct Patient {
    stream: TcpStream,
    /// How long a client may read nothing.
    reads: Duration,
    /// Until when what is written now must have gone.
    writing: Option<Pin<Box<Sleep>>>,
    /// Until when it is listened, and what has come meanwhile.
    lingering: Option<(Pin<Box<Sleep>>, usize)>,
}

impl Patient {
    /// With the usual patience.
    pub fn new(stream: TcpStream) -> Patient {
        Patient { stream, reads: READS, writing: None, lingering: None }
    }

    fn wrote<T>(&mut self, context: &mut Context<'_>, wrote: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if wrote.is_ready() {
            self.writing = None;
            return wrote;
        }
        let reads = self.reads;
        let until = self.writing.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + reads)));
        ready!(until.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wrote(context, wrote)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.wrote(context, wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.wrote(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingering.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
            self.lingering = Some((Box::pin(sleep_until(Instant::now() + LINGERS)), 0));
        }
        let Patient { stream, lingering, .. } = &mut *self;
        let Some((until, heard)) = lingering else { return Poll::Ready(Ok(())) };
        let mut unheard = [0; 16 << 10];
        // Who sends without end shall not keep the others of this thread waiting.
        for _ in 0..64 {
            let mut buffer = ReadBuf::new(&mut unheard);
            match Pin::new(&mut *stream).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() && *heard < LINGERS_BYTES => {
                    *heard += buffer.filled().len();
                }
                // Its end, or a connection that broke: it has gone.
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => return until.as_mut().poll(context).map(Ok),
            }
        }
        context.waker().wake_by_ref();
        until.as_mut().poll(context).map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn who_does_not_read_is_cut_off() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut patient = Patient::new(listener.accept().await.unwrap().0);
        patient.reads = Duration::from_millis(50);
        let error = loop {
            if let Err(error) = patient.write_all(&[0; 1 << 20]).await {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(client);
    }
}
