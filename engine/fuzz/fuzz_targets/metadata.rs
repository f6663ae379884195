//! No header value makes a panic, and what is read or written is in its bounds.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use session_service_engine_fuzz::metadata::{percent_encoded, timeout};
use session_service_engine_fuzz::web::{Web, is_grpc};

const LONGEST: Duration = Duration::from_secs(99_999_999 * 3600);

fuzz_target!(|data: &[u8]| {
    if let Ok(duration) = timeout(data) {
        assert!(duration <= LONGEST && data.len() <= 9);
    }
    assert!(!(is_grpc(data) && Web::of(data).is_some()));
    let encoded = percent_encoded(&String::from_utf8_lossy(data));
    assert!(encoded.as_bytes().iter().all(|byte| matches!(byte, b' '..=b'~')));
});
