//! Header fields that gRPC gives a meaning to.

use std::time::Duration;

use http::{HeaderMap, HeaderValue};

use crate::fault::{Fault, FaultKind};

const LONGEST_TIMEOUT: usize = 9;
const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// What `grpc-timeout` says, such as `200m`.
pub fn timeout(value: &[u8]) -> Result<Duration, Fault> {
    parsed_timeout(value).ok_or_else(|| {
        let text = "grpc-timeout must be up to eight digits and one of HMSmun";
        Fault::new(FaultKind::MalformedMetadata, text)
    })
}

fn parsed_timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || value.len() > LONGEST_TIMEOUT || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = digits.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
    Some(match unit {
        b'H' => Duration::from_secs(number * 3600),
        b'M' => Duration::from_secs(number * 60),
        b'S' => Duration::from_secs(number),
        b'm' => Duration::from_millis(number),
        b'u' => Duration::from_micros(number),
        b'n' => Duration::from_nanos(number),
        _ => return None,
    })
}

/// A text for `grpc-message`: UTF-8, percent-encoded.
pub fn percent_encoded(text: &str) -> HeaderValue {
    let mut encoded = Vec::with_capacity(text.len());
    for byte in text.bytes() {
        if matches!(byte, b' '..=b'~') && byte != b'%' {
            encoded.push(byte);
        } else {
            encoded.extend([b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
    HeaderValue::from_maybe_shared(bytes::Bytes::from(encoded)).expect("printable ASCII is a value")
}

/// Bytes of all names and values.
pub fn metadata_size(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_unit_is_read() {
        let read = |text: &str| timeout(text.as_bytes()).unwrap();

        assert_eq!(read("2H"), Duration::from_secs(7200));
        assert_eq!(read("3M"), Duration::from_secs(180));
        assert_eq!(read("0S"), Duration::ZERO);
        assert_eq!(read("200m"), Duration::from_millis(200));
        assert_eq!(read("00000007u"), Duration::from_micros(7));
        assert_eq!(read("99999999n"), Duration::from_nanos(99_999_999));
        assert_eq!(read("99999999H"), Duration::from_secs(99_999_999 * 3600));
    }

    #[test]
    fn what_is_no_timeout_is_malformed() {
        for value in ["", "S", "1", "1s", "123456789S", "-1S", "+1S", "1.5S", " 1S", "1S ", "1\u{663}S"] {
            let fault = timeout(value.as_bytes()).unwrap_err();
            assert_eq!(fault.kind, FaultKind::MalformedMetadata, "{value}");
            assert_eq!(fault.text, "grpc-timeout must be up to eight digits and one of HMSmun");
        }
    }

    #[test]
    fn messages_are_percent_encoded() {
        assert_eq!(percent_encoded("plain ~ text"), "plain ~ text");
        assert_eq!(percent_encoded("50% ä\r\n"), "50%25 %C3%A4%0D%0A");
        assert_eq!(percent_encoded(""), "");
    }

    #[test]
    fn names_and_values_have_a_size() {
        let mut headers = HeaderMap::new();
        assert_eq!(metadata_size(&headers), 0);
        headers.append("abc", HeaderValue::from_static("12"));
        headers.append("abc", HeaderValue::from_static(""));
        assert_eq!(metadata_size(&headers), 8);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_timeout_or_not(value in proptest::collection::vec(any::<u8>(), 0..12)) {
            let text = std::str::from_utf8(&value).ok();
            let expected = text.is_some_and(|text| {
                text.len() <= 9
                    && text.len() > 1
                    && text.ends_with(['H', 'M', 'S', 'm', 'u', 'n'])
                    && text[..text.len() - 1].bytes().all(|byte| byte.is_ascii_digit())
            });
            prop_assert_eq!(timeout(&value).is_ok(), expected);
        }

        #[test]
        fn any_text_comes_back(text in "\\PC*|(?s).*") {
            let encoded = percent_encoded(&text);
            let mut decoded = Vec::new();
            let mut rest = encoded.as_bytes();
            while let Some((&byte, tail)) = rest.split_first() {
                if byte == b'%' {
                    decoded.push(u8::from_str_radix(std::str::from_utf8(&tail[..2]).unwrap(), 16).unwrap());
                    rest = &tail[2..];
                } else {
                    decoded.push(byte);
                    rest = tail;
                }
            }
            prop_assert_eq!(decoded, text.into_bytes());
        }
    }
}
