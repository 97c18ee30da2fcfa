//! Damaged journals are refused, torn ones open with what was acknowledged.

use std::fs::{self, File};
use std::io::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::journal::{self, repair};
use super::tests::{completion, gated, seed};
use super::{Log, LogConfig};
use crate::Error;
use crate::node::VolumeId;

const VOLUME: VolumeId = VolumeId(1);
const OTHER: VolumeId = VolumeId(2);
const ENTRIES: u64 = 40;
const PAGE: usize = 4096;
/// Bytes of a value that takes many pages.
const LARGE: usize = 100 * 1024;
/// What a journal is preallocated with stays behind what is in use, but for its length.
const ZEROS: u64 = 64 * 1024;

/// The directory of a log at one moment.
struct Image {
    dir: tempfile::TempDir,
    /// The bytes of its journal that are in use.
    journal: Vec<u8>,
}

impl Image {
    fn of(folder: &Path) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        copy(folder, dir.path());
        let mut journal = fs::read(journal_in(folder)).expect("readable");
        journal.truncate(journal::used(&journal));
        Self { dir, journal }
    }

    /// A copy, with `change` to its journal.
    fn changed(&self, change: impl FnOnce(&mut Vec<u8>)) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a directory");
        copy(self.dir.path(), dir.path());
        let mut bytes = self.journal.clone();
        change(&mut bytes);
        let mut file = File::create(journal_in(dir.path())).expect("opened");
        file.write_all(&bytes).expect("written");
        file.set_len(bytes.len() as u64 + ZEROS).expect("lengthened");
        dir
    }

    /// Entries of the volume that a copy holds after `change` to its journal; `None` when it is refused.
    fn entries_after(&self, change: impl FnOnce(&mut Vec<u8>)) -> Option<Vec<(u64, Bytes)>> {
        let dir = self.changed(change);
        match Log::open(LogConfig::new(dir.path())) {
            Ok(log) => Some(log.read(VOLUME, 1, u64::MAX, usize::MAX).expect("readable")),
            Err(Error::Corrupt { path, .. }) => {
                assert_eq!(path, journal_in(dir.path()));
                None
            }
            Err(error) => panic!("{error}"),
        }
    }
}

fn journal_in(folder: &Path) -> PathBuf {
    let files = fs::read_dir(folder).expect("readable").map(|file| file.expect("readable").path());
    let mut journals = files.filter(|path| path.extension().is_some_and(|it| it == "jnl"));
    let journal = journals.next().expect("a journal");
    assert_eq!(journals.next(), None, "one journal");
    journal
}

/// Copies a directory; of its journals only the names.
fn copy(from: &Path, to: &Path) {
    for file in fs::read_dir(from).expect("readable") {
        let file = file.expect("readable").path();
        let target = to.join(file.file_name().expect("a name"));
        if file.is_dir() {
            fs::create_dir(&target).expect("created");
            copy(&file, &target);
        } else if file.extension().is_some_and(|it| it == "jnl") {
            File::create(&target).expect("created");
        } else {
            fs::copy(&file, &target).expect("copied");
        }
    }
}

/// Appends entries of one size and waits until they are durable.
async fn append(log: &Log, indices: Range<u64>, value: &Bytes) {
    let (done, outcome) = completion();
    log.append(VOLUME, indices.map(|index| (index, value.clone())).collect(), done);
    outcome.await.expect("completed").expect("durable");
}

/// A log with entries, each synced on its own, and what a power failure and an orderly stop leave of it.
async fn written(value: &Bytes, entries: u64) -> (Image, Image) {
    let dir = tempfile::tempdir().expect("a directory");
    let log = Log::open(LogConfig::new(dir.path())).expect("opens");
    for index in 1..=entries {
        append(&log, index..index + 1, value).await;
    }
    let cut_off = Image::of(dir.path());
    log.close();
    (cut_off, Image::of(dir.path()))
}

fn small() -> Bytes {
    Bytes::from_static(b"a small value")
}

fn large(random: &mut StdRng) -> Bytes {
    Bytes::from((0..LARGE).map(|_| random.random_range(1..=u8::MAX)).collect::<Vec<_>>())
}

#[tokio::test]
async fn a_flipped_bit_is_refused_or_harmless() {
    let mut random = StdRng::seed_from_u64(seed());
    let (cut_off, stopped) = written(&small(), ENTRIES).await;
    for image in [cut_off, stopped] {
        let mut refused = 0;
        for _ in 0..60 {
            let (offset, bit) = (random.random_range(0..image.journal.len()), random.random_range(0..8));
            match image.entries_after(|bytes| bytes[offset] ^= 1 << bit) {
                None => refused += 1,
                Some(left) => assert_eq!(left.len() as u64, ENTRIES, "byte {offset}, bit {bit}"),
            }
        }
        assert!(refused > 30, "most bits matter, but only {refused} of 60 were refused");
    }
}

#[tokio::test]
async fn a_torn_end_opens_with_what_is_complete() {
    let (image, _) = written(&small(), ENTRIES).await;
    assert_eq!(image.entries_after(|_| {}).map(|left| left.len()), Some(40));
    // The last batch holds an entry and ends with checksum and trailer; cut into it.
    for cut in [1, 4, 5, 12, 20] {
        let left = image.entries_after(|bytes| bytes.truncate(bytes.len() - cut));
        assert_eq!(left.map(|left| left.len()), Some(39), "{cut} bytes are missing at the end");
    }
}

