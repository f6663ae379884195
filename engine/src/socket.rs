//! A socket, clear or TLS, that notes what goes on.

use crate::authority::Authorities;
use crate::floods::FrameMeter;
use bytes::{Buf, Bytes};
use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// Where a frame's type is, and one that means nothing and is passed over (RFC 9113, 4.1).
const FRAME_TYPE: usize = 3;
const UNKNOWN_FRAME: u8 = 0xff;
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a connection's timers go by.
pub struct Activity {
    pub last_active: Cell<Instant>,
    /// Since when writing has not got on.
    pub blocked_since: Cell<Option<Instant>>,
    /// Since when bytes of a next request have been coming (HTTP/1.1).
    pub unparsed_since: Cell<Option<Instant>>,
    /// Requests that have begun (HTTP/2).
    pub requests: Cell<u64>,
    pub flooded: Cell<bool>,
    /// Set when the client has been told to end (HTTP/2): PINGs that it had not answered then.
    pub ending: Cell<Option<u32>>,
    /// Bytes of answers that wait for the client's window (HTTP/2).
    pub unsent: Cell<usize>,
}

pub struct Watched<I> {
    inner: I,
    /// Read to find out which protocol it is.
    ahead: Bytes,
    pub activity: Rc<Activity>,
    pub meter: Option<FrameMeter>,
    /// Of HTTP/2, as is the meter.
    pub authorities: Option<Authorities>,
    preface_left: usize,
}

/// Whether a connection begins as HTTP/2 does; it is read until that is known.
///
/// # Errors
/// The connection ended before.
pub async fn detect<I: AsyncRead + Unpin>(mut inner: I) -> io::Result<(bool, Watched<I>)> {
    let mut first = Vec::with_capacity(1024);
    loop {
        if inner.read_buf(&mut first).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let seen = first.len().min(PREFACE.len());
        if first[..seen] != PREFACE[..seen] {
            return Ok((false, Watched::new(inner, first.into())));
        }
        if seen == PREFACE.len() {
            return Ok((true, Watched::new(inner, first.into())));
        }
    }
}

impl<I> Watched<I> {
    fn new(inner: I, ahead: Bytes) -> Self {
        let now = Instant::now();
        let activity = Rc::new(Activity {
            last_active: Cell::new(now),
            blocked_since: Cell::new(None),
            unparsed_since: Cell::new(Some(now)),
            requests: Cell::new(0),
            flooded: Cell::new(false),
            ending: Cell::new(None),
            unsent: Cell::new(0),
        });
        Watched { inner, ahead, activity, meter: None, authorities: None, preface_left: PREFACE.len() }
    }

    /// Note what was read; an error ends the connection.
    fn note(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        let now = Instant::now();
        self.activity.last_active.set(now);
        if self.activity.unparsed_since.get().is_none() {
            self.activity.unparsed_since.set(Some(now));
        }
        let Some(meter) = &mut self.meter else { return Ok(()) };
        let skipped = bytes.len().min(self.preface_left);
        self.preface_left -= skipped;
        let bytes = &mut bytes[skipped..];
        if let Some(pings) = self.activity.ending.get() {
            meter.end_softly(pings);
        }
        let fed = meter.feed(bytes, now);
        for place in meter.beyond() {
            bytes[place + FRAME_TYPE] = UNKNOWN_FRAME;
        }
        self.activity.requests.set(meter.headers_seen());
        fed.map_err(|what| {
            self.activity.flooded.set(true);
            io::Error::other(what)
        })
    }
}

impl<I: AsyncRead + Unpin> Watched<I> {
    /// Read, and note it.
    fn poll_noted(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        if self.ahead.is_empty() {
            ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        } else {
            let size = self.ahead.len().min(buf.remaining());
            buf.put_slice(&self.ahead[..size]);
            self.ahead.advance(size);
        }
        let read = &mut buf.filled_mut()[before..];
        if !read.is_empty() {
            self.note(read)?;
        }
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Watched<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        loop {
            if let Some(held) = self.authorities.as_mut().and_then(|held| held.take(buf.remaining())) {
                buf.put_slice(&held);
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_noted(cx, buf))?;
            let read = &mut buf.filled_mut()[before..];
            let passed = match &mut self.authorities {
                Some(authorities) if !read.is_empty() => authorities.mend(read),
                _ => return Poll::Ready(Ok(())),
            };
            buf.set_filled(before + passed);
            if passed > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<I: AsyncWrite + Unpin> Watched<I> {
    fn written(&mut self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let (Some(meter), Poll::Ready(Ok(size))) = (&mut self.meter, &polled) {
            meter.wrote(*size);
        }
        self.got_on(polled)
    }

    fn got_on<T>(&self, polled: Poll<T>) -> Poll<T> {
        let blocked = &self.activity.blocked_since;
        match polled {
            Poll::Pending if blocked.get().is_none() => blocked.set(Some(Instant::now())),
            Poll::Ready(_) => blocked.set(None),
            Poll::Pending => {}
        }
        polled
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Watched<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.written(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.written(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_flush(cx);
        self.got_on(polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.got_on(polled)
    }
}
