//! A record that a format cannot hold, as people are told of it: its key and the codec's reason.
//!
//! A key is escaped and shortened, so that a message stays short and on one line whatever a client wrote. A
//! value is never shown. A refusal is final: the same record gets it again from the same codec, unlike a
//! fault, which may pass.

use std::fmt;

/// Bytes of a key that a message shows.
const SHOWN_BYTES: usize = 80;

/// What was refused of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedPart {
    /// The key.
    Key,
    /// The value.
    Value,
}

/// One record that a format cannot hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What is refused of it.
    pub part: RefusedPart,
    /// The record's key, escaped and shortened.
    pub key: String,
    /// The codec's reason.
    pub reason: String,
}

impl Refusal {
    pub(crate) fn new(part: RefusedPart, key: &[u8], reason: String) -> Self {
        Self { part, key: shown(key), reason }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.part {
            RefusedPart::Key => write!(f, "the key {}: {}", self.key, self.reason),
            RefusedPart::Value => write!(f, "the value of the key {}: {}", self.key, self.reason),
        }
    }
}

/// A key as a message shows it: escaped, and cut when it is long.
pub(crate) fn shown(key: &[u8]) -> String {
    match key.get(..SHOWN_BYTES) {
        Some(start) if key.len() > SHOWN_BYTES => {
            format!("\"{}…\" ({} bytes)", start.escape_ascii(), key.len())
        }
        _ => format!("\"{}\"", key.escape_ascii()),
    }
}
