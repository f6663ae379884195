//! A call that streams: a task of its own, between Python's orders and HTTP.

use crate::body::{self, Incoming};
use crate::calls::{Event, Finish, Kind, Net, NewCall, Peer, StreamOrder, Way, count};
use crate::fault::{Fault, FaultKind};
use crate::frames::{Encoding, Frames, framed};
use crate::http1::Body;
use crate::reply;
use crate::settings::{self, Form};
use crate::web::{self, TextDecoder};
use bytes::Bytes;
use h2::{Reason, SendStream};
use http::request::Parts;
use http::{HeaderMap, Response};
use std::cell::Cell;
use std::future::{pending, poll_fn};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{self, UnboundedReceiver, unbounded_channel};
use tokio::task::spawn_local;
use tokio::time::timeout;

/// A streaming call whose header fields are there.
pub struct Opening {
    pub form: Form,
    pub method: i32,
    pub limit: usize,
    pub deadline: Option<Instant>,
    pub head: Parts,
    pub peer: Arc<Peer>,
    pub arrived: Instant,
}

/// Hand a streaming call over, and serve it by a task.
pub fn begin(net: &Rc<Net>, opening: Opening, body: Incoming, way: Way) {
    let Opening { form, method, limit, deadline, head, peer, arrived } = opening;
    let (sender, orders) = unbounded_channel();
    let id = match net.enter(form, Way::Task(sender), deadline) {
        Ok(id) => id,
        Err(_) => return reply::refuse(form, way),
    };
    let incoming = Requests::new(form, &head.headers, limit, body);
    let web = matches!(form, Form::Web(_));
    let message = Bytes::new();
    let call =
        NewCall { id, kind: Kind::Stream, method, head, message, fault: None, arrived, deadline, web, peer };
    net.hand_over(call);
    spawn_local(
        Task { net: net.clone(), id, form, incoming: Some(incoming), out: Out::new(way), orders }.run(),
    );
}

/// Have a call whose request is there already answered piece by piece from here on.
pub fn take_over(net: &Rc<Net>, id: u64) {
    let (sender, orders) = unbounded_channel();
    if let Some((way, form)) = net.become_task(id, sender) {
        spawn_local(Task { net: net.clone(), id, form, incoming: None, out: Out::new(way), orders }.run());
    }
}

/// The messages of a request.
struct Requests {
    body: Incoming,
    frames: Frames,
    text: Option<TextDecoder>,
    wanted: bool,
    ended: bool,
}

enum Next {
    Messages(Vec<Bytes>),
    End(Option<Fault>),
    Broken,
}

impl Requests {
    fn new(form: Form, headers: &HeaderMap, limit: usize, body: Incoming) -> Self {
        let encoding = Encoding::of(headers.get("grpc-encoding").map(|value| value.as_bytes()));
        let text = matches!(form, Form::Web(web::Web::Text)).then(TextDecoder::new);
        Requests { body, frames: Frames::new(encoding, limit), text, wanted: false, ended: false }
    }

    /// What comes next, where Python has asked for it; else never ready.
    async fn next(&mut self) -> Next {
        if !self.wanted || self.ended {
            return pending().await;
        }
        loop {
            match self.whole_messages() {
                Ok(messages) if messages.is_empty() => {}
                Ok(messages) => {
                    self.wanted = false;
                    return Next::Messages(messages);
                }
                Err(fault) => return self.end(Some(fault)),
            }
            match poll_fn(|cx| self.body.poll(cx)).await {
                Some(Ok(chunk)) => match self.decoded(chunk) {
                    Ok(chunk) => self.frames.push(chunk),
                    Err(fault) => return self.end(Some(fault)),
                },
                Some(Err(body::Broken::Malformed)) => return self.end(Some(body::no_chunks())),
                Some(Err(body::Broken::Left)) => return Next::Broken,
                None => {
                    let cut = !self.frames.is_empty()
                        || self.text.as_ref().is_some_and(|text| text.finish().is_err());
                    let text = "the request ends within a message".into();
                    return self.end(cut.then_some(Fault { kind: FaultKind::MalformedRequest, text }));
                }
            }
        }
    }

    fn end(&mut self, fault: Option<Fault>) -> Next {
        self.ended = true;
        Next::End(fault)
    }

