//! Values of the tree: how versions, tombstones, revisions and the state are written as bytes.
//!
//! Every record begins with a byte that names its kind and format; numbers are LEB128. A version carries
//! its value last and in full, so that decoding one copies nothing, and moving it from the latest to the
//! history column is moving the same bytes. Decoding answers `None` for bytes that no version of this code
//! has written; the caller, who knows the path, makes an error of it.

use bytes::Bytes;

use super::Applied;
use crate::kv::KeyValue;

const VERSION: u8 = 1;
const TOMBSTONE: u8 = 2;
const TOUCHES: u8 = 3;
const STATE: u8 = 4;

/// One version of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Version {
    /// Revision of creation.
    pub(super) created: i64,
    /// Revision of this change.
    pub(super) modified: i64,
    /// Changes since creation, from 1.
    pub(super) version: i64,
    /// Attached lease, 0 for none.
    pub(super) lease: i64,
    /// The value.
    pub(super) value: Bytes,
}

impl Version {
    /// Encodes it.
    pub(super) fn encode(&self) -> Bytes {
        let numbers = [self.created, self.modified, self.version, self.lease];
        // Exactly as large as needed: the memtable keeps it as it is.
        let header = 1 + numbers.into_iter().map(number_bytes).sum::<usize>();
        let mut out = Vec::with_capacity(header + self.value.len());
        out.push(VERSION);
        for number in numbers {
            put_number(&mut out, number);
        }
        out.extend_from_slice(&self.value);
        out.into()
    }

    /// The answer for `key`.
    pub(super) fn into_kv(self, key: Bytes) -> KeyValue {
        KeyValue {
            key,
            value: self.value,
            create_revision: self.created,
            mod_revision: self.modified,
            version: self.version,
            lease: self.lease,
        }
    }
}

/// What a row of the latest or the history column holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stored {
    /// A version.
    Version(Version),
    /// The key was deleted.
    Tombstone,
}

impl Stored {
    /// Decodes a row; the value shares the memory of `bytes`.
    pub(super) fn decode(bytes: &Bytes) -> Option<Self> {
        let mut rest = &bytes[..];
        match take_byte(&mut rest)? {
            TOMBSTONE => rest.is_empty().then_some(Self::Tombstone),
            VERSION => {
                let created = take_number(&mut rest)?;
                let modified = take_number(&mut rest)?;
                let version = take_number(&mut rest)?;
                let lease = take_number(&mut rest)?;
                let value = bytes.slice(bytes.len() - rest.len()..);
                Some(Self::Version(Version { created, modified, version, lease, value }))
            }
            _ => None,
        }
    }
}

/// The row of a deletion.
pub(super) fn tombstone() -> Bytes {
    Bytes::from_static(&[TOMBSTONE])
}

/// One key that a revision touched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Touch {
    /// The user key.
    pub(super) key: Bytes,
    /// Revision of the version that was superseded, 0 when the key did not exist.
    pub(super) previous: i64,
    /// Whether the revision left the key deleted.
    pub(super) deleted: bool,
}

/// Encodes the row of one revision.
pub(super) fn encode_touches(touches: &[Touch]) -> Bytes {
    let keys: usize = touches.iter().map(|touch| touch.key.len() + 12).sum();
    let mut out = Vec::with_capacity(1 + keys);
    out.push(TOUCHES);
    for touch in touches {
        out.push(u8::from(touch.deleted));
        put_number(&mut out, touch.previous);
        put_unsigned(&mut out, touch.key.len() as u64);
        out.extend_from_slice(&touch.key);
    }
    out.into()
}

/// Decodes the row of one revision; keys share the memory of `bytes`.
pub(super) fn decode_touches(bytes: &Bytes) -> Option<Vec<Touch>> {
    let mut rest = &bytes[..];
    if take_byte(&mut rest)? != TOUCHES {
        return None;
    }
    let mut touches = Vec::new();
    while !rest.is_empty() {
        let deleted = match take_byte(&mut rest)? {
            0 => false,
            1 => true,
            _ => return None,
        };
        let previous = take_number(&mut rest)?;
        let length = usize::try_from(take_unsigned(&mut rest)?).ok()?;
        let start = bytes.len() - rest.len();
        rest = rest.get(length..)?;
        touches.push(Touch { key: bytes.slice(start..start + length), previous, deleted });
    }
    Some(touches)
}

/// What is true of the whole store at one applied position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    /// Position in the log.
    pub(super) applied: Applied,
    /// Current revision.
    pub(super) revision: i64,
    /// Oldest readable revision; -1 before the first compaction, as in etcd.
    pub(super) compacted: i64,
}

