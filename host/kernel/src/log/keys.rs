//! Keys of the log's keyspace: a column byte, the volume, and an index or the name of a state item.
//!
//! Everything shares one keyspace. With two, the rarely written one would hold every sealed journal of fjall
//! alive until its own small memtable was flushed.

use bytes::Bytes;

use crate::node::VolumeId;

/// A key: column, volume and index, the numbers big-endian so that byte order is numeric order.
pub type Key = [u8; 17];

const ENTRY: u8 = b'e';
const STATE: u8 = b's';

/// Key of the mark in the journals that says that everything before it is durable; see `journal`. Its text is
/// what it says, so that nothing else looks like it.
pub(super) const SYNCED: Key = *b"durable up to now";

/// What is kept per volume besides entries. The numbers are part of the disk format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Item {
    /// The last vote.
    Vote = 1,
    /// The last index known to be committed; a hint that may lag.
    Committed = 2,
    /// Everything up to here is gone or on its way out.
    Purged = 3,
}

fn key(column: u8, volume: VolumeId, last: u64) -> Key {
    let mut key = [0; 17];
    key[0] = column;
    key[1..9].copy_from_slice(&volume.0.to_be_bytes());
    key[9..].copy_from_slice(&last.to_be_bytes());
    key
}

/// Key of one entry.
pub(super) fn entry(volume: VolumeId, index: u64) -> Key {
    key(ENTRY, volume, index)
}

/// Key of one state item.
pub(super) fn state(volume: VolumeId, item: Item) -> Key {
    key(STATE, volume, item as u64)
}

/// Whether it is the key of an entry.
pub(super) fn is_entry(key: &Key) -> bool {
    key[0] == ENTRY
}

/// Whether it is the key of a vote.
pub(super) fn is_vote(key: &Key) -> bool {
    key[0] == STATE && key[9..] == (Item::Vote as u64).to_be_bytes()
}

/// The index in an entry's key; `None` when the key is not one of ours.
pub(super) fn index_of(key: &[u8]) -> Option<u64> {
    let key: &Key = key.try_into().ok()?;
    (key[0] == ENTRY).then(|| u64::from_be_bytes(key[9..].try_into().unwrap_or_default()))
}

/// An entry as it is stored.
pub(super) type StoredEntry = (u64, Bytes);
