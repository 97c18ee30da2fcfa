//! Damaged journals are refused, torn ones open with what they hold.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::tests::{completion, seed};
use super::{Log, LogConfig};
use crate::node::VolumeId;

const VOLUME: VolumeId = VolumeId(1);
const ENTRIES: u64 = 40;

/// A closed log with entries, each synced on its own, and its journal with the number of bytes in use.
async fn written() -> (tempfile::TempDir, PathBuf, usize) {
    let dir = tempfile::tempdir().expect("a directory");
    let log = Log::open(LogConfig::new(dir.path())).expect("opens");
    for index in 1..=ENTRIES {
        let (done, outcome) = completion();
        log.append(VOLUME, vec![(index, Bytes::from(format!("value {index}")))], done);
        outcome.await.expect("completed").expect("durable");
    }
    log.close();
    drop(log);
    let journal = journal_in(dir.path());
    let bytes = fs::read(&journal).expect("readable");
    let used = bytes.iter().rposition(|byte| *byte != 0).expect("something was written") + 1;
    (dir, journal, used)
}

fn journal_in(folder: &Path) -> PathBuf {
    let files = fs::read_dir(folder).expect("readable").map(|file| file.expect("readable").path());
    let mut journals = files.filter(|path| path.extension().is_some_and(|it| it == "jnl"));
    let journal = journals.next().expect("a journal");
    assert_eq!(journals.next(), None, "one journal");
    journal
}

fn copy(from: &Path, to: &Path) {
    for file in fs::read_dir(from).expect("readable") {
        let file = file.expect("readable").path();
        let target = to.join(file.file_name().expect("a name"));
        if file.is_dir() {
            fs::create_dir(&target).expect("created");
            copy(&file, &target);
        } else {
            fs::copy(&file, &target).expect("copied");
        }
    }
}

/// Entries that a copy of the log holds after `change` to its journal; `None` when it is refused.
fn entries_after(original: &Path, change: impl FnOnce(&mut Vec<u8>)) -> Option<usize> {
    let dir = tempfile::tempdir().expect("a directory");
    copy(original, dir.path());
    let journal = journal_in(dir.path());
    let mut bytes = fs::read(&journal).expect("readable");
    change(&mut bytes);
    fs::write(&journal, &bytes).expect("written");
    let log = Log::open(LogConfig::new(dir.path())).ok()?;
    Some(log.read(VOLUME, 1, u64::MAX, usize::MAX).expect("readable").len())
}

#[tokio::test]
async fn a_flipped_bit_is_refused_or_harmless() {
    let (dir, _, used) = written().await;
    let mut random = StdRng::seed_from_u64(seed());
    let mut refused = 0;
    for _ in 0..60 {
        let (offset, bit) = (random.random_range(0..used), random.random_range(0..8));
        let left = entries_after(dir.path(), |bytes| bytes[offset] ^= 1 << bit);
        match left {
            None => refused += 1,
            Some(left) => assert_eq!(left as u64, ENTRIES, "byte {offset}, bit {bit}"),
        }
    }
    assert!(refused > 30, "most bits matter, but only {refused} of 60 were refused");
}

#[tokio::test]
async fn a_torn_end_opens_with_what_is_complete() {
    let (dir, _, used) = written().await;
    assert_eq!(entries_after(dir.path(), |_| {}), Some(40));
    // The last batch holds an entry and ends with checksum and trailer; cut into it.
    for cut in [1, 4, 5, 12, 20] {
        let left = entries_after(dir.path(), |bytes| bytes[used - cut..].fill(0));
        assert_eq!(left, Some(39), "{cut} bytes are missing at the end");
    }
}

#[tokio::test]
async fn a_missing_sector_is_a_torn_end_too() {
    let (dir, _, used) = written().await;
    let sector = (used / 512 - 1) * 512;
    let left = entries_after(dir.path(), |bytes| bytes[sector..sector + 512].fill(0));
    assert!(left.is_some_and(|left| left > 0 && left < 40), "{left:?}");
}
