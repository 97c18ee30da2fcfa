//! What was released goes on to work: the contract's frozen folders don't change, and components that were
//! built for an older version answer as they did when they were frozen.
//!
//! `fixtures/v0.1.0` has the three shipped strategies as they were built from the last sources that used
//! version 0.1.0, and their answers; `fixtures/v0.2.0` a strategy and a format. They are asked directly, and
//! they serve on a node. `docs/plugins/versioning.md`
//! names the sources of both. To freeze further answers, run the suite with `MORTISE_RECORD=1` and read the
//! difference before committing it.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mortise_plugin_runtime::compaction::{CompactionStrategy, canned_views};
use mortise_plugin_runtime::format::{Format, Mode};
use mortise_plugin_runtime::{Call, Digest, FaultKind, Limits, Runtime, RuntimeConfig, World};
use mortise_tests::frozen::{self, fixture, root};
use mortise_tests::{Bench, Client, Load, seed};

/// Patient, because the machine that runs the tests may be busy.
const LIMITS: Limits =
    Limits { memory_bytes: 16 << 20, deadline: Duration::from_secs(20), answer_bytes: 64 << 10, fuel: None };

/// Files that never change again, by their SHA-256.
const FROZEN: &[(&str, &str)] = &[
    ("wit/v0.1.0/compaction.wit", "6dc9f02d14a67574cec568ef48bed98e71b66404db87a6251ff1532e84cf8920"),
    ("wit/v0.1.0/package.wit", "da6da1a7adef5dace69389f155c1b7890bcdccf07d6262810728c4b317f5d977"),
    ("wit/v0.2.0/compaction.wit", "95ec0d8d0e2e2fef97d67b877831bd2aae941615909f0faf704f295a971ee9fc"),
    ("wit/v0.2.0/format.wit", "f9ce71e99f470138a0b97c57fc4524cdb9aacd518a4f08bdb2c3255485da33bb"),
    ("wit/v0.2.0/package.wit", "1362352406643fec4584a21de95b82963fd7a05473f4937351de8e5ea981c2d9"),
    (
        "tests/fixtures/v0.1.0/compaction-leveled.wasm",
        "a8b70a2e8b9877d6f03ca54e7e4d47cfa41e79cfe7ee94f54c9bf5b3be678fb3",
    ),
    (
        "tests/fixtures/v0.1.0/compaction-quiet.wasm",
        "196217ebc8cc1238ffa82d8c02c612629836e05269f7f0d8e2e29fa9d4a1b751",
    ),
    (
        "tests/fixtures/v0.1.0/compaction-tiered.wasm",
        "18c0b29ec470c5d6d42ffea41ea17d23330d42ade680c5e6aa54e2cfb086a5ee",
    ),
    (
        "tests/fixtures/v0.2.0/compaction-tiered.wasm",
        "57079ea233b17ea0bffe16335490272c2bbecccc577ff6a5572305103bd3762a",
    ),
    (
        "tests/fixtures/v0.2.0/format-dictionary.wasm",
        "e57ba2dc05010fb6e8433d446aee433e0a87290d5787cc6ddef10b5bc0a38b78",
    ),
];

