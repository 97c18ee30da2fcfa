//! Compiled components are used only when this daemon wrote them; any doubt means compiling anew.

use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;
use wasmtime::Config;

use super::*;
use crate::{Compiler, Runtime, RuntimeConfig};

/// Two components that differ, so that each has a digest of its own.
const FIRST: &str = "(component)";
const SECOND: &str = "(component (core module))";

struct Fixture {
    dir: TempDir,
    engine: Engine,
}

impl Fixture {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), engine: Engine::default() }
    }

    fn cache(&self) -> Cache {
        Cache::open(self.dir.path(), &self.engine).unwrap()
    }

    /// Stores a component and returns its digest.
    fn store(&self, cache: &Cache, text: &str) -> Digest {
        let bytes = wat::parse_str(text).unwrap();
        let digest = Digest::of(&bytes);
        cache.store(&digest, &Compiler::InProcess.compile(&self.engine, &bytes).unwrap());
        digest
    }

    fn loads(&self, cache: &Cache, digest: &Digest) -> bool {
        cache.load(&self.engine, digest).is_some()
    }
}

#[test]
fn what_was_stored_loads_also_after_reopening() {
    let fixture = Fixture::new();
    let cache = fixture.cache();
    let digest = fixture.store(&cache, FIRST);
    assert!(fixture.loads(&cache, &digest));
    assert!(fixture.loads(&fixture.cache(), &digest));
    assert!(!fixture.loads(&cache, &Digest::of(b"another")));
}

#[test]
fn every_flipped_bit_of_the_frame_and_any_of_the_artifact_is_noticed() {
    let fixture = Fixture::new();
    let cache = fixture.cache();
    let digest = fixture.store(&cache, FIRST);
    let path = cache.path(&digest);
    let whole = fs::read(&path).unwrap();
    let frame = MAGIC.len() + TAG_BYTES;
    for place in (0..frame + 16).chain((frame..whole.len()).step_by(whole.len() / 50 + 1)) {
        let mut bytes = whole.clone();
        bytes[place] ^= 1 << (place % 8);
        fs::write(&path, &bytes).unwrap();
        assert!(!fixture.loads(&cache, &digest), "byte {place}");
    }
    fs::write(&path, &whole).unwrap();
    assert!(fixture.loads(&cache, &digest));
}

#[test]
fn truncated_and_extended_files_are_noticed() {
    let fixture = Fixture::new();
    let cache = fixture.cache();
    let digest = fixture.store(&cache, FIRST);
    let path = cache.path(&digest);
    let whole = fs::read(&path).unwrap();
    for length in [0, 1, MAGIC.len(), MAGIC.len() + TAG_BYTES, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(!fixture.loads(&cache, &digest), "{length} bytes");
    }
    fs::write(&path, [&whole[..], b"x"].concat()).unwrap();
    assert!(!fixture.loads(&cache, &digest));
}

#[test]
fn an_artifact_of_another_digest_is_refused() {
    let fixture = Fixture::new();
    let cache = fixture.cache();
    let (first, second) = (fixture.store(&cache, FIRST), fixture.store(&cache, SECOND));
    assert_ne!(first, second);
    fs::copy(cache.path(&second), cache.path(&first)).unwrap();
    assert!(!fixture.loads(&cache, &first));
    assert!(fixture.loads(&cache, &second));
}

#[test]
fn an_artifact_of_another_daemon_is_refused() {
    let (fixture, foreign) = (Fixture::new(), Fixture::new());
    let (cache, foreign_cache) = (fixture.cache(), foreign.cache());
    let digest = foreign.store(&foreign_cache, FIRST);
    fs::copy(foreign_cache.path(&digest), cache.path(&digest)).unwrap();
    assert!(!fixture.loads(&cache, &digest));
}

#[test]
fn a_lost_short_or_public_key_is_replaced_and_nothing_old_is_trusted() {
    let fixture = Fixture::new();
    let key = fixture.dir.path().join("key");
    let spoil: [&dyn Fn(); 3] =
        [&|| fs::remove_file(&key).unwrap(), &|| fs::write(&key, b"short").unwrap(), &|| {
            fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap()
        }];
    for (index, spoil) in spoil.iter().enumerate() {
        let cache = fixture.cache();
        let digest = fixture.store(&cache, FIRST);
        spoil();
        let cache = fixture.cache();
        assert!(!fixture.loads(&cache, &digest), "case {index}");
        assert_eq!(fs::metadata(&key).unwrap().mode() & 0o777, 0o600);
        fixture.store(&cache, FIRST);
        assert!(fixture.loads(&cache, &digest), "case {index}");
    }
}

