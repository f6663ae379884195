//! No body makes the framing panic or give more than the limit, and where it is cut makes no difference.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use session_service_engine_fuzz::chunks;
use session_service_engine_fuzz::fault::Fault;
use session_service_engine_fuzz::frames::{Encoding, Frames, only_message};

const LIMIT: usize = 300;

fn read(encoding: Encoding, chunks: &[&[u8]]) -> (Vec<Bytes>, Result<bool, Fault>) {
    let mut frames = Frames::new(encoding, LIMIT);
    let mut messages = Vec::new();
    for chunk in chunks {
        frames.push(Bytes::copy_from_slice(chunk));
        loop {
            match frames.next() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(fault) => return (messages, Err(fault)),
            }
        }
    }
    (messages, Ok(frames.is_empty()))
}

fuzz_target!(|data: &[u8]| {
    let Some((first, data)) = data.split_first() else { return };
    let names: [Option<&[u8]>; 4] = [None, Some(b"gzip"), Some(b"deflate"), Some(b"br")];
    let encoding = Encoding::of(names[usize::from(first % 4)]);
    let (chunks, body) = chunks(data);

    let (messages, end) = read(encoding, &chunks);
    assert!(messages.iter().all(|message| message.len() <= LIMIT));
    assert_eq!((messages.clone(), end.clone()), read(encoding, &[body]));

    let only = only_message(encoding, LIMIT, Bytes::copy_from_slice(body));
    if let (Ok(true), [message]) = (&end, &messages[..]) {
        assert_eq!(only.as_ref(), Ok(message));
    } else {
        assert!(only.is_err());
    }
});
