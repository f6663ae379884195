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
    for (encoding, compress) in
        [(Encoding::Gzip, gzip as fn(&[u8]) -> Vec<u8>), (Encoding::Deflate, zlib as fn(&[u8]) -> Vec<u8>)]
    {
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
