//! Random histories against the model, while other threads read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};

use mortise_kernel::Error;
use mortise_kernel::format::Coder;
use mortise_kernel::kv::{Command, RangeRequest};
use mortise_kernel::store::{Applied, Store, check_step};
use parking_lot::RwLock;
use rand::Rng;
use rand::rngs::StdRng;

use crate::model::{Content, Model, Order, bytewise, hash};
use crate::test_codecs::codec;
use crate::{METER, everything, open, open_coded, position, with_seeds, workload};

/// Operations of one history; a check of everything follows each tenth of it.
const OPERATIONS: usize = 1200;

/// One store with its model, and the log that replays it.
struct Pair {
    directory: tempfile::TempDir,
    coder: Coder,
    store: Arc<Store>,
    model: Model,
    log: Vec<(Applied, Vec<Command>)>,
    index: u64,
}

/// Every revision ever written, for readers that may be behind.
type Expected = Arc<RwLock<BTreeMap<i64, Content>>>;

impl Pair {
    fn new(coder: Coder, order: Order) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let store = Arc::new(open_coded(&directory, coder.clone()));
        Self { directory, coder, store, model: Model::new(order), log: Vec::new(), index: 0 }
    }

    fn next_position(&mut self) -> Applied {
        self.index += 1;
        position(self.index)
    }

    fn apply(&mut self, rng: &mut StdRng, expected: &Expected) {
        let mut commands = Vec::new();
        let mut answers = Vec::new();
        for _ in 0..rng.random_range(1..4) {
            let command = workload::command(rng, self.model.revision());
            answers.push(self.model.apply(&command));
            commands.push(command);
        }
        // The readers must know what they may see before they can see it.
        expected
            .write()
            .extend(self.model.revisions.range(self.store.revision()..).map(|(r, c)| (*r, c.clone())));
        let position = self.next_position();
        // Some commands come with what the codec made of them at the proposal, others as in a replay.
        let prepare = |command| self.store.prepare(command, METER).ok().flatten();
        let prepared: Vec<_> =
            commands.iter().map(|command| rng.random_bool(0.7).then(|| prepare(command)).flatten()).collect();
        let found = self.store.apply_prepared(position.clone(), &commands, &prepared);
        let found = found.expect("the storage works").into_iter().map(|answer| answer?.decode(METER));
        let found: Vec<_> = found.collect();
        assert_eq!(format!("{found:#?}"), format!("{answers:#?}"), "answers to {commands:#?}");
        self.log.push((position, commands));
    }

    fn read(&self, rng: &mut StdRng) {
        let revision = self.model.revision();
        if rng.random_bool(0.6) {
            let request = workload::range(rng, revision);
            let (found, expected) = (self.store.range(&request, METER), self.model.range(&request));
            assert_eq!(format!("{found:#?}"), format!("{expected:#?}"), "answer to {request:#?}");
        } else {
            let request = workload::txn(rng, revision, false);
            let (found, expected) = (self.store.read_txn(&request, METER), self.model.read_txn(&request));
            assert_eq!(format!("{found:#?}"), format!("{expected:#?}"), "answer to {request:#?}");
        }
    }

    /// Forgets the memtables, as a crash would, and replays the log behind what was flushed.
    fn reopen(&mut self) {
        let flushed = self.store.flushed();
        self.store = Arc::new(open_again(&self.directory, &self.coder, &mut self.store));
        assert_eq!(self.store.applied(), flushed, "what is in tables is the state at one position");
        assert_eq!(self.store.flushed(), flushed);
        self.replay(flushed.index);
    }

    fn replay(&self, behind: u64) {
        for (position, commands) in self.log.iter().filter(|(position, _)| position.index > behind) {
            if commands.is_empty() {
                self.store.set_position(position.clone()).expect("the storage works");
            } else {
                self.store.apply(position.clone(), commands).expect("the storage works");
            }
        }
    }

    fn step(&self, rng: &mut StdRng) {
        let before = self.store.shape();
        let step = workload::step(rng, &before);
        match (check_step(&before, &step), self.store.run_step(&step)) {
            (Ok(()), Ok(_)) => {}
            // The flusher beside may have added a run to level 0 in between.
            _ if self.store.shape() != before => {}
            (Err(expected), Err(Error::IllegalStep(found))) => assert_eq!(found, expected),
            (expected, found) => panic!("{step:?}: expected {expected:?}, found {found:?}"),
        }
    }

    fn check_all(&self) {
        assert_eq!(self.store.revision(), self.model.revision());
        assert_eq!(self.store.compact_revision(), self.model.compacted.max(0));
        assert_eq!(self.store.applied(), position_of(self.index));
        for (&revision, content) in &self.model.revisions {
            let request = RangeRequest { revision, ..everything() };
            let found = self.store.range(&request, METER).expect("a readable revision");
            assert_eq!(found.kvs, content.values().cloned().collect::<Vec<_>>(), "revision {revision}");
            let found = self.store.content_hash(revision).expect("a readable revision");
            assert_eq!(
                (found.hash, found.keys),
                (hash(content), content.len() as u64),
                "revision {revision}"
            );
        }
    }
}

