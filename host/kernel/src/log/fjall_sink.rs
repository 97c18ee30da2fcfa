//! The log's fjall database: how it is configured, and how batches get into it.
//!
//! Configuration, from fjall 3.1.13's source. `commit` holds the journal lock while it writes the batch and
//! fills the memtable, `persist` while it waits for the disk; both are only called by the writer thread, so
//! nobody queues at that lock. A commit stalls (it sleeps) when four sealed memtables wait or level 0 has 30
//! runs; one worker thread keeps far ahead of that at any rate that a single disk can sync. More than one
//! would spin: with two, the first hands every compaction message back until the other takes it. Memtables
//! are sealed here, by bytes written, and never at fjall's own limit: beyond that every commit would send the
//! worker a message, and a worker that finds its bounded queue full when it sends one itself waits for ever
//! (fjall pull request 323). Journals
//! are not compressed, because that would lengthen every append. They are deleted once the memtable that
//! they protect is flushed, so that log files take about three memtables plus what is not purged.
//!
//! The first batch after a sync begins with a *mark*, and a log that was closed ends with one: everything
//! before it is durable. By it `journal` tells damage from what a crash has torn.

use std::path::Path;

use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::queue::DISK_FULL;
use super::room::Room;
use super::writer::{Sink, Write};
use super::{examine, journal, keys};
use crate::{Error, Result, manifest, seams};

/// Smallest limit that fjall accepts. It is reached never: there is one keyspace, flushed at 32 MiB.
const JOURNAL_BYTES: u64 = 128 * 1024 * 1024;

fn failed(context: &'static str) -> impl Fn(fjall::Error) -> Error {
    move |error| Error::Storage { context, detail: error.to_string() }
}

/// Sorts the reasons why a database does not open.
fn refused(path: &Path, error: fjall::Error) -> Error {
    let path = path.to_path_buf();
    match error {
        fjall::Error::Locked => Error::DirectoryInUse(path),
        fjall::Error::InvalidVersion(found) => {
            Error::UnknownFormat { path, found: format!("{found:?}"), expected: "fjall 3".into() }
        }
        fjall::Error::Io(source) | fjall::Error::Storage(fjall::LsmError::Io(source)) => {
            Error::Io { context: format!("opening the raft log {}", path.display()), source }
        }
        other => Error::Corrupt { path, detail: format!("the raft log does not open: {other}") },
    }
}

/// Opens or creates the database. What the library would believe as it is, is checked before: whether there
/// is a database at all, which there has to be if it `must_exist`, the manifests, and the journals.
pub(super) fn open(path: &Path, cache_bytes: u64, must_exist: bool) -> Result<(Database, Keyspace)> {
    examine::expect(path, must_exist)?;
    for tree in examine::trees(path)? {
        manifest::check(&tree)?;
    }
    journal::repair(path)?;
    let database = Database::builder(path)
        .worker_threads(1)
        .cache_size(cache_bytes)
        .max_cached_files(Some(64))
        .max_journaling_size(JOURNAL_BYTES)
        .journal_compression(CompressionType::None)
        .manual_journal_persist(true)
        .open()
        .map_err(|error| refused(path, error))?;
    let options = || {
        KeyspaceCreateOptions::default()
            .max_memtable_size(u64::MAX)
            .manual_journal_persist(true)
            .data_block_compression_policy(fjall::config::CompressionPolicy::disabled())
    };
    let keyspace =
        database.keyspace("log", options).map_err(failed("opening the keyspace of the raft log"))?;
    Ok((database, keyspace))
}

/// What an entry of a memtable takes beside its key and value, about.
const ENTRY_BYTES: u64 = 64;

pub(super) struct FjallSink {
    database: Database,
    keyspace: Keyspace,
    room: Room,
    memtable_bytes: u64,
    /// Bytes written since the memtable was last sealed.
    unsealed: u64,
    /// Value of this log's marks. No client knows it, so none can write what looks like one.
    secret: journal::Secret,
    end: End,
}

/// What is known of the end of the journals.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// It is durable.
    Durable,
    /// It was written.
    Written,
    /// A write or sync has failed. Nothing may follow.
    Unknown,
}

impl FjallSink {
    /// A sink that seals memtables of `memtable_bytes`. What recovery left in memory counts as a full one.
    pub(super) fn new(
        database: Database,
        keyspace: Keyspace,
        memtable_bytes: u64,
        room: Room,
    ) -> Result<Self> {
        let known = keyspace.get(keys::SYNCED).map_err(failed("reading the mark of the raft log"))?;
        let secret = match known.and_then(|known| journal::Secret::try_from(&*known).ok()) {
            Some(known) => known,
            None => seams::random_id()?.to_be_bytes(),
        };
        // Opening has synced whatever the journals hold.
        let end = End::Durable;
        Ok(Self { database, keyspace, room, memtable_bytes, unsealed: memtable_bytes, secret, end })
    }

