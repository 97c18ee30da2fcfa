//! Plugins that misbehave are refused or put aside; the node keeps serving all the while.
//!
//! Every guest under `tests/guests` is added and activated through the command line, one after the other,
//! under write load. Each must be refused clearly somewhere on the way (when it is read, when it is asked who
//! it is, or in rehearsal), save those of [`SERVE`]. No request may fail meanwhile, and all content is judged
//! afterwards. What exactly happens to each guest is stated in `plugin_host.rs`.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use mortise_tests::{Client, History, Load, Mortise, bombs, guests, seed};
use tempfile::TempDir;

/// Guests whose rehearsed answers are legal: exactly these serve, and what they answer later does no harm.
/// `random` and `turncoat` misbehave only then; `quarantine.rs` says what becomes of them.
const SERVE: [&str; 6] =
    ["chatterbox", "leftover", "random", "trap_in_third_call", "turncoat", "weathercock"];

/// Adds a guest and binds it to the default volume; `false` when it was refused, with a clear message.
fn try_to_use(mortise: &Mortise, folder: &TempDir, name: &str, bytes: &[u8]) -> Result<bool> {
    let path = folder.path().join(format!("{name}.wasm"));
    fs::write(&path, bytes)?;
    let stored = name.replace('_', "-");
    let add = mortise.cli(&["plugin", "add", &path.to_string_lossy(), "--name", &stored])?;
    let last =
        if add.success() { mortise.cli(&["plugin", "use", &stored, "--volume", "default"])? } else { add };
    if last.success() {
        return Ok(true);
    }
    ensure!(last.code == Some(1), "{name}: {last:?}");
    ensure!(last.stderr.starts_with("error: ") && last.stderr.len() > 20, "{name}: no clear word: {last:?}");
    ensure!(
        last.stderr.len() < 4000,
        "{name}: a guest's flood of words is passed on: {} bytes",
        last.stderr.len()
    );
    Ok(false)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_guest_disturbs_the_node() -> Result<()> {
    let mut rng = seed::rng("no_guest_disturbs_the_node");
    let (directory, folder) = (TempDir::new()?, TempDir::new()?);
    let mortise = Mortise::start_with(directory.path(), &["--memtable-size", "256KiB"])?;
    let mut load = Load::start(&mortise.endpoint(), "load", 4, &mut rng).await?;
    let mut served = Vec::new();
    let bombs = [
        ("hundred_megabytes", bombs::padded(guests::LEFTOVER, 100 << 20)),
        ("thousand_instances", bombs::instances(guests::LEFTOVER, 1_000)),
        ("jump_to_500_000_places", bombs::jumps(guests::LEFTOVER, 1, 500_000)),
    ];
    let bombs = bombs.iter().map(|(name, bytes)| (*name, bytes.as_slice()));
    // Nothing is granted to those that want a world around them.
    let all = [guests::ALL, guests::WASI].concat().into_iter().chain(bombs);
    for (name, bytes) in all {
        load.reach(load.acknowledged() + 20).await.with_context(|| format!("before {name}"))?;
        if try_to_use(&mortise, &folder, name, bytes)? {
            served.push(name);
            // It is asked under load, then whoever serves now gives way to a well-behaved one.
            load.reach(load.acknowledged() + 300).await.with_context(|| format!("while {name} serves"))?;
            let next = mortise.cli(&["plugin", "use", "compaction-leveled", "--volume", "default"])?;
            ensure!(next.success(), "after {name}: {}", next.stderr);
        }
    }
    ensure!(served == SERVE, "{served:?} served; expected exactly {SERVE:?}");
    let attempts = load.finish().await?;
    let failed: Vec<_> = attempts.iter().filter_map(|attempt| attempt.outcome.as_ref().err()).collect();
    ensure!(failed.is_empty(), "requests failed: {failed:?}");
    let mut client = Client::connect(&mortise.endpoint()).await?;
    History::default().verify(&mut client, attempts, &mut rng).await?;

    // The node is as good as new, also after a restart.
    mortise.kill()?;
    let mortise = Mortise::start(directory.path())?;
    let swap = mortise.cli(&["plugin", "use", "compaction-tiered", "--volume", "default"])?;
    ensure!(swap.success(), "{}", swap.stderr);
    Ok(())
}
