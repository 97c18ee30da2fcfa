//! The newest entries of one volume's log, in memory.
//!
//! Raft demands that an entry can be read as soon as it was handed over, before it is durable, and reads most
//! entries exactly once, right afterwards, to apply them. The tail serves both without touching the disk: it
//! holds every entry that is not durable yet and, beyond that, a window of recent ones bounded by bytes.

use std::collections::VecDeque;
use std::ops::Range;

/// Recent entries `first..end`, without holes.
#[derive(Debug)]
pub struct Tail<T> {
    first: u64,
    entries: VecDeque<(T, usize)>,
    bytes: usize,
    limit: usize,
    /// Entries below this index may be dropped from memory.
    durable_end: u64,
}

impl<T: Clone> Tail<T> {
    /// An empty tail that keeps `limit` bytes of durable entries.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { first: 0, entries: VecDeque::new(), bytes: 0, limit, durable_end: 0 }
    }

    fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// Appends an entry of this stored size. A hole to what is there empties the tail first.
    pub fn push(&mut self, index: u64, entry: T, bytes: usize) {
        if self.entries.is_empty() || index != self.end() {
            self.clear();
            self.first = index;
        }
        self.entries.push_back((entry, bytes));
        self.bytes += bytes;
    }

    /// Entries below `end` are durable now.
    pub fn durable(&mut self, end: u64) {
        self.durable_end = self.durable_end.max(end);
        while self.bytes > self.limit && self.first < self.durable_end && self.entries.len() > 1 {
            self.drop_front();
        }
    }

    /// Drops entries from `index` on.
    pub fn truncate(&mut self, index: u64) {
        while self.end() > index
            && let Some((_, bytes)) = self.entries.pop_back()
        {
            self.bytes -= bytes;
        }
        self.durable_end = self.durable_end.min(index);
    }

    /// Drops entries up to and including `index`.
    pub fn purge(&mut self, index: u64) {
        while self.first <= index && !self.entries.is_empty() {
            self.drop_front();
        }
    }

    /// The part of `range` that is in memory, which is always its upper end, and the part that has to be
    /// read from disk first.
    #[must_use]
    pub fn read(&self, range: Range<u64>) -> (Range<u64>, Vec<T>) {
        let start = range.start.max(self.first);
        let end = range.end.min(self.end());
        if self.entries.is_empty() || start >= end {
            return (range, Vec::new());
        }
        let (from, to) = ((start - self.first) as usize, (end - self.first) as usize);
        let found = self.entries.range(from..to).map(|(entry, _)| entry.clone()).collect();
        (range.start..start, found)
    }

    /// Bytes held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn drop_front(&mut self) {
        if let Some((_, bytes)) = self.entries.pop_front() {
            self.bytes -= bytes;
            self.first += 1;
        }
    }

    fn clear(&mut self) {
        self.entries.clear();
        self.bytes = 0;
    }
}
