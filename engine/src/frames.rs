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

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};
    use proptest::prelude::*;

    use super::*;
    use FaultKind::*;

    const LIMIT: usize = 1000;

    fn gzip(message: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(message).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(message: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(message).unwrap();
        encoder.finish().unwrap()
    }

    fn flagged(flag: u8, message: &[u8]) -> Bytes {
        let mut frame = framed(message).to_vec();
        frame[0] = flag;
        Bytes::from(frame)
    }

    fn drained(frames: &mut Frames) -> Result<Vec<Bytes>, Fault> {
        std::iter::from_fn(|| frames.next().transpose()).collect()
    }

    /// The kind and the text of what is wrong with a body, in one chunk and byte by byte.
    fn fault(encoding: Encoding, body: Bytes) -> (FaultKind, String) {
        let mut bytewise = Frames::new(encoding, LIMIT);
        let found = body.chunks(1).find_map(|byte| {
            bytewise.push(Bytes::copy_from_slice(byte));
            drained(&mut bytewise).err()
        });
        let fault = only_message(encoding, LIMIT, body).unwrap_err();
        if let Some(found) = found {
            assert_eq!(found, fault);
        }
        (fault.kind, fault.text)
    }

    #[test]
    fn a_message_in_one_chunk_is_a_slice_of_it() {
        let chunk = Bytes::from([&framed(b"one")[..], &framed(b"second")].concat());
        let mut frames = Frames::new(Encoding::Identity, LIMIT);
        frames.push(chunk.clone());

        let message = frames.next().unwrap().unwrap();
        assert_eq!(message, "one");
        assert_eq!(message.as_ptr(), chunk[PREFIX..].as_ptr());
        assert!(!frames.is_empty());
        let second = frames.next().unwrap().unwrap();
        assert_eq!(second.as_ptr(), chunk[13..].as_ptr());
        assert!(frames.is_empty());
        assert_eq!(frames.next(), Ok(None));
    }

    #[test]
    fn the_only_message_of_a_body_is_a_slice_of_it() {
        let body = framed(b"abc");
        let message = only_message(Encoding::Unknown, LIMIT, body.clone()).unwrap();
        assert_eq!(message, "abc");
        assert_eq!(message.as_ptr(), body[PREFIX..].as_ptr());
    }

    #[test]
    fn a_large_message_in_tiny_chunks_takes_no_long_time() {
        let body = framed(&vec![7; 4 << 20]);
        let mut frames = Frames::new(Encoding::Identity, 4 << 20);
        // Both ways of calling: a look after each chunk, and one look at the end.
        for byte in 0..body.len() / 2 {
            frames.push(body.slice(byte..=byte));
            assert_eq!(frames.next(), Ok(None));
        }
        for byte in body.len() / 2..body.len() {
            frames.push(body.slice(byte..=byte));
        }
        assert_eq!(frames.next().unwrap().unwrap().len(), 4 << 20);
        assert!(frames.is_empty());
    }

    #[test]
    fn compressed_messages_are_inflated() {
        let text = b"hello ".repeat(100);
        for (encoding, body) in [(Encoding::Gzip, gzip(&text)), (Encoding::Deflate, zlib(&text))] {
            assert_eq!(only_message(encoding, LIMIT, flagged(1, &body)).unwrap(), text);
            // Not every message of a call need be compressed.
            assert_eq!(only_message(encoding, LIMIT, flagged(0, b"plain")).unwrap(), "plain");
        }
        assert_eq!(only_message(Encoding::Gzip, LIMIT, flagged(1, &gzip(b""))).unwrap(), "");
        assert_eq!(only_message(Encoding::Deflate, LIMIT, flagged(1, &zlib(b""))).unwrap(), "");
    }

    #[test]
    fn a_message_may_inflate_to_the_limit_and_no_further() {
        for (encoding, compress) in [
            (Encoding::Gzip, gzip as fn(&[u8]) -> Vec<u8>),
            (Encoding::Deflate, zlib as fn(&[u8]) -> Vec<u8>),
        ] {
            let message = only_message(encoding, LIMIT, flagged(1, &compress(&[0; LIMIT])));
            assert_eq!(message.unwrap().len(), LIMIT);
            for size in [LIMIT + 1, 100_000] {
                let refused = fault(encoding, flagged(1, &compress(&vec![0; size])));
                assert_eq!(refused, (MessageTooLarge, "the message inflates to more than 1000 bytes".into()));
            }
        }
    }

    #[test]
    fn what_does_not_inflate_as_a_whole_is_malformed() {
        let cut_off = "a compressed message is cut off, or goes on after its end";
        for (encoding, name, body) in
            [(Encoding::Gzip, "gzip", gzip(&[9; 500])), (Encoding::Deflate, "deflate", zlib(&[9; 500]))]
        {
            for end in 0..body.len() {
                assert_eq!(
                    fault(encoding, flagged(1, &body[..end])),
                    (MalformedRequest, cut_off.into()),
                    "{end}"
                );
            }
            let twice = body.repeat(2);
            assert_eq!(fault(encoding, flagged(1, &twice)), (MalformedRequest, cut_off.into()));
            let no_stream = format!("a compressed message is not {name}");
            assert_eq!(
                fault(encoding, flagged(1, b"nothing of that kind")),
                (MalformedRequest, no_stream.clone())
            );
            let mut wrong_sum = body.clone();
            *wrong_sum.last_mut().unwrap() ^= 1;
            assert_eq!(fault(encoding, flagged(1, &wrong_sum)).0, MalformedRequest);
        }
    }

    #[test]
    fn what_the_prefix_shows_is_refused_before_the_message_is_there() {
        let begun = |flag: u8, size: u32| {
            let mut prefix = vec![flag];
            prefix.extend(size.to_be_bytes());
            Bytes::from(prefix)
        };
        let too_large = (MessageTooLarge, "the message has 4294967295 bytes, 1000 are allowed".into());
        assert_eq!(fault(Encoding::Identity, begun(0, u32::MAX)), too_large);
        assert_eq!(fault(Encoding::Gzip, begun(1, 1001)).0, MessageTooLarge);
        let unmarked = "a message is marked as compressed without grpc-encoding";
        assert_eq!(fault(Encoding::Identity, begun(1, 3)), (MalformedRequest, unmarked.into()));
        let unknown = "grpc-encoding must be one of identity,deflate,gzip";
        assert_eq!(fault(Encoding::Unknown, begun(1, 3)), (UnknownEncoding, unknown.into()));
        for flag in 2..=255 {
            let text = "the flag before a message must be 0 or 1";
            assert_eq!(fault(Encoding::Gzip, begun(flag, 3)), (MalformedRequest, text.into()));
        }
    }

    #[test]
    fn a_unary_request_has_one_message() {
        let of = |body: &[u8]| fault(Encoding::Identity, Bytes::copy_from_slice(body));
        let malformed = |text: &str| (MalformedRequest, text.to_owned());

        assert_eq!(of(b""), malformed("the request holds no message"));
        assert_eq!(of(b"\0\0\0"), malformed("the request ends within a message"));
        assert_eq!(of(b"\0\0\0\0\x02a"), malformed("the request ends within a message"));
        assert_eq!(of(&framed(b"a").repeat(2)), malformed("the request holds more than one message"));
        assert_eq!(of(b"\0\0\0\0\x01ab"), malformed("the request holds more than one message"));
    }

    #[test]
    fn encodings_have_names() {
        assert_eq!(Encoding::of(None), Encoding::Identity);
        assert_eq!(Encoding::of(Some(b"")), Encoding::Identity);
        assert_eq!(Encoding::of(Some(b"identity")), Encoding::Identity);
        assert_eq!(Encoding::of(Some(b"gzip")), Encoding::Gzip);
        assert_eq!(Encoding::of(Some(b"deflate")), Encoding::Deflate);
        assert_eq!(Encoding::of(Some(b"br")), Encoding::Unknown);
        assert_eq!(Encoding::of(Some(b"\xff")), Encoding::Unknown);
    }

    proptest! {
        #[test]
        fn messages_come_back_however_they_are_cut(
            messages in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..60), any::<bool>()), 0..8),
            cuts in prop::collection::vec(1usize..40, 1..10),
            looks in any::<bool>(),
        ) {
            let body: Vec<u8> = messages.iter().flat_map(|(message, compressed)| {
                if *compressed { flagged(1, &gzip(message)) } else { framed(message) }
            }).collect();
            let mut frames = Frames::new(Encoding::Gzip, LIMIT);
            let (mut rest, mut seen) = (Bytes::from(body), Vec::new());
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break; }
                frames.push(rest.split_to(rest.len().min(*cut)));
                if looks { seen.extend(drained(&mut frames).unwrap()); }
            }
            seen.extend(drained(&mut frames).unwrap());
            prop_assert!(frames.is_empty());
            prop_assert_eq!(seen, messages.into_iter().map(|(message, _)| message).collect::<Vec<_>>());
        }

        #[test]
        fn any_bytes_end_in_messages_or_a_fault(
            body in prop::collection::vec(any::<u8>(), 0..200),
            encoding in prop::sample::select(vec![Encoding::Identity, Encoding::Gzip, Encoding::Deflate]),
        ) {
            if let Ok(message) = only_message(encoding, LIMIT, Bytes::from(body)) {
                prop_assert!(message.len() <= LIMIT);
            }
        }
    }
}
