//! Plugins that misbehave are refused or put aside; the node keeps serving all the while.
//!
//! Every guest under `tests/guests` is added and activated through the command line, one after the other,
//! under write load. Each must be refused clearly somewhere on the way (when it is read, when it is asked who
//! it is, or in rehearsal), save those of [`SERVE`]. A refusal leaves a row of the history and nothing else.
//! No request may fail meanwhile, nor take longer than is stated, and all content is judged afterwards. What
//! exactly happens to each guest is stated in `plugin_host.rs`, what becomes of a bomb that takes a minute in
//! `component_bombs.rs`.

use std::fs;
use std::mem;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use mortise_plugin_runtime::{Digest, MAX_COMPONENT_BYTES};
use mortise_tests::{
    Client, Finished, History, Inventory, Load, Mortise, bombs, guests, print_longest_put, seed,
};
use rand::Rng as _;
use rand::rngs::StdRng;
use serde_json::Value;
use tempfile::TempDir;

/// Guests whose rehearsed answers are legal: exactly these serve, and what they answer later does no harm.
/// `random` and `turncoat` misbehave only then; `quarantine.rs` says what becomes of them, and
/// `plugin_metrics.rs` of `turncoat_of_choice`.
const SERVE: [&str; 8] = [
    "chatterbox",
    "leftover",
    "random",
    "trap_in_third_call",
    "turncoat",
    "turncoat_of_choice",
    "v2_long_reason",
    "weathercock",
];

/// Components that are damaged or cut at random places.
const DAMAGED: usize = 6;

const END: Duration = Duration::from_secs(60);

/// A node, and what it had of plugins when it was last looked at.
struct Bench {
    data: TempDir,
    folder: TempDir,
    mortise: Mortise,
    inventory: Inventory,
}

impl Bench {
    async fn new() -> Result<Self> {
        let (data, folder) = (TempDir::new()?, TempDir::new()?);
        let mortise = Mortise::start_with(data.path(), &["--memtable-size", "256KiB"])?;
        let inventory = Inventory::take(&mortise, data.path()).await?;
        Ok(Self { data, folder, mortise, inventory })
    }

