//! Makes an authority that `http` knows of those that it does not.
//!
//! h2 resets every request whose `:authority` is no `http::uri::Authority`. But grpc-core's clients name a unix
//! socket by its percent-encoded path (`tmp%2Fs`), and a list of addresses by the list
//! (`127.0.0.1:1,127.0.0.1:2`), and its servers take anything. So such an authority is changed in what was read,
//! before h2 reads it: characters that could be wrong become others, `-` where it can be, and what is then known
//! as the request's host is that.
//!
//! The text keeps its length, and its coded form too. No frame has to be rebuilt, and the client's table of
//! header fields stays as large as h2's, so that requests may refer to the entry. An authority is looked for
//! where clients write one out: in a HEADERS frame, with a name that is in the static table or spelled. What is
//! odd passes as it is: to refuse it is h2's affair.

use crate::hpack::{self, Fields, Text};
use bytes::BytesMut;
use http::uri::Authority;

const HEADER: usize = 9;
const HEADERS: u8 = 0x1;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;
const PRIORITY_BYTES: usize = 5;
/// `h2` takes none that are larger.
const LARGEST: usize = 16_384;

/// Follows what a client sends, in chunks cut anywhere, and holds back frames of header fields until they are whole.
#[derive(Debug)]
pub struct Authorities {
    /// Bytes of a frame that are still to come, and pass.
    passing: usize,
    /// From the start of a frame.
    held: BytesMut,
    /// Bytes of `held` that may go on.
    ready: usize,
}

impl Authorities {
    /// The first bytes, the connection's preface, are no frame.
    pub fn new(preface: usize) -> Self {
        Authorities { passing: preface, held: BytesMut::new(), ready: 0 }
    }

    /// Look at what was read: so many bytes at its front may go on. The others, and all once some are held, are
    /// kept for `take`, which is to be asked before anything more is read.
    pub fn mend(&mut self, read: &mut [u8]) -> usize {
        if self.held.is_empty() {
            let passed = self.pass(read);
            self.held.extend_from_slice(&read[passed..]);
            return passed;
        }
        let mut held = std::mem::take(&mut self.held);
        held.extend_from_slice(read);
        self.ready = self.pass(&mut held);
        self.held = held;
        0
    }

    /// What was held and may go on now, up to a size.
    pub fn take(&mut self, most: usize) -> Option<BytesMut> {
        if self.ready == 0 {
            return None;
        }
        let size = self.ready.min(most);
        self.ready -= size;
        let taken = self.held.split_to(size);
        if self.held.is_empty() {
            // Rather than to keep its room as long as the connection lives.
            self.held = BytesMut::new();
        }
        Some(taken)
    }

    fn pass(&mut self, bytes: &mut [u8]) -> usize {
        let mut at = 0;
        loop {
            let passed = self.passing.min(bytes.len() - at);
            self.passing -= passed;
            at += passed;
            let Some(&[a, b, c, kind, flags, ..]) = bytes[at..].first_chunk::<HEADER>() else {
                return at;
            };
            let size = u32::from_be_bytes([0, a, b, c]) as usize;
            let frame = HEADER + size;
            if kind == HEADERS && size <= LARGEST {
                let Some(whole) = bytes.get_mut(at..at + frame) else {
                    return at;
                };
                mend_fields(&mut whole[HEADER..], flags);
            }
            self.passing = frame;
        }
    }
}

fn mend_fields(payload: &mut [u8], flags: u8) -> Option<()> {
    let (mut start, mut end) = (0, payload.len());
    if flags & PADDED != 0 {
        start += 1;
        end = end.checked_sub(usize::from(*payload.first()?))?;
    }
    if flags & PRIORITY != 0 {
        start += PRIORITY_BYTES;
    }
    let block = payload.get_mut(start..end)?;
    let Text { coded, range } = Fields::new(block).authority()?;
    let value = &mut block[range];
    if !coded {
        if is_wrong(value) {
            value.iter_mut().filter(|byte| !is_good(**byte)).for_each(|byte| *byte = b'-');
        }
    } else if hpack::decode(value).is_some_and(|text| is_wrong(&text)) {
        hpack::replace(value, is_good);
    }
    Some(())
}

/// Whether it is text, as a field's value must be, but no authority.
fn is_wrong(value: &[u8]) -> bool {
    !value.is_empty() && value.iter().all(u8::is_ascii_graphic) && Authority::try_from(value).is_err()
}

