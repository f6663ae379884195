//! Counts the HTTP/2 frames that cost the server work and the client nothing, and says when they are too many.
//!
//! `h2` ends rapid resets by limits of its own; PING, SETTINGS, PRIORITY, CONTINUATION, WINDOW_UPDATE and empty
//! frames (CVE-2019-9511 to -9518, CVE-2024-27316) it takes without end. Only the nine bytes before each frame
//! are looked at. What an honest client sends of these follows from its requests and from what it is sent, and
//! so do the limits: a base for each window of time, and a share of the work that was done.

use std::time::{Duration, Instant};

/// How long frames are counted together.
pub const WINDOW: Duration = Duration::from_secs(10);

/// Of a kind of frame, how many a window may hold.
struct Limit {
    name: &'static str,
    /// Whatever else is sent.
    base: u64,
    /// For each request that was begun.
    a_request: u64,
    /// For each DATA frame with a payload.
    a_data_frame: u64,
    /// For each `WRITTEN` bytes that were sent to the client.
    written: u64,
}

/// The smallest message has some 30 bytes with its frame, so that this is one at least for each message that a
/// client may have reason to acknowledge. A PING's answer has 17: PINGs alone allow half as many again.
const WRITTEN: u64 = 32;

/// Clients keep alive by one PING in some seconds. grpc-go and grpc-core measure the bandwidth by one PING a
/// round trip while data comes in; grpc-go measures at every message, if the round trip is short.
const PING: Limit = Limit { name: "PING", base: 1_000, a_request: 1, a_data_frame: 1, written: 1 };
/// One at the start; grpc-core sends one with each measurement that changed its mind, ten times a second at most.
const SETTINGS: Limit = Limit { name: "SETTINGS", base: 200, a_request: 0, a_data_frame: 0, written: 0 };
/// Browsers of old: five at the start, and one or two a request.
const PRIORITY: Limit = Limit { name: "PRIORITY", base: 100, a_request: 4, a_data_frame: 0, written: 0 };
/// A request can be reset once. The base is what a client may have open from windows before, and more.
const RST_STREAM: Limit =
    Limit { name: "RST_STREAM", base: 4_000, a_request: 1, a_data_frame: 0, written: 0 };
/// Simple clients send two for each DATA frame: one for the stream, one for the connection.
const WINDOW_UPDATE: Limit =
    Limit { name: "WINDOW_UPDATE", base: 4_000, a_request: 4, a_data_frame: 2, written: 2 };
/// Some clients and proxies send an empty DATA frame now and then; none sends many for each request.
const EMPTY: Limit = Limit { name: "empty frames", base: 100, a_request: 1, a_data_frame: 0, written: 0 };
/// The largest metadata that is allowed fits into four frames of 16 KiB.
const CONTINUATION: Limit =
    Limit { name: "CONTINUATION", base: 100, a_request: 4, a_data_frame: 0, written: 0 };
/// Unknown types must be passed over (RFC 9113, 4.1): browsers send a few at the start, and PRIORITY_UPDATE with
/// requests. PUSH_PROMISE and GOAWAY are counted here too: `h2` refuses the one, and the other comes once.
const OTHER: Limit = Limit { name: "other frames", base: 100, a_request: 2, a_data_frame: 0, written: 0 };

/// Padding is thrown away, so that no limit of a body counts it; gRPC's clients and browsers send none.
const PADDED: Limit = Limit { name: "padded DATA", base: 2_000, a_request: 16, a_data_frame: 0, written: 0 };

/// What is counted.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Ping,
    Settings,
    Priority,
    RstStream,
    WindowUpdate,
    Empty,
    Continuation,
    Other,
    Padded,
}

const KINDS: usize = Kind::Padded as usize + 1;

impl Kind {
    fn limit(self) -> &'static Limit {
        match self {
            Self::Ping => &PING,
            Self::Settings => &SETTINGS,
            Self::Priority => &PRIORITY,
            Self::RstStream => &RST_STREAM,
            Self::WindowUpdate => &WINDOW_UPDATE,
            Self::Empty => &EMPTY,
            Self::Continuation => &CONTINUATION,
            Self::Other => &OTHER,
            Self::Padded => &PADDED,
        }
    }
}

const HEADER: usize = 9;
const END_STREAM: u8 = 0x1;
const ACK: u8 = 0x1;
const WINDOW_UPDATE_TYPE: u8 = 0x8;
const PADDED_FLAG: u8 = 0x8;

/// Reads what a client sends after the preface, in chunks cut anywhere.
#[derive(Debug)]
pub struct FrameMeter {
    header: [u8; HEADER],
    /// Bytes of `header` that are there.
    have: usize,
    /// Bytes of a payload that are still to come.
    payload: usize,
    last_stream: u32,
    ending: Ending,
    /// Places in the bytes fed last of frames that h2 must not see; see `Ending`.
    beyond: Vec<usize>,
    requests: u64,
    window_start: Instant,
    counts: [u64; KINDS],
    work: Work,
    /// Of the window before; a client may react to it in this one.
    work_before: Work,
}

/// How far a connection is that ends softly.
///
/// h2 tells the client so twice, the second time when a PING has been answered that it sent between. Requests that
/// begin after that it passes over, and yet ends the connection at once for a WINDOW_UPDATE of such a one (0.4.20):
/// with it went the calls that were to be finished. grpc-core sends one with each request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    No,
    /// So many PINGs are to be answered before the one that counts.
    Announced(u32),
    /// Requests up to this stream are served.
    After(u32),
}

