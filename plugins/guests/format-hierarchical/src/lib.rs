//! Keys are ordered by depth first, so that the direct children of a directory are neighbours.
//!
//! Keys are compared by the number of their `/`, then segment by segment, bytewise. All direct children of
//! `/a/b/` are thus one range, and what lies below them is elsewhere: from `/a/b/` up to, but without,
//! `/a/b//`.
//!
//! For the last to hold, a `/` that directly follows another one is not counted and sorts behind every other
//! byte. So `/a/b//` is the end of the directory `/a/b/`, and at the same time a directory of its own, whose
//! children follow.
//!
//! A stored key is the depth, then the key with four bytes spelt otherwise:
//!
//! | byte | stored as | sorts |
//! |---|---|---|
//! | `/`, counted | `00` | before every byte, for it ends a segment |
//! | `00`, `01` | `01 01`, `01 02` | as it was |
//! | `fe`, `ff` | `fe 01`, `fe 02` | as it was |
//! | `/` after `/` | `ff` | behind every byte |
//!
//! The depth is one byte up to 247; above, `f7` plus the number of bytes that follow, which are the depth,
//! big-endian. Every byte string has exactly one spelling, and nothing else is decoded.

use mortise_guest::format::Format;

/// A `/` that opens or closes a segment.
const SLASH: u8 = 0x00;
/// A `/` that directly follows another one.
const SLASH_AGAIN: u8 = 0xff;
/// Begins the spelling of a byte that is next to [`SLASH`].
const LOW: u8 = 0x01;
/// Begins the spelling of a byte that is next to [`SLASH_AGAIN`].
const HIGH: u8 = 0xfe;

/// Largest depth that is stored in one byte.
const SHORT_DEPTH: u64 = 0xf7;

/// There is nothing to set.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {}

/// Keys ordered by depth first.
#[derive(Clone, Copy, Debug)]
pub struct Hierarchical;

impl Format for Hierarchical {
    type Config = Config;

    fn new(_: Config) -> Result<Self, String> {
        Ok(Self)
    }

    fn keeps_order(&self) -> bool {
        false
    }

    fn encode_key(&self, key: &[u8]) -> Result<Vec<u8>, String> {
        let mut stored = Vec::with_capacity(key.len() + 8);
        push_depth(&mut stored, depth(key));
        let mut previous = 0;
        for byte in key {
            match *byte {
                b'/' if previous == b'/' => stored.push(SLASH_AGAIN),
                b'/' => stored.push(SLASH),
                byte @ (SLASH | LOW) => stored.extend([LOW, byte + 1]),
                byte @ (HIGH | SLASH_AGAIN) => stored.extend([HIGH, byte - HIGH + 1]),
                byte => stored.push(byte),
            }
            previous = *byte;
        }
        Ok(stored)
    }

    fn decode_key(&self, stored: &[u8]) -> Result<Vec<u8>, String> {
        let (promised, spelt) = take_depth(stored)?;
        let mut key = Vec::with_capacity(spelt.len());
        let mut bytes = spelt.iter();
        while let Some(byte) = bytes.next() {
            let after_slash = key.last() == Some(&b'/');
            key.push(match (*byte, after_slash) {
                (SLASH, false) | (SLASH_AGAIN, true) => b'/',
                (LOW, _) => second(bytes.next())? - 1,
                (HIGH, _) => second(bytes.next())? - 1 + HIGH,
                (SLASH | SLASH_AGAIN | b'/', _) => {
                    return Err(format!("not a stored key: {byte:#04x} cannot stand where it does"));
                }
                (byte, _) => byte,
            });
        }
        let found = depth(&key);
        if found != promised {
            return Err(format!("not a stored key: it says depth {promised} and has depth {found}"));
        }
        Ok(key)
    }
}

/// How many `/` a key has that don't directly follow another one.
fn depth(key: &[u8]) -> u64 {
    let mut previous = 0;
    let mut count = 0;
    for byte in key {
        count += u64::from(*byte == b'/' && previous != b'/');
        previous = *byte;
    }
    count
}

fn push_depth(stored: &mut Vec<u8>, depth: u64) {
    if depth <= SHORT_DEPTH {
        stored.push(depth as u8);
        return;
    }
    let bytes = depth.to_be_bytes();
    let first = depth.leading_zeros() as usize / 8;
    stored.push((SHORT_DEPTH as usize + bytes.len() - first) as u8);
    stored.extend_from_slice(&bytes[first..]);
}

fn take_depth(stored: &[u8]) -> Result<(u64, &[u8]), String> {
    let (first, rest) = stored.split_first().ok_or("not a stored key: it is empty")?;
    let first = u64::from(*first);
    if first <= SHORT_DEPTH {
        return Ok((first, rest));
    }
    let length = (first - SHORT_DEPTH) as usize;
    let bytes = rest.get(..length).ok_or("not a stored key: it ends within its depth")?;
    let depth = bytes.iter().fold(0, |depth, byte| depth << 8 | u64::from(*byte));
    if bytes[0] == 0 || depth <= SHORT_DEPTH {
        return Err(format!("not a stored key: depth {depth} takes {length} bytes where fewer are enough"));
    }
    Ok((depth, &rest[length..]))
}

/// The second byte of a spelling, 1 or 2.
fn second(byte: Option<&u8>) -> Result<u8, String> {
    match byte {
        Some(byte @ (1 | 2)) => Ok(*byte),
        Some(byte) => Err(format!("not a stored key: {byte:#04x} after an escape; expected 0x01 or 0x02")),
        None => Err("not a stored key: it ends within an escape".to_owned()),
    }
}

mortise_guest::export_format!(Hierarchical);
