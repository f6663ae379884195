//! gRPC's framing of messages: a flag, a length of four bytes, the message.
//!
//! The format is that of gRPC over HTTP/2
//! (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>). Frames come in chunks cut at any byte;
//! lengths that lie and messages that inflate without end are refused.

use std::collections::VecDeque;
use std::io::{self, Read};

use bytes::{Buf, Bytes, BytesMut};
use flate2::bufread::GzDecoder;
use flate2::{Decompress, FlushDecompress, Status};

use crate::fault::{Fault, FaultKind};

/// What `grpc-accept-encoding` says.
pub const ACCEPTED_ENCODINGS: &str = "identity,deflate,gzip";

const PREFIX: usize = 5;
const PLAIN: u8 = 0;
const COMPRESSED: u8 = 1;
/// What an inflated message grows by at least.
const INFLATE_STEP: usize = 4096;

/// How the compressed messages of a call are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Not at all: a message that is marked as compressed is malformed.
    Identity,
    Gzip,
    /// As HTTP means it: with a header of zlib (RFC 1950).
    Deflate,
    /// One that is not read here; messages that are not compressed are.
    Unknown,
}

impl Encoding {
    /// What the value of `grpc-encoding` names.
    pub fn of(value: Option<&[u8]>) -> Self {
        match value {
            None | Some(b"" | b"identity") => Self::Identity,
            Some(b"gzip") => Self::Gzip,
            Some(b"deflate") => Self::Deflate,
            Some(_) => Self::Unknown,
        }
    }

    fn inflated(self, message: &[u8], limit: usize) -> Result<Bytes, Fault> {
        let (name, result) = match self {
            Self::Gzip => ("gzip", gunzipped(message, limit)),
            Self::Deflate => ("deflate", inflated(message, limit)),
            Self::Identity | Self::Unknown => return Err(self.unreadable()),
        };
        let (inflated, rest) = result.map_err(|error| not_inflatable(name, &error))?;
        if inflated.len() > limit {
            let text = format!("the message inflates to more than {limit} bytes");
            return Err(Fault::new(FaultKind::MessageTooLarge, text));
        }
        if rest {
            return Err(cut_off());
        }
        Ok(Bytes::from(inflated))
    }

    fn unreadable(self) -> Fault {
        if self == Self::Identity {
            return Fault::malformed("a message is marked as compressed without grpc-encoding");
        }
        let text = format!("grpc-encoding must be one of {ACCEPTED_ENCODINGS}");
        Fault::new(FaultKind::UnknownEncoding, text)
    }
}

/// Takes chunks as they come and gives the messages in them.
///
/// A message that lies in one chunk is a slice of it; others are copied once. Memory is bounded by the limit and
/// one chunk where `next` is called until it gives nothing before the next `push`.
#[derive(Debug)]
pub struct Frames {
    chunks: VecDeque<Bytes>,
    /// The beginning of a frame whose end is in no chunk yet.
    partial: BytesMut,
    encoding: Encoding,
    limit: usize,
}

impl Frames {
    /// `limit`: bytes that a message may have, before and after it is inflated.
    pub fn new(encoding: Encoding, limit: usize) -> Self {
        Self { chunks: VecDeque::new(), partial: BytesMut::new(), encoding, limit }
    }

    /// Take the next bytes.
    pub fn push(&mut self, chunk: Bytes) {
        if !chunk.is_empty() {
            self.chunks.push_back(chunk);
        }
    }

    /// Whether every byte taken was given again, as part of a message.
    pub fn is_empty(&self) -> bool {
        self.partial.is_empty() && self.chunks.is_empty()
    }

