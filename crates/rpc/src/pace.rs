//! A socket whose client has to keep pace.
//!
//! Invariant: the head of a request is complete within `head_timeout_ms` of its first byte, a WebSocket message within
//! `body_timeout_ms` of its first byte, and a client that is sent an answer takes [`MIN_TAKEN_BYTES`] of it in each
//! `write_timeout_ms`, or all of it; else the connection ends. So nothing that a slow client makes the node hold is held for long.
//! What it does not do: bodies are timed where they are read (`receive`), idle connections by hyper (`idle_timeout_ms`).

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::budget::Budget;
use crate::connections::Ticket;
use crate::limits::Limits;

/// What a client takes of an answer in each `write_timeout_ms`, in bytes.
pub(crate) const MIN_TAKEN_BYTES: usize = 512 * 1024;

type Timer = Option<Pin<Box<Sleep>>>;

/// A socket with the clocks of its client.
#[derive(Debug)]
pub(crate) struct Paced<S> {
    socket: S,
    ticket: Arc<Ticket>,
    receiving: Arc<Budget>,
    head_timeout: Duration,
    message_timeout: Duration,
    write_timeout: Duration,
    reading: Timer,
    /// Whether `reading` is about messages of a WebSocket rather than heads of requests.
    messaging: bool,
    /// Messages that were complete when `reading` was set.
    messages: u32,
    /// Requests that were answered when `reading` was set.
    answered: u32,
    writing: Timer,
    taken: usize,
    /// Counted in `receiving` for a message that is not complete.
    counted: usize,
}

impl<S> Paced<S> {
    pub(crate) fn new(socket: S, ticket: Arc<Ticket>, receiving: Arc<Budget>, limits: &Limits) -> Self {
        Self {
            socket,
            ticket,
            receiving,
            head_timeout: limits.head_timeout(),
            message_timeout: limits.body_timeout(),
            write_timeout: limits.write_timeout(),
            reading: None,
            messaging: false,
            messages: 0,
            answered: 0,
            writing: None,
            taken: 0,
            counted: 0,
        }
    }

    /// Whether it is a WebSocket. When it has become one, the clock of the head that asked for that may still run: the first message may come
    /// before anybody looked whether something is overdue.
    fn is_messaging(&mut self) -> bool {
        if !self.messaging && self.ticket.is_websocket() {
            (self.messaging, self.reading) = (true, None);
        }
        self.messaging
    }

    /// Notes bytes that came.
    fn came(&mut self, bytes: usize) -> io::Result<()> {
        if self.is_messaging() {
            let partial = self.ticket.received(bytes);
            // Small messages are not worth counting; what a connection's buffers hold is bounded by their number.
            let more = partial.saturating_sub(self.counted);
            if partial > Budget::SMALL && more > 0 {
                if !self.receiving.take(more) {
                    return Err(io::Error::new(io::ErrorKind::OutOfMemory, "too many bytes are being received"));
                }
                self.counted += more;
            }
            if self.reading.is_none() {
                self.messages = self.ticket.message().0;
                self.reading = timer(self.message_timeout);
            }
        } else if self.ticket.awaits_head() && self.reading.is_none() {
            self.answered = self.ticket.answered();
            self.reading = timer(self.head_timeout);
        }
        Ok(())
    }

    /// Nothing came: is something overdue?
    fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_messaging() {
            let (messages, begun) = self.ticket.message();
            if messages != self.messages || !begun {
                self.release();
                self.messages = messages;
                self.reading = if begun { timer(self.message_timeout) } else { None };
            }
        } else if !self.ticket.awaits_head() || self.answered != self.ticket.answered() {
            // The head came; its request may even have been answered since the last look.
            self.reading = None;
        }
        let Some(timer) = &mut self.reading else { return Poll::Pending };
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Err(late("the client sends too slowly")))
    }

    fn release(&mut self) {
        self.receiving.give(std::mem::take(&mut self.counted));
    }

    /// Notes the outcome of a write of `wanted` bytes.
    fn poll_taken(
        &mut self,
        cx: &mut Context<'_>,
        wanted: usize,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Ready(Ok(bytes)) => {
                self.taken += bytes;
                self.ticket.touch();
                if *bytes >= wanted {
                    self.writing = None;
                }
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => loop {
                if self.writing.is_none() {
                    self.taken = 0;
                    self.writing = timer(self.write_timeout);
                }
                let Some(timer) = &mut self.writing else { return Poll::Pending };
                if timer.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                if self.taken < MIN_TAKEN_BYTES {
                    return Poll::Ready(Err(late("the client reads too slowly")));
                }
                self.writing = None;
            },
        }
        written
    }
}

fn timer(after: Duration) -> Timer {
    Some(Box::pin(sleep_until(Instant::now() + after)))
}

fn late(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

impl<S> Drop for Paced<S> {
    fn drop(&mut self) {
        self.release();
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        match Pin::new(&mut this.socket).poll_read(cx, buffer) {
            Poll::Ready(Ok(())) => {
                let came = buffer.filled().len() - before;
                Poll::Ready(if came > 0 { this.came(came) } else { Ok(()) })
            }
            Poll::Ready(error) => Poll::Ready(error),
            Poll::Pending => this.poll_overdue(cx),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.socket).poll_write(cx, buffer);
        this.poll_taken(cx, buffer.len(), written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.socket).poll_write_vectored(cx, buffers);
        this.poll_taken(cx, buffers.iter().map(|buffer| buffer.len()).sum(), written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::timeout;

    use super::*;
    use crate::connections::Connections;

    #[tokio::test]
    async fn a_message_that_comes_at_once_has_its_own_time_and_not_that_of_the_head() {
        let limits = Limits { head_timeout_ms: 600_000, body_timeout_ms: 50, ..Limits::default() };
        let open = Connections::new(&limits).admit().unwrap();
        let (mut client, server) = duplex(64);
        let mut paced = Paced::new(server, Arc::clone(open.ticket()), Budget::new(1 << 20), &limits);
        let mut buffer = [0; 64];
        client.write_all(b"head").await.unwrap();
        assert_eq!(paced.read(&mut buffer).await.unwrap(), 4);
        assert!(open.begin() && open.upgrade());
        client.write_all(b"part").await.unwrap();
        assert_eq!(paced.read(&mut buffer).await.unwrap(), 4);
        let late = timeout(Duration::from_secs(20), paced.read(&mut buffer)).await.unwrap().unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
    }
}
