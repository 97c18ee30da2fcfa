//! The log against sinks that count, stall and fail, and against a model under random operations.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::oneshot;

use super::{Completion, Log, LogConfig, LogFailure, Sink, Write};
use crate::Error;
use crate::node::VolumeId;

const ONE: VolumeId = VolumeId(1);
const TWO: VolumeId = VolumeId(2);

/// The seed of a random test; printed, and taken from `MORTISE_SEED` to replay.
pub(super) fn seed() -> u64 {
    let seed = std::env::var("MORTISE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| rand::rng().random());
    eprintln_seed(seed);
    seed
}

#[expect(clippy::print_stderr, reason = "a failed test shows it")]
fn eprintln_seed(seed: u64) {
    eprintln!("MORTISE_SEED={seed}");
}

type Outcome = oneshot::Receiver<Result<(), LogFailure>>;

pub(super) fn completion() -> (Completion, Outcome) {
    let (done, outcome) = oneshot::channel();
    (Box::new(move |result| drop(done.send(result))), outcome)
}

fn append(log: &Log, volume: VolumeId, indices: std::ops::RangeInclusive<u64>, value: &str) -> Outcome {
    let entries = indices.map(|index| (index, Bytes::from(format!("{value}-{index}")))).collect();
    let (done, outcome) = completion();
    log.append(volume, entries, done);
    outcome
}

/// No marks are written in these tests except by the model test, whose marks are plain numbers.
fn index_of_mark(mark: &Bytes) -> crate::Result<u64> {
    let bytes = mark.as_ref().try_into().map_err(|_| Error::Internal("a mark has 8 bytes".into()))?;
    Ok(u64::from_be_bytes(bytes))
}

/// Lets each sync begin only when the test says so, and counts.
struct Gated {
    inner: Box<dyn Sink>,
    began: mpsc::Sender<()>,
    allowed: mpsc::Receiver<Result<(), String>>,
    syncs: Arc<AtomicUsize>,
}

impl Sink for Gated {
    fn write(&mut self, batch: Vec<Write>) -> Result<(), String> {
        self.inner.write(batch)
    }

    fn sync(&mut self) -> Result<(), String> {
        self.syncs.fetch_add(1, Ordering::SeqCst);
        // Once the test has dropped its ends, syncs go through.
        let _ = self.began.send(());
        self.allowed.recv().unwrap_or(Ok(()))?;
        self.inner.sync()
    }
}

pub(super) struct Gate {
    pub(super) log: Arc<Log>,
    pub(super) began: mpsc::Receiver<()>,
    pub(super) allow: mpsc::Sender<Result<(), String>>,
    syncs: Arc<AtomicUsize>,
    pub(super) dir: tempfile::TempDir,
}

pub(super) fn gated() -> Gate {
    let dir = tempfile::tempdir().expect("a directory");
    let (began_sender, began) = mpsc::channel();
    let (allow, allowed) = mpsc::channel();
    let syncs = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&syncs);
    let log = Log::open_with(LogConfig::new(dir.path()), |inner| Gated {
        inner,
        began: began_sender,
        allowed,
        syncs: counter,
    });
    Gate { log: log.expect("the log opens"), began, allow, syncs, dir }
}

#[tokio::test]
async fn everything_that_waits_shares_one_flush() {
    let gate = gated();
    let first = append(&gate.log, ONE, 1..=1, "a");
    gate.began.recv().expect("the first flush begins");
    // While the disk is busy, 64 volumes append.
    let waiting: Vec<_> = (10..74).map(|id| append(&gate.log, VolumeId(id), 1..=2, "b")).collect();
    gate.allow.send(Ok(())).expect("the writer lives");
    first.await.expect("completed").expect("durable");
    gate.began.recv().expect("the second flush begins");
    gate.allow.send(Ok(())).expect("the writer lives");
    for outcome in waiting {
        outcome.await.expect("completed").expect("durable");
    }
    assert_eq!(gate.syncs.load(Ordering::SeqCst), 2, "65 appends must take two flushes");
}

