//! Random histories against the model, with rebuilds in the middle of them.

use std::sync::Arc;

use mortise_kernel::kv::Command;
use mortise_kernel::node::{Node, Volume};
use mortise_kernel::rebuild::{RebuildOptions, Verify};
use mortise_kernel::store::Step;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::gated::gated;
use crate::model::{Model, bytewise, hash};
use crate::node_support::{config, open, seed, soon, volume};
use crate::{names, through, workload};

/// Commands before and between rebuilds.
const COMMANDS: usize = 700;

/// A volume with its model.
struct Pair {
    volume: Arc<Volume>,
    model: Model,
}

impl Pair {
    async fn apply(&mut self, rng: &mut StdRng) {
        let command = workload::command(rng, self.model.revision());
        self.apply_one(command).await;
    }

    async fn apply_one(&mut self, command: Command) {
        let expected = self.model.apply(&command);
        let found = self.volume.propose(command.clone(), soon()).await;
        // Some refusals are the node's own, before the log; their texts are not at stake here.
        match (&found, &expected) {
            (Ok(found), Ok(expected)) => {
                assert_eq!(format!("{found:#?}"), format!("{expected:#?}"), "answer to {command:#?}");
            }
            (Err(_), Err(_)) => {}
            _ => panic!("{command:#?} was answered with {found:#?} instead of {expected:#?}"),
        }
    }

    /// A flush, a compaction step, or nothing.
    async fn disturb(&self, rng: &mut StdRng) {
        match rng.random_range(0..8) {
            0 => self.volume.flush().await.expect("flushed"),
            1 => {
                let step = workload::step(rng, &self.volume.shape());
                // Random steps may be illegal.
                drop(self.volume.compact_step(step).await);
            }
            2 => drop(self.volume.compact_step(Step::Merge { from: 0, to: 6 }).await),
            _ => {}
        }
    }

    /// Every readable revision, the newest and the oldest included.
    async fn check(&self) {
        assert_eq!(self.volume.status().revision, self.model.revision());
        assert_eq!(self.volume.status().compact_revision, self.model.compacted.max(0));
        for (revision, content) in &self.model.revisions {
            let found = self.volume.content_hash(*revision).await.expect("readable");
            assert_eq!(found.hash, hash(content), "content at revision {revision}");
            assert_eq!(found.keys, content.len() as u64);
        }
        if self.model.compacted > 1 {
            let gone = self.volume.content_hash(self.model.compacted - 1).await;
            gone.expect_err("compacted revisions stay unreadable");
        }
    }

    /// Stops the copy at its first portions to write between them.
    async fn rebuild_under_writes(&mut self, rng: &mut StdRng) {
        let (transform, mut gate) = gated(rng.random_bool(0.5));
        let verify = if rng.random_bool(0.5) { Verify::Full } else { Verify::Count };
        let options = RebuildOptions { verify, ..through(transform) };
        let rebuild = self.volume.rebuild(options).expect("begun");
        for _ in 0..rng.random_range(1..4) {
            if !gate.arrival().await {
                break;
            }
            for _ in 0..rng.random_range(0..60) {
                self.apply(rng).await;
            }
            self.disturb(rng).await;
            gate.let_on();
        }
        gate.open();
        for _ in 0..rng.random_range(0..200) {
            self.apply(rng).await;
        }
        let outcome = rebuild.wait().await.expect("rebuilt");
        assert!(outcome.generation > outcome.previous);
        assert_eq!(self.volume.status().generation, outcome.generation);
    }
}

async fn node_at(path: &std::path::Path) -> Arc<Node> {
    open(config(path)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happens_during_rebuilds_every_revision_stays_right() {
    let mut rng = StdRng::seed_from_u64(seed());
    let dir = tempfile::tempdir().expect("a directory");
    let node = node_at(dir.path()).await;
    let created = node.create_volume(volume(2)).await.expect("created");
    let mut pair = Pair { volume: created, model: Model::new(bytewise) };
    for _ in 0..3 {
        for _ in 0..COMMANDS {
            pair.apply(&mut rng).await;
            if rng.random_bool(0.01) {
                pair.disturb(&mut rng).await;
            }
        }
        pair.rebuild_under_writes(&mut rng).await;
        pair.check().await;
    }
    let generation = pair.volume.status().generation;
    for _ in 0..50 {
        pair.apply(&mut rng).await;
    }
    // A restart replays the log into the new generation, and nothing else is left.
    node.shutdown().await.expect("stopped");
    drop(node);
    let node = node_at(dir.path()).await;
    pair.volume = node.open_volume(volume(2)).await.expect("opened");
    pair.check().await;
    assert_eq!(names(dir.path()), ["CURRENT".to_owned(), format!("gen-{generation:06}")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuild_drops_what_is_unreadable_and_leaves_one_run() {
    let mut rng = StdRng::seed_from_u64(seed());
    let dir = tempfile::tempdir().expect("a directory");
    let node = node_at(dir.path()).await;
    let created = node.create_volume(volume(2)).await.expect("created");
    let mut pair = Pair { volume: created, model: Model::new(bytewise) };
    for _ in 0..COMMANDS {
        pair.apply(&mut rng).await;
        if rng.random_bool(0.02) {
            pair.volume.flush().await.expect("flushed");
        }
    }
    let revision = pair.model.revision();
    if pair.model.compacted < revision {
        pair.apply_one(Command::Compact { revision }).await;
    }
    pair.volume.flush().await.expect("flushed");
    let runs = |volume: &Volume| volume.shape().levels.iter().map(|level| level.runs.len()).sum::<usize>();
    assert!(runs(&pair.volume) > 1);
    let outcome = pair.volume.rebuild(RebuildOptions::default()).expect("begun").wait().await.expect("done");
    // Every key, its tombstones gone, the state, and no history.
    let most = pair.model.newest().len() as u64 + 1;
    assert!(outcome.records <= most, "{} rows for {} keys", outcome.records, pair.model.newest().len());
    assert_eq!(runs(&pair.volume), 1);
    pair.check().await;
}
