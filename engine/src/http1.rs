//! One connection of HTTP/1.

use crate::body::{Incoming, Whole};
use crate::calls::{Draining, Kind, Net, NewCall, Peer, Way, count};
use crate::fault::{Fault, FaultKind};
use crate::http2::read_rest;
use crate::reply;
use crate::settings::{self, Form, Route};
use crate::socket::{Activity, Watched};
use crate::stream;
use bytes::Bytes;
use http::header::{CONNECTION, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Request, Response, Version};
use http_body::{Frame, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_local;
use tokio::time::{Instant as TokioInstant, sleep_until, timeout};

const LATE: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// A response's body: whole, or piece by piece.
pub struct Body {
    whole: Option<Bytes>,
    pieces: Option<mpsc::Receiver<Bytes>>,
    /// Whether the pieces that came are the whole body; else it is cut off, and the connection with it.
    complete: Rc<Cell<bool>>,
    /// Set while the response is on its way; cleared when its body has been taken.
    busy: Option<Busy>,
}

impl Body {
    pub fn whole(bytes: Bytes) -> Self {
        Body {
            whole: (!bytes.is_empty()).then_some(bytes),
            pieces: None,
            complete: Rc::default(),
            busy: None,
        }
    }

    pub fn pieces(pieces: mpsc::Receiver<Bytes>, complete: Rc<Cell<bool>>) -> Self {
        Body { whole: None, pieces: Some(pieces), complete, busy: None }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let next = match &mut self.pieces {
            Some(pieces) => match std::task::ready!(pieces.poll_recv(cx)) {
                None if !self.complete.get() => {
                    return Poll::Ready(Some(Err(io::ErrorKind::Interrupted.into())));
                }
                next => next,
            },
            None => self.whole.take(),
        };
        Poll::Ready(next.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_none() && self.whole.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.pieces {
            Some(_) => SizeHint::default(),
            None => SizeHint::with_exact(self.whole.as_ref().map_or(0, |bytes| bytes.len() as u64)),
        }
    }
}

/// Counts a request as under way until it is dropped.
struct Busy(Rc<State>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.set(false);
        self.0.activity.last_active.set(Instant::now());
        self.0.activity.unparsed_since.set(None);
    }
}

struct State {
    activity: Rc<Activity>,
    busy: Cell<bool>,
    /// When the next response is the connection's last.
    of_age: Cell<Instant>,
    /// Whether it is so for what the request was.
    last: Cell<bool>,
}

/// Serve a connection until it ends.
pub async fn serve<I>(net: Rc<Net>, socket: Watched<I>, peer: Arc<Peer>)
where
    I: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let state = Rc::new(State {
        activity: socket.activity.clone(),
        busy: Cell::new(false),
        of_age: Cell::new(Instant::now() + net.settings.some_age()),
        last: Cell::new(false),
    });
    let service = service_fn(|request| respond(net.clone(), state.clone(), peer.clone(), request));
    let most = net.settings.metadata_bytes + settings::HEADER_ROOM;
    let mut connection = http1::Builder::new()
        // Its own time-out would end idle connections as soon as slow requests; see `due`.
        .header_read_timeout(None)
        .max_headers(settings::MOST_FIELDS)
        .max_buf_size(most.max(settings::STREAM_WINDOW as usize))
        .serve_connection(TokioIo::new(socket), service);
    let mut sleep = pin!(sleep_until(TokioInstant::now()));
    let mut drain = pin!(net.drain.notified());
    let mut draining = Draining::No;
    let end = poll_fn(|cx| {
        while drain.as_mut().poll(cx).is_ready() {
            drain.set(net.drain.notified());
        }
        if draining != net.draining.get() {
            draining = net.draining.get();
            state.of_age.set(state.of_age.get().min(Instant::now()));
            sleep.as_mut().reset(TokioInstant::now());
            if draining == Draining::AtOnce {
                Pin::new(&mut connection).graceful_shutdown();
            }
        }
        while sleep.as_mut().poll(cx).is_ready() {
            match due(&net, &state, Instant::now()) {
                Due::Later(next) => sleep.as_mut().reset(next.into()),
                Due::Idle => {
                    Pin::new(&mut connection).graceful_shutdown();
                    sleep.as_mut().reset((Instant::now() + net.settings.longest_tick()).into());
                }
                Due::Ended(end) => return Poll::Ready(end),
            }
        }
        Pin::new(&mut connection).poll(cx).map(End::Itself)
    })
    .await;
    let mut socket = connection.into_parts().io.into_inner();
    match end {
        End::Over => return count(&net.counts.timed_out),
        End::Late => {
            count(&net.counts.timed_out);
            let _ = timeout(settings::FLUSH, socket.write_all(LATE)).await;
        }
        End::Itself(Err(error)) if error.is_parse() => count(&net.counts.malformed),
        End::Itself(_) => {}
    }
    let _ = timeout(settings::FLUSH, linger(socket)).await;
}