#[tokio::test]
async fn a_failed_flush_fails_every_waiter_and_every_later_write_but_no_read() {
    let gate = gated();
    let durable = append(&gate.log, ONE, 1..=3, "kept");
    gate.began.recv().expect("a flush begins");
    gate.allow.send(Ok(())).expect("the writer lives");
    durable.await.expect("completed").expect("durable");

    let failing = append(&gate.log, ONE, 4..=4, "lost");
    gate.began.recv().expect("a flush begins");
    let behind = append(&gate.log, TWO, 1..=1, "behind");
    gate.allow.send(Err("the disk is gone".into())).expect("the writer lives");
    for outcome in [failing, behind, append(&gate.log, TWO, 1..=1, "later")] {
        let failure = outcome.await.expect("completed").expect_err("refused");
        assert!(failure.to_string().contains("the disk is gone"), "{failure}");
    }
    let vote = gate.log.save_vote(ONE, Bytes::from_static(b"vote")).await;
    assert!(matches!(vote, Err(failure) if failure.to_string().contains("the disk is gone")));
    assert!(gate.log.failure().is_some());
    let kept = gate.log.read(ONE, 1, 3, usize::MAX).expect("reads go on");
    assert_eq!(kept.len(), 3);
}

/// Panics when it should write a batch.
struct Panicking;

impl Sink for Panicking {
    fn write(&mut self, _batch: Vec<Write>) -> Result<(), String> {
        panic!("injected: a defect of the writer");
    }

    fn sync(&mut self) -> Result<(), String> {
        Ok(())
    }
}

#[tokio::test]
async fn a_panic_of_the_writer_fails_every_waiter_and_every_later_write_but_no_read() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = Log::open_with(LogConfig::new(dir.path()), |_| Panicking).expect("opens");
    let failed = |outcome: Result<(), LogFailure>| {
        let failure = outcome.expect_err("refused").to_string();
        assert!(failure.contains("panicked"), "{failure}");
    };
    failed(append(&log, ONE, 1..=1, "lost").await.expect("completed"));
    failed(append(&log, TWO, 1..=1, "later").await.expect("completed"));
    failed(log.save_vote(ONE, Bytes::from_static(b"vote")).await);
    assert!(log.failure().is_some());
    assert!(log.read(ONE, 1, 3, usize::MAX).expect("reads go on").is_empty());
}

#[tokio::test]
async fn a_truncation_and_a_new_append_of_one_group_keep_their_order() {
    let gate = gated();
    let busy = append(&gate.log, TWO, 1..=1, "busy");
    gate.began.recv().expect("the flush begins");
    let old = append(&gate.log, ONE, 1..=5, "old");
    let log = Arc::clone(&gate.log);
    let mut truncation = Box::pin(async move { log.truncate(ONE, 3, 5).await });
    // One poll queues the truncation behind the append.
    assert!(futures::poll!(&mut truncation).is_pending());
    let new = append(&gate.log, ONE, 3..=4, "new");
    for _ in 0..2 {
        gate.allow.send(Ok(())).expect("the writer lives");
    }
    for outcome in [busy, old, new] {
        outcome.await.expect("completed").expect("durable");
    }
    truncation.await.expect("durable");
    assert_eq!(gate.syncs.load(Ordering::SeqCst), 2, "the three changes must have been one group");
    let stored = gate.log.read(ONE, 0, u64::MAX, usize::MAX).expect("readable");
    let text: Vec<_> = stored.iter().map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect();
    assert_eq!(text, ["old-1", "old-2", "new-3", "new-4"]);
}

#[tokio::test]
async fn a_closed_log_refuses_and_its_directory_can_be_opened_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = Log::open(LogConfig::new(dir.path())).expect("opens");
    let second = Log::open(LogConfig::new(dir.path()));
    assert!(matches!(second, Err(Error::DirectoryInUse(_))), "{second:?}");
    append(&log, ONE, 1..=1, "a").await.expect("completed").expect("durable");
    log.close();
    log.close();
    assert!(append(&log, ONE, 2..=2, "a").await.expect("completed").is_err());
    assert!(matches!(log.read(ONE, 0, 9, 9), Err(Error::ShuttingDown(_))));
    let again = Log::open(LogConfig::new(dir.path())).expect("opens again");
    assert_eq!(again.read(ONE, 0, u64::MAX, usize::MAX).expect("readable").len(), 1);
}

