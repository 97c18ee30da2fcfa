//! Formats that misbehave cost requests of the volumes that have them, and nothing else.
//!
//! Every guest under `tests/guests/format` goes the way of a format through the command line, one after the
//! other, under write load on another volume: it is added, a volume is created in it, written and read, and a
//! filled volume is converted to it. How far each comes is stated in [`OUTCOMES`]. No other request may fail
//! meanwhile or take longer than is stated, nothing is lost, and what faulted is counted and shown. What
//! exactly each function of a guest does is stated in `format_guests.rs`.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, ensure};
use mortise_tests::{BESIDE_PLUGINS, Client, Mortise, guests};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::watch;

/// How far a format comes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Comes {
    /// It is refused when it is added.
    Nowhere(&'static str),
    /// It is added, and no volume can be created in it.
    ToTheCatalog(&'static str),
    /// A volume has it and cannot be written; the flag tells whether a key can be asked for.
    ToAVolume(&'static str, bool),
    /// Some calls pass and some fault.
    InAndOut(&'static str),
    /// It does nothing wrong.
    AllTheWay,
}

use Comes::{AllTheWay, InAndOut, Nowhere, ToAVolume, ToTheCatalog};

const CHANGED: &str = "comes back changed";
/// What becomes of a host that works for the plugin: fuel, however short the time is.
const OUT_OF_FUEL: &str = "it ran out of fuel";

const OUTCOMES: &[(&str, Comes)] = &[
    ("format_countless", ToAVolume("out of bounds", false)),
    ("format_counts_calls", ToAVolume("unreachable", true)),
    ("format_dawdles", AllTheWay),
    // Nobody shows it what it never made.
    ("format_decodes_anything", AllTheWay),
    ("format_floods_the_log", ToAVolume(OUT_OF_FUEL, true)),
    ("format_floods_when_cold", AllTheWay),
    ("format_gigantic_answer", ToAVolume("more than 8388608 bytes", false)),
    ("format_huge_answer", ToAVolume("more than 8388608 bytes", false)),
    ("format_inflates", ToAVolume(CHANGED, true)),
    ("format_lazy", AllTheWay),
    ("format_loop_in_decode_keys", ToAVolume("out of fuel", false)),
    ("format_loop_in_decode_values", ToAVolume("out of fuel", true)),
    ("format_loop_in_describe", Nowhere("within")),
    ("format_loop_in_encode_keys", ToAVolume("out of fuel", false)),
    ("format_loop_in_encode_values", ToAVolume("out of fuel", true)),
    ("format_loop_in_post_return", ToAVolume("out of fuel", false)),
    ("format_loop_in_properties", ToTheCatalog("within")),
    ("format_loop_in_realloc", ToAVolume("out of fuel", false)),
    ("format_loop_in_start", Nowhere("within")),
    ("format_memory_hog", ToAVolume("its limit is 67108864", false)),
    // The keys that it cannot tell apart are another test's.
    ("format_merges_keys", AllTheWay),
    ("format_refuse", ToTheCatalog("no\\nERROR all is lost")),
    ("format_too_few", ToAVolume("answered 0 keys, expected 1", false)),
    ("format_trap_in_third_call", InAndOut("unreachable")),
    ("format_turns_slow", AllTheWay),
    ("format_well_behaved", AllTheWay),
    ("format_whispers_for_ever", ToAVolume(OUT_OF_FUEL, true)),
];

/// Enough for several batches.
const KEYS: usize = 700;

struct Bench {
    mortise: Mortise,
    folder: TempDir,
    /// A client of the volume that is converted.
    client: Client,
    hash: u32,
}

impl Bench {
    async fn new(directory: &TempDir) -> Result<Self> {
        let mortise = Mortise::start(directory.path())?;
        ensure!(mortise.cli(&["volume", "create", "filled"])?.success(), "a volume is made");
        let mut client = Client::connect_volume(&mortise.endpoint(), "filled").await?;
        for number in 0..KEYS {
            client.put(format!("key {number}"), "value").await.ok().context("a put is accepted")?;
        }
        let hash = client.hash(0).await.ok().context("a hash")?.hash;
        Ok(Self { mortise, folder: TempDir::new()?, client, hash })
    }

    /// Runs a command that must fail with this in its message, in a few words.
    fn fails(&self, arguments: &[&str], says: &str) -> Result<()> {
        let finished = self.mortise.cli(arguments)?;
        ensure!(!finished.success(), "{arguments:?} passed");
        // A conversion tells first how far it has come.
        let error = finished.stderr.lines().find(|line| line.starts_with("error: "));
        let error = error.with_context(|| format!("{arguments:?}: no clear word: {finished:?}"))?;
        ensure!(error.contains(says), "{arguments:?}: expected {says:?} in {error}");
        ensure!(finished.stderr.len() < 4000, "{arguments:?}: {} bytes", finished.stderr.len());
        Ok(())
    }

    fn add(&self, name: &str, bytes: &[u8]) -> Result<[String; 4]> {
        let path = self.folder.path().join(format!("{name}.wasm"));
        fs::write(&path, bytes)?;
        let path = path.to_string_lossy().into_owned();
        Ok(["plugin".into(), "add".into(), path, format!("--name={name}")])
    }

    /// The filled volume is as it was.
    async fn is_untouched(&mut self) -> Result<()> {
        let status = self.mortise.cli_json(&["volume", "status", "filled"])?;
        ensure!(status["format"]["name"] == "natural", "{status}");
        ensure!(self.client.hash(0).await.ok().context("a hash")?.hash == self.hash, "it was changed");
        Ok(())
    }

    /// Takes one format as far as it comes.
    async fn goes(&mut self, name: &str, bytes: &[u8], comes: Comes) -> Result<()> {
        let name = name.replace('_', "-");
        let add = self.add(&name, bytes)?;
        let add: Vec<&str> = add.iter().map(String::as_str).collect();
        if let Nowhere(says) = comes {
            return self.fails(&add, says);
        }
        let added = self.mortise.cli(&add)?;
        ensure!(added.success(), "{added:?}");
        let create = ["volume", "create", &name, "--format", &name];
        if let ToTheCatalog(says) = comes {
            self.fails(&create, says)?;
            self.fails(&["volume", "convert", "filled", "--to", &name], says)?;
            return self.is_untouched().await;
        }
        let created = self.mortise.cli(&create)?;
        ensure!(created.success(), "{created:?}");
        let mut client = Client::connect_volume(&self.mortise.endpoint(), &name).await?;
        match comes {
            ToAVolume(says, readable) => self.costs_requests(&name, &mut client, says, readable).await?,
            InAndOut(says) => self.comes_and_goes(&name, &mut client, says).await?,
            _ => {
                client.put("key", "value").await.ok().context("a put is accepted")?;
                ensure!(self.shown_faults(&name)?.is_empty(), "nothing is held against it");
            }
        }
        if comes == AllTheWay {
            let job = self.mortise.cli_json(&["volume", "convert", "filled", "--to", &name])?;
            ensure!(job["state"] == "done", "{job}");
            let job = self.mortise.cli_json(&["volume", "convert", "filled", "--to", "natural"])?;
            ensure!(job["state"] == "done", "{job}");
        } else {
            let (ToAVolume(says, _) | InAndOut(says)) = comes else { return Ok(()) };
            // A batch has more records than a request, and with them more fuel than time.
            let says = match says {
                "out of fuel" => "did not finish in time",
                // Either may come first.
                OUT_OF_FUEL => "it ",
                "answered 0 keys, expected 1" => "answered 255 keys, expected 256",
                says => says,
            };
            self.fails(&["volume", "convert", "filled", "--to", &name], says)?;
        }
        self.is_untouched().await?;
        let deleted = self.mortise.cli(&["volume", "delete", &name])?;
        ensure!(deleted.success(), "{deleted:?}");
        Ok(())
    }

    /// No write passes, and a read that needs what is wrong fails; each is told why, and so is the operator.
    async fn costs_requests(
        &self,
        name: &str,
        client: &mut Client,
        says: &str,
        readable: bool,
    ) -> Result<()> {
        for _ in 0..3 {
            let refusal = client.put("key", "value").await.err().context("a put is accepted")?;
            ensure!(refusal.message.contains(says), "expected {says:?} in {refusal:?}");
        }
        match client.get("key").await {
            Ok(found) => ensure!(readable && found.is_none(), "{found:?} is no answer about the key"),
            Err(refusal) => ensure!(!readable && refusal.message.contains(says), "{refusal:?}"),
        }
        let faults = self.shown_faults(name)?;
        ensure!(faults.len() >= 3, "every fault is shown: {faults:?}");
        ensure!(faults.iter().all(|fault| fault["volume"] == name), "with its volume: {faults:?}");
        let status = self.mortise.cli_json(&["volume", "status", name])?;
        let problem = status["volume"]["problem"].as_str().unwrap_or_default();
        ensure!(problem.contains(name) && problem.contains("faulted"), "the status tells: {status}");
        ensure!(status["volume"]["state"] == "ready", "the volume is served all the same: {status}");
        Ok(())
    }

    /// Some requests pass and some fail; what was acknowledged is there.
    async fn comes_and_goes(&self, name: &str, client: &mut Client, says: &str) -> Result<()> {
        let mut written = Vec::new();
        for number in 0..20 {
            match client.put(format!("key {number}"), "value").await {
                Ok(_) => written.push(number),
                Err(refusal) => ensure!(refusal.message.contains(says), "{refusal:?}"),
            }
        }
        ensure!(!written.is_empty() && written.len() < 20, "{written:?} were written");
        for number in written {
            let key = format!("key {number}");
            let mut found = client.get(key.clone()).await;
            if found.is_err() {
                // A fresh instance serves at least one call.
                found = client.get(key).await;
            }
            ensure!(found.ok().flatten().is_some_and(|kv| kv.value == "value"), "{number} is lost");
        }
        ensure!(self.shown_faults(name)?.len() >= 3, "every fault is shown");
        Ok(())
    }

    fn shown_faults(&self, name: &str) -> Result<Vec<Value>> {
        let shown = self.mortise.cli_json(&["plugin", "show", name])?;
        Ok(shown["faults"].as_array().context("faults")?.clone())
    }
}

#[test]
fn every_format_has_an_outcome() {
    let stated: Vec<_> = OUTCOMES.iter().map(|(name, _)| *name).collect();
    let built: Vec<_> = guests::FORMATS.iter().map(|(name, _)| *name).collect();
    assert_eq!(stated, built);
}

/// Puts one key after the other until it is told to stop; how many there were. The first that fails ends it.
async fn write(mut client: Client, written: watch::Sender<usize>, stop: Arc<AtomicBool>) -> Result<usize> {
    let mut number = 0;
    while !stop.load(Ordering::SeqCst) {
        let put = client.put(format!("load {number}"), number.to_string()).await;
        ensure!(put.is_ok(), "write {number}: {put:?}");
        number += 1;
        written.send_replace(number);
    }
    Ok(number)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_format_disturbs_other_volumes_or_loses_anything() -> Result<()> {
    let directory = TempDir::new()?;
    let mut bench = Bench::new(&directory).await?;
    let client = Client::connect_within(&bench.mortise.endpoint(), "default", BESIDE_PLUGINS).await?;
    let (count, mut written) = watch::channel(0);
    let stop = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn(write(client, count, Arc::clone(&stop)));
    for ((name, bytes), (_, comes)) in guests::FORMATS.iter().zip(OUTCOMES) {
        let goal = *written.borrow() + 20;
        let goes_on = written.wait_for(|count| *count >= goal).await.is_ok();
        ensure!(goes_on, "the writer ended before {name}");
        bench.goes(name, bytes, *comes).await.with_context(|| format!("{name}, which comes {comes:?}"))?;
    }
    stop.store(true, Ordering::SeqCst);
    let acknowledged = writer.await?.context("a write to another volume failed")?;
    bench.mortise.kill()?;
    let mortise = Mortise::start(directory.path())?;
    let mut client = Client::connect(&mortise.endpoint()).await?;
    let content = client.content(0).await.ok().context("the content")?;
    let there = content.iter().filter(|kv| kv.key == format!("load {}", text(&kv.value))).count();
    ensure!(there == acknowledged, "{there} keys are there, {acknowledged} were acknowledged");
    mortise.stop()
}

fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}
