//! As much of HPACK (RFC 7541) as it takes to find and to change an authority.
//!
//! Its Huffman code is canonical, so that the characters in their order, grouped by length, are all there is to
//! know. Codes of more than 15 bits are those of `\`, of control characters and of bytes beyond ASCII; they are
//! not known here.

use std::ops::Range;

const INDEX: usize = 1;
pub const NAME: &[u8] = b":authority";
const CODED_NAME: &[u8] = b"\xb8\x3b\x53\x39\xec\x32\x7d\x7f";

/// A string in a block of header fields.
pub struct Text {
    /// By Huffman.
    pub coded: bool,
    pub range: Range<usize>,
}

/// Goes through a block of header fields (RFC 7541, 6).
pub struct Fields<'a> {
    block: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    pub fn new(block: &'a [u8]) -> Self {
        Fields { block, at: 0 }
    }

    /// The first authority that is written out.
    pub fn authority(&mut self) -> Option<Text> {
        loop {
            let index = match *self.block.get(self.at)? {
                0x80.. => {
                    self.number(0x7f)?;
                    continue;
                }
                0x40.. => self.number(0x3f)?,
                0x20.. => {
                    self.number(0x1f)?;
                    continue;
                }
                _ => self.number(0x0f)?,
            };
            let named = if index == 0 {
                let Text { coded, range } = self.text()?;
                self.block.get(range)? == if coded { CODED_NAME } else { NAME }
            } else {
                index == INDEX
            };
            let value = self.text()?;
            if named {
                return (value.range.end <= self.block.len()).then_some(value);
            }
        }
    }

    /// A number in the bits of a mask and the bytes after it.
    fn number(&mut self, mask: u8) -> Option<usize> {
        let mut number = usize::from(self.byte()? & mask);
        if number < usize::from(mask) {
            return Some(number);
        }
        for shift in [0, 7, 14, 21] {
            let byte = self.byte()?;
            number += usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn text(&mut self) -> Option<Text> {
        let coded = self.block.get(self.at)? & 0x80 != 0;
        let size = self.number(0x7f)?;
        let range = self.at..self.at + size;
        self.at = range.end;
        Some(Text { coded, range })
    }

    fn byte(&mut self) -> Option<u8> {
        let byte = *self.block.get(self.at)?;
        self.at += 1;
        Some(byte)
    }
}

/// The characters of each length in bits.
const CODE: [(u32, &[u8]); 10] = [
    (5, b"012aceiost"),
    (6, b" %-./3456789=A_bdfghlmnpru"),
    (7, b":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz"),
    (8, b"&*,;XZ"),
    (10, b"!\"()?"),
    (11, b"'+|"),
    (12, b"#>"),
    (13, b"\0$@[]~"),
    (14, b"^}"),
    (15, b"<`{"),
];
const LONGEST: u32 = 15;

/// A character within a coded string.
struct Symbol {
    character: u8,
    /// All of its length, in the order of their codes.
    alike: &'static [u8],
    place: usize,
    /// The first of their codes.
    first: u32,
    length: u32,
}

/// The text; `None`: it is not coded well, or has characters that are not known here.
pub fn decode(coded: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::with_capacity(coded.len() * 8 / 5);
    each(coded, |_, symbol| text.push(symbol.character))?;
    Some(text)
}

/// Replace each character that is not good by a good one whose code has the same length; where there is none, it
/// stays.
pub fn replace(coded: &mut [u8], good: fn(u8) -> bool) {
    let mut changes = Vec::new();
    let _ = each(coded, |bit, symbol| {
        let other = symbol.alike.iter().position(|&other| good(other));
        if let (false, Some(other)) = (good(symbol.character), other) {
            let flipped = (symbol.first + symbol.place as u32) ^ (symbol.first + other as u32);
            changes.push((bit, flipped << (24 - symbol.length - bit as u32 % 8)));
        }
    });
    for (bit, flipped) in changes {
        for (byte, flipped) in coded[bit / 8..].iter_mut().zip(&flipped.to_be_bytes()[1..]) {
            *byte ^= flipped;
        }
    }
}

/// Go through a coded string: the bit at which each symbol begins, and the symbol.
fn each(coded: &[u8], mut see: impl FnMut(usize, &Symbol)) -> Option<()> {
    let bits = coded.len() * 8;
    let mut bit = 0;
    loop {
        let next = peek(coded, bit);
        if bits - bit < 8 && next == (1 << LONGEST) - 1 {
            return Some(());
        }
        let symbol = symbol(next)?;
        let end = bit + symbol.length as usize;
        if end > bits {
            return None;
        }
        see(bit, &symbol);
        bit = end;
    }
}

/// The next `LONGEST` bits, with ones after the end.
fn peek(coded: &[u8], bit: usize) -> u32 {
    let byte = |after| u32::from(*coded.get(bit / 8 + after).unwrap_or(&0xff));
    let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
    bits >> (24 - LONGEST - bit as u32 % 8) & ((1 << LONGEST) - 1)
}

fn symbol(bits: u32) -> Option<Symbol> {
    groups().find_map(|(length, alike, first)| {
        let place = ((bits >> (LONGEST - length)) - first) as usize;
        alike.get(place).map(|&character| Symbol { character, alike, place, first, length })
    })
}

/// The characters of each length, and the first of their codes.
fn groups() -> impl Iterator<Item = (u32, &'static [u8], u32)> {
    let (mut next, mut before) = (0, 0);
    CODE.iter().map(move |&(length, alike)| {
        let first = next << (length - before);
        next = first + alike.len() as u32;
        before = length;
        (length, alike, first)
    })
}

/// Of characters that are known here.
#[cfg(test)]
pub fn encode(text: &[u8]) -> Vec<u8> {
    let mut bits = Vec::new();
    for character in text {
        let place = |alike: &[u8]| alike.iter().position(|other| other == character);
        let code = groups().find_map(|(length, alike, first)| Some((length, first + place(alike)? as u32)));
        let (length, code) = code.unwrap();
        bits.extend((0..length).rev().map(|bit| code >> bit & 1));
    }
    bits.resize(bits.len().next_multiple_of(8), 1);
    bits.chunks(8).map(|byte| byte.iter().fold(0, |whole, &bit| whole << 1 | bit as u8)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn known() -> Vec<u8> {
        CODE.iter().flat_map(|(_, alike)| *alike).copied().collect()
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn the_code_is_that_of_the_rfc() {
        let examples = [
            // RFC 7541, C.4 and C.6.1.
            ("www.example.com", "f1e3c2e5f23a6ba0ab90f4ff"),
            ("custom-value", "25a849e95bb8e8b4bf"),
            ("Mon, 21 Oct 2013 20:13:21 GMT", "d07abe941054d444a8200595040b8166e082a62d1bff"),
        ];
        for (text, coded) in examples {
            assert_eq!(hex(&encode(text.as_bytes())), coded);
            assert_eq!(decode(&encode(text.as_bytes())).unwrap(), text.as_bytes());
        }
        // As Python's `hpack` has it.
        let all = "00443214c742545565d865a6dc75e7e08628e49669e8a6aaecb6e5dbd7f061c58f265cd9f469d5af66dddbf871e5cfa75eddfc79\
                   f5efe3e7ebeff3f7f8fe7fafeffcff5feffe7fd7fdffe3ff3ffaffdfff3ffbffe7ffbfff3ffefffe";
        assert_eq!(hex(&encode(&known())), all);
        assert_eq!(decode(&encode(&known())).unwrap(), known());
    }

    #[test]
    fn what_is_not_coded_well_is_not_decoded() {
        assert_eq!(decode(b"").unwrap(), b"");
        let coded = encode(b"a%b");
        for size in 1..coded.len() {
            assert!(decode(&coded[..size]).is_none_or(|text| b"a%b".starts_with(&text)));
        }
        // Padding of eight bits, padding that is not of ones, and a character of 19 bits.
        for bad in [&b"\xff"[..], b"\x1f\xff", b"\x18", b"\xff\xfe\x1f"] {
            assert_eq!(decode(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn what_is_replaced_keeps_its_length() {
        let mut coded = encode(b"tmp%2Fa:1,[::1]#");
        replace(&mut coded, |character| character.is_ascii_alphanumeric() || b"-$,".contains(&character));
        assert_eq!(decode(&coded).unwrap(), b"tmp-2FaB1,$BB1$#");
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(mut bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let before = decode(&bytes);
            replace(&mut bytes, |character| character.is_ascii_alphanumeric());
            let (before, after) = (before.map(|text| text.len()), decode(&bytes).map(|text| text.len()));
            prop_assert_eq!(before, after);
        }
    }
}