#[test]
fn artifacts_of_another_engine_are_removed() {
    let fixture = Fixture::new();
    let digest = fixture.store(&fixture.cache(), FIRST);
    let other = Engine::new(Config::new().epoch_interruption(true)).unwrap();
    let cache = Cache::open(fixture.dir.path(), &other).unwrap();
    assert!(cache.load(&other, &digest).is_none());
    assert!(!fixture.cache().path(&digest).exists());
}

#[test]
fn what_nobody_names_is_removed() {
    let fixture = Fixture::new();
    let cache = fixture.cache();
    let (first, second) = (fixture.store(&cache, FIRST), fixture.store(&cache, SECOND));
    cache.remove_all_but(&BTreeSet::from([first.to_string()]));
    assert!(fixture.loads(&cache, &first) && !fixture.loads(&cache, &second));
    cache.remove(&second.to_string());
    assert!(fixture.loads(&cache, &first));
    cache.remove(&first.to_string());
    assert!(!fixture.loads(&cache, &first));
    fixture.store(&cache, FIRST);
    assert!(fixture.loads(&fixture.cache(), &first), "the key is still there");
}

#[test]
fn a_directory_that_cannot_be_made_is_told_with_its_path_and_done_without() {
    let fixture = Fixture::new();
    let file = fixture.dir.path().join("file");
    fs::write(&file, b"").unwrap();
    let error = Cache::open(&file.join("cache"), &fixture.engine).unwrap_err();
    assert!(error.to_string().contains("file/cache"), "{error}");
    for dir in [file.clone(), file.join("cache")] {
        assert!(Cache::open_if_possible(&dir, &fixture.engine).is_none());
        let config = RuntimeConfig { cache_dir: Some(dir), ..RuntimeConfig::default() };
        let runtime = Runtime::new(config).unwrap();
        runtime.load(&wat::parse_str(FIRST).unwrap()).unwrap_err();
    }
}

#[test]
fn a_key_that_cannot_be_read_or_written_is_done_without() {
    let fixture = Fixture::new();
    let digest = fixture.store(&fixture.cache(), FIRST);
    let key = fixture.dir.path().join("key");
    fs::remove_file(&key).unwrap();
    let temporary = fixture.dir.path().join(format!("key.{}.tmp", std::process::id()));
    for in_the_way in [key, temporary] {
        fs::create_dir(&in_the_way).unwrap();
        assert!(Cache::open_if_possible(fixture.dir.path(), &fixture.engine).is_none());
        fs::remove_dir(&in_the_way).unwrap();
    }
    assert!(!fixture.loads(&fixture.cache(), &digest), "a new key does not vouch for what an old one did");
}

/// Even with a right tag, which only a daemon with the key can make, what another engine made is not run.
#[test]
fn an_authentic_artifact_of_another_engine_is_refused() {
    let fixture = Fixture::new();
    let cache = fixture.cache();
    let bytes = wat::parse_str(FIRST).unwrap();
    let digest = Digest::of(&bytes);
    let other = Engine::new(Config::new().consume_fuel(true)).unwrap();
    cache.store(&digest, &Compiler::InProcess.compile(&other, &bytes).unwrap());
    assert!(!fixture.loads(&cache, &digest));
    cache.store(&digest, &Compiler::InProcess.compile(&fixture.engine, &bytes).unwrap());
    assert!(fixture.loads(&cache, &digest));
}

/// A directory that moved to a machine with another processor: code for the oldest one of its family is named
/// otherwise than code for this one, is not taken under this one's name, and goes when the cache opens.
#[cfg(target_arch = "x86_64")]
#[test]
fn an_artifact_for_another_processor_is_not_used() {
    let fixture = Fixture::new();
    let old = Engine::new(Config::new().target("x86_64-unknown-linux-gnu").unwrap()).unwrap();
    let foreign = Cache::open(fixture.dir.path(), &old).unwrap();
    let bytes = wat::parse_str(FIRST).unwrap();
    let digest = Digest::of(&bytes);
    foreign.store(&digest, &Compiler::InProcess.compile(&old, &bytes).unwrap());
    let artifact = fs::read(foreign.path(&digest)).unwrap();
    let cache = fixture.cache();
    assert!(!foreign.path(&digest).exists() && !fixture.loads(&cache, &digest));
    fs::write(cache.path(&digest), artifact).unwrap();
    assert!(!fixture.loads(&cache, &digest));
}
