//! Where what is read is cut makes no difference to the meter, nor is there a chunk that it panics at.
#![no_main]

use std::time::Instant;

use libfuzzer_sys::fuzz_target;
use session_service_engine_fuzz::chunks;
use session_service_engine_fuzz::floods::FrameMeter;

fn metered(chunks: &[&[u8]]) -> (Result<(), &'static str>, u64) {
    let now = Instant::now();
    let mut meter = FrameMeter::new(now);
    let result = chunks.iter().try_for_each(|chunk| meter.feed(chunk, now));
    (result, meter.headers_seen())
}

fuzz_target!(|data: &[u8]| {
    let (chunks, whole) = chunks(data);
    let many = whole.repeat(64);
    assert_eq!(metered(&chunks.repeat(64)), metered(&[&many]));
});
