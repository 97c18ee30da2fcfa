//! The log as its users see it.
//!
//! Changes of one volume take effect in the order in which they were asked for. An append reports to its
//! [`Completion`] and the waiting calls return when the change is durable; purges and hints report nothing,
//! and a crash may lose them. Giving up a wait takes nothing back. Asking for a change never blocks; reads,
//! [`Log::attach`] and [`Log::close`] wait for the disk and belong on threads that may.
//!
//! Reads see durable entries only; whoever needs younger ones keeps them in a [`Tail`](super::Tail). After a
//! failure every change fails with [`LogFailure`], and reads go on.
//!
//! The bytes of entries, votes and marks belong to the raft layer and are not interpreted here.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use bytes::Bytes;
use fjall::{Database, Keyspace};
use parking_lot::Mutex;

use super::fjall_sink::{self, FjallSink};
use super::keys::{self, Item, StoredEntry};
use super::queue::{Change, Completion, LogFailure, Queue, Request};
use super::room::Room;
use super::writer::{Sink, Writer};
use crate::node::VolumeId;
use crate::seams::{SharedDisk, SystemDisk};
use crate::{Error, Result};

/// What a log is opened with.
#[derive(Clone)]
pub struct LogConfig {
    /// Directory of the database; created when missing.
    pub path: PathBuf,
    /// Whether there has to be a database already, because there are volumes.
    pub must_exist: bool,
    /// Memtable of the database, in bytes.
    pub memtable_bytes: u64,
    /// Its block cache, in bytes. Entries are rarely read from disk.
    pub cache_bytes: u64,
    /// Tells how much space the disk has left.
    pub disk: SharedDisk,
}

impl fmt::Debug for LogConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogConfig").field("path", &self.path).finish_non_exhaustive()
    }
}

impl LogConfig {
    /// The defaults, at `path`.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            must_exist: false,
            memtable_bytes: 32 * 1024 * 1024,
            cache_bytes: 8 * 1024 * 1024,
            disk: Arc::new(SystemDisk),
        }
    }
}

/// What the log holds for a volume when the volume is attached. The bytes are the raft layer's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogState {
    /// The last vote.
    pub vote: Option<Bytes>,
    /// The last commit hint.
    pub committed: Option<Bytes>,
    /// The mark of the last purge.
    pub purged: Option<Bytes>,
    /// The last entry.
    pub last: Option<StoredEntry>,
}

struct Reader {
    /// Keeps the database open. Fields drop in order: the keyspace's handle goes first.
    keyspace: Keyspace,
    database: Database,
}

/// The raft log of all volumes of a node.
pub struct Log {
    queue: Arc<Queue>,
    path: PathBuf,
    reader: Mutex<Option<Arc<Reader>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Log {
    /// Opens or creates the log and starts its writer thread.
    ///
    /// # Errors
    /// The database is in use, of an unknown format, or damaged.
    pub fn open(config: LogConfig) -> Result<Arc<Self>> {
        Self::open_with(config, |sink| sink)
    }

    /// Like [`Log::open`], with a sink of the caller's around or instead of the database's, so that a test
    /// can count, stall or fail what the disk does.
    ///
    /// # Errors
    /// As for [`Log::open`].
    pub fn open_with<S: Sink>(config: LogConfig, wrap: impl FnOnce(Box<dyn Sink>) -> S) -> Result<Arc<Self>> {
        let (database, keyspace) = fjall_sink::open(&config.path, config.cache_bytes, config.must_exist)?;
        let queue = Arc::new(Queue::default());
        let room = Room::new(config.disk, config.path.clone());
        let fjall = FjallSink::new(database.clone(), keyspace.clone(), config.memtable_bytes, room.clone())?;
        let writer = Writer::new(Arc::clone(&queue), wrap(Box::new(fjall)), room);
        let thread = std::thread::Builder::new()
            .name("mortise-log".into())
            .spawn(move || writer.run())
            .map_err(|source| Error::Io { context: "starting the raft log's writer".into(), source })?;
        Ok(Arc::new(Self {
            queue,
            path: config.path,
            reader: Mutex::new(Some(Arc::new(Reader { keyspace, database }))),
            writer: Mutex::new(Some(thread)),
        }))
    }

    /// Appends entries of a volume, in order of their consecutive indices. They can be read from here only
    /// when they are durable; see [`super::Tail`].
    pub fn append(&self, volume: VolumeId, entries: Vec<StoredEntry>, done: Completion) {
        self.push(volume, Change::Append(entries), Some(done));
    }

    /// Stores a vote.
    ///
    /// # Errors
    /// The log has failed or is closed.
    pub async fn save_vote(&self, volume: VolumeId, vote: Bytes) -> Result<(), LogFailure> {
        self.push_and_wait(volume, Change::Vote(vote)).await
    }

    /// Remembers, with the next group that is written anyway, how far the log is known to be committed.
    pub fn hint_committed(&self, volume: VolumeId, mark: Bytes) {
        self.queue.hint(volume, mark);
    }

    /// Removes entries `from..=last`.
    ///
    /// # Errors
    /// The log has failed or is closed.
    pub async fn truncate(&self, volume: VolumeId, from: u64, last: u64) -> Result<(), LogFailure> {
        self.push_and_wait(volume, Change::Truncate { from, last }).await
    }

    /// Remembers `mark` and removes entries `from..=upto` in the background. A crash may lose the mark, and
    /// with it the purge, which the raft layer then asks for again.
    pub fn purge(&self, volume: VolumeId, mark: Bytes, from: u64, upto: u64) {
        self.push(volume, Change::Purge { mark, from, upto }, None);
    }

    /// Reads what is stored for a volume and resumes purges that were cut short. `purged_index` reads the
    /// index out of a purge mark.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn attach(&self, volume: VolumeId, purged_index: impl Fn(&Bytes) -> Result<u64>) -> Result<LogState> {
        let reader = self.reader()?;
        let get = |item| -> Result<Option<Bytes>> {
            let value = reader.keyspace.get(keys::state(volume, item)).map_err(unreadable)?;
            Ok(value.map(|value| Bytes::copy_from_slice(&value)))
        };
        let mut state = LogState {
            vote: get(Item::Vote)?,
            committed: get(Item::Committed)?,
            purged: get(Item::Purged)?,
            last: None,
        };
        if let Some(mark) = &state.purged {
            let upto = purged_index(mark)?;
            if let Some((first, _)) = self.read(volume, 0, upto, 0)?.first() {
                self.purge(volume, mark.clone(), *first, upto);
            }
            state.last = self.last(volume, upto.saturating_add(1))?;
        } else {
            state.last = self.last(volume, 0)?;
        }
        Ok(state)
    }

