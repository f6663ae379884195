//! One connection of HTTP/2.

use crate::authority::Authorities;
use crate::body::{self, Incoming, Whole};
use crate::calls::{Draining, Kind, Net, NewCall, Peer, Way, count};
use crate::fault::{Fault, FaultKind};
use crate::floods::FrameMeter;
use crate::reply;
use crate::settings::{self, Route};
use crate::socket::{Activity, PREFACE, Watched};
use crate::stream;
use bytes::Bytes;
use h2::server::{Connection, SendResponse};
use h2::{Ping, PingPong, Reason, RecvStream};
use http::Request;
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::spawn_local;
use tokio::time::{Sleep, sleep_until, timeout, timeout_at};

/// Where an answer goes.
pub struct Respond {
    pub stream: SendResponse<Bytes>,
    pub activity: Rc<Activity>,
    /// Bytes of answers that wait for windows, of all connections.
    pub unsent: Rc<Cell<usize>>,
    /// How long the client may take nothing of it.
    pub allowed: Duration,
}

/// Serve a connection until it ends.
pub async fn serve<I>(net: Rc<Net>, mut socket: Watched<I>, peer: Arc<Peer>)
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    socket.meter = Some(FrameMeter::new(Instant::now()));
    socket.authorities = Some(Authorities::new(PREFACE.len()));
    let activity = socket.activity.clone();
    let settings = &net.settings;
    let mut builder = h2::server::Builder::new();
    builder
        .max_concurrent_streams(settings.streams)
        .initial_window_size(settings::STREAM_WINDOW)
        .initial_connection_window_size(settings::CONNECTION_WINDOW)
        .max_header_list_size((settings.metadata_bytes + settings::HEADER_ROOM) as u32)
        .max_pending_accept_reset_streams(settings::PENDING_RESETS)
        .max_local_error_reset_streams(Some(settings::LOCAL_RESETS));
    let Ok(Ok(mut connection)) = timeout(settings.handshake, builder.handshake(socket)).await else {
        count(&net.counts.failed_handshakes);
        return;
    };
    let mut clock = Clock::new(&net, connection.ping_pong(), activity.clone());
    let mut drain = pin!(net.drain.notified());
    let mut calls: Vec<(Request<RecvStream>, SendResponse<Bytes>)> = Vec::new();
    let mut books = Books { activity: activity.clone(), accepted: 0, malformed: 0 };
    loop {
        // All that is there, before any is answered: what is answered then leaves in one write.
        let open = poll_fn(|cx| {
            if net.draining.get() != Draining::No || drain.as_mut().poll(cx).is_ready() {
                clock.end_softly(&mut connection);
            }
            if !clock.tick(cx, &mut connection) {
                return Poll::Ready(false);
            }
            loop {
                match connection.poll_accept(cx) {
                    Poll::Ready(Some(Ok(call))) => calls.push(call),
                    Poll::Ready(end) => {
                        let reason = end.and_then(Result::err).filter(h2::Error::is_library);
                        if reason.and_then(|error| error.reason()) == Some(Reason::ENHANCE_YOUR_CALM) {
                            activity.flooded.set(true);
                        }
                        return Poll::Ready(false);
                    }
                    Poll::Pending if calls.is_empty() => {
                        books.count(&net, false);
                        return Poll::Pending;
                    }
                    Poll::Pending => return Poll::Ready(true),
                }
            }
        })
        .await;
        books.accepted += calls.len() as u64;
        let now = Instant::now();
        for (request, stream) in calls.drain(..) {
            let (activity, unsent) = (activity.clone(), net.unsent.clone());
            let respond = Respond { stream, activity, unsent, allowed: settings.ping_timeout };
            begin(&net, request, respond, &peer, now);
        }
        if !open {
            break;
        }
    }
    if activity.flooded.get() {
        count(&net.counts.floods);
    }
    books.count(&net, true);
}