    /// Adds a guest and binds it to the default volume; `false` when it was refused on the way, with a clear
    /// message, a row of the history, and no other trace.
    async fn try_to_use(&mut self, name: &str, bytes: &[u8]) -> Result<bool> {
        let path = self.folder.path().join(format!("{name}.wasm"));
        fs::write(&path, bytes)?;
        let (path, stored) = (path.to_string_lossy().into_owned(), name.replace('_', "-"));
        let add = ["plugin", "add", &path, "--name", &stored];
        let bind = ["plugin", "use", &stored, "--volume", "default"];
        for (action, arguments) in [("plugin-add", add), ("plugin-use", bind)] {
            let finished = self.mortise.cli(&arguments)?;
            let now = Inventory::take(&self.mortise, self.data.path()).await?;
            let before = mem::replace(&mut self.inventory, now);
            if !finished.success() {
                is_clear(&finished)?;
                // What is too large is turned away before the node has read it, so it has no digest.
                let read = bytes.len() <= MAX_COMPONENT_BYTES;
                let digest = if read { Digest::of(bytes).to_string() } else { String::new() };
                self.inventory.tells_only_of_a_refusal(&before, action, &digest, 1)?;
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whoever serves gives way to a well-behaved plugin.
    fn put_right(&self) -> Result<()> {
        let next = self.mortise.cli(&["plugin", "use", "compaction-leveled", "--volume", "default"])?;
        ensure!(next.success(), "{}", next.stderr);
        Ok(())
    }
}

fn is_clear(finished: &Finished) -> Result<()> {
    ensure!(finished.code == Some(1), "{finished:?}");
    let word = &finished.stderr;
    ensure!(word.starts_with("error: ") && word.len() > 20, "no clear word: {finished:?}");
    ensure!(word.len() < 4000, "a guest's flood of words is passed on: {} bytes", word.len());
    Ok(())
}

/// A shipped component, cut or with sixteen bytes changed in a row. Mostly it is refused; where the damage is
/// harmless or only shows when it runs, it is a guest like any other.
fn damage(rng: &mut StdRng) -> Vec<u8> {
    let mut bytes = mortise_plugins::COMPACTION_LEVELED.to_vec();
    let place = rng.random_range(8..bytes.len() - 16);
    if rng.random() {
        bytes.truncate(place);
    } else {
        bytes[place..place + 16].iter_mut().for_each(|byte| *byte ^= rng.random_range(1..=255_u8));
    }
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn no_guest_disturbs_the_node() -> Result<()> {
    let mut rng = seed::rng("no_guest_disturbs_the_node");
    let mut bench = Bench::new().await?;
    let mut load = Load::beside_plugins(&bench.mortise.endpoint(), 2, &mut rng).await?;
    let mut served = Vec::new();
    let bombs = [
        ("hundred_megabytes", bombs::padded(guests::LEFTOVER, 100 << 20)),
        ("thousand_instances", bombs::instances(guests::LEFTOVER, 1_000)),
        ("jump_to_500_000_places", bombs::jumps(guests::LEFTOVER, 1, 500_000)),
    ];
    let bombs = bombs.iter().map(|(name, bytes)| (*name, bytes.as_slice()));
    let damaged: Vec<_> =
        (0..DAMAGED).map(|number| (format!("damaged_{number}"), damage(&mut rng))).collect();
    let damaged = damaged.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()));
    // Nothing is granted to those that want a world around them.
    let all = [guests::ALL, guests::WASI].concat().into_iter().chain(bombs).chain(damaged);
    for (name, bytes) in all {
        load.reach(load.acknowledged() + 20).await.with_context(|| format!("before {name}"))?;
        if bench.try_to_use(name, bytes).await.with_context(|| name.to_owned())? {
            served.push(name.to_owned());
            // It is asked under load, then whoever serves now gives way.
            load.reach(load.acknowledged() + 300).await.with_context(|| format!("while {name} serves"))?;
            bench.put_right().with_context(|| format!("after {name}"))?;
        }
    }
    // What becomes of damage is for chance to say.
    served.retain(|name| !name.starts_with("damaged_"));
    ensure!(served == SERVE, "{served:?} served; expected exactly {SERVE:?}");
    let attempts = load.finish().await?;
    print_longest_put("no_guest_disturbs_the_node", &attempts);
    let failed: Vec<_> = attempts.iter().filter_map(|attempt| attempt.outcome.as_ref().err()).collect();
    ensure!(failed.is_empty(), "requests failed: {failed:?}");
    let mut client = Client::connect(&bench.mortise.endpoint()).await?;
    History::default().verify(&mut client, attempts, &mut rng).await?;

    // The node is as good as new, also after a restart.
    bench.mortise.kill()?;
    let mortise = Mortise::start(bench.data.path())?;
    let swap = mortise.cli(&["plugin", "use", "compaction-tiered", "--volume", "default"])?;
    ensure!(swap.success(), "{}", swap.stderr);
    Ok(())
}

/// Messages of a call that are kept, bytes of a message, messages of a window, and its length, as promised in
/// `docs/plugins/security.md`.
const OF_A_CALL: usize = 16;
const OF_A_MESSAGE: usize = 1024;
const OF_A_WINDOW: u64 = 100;
const WINDOW: Duration = Duration::from_secs(10);

/// What the daemon says when it begins to drop a plugin's messages.
const DROPPED: &str = "logs too much; messages are dropped";

/// Label and message, if this line of the daemon's log is about what a plugin wrote.
fn written(line: &str) -> Option<[String; 2]> {
    let line: Value = serde_json::from_str(line).ok()?;
    let text = |field: &str| line[field].as_str().unwrap_or_default().to_owned();
    (line["target"] == "mortise::plugin").then(|| [text("plugin"), text("message")])
}

/// A plugin that writes a thousand lines of 4 KiB at every call, rehearsed and then in service.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_messages_is_cut_and_labelled() -> Result<()> {
    let mut rng = seed::rng("a_flood_of_messages_is_cut_and_labelled");
    let begun = Instant::now();
    let mut bench = Bench::new().await?;
    ensure!(bench.try_to_use("chatterbox", guests::CHATTERBOX).await?, "it serves");
    // The rehearsal alone makes dozens of calls.
    let mut lines = Vec::new();
    bench.mortise.process().wait_line("that messages are dropped", END, |line| {
        let [label, message] = written(line)?;
        let over = message == DROPPED;
        lines.push([label, message]);
        over.then_some(())
    })?;
    let before = lines.len() - 1;
    let mut load = Load::beside_plugins(&bench.mortise.endpoint(), 2, &mut rng).await?;
    load.reach(600).await?;
    let failed = load.finish().await?.into_iter().find_map(|attempt| attempt.outcome.err());
    ensure!(failed.is_none(), "a request failed: {failed:?}");
    bench.mortise.process().terminate()?;
    // There is no such line: it reads to the end.
    let rest = bench.mortise.process().wait_line("nothing", END, |line| {
        lines.extend(written(line));
        None::<()>
    });
    ensure!(rest.is_err_and(|error| error.to_string().contains("ended")), "the node ends");

    let label = Digest::of(guests::CHATTERBOX).to_string();
    for [plugin, message] in &lines {
        ensure!(*plugin == label, "{plugin:?} is no label for {message:?}");
        let kept = message.trim_end_matches('…');
        ensure!(kept.len() <= OF_A_MESSAGE, "{} bytes: {message}", kept.len());
        ensure!(!message.contains(char::is_control), "{message:?}");
    }
    // Up to then every call could write all that it may, and each began anew.
    ensure!(before as u64 >= OF_A_WINDOW, "{before} messages are fewer than were promised");
    for (number, [_, message]) in lines[..before].iter().enumerate() {
        let place = char::from(b'0' + u8::try_from(number % OF_A_CALL)?);
        ensure!(message.starts_with(place), "message {number} is not its call's {place:?}: {message}");
    }
    let windows = begun.elapsed().as_secs() / WINDOW.as_secs() + 1;
    let messages = lines.iter().filter(|[_, message]| message != DROPPED).count() as u64;
    ensure!(messages <= OF_A_WINDOW * windows, "{messages} messages in {windows} windows");
    Ok(())
}
