//! Fingerprint of what can be read at one revision.
//!
//! Every field of every key is hashed, in key order, each of variable length behind its length, so that two
//! contents with one hash are equal but for an accident of one in 2^64. Only answers are hashed, never rows:
//! the fingerprint depends on neither the tree's shape nor its encodings.

use xxhash_rust::xxh3::Xxh3;

use super::columns::Span;
use super::read::Readable;
use super::scan::Scan;
use super::source::Source;
use crate::Result;
use crate::node::ContentHash;

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
        let mut hasher = Xxh3::new();
        let mut keys = 0;
        for kv in self.scan {
            let kv = kv?;
            for bytes in [&kv.key, &kv.value] {
                hasher.update(&(bytes.len() as u64).to_le_bytes());
                hasher.update(bytes);
            }
            for number in [kv.create_revision, kv.mod_revision, kv.version, kv.lease] {
                hasher.update(&number.to_le_bytes());
            }
            keys += 1;
        }
        Ok(ContentHash {
            hash: hasher.digest(),
            revision: self.at,
            compact_revision: self.readable.compacted.max(0),
            keys,
        })
    }
}
