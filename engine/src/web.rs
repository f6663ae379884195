//! gRPC-Web, binary and text, and which content types are gRPC's.
//!
//! The format is that of <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md>.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderName, HeaderValue};

use crate::fault::Fault;
use crate::metadata::percent_encoded;

/// The flag of a frame that holds trailers.
const TRAILERS: u8 = 0x80;
/// Characters of base64 that stand for whole bytes.
const GROUP: usize = 4;

/// How a call of gRPC-Web is spelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Web {
    Binary,
    /// In base64.
    Text,
}

impl Web {
    /// Whether this content type is gRPC-Web's; parameters are passed over.
    pub fn of(content_type: &[u8]) -> Option<Self> {
        let end = content_type.iter().position(|&byte| byte == b';').unwrap_or(content_type.len());
        let rest = without_prefix(content_type[..end].trim_ascii_end(), b"application/grpc-web")?;
        let (web, rest) = match without_prefix(rest, b"-text") {
            Some(rest) => (Self::Text, rest),
            None => (Self::Binary, rest),
        };
        (rest.is_empty() || rest.eq_ignore_ascii_case(b"+proto")).then_some(web)
    }

    /// The content type of the response.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Binary => "application/grpc-web+proto",
            Self::Text => "application/grpc-web-text+proto",
        }
    }
}

/// Whether this content type is gRPC's: `application/grpc`, or that and a `+` with anything after it.
///
/// A media type has no upper or lower case. `application/grpcfoo` and `application/grpc;x` are not gRPC.
pub fn is_grpc(content_type: &[u8]) -> bool {
    without_prefix(content_type, b"application/grpc").is_some_and(|rest| matches!(rest, [] | [b'+', ..]))
}

fn without_prefix<'a>(value: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = value.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// Decodes the body of a text request, whose chunks are cut anywhere.
///
/// Clients encode messages one by one: padding is legal wherever a group of four characters ends.
#[derive(Debug, Default)]
pub struct TextDecoder {
    /// The beginning of a group.
    begun: [u8; GROUP],
    count: usize,
}

impl TextDecoder {
    pub fn new() -> Self {
        Self::default()
    }

    /// The bytes that are whole with this chunk.
    pub fn decode(&mut self, mut chunk: &[u8]) -> Result<Bytes, Fault> {
        let mut decoded = Vec::with_capacity((self.count + chunk.len()) / GROUP * 3);
        if self.count > 0 {
            let missing = chunk.len().min(GROUP - self.count);
            self.begun[self.count..self.count + missing].copy_from_slice(&chunk[..missing]);
            self.count += missing;
            chunk = &chunk[missing..];
            if self.count < GROUP {
                return Ok(Bytes::new());
            }
            decode_run(&self.begun, &mut decoded)?;
        }
        let (mut groups, rest) = chunk.split_at(chunk.len() / GROUP * GROUP);
        while !groups.is_empty() {
            let (run, after) = groups.split_at(run_length(groups));
            decode_run(run, &mut decoded)?;
            groups = after;
        }
        self.begun[..rest.len()].copy_from_slice(rest);
        self.count = rest.len();
        Ok(Bytes::from(decoded))
    }

    /// To be called at the end of the request.
    pub fn finish(&self) -> Result<(), Fault> {
        if self.count == 0 { Ok(()) } else { Err(no_base64()) }
    }
}

/// The length of the groups up to the first with padding.
fn run_length(groups: &[u8]) -> usize {
    let padding = groups.iter().position(|&byte| byte == b'=');
    padding.map_or(groups.len(), |place| (place / GROUP + 1) * GROUP)
}

fn decode_run(run: &[u8], decoded: &mut Vec<u8>) -> Result<(), Fault> {
    STANDARD.decode_vec(run, decoded).map_err(|_| no_base64())
}

fn no_base64() -> Fault {
    Fault::malformed("the request is not base64, as application/grpc-web-text demands")
}

/// The frame that ends a response: a status, its text, and trailing metadata.
///
/// Pairs that could be no header field are left out; they could end the line and begin another.
pub fn trailers_frame(code: u32, text: &str, trailers: &[(Bytes, Bytes)]) -> Bytes {
    let mut frame = vec![TRAILERS, 0, 0, 0, 0];
    let mut line = |name: &[u8], value: &[u8]| {
        for part in [name, b":", value, b"\r\n"] {
            frame.extend_from_slice(part);
        }
    };
    line(b"grpc-status", code.to_string().as_bytes());
    if !text.is_empty() {
        line(b"grpc-message", percent_encoded(text).as_bytes());
    }
    for (name, value) in trailers {
        if HeaderName::from_bytes(name).is_ok() && HeaderValue::from_bytes(value).is_ok() {
            line(name, value);
        }
    }
    let size = u32::try_from(frame.len() - 5).expect("trailers have less than 4 GiB");
    frame[1..5].copy_from_slice(&size.to_be_bytes());
    Bytes::from(frame)
}