/// Whether a character may stand anywhere in an authority.
fn is_good(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hpack::NAME;
    use crate::socket::{PREFACE, detect};
    use proptest::prelude::*;
    use std::time::Duration;
    use tokio::io::{AsyncWriteExt, copy, duplex, sink, split};
    use tokio::time::timeout;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags, 0, 0, 0, 1]);
        frame.extend(payload);
        frame
    }

    /// All that goes on, if it is read in chunks of these sizes, and taken in others.
    fn passed(sent: &[u8], sizes: &[usize], most: usize) -> Vec<u8> {
        let mut authorities = Authorities::new(0);
        let (mut rest, mut passed) = (sent.to_vec(), Vec::new());
        for size in sizes.iter().cycle() {
            let mut chunk = rest.drain(..rest.len().min(*size)).collect::<Vec<u8>>();
            if chunk.is_empty() {
                break;
            }
            let size = authorities.mend(&mut chunk);
            passed.extend(&chunk[..size]);
            while let Some(held) = authorities.take(most) {
                passed.extend(held);
            }
        }
        passed
    }

    fn mended(block: &[u8]) -> Vec<u8> {
        passed(&frame(HEADERS, 4, block), &[usize::MAX], usize::MAX).split_off(HEADER)
    }

    fn number(prefix: u8, mask: u8, number: usize) -> Vec<u8> {
        if number < usize::from(mask) {
            return vec![prefix | number as u8];
        }
        let (mut bytes, mut rest) = (vec![prefix | mask], number - usize::from(mask));
        while rest > 0x7f {
            bytes.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        bytes.push(rest as u8);
        bytes
    }

    fn text(coded: bool, text: &[u8]) -> Vec<u8> {
        let (bit, bytes) = if coded { (0x80, hpack::encode(text)) } else { (0, text.to_vec()) };
        [number(bit, 0x7f, bytes.len()), bytes].concat()
    }

    /// The authority in each of the ways that there are to write it out.
    fn spellings(authority: &[u8]) -> Vec<Vec<u8>> {
        let mut spellings = Vec::new();
        for (first, coded) in [0, 0x10, 0x40].into_iter().flat_map(|first| [(first, false), (first, true)]) {
            spellings.push([vec![first | 1], text(coded, authority)].concat());
            spellings.push([vec![first], text(false, NAME), text(coded, authority)].concat());
            spellings.push([vec![first], text(true, NAME), text(coded, authority)].concat());
        }
        spellings
    }

    const BEFORE: &[u8] = b"\x82\x86\xff\x80\x01\x3f\xe1\x1f\x04\x02/%\x40\x84\xb9\x58\xd3\x3f\x01%";

    #[test]
    fn an_authority_is_found_however_it_is_written() {
        let long = "%2Ftmp".repeat(60);
        for sent in ["tmp%2Fa.sock", "1.2.3.4:5,1.2.3.4:6", "[::1]:1,[::2]:2", "%", &long] {
            for spelling in spellings(sent.as_bytes()) {
                let mended = mended(&[BEFORE, &spelling, b"\x84"].concat());
                let Text { coded, range } = Fields::new(&mended).authority().unwrap();
                assert_eq!(mended[range.end..], *b"\x84");
                let value = &mended[range];
                let value = if coded { hpack::decode(value).unwrap() } else { value.to_vec() };
                assert_eq!(value.len(), sent.len());
                assert!(Authority::try_from(&value[..]).is_ok(), "{sent}: {value:?}");
            }
        }
        assert_eq!(mended(b"\x41\x05%2F.s"), b"\x41\x05-2F.s");
    }

    #[test]
    fn what_is_right_or_odd_is_not_touched() {
        for sent in ["", "localhost:50051", "[::1]:50051", "user%20name@host", "a-b.c_d~e", "% ", "%\0"] {
            for spelling in spellings(sent.as_bytes()) {
                assert_eq!(mended(&spelling), spelling);
            }
        }
        let blocks: [&[u8]; 9] = [
            b"",
            b"\x41\x02%\xff",
            b"\x41",
            b"\x41\x05%%",
            b"\x41\x7f\xff\xff\xff\xff\xff\xff\x0f%%",
            b"\x41\x82\xff\xff",
            b"\x42\x02%%",
            b"\x40\x0a:authoritx\x02%%",
            b"\x00\x05:auth",
        ];
        for block in blocks {
            assert_eq!(mended(block), block);
        }
    }

    #[test]
    fn padding_and_priority_are_passed_over() {
        let field = b"\x41\x02%%";
        let wrong = b"\x41\x02--";
        for (flags, before, after) in [
            (0, &b""[..], &b""[..]),
            (PADDED, b"\x04", b"\x41\x02%%"),
            (PRIORITY, b"\x41\x02%%\x41", b""),
            (PADDED | PRIORITY, b"\x02\x41\x02%%\x41", b"%%"),
        ] {
            let sent = frame(HEADERS, flags, &[before, field, after].concat());
            let expected = frame(HEADERS, flags, &[before, wrong, after].concat());
            assert_eq!(passed(&sent, &[usize::MAX], usize::MAX), expected);
        }
        for (flags, payload) in [(PADDED, &b""[..]), (PADDED, b"\x09\x41\x02%%"), (PRIORITY, b"\x41\x02%%")] {
            let sent = frame(HEADERS, flags, payload);
            assert_eq!(passed(&sent, &[usize::MAX], usize::MAX), sent);
        }
        for sent in
            [frame(0, 0, field), frame(9, 0, field), frame(HEADERS, 0, &[&field[..], &[0; LARGEST]].concat())]
        {
            assert_eq!(passed(&sent, &[usize::MAX], usize::MAX), sent);
        }
    }

    /// What `h2` takes for the authorities of so many requests over a connection; an error names them too.
    async fn seen_by_h2(sent: &[u8], requests: usize, room: usize) -> Result<Vec<String>, String> {
        let (client, server) = duplex(room);
        let (mut answers, mut client) = split(client);
        let serve = async {
            let (_, mut socket) = detect(server).await.unwrap();
            socket.authorities = Some(Authorities::new(PREFACE.len()));
            let mut connection = h2::server::handshake(socket).await.unwrap();
            let mut seen: Vec<String> = Vec::new();
            while seen.len() < requests {
                let accepted = timeout(Duration::from_secs(5), connection.accept()).await;
                let Ok(Some(Ok((request, _)))) = accepted else {
                    return Err(format!("{accepted:?} after {seen:?}"));
                };
                seen.push(request.uri().authority().map_or("", Authority::as_str).into());
            }
            Ok(seen)
        };
        let mut nowhere = sink();
        let (seen, _, _) = tokio::join!(serve, client.write_all(sent), copy(&mut answers, &mut nowhere));
        seen
    }

    /// Requests by this: written out in which way, or by an index: that of how many before.
    #[derive(Debug, Clone)]
    enum Way {
        Written(u8, bool, bool, String),
        Index(usize),
    }

    fn way() -> impl Strategy<Value = Way> {
        let authority =
            prop_oneof!["[a-z0-9.]{1,9}(:[0-9]{1,4})?", "[!-\\[\\]-~]{1,30}", "([0-9.]{7}:[0-9]{2},){1,9}"];
        let first = prop::sample::select(vec![0, 0x10, 0x40]);
        prop_oneof![
            (first, any::<bool>(), any::<bool>(), authority)
                .prop_map(|(a, b, c, d)| Way::Written(a, b, c, d)),
            (0usize..4).prop_map(Way::Index),
        ]
    }

    /// A connection of such requests; what is expected of each.
    fn connection(ways: &[Way]) -> (Vec<u8>, Vec<String>) {
        let mut sent = [PREFACE, &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat();
        // As the client has it, the newest first.
        let mut table: Vec<String> = Vec::new();
        let mut expected = Vec::new();
        for (call, way) in ways.iter().enumerate() {
            let (field, authority) = match way {
                Way::Index(back) if table.is_empty() => (vec![0x01, 1, b'h'], format!("h{back}")[..1].into()),
                Way::Index(back) => {
                    let back = back % table.len();
                    (number(0x80, 0x7f, 62 + back), table[back].clone())
                }
                Way::Written(first, named, coded, authority) => {
                    if *first == 0x40 {
                        table.insert(0, authority.clone());
                    }
                    let name =
                        if *named { [&[*first], &text(*coded, NAME)[..]].concat() } else { vec![first | 1] };
                    ([name, text(*coded, authority.as_bytes())].concat(), authority.clone())
                }
            };
            let block = [b"\x82\x86\x84", &field[..], b"\x0f\x2b\x01%"].concat();
            let mut headers = frame(HEADERS, 5, &block);
            headers[5..9].copy_from_slice(&(2 * call as u32 + 1).to_be_bytes());
            sent.extend(headers);
            expected.push(authority);
        }
        (sent, expected)
    }

    proptest! {
        #[test]
        fn h2_takes_every_request(ways in prop::collection::vec(way(), 1..20), room in 24usize..300) {
            // `#` and characters of codes as long have no good one beside them.
            let known = |way: &Way| !matches!(way, Way::Written(_, _, true, text) if text.contains(['#', '>', '^', '}', '<', '`', '{']));
            let ways: Vec<Way> = ways.into_iter().filter(known).collect();
            let (sent, expected) = connection(&ways);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let seen = runtime.block_on(seen_by_h2(&sent, ways.len(), room)).unwrap();
            for (seen, expected) in seen.iter().zip(&expected) {
                if is_wrong(expected.as_bytes()) {
                    prop_assert_eq!(seen.len(), expected.len());
                } else {
                    prop_assert_eq!(seen, expected);
                }
            }
        }

        #[test]
        fn chunks_may_be_cut_anywhere(
            frames in prop::collection::vec((0u8..4, any::<u8>(), prop::collection::vec(any::<u8>(), 0..40), any::<bool>()), 0..40),
            sizes in prop::collection::vec(1usize..60, 1..20),
            most in 1usize..50,
        ) {
            let authority = |is_wrong| if is_wrong { b"\x41\x05a%b:c" } else { b"\x41\x05a.b:c" };
            let frames = frames.iter().map(|(kind, flags, payload, wrong)| {
                frame(*kind, flags & !(PADDED | PRIORITY), &[authority(*wrong), &payload[..]].concat())
            });
            let sent = frames.collect::<Vec<_>>().concat();
            let whole = passed(&sent, &[usize::MAX], usize::MAX);
            prop_assert_eq!(whole.len(), sent.len());
            prop_assert_eq!(passed(&sent, &sizes, most), whole);
        }

        #[test]
        fn any_bytes_are_taken(sent in prop::collection::vec(any::<u8>(), 0..400), sizes in prop::collection::vec(1usize..60, 1..20)) {
            let passed = passed(&sent, &sizes, 7);
            prop_assert!(passed.len() <= sent.len());
        }
    }
}