fn position_of(index: u64) -> Applied {
    if index == 0 { Applied::default() } else { position(index) }
}

/// Drops the store, which is shared with nobody any more, and opens its directory again.
fn open_again(directory: &tempfile::TempDir, coder: &Coder, store: &mut Arc<Store>) -> Store {
    let elsewhere = tempfile::tempdir().expect("a directory");
    let old = std::mem::replace(store, Arc::new(open(&elsewhere)));
    drop(Arc::into_inner(old).expect("no reader holds the store"));
    open_coded(directory, coder.clone())
}

/// Reads whatever revisions it knows until told to stop.
fn read_on(store: &Store, expected: &Expected, stop: &AtomicBool) {
    let mut turn = 0_usize;
    while !stop.load(Ordering::Relaxed) {
        turn += 1;
        let revision = match turn % 3 {
            0 => 0,
            _ => {
                let known = expected.read();
                let nth = turn * 7 % known.len();
                known.keys().rev().nth(nth.min(60)).copied().unwrap_or(0).min(store.revision())
            }
        };
        match store.range(&RangeRequest { revision, ..everything() }, METER) {
            Ok(found) => {
                let at = if revision == 0 { found.revision } else { revision };
                let known = expected.read();
                let content = known[&at].values().cloned().collect::<Vec<_>>();
                assert_eq!(found.kvs, content, "read beside maintenance, revision {at}");
            }
            Err(Error::Compacted { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

fn one_history(rng: &mut StdRng, coder: Coder, order: Order) {
    let mut pair = Pair::new(coder, order);
    let expected: Expected = Arc::new(RwLock::new(pair.model.revisions.clone()));
    let epochs = 5;
    for _ in 0..epochs {
        // Readers and a flusher run beside one epoch; a reopening, which must be alone, lies between two.
        let stop = AtomicBool::new(false);
        let store = Arc::clone(&pair.store);
        std::thread::scope(|scope| {
            let stop = StopOnDrop(&stop);
            let readers =
                (0..2).map(|_| scope.spawn(|| read_on(&store, &expected, stop.0))).collect::<Vec<_>>();
            let (sealed, seals) = channel();
            let flusher = scope.spawn(|| {
                for () in seals {
                    store.flush().expect("the storage works");
                }
            });
            for operation in 0..OPERATIONS / epochs {
                operate(&mut pair, rng, &expected, &sealed);
                if operation % (OPERATIONS / 10) == 0 {
                    pair.check_all();
                }
            }
            drop((stop, sealed));
            readers.into_iter().for_each(|reader| reader.join().expect("a reader"));
            flusher.join().expect("the flusher");
        });
        drop(store);
        pair.reopen();
        pair.check_all();
    }
}

/// Lets the other threads end when this one panics.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn operate(pair: &mut Pair, rng: &mut StdRng, expected: &Expected, sealed: &Sender<()>) {
    match rng.random_range(0..100) {
        0..60 => pair.apply(rng, expected),
        60..62 => {
            let position = pair.next_position();
            pair.store.set_position(position.clone()).expect("the storage works");
            pair.log.push((position, Vec::new()));
        }
        62..66 => {
            let most = if rng.random_bool(0.5) { 1000 } else { rng.random_range(0..9) };
            pair.store.scrub(most).expect("the storage works");
        }
        66..70 => {
            pair.store.seal().expect("the storage works");
            sealed.send(()).expect("the flusher listens");
        }
        70..72 => {
            pair.store.flush().expect("the storage works");
        }
        72..80 => pair.step(rng),
        _ => pair.read(rng),
    }
}

#[test]
fn random_histories_answer_like_the_model() {
    with_seeds(2, |rng| one_history(rng, Coder::natural(), bytewise));
}

/// The order of a volume is that of its stored keys; all else is as on a natural one.
#[test]
fn random_histories_answer_like_the_model_in_a_format_that_keeps_no_order() {
    let backwards: Order = |key| key.iter().rev().copied().collect();
    with_seeds(2, |rng| one_history(rng, Coder::new(codec("reversed")), backwards));
}

#[test]
fn random_histories_answer_like_the_model_in_a_format_that_keeps_the_order() {
    with_seeds(1, |rng| one_history(rng, Coder::new(codec("prefixed")), bytewise));
}
