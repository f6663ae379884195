//! Answers that are whole: one message, a status, or a response of plain HTTP.

use crate::calls::{Finish, Net, Open, Way};
use crate::http1::Body;
use crate::http2::Respond;
use crate::metadata::percent_encoded;
use crate::settings::{self, Form};
use crate::stream;
use crate::web::{self, Web};
use bytes::{Bytes, BytesMut};
use h2::{Reason, SendStream};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use tokio::task::spawn_local;

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const WEB: HeaderValue = HeaderValue::from_static("application/grpc-web+proto");
const WEB_TEXT: HeaderValue = HeaderValue::from_static("application/grpc-web-text+proto");
const ZERO: HeaderValue = HeaderValue::from_static("0");
const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

pub const DEADLINE_EXCEEDED: u32 = 4;
pub const RESOURCE_EXHAUSTED: u32 = 8;

impl Form {
    fn content_type(self) -> Option<HeaderValue> {
        match self {
            Form::Grpc => Some(GRPC),
            Form::Web(Web::Binary) => Some(WEB),
            Form::Web(Web::Text) => Some(WEB_TEXT),
            Form::Http { .. } => None,
        }
    }

    /// The header fields that a response of this form begins with.
    pub fn head(self, mut head: Response<()>) -> Response<()> {
        if let Some(value) = self.content_type() {
            head.headers_mut().insert(CONTENT_TYPE, value);
        }
        head
    }
}

/// Header fields of bytes that the binding has looked at; what is no header field is left out.
pub fn extend(headers: &mut HeaderMap, pairs: Vec<(Bytes, Bytes)>) {
    for (name, value) in pairs {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(&name), HeaderValue::from_maybe_shared(value))
        {
            headers.append(name, value);
        }
    }
}

/// The trailers of a gRPC call.
pub fn trailers(finish: &mut Finish) -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(3);
    trailers.insert(STATUS, HeaderValue::from(finish.code));
    if !finish.text.is_empty() {
        trailers.insert(MESSAGE, percent_encoded(&finish.text));
    }
    extend(&mut trailers, std::mem::take(&mut finish.trailers));
    trailers
}

/// End a unary call with OK and its message, framed already.
pub fn answer(open: Open, framed: Bytes) {
    let Open { form, way, .. } = open;
    match (form, way) {
        (Form::Grpc, Way::H2(respond)) => {
            let mut trailers = HeaderMap::with_capacity(1);
            trailers.insert(STATUS, ZERO);
            respond.send(form.head(Response::new(())), framed, Some(trailers));
        }
        (form, way) => {
            let finish = Finish::ok(Some(framed));
            end(form, way, finish);
        }
    }
}

impl Respond {
    /// Send a whole response. What the client's window has no room for waits in a task, for some time.
    fn send(mut self, head: Response<()>, body: Bytes, trailers: Option<HeaderMap>) {
        let bare = body.is_empty() && trailers.is_none();
        let Ok(mut stream) = self.stream.send_response(head, bare) else { return };
        if bare {
            return;
        }
        if body.len() > settings::SMALL_ANSWER {
            stream.reserve_capacity(body.len());
            if stream.capacity() < body.len() {
                spawn_local(self.send_slowly(stream, body, trailers));
                return;
            }
        }
        end_stream(stream, body, trailers);
    }

    async fn send_slowly(self, mut stream: SendStream<Bytes>, mut body: Bytes, trailers: Option<HeaderMap>) {
        let (own, all, size) = (&self.activity.unsent, &self.unsent, body.len());
        if own.get() + size > settings::UNSENT || all.get() + size > settings::UNSENT_OF_ALL {
            return stream.send_reset(Reason::ENHANCE_YOUR_CALM);
        }
        own.set(own.get() + size);
        all.set(all.get() + size);
        if stream::write_h2(&mut stream, &mut body, Some(self.allowed)).await {
            end_stream(stream, body, trailers);
        } else {
            stream.send_reset(Reason::CANCEL);
        }
        own.set(own.get() - size);
        all.set(all.get() - size);
    }
}