    fn whole_messages(&mut self) -> Result<Vec<Bytes>, Fault> {
        let (mut messages, mut bytes) = (Vec::new(), 0);
        while messages.len() < settings::MESSAGES_AT_ONCE && bytes < settings::MESSAGE_BYTES_AT_ONCE {
            match self.frames.next() {
                Ok(Some(message)) => {
                    bytes += message.len();
                    messages.push(message);
                }
                Ok(None) => break,
                // What came before the fault is good; the fault is found again.
                Err(_) if !messages.is_empty() => break,
                Err(fault) => return Err(fault),
            }
        }
        Ok(messages)
    }

    fn decoded(&mut self, chunk: Bytes) -> Result<Bytes, Fault> {
        match &mut self.text {
            Some(text) => text.decode(&chunk),
            None => Ok(chunk),
        }
    }
}

/// The response, in whichever version of HTTP.
enum Out {
    NotBegun(Way),
    H2(SendStream<Bytes>),
    /// The flag says that what was sent is the whole body.
    H1(mpsc::Sender<Bytes>, Rc<Cell<bool>>),
    Ended,
}

impl Out {
    fn new(way: Way) -> Self {
        Out::NotBegun(way)
    }

    /// Begin the response.
    fn start(&mut self, head: Response<()>) {
        *self = match std::mem::replace(self, Out::Ended) {
            Out::NotBegun(Way::H2(mut respond)) => match respond.stream.send_response(head, false) {
                Ok(stream) => Out::H2(stream),
                Err(_) => Out::Ended,
            },
            Out::NotBegun(Way::H1(sender)) => {
                let (pieces, body) = mpsc::channel(1);
                let whole = Rc::new(Cell::new(false));
                match sender.send(head.map(|()| Body::pieces(body, whole.clone()))) {
                    Ok(()) => Out::H1(pieces, whole),
                    Err(_) => Out::Ended,
                }
            }
            begun => begun,
        };
    }

    /// Send a piece; returns when HTTP's flow control has taken it, `false` if nobody takes it any more.
    ///
    /// What is sent is taken off the piece: dropped half-way, the rest of it is there to go on with.
    async fn write(&mut self, piece: &mut Bytes) -> bool {
        match self {
            Out::H2(stream) => write_h2(stream, piece, None).await,
            Out::H1(pieces, _) if piece.is_empty() => !pieces.is_closed(),
            Out::H1(pieces, _) => match pieces.reserve().await {
                Ok(room) => {
                    room.send(std::mem::take(piece));
                    true
                }
                Err(_) => false,
            },
            Out::NotBegun(_) | Out::Ended => false,
        }
    }

    /// Ready when the client has left.
    async fn left(&mut self) {
        match self {
            Out::NotBegun(Way::H2(respond)) => {
                let _ = poll_fn(|cx| respond.stream.poll_reset(cx)).await;
            }
            Out::NotBegun(Way::H1(sender)) => sender.closed().await,
            Out::H2(stream) => {
                let _ = poll_fn(|cx| stream.poll_reset(cx)).await;
            }
            Out::H1(pieces, _) => pieces.closed().await,
            Out::NotBegun(Way::Task(_)) | Out::Ended => {}
        }
    }

    fn reset(self, reason: Reason) {
        match self {
            Out::NotBegun(Way::H2(mut respond)) => respond.stream.send_reset(reason),
            Out::H2(mut stream) => stream.send_reset(reason),
            _ => {}
        }
    }
}

/// Send a piece as the client's windows have room for it; `false` if nobody takes it any more.
///
/// `within`: how long the client may take nothing.
pub async fn write_h2(stream: &mut SendStream<Bytes>, piece: &mut Bytes, within: Option<Duration>) -> bool {
    while !piece.is_empty() {
        stream.reserve_capacity(piece.len());
        let room = poll_fn(|cx| stream.poll_capacity(cx));
        let room = match within {
            Some(within) => timeout(within, room).await.unwrap_or(None),
            None => room.await,
        };
        let Some(Ok(room)) = room else { return false };
        if room > 0 && stream.send_data(piece.split_to(room.min(piece.len())), false).is_err() {
            return false;
        }
    }
    true
}

struct Task {
    net: Rc<Net>,
    id: u64,
    form: Form,
    incoming: Option<Requests>,
    out: Out,
    orders: UnboundedReceiver<StreamOrder>,
}

