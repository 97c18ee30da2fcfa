//! `plugin check` asks a node: for every way in which `plugin add` is refused, it gives the same reason, with
//! the step and a cure, and leaves nothing behind on the node: no row, no history, no file.

use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use minisign::KeyPair;
use mortise_tests::{Bench, Client, bombs, guests};
use serde_json::Value;
use tokio::runtime::Runtime;

/// A node that is asked for its verdict.
struct Judge {
    bench: Bench,
    runtime: Runtime,
}

/// What a node has of plugins: the catalog's revision, which any row of any sort would raise, the index of
/// its log, and the names and digests of all files.
#[derive(Debug, PartialEq, Eq)]
struct Traces {
    revision: i64,
    raft_index: u64,
    files: BTreeMap<String, String>,
}

fn files(folder: &Path, below: &Path, into: &mut BTreeMap<String, String>) -> Result<()> {
    for entry in fs::read_dir(below).with_context(|| below.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            files(folder, &path, into)?;
        } else {
            let digest = mortise_plugin_runtime::Digest::of(&fs::read(&path)?).to_string();
            into.insert(path.strip_prefix(folder)?.display().to_string(), digest);
        }
    }
    Ok(())
}

impl Judge {
    fn new(arguments: &[&str]) -> Result<Self> {
        Ok(Self { bench: Bench::start(arguments)?, runtime: Runtime::new()? })
    }

    fn traces(&self) -> Result<Traces> {
        let status = self.runtime.block_on(async {
            let mut client = Client::connect_volume(&self.bench.mortise.endpoint(), "system").await?;
            anyhow::Ok(client.maintenance.status(mortise::pb::etcdserverpb::StatusRequest {}).await?)
        });
        let status = status?.into_inner();
        let revision = status.header.context("a header")?.revision;
        let mut found = BTreeMap::new();
        // The log and the volumes belong to the kernel, which may tidy up at any time.
        files(self.bench.data(), &self.bench.data().join("plugins"), &mut found)?;
        Ok(Traces { revision, raft_index: status.raft_index, files: found })
    }

    /// What a check of this file with these flags says; it must leave nothing behind.
    fn check(&self, file: &str, flags: &[&str]) -> Result<Value> {
        let before = self.traces()?;
        let line = [&["plugin", "check", file, "--node", "-o", "json"], flags].concat();
        let finished = self.bench.mortise.cli(&line)?;
        ensure!(self.traces()? == before, "{line:?} left something behind");
        let told: Value =
            serde_json::from_str(&finished.stdout).with_context(|| format!("{line:?}: {finished:?}"))?;
        ensure!(told["accepted"] == finished.success(), "{finished:?}");
        ensure!(
            told["node"] == self.bench.mortise.endpoint()
                && told["only_a_node_can_tell"] == serde_json::json!([])
        );
        Ok(told["checked"].clone())
    }

    /// A check and an addition refuse it, at this step, on this ground, in the same words.
    fn refuses(&self, file: &str, flags: &[&str], step: &str, ground: &str) -> Result<String> {
        let checked = self.check(file, flags)?;
        let refusal = &checked["refusal"];
        ensure!(refusal["step"] == step && refusal["ground"] == ground, "{file} {flags:?}: {checked}");
        ensure!(refusal["cure"].as_str().is_some_and(|cure| !cure.is_empty()), "{checked}");
        let added = self.bench.mortise.cli(&[&["plugin", "add", file], flags].concat())?;
        ensure!(!added.success(), "{file} {flags:?} is taken: {}", added.stdout);
        let reason = refusal["reason"].as_str().context("a reason")?;
        ensure!(added.stderr.trim_end() == format!("error: {reason}"), "{reason}\n{}", added.stderr);
        Ok(reason.to_owned())
    }

    /// A check says that it would be taken, and it is; then a check knows it.
    fn takes(&self, file: &str, flags: &[&str]) -> Result<Value> {
        let checked = self.check(file, flags)?;
        ensure!(checked["refusal"].is_null() && checked["admission"]["known"] == false, "{checked}");
        self.bench.plugin(&[&["add", file], flags].concat())?;
        ensure!(self.check(file, flags)?["admission"]["known"] == true, "it is there now");
        Ok(checked)
    }
}

fn sign(pair: &KeyPair, bytes: &[u8]) -> Result<String> {
    Ok(minisign::sign(None, &pair.sk, Cursor::new(bytes), Some("release 7"), None)?.to_string())
}

/// The id of a key, as minisign prints it.
fn id(pair: &KeyPair) -> Result<String> {
    let text = pair.pk.to_box()?.to_string();
    Ok(text.lines().next().and_then(|line| line.rsplit(' ').next()).context("an id")?.to_owned())
}