/// Tell the client that nothing more comes, and wait for it to say the same.
async fn linger<I: AsyncRead + AsyncWrite + Unpin>(mut socket: Watched<I>) -> io::Result<()> {
    socket.shutdown().await?;
    let mut unread = [0; 4096];
    while socket.read(&mut unread).await? > 0 {}
    Ok(())
}

enum Due {
    Later(Instant),
    /// It has been idle for its time: to be closed.
    Idle,
    Ended(End),
}

/// Why a connection has ended.
enum End {
    Itself(hyper::Result<()>),
    /// The header fields of a request have not arrived in time.
    Late,
    /// The client takes nothing, or a call has outlived its connection's age and grace.
    Over,
}

/// What a connection's time says.
///
/// One that comes of age is not closed while it is idle: a request may be on its way, and would be lost. Its
/// next response says `connection: close`; if none comes for its grace, it is closed as an idle one is.
fn due(net: &Net, state: &State, now: Instant) -> Due {
    let (settings, activity) = (&net.settings, &state.activity);
    let last = state.of_age.get() + settings.age_grace;
    let stalled = activity.blocked_since.get().map(|since| since + settings.ping_timeout);
    if stalled.is_some_and(|stalled| now >= stalled) || (state.busy.get() && now >= last) {
        return Due::Ended(End::Over);
    }
    let ends = match activity.unparsed_since.get() {
        // Looked at soon, since what comes after the response has a time-out of its own.
        _ if state.busy.get() => last.min(now + settings.handshake),
        Some(since) if now < since + settings.handshake => since + settings.handshake,
        // What comes late may come into the middle of an answer that is not read.
        Some(_) if stalled.is_some() => return Due::Ended(End::Over),
        Some(_) => return Due::Ended(End::Late),
        None => last.min(activity.last_active.get() + settings.idle),
    };
    if now >= ends {
        return Due::Idle;
    }
    let soon = now + settings.longest_tick().min(settings.handshake);
    Due::Later(ends.min(soon))
}

async fn respond(
    net: Rc<Net>,
    state: Rc<State>,
    peer: Arc<Peer>,
    request: Request<hyper::body::Incoming>,
) -> Result<Response<Body>, std::io::Error> {
    state.busy.set(true);
    state.activity.unparsed_since.set(None);
    let busy = Busy(state.clone());
    let (sender, answered) = oneshot::channel();
    // hyper passes over `content-length` beside `transfer-encoding`. Whoever stands in front may have read it
    // instead, and what it takes for the next request must not be read as one here (RFC 9112, 6.1).
    let ambiguous = request.headers().contains_key(TRANSFER_ENCODING);
    state.last.set(ambiguous || wrong_host(request.headers(), request.version()));
    begin(&net, request, sender, &peer);
    // Dropped without an answer: the call was aborted.
    let mut response = answered.await.map_err(std::io::Error::other)?;
    if state.last.get() || Instant::now() >= state.of_age.get() {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response.body_mut().busy = Some(busy);
    Ok(response)
}

/// Enter a request into the books, and hand it over once it is there.
fn begin(
    net: &Rc<Net>,
    request: Request<hyper::body::Incoming>,
    sender: oneshot::Sender<Response<Body>>,
    peer: &Arc<Peer>,
) {
    let now = Instant::now();
    let (head, body) = request.into_parts();
    let Route { form, method, streams, limit, deadline, fault } = net.settings.route(&head, false, now);
    let wrong = wrong_host(&head.headers, head.version);
    let fault = fault.or_else(|| {
        wrong.then(|| Fault::new(FaultKind::MalformedMetadata, "a request of HTTP/1.1 has one host"))
    });
    let streams = streams && fault.is_none();
    let way = Way::H1(sender);
    if streams {
        let call = stream::Opening { form, method, limit, deadline, head, peer: peer.clone(), arrived: now };
        return stream::begin(net, call, Incoming::H1(body), way);
    }
    let id = match net.enter(form, way, deadline) {
        Ok(id) => id,
        Err(way) => return reply::refuse(form, way),
    };
    let kind = if matches!(form, Form::Http { .. }) { Kind::Http } else { Kind::Unary };
    let web = matches!(form, Form::Web(_));
    let whole = Whole::new(form, &head.headers, limit);
    let (message, peer) = (Bytes::new(), peer.clone());
    let call = NewCall { id, kind, method, head, message, fault, arrived: now, deadline, web, peer };
    if call.fault.is_some() || http_body::Body::is_end_stream(&body) {
        let mut call = call;
        if call.fault.is_none() {
            call.set_body(whole.finish());
        }
        return net.hand_over(call);
    }
    spawn_local(read_rest(net.clone(), call, Incoming::H1(body), whole));
}

/// RFC 9112, 3.2: one, and none at all only before HTTP/1.1.
fn wrong_host(headers: &HeaderMap, version: Version) -> bool {
    let hosts = headers.get_all(HOST).iter().count();
    hosts > 1 || (hosts == 0 && version == Version::HTTP_11)
}