    /// The next message, or `None` while it is not whole.
    ///
    /// What its prefix alone shows to be wrong is an error before the message is there.
    // Not an iterator: after `None` there may be more.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        if self.partial.is_empty()
            && let Some(frame) = self.frame_in_one_chunk()?
        {
            return self.message(frame).map(Some);
        }
        if !self.gather(PREFIX) {
            return Ok(None);
        }
        let end = PREFIX + self.checked_size(&self.partial)?;
        if !self.gather(end) {
            return Ok(None);
        }
        let frame = std::mem::take(&mut self.partial).freeze();
        self.message(frame).map(Some)
    }

    fn frame_in_one_chunk(&mut self) -> Result<Option<Bytes>, Fault> {
        let Some(chunk) = self.chunks.front().filter(|chunk| chunk.len() >= PREFIX) else {
            return Ok(None);
        };
        let end = PREFIX + self.checked_size(chunk)?;
        if chunk.len() < end {
            return Ok(None);
        }
        if chunk.len() == end {
            return Ok(self.chunks.pop_front());
        }
        Ok(self.chunks.front_mut().map(|chunk| chunk.split_to(end)))
    }

    /// Move bytes into `partial` until it has `size`; whether it has.
    fn gather(&mut self, size: usize) -> bool {
        while self.partial.len() < size {
            let Some(chunk) = self.chunks.front_mut() else {
                return false;
            };
            let count = chunk.len().min(size - self.partial.len());
            self.partial.extend_from_slice(&chunk[..count]);
            chunk.advance(count);
            if chunk.is_empty() {
                self.chunks.pop_front();
            }
        }
        true
    }

    /// The size of the message that a prefix announces, if such a message may come.
    fn checked_size(&self, frame: &[u8]) -> Result<usize, Fault> {
        let (flag, size) = parsed(frame);
        match flag {
            PLAIN => {}
            COMPRESSED if matches!(self.encoding, Encoding::Gzip | Encoding::Deflate) => {}
            COMPRESSED => return Err(self.encoding.unreadable()),
            _ => return Err(Fault::malformed("the flag before a message must be 0 or 1")),
        }
        if size > self.limit {
            let text = format!("the message has {size} bytes, {} are allowed", self.limit);
            return Err(Fault::new(FaultKind::MessageTooLarge, text));
        }
        Ok(size)
    }

    fn message(&self, mut frame: Bytes) -> Result<Bytes, Fault> {
        let flag = frame[0];
        frame.advance(PREFIX);
        if flag == PLAIN {
            return Ok(frame);
        }
        self.encoding.inflated(&frame, self.limit)
    }
}

/// The one message of a unary request, from its whole body.
pub fn only_message(encoding: Encoding, limit: usize, body: Bytes) -> Result<Bytes, Fault> {
    if let Some(message) = only_plain_message(&body, limit) {
        return Ok(message);
    }
    let mut frames = Frames::new(encoding, limit);
    frames.push(body);
    match frames.next()? {
        Some(message) if frames.is_empty() => Ok(message),
        Some(_) => Err(Fault::malformed("the request holds more than one message")),
        None if frames.is_empty() => Err(Fault::malformed("the request holds no message")),
        None => Err(Fault::malformed("the request ends within a message")),
    }
}

/// Nearly every request is one frame, whole, within the limit and not compressed.
fn only_plain_message(body: &Bytes, limit: usize) -> Option<Bytes> {
    let size = body.len().checked_sub(PREFIX)?;
    (size <= limit && parsed(body) == (PLAIN, size)).then(|| body.slice(PREFIX..))
}

/// What stands before a message of `len` bytes that is not compressed.
///
/// # Panics
/// `len` does not fit into four bytes.
pub fn prefix(len: usize) -> [u8; PREFIX] {
    let [a, b, c, d] = u32::try_from(len).expect("a message has less than 4 GiB").to_be_bytes();
    [PLAIN, a, b, c, d]
}

/// A message as one frame, not compressed.
pub fn framed(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(PREFIX + message.len());
    frame.extend_from_slice(&prefix(message.len()));
    frame.extend_from_slice(message);
    frame.freeze()
}

fn parsed(frame: &[u8]) -> (u8, usize) {
    let size = u32::from_be_bytes([frame[1], frame[2], frame[3], frame[4]]);
    (frame[0], size as usize)
}

/// At most `limit + 1` bytes of what a message of gzip holds, and whether something is left of it.
fn gunzipped(message: &[u8], limit: usize) -> io::Result<(Vec<u8>, bool)> {
    let mut decoder = GzDecoder::new(message);
    let mut inflated = Vec::new();
    decoder.by_ref().take(limit as u64 + 1).read_to_end(&mut inflated)?;
    Ok((inflated, !decoder.into_inner().is_empty()))
}

/// The same for zlib, whose decoder in `flate2` passes over a missing end.
fn inflated(message: &[u8], limit: usize) -> io::Result<(Vec<u8>, bool)> {
    let mut decoder = Decompress::new(true);
    let mut inflated = Vec::new();
    loop {
        let rest = &message[decoder.total_in() as usize..];
        let room = (limit + 1).saturating_sub(inflated.len()).min(INFLATE_STEP.max(inflated.len()));
        inflated.reserve_exact(room);
        let before = (decoder.total_in(), decoder.total_out());
        let status = decoder.decompress_vec(rest, &mut inflated, FlushDecompress::None)?;
        if status == Status::StreamEnd || inflated.len() > limit {
            return Ok((inflated, (decoder.total_in() as usize) < message.len()));
        }
        if before == (decoder.total_in(), decoder.total_out()) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

fn not_inflatable(encoding: &str, error: &io::Error) -> Fault {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return cut_off();
    }
    Fault::malformed(format!("a compressed message is not {encoding}"))
}

fn cut_off() -> Fault {
    Fault::malformed("a compressed message is cut off, or goes on after its end")
}

// The path is for the fuzz targets, which take this file in by its own.
#[cfg(test)]
#[path = "frames/tests.rs"]
mod tests;