#[derive(Debug, Default, Clone, Copy)]
struct Work {
    requests: u64,
    data_frames: u64,
    written: u64,
}

impl Limit {
    fn allows(&self, count: u64, work: Work) -> bool {
        count
            <= self.base
                + self.a_request * work.requests
                + self.a_data_frame * work.data_frames
                + self.written * (work.written / WRITTEN)
    }
}

impl FrameMeter {
    pub fn new(now: Instant) -> Self {
        Self {
            header: [0; HEADER],
            have: 0,
            payload: 0,
            last_stream: 0,
            ending: Ending::No,
            beyond: Vec::new(),
            requests: 0,
            window_start: now,
            counts: [0; KINDS],
            work: Work::default(),
            work_before: Work::default(),
        }
    }

    /// Look at the next bytes that were read.
    ///
    /// The error names the frames of which there are too many; the connection is to be ended then.
    pub fn feed(&mut self, mut bytes: &[u8], now: Instant) -> Result<(), &'static str> {
        if now.duration_since(self.window_start) >= WINDOW {
            self.begin_window(now);
        }
        let whole = bytes.len();
        self.beyond.clear();
        loop {
            let skipped = self.payload.min(bytes.len());
            self.payload -= skipped;
            bytes = &bytes[skipped..];
            if self.have == 0
                && let Some((header, rest)) = bytes.split_first_chunk::<HEADER>()
            {
                if self.is_beyond(header) {
                    self.beyond.push(whole - bytes.len());
                }
                bytes = rest;
                self.count(*header)?;
                continue;
            }
            let taken = bytes.len().min(HEADER - self.have);
            if taken == 0 {
                return Ok(());
            }
            self.header[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
            self.have += taken;
            bytes = &bytes[taken..];
            if self.have == HEADER {
                self.have = 0;
                self.count(self.header)?;
            }
        }
    }

    /// Bytes were sent to the client, which it may answer by frames that are counted.
    pub fn wrote(&mut self, bytes: usize) {
        self.work.written += bytes as u64;
    }

    /// The connection has been asked to end; `pings`: others that have not been answered yet.
    pub fn end_softly(&mut self, pings: u32) {
        if self.ending == Ending::No {
            self.ending = Ending::Announced(pings);
        }
    }

    /// Where in the bytes that were fed last frames begin that h2 must not see.
    pub fn beyond(&self) -> &[usize] {
        &self.beyond
    }

    fn is_beyond(&self, header: &[u8; HEADER]) -> bool {
        let [.., kind, _, a, b, c, d] = *header;
        let stream = u32::from_be_bytes([a, b, c, d]) & !(1 << 31);
        kind == WINDOW_UPDATE_TYPE && matches!(self.ending, Ending::After(last) if stream > last)
    }

    fn see_pong(&mut self) {
        self.ending = match self.ending {
            Ending::Announced(0) => Ending::After(self.last_stream),
            Ending::Announced(pings) => Ending::Announced(pings - 1),
            other => other,
        };
    }

    /// Requests that were begun so far.
    pub fn headers_seen(&self) -> u64 {
        self.requests
    }

    fn begin_window(&mut self, now: Instant) {
        self.work_before = self.work;
        self.work = Work::default();
        self.counts = [0; KINDS];
        self.window_start = now;
    }

    fn count(&mut self, header: [u8; HEADER]) -> Result<(), &'static str> {
        let [a, b, c, kind, flags, stream @ ..] = header;
        self.payload = u32::from_be_bytes([0, a, b, c]) as usize;
        let empty = self.payload == 0 && flags & END_STREAM == 0;
        match kind {
            0x0 if empty => self.charge(Kind::Empty),
            0x0 => {
                self.work.data_frames += 1;
                if flags & PADDED_FLAG == 0 { Ok(()) } else { self.charge(Kind::Padded) }
            }
            0x1 => {
                self.see_request(u32::from_be_bytes(stream) & !(1 << 31));
                if empty { self.charge(Kind::Empty) } else { Ok(()) }
            }
            0x2 => self.charge(Kind::Priority),
            0x3 => self.charge(Kind::RstStream),
            0x4 => self.charge(Kind::Settings),
            0x6 => {
                if flags & ACK != 0 {
                    self.see_pong();
                }
                self.charge(Kind::Ping)
            }
            0x8 => self.charge(Kind::WindowUpdate),
            0x9 if self.payload == 0 => self.charge(Kind::Empty),
            0x9 => self.charge(Kind::Continuation),
            _ => self.charge(Kind::Other),
        }
    }

    /// Trailers are HEADERS of a stream that is there already.
    fn see_request(&mut self, stream: u32) {
        if stream > self.last_stream {
            self.last_stream = stream;
            self.requests += 1;
            self.work.requests += 1;
        }
    }

    fn charge(&mut self, kind: Kind) -> Result<(), &'static str> {
        let count = &mut self.counts[kind as usize];
        *count += 1;
        let (count, limit) = (*count, kind.limit());
        if count <= limit.base || limit.allows(count, self.work.with(self.work_before)) {
            Ok(())
        } else {
            Err(limit.name)
        }
    }
}

impl Work {
    fn with(self, other: Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            data_frames: self.data_frames + other.data_frames,
            written: self.written + other.written,
        }
    }
}

// The path is for the fuzz targets, which take this file in by its own.
#[cfg(test)]
#[path = "floods/tests.rs"]
mod tests;
