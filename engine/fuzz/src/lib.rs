//! The parts of the engine that read what anybody may send, and nothing else of it.

#[path = "../../src/authority.rs"]
pub mod authority;
#[path = "../../src/fault.rs"]
pub mod fault;
#[path = "../../src/floods.rs"]
pub mod floods;
#[path = "../../src/frames.rs"]
pub mod frames;
#[path = "../../src/hpack.rs"]
pub mod hpack;
#[path = "../../src/metadata.rs"]
pub mod metadata;
#[path = "../../src/web.rs"]
pub mod web;

/// Cuts bytes into chunks; the first of them say where.
pub fn chunks(data: &[u8]) -> (Vec<&[u8]>, &[u8]) {
    let (sizes, whole) = data.split_at(data.len().min(4));
    let mut chunks = Vec::new();
    let mut rest = whole;
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (chunk, after) = rest.split_at(rest.len().min(usize::from(*size) + 1));
        chunks.push(chunk);
        rest = after;
    }
    (chunks, whole)
}