/// The manifest that the log's tree goes by.
fn manifest_of(log: &std::path::Path) -> std::path::PathBuf {
    let tree = log.join("keyspaces/1");
    let current = std::fs::read(tree.join("current")).expect("a file");
    let (id, _) = current.split_first_chunk::<8>().expect("an id");
    tree.join(format!("v{}", u64::from_le_bytes(*id)))
}

#[tokio::test]
async fn a_flipped_bit_of_a_manifest_is_damage_wherever_it_is() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = Log::open(LogConfig { memtable_bytes: 1, ..LogConfig::new(dir.path()) }).expect("opens");
    let empty = manifest_of(dir.path());
    // Each group fills a memtable, which becomes a table in the background. Further groups are the clock.
    while manifest_of(dir.path()) == empty {
        append(&log, ONE, 1..=9, "a").await.expect("completed").expect("durable");
    }
    log.close();
    let manifest = manifest_of(dir.path());
    let whole = std::fs::read(&manifest).expect("a file");
    for bit in 0..whole.len() * 8 {
        let mut damaged = whole.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&manifest, damaged).expect("written");
        match Log::open(LogConfig::new(dir.path())) {
            Err(Error::Corrupt { path, .. }) => assert_eq!(path, manifest),
            other => panic!("expected bit {bit} to be noticed, found {other:?}"),
        }
    }
    std::fs::write(&manifest, whole).expect("written");
    let log = Log::open(LogConfig::new(dir.path())).expect("opens again");
    assert_eq!(log.read(ONE, 0, u64::MAX, usize::MAX).expect("readable").len(), 9);
}

#[tokio::test]
async fn forgetting_a_volume_leaves_the_others() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = Log::open(LogConfig::new(dir.path())).expect("opens");
    for volume in [ONE, TWO] {
        append(&log, volume, 1..=3000, "a").await.expect("completed").expect("durable");
        log.save_vote(volume, Bytes::from_static(b"vote")).await.expect("durable");
        log.hint_committed(volume, Bytes::from_static(b"hint"));
    }
    log.purge(ONE, Bytes::copy_from_slice(&2500_u64.to_be_bytes()), 0, 2500);
    log.forget(ONE).await.expect("forgotten");
    log.close();
    let log = Log::open(LogConfig::new(dir.path())).expect("opens");
    assert_eq!(log.attach(ONE, index_of_mark).expect("readable"), super::LogState::default());
    assert!(log.read(ONE, 0, u64::MAX, usize::MAX).expect("readable").is_empty());
    let other = log.attach(TWO, index_of_mark).expect("readable");
    assert_eq!(other.vote, Some(Bytes::from_static(b"vote")));
    assert_eq!(other.committed, Some(Bytes::from_static(b"hint")));
    assert_eq!(other.last, Some((3000, Bytes::from_static(b"a-3000"))));
}

/// What a volume's log must hold.
#[derive(Clone, Default)]
struct Model {
    entries: BTreeMap<u64, Bytes>,
    vote: Option<Bytes>,
    purged: Option<u64>,
}

impl Model {
    fn next(&self) -> u64 {
        self.entries.keys().next_back().or(self.purged.as_ref()).map_or(1, |last| last + 1)
    }
}

struct Check {
    log: Arc<Log>,
    models: BTreeMap<VolumeId, Model>,
    random: StdRng,
}

impl Check {
    async fn change(&mut self, volume: VolumeId) {
        let model = self.models.entry(volume).or_default();
        match self.random.random_range(0..10) {
            0..=5 => {
                let first = model.next();
                let count = self.random.random_range(1..=20);
                let entries: Vec<_> = (first..first + count)
                    .map(|index| {
                        (index, Bytes::from(vec![self.random.random(); self.random.random_range(1..200)]))
                    })
                    .collect();
                model.entries.extend(entries.iter().cloned());
                let (done, outcome) = completion();
                self.log.append(volume, entries, done);
                outcome.await.expect("completed").expect("durable");
            }
            6 => {
                let vote = Bytes::copy_from_slice(&self.random.random::<u64>().to_be_bytes());
                self.log.save_vote(volume, vote.clone()).await.expect("durable");
                model.vote = Some(vote);
            }
            7 => {
                let Some((&first, &last)) = model.entries.keys().next().zip(model.entries.keys().next_back())
                else {
                    return;
                };
                let from = self.random.random_range(first..=last);
                self.log.truncate(volume, from, last).await.expect("durable");
                model.entries.split_off(&from);
            }
            _ => {
                let Some((&first, &last)) = model.entries.keys().next().zip(model.entries.keys().next_back())
                else {
                    return;
                };
                let upto = self.random.random_range(first..=last);
                self.log.purge(volume, Bytes::copy_from_slice(&upto.to_be_bytes()), first, upto);
                model.entries = model.entries.split_off(&(upto + 1));
                model.purged = Some(upto);
            }
        }
    }

