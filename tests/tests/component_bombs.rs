//! Components that are big, deep, or damaged: each has a stated outcome, and none harms the process that
//! reads it. They are compiled as the daemon does it, by a process with limits; one of them by the daemon.

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use mortise_plugin_runtime::{CompileLimits, Compiler, Digest, Error, Limits, Runtime, RuntimeConfig};
use mortise_tests::{Inventory, Load, Mortise, bombs, guests, mortise_binary, print_longest_put, run, seed};
use rand::Rng as _;
use tempfile::TempDir;

const GOOD: &[u8] = guests::LEFTOVER;

fn runtime() -> Arc<Runtime> {
    let program = mortise_binary().expect("the mortise binary");
    let limits = CompileLimits { cpu: Duration::from_secs(5), ..CompileLimits::default() };
    let compiler = Compiler::Child { program, arguments: vec!["compile-plugin".into()], limits };
    Runtime::new(RuntimeConfig { compiler, ..RuntimeConfig::default() }).expect("an engine")
}

/// Loads a component and asks it who it is; the error in short.
fn outcome(runtime: &Runtime, component: &[u8]) -> String {
    let error = match runtime.load(component) {
        Err(error) => error,
        Ok(component) => {
            let limits = Limits { deadline: Duration::from_secs(10), ..Limits::default() };
            return match component.identity(&limits) {
                Ok(identity) => format!("it is {}", identity.name),
                Err(fault) => format!("{}: {fault}", fault.kind),
            };
        }
    };
    assert!(error.is_component_fault(), "{error}");
    let text = error.to_string();
    assert!(text.len() < 3_000, "a flood of words is passed on: {} bytes", text.len());
    text
}

#[test]
fn each_bomb_meets_its_outcome() {
    let runtime = runtime();
    let cases: [(&str, Vec<u8>, &str); 12] = [
        ("100 MB", bombs::padded(GOOD, 100 << 20), "allowed are 33554432"),
        ("code of 50,000 variables each", bombs::locals(GOOD, 20_000), "more than 5s of processor time"),
        ("a function of 1 MiB", bombs::jumps(GOOD, 1, 1 << 20), "has a function of"),
        ("a jump to 500,000 places", bombs::jumps(GOOD, 1, 500_000), "has 500000 targets, which exceeds"),
        ("jumps to 65,000 places", bombs::jumps(GOOD, 4, 65_000), "it is misbehaving"),
        ("2,000 blocks in each other", bombs::nested_blocks(GOOD, 2_000), "it is misbehaving"),
        (
            "150,000 blocks in each other",
            bombs::nested_blocks(GOOD, 150_000),
            "more than 5s of processor time|it is misbehaving",
        ),
        ("a thousand instances", bombs::instances(GOOD, 1_000), "count exceeds limit of 1000"),
        (
            "five hundred instances",
            bombs::instances(GOOD, 500),
            "exceeds the configured maximum of 64|it is misbehaving",
        ),
        ("a hundred components in each other", bombs::nested_components(GOOD, 100), "it is misbehaving"),
        ("a type of 2^40 fields", doubled_types(40), "effective type size exceeds the limit"),
        ("a name of 90,000 bytes", long_name(), "is not granted to plugins"),
    ];
    for (name, component, expected) in cases {
        let found = outcome(&runtime, &component);
        // Where two are stated, the machine decides: how fast it is, whether it has room for a pool.
        assert!(
            expected.split('|').any(|one| found.contains(one)),
            "{name}: expected {expected:?}, found {found:?}"
        );
    }
    assert_eq!(outcome(&runtime, GOOD), "it is misbehaving");
}

/// Tuples of tuples, each twice as large as the one before.
fn doubled_types(doublings: usize) -> Vec<u8> {
    let mut text = "(component (type $t0 (tuple u8 u8))".to_owned();
    for number in 1..=doublings {
        text += &format!("(type $t{number} (tuple $t{0} $t{0}))", number - 1);
    }
    text += r#"(instance $i) (export "mortise:plugin/plugin@0.1.0" (instance $i))
        (export "mortise:plugin/compaction@0.1.0" (instance $i)))"#;
    wat::parse_str(text).expect("a component")
}

