//! What grpc-core calls the authority of a unix socket: its path, percent-encoded.
//!
//! `http` takes that for no authority, and h2 would reset the call. So each `%` of it becomes a `-` before h2
//! reads it. grpc-core sends it as it is, with its name, once a connection.

const HEADER: usize = 9;
const HEADERS: u8 = 0x1;
/// The name with its length, as HPACK has it.
const NAME: &[u8] = b"\x0a:authority";
/// A length of this and more goes on in the next byte.
const LONG: u8 = 0x7f;

/// Follows what a client sends after the preface, in chunks cut anywhere.
#[derive(Default)]
pub struct Authorities {
    header: [u8; HEADER],
    have: usize,
    /// Bytes of a frame's payload that are still to come.
    payload: usize,
    /// Bytes of `NAME` that have just been seen.
    named: usize,
    long: bool,
    /// Bytes of the authority that are still to come.
    value: usize,
}

impl Authorities {
    pub fn mend(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            if self.payload == 0 {
                self.begin_frame(*byte);
            } else {
                self.payload -= 1;
                if self.header[3] == HEADERS {
                    self.mend_byte(byte);
                }
            }
        }
    }

    fn begin_frame(&mut self, byte: u8) {
        self.header[self.have] = byte;
        self.have += 1;
        if self.have == HEADER {
            let [a, b, c, ..] = self.header;
            let payload = u32::from_be_bytes([0, a, b, c]) as usize;
            *self = Self { header: self.header, payload, ..Self::default() };
        }
    }

    fn mend_byte(&mut self, byte: &mut u8) {
        if self.value > 0 {
            self.value -= 1;
            if *byte == b'%' {
                *byte = b'-';
            }
        } else if self.long {
            self.long = false;
            self.value = usize::from(LONG) + usize::from(*byte & LONG);
        } else if self.named == NAME.len() {
            self.named = 0;
            self.long = *byte == LONG;
            // What is compressed has the highest bit, and is not grpc-core's.
            self.value = if *byte < LONG { usize::from(*byte) } else { 0 };
        } else if *byte == NAME[self.named] {
            self.named += 1;
        } else {
            self.named = usize::from(*byte == NAME[0]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        frame.extend([kind, 4, 0, 0, 0, 1]);
        frame.extend(payload);
        frame
    }

    #[test]
    fn only_the_authority_of_header_fields_is_mended() {
        let long = "a%2F".repeat(50);
        let field =
            |value: &[u8], length: &[u8]| [b"\x40\x0a:authority", length, value, b"\x40\x01x\x02%%"].concat();
        let sent = [
            frame(0, b"\x0a:authority\x02%%"),
            frame(HEADERS, &field(b"tmp%2Fs", b"\x07")),
            frame(HEADERS, &field(long.as_bytes(), b"\x7f\x49")),
            frame(HEADERS, b"\x0a\x0a:authority"),
            frame(0, b"%%%%"),
        ];
        let expected = [
            sent[0].clone(),
            frame(HEADERS, &field(b"tmp-2Fs", b"\x07")),
            frame(HEADERS, &field(long.replace('%', "-").as_bytes(), b"\x7f\x49")),
            sent[3].clone(),
            sent[4].clone(),
        ]
        .concat();
        for size in [1, 2, 3, 7, 10_000] {
            let mut bytes = sent.concat();
            let mut authorities = Authorities::default();
            bytes.chunks_mut(size).for_each(|chunk| authorities.mend(chunk));
            assert_eq!(bytes, expected);
        }
    }
}