#[tokio::test]
async fn any_page_of_a_group_that_was_not_synced_may_be_missing() {
    let value = large(&mut StdRng::seed_from_u64(seed()));
    let dir = tempfile::tempdir().expect("a directory");
    let log = Log::open(LogConfig::new(dir.path())).expect("opens");
    for index in 1..=3 {
        append(&log, index..index + 1, &value).await;
    }
    let acknowledged = Image::of(dir.path()).journal.len();
    append(&log, 4..7, &value).await;
    let image = Image::of(dir.path());
    let expected: Vec<_> = (1..=3).map(|index| (index, value.clone())).collect();
    let mut pages = 0;
    for page in (acknowledged / PAGE * PAGE..image.journal.len()).step_by(PAGE) {
        let missing = page.max(acknowledged)..(page + PAGE).min(image.journal.len());
        let left = image.entries_after(|bytes| bytes[missing.clone()].fill(0));
        assert_eq!(left, Some(expected.clone()), "bytes {missing:?} of {acknowledged}..");
        pages += 1;
    }
    assert!(pages > 75, "{pages} pages");
    // Several pages are missing, and the end.
    let left = image.entries_after(|bytes| {
        bytes.truncate(acknowledged + 2 * LARGE);
        bytes[acknowledged + 8 * PAGE..acknowledged + 20 * PAGE].fill(0);
    });
    assert_eq!(left, Some(expected));
}

#[tokio::test]
async fn whole_batches_behind_the_missing_page_of_a_group_go_with_it() {
    let value = large(&mut StdRng::seed_from_u64(seed()));
    let gate = gated();
    let first = {
        let (done, outcome) = completion();
        gate.log.append(VOLUME, vec![(1, value.clone())], done);
        outcome
    };
    gate.began.recv().expect("the flush begins");
    gate.allow.send(Ok(())).expect("the writer lives");
    first.await.expect("completed").expect("durable");
    let acknowledged = Image::of(gate.dir.path()).journal.len();
    // While the disk is busy with a vote, a group of three batches gathers.
    let mut vote = Box::pin(gate.log.save_vote(OTHER, small()));
    assert!(futures::poll!(&mut vote).is_pending());
    gate.began.recv().expect("the flush begins");
    let with_vote = acknowledged..;
    let (done, appended) = completion();
    gate.log.append(VOLUME, vec![(2, value.clone()), (3, value.clone())], done);
    let mut truncation = Box::pin(gate.log.truncate(VOLUME, 3, 3));
    assert!(futures::poll!(&mut truncation).is_pending());
    let (done, again) = completion();
    gate.log.append(VOLUME, vec![(3, value.clone())], done);
    for _ in 0..2 {
        gate.allow.send(Ok(())).expect("the writer lives");
    }
    vote.await.expect("durable");
    truncation.await.expect("durable");
    for outcome in [appended, again] {
        outcome.await.expect("completed").expect("durable");
    }
    let image = Image::of(gate.dir.path());
    let from = with_vote.start / PAGE * PAGE + PAGE;
    let mut lengths = Vec::new();
    for page in (from..image.journal.len()).step_by(PAGE) {
        let missing = page..(page + PAGE).min(image.journal.len());
        let left = image.entries_after(|bytes| bytes[missing.clone()].fill(0)).expect("it opens");
        assert!(left.iter().all(|(_, found)| *found == value));
        assert_eq!(left.first().map(|(index, _)| *index), Some(1), "what was acknowledged is there");
        lengths.push(left.len());
    }
    lengths.dedup();
    assert_eq!(lengths, [1, 2], "the whole batches before the page stay, none behind it does");
}

#[tokio::test]
async fn a_flipped_bit_in_a_value_that_was_acknowledged_is_refused() {
    let mut random = StdRng::seed_from_u64(seed());
    let value = large(&mut random);
    let (cut_off, stopped) = written(&value, 4).await;
    for image in [&cut_off, &stopped] {
        let starts: Vec<_> =
            (0..image.journal.len()).filter(|at| image.journal[*at..].starts_with(&value[..64])).collect();
        assert_eq!(starts.len(), 4);
        for start in starts {
            let offset = start + random.random_range(0..LARGE);
            assert_eq!(image.entries_after(|bytes| bytes[offset] ^= 1), None, "byte {offset} is damaged");
        }
    }
}

#[tokio::test]
async fn damage_is_not_taken_for_a_torn_end_because_a_value_is_zeros() {
    let (cut_off, stopped) = written(&Bytes::from(vec![0; LARGE]), 4).await;
    // The last group before a sudden end is all that cannot be told from a torn one.
    for (image, until) in [(&cut_off, 3 * LARGE), (&stopped, 4 * LARGE)] {
        for offset in [LARGE / 2, LARGE + LARGE / 2, until - LARGE / 2] {
            assert_eq!(image.entries_after(|bytes| bytes[offset] ^= 1), None, "byte {offset} is damaged");
        }
        // In a frame, too: the length of the first value.
        let mark = image.journal.windows(17).position(|bytes| bytes == super::keys::SYNCED).expect("a mark");
        let length = mark + 17 + 8 + 3 + 8 + 2;
        assert_eq!(image.journal[length..length + 4], u32::to_le_bytes(LARGE as u32));
        assert_eq!(image.entries_after(|bytes| bytes[length + 1] ^= 1), None, "a length is damaged");
    }
}

#[tokio::test]
async fn a_journal_with_a_successor_cannot_be_torn() {
    let (image, _) = written(&small(), ENTRIES).await;
    let dir = image.changed(|bytes| bytes.truncate(bytes.len() - 5));
    let torn = journal_in(dir.path());
    assert!(torn.ends_with("0.jnl"), "{torn:?}");
    fs::write(dir.path().join("1.jnl"), [0; 100]).expect("written");
    let before = fs::read(&torn).expect("readable");
    assert!(matches!(repair(dir.path()), Err(Error::Corrupt { path, .. }) if path == torn));
    assert_eq!(fs::read(&torn).expect("readable"), before, "evidence stays as it was");
}