fn long_name() -> Vec<u8> {
    let name = format!("a{}", "-b".repeat(45_000));
    let text = format!(
        r#"(component (import "{name}" (func)) (instance $i)
        (export "mortise:plugin/plugin@0.1.0" (instance $i))
        (export "mortise:plugin/compaction@0.1.0" (instance $i)))"#
    );
    wat::parse_str(text).expect("a component")
}

/// Damages every thousandth byte of a shipped plugin, one at a time. Most damage is found; what is not leaves
/// a component that runs in the sandbox like any other.
#[test]
fn damage_at_every_thousandth_byte_is_found_or_contained() {
    let mut rng = seed::rng("damage_at_every_thousandth_byte_is_found_or_contained");
    let runtime = Runtime::new(RuntimeConfig::default()).expect("an engine");
    let whole = mortise_plugins::COMPACTION_LEVELED;
    let limits = Limits { deadline: Duration::from_millis(500), ..Limits::default() };
    let (mut refused, mut faulted, mut served) = (0, 0, 0);
    for place in (0..whole.len()).step_by(1_000) {
        let mut damaged = whole.to_vec();
        damaged[place] ^= rng.random_range(1..=255_u8);
        match runtime.load(&damaged) {
            Err(error) => {
                assert!(
                    error.is_component_fault() && error.to_string().len() < 3_000,
                    "byte {place}: {error}"
                );
                refused += 1;
            }
            Ok(component) => match component.identity(&limits) {
                Ok(_) => served += 1,
                Err(_) => faulted += 1,
            },
        }
    }
    assert!(refused > 0 && refused + faulted + served == whole.len().div_ceil(1_000), "{refused} refused");
    let good = runtime.load(whole).expect("it is whole again");
    assert_eq!(good.identity(&limits).expect("an answer").name, "compaction-leveled");
}

/// A small file of enormous code comes to a node that is written to. It takes all the processor time that
/// compiling may take, is refused, and leaves a row of the history.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_given_a_bomb_goes_on_serving() -> Result<()> {
    let mut rng = seed::rng("a_node_that_is_given_a_bomb_goes_on_serving");
    let (data, folder) = (TempDir::new()?, TempDir::new()?);
    let mortise = Mortise::start(data.path())?;
    let (bomb, path) = (bombs::locals(GOOD, 60_000), folder.path().join("bomb.wasm"));
    ensure!(bomb.len() < 1_000_000, "{} bytes are not small", bomb.len());
    fs::write(&path, &bomb)?;
    let before = Inventory::take(&mortise, data.path()).await?;
    let load = Load::beside_plugins(&mortise.endpoint(), 1, &mut rng).await?;
    let mut add = Command::new(mortise_binary()?);
    add.args(["plugin", "add", "--name", "bomb", "--timeout", "5m"]).arg(&path);
    add.env("MORTISE_ENDPOINT", mortise.endpoint());
    let added = tokio::task::spawn_blocking(move || run(&mut add, b"", Duration::from_secs(300))).await??;
    ensure!(added.code == Some(1), "{added:?}");
    ensure!(added.stderr.contains("cannot be compiled within its limits"), "{added:?}");
    let attempts = load.finish().await?;
    print_longest_put("a_node_that_is_given_a_bomb_goes_on_serving", &attempts);
    let failed = attempts.iter().find_map(|attempt| attempt.outcome.as_ref().err());
    ensure!(failed.is_none() && !attempts.is_empty(), "a request failed: {failed:?}");
    let after = Inventory::take(&mortise, data.path()).await?;
    after.tells_only_of_a_refusal(&before, "plugin-add", &Digest::of(&bomb).to_string(), 1)?;
    fs::write(&path, GOOD)?;
    let good = mortise.cli(&["plugin", "add", &path.to_string_lossy(), "--name", "good"])?;
    ensure!(good.success(), "{good:?}");
    mortise.stop()
}

/// Every prefix of a component is refused, and says so.
#[test]
fn truncated_components_are_refused() {
    let runtime = Runtime::new(RuntimeConfig::default()).expect("an engine");
    for length in (0..GOOD.len()).step_by(7) {
        let error = runtime.inspect(&GOOD[..length]).expect_err("it is truncated");
        assert!(
            matches!(error, Error::NotWasm { .. } | Error::Malformed { .. } | Error::OtherWorld { .. }),
            "{length} bytes: {error:?}"
        );
    }
}