    fn compare(&self) {
        for (&volume, model) in &self.models {
            let state = self.log.attach(volume, index_of_mark).expect("readable");
            let purged = state.purged.as_ref().map(|mark| index_of_mark(mark).expect("a mark"));
            assert_eq!(state.vote, model.vote);
            assert_eq!(purged, model.purged);
            assert_eq!(state.last.as_ref(), model.entries.clone().into_iter().next_back().as_ref());
            let from = model.purged.map_or(0, |purged| purged + 1);
            let stored = self.log.read(volume, from, u64::MAX, usize::MAX).expect("readable");
            assert_eq!(stored, model.entries.clone().into_iter().collect::<Vec<_>>());
        }
    }
}

#[tokio::test]
async fn random_operations_and_reopenings_agree_with_a_model() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = LogConfig { memtable_bytes: 64 * 1024, ..LogConfig::new(dir.path()) };
    let log = Log::open(config.clone()).expect("opens");
    let mut check = Check { log, models: BTreeMap::new(), random: StdRng::seed_from_u64(seed()) };
    for _ in 0..12 {
        for _ in 0..check.random.random_range(1..120) {
            let volume = VolumeId(check.random.random_range(1..=4));
            check.change(volume).await;
        }
        check.log.close();
        check.log = Log::open(config.clone()).expect("opens again");
        check.compare();
    }
}

#[tokio::test]
async fn purged_entries_are_freed() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = LogConfig { memtable_bytes: 1024 * 1024, ..LogConfig::new(dir.path()) };
    let log = Log::open(config).expect("opens");
    let value = Bytes::from(vec![7; 8 * 1024]);
    let mut largest = 0;
    // 192 MiB pass through a log that never holds more than 1 MiB of live entries. fjall gives each journal
    // 64 MB before it replaces it; everything beyond two of them and a few tables would be a leak.
    for round in 0..192 {
        let first = round * 128 + 1;
        let (done, outcome) = completion();
        log.append(ONE, (first..first + 128).map(|index| (index, value.clone())).collect(), done);
        outcome.await.expect("completed").expect("durable");
        log.purge(ONE, Bytes::copy_from_slice(&(first + 127).to_be_bytes()), first, first + 127);
        largest = largest.max(log.disk_bytes().expect("a size"));
    }
    let limit = 150_000_000;
    assert!(largest < limit, "the log took {largest} bytes for 1 MiB of live entries");
    // Changes are ordered: once this one is durable, the last purge is written too.
    append(&log, TWO, 1..=1, "after").await.expect("completed").expect("durable");
    assert_eq!(log.attach(ONE, index_of_mark).expect("readable").last.map(|(index, _)| index), None);
}

#[test]
fn a_tail_serves_recent_entries_and_stays_bounded() {
    let mut tail = super::Tail::new(100);
    for index in 5..25 {
        tail.push(index, index, 10);
    }
    assert_eq!(tail.bytes(), 200, "entries that are not durable must stay");
    tail.durable(20);
    assert_eq!(tail.read(0..40), (0..15, (15..25).collect()));
    tail.truncate(22);
    assert_eq!(tail.read(18..40), (18..18, vec![18, 19, 20, 21]));
    assert_eq!(tail.read(2..4), (2..4, vec![]));
    tail.purge(19);
    assert_eq!(tail.read(15..40), (15..20, vec![20, 21]));
    tail.push(30, 30, 10);
    assert_eq!(tail.read(20..31), (20..30, vec![30]), "a hole must not be bridged");
}