/// A piece of a response as it is sent; of text each piece is padded by itself.
pub fn encode(web: Web, piece: Bytes) -> Bytes {
    match web {
        Web::Binary => piece,
        Web::Text => Bytes::from(STANDARD.encode(&piece)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fault::FaultKind;

    fn decoded(chunks: &[&[u8]]) -> Result<Vec<u8>, Fault> {
        let mut decoder = TextDecoder::new();
        let mut decoded = Vec::new();
        for chunk in chunks {
            decoded.extend(decoder.decode(chunk)?);
        }
        decoder.finish().map(|()| decoded)
    }

    #[test]
    fn content_types_of_the_web() {
        for binary in [
            "application/grpc-web",
            "application/grpc-web+proto",
            "Application/gRPC-Web",
            "application/grpc-web;charset=utf-8",
            "application/grpc-web+proto ; a=b",
        ] {
            assert_eq!(Web::of(binary.as_bytes()), Some(Web::Binary), "{binary}");
        }
        for text in
            ["application/grpc-web-text", "application/grpc-web-text+proto", "application/grpc-web-TEXT;x"]
        {
            assert_eq!(Web::of(text.as_bytes()), Some(Web::Text), "{text}");
        }
        for other in [
            "",
            "application/grpc",
            "application/grpc+proto",
            "application/grpc-web+json",
            "application/grpc-webx",
            "application/grpc-web-textual",
            "application/grpc-web +proto",
            " application/grpc-web",
            "application/json",
        ] {
            assert_eq!(Web::of(other.as_bytes()), None, "{other}");
        }
        for web in [Web::Binary, Web::Text] {
            assert_eq!(Web::of(web.content_type().as_bytes()), Some(web));
        }
    }

    #[test]
    fn content_types_of_grpc() {
        for grpc in
            ["application/grpc", "application/grpc+proto", "application/grpc+", "APPLICATION/grpc+Json;x"]
        {
            assert!(is_grpc(grpc.as_bytes()), "{grpc}");
        }
        for other in [
            "",
            "application/grp",
            "application/grpcfoo",
            "application/grpc;x",
            "application/grpc-web",
            "text/grpc",
        ] {
            assert!(!is_grpc(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn padding_may_end_any_group() {
        assert_eq!(decoded(&[b"YQ==YmI=Y2Nj", b"ZA=="]).unwrap(), b"abbcccd");
        assert_eq!(decoded(&[b"YQ", b"=", b"", b"=Y", b"mI=Y2NjZA=", b"="]).unwrap(), b"abbcccd");
        assert_eq!(decoded(&[]).unwrap(), b"");
    }

    #[test]
    fn what_is_no_base64_is_malformed() {
        for body in
            ["YQ", "YQ=", "Y", "YQ=a", "=YQ=", "====", "YQ\r\n", "Y-__", "YR==", "Y\u{e4}=", "AAAA===="]
        {
            let fault = decoded(&[body.as_bytes()]).unwrap_err();
            assert_eq!(fault.kind, FaultKind::MalformedRequest, "{body}");
        }
    }

    #[test]
    fn trailers_are_a_frame() {
        let trailers = [
            (Bytes::from_static(b"retry-after"), Bytes::from_static(b"1")),
            (Bytes::from_static(b"bad"), Bytes::from_static(b"1\r\ngrpc-status:0")),
            (Bytes::from_static(b"bad\r\n"), Bytes::from_static(b"1")),
        ];
        assert_eq!(trailers_frame(0, "", &[]), &b"\x80\0\0\0\x0fgrpc-status:0\r\n"[..]);
        let frame = trailers_frame(16, "no\n", &trailers);
        assert_eq!(&frame[5..], b"grpc-status:16\r\ngrpc-message:no%0A\r\nretry-after:1\r\n");
        assert_eq!(frame[1..5], (frame.len() as u32 - 5).to_be_bytes());
    }

    #[test]
    fn pieces_are_encoded_by_themselves() {
        let piece = Bytes::from_static(b"a");
        assert_eq!(encode(Web::Binary, piece.clone()), "a");
        assert_eq!(encode(Web::Text, piece), "YQ==");
    }

    proptest! {
        #[test]
        fn text_comes_back_however_it_is_cut(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..6),
            cuts in prop::collection::vec(1usize..20, 1..10),
        ) {
            let body: Vec<u8> =
                pieces.iter().flat_map(|piece| encode(Web::Text, Bytes::from(piece.clone()))).collect();
            let mut chunks = Vec::new();
            let mut rest = &body[..];
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break; }
                let (chunk, after) = rest.split_at(rest.len().min(*cut));
                chunks.push(chunk);
                rest = after;
            }
            prop_assert_eq!(decoded(&chunks).unwrap(), pieces.concat());
        }

        #[test]
        fn where_any_bytes_are_cut_makes_no_difference(
            body in prop::collection::vec(prop::sample::select(b"AQgw9+/=-".to_vec()), 0..40),
            place in 0usize..40,
        ) {
            let (first, second) = body.split_at(place.min(body.len()));
            prop_assert_eq!(decoded(&[first, second]), decoded(&[&body]));
        }
    }
}
