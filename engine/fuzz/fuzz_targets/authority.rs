//! Where what is read is cut makes no difference to what goes on, and nothing is lost but what never became whole.
#![no_main]

use libfuzzer_sys::fuzz_target;
use session_service_engine_fuzz::authority::Authorities;
use session_service_engine_fuzz::chunks;

fn passed(chunks: &[&[u8]], most: usize) -> Vec<u8> {
    let mut authorities = Authorities::new(0);
    let mut passed = Vec::new();
    for chunk in chunks {
        let mut chunk = chunk.to_vec();
        let size = authorities.mend(&mut chunk);
        passed.extend_from_slice(&chunk[..size]);
        while let Some(held) = authorities.take(most) {
            passed.extend_from_slice(&held);
        }
    }
    passed
}

fuzz_target!(|data: &[u8]| {
    let (chunks, whole) = chunks(data);
    let once = passed(&[whole], usize::MAX);
    assert!(once.len() <= whole.len());
    assert_eq!(passed(&chunks, 7), once);
    // What was mended is right.
    assert_eq!(passed(&[&once], usize::MAX), once);
});
