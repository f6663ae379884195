use super::*;
use proptest::prelude::*;

const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;

fn frame(kind: u8, flags: u8, stream: u32, payload: usize) -> Vec<u8> {
    let mut frame = (payload as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.resize(HEADER + payload, 0xff);
    frame
}

/// How many of these frames pass before there are too many, and what those are called.
fn passing(frame: &[u8], most: usize) -> (usize, Option<&'static str>) {
    let now = Instant::now();
    let mut meter = FrameMeter::new(now);
    for count in 0..most {
        if let Err(name) = meter.feed(frame, now) {
            return (count, Some(name));
        }
    }
    (most, None)
}

#[test]
fn floods_of_each_kind_are_noticed() {
    let floods = [
        (frame(0x6, 0, 0, 8), PING),
        (frame(0x6, 1, 0, 8), PING),
        (frame(0x4, 0, 0, 36), SETTINGS),
        (frame(0x4, 1, 0, 0), SETTINGS),
        (frame(0x2, 0, 1, 5), PRIORITY),
        (frame(0x3, 0, 1, 4), RST_STREAM),
        (frame(0x8, 0, 0, 4), WINDOW_UPDATE),
        (frame(DATA, 0, 1, 0), EMPTY),
        (frame(0x9, 0, 1, 0), EMPTY),
        (frame(0x9, 0, 1, 100), CONTINUATION),
        (frame(0x7, 0, 0, 8), OTHER),
        (frame(0xbe, 0xff, 7, 3), OTHER),
        (frame(DATA, 0x8, 1, 1), PADDED),
    ];
    for (frame, limit) in floods {
        assert_eq!(passing(&frame, 100_000), (limit.base as usize, Some(limit.name)));
    }
    // One request, since it is one stream, and so one empty frame more.
    let headers = frame(HEADERS, 0, 1, 0);
    assert_eq!(passing(&headers, 100_000), (EMPTY.base as usize + 1, Some(EMPTY.name)));
}

#[test]
fn empty_frames_that_end_a_stream_are_no_flood() {
    assert_eq!(passing(&frame(DATA, END_STREAM, 1, 0), 10_000), (10_000, None));
}

#[test]
fn a_new_window_counts_anew() {
    let now = Instant::now();
    let mut meter = FrameMeter::new(now);
    let pings = frame(0x6, 0, 0, 8).repeat(PING.base as usize);
    assert_eq!(meter.feed(&pings, now), Ok(()));
    assert_eq!(meter.feed(&pings, now + WINDOW), Ok(()));
    assert_eq!(meter.feed(&pings, now + WINDOW + WINDOW / 2), Err("PING"));
}

#[test]
fn a_client_may_cancel_half_of_its_calls_for_long() {
    let start = Instant::now();
    let mut meter = FrameMeter::new(start);
    for call in 0..1_000_000u32 {
        let stream = 2 * call + 1;
        let now = start + Duration::from_micros(10) * call;
        let mut bytes = frame(HEADERS, 0x4, stream, 12);
        bytes.extend(frame(DATA, END_STREAM, stream, 70));
        if call % 2 == 0 {
            bytes.extend(frame(0x3, 0, stream, 4));
        }
        assert_eq!(meter.feed(&bytes, now), Ok(()));
    }
    assert_eq!(meter.headers_seen(), 1_000_000);
}

#[test]
fn a_client_that_left_its_requests_open_may_cancel_them_later() {
    let now = Instant::now();
    let mut meter = FrameMeter::new(now);
    for call in 0..1_000 {
        meter.feed(&frame(HEADERS, 0x4, 2 * call + 1, 12), now).unwrap();
    }
    for call in 0..1_000 {
        meter.feed(&frame(0x3, 0, 2 * call + 1, 4), now + 5 * WINDOW).unwrap();
    }
}

#[test]
fn a_client_may_acknowledge_and_measure_at_every_message_that_it_is_sent() {
    let now = Instant::now();
    let mut meter = FrameMeter::new(now);
    for _ in 0..100_000 {
        meter.wrote(40);
        let mut bytes = frame(0x8, 0, 0, 4);
        bytes.extend(frame(0x8, 0, 1, 4));
        bytes.extend(frame(0x6, 0, 0, 8));
        assert_eq!(meter.feed(&bytes, now), Ok(()));
    }
}

#[test]
fn pings_whose_answers_count_as_written_are_bounded_all_the_same() {
    let now = Instant::now();
    let mut meter = FrameMeter::new(now);
    let ping = frame(0x6, 0, 0, 8);
    let passed = (0..).take_while(|_| {
        meter.wrote(17);
        meter.feed(&ping, now).is_ok()
    });
    assert!(passed.count() < 3 * PING.base as usize);
}

#[test]
fn trailers_are_no_request() {
    let now = Instant::now();
    let mut meter = FrameMeter::new(now);
    for (stream, requests) in [(1, 1), (1, 1), (3, 2), (1, 2), (5 | 1 << 31, 3)] {
        meter.feed(&frame(HEADERS, 0x5, stream, 10), now).unwrap();
        assert_eq!(meter.headers_seen(), requests);
    }
}

proptest! {
    #[test]
    fn chunks_may_be_cut_anywhere(
        frames in prop::collection::vec((0u8..12, any::<u8>(), any::<u32>(), 0usize..40), 0..400),
        cuts in prop::collection::vec(0usize..30, 1..50),
    ) {
        let now = Instant::now();
        let bytes: Vec<u8> = frames.iter().flat_map(|&(kind, flags, stream, size)| frame(kind, flags, stream, size)).collect();
        let mut whole = FrameMeter::new(now);
        let expected = whole.feed(&bytes, now);
        let mut meter = FrameMeter::new(now);
        let mut rest = &bytes[..];
        let mut seen = Ok(());
        for cut in cuts.iter().cycle() {
            let (chunk, after) = rest.split_at(rest.len().min(*cut));
            seen = meter.feed(chunk, now);
            rest = after;
            if seen.is_err() || rest.is_empty() || cuts.iter().all(|&cut| cut == 0) {
                break;
            }
        }
        prop_assume!(rest.is_empty() || seen.is_err());
        prop_assert_eq!(seen, expected);
        prop_assert_eq!(meter.headers_seen(), whole.headers_seen());
        prop_assert_eq!(meter.counts, whole.counts);
    }
}