impl Default for State {
    /// An empty store has revision 1, as in etcd.
    fn default() -> Self {
        Self { applied: Applied::default(), revision: 1, compacted: -1 }
    }
}

impl State {
    /// Encodes it.
    pub(super) fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(24 + self.applied.opaque.len());
        out.push(STATE);
        put_unsigned(&mut out, self.applied.index);
        put_number(&mut out, self.revision);
        put_number(&mut out, self.compacted + 1);
        out.extend_from_slice(&self.applied.opaque);
        out.into()
    }

    /// Decodes it.
    pub(super) fn decode(bytes: &Bytes) -> Option<Self> {
        let mut rest = &bytes[..];
        if take_byte(&mut rest)? != STATE {
            return None;
        }
        let index = take_unsigned(&mut rest)?;
        let revision = take_number(&mut rest)?;
        let compacted = take_number(&mut rest)? - 1;
        let opaque = bytes.slice(bytes.len() - rest.len()..);
        Some(Self { applied: Applied { index, opaque }, revision, compacted })
    }
}

/// Numbers are written by their bits: negative ones are legal (a lease may be any) and take ten bytes.
fn put_number(out: &mut Vec<u8>, number: i64) {
    put_unsigned(out, number.cast_unsigned());
}

/// Bytes that [`put_number`] takes.
fn number_bytes(number: i64) -> usize {
    let bits = u64::BITS - number.cast_unsigned().leading_zeros();
    bits.max(1).div_ceil(7) as usize
}

fn put_unsigned(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7F) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take_byte(rest: &mut &[u8]) -> Option<u8> {
    let (&byte, tail) = rest.split_first()?;
    *rest = tail;
    Some(byte)
}

fn take_number(rest: &mut &[u8]) -> Option<i64> {
    take_unsigned(rest).map(u64::cast_signed)
}

fn take_unsigned(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..u64::BITS).step_by(7) {
        let byte = take_byte(rest)?;
        let bits = u64::from(byte & 0x7F);
        if bits << shift >> shift != bits {
            return None;
        }
        number |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes() -> impl Strategy<Value = Bytes> {
        prop::collection::vec(any::<u8>(), 0..300).prop_map(Bytes::from)
    }

    proptest! {
        #[test]
        fn versions_come_back(
            created: i64, modified: i64, version: i64, lease: i64, value in bytes(),
        ) {
            let it = Version { created, modified, version, lease, value };
            let numbers = [created, modified, version, lease].into_iter().map(number_bytes).sum::<usize>();
            prop_assert_eq!(it.encode().len(), 1 + numbers + it.value.len());
            prop_assert_eq!(Stored::decode(&it.encode()), Some(Stored::Version(it)));
        }

        #[test]
        fn touches_come_back(touches in prop::collection::vec((bytes(), any::<i64>(), any::<bool>()), 0..9)) {
            let touches: Vec<Touch> = touches
                .into_iter()
                .map(|(key, previous, deleted)| Touch { key, previous, deleted })
                .collect();
            prop_assert_eq!(decode_touches(&encode_touches(&touches)), Some(touches));
        }

        #[test]
        fn states_come_back(index: u64, opaque in bytes(), revision: i64, compacted in -1..i64::MAX - 1) {
            let it = State { applied: Applied { index, opaque }, revision, compacted };
            prop_assert_eq!(State::decode(&it.encode()), Some(it));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in bytes()) {
            let _ = Stored::decode(&bytes);
            let _ = decode_touches(&bytes);
            let _ = State::decode(&bytes);
        }
    }

    #[test]
    fn tombstones_come_back_and_a_longer_one_is_refused() {
        assert_eq!(Stored::decode(&tombstone()), Some(Stored::Tombstone));
        assert_eq!(Stored::decode(&Bytes::from_static(&[TOMBSTONE, 0])), None);
        assert_eq!(Stored::decode(&Bytes::new()), None);
    }

    #[test]
    fn a_decoded_value_shares_memory() {
        let value = Bytes::from(vec![7; 100]);
        let encoded = Version { created: 1, modified: 2, version: 3, lease: 0, value }.encode();
        let Some(Stored::Version(version)) = Stored::decode(&encoded) else { panic!("a version") };
        assert!(encoded.as_ptr_range().contains(&version.value.as_ptr()));
    }

    #[test]
    fn numbers_too_large_for_64_bits_are_refused() {
        let mut overlong = &[0xFF_u8; 10][..];
        assert_eq!(take_unsigned(&mut overlong), None);
        let mut top = &[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x02][..];
        assert_eq!(take_unsigned(&mut top), None);
    }
}
