//! Fingerprint of what can be read at one revision.
//!
//! Every field of every key is hashed, in key order, each of variable length behind its length, so that two
//! contents with one hash are equal but for an accident of one in 2^64. Only answers are hashed, never rows:
//! the fingerprint depends on neither the tree's shape nor its encodings, and whoever knows what should be
//! readable can compute it with [`ContentHasher`].

use xxhash_rust::xxh3::Xxh3;

use super::columns::Span;
use super::read::Readable;
use super::scan::Scan;
use super::source::Source;
use crate::Result;
use crate::kv::KeyValue;
use crate::node::ContentHash;

/// Computes the fingerprint of a content from its keys.
#[derive(Clone, Default)]
pub struct ContentHasher {
    hasher: Xxh3,
    keys: u64,
}

impl std::fmt::Debug for ContentHasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ContentHasher").field("keys", &self.keys).finish_non_exhaustive()
    }
}

impl ContentHasher {
    /// Takes the next key, in key order, into account.
    pub fn push(&mut self, kv: &KeyValue) {
        for bytes in [&kv.key, &kv.value] {
            self.hasher.update(&(bytes.len() as u64).to_le_bytes());
            self.hasher.update(bytes);
        }
        for number in [kv.create_revision, kv.mod_revision, kv.version, kv.lease] {
            self.hasher.update(&number.to_le_bytes());
        }
        self.keys += 1;
    }

    /// The fingerprint of the keys taken so far.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hasher.digest()
    }
}

/// The keys to be hashed, opened in the gate and walked outside of it.
pub(super) struct Opened {
    scan: Scan,
    at: i64,
    readable: Readable,
}

/// Opens everything at `revision`; 0 and less stand for the newest.
pub(super) fn open(source: Source<'_>, readable: Readable, revision: i64) -> Result<Opened> {
    let at = readable.resolve(revision)?;
    Ok(Opened { scan: Scan::open(source, Span::ALL, at, readable.current)?, at, readable })
}

impl Opened {
    /// Walks and hashes.
    pub(super) fn hash(self) -> Result<ContentHash> {
        let mut hasher = ContentHasher::default();
        for kv in self.scan {
            hasher.push(&kv?);
        }
        Ok(ContentHash {
            hash: hasher.hash(),
            revision: self.at,
            compact_revision: self.readable.compacted.max(0),
            keys: hasher.keys,
        })
    }
}