    fn last(&self, volume: VolumeId, from: u64) -> Result<Option<StoredEntry>> {
        let range = keys::entry(volume, from)..=keys::entry(volume, u64::MAX);
        let reader = self.reader()?;
        reader.keyspace.range(range).next_back().map(stored).transpose()
    }

    /// Durable entries `from..=last` in order, as many as there are, stopping once `max_bytes` are exceeded;
    /// at least one when there is one.
    ///
    /// # Errors
    /// The database cannot be read, or a key is damaged.
    pub fn read(&self, volume: VolumeId, from: u64, last: u64, max_bytes: usize) -> Result<Vec<StoredEntry>> {
        let reader = self.reader()?;
        let mut found = Vec::new();
        let mut bytes = 0;
        for guard in reader.keyspace.range(keys::entry(volume, from)..=keys::entry(volume, last)) {
            let (index, value) = stored(guard)?;
            bytes += value.len();
            found.push((index, value));
            if bytes > max_bytes || max_bytes == 0 {
                break;
            }
        }
        Ok(found)
    }

    /// Removes everything of a volume, which nobody may be using any more.
    ///
    /// # Errors
    /// The database cannot be read, or the log has failed or is closed.
    pub async fn forget(&self, volume: VolumeId) -> Result<()> {
        const PORTION: usize = 1024;
        self.queue.drop_hint(volume);
        loop {
            let entries = self.entry_keys(volume, PORTION)?;
            let last = entries.len() < PORTION;
            self.push_and_wait(volume, Change::Erase(entries)).await?;
            if last {
                // The state items go last: what a crash leaves before is still recognisable as a volume's.
                let items = [Item::Vote, Item::Committed, Item::Purged].map(|item| keys::state(volume, item));
                return Ok(self.push_and_wait(volume, Change::Erase(items.into())).await?);
            }
        }
    }

    /// Up to `most` keys of a volume's entries.
    fn entry_keys(&self, volume: VolumeId, most: usize) -> Result<Vec<keys::Key>> {
        let reader = self.reader()?;
        let entries = keys::entry(volume, 0)..=keys::entry(volume, u64::MAX);
        let mut found = Vec::new();
        for guard in reader.keyspace.range(entries).take(most) {
            let key = guard.key().map_err(unreadable)?;
            let index = keys::index_of(&key).ok_or_else(|| damaged_key(&key))?;
            found.push(keys::entry(volume, index));
        }
        Ok(found)
    }

    /// Why the log takes no more writes, once it does not.
    #[must_use]
    pub fn failure(&self) -> Option<LogFailure> {
        self.queue.failure()
    }

    /// Bytes that the database takes on disk.
    ///
    /// # Errors
    /// The log is closed or the file system does not answer.
    pub fn disk_bytes(&self) -> Result<u64> {
        self.reader()?.database.disk_space().map_err(unreadable)
    }

    /// Writes what waits, stops the writer and closes the database. Later changes are refused. Blocking.
    pub fn close(&self) {
        self.queue.close();
        // The last owner of the log may be a completion that the writer itself runs; it ends right after.
        if let Some(writer) = self.writer.lock().take()
            && writer.thread().id() != std::thread::current().id()
            && writer.join().is_err()
        {
            tracing::error!("the raft log's writer panicked");
        }
        self.reader.lock().take();
    }

    fn reader(&self) -> Result<Arc<Reader>> {
        self.reader.lock().clone().ok_or(Error::ShuttingDown("the raft log"))
    }

    fn push(&self, volume: VolumeId, change: Change, done: Option<Completion>) {
        self.queue.push(Request { volume, change, done });
    }

    async fn push_and_wait(&self, volume: VolumeId, change: Change) -> Result<(), LogFailure> {
        let (done, durable) = tokio::sync::oneshot::channel();
        let done = Box::new(move |result| {
            // The waiter may have given up; the change stands all the same.
            drop(done.send(result));
        });
        self.push(volume, change, Some(done));
        durable.await.unwrap_or_else(|_| Err(LogFailure::new("its writer stopped")))
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.close();
    }
}

#[expect(clippy::needless_pass_by_value, reason = "a shape for map_err")]
fn unreadable(error: fjall::Error) -> Error {
    Error::Storage { context: "reading the raft log", detail: error.to_string() }
}

fn damaged_key(key: &[u8]) -> Error {
    Error::Storage { context: "reading the raft log", detail: format!("an entry has the key {key:02x?}") }
}

fn stored(guard: fjall::Guard) -> Result<StoredEntry> {
    let (key, value) = guard.into_inner().map_err(unreadable)?;
    let index = keys::index_of(&key).ok_or_else(|| damaged_key(&key))?;
    Ok((index, Bytes::copy_from_slice(&value)))
}