fn end_stream(mut stream: SendStream<Bytes>, body: Bytes, trailers: Option<HeaderMap>) {
    match trailers {
        Some(trailers) => {
            let _ = stream.send_data(body, false);
            let _ = stream.send_trailers(trailers);
        }
        None => drop(stream.send_data(body, true)),
    }
}

impl Finish {
    /// A good end.
    pub fn ok(message: Option<Bytes>) -> Self {
        Finish { code: 0, text: String::new(), trailers: Vec::new(), initial: Vec::new(), message }
    }

    pub fn status(code: u32, text: &str) -> Self {
        Finish { code, text: text.into(), ..Finish::ok(None) }
    }
}

/// End a gRPC call whose response has not begun.
pub fn end(form: Form, way: Way, mut finish: Finish) {
    let mut head = form.head(Response::new(()));
    extend(head.headers_mut(), std::mem::take(&mut finish.initial));
    match form {
        Form::Grpc => end_in_trailers(way, head, finish),
        Form::Web(web) => {
            let body = web_end(web, &mut finish);
            whole(way, head, body, false);
        }
        Form::Http { only_head } => whole(way, bare_status(&finish), Bytes::new(), only_head),
    }
}

fn end_in_trailers(way: Way, mut head: Response<()>, mut finish: Finish) {
    let Way::H2(mut respond) = way else { return };
    let Some(message) = finish.message.take() else {
        // Without a message the status goes with the header fields ("trailers only").
        let fields = trailers(&mut finish);
        head.headers_mut().extend(fields);
        let _ = respond.stream.send_response(head, true);
        return;
    };
    respond.send(head, message, Some(trailers(&mut finish)));
}

/// The last bytes of a gRPC-Web response: its message, if it has one, and its trailers.
pub fn web_end(web: Web, finish: &mut Finish) -> Bytes {
    let last = web::trailers_frame(finish.code, &finish.text, &finish.trailers);
    match finish.message.take() {
        None => web::encode(web, last),
        Some(message) => {
            let mut both = BytesMut::from(&web::encode(web, message)[..]);
            both.extend_from_slice(&web::encode(web, last));
            both.freeze()
        }
    }
}

/// Send a whole response of HTTP.
pub fn whole(way: Way, mut head: Response<()>, body: Bytes, only_head: bool) {
    if has_body(head.status()) {
        head.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    let body = if only_head { Bytes::new() } else { body };
    match way {
        Way::H2(respond) => respond.send(head, body, None),
        Way::H1(sender) => {
            let _ = sender.send(head.map(|()| Body::whole(body)));
        }
        Way::Task(_) => {}
    }
}

fn has_body(status: StatusCode) -> bool {
    !(status.is_informational() || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED)
}

/// What HTTP is told where nobody else could say it.
fn bare_status(finish: &Finish) -> Response<()> {
    let mut head = Response::new(());
    *head.status_mut() = match finish.code {
        DEADLINE_EXCEEDED => StatusCode::GATEWAY_TIMEOUT,
        RESOURCE_EXHAUSTED => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    if finish.code == RESOURCE_EXHAUSTED {
        head.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    head
}

/// Turn a request away for which the books have no room.
pub fn refuse(form: Form, way: Way) {
    end(form, way, Finish::status(RESOURCE_EXHAUSTED, "more calls are under way than the server takes"));
}

/// End the calls that are overdue or whose client has left, and say so to Python.
pub fn end_overdue(net: &Net, now: std::time::Instant) {
    for (id, open, overdue, handed) in net.ended(now) {
        if handed {
            net.event(id, crate::calls::Event::Gone { overdue });
        }
        if !overdue {
            continue;
        }
        crate::calls::count(&net.counts.timed_out);
        match open.way {
            Way::Task(sender) => {
                let _ = sender.send(crate::calls::StreamOrder::Overdue);
            }
            way => end(open.form, way, Finish::status(DEADLINE_EXCEEDED, "Deadline Exceeded")),
        }
    }
}
