//! Fingerprint of what can be read at one revision.
//!
//! Every key is hashed with all its fields, each of variable length behind its length, and the hashes are
//! added up, so that two contents with one fingerprint are equal but for an accident of one in 2^64. Only
//! answers are hashed, in user form, never rows, and a sum has no order: the fingerprint depends on neither
//! the tree's shape nor its format, and whoever knows what should be readable can compute it with
//! [`ContentHasher`].

use xxhash_rust::xxh3::Xxh3;

use super::columns::Span;
use super::read::Readable;
use super::scan::Scan;
use super::source::Source;
use crate::Result;
use crate::format::{Coder, Meter};
use crate::kv::KeyValue;
use crate::node::ContentHash;

/// Computes the fingerprint of a content from its keys.
#[derive(Clone, Debug, Default)]
pub struct ContentHasher {
    /// The sum, modulo 2^64, of each key's XXH3-64.
    sum: u64,
    keys: u64,
}

impl ContentHasher {
    /// Takes a key into account; the order of keys is of no consequence.
    pub fn push(&mut self, kv: &KeyValue) {
        let mut hasher = Xxh3::new();
        for bytes in [&kv.key, &kv.value] {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        }
        for number in [kv.create_revision, kv.mod_revision, kv.version, kv.lease] {
            hasher.update(&number.to_le_bytes());
        }
        self.sum = self.sum.wrapping_add(hasher.digest());
        self.keys += 1;
    }

    /// The fingerprint of the keys taken so far.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.sum
    }
}

/// The keys to be hashed, opened and not yet walked.
pub(super) struct Opened {
    kvs: Box<dyn Iterator<Item = Result<KeyValue>> + Send>,
    at: i64,
    readable: Readable,
}

/// Opens everything at `revision`; 0 and less stand for the newest. The caller stands in the gate.
pub(super) fn open(source: Source<'_>, readable: Readable, revision: i64) -> Result<Opened> {
    let at = readable.resolve(revision)?;
    let scan = Scan::open(source, Span::ALL, at, readable.current)?;
    Ok(Opened { kvs: Box::new(scan), at, readable })
}

/// Keys that are decoded together.
const BATCH: usize = 512;

impl Opened {
    /// The latest versions of all keys, which come from elsewhere.
    pub(super) fn latest(
        kvs: impl Iterator<Item = Result<KeyValue>> + Send + 'static,
        readable: Readable,
    ) -> Self {
        Self { kvs: Box::new(kvs), at: readable.current, readable }
    }

    /// Walks and hashes. `each` is told the bytes of every few keys, and may end this.
    pub(super) fn hash(
        mut self,
        coder: &Coder,
        each: &mut dyn FnMut(u64) -> Result<()>,
    ) -> Result<ContentHash> {
        let mut hasher = ContentHasher::default();
        loop {
            let mut batch = self.kvs.by_ref().take(BATCH).collect::<Result<Vec<_>>>()?;
            if batch.is_empty() {
                break;
            }
            coder.decode_kvs(&mut batch, Meter::of_long_work())?;
            batch.iter().for_each(|kv| hasher.push(kv));
            each(batch.iter().map(|kv| (kv.key.len() + kv.value.len()) as u64).sum())?;
        }
        Ok(ContentHash {
            hash: hasher.hash(),
            revision: self.at,
            compact_revision: self.readable.compacted.max(0),
            keys: hasher.keys,
        })
    }
}