    /// Leaves a mark at the end, so that later damage to what was written last is not taken for its torn end.
    fn mark_the_end(&mut self) -> Result<(), String> {
        self.sync()?;
        let mut mark = self.database.batch();
        mark.insert(&self.keyspace, keys::SYNCED, self.secret);
        mark.commit().map_err(|error| failure(&error))
    }

    fn seal_when_full(&mut self) -> Result<(), String> {
        if self.unsealed >= self.memtable_bytes && self.room.has(self.unsealed) {
            self.keyspace.rotate_memtable().map_err(|error| failure(&error))?;
            self.unsealed = 0;
        }
        Ok(())
    }
}

/// What went wrong, as text; a full disk is told from all else.
fn failure(error: &fjall::Error) -> String {
    match error {
        fjall::Error::Io(source) | fjall::Error::Storage(fjall::LsmError::Io(source))
            if source.kind() == std::io::ErrorKind::StorageFull =>
        {
            format!("{DISK_FULL} ({source})")
        }
        other => other.to_string(),
    }
}

impl Sink for FjallSink {
    fn write(&mut self, batch: Vec<Write>) -> Result<(), String> {
        let mut writes = self.database.batch();
        if std::mem::replace(&mut self.end, End::Unknown) == End::Durable {
            self.unsealed += ENTRY_BYTES;
            writes.insert(&self.keyspace, keys::SYNCED, self.secret);
        }
        for write in batch {
            self.unsealed += ENTRY_BYTES;
            match write {
                Write::Put(key, value) => {
                    self.unsealed += value.len() as u64;
                    writes.insert(&self.keyspace, key, &*value);
                }
                Write::Remove(key) => writes.remove(&self.keyspace, key),
            }
        }
        writes.commit().map_err(|error| failure(&error))?;
        self.end = End::Written;
        self.seal_when_full()
    }

    fn sync(&mut self) -> Result<(), String> {
        let end = std::mem::replace(&mut self.end, End::Unknown);
        self.database.persist(PersistMode::SyncData).map_err(|error| failure(&error))?;
        if end != End::Unknown {
            self.end = End::Durable;
        }
        Ok(())
    }

    /// fjall writes a batch with one call, within which nothing can be called; so the batch is written to the
    /// end, and then its second half is taken away again.
    #[cfg(feature = "fault-points")]
    fn tear(&mut self) -> Result<(), String> {
        self.database.persist(PersistMode::Buffer).map_err(|error| failure(&error))?;
        // A keyspace lies in a folder of its own, two levels below the journals.
        let folder = self.keyspace.path().ancestors().nth(2).ok_or("the log has no folder")?;
        journal::tear(folder).map_err(|error| error.to_string())
    }
}

impl Drop for FjallSink {
    fn drop(&mut self) {
        if self.end != End::Unknown
            && !std::thread::panicking()
            && self.room.has(0)
            && let Err(error) = self.mark_the_end()
        {
            tracing::debug!(error, "the raft log ends without a mark");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::log::keys;
    use crate::node::VolumeId;
    use crate::seams::DiskSpace;

    struct Disk(AtomicU64);

    impl DiskSpace for Disk {
        fn free_bytes(&self, _path: &Path) -> io::Result<u64> {
            Ok(self.0.load(Ordering::SeqCst))
        }
    }

    #[test]
    fn a_memtable_is_sealed_only_when_its_flush_will_fit() {
        let dir = tempfile::tempdir().unwrap();
        let (database, keyspace) = open(&dir.path().join("log"), 1 << 20, false).unwrap();
        let disk = Arc::new(Disk(AtomicU64::new(2 << 20)));
        let room = Room::new(Arc::<Disk>::clone(&disk), dir.path().to_path_buf());
        let mut sink = FjallSink::new(database, keyspace, 1 << 20, room).unwrap();
        let mut put = |index, expected: std::ops::Range<u64>| {
            sink.write(vec![Write::Put(keys::entry(VolumeId(1), index), vec![7; 64 << 10].into())]).unwrap();
            assert!(expected.contains(&sink.unsealed), "{} bytes are not sealed", sink.unsealed);
        };
        put(1, (1 << 20)..(2 << 20));
        put(2, (1 << 20)..(2 << 20));
        disk.0.store(1 << 40, Ordering::SeqCst);
        put(3, 0..1);
        put(4, 1..(1 << 20));
    }
}
