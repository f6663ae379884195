//! One connection of HTTP/1.

use crate::body::{Incoming, Whole};
use crate::calls::{Kind, Net, NewCall, Peer, Way, count};
use crate::http2::read_rest;
use crate::reply;
use crate::settings::{self, Form, Route};
use crate::socket::{Activity, Watched};
use crate::stream;
use bytes::Bytes;
use http::header::CONNECTION;
use http::{HeaderValue, Request, Response};
use http_body::{Frame, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::cell::Cell;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_local;
use tokio::time::{Instant as TokioInstant, sleep_until, timeout};

const LATE: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// A response's body: whole, or piece by piece.
pub struct Body {
    whole: Option<Bytes>,
    pieces: Option<mpsc::Receiver<Bytes>>,
    /// Set while the response is on its way; cleared when its body has been taken.
    busy: Option<Busy>,
}

impl Body {
    pub fn whole(bytes: Bytes) -> Self {
        Body { whole: (!bytes.is_empty()).then_some(bytes), pieces: None, busy: None }
    }

    pub fn pieces(pieces: mpsc::Receiver<Bytes>) -> Self {
        Body { whole: None, pieces: Some(pieces), busy: None }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = match &mut self.pieces {
            Some(pieces) => std::task::ready!(pieces.poll_recv(cx)),
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
    /// Whether the next response is the connection's last.
    last: Cell<bool>,
}

/// Serve a connection until it ends.
pub async fn serve<I>(net: Rc<Net>, socket: Watched<I>, peer: Arc<Peer>)
where
    I: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let state =
        Rc::new(State { activity: socket.activity.clone(), busy: Cell::new(false), last: Cell::new(false) });
    let service = service_fn(|request| respond(net.clone(), state.clone(), peer.clone(), request));
    let most = net.settings.metadata_bytes + settings::HEADER_ROOM;
    let mut connection = http1::Builder::new()
        // Its own time-out would end idle connections as soon as slow requests; see `due`.
        .header_read_timeout(None)
        .max_headers(settings::MOST_FIELDS)
        .max_buf_size(most.max(settings::STREAM_WINDOW as usize))
        .serve_connection(TokioIo::new(socket), service);
    let began = Instant::now();
    let mut sleep = pin!(sleep_until(TokioInstant::now()));
    let mut drain = pin!(net.drain.notified());
    let mut draining = false;
    let late = poll_fn(|cx| {
        if !draining && (net.draining.get() || drain.as_mut().poll(cx).is_ready()) {
            draining = true;
            Pin::new(&mut connection).graceful_shutdown();
        }
        while sleep.as_mut().poll(cx).is_ready() {
            match due(&net, &state, began, Instant::now()) {
                Due::Later(next) => sleep.as_mut().reset(next.into()),
                Due::Idle => {
                    Pin::new(&mut connection).graceful_shutdown();
                    sleep.as_mut().reset((Instant::now() + settings::LONGEST_TICK).into());
                }
                Due::Late => return Poll::Ready(true),
                Due::Stalled => return Poll::Ready(false),
            }
        }
        Pin::new(&mut connection).poll(cx).map(|_| false)
    })
    .await;
    if late {
        count(&net.counts.timed_out);
        let mut socket = connection.into_parts().io.into_inner();
        let _ = timeout(settings::FLUSH, socket.write_all(LATE)).await;
        let _ = timeout(settings::FLUSH, socket.shutdown()).await;
    }
}

enum Due {
    Later(Instant),
    /// It has been idle for its time, or is of age and idle: to be closed.
    Idle,
    /// The header fields of a request have not arrived in time.
    Late,
    /// The client takes nothing.
    Stalled,
}

/// What a connection's time says.
///
/// One that comes of age is not closed while it is idle: a request may be on its way, and would be lost. Its
/// next response says `connection: close`; if none comes for its grace, it is closed as an idle one is.
fn due(net: &Net, state: &State, began: Instant, now: Instant) -> Due {
    let (settings, activity) = (&net.settings, &state.activity);
    if activity.blocked_since.get().is_some_and(|since| now >= since + settings::STALLED) {
        return Due::Stalled;
    }
    let of_age = began + settings.age;
    if now >= of_age {
        state.last.set(true);
    }
    let mut next = now + settings::LONGEST_TICK;
    if now < of_age {
        next = next.min(of_age);
    }
    if state.busy.get() {
        // Looked at soon, since what comes after the response has a time-out of its own.
        return Due::Later(next.min(now + settings.handshake));
    }
    let ends = match activity.unparsed_since.get() {
        Some(since) if now >= since + settings.handshake => return Due::Late,
        Some(since) => since + settings.handshake,
        None => {
            let quiet = activity.last_active.get() + settings.idle;
            let aged = of_age.max(activity.last_active.get()) + settings.age_grace;
            quiet.min(aged)
        }
    };
    if now >= ends {
        return Due::Idle;
    }
    Due::Later(next.min(ends).min(now + settings.handshake))
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
    begin(&net, request, sender, &peer);
    // Dropped without an answer: the call was aborted.
    let mut response = answered.await.map_err(std::io::Error::other)?;
    if state.last.get() {
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