/// Requests that h2 has refused or reset by itself: those that were seen and not accepted.
struct Books {
    activity: Rc<Activity>,
    accepted: u64,
    malformed: u64,
}

impl Books {
    /// Count those that have not been counted; before the connection's end, one may still be coming.
    fn count(&mut self, net: &Net, ended: bool) {
        if self.activity.blocked_since.get().is_some() && !ended {
            return;
        }
        let coming = u64::from(!ended);
        let malformed = self.activity.requests.get().saturating_sub(self.accepted + coming);
        let more = malformed.saturating_sub(self.malformed);
        self.malformed += more;
        net.counts.malformed.fetch_add(more, Ordering::Relaxed);
    }
}

/// Enter a request into the books, and hand it over as soon as it is there.
fn begin(net: &Rc<Net>, request: Request<RecvStream>, respond: Respond, peer: &Arc<Peer>, now: Instant) {
    let (head, body) = request.into_parts();
    let Route { form, method, streams, limit, deadline, fault } = net.settings.route(&head, true, now);
    if streams {
        let call = stream::Opening { form, method, limit, deadline, head, peer: peer.clone(), arrived: now };
        stream::begin(net, call, Incoming::H2(body), Way::H2(respond));
        return;
    }
    let id = match net.enter(form, Way::H2(respond), deadline) {
        Ok(id) => id,
        Err(way) => return reply::refuse(form, way),
    };
    let kind = if matches!(form, settings::Form::Http { .. }) { Kind::Http } else { Kind::Unary };
    let web = matches!(form, settings::Form::Web(_));
    let mut whole = Whole::new(form, &head.headers, limit);
    let (message, peer) = (Bytes::new(), peer.clone());
    let mut call = NewCall { id, kind, method, head, message, fault, arrived: now, deadline, web, peer };
    if call.fault.is_some() {
        return net.hand_over(call);
    }
    let mut body = Incoming::H2(body);
    // Nearly every body came with its header fields.
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        match body.poll(&mut cx) {
            Poll::Ready(Some(Ok(chunk))) => {
                if whole.push(chunk) {
                    continue;
                }
            }
            Poll::Ready(Some(Err(_))) => {
                net.leave(id);
                return;
            }
            Poll::Ready(None) => {}
            Poll::Pending => break,
        }
        call.set_body(whole.finish());
        return net.hand_over(call);
    }
    let net = net.clone();
    spawn_local(async move { read_rest(net, call, body, whole).await });
}

/// Read a body that is not there yet, and hand its request over.
pub async fn read_rest(net: Rc<Net>, mut call: NewCall, mut body: Incoming, mut whole: Whole) {
    let last = call.arrived + net.settings.request;
    let until = call.deadline.map_or(last, |deadline| deadline.min(last));
    match timeout_at(until.into(), body::read_whole(&mut body, &mut whole)).await {
        Ok(Ok(())) => call.set_body(whole.finish()),
        Ok(Err(body::Broken::Malformed)) => call.set_body(Err(body::no_chunks())),
        Ok(Err(body::Broken::Left)) => {
            net.leave(call.id);
            return;
        }
        // A beat ends it as overdue; what has come of its body must not outlast it.
        Err(_) if until < last => return,
        Err(_) => {
            count(&net.counts.timed_out);
            let text = "the request did not arrive in time".into();
            call.set_body(Err(Fault { kind: FaultKind::Late, text }));
        }
    }
    net.hand_over(call);
}

impl NewCall {
    /// Add the request's body, or what is wrong with it.
    pub fn set_body(&mut self, read: Result<Bytes, Fault>) {
        match read {
            Ok(message) => self.message = message,
            Err(fault) => self.fault = Some(fault),
        }
    }
}

/// What ends a connection by time: its age, its idleness, a client that is dead or takes nothing.
struct Clock {
    net: Rc<Net>,
    activity: Rc<Activity>,
    sleep: Pin<Box<Sleep>>,
    pings: Option<PingPong>,
    /// When it is told to end.
    of_age: Instant,
    /// Requests that had begun when the clock was last looked at.
    requests: u64,
    idle_since: Option<Instant>,
    ending: Option<Instant>,
    pinged: Option<Instant>,
}