impl Task {
    async fn run(mut self) {
        let mut writing: Option<Bytes> = None;
        loop {
            let Task { incoming, out, orders, .. } = &mut self;
            tokio::select! {
                biased;
                order = orders.recv() => {
                    let Some(order) = order else { return self.out.reset(Reason::CANCEL) };
                    match order {
                        // Only one is ever under way; see `write` of the surface.
                        StreamOrder::Write(piece) => writing = Some(self.packed(piece)),
                        other => if !self.obey(other, &mut writing).await { return },
                    }
                }
                taken = write_or_wait(out, &mut writing) => {
                    if !taken { return self.left() }
                    writing = None;
                    self.net.event(self.id, Event::Writable);
                }
                next = next_or_wait(incoming) => match next {
                    Next::Messages(messages) => self.net.event(self.id, Event::Messages(messages)),
                    Next::End(fault) => self.net.event(self.id, Event::End(fault)),
                    Next::Broken => return self.left(),
                },
            }
        }
    }

    /// Carry out an order; `false` when the call has ended.
    async fn obey(&mut self, order: StreamOrder, writing: &mut Option<Bytes>) -> bool {
        match order {
            StreamOrder::Start(head) => self.out.start(self.form.head(head)),
            StreamOrder::More => {
                if let Some(incoming) = &mut self.incoming {
                    incoming.wanted = true;
                }
            }
            StreamOrder::Write(_) => {}
            StreamOrder::Finish(finish) => {
                self.finish(finish, writing.take()).await;
                return false;
            }
            StreamOrder::Close => {
                if self.flush(writing.take()).await {
                    match &mut self.out {
                        Out::H2(stream) => drop(stream.send_data(Bytes::new(), true)),
                        Out::H1(_, whole) => whole.set(true),
                        Out::NotBegun(_) | Out::Ended => {}
                    }
                }
                return false;
            }
            StreamOrder::Abort => {
                std::mem::replace(&mut self.out, Out::Ended).reset(Reason::INTERNAL_ERROR);
                return false;
            }
            StreamOrder::Overdue => {
                if writing.is_some() {
                    // Half a message may have been sent.
                    std::mem::replace(&mut self.out, Out::Ended).reset(Reason::CANCEL);
                } else {
                    self.finish(Finish::status(reply::DEADLINE_EXCEEDED, "Deadline Exceeded"), None).await;
                }
                return false;
            }
        }
        true
    }

    async fn finish(&mut self, mut finish: Finish, unsent: Option<Bytes>) {
        if !self.flush(unsent).await {
            return;
        }
        match std::mem::replace(&mut self.out, Out::Ended) {
            Out::NotBegun(way) => reply::end(self.form, way, finish),
            Out::H2(mut stream) => match self.form {
                Form::Grpc => {
                    let _ = stream.send_trailers(reply::trailers(&mut finish));
                }
                Form::Web(web) => {
                    let _ = stream.send_data(reply::web_end(web, &mut finish), true);
                }
                Form::Http { .. } => stream.send_reset(Reason::INTERNAL_ERROR),
            },
            Out::H1(pieces, whole) => {
                if let Form::Web(web) = self.form {
                    let last = pieces.send(reply::web_end(web, &mut finish));
                    let sent = timeout(self.net.settings.ping_timeout, last).await;
                    whole.set(matches!(sent, Ok(Ok(()))));
                }
            }
            Out::Ended => {}
        }
    }

    /// Send what was being sent, for as long as a client may be slow; `false`: it is reset.
    async fn flush(&mut self, unsent: Option<Bytes>) -> bool {
        let Some(mut piece) = unsent else { return true };
        let written = timeout(self.net.settings.ping_timeout, self.out.write(&mut piece)).await;
        if written != Ok(true) {
            count(&self.net.counts.timed_out);
            std::mem::replace(&mut self.out, Out::Ended).reset(Reason::CANCEL);
        }
        written == Ok(true)
    }

    /// A piece of the response as this form puts it.
    fn packed(&self, piece: Bytes) -> Bytes {
        match self.form {
            Form::Grpc => framed(&piece),
            Form::Web(web) => web::encode(web, framed(&piece)),
            Form::Http { .. } => piece,
        }
    }

    fn left(self) {
        if self.net.leave(self.id).is_some() {
            self.net.event(self.id, Event::Gone { overdue: false });
        }
    }
}

async fn next_or_wait(incoming: &mut Option<Requests>) -> Next {
    match incoming {
        Some(requests) => requests.next().await,
        None => pending().await,
    }
}

/// Send the piece that waits; without one, wait for the client's leaving.
async fn write_or_wait(out: &mut Out, writing: &mut Option<Bytes>) -> bool {
    match writing {
        Some(piece) => out.write(piece).await,
        None => {
            out.left().await;
            false
        }
    }
}
