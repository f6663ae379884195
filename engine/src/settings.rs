//! What the engine is told once, and every limit and span that it sets itself.

use crate::fault::{Fault, FaultKind};
use crate::{metadata, web};
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, Method};
use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, Instant};

/// How often open calls are looked at: whether their deadline has passed or their client has left.
pub const BEAT: Duration = Duration::from_millis(5);
/// A connection's own timers fire at least this often, so that a stall is seen.
pub const LONGEST_TICK: Duration = Duration::from_secs(15);
/// Answers of so many bytes are given to h2 whether or not the client's window has room: streams are limited.
pub const SMALL_ANSWER: usize = 4 << 10;
/// Bytes of larger answers that may wait for the windows of one connection; what is beyond is reset.
pub const UNSENT: usize = 16 << 20;
/// The same for all connections together: a client may have as many of them as the process takes.
pub const UNSENT_OF_ALL: usize = 64 << 20;
/// How long `shut_down` waits for answers that have been given to reach the sockets, and a connection of HTTP/1
/// that has ended for its client to end it too: one that is closed with bytes unread is reset, and its last answer
/// may be lost with it.
pub const FLUSH: Duration = Duration::from_millis(500);
/// After a failed accept (no descriptors left, say) the next one waits.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Bytes of one stream's request that HTTP/2 may send ahead; more only as they are read.
pub const STREAM_WINDOW: u32 = 1 << 16;
/// The same for a whole connection.
pub const CONNECTION_WINDOW: u32 = 1 << 20;
/// Streams that a client may have reset before they were accepted, at once: beyond that the connection ends
/// (rapid reset, CVE-2023-44487). An honest client that cancels a lot stays below: accepting takes microseconds.
pub const PENDING_RESETS: usize = 200;
/// Streams that h2 resets by itself for what the client did wrong, at once (MadeYouReset, CVE-2025-8671).
pub const LOCAL_RESETS: usize = 1024;
/// Header fields may exceed `metadata_bytes` by this much and are still refused by name; beyond it by HTTP.
pub const HEADER_ROOM: usize = 64 << 10;
/// Header fields of one HTTP/1.1 request.
pub const MOST_FIELDS: usize = 256;
/// Bytes before each message of gRPC: a flag and a length.
pub const PREFIX: usize = 5;
/// Messages of a stream that are handed over at a time, and their bytes.
pub const MESSAGES_AT_ONCE: usize = 256;
pub const MESSAGE_BYTES_AT_ONCE: usize = 256 << 10;

/// Calls that Python is through with and that wait to be freed, and what each may have for a message.
pub const SPENT_CALLS: usize = 128;
pub const SPENT_BYTES: usize = 4 << 10;

pub struct Rpc {
    pub index: i32,
    pub streams: bool,
    pub limit: usize,
}

pub struct Settings {
    pub methods: HashMap<String, Rpc>,
    pub pages: Vec<String>,
    pub body_bytes: usize,
    pub larger_bodies: HashMap<String, usize>,
    pub metadata_bytes: usize,
    pub open_calls: usize,
    pub connections: usize,
    pub streams: u32,
    pub handshake: Duration,
    pub request: Duration,
    pub response: Duration,
    pub idle: Duration,
    pub age: Duration,
    pub age_grace: Duration,
    pub ping: Duration,
    pub ping_timeout: Duration,
}

/// How a response is put into HTTP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    Grpc,
    Web(web::Web),
    Http { only_head: bool },
}

/// What a request is for, by its header fields alone.
pub struct Route {
    pub form: Form,
    pub method: i32,
    pub streams: bool,
    pub limit: usize,
    pub deadline: Option<Instant>,
    pub fault: Option<Fault>,
}

impl Settings {
    /// The age of one connection: a tenth more or less, so that clients that came at once do not come again so.
    pub fn some_age(&self) -> Duration {
        let random = RandomState::new().build_hasher().finish() as f64 / u64::MAX as f64;
        self.age.mul_f64(0.9 + 0.2 * random)
    }

    /// How long a connection's timers may sleep: one that is stalled or idle has to be seen in time.
    pub fn longest_tick(&self) -> Duration {
        LONGEST_TICK.min(self.ping_timeout).min(self.idle)
    }

    /// Find what a request is for; `http2`: gRPC itself needs HTTP/2 for its trailers.
    pub fn route(&self, head: &Parts, http2: bool, now: Instant) -> Route {
        let content_type = head.headers.get(CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
        let path = head.uri.path();
        let mut form = Form::Http { only_head: head.method == Method::HEAD };
        if head.method == Method::POST && !self.is_page(path) {
            if let Some(web) = web::Web::of(content_type) {
                form = Form::Web(web);
            } else if http2 && web::is_grpc(content_type) {
                form = Form::Grpc;
            }
        }
        let mut route = match form {
            Form::Http { .. } => self.http(form, path, now),
            _ => self.grpc(form, path, &head.headers, now),
        };
        // Python goes through the target as it does through the fields.
        let target = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
        if metadata::metadata_size(&head.headers) + target > self.metadata_bytes {
            let text = format!("the metadata has more than {} bytes", self.metadata_bytes);
            route.fault = Some(Fault { kind: FaultKind::MetadataTooLarge, text });
        }
        if head.method == Method::CONNECT {
            let text = "nothing is tunnelled here";
            route.fault = Some(Fault::new(FaultKind::MalformedRequest, text));
        }
        route.streams &= route.fault.is_none();
        route
    }

    fn http(&self, form: Form, path: &str, now: Instant) -> Route {
        let limit = self.larger_bodies.get(path).copied().unwrap_or(self.body_bytes);
        Route { form, method: -1, streams: false, limit, deadline: Some(now + self.response), fault: None }
    }

    fn grpc(&self, form: Form, path: &str, headers: &HeaderMap, now: Instant) -> Route {
        let mut fault = None;
        let deadline = match headers.get("grpc-timeout").map(|value| metadata::timeout(value.as_bytes())) {
            Some(Ok(span)) => now.checked_add(span),
            Some(Err(wrong)) => {
                fault = Some(wrong);
                None
            }
            None => None,
        };
        if form == Form::Grpc && headers.get("te").is_none_or(|value| value != "trailers") {
            let text = "te: trailers is needed, since a call's status is in trailers".into();
            fault = Some(Fault { kind: FaultKind::MalformedMetadata, text });
        }
        let Some(method) = self.methods.get(path) else {
            let fault = Some(Fault { kind: FaultKind::UnknownMethod, text: "Method not found!".into() });
            return Route { form, method: -1, streams: false, limit: 0, deadline, fault };
        };
        Route { form, method: method.index, streams: method.streams, limit: method.limit, deadline, fault }
    }

    fn is_page(&self, path: &str) -> bool {
        self.pages.iter().any(|page| match page.strip_suffix('*') {
            Some(start) => path.starts_with(start),
            None => page == path,
        })
    }
}