/// Configurations that each strategy is asked under; the last is refused.
const CONFIGS: &[(&str, &[&str])] = &[
    ("compaction-leveled", &["{}", r#"{"l0_threshold": 8, "level_ratio": 4.5}"#, r#"{"level_ratio": 1}"#]),
    ("compaction-quiet", &["{}", r#"{"busy_write_rate": 100}"#, r#"{"ask_again_ms": 0}"#]),
    ("compaction-tiered", &["{}", r#"{"l0_runs": 2, "max_space_percent": 30}"#, r#"{"l0_runs": 1}"#]),
];

#[test]
fn frozen_files_do_not_change() -> Result<()> {
    for (file, digest) in FROZEN {
        let found = Digest::of(&std::fs::read(root().join(file)).context(*file)?).to_string();
        assert_eq!(found, *digest, "{file} is frozen; a change of the contract goes into a new folder");
    }
    for (folder, expected) in [
        ("wit/v0.1.0", &["compaction.wit", "package.wit"][..]),
        ("wit/v0.2.0", &["compaction.wit", "format.wit", "package.wit"]),
    ] {
        let mut files: Vec<_> = std::fs::read_dir(root().join(folder))?.collect::<Result<_, _>>()?;
        files.sort_by_key(std::fs::DirEntry::file_name);
        let names: Vec<_> =
            files.iter().map(|file| file.file_name().to_string_lossy().into_owned()).collect();
        assert_eq!(names, expected, "nothing is added to the frozen folder {folder}");
    }
    Ok(())
}

#[test]
fn components_of_version_0_1_0_answer_as_when_they_were_frozen() -> Result<()> {
    let (runtime, trees) = (Runtime::new(RuntimeConfig::default())?, frozen::trees());
    let mut answers = String::new();
    for (name, configs) in CONFIGS {
        let component = fixture(&runtime, "v0.1.0", name)?;
        let description = component.description();
        assert_eq!(
            (description.world, description.wit_version.as_str()),
            (World::CompactionStrategy, "0.1.0")
        );
        let identity = component.identity(&LIMITS)?;
        writeln!(answers, "{} {}: {}", identity.name, identity.version, identity.summary)?;
        let strategy = component.compaction_strategy(LIMITS)?;
        for config in *configs {
            for (number, tree) in trees.iter().enumerate() {
                let call = Call { config: (*config).to_owned(), now: 1_700_000_000_000, seed: 7 };
                let answer = match strategy.decide(&call, tree) {
                    Ok(decision) => {
                        assert_eq!(decision.reason, "", "version 0.1.0 knows no reasons");
                        format!("{:?}", decision.step)
                    }
                    Err(fault) => format!("{}: {fault}", fault.kind),
                };
                writeln!(answers, "{config} tree {number}: {answer}")?;
            }
        }
    }
    frozen::compare("v0.1.0", &answers)
}

#[test]
fn components_of_version_0_1_0_cope_with_all_that_today_s_views_hold() -> Result<()> {
    let runtime = Runtime::new(RuntimeConfig::default())?;
    for (name, configs) in CONFIGS {
        let strategy = fixture(&runtime, "v0.1.0", name)?.compaction_strategy(LIMITS)?;
        for (view_name, view) in canned_views() {
            let call = |config: &str| Call { config: config.to_owned(), now: 0, seed: 1 };
            strategy.decide(&call(configs[0]), &view).with_context(|| format!("{name}: {view_name}"))?;
            let refused = configs.last().context("a configuration")?;
            let fault = strategy.decide(&call(refused), &view).expect_err("it is refused");
            assert_eq!(fault.kind, FaultKind::Refused, "{name}: {view_name}: {fault}");
        }
    }
    Ok(())
}

/// Answers of the frozen strategy to the recorded questions, one on a line.
fn decided(strategy: &CompactionStrategy, answers: &mut String) -> Result<()> {
    for config in CONFIGS.iter().find(|(name, _)| *name == "compaction-tiered").context("it is there")?.1 {
        for (number, tree) in frozen::trees().iter().enumerate() {
            let call = Call { config: (*config).to_owned(), now: 1_700_000_000_000, seed: 7 };
            let answer = match strategy.decide(&call, tree) {
                Ok(decision) => format!("{:?} because {}", decision.step, decision.reason),
                Err(fault) => format!("{}: {fault}", fault.kind),
            };
            writeln!(answers, "{config} tree {number}: {answer}")?;
        }
    }
    Ok(())
}

/// Configurations of the frozen format; the last is refused.
const FORMATS: [&str; 3] = [
    "{}",
    r#"{"id": 7, "dictionary": "{\"kind\":\"Pod\",\"metadata\":{\"namespace\":\"default\"", "min_bytes": 8}"#,
    r#"{"id": 0, "dictionary": "without an identifier"}"#,
];

/// Answers of the frozen format: what it makes of these records, and of what it has made.
fn translated(format: &Format, answers: &mut String) -> Result<()> {
    let properties = match format.properties() {
        Ok(properties) => properties,
        Err(fault) => return Ok(writeln!(answers, "{}: {fault}", fault.kind)?),
    };
    writeln!(answers, "{properties:?}")?;
    let keys: [&[u8]; 4] = [b"/a", b"/registry/pods/default/a", b"\0\xff", b"key"];
    let pod = br#"{"kind":"Pod","metadata":{"namespace":"default","name":"web-0"},"spec":{}}"#;
    let long = [b'x'; 300];
    let values: [&[u8]; 4] = [b"short", pod, &long, b"\x01damaged"];
    let mode = Mode::Request { within: LIMITS.deadline };
    let encoded = format.encode(&keys, &values, mode)?;
    writeln!(answers, "encoded {:?} {:?}", encoded.keys, encoded.values)?;
    let stored = |part: &[Result<Vec<u8>, String>]| part.iter().flatten().cloned().collect::<Vec<_>>();
    let (stored_keys, stored_values) = (stored(&encoded.keys), stored(&encoded.values));
    let decoded = format.decode(&stored_keys, &stored_values, mode)?;
    assert_eq!(stored(&decoded.keys), keys, "keys come back");
    assert_eq!(stored(&decoded.values), values, "values come back");
    // What it never made is refused, and must go on to be.
    let strange = format.decode(&keys, &values, mode)?;
    Ok(writeln!(answers, "strange {:?}", strange.values)?)
}

#[test]
fn components_of_version_0_2_0_answer_as_when_they_were_frozen() -> Result<()> {
    let runtime = Runtime::new(RuntimeConfig::default())?;
    let mut answers = String::new();
    for (name, world) in
        [("compaction-tiered", World::CompactionStrategy), ("format-dictionary", World::Format)]
    {
        let component = fixture(&runtime, "v0.2.0", name)?;
        let description = component.description();
        assert_eq!((description.world, description.wit_version.as_str()), (world, "0.2.0"));
        let identity = component.identity(&LIMITS)?;
        writeln!(answers, "{} {}: {}", identity.name, identity.version, identity.summary)?;
        if world == World::CompactionStrategy {
            decided(&component.compaction_strategy(LIMITS)?, &mut answers)?;
        } else {
            for config in FORMATS {
                translated(&component.format(LIMITS, config)?, &mut answers)?;
            }
        }
    }
    frozen::compare("v0.2.0", &answers)
}

#[test]
fn the_strategy_of_version_0_2_0_copes_with_all_that_today_s_views_hold() -> Result<()> {
    let runtime = Runtime::new(RuntimeConfig::default())?;
    let strategy = fixture(&runtime, "v0.2.0", "compaction-tiered")?.compaction_strategy(LIMITS)?;
    let mut reasons = 0;
    for (name, view) in canned_views() {
        let call = Call { config: "{}".to_owned(), now: 0, seed: 1 };
        let decision = strategy.decide(&call, &view).with_context(|| name.to_owned())?;
        reasons += usize::from(!decision.reason.is_empty());
    }
    assert!(reasons > 0, "version 0.2.0 gives reasons");
    Ok(())
}

/// Adds a frozen component under a name of its own; its calls may take long on a busy machine.
fn add(bench: &Bench, version: &str, name: &str, world: World) -> Result<String> {
    let own = format!("old-{name}");
    bench.add(&own, &frozen::bytes(version, name)?)?;
    bench.plugin(&["limits", &own, "--deadline", "20s"])?;
    let shown = bench.json(&["show", &own])?["versions"][0].clone();
    ensure!(shown["wit_version"] == version[1..] && shown["world"] == world.as_str(), "{shown}");
    Ok(own)
}

/// Every frozen strategy is added, rehearsed and put into service, and decides about a tree that is written
/// to, without a fault.
#[tokio::test(flavor = "multi_thread")]
async fn frozen_strategies_serve_on_a_node() -> Result<()> {
    let bench = Bench::start(&["--memtable-size", "256KiB"])?;
    let mut rng = seed::rng("frozen_strategies_serve_on_a_node");
    let mut load = Load::start(&bench.mortise.endpoint(), "load", 4, &mut rng).await?;
    for (version, name) in [
        ("v0.1.0", "compaction-leveled"),
        ("v0.1.0", "compaction-quiet"),
        ("v0.1.0", "compaction-tiered"),
        ("v0.2.0", "compaction-tiered"),
    ] {
        let own = add(&bench, version, name, World::CompactionStrategy)?;
        bench.plugin(&["use", &own, "--volume", "default"])?;
        let counted = |metric, outcome: &[(&str, &str)]| {
            bench.metric(metric, &[&[("volume", "default"), ("plugin", &own)], outcome].concat())
        };
        let before = load.acknowledged();
        while counted("mortise_plugin_calls_total", &[("outcome", "ok")])? < 2.5 {
            let written = load.acknowledged() - before;
            ensure!(written < 20_000, "{own} was not asked three times in {written} writes");
            load.reach(load.acknowledged() + 100).await?;
        }
        ensure!(counted("mortise_plugin_faults_total", &[])? < 0.5, "{own} faults");
        let status = bench.mortise.cli_json(&["volume", "status", "default"])?;
        ensure!(status["strategy"]["serving"]["plugin"] == *own, "{status}");
        bench.plugin(&["use", "compaction-leveled", "--volume", "default"])?;
        bench.plugin(&["remove", &own])?;
    }
    let attempts = load.finish().await?;
    let failed = attempts.iter().find_map(|attempt| attempt.outcome.as_ref().err());
    ensure!(failed.is_none(), "a request failed: {failed:?}");
    bench.mortise.stop()
}

/// The frozen format is added, and a volume is created in it, another converted to it; both are read again
/// after a restart, when the log is replayed through it.
#[tokio::test(flavor = "multi_thread")]
async fn the_frozen_format_stores_volumes_on_a_node() -> Result<()> {
    const VALUE: &str = r#"{"kind":"Pod","metadata":{"namespace":"default","name":"web-0"},"spec":{}}"#;
    let bench = Bench::start(&[])?;
    let own = add(&bench, "v0.2.0", "format-dictionary", World::Format)?;
    let config = FORMATS[1];
    bench.works(&["volume", "create", "born", "--format", &own, "--format-config", config])?;
    bench.works(&["volume", "create", "made"])?;
    for volume in ["born", "made"] {
        let mut client = Client::connect_volume(&bench.mortise.endpoint(), volume).await?;
        for number in 0..100 {
            client.put(format!("/registry/pods/{number}"), VALUE).await.ok().context("a put")?;
        }
    }
    bench.works(&["volume", "convert", "made", "--to", &own, "--format-config", config])?;
    let bench = bench.restart(&[])?;
    for volume in ["born", "made"] {
        let mut client = Client::connect_volume(&bench.mortise.endpoint(), volume).await?;
        for number in 0..100 {
            let found = client.get(format!("/registry/pods/{number}")).await.ok().flatten();
            ensure!(found.is_some_and(|kv| kv.value == VALUE), "{volume}: pod {number} is lost");
        }
        let format = bench.mortise.cli_json(&["volume", "status", volume])?["format"].clone();
        ensure!(format["name"] == *own, "{format}");
    }
    ensure!(bench.json(&["show", &own])?["faults"] == serde_json::json!([]), "it faults");
    bench.mortise.stop()
}
