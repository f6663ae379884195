//! The request's body: as it comes, and as a whole within its limit.

use crate::fault::{Fault, FaultKind};
use crate::frames::{self, Encoding};
use crate::settings::{Form, PREFIX};
use crate::web::{self, TextDecoder};
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::Body as _;
use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// A request's body of either version of HTTP.
pub enum Incoming {
    H2(h2::RecvStream),
    H1(hyper::body::Incoming),
}

/// Why a body has no end.
pub enum Broken {
    /// The client has left, or has ended the stream by an error.
    Left,
    /// Its chunks are none (HTTP/1).
    Malformed,
}

impl Incoming {
    /// The next bytes; `None` at the end. They may be followed by as many at once.
    pub fn poll(&mut self, cx: &mut Context) -> Poll<Option<Result<Bytes, Broken>>> {
        match self {
            Incoming::H2(body) => {
                let chunk = match ready!(body.poll_data(cx)) {
                    Some(Ok(chunk)) => chunk,
                    // A reset without an error ends the request as its end would (RFC 9113 §8.1).
                    Some(Err(error)) if error.reason() == Some(h2::Reason::NO_ERROR) => {
                        return Poll::Ready(None);
                    }
                    Some(Err(_)) => return Poll::Ready(Some(Err(Broken::Left))),
                    None => return Poll::Ready(None),
                };
                let _ = body.flow_control().release_capacity(chunk.len());
                Poll::Ready(Some(Ok(chunk)))
            }
            Incoming::H1(body) => loop {
                return match ready!(Pin::new(&mut *body).poll_frame(cx)) {
                    Some(Ok(frame)) => match frame.into_data() {
                        Ok(chunk) => Poll::Ready(Some(Ok(chunk))),
                        Err(_trailers) => continue,
                    },
                    Some(Err(error)) => Poll::Ready(Some(Err(broken(&error)))),
                    None => Poll::Ready(None),
                };
            },
        }
    }
}

fn broken(error: &hyper::Error) -> Broken {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
    match cause.map(io::Error::kind) {
        Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) => Broken::Malformed,
        _ => Broken::Left,
    }
}

/// The fault of a request whose chunks are malformed.
pub fn no_chunks() -> Fault {
    Fault::malformed("the body is not chunked as HTTP/1.1 demands")
}

/// Puts a whole body together.
pub struct Whole {
    form: Form,
    encoding: Encoding,
    limit: usize,
    first: Bytes,
    more: BytesMut,
}

impl Whole {
    pub fn new(form: Form, headers: &HeaderMap, limit: usize) -> Self {
        let encoding = Encoding::of(headers.get("grpc-encoding").map(|value| value.as_bytes()));
        Whole { form, encoding, limit, first: Bytes::new(), more: BytesMut::new() }
    }

    /// Take bytes; `false` as soon as they are too many.
    pub fn push(&mut self, chunk: Bytes) -> bool {
        if self.first.is_empty() {
            self.first = chunk;
        } else {
            self.more.extend_from_slice(&chunk);
        }
        self.first.len() + self.more.len() <= self.most()
    }

    /// The message, or the body.
    pub fn finish(self) -> Result<Bytes, Fault> {
        let most = self.most();
        let body = if self.more.is_empty() {
            self.first
        } else {
            let mut both = BytesMut::with_capacity(self.first.len() + self.more.len());
            both.extend_from_slice(&self.first);
            both.extend_from_slice(&self.more);
            both.freeze()
        };
        match self.form {
            Form::Grpc => frames::only_message(self.encoding, self.limit, body),
            Form::Web(web::Web::Binary) => frames::only_message(self.encoding, self.limit, body),
            Form::Web(web::Web::Text) => {
                let mut text = TextDecoder::new();
                let decoded = text.decode(&body)?;
                text.finish()?;
                frames::only_message(self.encoding, self.limit, decoded)
            }
            Form::Http { .. } if body.len() > most => {
                let text = format!("the body has more than {most} bytes");
                Err(Fault { kind: FaultKind::MessageTooLarge, text })
            }
            Form::Http { .. } => Ok(body),
        }
    }

    fn most(&self) -> usize {
        match self.form {
            Form::Grpc | Form::Web(web::Web::Binary) => self.limit + PREFIX,
            // Four characters for three bytes, and padding.
            Form::Web(web::Web::Text) => (self.limit + PREFIX) / 3 * 4 + 8,
            Form::Http { .. } => self.limit,
        }
    }
}

/// Read a body to its end, or to its limit.
pub async fn read_whole(body: &mut Incoming, whole: &mut Whole) -> Result<(), Broken> {
    while let Some(chunk) = poll_fn(|cx| body.poll(cx)).await {
        if !whole.push(chunk?) {
            break;
        }
    }
    Ok(())
}
