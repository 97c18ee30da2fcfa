//! Everything acknowledged survives `kill -9` at any instruction.
//!
//! The real binary is killed under concurrent writers after a random number of acknowledgements, restarted on
//! the same directory, and judged by [`History::verify`]: every acknowledged write is there at its revision,
//! each unknown write at most once, revisions have no gap, content and hashes equal the model's.
//! `MORTISE_CRASH_ROUNDS` sets the number of kills, `MORTISE_SEED` repeats the draws.

use anyhow::{Result, ensure};
use mortise_tests::{Client, History, Load, Mortise, seed};
use rand::Rng as _;
use tempfile::TempDir;

const ROUNDS: usize = 10;
const WRITERS: u32 = 8;

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_writes_survive_sigkill() -> Result<()> {
    let mut rng = seed::rng("acknowledged_writes_survive_sigkill");
    let directory = TempDir::new()?;
    let mut history = History::default();
    let mut acknowledged = 0;
    for round in 0..seed::count("MORTISE_CRASH_ROUNDS", ROUNDS) {
        let mortise = start(&directory)?;
        let mut client = Client::connect(&mortise.endpoint()).await?;
        // The background work of a compaction is under way while the node is killed.
        if round % 3 == 2 {
            history.compact(&mut client, history.revision() - 50).await?;
        }
        let mut load = Load::start(&mortise.endpoint(), &round.to_string(), WRITERS, &mut rng).await?;
        load.reach(rng.random_range(1..800)).await?;
        mortise.kill()?;
        let attempts = load.finish().await?;

        let mortise = start(&directory)?;
        let mut client = Client::connect(&mortise.endpoint()).await?;
        let verdict = history.verify(&mut client, attempts, &mut rng).await?;
        acknowledged += verdict.acknowledged;
        // Every other time the next round begins on a node that was killed at rest.
        if round % 2 == 0 { mortise.kill()? } else { mortise.stop()? }
    }
    ensure!(acknowledged > 0, "nothing was acknowledged in any round, so nothing was tested");
    Ok(())
}

/// Memtables are small, so that flushes and compactions happen within a round.
fn start(directory: &TempDir) -> Result<Mortise> {
    Mortise::start_with(directory.path(), &["--memtable-size", "256KiB"])
}
