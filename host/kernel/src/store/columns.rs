//! Keys of the tree.
//!
//! One tree holds four *columns*, told apart by the first byte, so that one memtable and one sequence of
//! flushes carries all of them and a crash can never separate them:
//!
//! | column | key | value |
//! |---|---|---|
//! | latest | `c`, user key | the newest version of a key |
//! | history | `h`, escaped user key, terminator, inverted revision | a superseded version, or a tombstone |
//! | state | `m` | applied position, current and compacted revision |
//! | revisions | `r`, revision | the keys that a revision touched |
//!
//! The history column is ordered by user key, then newest first. For that the user key is made
//! prefix-free without changing its order: a zero byte becomes `00 FF`, and `00 01` ends the key. Revisions
//! are big-endian, in history inverted bit by bit.
//!
//! Keys longer than [`MAX_KEY_BYTES`] are never stored, but may be asked for. They are cut one byte above
//! that length, where they still compare with every stored key as the whole key would.

use bytes::Bytes;

use crate::kv::MAX_KEY_BYTES;

/// The key of the one row of the state column.
pub(super) const STATE: &[u8] = b"m";

const LATEST: u8 = b'c';
const HISTORY: u8 = b'h';
const REVISIONS: u8 = b'r';
const TERMINATOR: [u8; 2] = [0x00, 0x01];
const ESCAPED_ZERO: [u8; 2] = [0x00, 0xFF];

/// Bytes of a latest key before the user key.
pub(super) const LATEST_PREFIX: usize = 1;

/// Bytes of a history key behind the escaped user key.
const HISTORY_SUFFIX: usize = TERMINATOR.len() + size_of::<i64>();

/// The four columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Latest,
    History,
    State,
    Revisions,
}

/// The column of a tree key.
pub(super) fn column(encoded: &[u8]) -> Option<Column> {
    match *encoded.first()? {
        LATEST => Some(Column::Latest),
        HISTORY => Some(Column::History),
        REVISIONS => Some(Column::Revisions),
        _ if encoded == STATE => Some(Column::State),
        _ => None,
    }
}

/// A half-open range of tree keys.
pub(super) type Bounds = (Bytes, Bytes);

/// The user keys that a request names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Span<'a> {
    /// Exactly this key.
    Point(&'a [u8]),
    /// Every key from the first (inclusive) to the second (exclusive); `None` is the end of all keys.
    Range(&'a [u8], Option<&'a [u8]>),
}

impl<'a> Span<'a> {
    /// All keys there are.
    pub(super) const ALL: Self = Self::Range(&[], None);

    /// The span of etcd's pair of key and `range_end`.
    pub(super) fn new(key: &'a [u8], range_end: &'a [u8]) -> Self {
        match range_end {
            [] => Self::Point(key),
            [0] => Self::Range(key, None),
            end => Self::Range(key, Some(end)),
        }
    }

    /// Its part of the latest column; `None` when the span can hold no key.
    pub(super) fn latest(self) -> Option<Bounds> {
        self.bounds(LATEST, latest)
    }

    /// Its part of the history column; `None` when the span can hold no key.
    pub(super) fn history(self) -> Option<Bounds> {
        self.bounds(HISTORY, history_of)
    }

    fn bounds(self, column: u8, encode: impl Fn(&[u8]) -> Bytes) -> Option<Bounds> {
        match self {
            Self::Point(key) if key.len() > MAX_KEY_BYTES => None,
            Self::Point(key) => {
                // The successor of a key is the key with a zero byte behind it.
                let end = [key, &[0]].concat();
                Some((encode(key), encode(&end)))
            }
            Self::Range(start, Some(end)) => (clip(start) < clip(end)).then(|| (encode(start), encode(end))),
            Self::Range(start, None) => Some((encode(start), Bytes::copy_from_slice(&[column + 1]))),
        }
    }
}

fn clip(key: &[u8]) -> &[u8] {
    key.get(..=MAX_KEY_BYTES).unwrap_or(key)
}

/// The key of `user_key` in the latest column.
pub(super) fn latest(user_key: &[u8]) -> Bytes {
    let user_key = clip(user_key);
    let mut encoded = Vec::with_capacity(1 + user_key.len());
    encoded.push(LATEST);
    encoded.extend_from_slice(user_key);
    encoded.into()
}

/// The user key of a key in the latest column, sharing its memory.
pub(super) fn decode_latest(encoded: &Bytes) -> Option<Bytes> {
    (encoded.first() == Some(&LATEST)).then(|| encoded.slice(1..))
}

/// What all keys of `user_key` in the history column begin with.
fn history_of(user_key: &[u8]) -> Bytes {
    history_prefix(clip(user_key)).into()
}

fn history_prefix(user_key: &[u8]) -> Vec<u8> {
    let zeros = user_key.iter().filter(|&&byte| byte == 0).count();
    let mut encoded = Vec::with_capacity(1 + user_key.len() + zeros + HISTORY_SUFFIX);
    encoded.push(HISTORY);
    if zeros == 0 {
        encoded.extend_from_slice(user_key);
    } else {
        for &byte in user_key {
            match byte {
                0 => encoded.extend_from_slice(&ESCAPED_ZERO),
                byte => encoded.push(byte),
            }
        }
    }
    encoded.extend_from_slice(&TERMINATOR);
    encoded
}