impl Clock {
    fn new(net: &Rc<Net>, pings: Option<PingPong>, activity: Rc<Activity>) -> Self {
        let now = Instant::now();
        let age = net.settings.some_age();
        let first = now + net.settings.longest_tick().min(age).min(net.settings.ping);
        Clock {
            net: net.clone(),
            activity,
            sleep: Box::pin(sleep_until(first.into())),
            pings,
            of_age: now + age,
            requests: 0,
            idle_since: Some(now),
            ending: None,
            pinged: None,
        }
    }

    /// Have the client begin no more requests here.
    fn end_softly<T, B>(&mut self, connection: &mut Connection<T, B>)
    where
        T: AsyncRead + AsyncWrite + Unpin,
        B: bytes::Buf,
    {
        if self.ending.is_none() {
            self.ending = Some(Instant::now());
            self.activity.ending.set(Some(u32::from(self.pinged.is_some())));
            self.sleep.as_mut().reset((Instant::now() + self.net.settings.age_grace).into());
            connection.graceful_shutdown();
        }
    }

    /// Look at the time where it is due; `false`: the connection is to be ended at once.
    fn tick<T, B>(&mut self, cx: &mut Context, connection: &mut Connection<T, B>) -> bool
    where
        T: AsyncRead + AsyncWrite + Unpin,
        B: bytes::Buf,
    {
        if let (Some(pings), Some(_)) = (&mut self.pings, self.pinged)
            && let Poll::Ready(pong) = pings.poll_pong(cx)
        {
            self.pinged = None;
            if pong.is_err() {
                return false;
            }
        }
        while self.sleep.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            if !self.fire(now, connection) {
                return false;
            }
            let next = self.next(now);
            self.sleep.as_mut().reset(next.into());
        }
        true
    }

    fn fire<T, B>(&mut self, now: Instant, connection: &mut Connection<T, B>) -> bool
    where
        T: AsyncRead + AsyncWrite + Unpin,
        B: bytes::Buf,
    {
        let settings = &self.net.settings;
        let overdue = |since: Option<Instant>, span| since.is_some_and(|since| now >= since + span);
        if overdue(self.activity.blocked_since.get(), settings.ping_timeout)
            || overdue(self.pinged, settings.ping_timeout)
            || overdue(self.ending, settings.age_grace)
        {
            count(&self.net.counts.timed_out);
            return false;
        }
        let requests = self.activity.requests.get();
        if connection.has_streams() {
            self.idle_since = None;
        } else if self.idle_since.is_none() || self.requests != requests {
            // It may have been so for one tick longer.
            self.idle_since = Some(now);
        }
        self.requests = requests;
        if now >= self.of_age || overdue(self.idle_since, settings.idle) {
            self.end_softly(connection);
        }
        let quiet = now >= self.activity.last_active.get() + self.net.settings.ping;
        if quiet
            && self.pinged.is_none()
            && let Some(pings) = &mut self.pings
        {
            self.pinged = pings.send_ping(Ping::opaque()).is_ok().then_some(now);
        }
        true
    }

    fn next(&self, now: Instant) -> Instant {
        let settings = &self.net.settings;
        let times = [
            Some(self.of_age).filter(|_| self.ending.is_none()),
            self.ending.map(|since| since + settings.age_grace),
            self.idle_since.map(|since| since + settings.idle).filter(|_| self.ending.is_none()),
            self.pinged.map(|since| since + settings.ping_timeout),
            Some(self.activity.last_active.get() + settings.ping).filter(|_| self.pinged.is_none()),
        ];
        let soonest = times.into_iter().flatten().filter(|time| *time > now).min();
        let tick = now + settings.longest_tick();
        soonest.unwrap_or(tick).min(tick)
    }
}
