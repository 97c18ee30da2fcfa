//! The compile cache: a restart compiles nothing that was compiled before, whatever happened to the cache is
//! noticed, and deleting it costs only time.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use mortise_plugin_runtime::{Runtime, RuntimeConfig};
use mortise_tests::{Mortise, bombs, guests, page, sample};
use tempfile::TempDir;

const PLUGINS: u64 = 20;

fn runtime(dir: &Path) -> Arc<Runtime> {
    let config = RuntimeConfig { cache_dir: Some(dir.to_owned()), ..RuntimeConfig::default() };
    Runtime::new(config).expect("an engine")
}

/// Loads all plugins as a start does; returns how many were compiled.
fn start(dir: &Path) -> u64 {
    let runtime = runtime(dir);
    for number in 0..PLUGINS {
        runtime.load(&bombs::distinct(guests::LEFTOVER, number)).expect("a component");
    }
    runtime.compilations()
}

/// The compiled components in a cache.
fn artifacts(dir: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(dir).expect("the cache").map(|entry| entry.expect("an entry").path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|it| it == "cwasm")).collect();
    files.sort();
    files
}

#[test]
fn a_restart_compiles_nothing() {
    let dir = TempDir::new().expect("a directory");
    assert_eq!(start(dir.path()), PLUGINS);
    assert_eq!(artifacts(dir.path()).len(), 20);
    for _ in 0..3 {
        assert_eq!(start(dir.path()), 0);
    }
}

#[test]
fn what_is_wrong_with_the_cache_is_noticed_and_made_good() {
    let dir = TempDir::new().expect("a directory");
    start(dir.path());
    let files = artifacts(dir.path());
    type Damage<'a> = (&'a str, &'a dyn Fn(&Path));
    let damage: [Damage<'_>; 5] = [
        ("a flipped bit", &|path| {
            let mut bytes = fs::read(path).expect("an artifact");
            let middle = bytes.len() / 2;
            bytes[middle] ^= 4;
            fs::write(path, bytes).expect("writing");
        }),
        ("a truncated file", &|path| {
            let bytes = fs::read(path).expect("an artifact");
            fs::write(path, &bytes[..bytes.len() - 1]).expect("writing");
        }),
        ("an empty file", &|path| fs::write(path, b"").expect("writing")),
        ("a missing file", &|path| fs::remove_file(path).expect("removing")),
        ("another plugin's artifact", &|path| {
            let other = files.iter().find(|other| *other != path).expect("another");
            fs::copy(other, path).expect("copying");
        }),
    ];
    for (what, damage) in damage {
        damage(&files[3]);
        assert_eq!(start(dir.path()), 1, "{what}");
        assert_eq!(start(dir.path()), 0, "{what}");
    }
}

#[test]
fn without_its_key_a_cache_is_worth_nothing() {
    let dir = TempDir::new().expect("a directory");
    start(dir.path());
    let key = dir.path().join("key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("permissions");
    assert_eq!(start(dir.path()), PLUGINS, "others may have read the key, and so made artifacts");
    fs::remove_file(&key).expect("removing");
    assert_eq!(start(dir.path()), PLUGINS);
    assert_eq!(start(dir.path()), 0);
}

#[test]
fn deleting_the_cache_is_safe_at_any_time() {
    let dir = TempDir::new().expect("a directory");
    let cache = dir.path().join("cache");
    let runtime = runtime(&cache);
    let first = runtime.load(&bombs::distinct(guests::LEFTOVER, 0)).expect("a component");
    fs::remove_dir_all(&cache).expect("removing");
    runtime.load(&bombs::distinct(guests::LEFTOVER, 1)).expect("it is compiled, and not kept");
    runtime.evict(&first.description().digest.to_string());
    runtime.evict_all_but(&BTreeSet::new());
    first.identity(&mortise_plugin_runtime::Limits::default()).expect("what was loaded goes on to work");
    drop(runtime);
    assert_eq!(start(&cache), PLUGINS);
}

/// Compilations and cache hits since the node started.
fn compiled(mortise: &Mortise) -> Result<(f64, f64)> {
    let metrics = page(&mortise.http, "/metrics")?;
    let sum = |name| sample(&metrics, name, &[]).unwrap_or_default();
    Ok((sum("mortise_plugin_compilations_total"), sum("mortise_plugin_compile_cache_hits_total")))
}

/// Every volume is served by its own plugin.
fn all_serve(mortise: &Mortise) -> Result<()> {
    for number in 0..PLUGINS {
        let status = mortise.cli_json(&["volume", "status", &format!("v{number}")])?;
        let strategy = &status["strategy"]["serving"];
        ensure!(strategy["plugin"] == format!("p{number}").as_str(), "volume v{number}: {strategy}");
    }
    Ok(())
}

#[test]
fn a_node_with_twenty_plugins_compiles_none_at_its_restart() -> Result<()> {
    let (directory, folder) = (TempDir::new()?, TempDir::new()?);
    let mortise = Mortise::start(directory.path())?;
    for number in 0..PLUGINS {
        let path = folder.path().join(format!("{number}.wasm"));
        fs::write(&path, bombs::distinct(guests::LEFTOVER, number))?;
        let (volume, plugin, file) = (format!("v{number}"), format!("p{number}"), path.to_string_lossy());
        for command in [
            &["volume", "create", &volume][..],
            &["plugin", "add", &file, "--name", &plugin],
            &["plugin", "use", &plugin, "--volume", &volume],
        ] {
            let done = mortise.cli(command)?;
            ensure!(done.success(), "{command:?}: {}", done.stderr);
        }
    }
    all_serve(&mortise)?;
    mortise.stop()?;

    let mortise = Mortise::start(directory.path())?;
    all_serve(&mortise)?;
    let (compilations, hits) = compiled(&mortise)?;
    ensure!(compilations < 0.5, "{compilations} plugins were compiled at the restart");
    ensure!(hits > 19.5, "{hits} plugins came from the cache");
    mortise.kill()?;

    let cache = directory.path().join("plugins/cache");
    for file in artifacts(&cache).iter().step_by(2) {
        fs::write(file, b"nonsense").with_context(|| file.display().to_string())?;
    }
    let mortise = Mortise::start(directory.path())?;
    all_serve(&mortise)?;
    ensure!(compiled(&mortise)?.0 > 9.5, "what was spoilt was not compiled anew");
    mortise.stop()?;

    fs::remove_dir_all(&cache)?;
    let mortise = Mortise::start(directory.path())?;
    all_serve(&mortise)?;
    ensure!(compiled(&mortise)?.0 > 19.5, "what was deleted was not compiled anew");
    mortise.stop()
}