#[test]
fn signatures_are_asked_for_as_an_addition_would() -> Result<()> {
    let (mine, stranger) =
        (KeyPair::generate_unencrypted_keypair()?, KeyPair::generate_unencrypted_keypair()?);
    let key = mine.pk.to_base64();
    let judge = Judge::new(&["--require-signed", "--trusted-keys", &key])?;
    let bytes = mortise_plugins::COMPACTION_TIERED;
    let file = judge.bench.component("mine", bytes)?;
    let flags = ["--name", "mine"];
    let reason = judge.refuses(&file, &flags, "signature", "unsigned")?;
    ensure!(reason.contains(&id(&mine)?), "the key that is expected: {reason}");
    let beside = format!("{file}.minisig");
    fs::write(&beside, sign(&stranger, bytes)?)?;
    let reason = judge.refuses(&file, &flags, "signature", "wrong-signature")?;
    ensure!(reason.contains(&id(&mine)?) && reason.contains(&id(&stranger)?), "{reason}");
    for (text, words) in
        [(sign(&mine, b"something else")?, "does not hold"), ("nonsense".to_owned(), "no minisign signature")]
    {
        fs::write(&beside, text)?;
        let reason = judge.refuses(&file, &flags, "signature", "wrong-signature")?;
        ensure!(reason.contains(words), "{reason}");
    }
    fs::write(&beside, sign(&mine, bytes)?)?;
    let checked = judge.takes(&file, &flags)?;
    let signature = &checked["admission"]["signature"];
    ensure!(signature["kind"] == "signed" && signature["key_id"] == *id(&mine)?, "{signature}");
    // Judged by the defaults, nobody asks for a signature, and that is said.
    fs::remove_file(&beside)?;
    let told = judge.bench.mortise.cli_json(&["plugin", "check", &file])?;
    ensure!(told["accepted"] == true && told["node"].is_null(), "{told}");
    ensure!(
        told["only_a_node_can_tell"][0].as_str().is_some_and(|what| what.contains("signature")),
        "{told}"
    );
    Ok(())
}

/// Files that are refused by what they are, with step and ground.
fn bad_files() -> Vec<(&'static str, Vec<u8>, &'static str, &'static str)> {
    let good = guests::LEFTOVER;
    vec![
        ("empty", Vec::new(), "read", "not-wasm"),
        ("text", b"(component)".to_vec(), "read", "not-wasm"),
        ("large", bombs::padded(good, 33 << 20), "size", "too-large"),
        ("damaged", b"\0asm\x0d\0\x01\0\xff\xff".to_vec(), "read", "malformed"),
        ("module", guests::CORE_MODULE.to_vec(), "read", "core-module"),
        ("other-world", guests::OTHER_WORLD.to_vec(), "read", "other-world"),
        ("half", guests::HALF_A_WORLD.to_vec(), "read", "other-world"),
        ("version", guests::UNKNOWN_VERSION.to_vec(), "read", "unknown-version"),
        ("sockets", guests::IMPORTS_SOCKETS.to_vec(), "read", "refused-imports"),
        ("giant", guests::MEMORY_GIANT.to_vec(), "read", "starts-too-big"),
        ("tables", guests::TABLE_GIANT.to_vec(), "read", "starts-too-big"),
        ("function", bombs::jumps(good, 1, 1 << 20), "read", "function-too-large"),
        ("clock", guests::IMPORTS_CLOCK.to_vec(), "capabilities", "not-granted"),
        ("invalid", bombs::jumps(good, 1, 500_000), "compile", "malformed"),
        ("types", guests::WRONG_TYPES.to_vec(), "compile", "unfit"),
        ("instances", bombs::instances(good, 500), "compile", "no-room"),
        ("trap", guests::TRAP_IN_START.to_vec(), "describe", "describe-trap"),
        ("loop", guests::LOOP_IN_DESCRIBE.to_vec(), "describe", "describe-deadline"),
        ("bomb", guests::MEMORY_BOMB.to_vec(), "describe", "describe-memory"),
        ("huge-name", guests::HUGE_NAME.to_vec(), "describe", "describe-answer"),
        ("bad-name", guests::BAD_NAME.to_vec(), "describe", "describe-answer"),
    ]
}

#[test]
fn every_bad_file_is_refused_by_a_check_as_by_an_addition() -> Result<()> {
    let judge = Judge::new(&[])?;
    for (name, bytes, step, ground) in bad_files() {
        let file = judge.bench.component(name, &bytes)?;
        let reason = judge.refuses(&file, &[], step, ground)?;
        // The desk comes to the same verdict, where no node is needed for it.
        let told = judge.bench.mortise.cli(&["plugin", "check", &file, "-o", "json"])?;
        let told: Value = serde_json::from_str(&told.stdout)?;
        let found = &told["checked"]["refusal"];
        ensure!(found["step"] == step && found["ground"] == ground, "{name}: {told}");
        ensure!(ground == "too-large" || found["reason"] == *reason, "{name}: {reason}: {told}");
    }
    Ok(())
}

