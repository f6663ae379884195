//! Where a text request is cut makes no difference, what is encoded comes back, and trailers stay one frame.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use session_service_engine_fuzz::chunks;
use session_service_engine_fuzz::web::{TextDecoder, Web, encode, trailers_frame};

fn decoded(chunks: &[&[u8]]) -> Option<Vec<u8>> {
    let mut decoder = TextDecoder::new();
    let mut decoded = Vec::new();
    for chunk in chunks {
        decoded.extend(decoder.decode(chunk).ok()?);
    }
    decoder.finish().ok()?;
    Some(decoded)
}

fuzz_target!(|data: &[u8]| {
    let (chunks, whole) = chunks(data);
    assert_eq!(decoded(&chunks), decoded(&[whole]));

    let pieces: Vec<Bytes> =
        chunks.iter().map(|piece| encode(Web::Text, Bytes::copy_from_slice(piece))).collect();
    assert_eq!(decoded(&pieces.iter().map(|piece| &piece[..]).collect::<Vec<_>>()).as_deref(), Some(whole));

    let value = Bytes::copy_from_slice(whole);
    let frame = trailers_frame(0, &String::from_utf8_lossy(whole), &[(value.clone(), value)]);
    assert_eq!(frame[1..5], (frame.len() as u32 - 5).to_be_bytes());
    assert!(frame[5..].split(|&byte| byte == b'\n').count() <= 4);
});
