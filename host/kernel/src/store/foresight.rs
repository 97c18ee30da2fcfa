//! The values whose order a transaction asks for, as far as they can be told before it is applied.
//!
//! They are gathered on the side of the request, to be decoded there (see [`crate::format`]): all that its
//! guards and sorts may look at, in either branch. When it is applied, only what was written since is left to
//! decode. How many there may be is bounded, because all of them are in memory at once, and because that is
//! what its codec can be asked for at most while other writers wait.

use std::collections::HashSet;

use bytes::Bytes;

use super::handle::Store;
use super::read::{self, Readable};
use super::reading::Wanted;
use super::scan::Scan;
use super::source::Source;
use crate::kv::{Command, Compare, Op, RangeRequest, SortTarget, TxnRequest, needs_order_of_values};
use crate::{Error, ErrorKind, Result};

/// Most different values whose order one transaction may ask for, where a codec has to decode them.
pub const MOST_ORDERED_VALUES: usize = 4096;

/// Most bytes of those, as they are stored.
pub const MOST_ORDERED_BYTES: usize = 4 * 1024 * 1024;

/// The stored values whose order a command in stored form asks for, each once.
pub(super) fn ordered_values(store: &Store, wanted: &Wanted, command: &Command) -> Result<Vec<Bytes>> {
    let Command::Txn(txn) = command else { return Ok(Vec::new()) };
    let mut gathered = Gathered { store, wanted, values: HashSet::new(), bytes: 0 };
    gathered.txn(txn)?;
    Ok(gathered.values.into_iter().collect())
}

struct Gathered<'a> {
    store: &'a Store,
    wanted: &'a Wanted,
    values: HashSet<Bytes>,
    bytes: usize,
}

impl Gathered<'_> {
    fn txn(&mut self, txn: &TxnRequest) -> Result<()> {
        for compare in txn.compare.iter().filter(|compare| needs_order_of_values(compare)) {
            self.compare(compare)?;
        }
        for op in txn.success.iter().chain(&txn.failure) {
            match op {
                Op::Range(range) if range.sort_target == SortTarget::Value => self.range(range)?,
                Op::Txn(nested) => self.txn(nested)?,
                Op::Range(_) | Op::Put(_) | Op::DeleteRange(_) => {}
            }
        }
        Ok(())
    }

    fn compare(&mut self, compare: &Compare) -> Result<()> {
        let scan = self.open(|source, readable| read::open_compare(source, compare, readable))?;
        self.take(scan, usize::MAX)
    }

    fn range(&mut self, range: &RangeRequest) -> Result<()> {
        match self.open(|source, readable| read::open(source, range, readable)) {
            // Its revision cannot be read, which it is told when it is applied.
            Err(refused) if refused.kind() == ErrorKind::InvalidArgument => Ok(()),
            scan => self.take(scan?, read::most_fetched(range)),
        }
    }

    fn open(&self, open: impl FnOnce(Source<'_>, Readable) -> Result<Scan>) -> Result<Scan> {
        let passage = self.store.gate.enter();
        let source = Source::at(&self.store.tree, passage.view.seqno).wanted(self.wanted);
        open(source, Readable::from(passage.view))
    }

    fn take(&mut self, scan: Scan, most: usize) -> Result<()> {
        for kv in scan.take(most) {
            let value = kv?.value;
            if self.values.contains(&value) {
                continue;
            }
            self.bytes += value.len();
            // It may be a slice of a table's block, which must not live as long as a request.
            self.values.insert(Bytes::copy_from_slice(&value));
            if self.values.len() > MOST_ORDERED_VALUES || self.bytes > MOST_ORDERED_BYTES {
                return Err(Error::TooManyValues { values: MOST_ORDERED_VALUES, bytes: MOST_ORDERED_BYTES });
            }
        }
        Ok(())
    }
}