#[test]
fn names_versions_and_worlds_are_compared_with_the_catalog_of_the_node() -> Result<()> {
    let judge = Judge::new(&[])?;
    let quiet = mortise_plugins::COMPACTION_QUIET;
    let other = judge.bench.component("other", &bombs::distinct(quiet, 1))?;
    let reason = judge.refuses(&other, &[], "catalog", "version-taken")?;
    ensure!(reason.contains("compaction-quiet") && reason.contains("digest"), "a shipped name: {reason}");
    for (name, ground) in [
        ("native", "plugin-name"),
        ("Not A Name", "plugin-name"),
        ("format-hierarchical", "name-of-other-world"),
    ] {
        judge.refuses(&other, &["--name", name], "catalog", ground)?;
    }
    judge.takes(&other, &["--name", "mine"])?;
    let third = judge.bench.component("third", &bombs::distinct(quiet, 2))?;
    judge.refuses(&third, &["--name", "mine"], "catalog", "version-taken")?;
    // What is removed is gone for a check, too.
    judge.bench.plugin(&["remove", "mine"])?;
    judge.takes(&third, &["--name", "mine"]).map(drop)
}

#[test]
fn grants_and_limits_are_those_that_the_plugin_has_on_the_node() -> Result<()> {
    let judge = Judge::new(&[])?;
    let clock = judge.bench.component("clock", guests::WASI_CLOCK)?;
    let reason = judge.refuses(&clock, &["--name", "mine"], "capabilities", "not-granted")?;
    ensure!(reason.contains("--grant wasi-minimal"), "{reason}");
    judge.refuses(&clock, &["--grant", "sockets"], "capabilities", "no-such-capability")?;
    judge.takes(&clock, &["--name", "mine", "--grant", "wasi-minimal"])?;
    // A further version of it needs no flag; another plugin does.
    let again = judge.bench.component("again", guests::WASI_DICE)?;
    judge.refuses(&again, &["--name", "yours"], "capabilities", "not-granted")?;
    let checked = judge.check(&again, &["--name", "mine"])?;
    ensure!(checked["refusal"]["ground"] == "version-taken", "as far as the catalog: {checked}");

    // A Rust guest needs more than a MiB at its start.
    let quiet = judge.bench.component("quiet", mortise_plugins::COMPACTION_QUIET)?;
    let checked = judge.takes(&quiet, &["--name", "small"])?;
    ensure!(checked["admission"]["limits"]["memory_bytes"] == 16 << 20, "{checked}");
    judge.bench.plugin(&["limits", "small", "--memory", "1MiB"])?;
    let tiered = judge.bench.component("tiered", mortise_plugins::COMPACTION_TIERED)?;
    judge.refuses(&tiered, &["--name", "small"], "describe", "describe-memory")?;
    ensure!(
        judge.bench.mortise.cli_json(&["plugin", "check", &tiered])?["accepted"] == true,
        "by the defaults"
    );
    Ok(())
}

#[test]
fn a_verdict_says_who_judged_and_a_node_that_is_not_there_is_named() -> Result<()> {
    let judge = Judge::new(&[])?;
    let file = judge.bench.component("quiet", mortise_plugins::COMPACTION_QUIET)?;
    let by_defaults = judge.bench.plugin(&["check", &file])?;
    for part in ["a host would take it", "judged by", "the defaults", "--endpoint", "whether a signature is"]
    {
        ensure!(by_defaults.contains(part), "{part}: {by_defaults}");
    }
    let endpoint = judge.bench.mortise.endpoint();
    let by_node = judge.bench.plugin(&["check", &file, "--endpoint", &endpoint])?;
    for part in [&*format!("the node at {endpoint} would take it"), "it has this very component already"] {
        ensure!(by_node.contains(part), "{part}: {by_node}");
    }
    ensure!(!by_node.contains("the defaults"), "{by_node}");
    let nobody = judge.bench.mortise.cli(&["plugin", "check", &file, "--endpoint", "http://127.0.0.1:1"])?;
    ensure!(nobody.code == Some(1) && nobody.stderr.contains("cannot reach"), "{nobody:?}");
    let module = judge.bench.component("module", guests::CORE_MODULE)?;
    let refused = judge.bench.mortise.cli(&["plugin", "check", &module, "--node"])?;
    ensure!(refused.code == Some(1) && refused.stderr.contains(&endpoint), "{refused:?}");
    ensure!(refused.stdout.contains("step: read") && refused.stdout.contains("usual cure"), "{refused:?}");
    Ok(())
}