/// The key of the version of `user_key` that was written at `revision`, in the history column.
pub(super) fn history(user_key: &[u8], revision: i64) -> Bytes {
    let mut encoded = history_prefix(clip(user_key));
    encoded.extend_from_slice(&(!revision).to_be_bytes());
    encoded.into()
}

/// The keys of `user_key` in the history column that were written at `revision` or before, newest first.
pub(super) fn history_up_to(user_key: &[u8], revision: i64) -> Bounds {
    let mut end = history_prefix(clip(user_key));
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    (history(user_key, revision), end.into())
}

/// User key and revision of a key in the history column.
pub(super) fn decode_history(encoded: &[u8]) -> Option<(Bytes, i64)> {
    let body = encoded.strip_prefix(&[HISTORY])?;
    let (escaped, revision) = body.split_last_chunk::<8>()?;
    let escaped = escaped.strip_suffix(&TERMINATOR)?;
    let revision = !i64::from_be_bytes(*revision);
    if !escaped.contains(&0) {
        return Some((Bytes::copy_from_slice(escaped), revision));
    }
    let mut user_key = Vec::with_capacity(escaped.len());
    let mut rest = escaped.iter();
    while let Some(&byte) = rest.next() {
        if byte == 0 && rest.next() != Some(&ESCAPED_ZERO[1]) {
            return None;
        }
        user_key.push(byte);
    }
    Some((user_key.into(), revision))
}

/// The key of `revision` in the revisions column.
pub(super) fn revision(revision: i64) -> Bytes {
    let mut encoded = [REVISIONS; 9];
    encoded[1..].copy_from_slice(&revision.to_be_bytes());
    Bytes::copy_from_slice(&encoded)
}

/// The revision of a key in the revisions column.
pub(super) fn decode_revision(encoded: &[u8]) -> Option<i64> {
    let body = encoded.strip_prefix(&[REVISIONS])?;
    Some(i64::from_be_bytes(body.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Keys in which zero bytes, the terminator and the escape are frequent.
    fn user_key() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(prop_oneof![Just(0_u8), Just(1), Just(0xFF), any::<u8>()], 0..12)
    }

    proptest! {
        #[test]
        fn a_history_key_decodes_to_what_it_was_made_of(key in user_key(), revision in 0..i64::MAX) {
            prop_assert_eq!(decode_history(&history(&key, revision)), Some((key.into(), revision)));
        }

        #[test]
        fn history_keys_order_by_key_and_then_newest_first(
            a in user_key(), b in user_key(), x in 0..i64::MAX, y in 0..i64::MAX,
        ) {
            prop_assert_eq!(history(&a, x).cmp(&history(&b, y)), a.cmp(&b).then(y.cmp(&x)));
        }

        #[test]
        fn latest_keys_keep_their_order_and_decode(a in user_key(), b in user_key()) {
            prop_assert_eq!(latest(&a).cmp(&latest(&b)), a.cmp(&b));
            prop_assert_eq!(decode_latest(&latest(&a)), Some(a.into()));
        }

        #[test]
        fn a_span_holds_exactly_its_keys(
            key in user_key(), end in user_key(), probe in user_key(), revision in 0..i64::MAX,
        ) {
            let expected = match &*end {
                [] => probe == key,
                [0] => probe >= key,
                end => *probe >= *key && *probe < *end,
            };
            let span = Span::new(&key, &end);
            let holds = |bounds: Option<Bounds>, encoded: Bytes| {
                bounds.is_some_and(|(start, end)| encoded >= start && encoded < end)
            };
            prop_assert_eq!(holds(span.latest(), latest(&probe)), expected);
            prop_assert_eq!(holds(span.history(), history(&probe, revision)), expected);
        }

        #[test]
        fn history_up_to_holds_the_older_versions_of_one_key(
            key in user_key(), probe in user_key(), at in 0..i64::MAX, revision in 0..i64::MAX,
        ) {
            let (start, end) = history_up_to(&key, at);
            let encoded = history(&probe, revision);
            prop_assert_eq!(encoded >= start && encoded < end, probe == key && revision <= at);
        }

        #[test]
        fn revisions_keep_their_order_and_decode(x in 0..i64::MAX, y in 0..i64::MAX) {
            prop_assert_eq!(revision(x).cmp(&revision(y)), x.cmp(&y));
            prop_assert_eq!(decode_revision(&revision(x)), Some(x));
        }

        #[test]
        fn arbitrary_bytes_never_decode_to_another_key(bytes in prop::collection::vec(any::<u8>(), 0..24)) {
            if let Some((key, revision)) = decode_history(&bytes) {
                prop_assert_eq!(history(&key, revision), bytes);
            }
        }
    }

    #[test]
    fn over_long_keys_compare_as_they_would_in_full() {
        let stored = vec![7_u8; MAX_KEY_BYTES];
        let mut above = stored.clone();
        above.extend_from_slice(&[0; 40_000]);
        assert!(latest(&above) > latest(&stored));
        assert!(history(&above, 1).len() <= usize::from(u16::MAX));
        let mut below = stored.clone();
        below[MAX_KEY_BYTES - 1] = 6;
        below.extend_from_slice(&[0xFF; 40_000]);
        assert!(latest(&below) < latest(&stored));
        let worst = vec![0_u8; 100_000];
        assert!(history(&worst, 1).len() <= usize::from(u16::MAX));
    }
}
