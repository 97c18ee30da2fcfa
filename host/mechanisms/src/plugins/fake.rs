//! A plugin host whose components are one line of text, `NAME VERSION BEHAVIOUR [COMMENT]`, for tests.
//!
//! `turncoat` behaves until [`FakeHost::turn`] is called, as a plugin does that passes every rehearsal.
//! `codec` is a format. `wasi` imports a clock, and `silent` nothing at all. `hungry` needs more memory than
//! plugins are granted by default, even to say who it is; `fickle` says something else each time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use mortise_plugin_runtime::compaction::{Answer, View};
use mortise_plugin_runtime::format::Format;
use mortise_plugin_runtime::{
    Call, Capability, Description, Digest, Error as RuntimeError, Fault, FaultKind, Identity, Limits,
    SharedLimits, World,
};
use parking_lot::Mutex;

use super::capability::Capabilities;
use super::host::{Host, Loaded};
use crate::compaction::Strategy;
use crate::compaction::fake::{Script, WAIT, fault};
use crate::{Error, Result};

#[derive(Default)]
pub(crate) struct FakeHost {
    turned: Arc<AtomicBool>,
    loads: AtomicUsize,
    /// Loads under way, and the most that ever were at once.
    loading: AtomicUsize,
    most_loading: AtomicUsize,
    /// The compile cache.
    kept: Arc<FakeCache>,
    /// Those of all strategies that were made.
    limits: Arc<Mutex<Vec<Limits>>>,
}

/// Digests of the compiled components that are kept on disk.
pub(crate) type FakeCache = Mutex<BTreeSet<String>>;

impl FakeHost {
    /// A host that finds what others have kept.
    pub(crate) fn with_cache(kept: Arc<FakeCache>) -> Self {
        Self { kept, ..Self::default() }
    }

    /// From now on every turncoat traps.
    pub(crate) fn turn(&self) {
        self.turned.store(true, Ordering::Relaxed);
    }

    /// From now on turncoats behave.
    pub(crate) fn turn_back(&self) {
        self.turned.store(false, Ordering::Relaxed);
    }

    /// Components and strategies that are alive.
    pub(crate) fn alive(&self) -> usize {
        Arc::strong_count(&self.turned) - 1
    }

    /// Components compiled so far.
    pub(crate) fn loads(&self) -> usize {
        self.loads.load(Ordering::Relaxed)
    }

    /// The most components that were ever compiled at once.
    pub(crate) fn most_loading(&self) -> usize {
        self.most_loading.load(Ordering::Relaxed)
    }

    /// The limits of all strategies that were made.
    pub(crate) fn limits(&self) -> Vec<Limits> {
        self.limits.lock().clone()
    }

    /// Whether a compiled component is kept on disk.
    pub(crate) fn keeps(&self, digest: &str) -> bool {
        self.kept.lock().contains(digest)
    }

    /// Number of compiled components that are kept on disk.
    pub(crate) fn kept(&self) -> usize {
        self.kept.lock().len()
    }
}

struct FakeComponent {
    name: String,
    version: String,
    behaviour: String,
    turned: Arc<AtomicBool>,
    asked: AtomicU64,
    limits: Arc<Mutex<Vec<Limits>>>,
}

fn parse(bytes: &[u8]) -> Result<(String, String, String)> {
    let text = String::from_utf8_lossy(bytes);
    let mut words = text.split(' ').map(str::to_owned);
    match (words.next(), words.next(), words.next()) {
        (Some(name), Some(version), Some(behaviour)) => Ok((name, version, behaviour)),
        _ => Err(Error::ComponentRefused(format!("{text:?} is not a fake component"))),
    }
}

impl Host for FakeHost {
    fn inspect(&self, bytes: &[u8]) -> Result<Description> {
        let (_, _, behaviour) = parse(bytes)?;
        let log = "mortise:plugin/log@0.1.0".to_owned();
        let imports = match behaviour.as_str() {
            "silent" => Vec::new(),
            "wasi" => vec![log, "wasi:clocks/wall-clock@0.2.3".into()],
            _ => vec![log],
        };
        Ok(Description {
            digest: Digest::of(bytes),
            bytes: bytes.len() as u64,
            world: if behaviour == "codec" { World::Format } else { World::CompactionStrategy },
            wit_version: "0.1.0".into(),
            capabilities: if behaviour == "wasi" {
                [Capability::Log, Capability::WasiMinimal].into()
            } else if behaviour == "silent" {
                BTreeSet::new()
            } else {
                [Capability::Log].into()
            },
            imports,
        })
    }

    fn load(&self, bytes: &[u8], capabilities: &Capabilities) -> Result<Arc<dyn Loaded>> {
        let loaded = self.try_out(bytes, capabilities)?;
        self.kept.lock().insert(Digest::of(bytes).to_string());
        Ok(loaded)
    }

    fn try_out(&self, bytes: &[u8], capabilities: &Capabilities) -> Result<Arc<dyn Loaded>> {
        let (name, version, behaviour) = parse(bytes)?;
        if behaviour == "wasi" && !capabilities.contains(&Capability::WasiMinimal) {
            let capability = Capability::WasiMinimal.as_str();
            return Err(RuntimeError::NotGranted { capability, imports: Vec::new() }.into());
        }
        if behaviour == "unfit" {
            return Err(Error::ComponentRefused("it does not fit its world".into()));
        }
        let loading = self.loading.fetch_add(1, Ordering::Relaxed) + 1;
        self.most_loading.fetch_max(loading, Ordering::Relaxed);
        // Others that could get in do so now.
        (0..1000).for_each(|_| std::thread::yield_now());
        self.loads.fetch_add(1, Ordering::Relaxed);
        self.loading.fetch_sub(1, Ordering::Relaxed);
        Ok(Arc::new(FakeComponent {
            name,
            version,
            behaviour,
            turned: Arc::clone(&self.turned),
            asked: AtomicU64::new(0),
            limits: Arc::clone(&self.limits),
        }))
    }

    fn load_compiled(&self, bytes: &[u8], capabilities: &Capabilities) -> Result<Option<Arc<dyn Loaded>>> {
        if !self.keeps(&Digest::of(bytes).to_string()) {
            return Ok(None);
        }
        self.load(bytes, capabilities).map(Some)
    }

    fn evict(&self, digest: &str) {
        self.kept.lock().remove(digest);
    }

    fn evict_all_but(&self, named: &BTreeSet<String>) {
        self.kept.lock().retain(|digest| named.contains(digest));
    }
}

impl Loaded for FakeComponent {
    fn identity(&self, limits: &Limits) -> Result<Identity, Fault> {
        if self.behaviour == "hungry" && limits.memory_bytes <= Limits::default().memory_bytes {
            return Err(fault(FaultKind::Memory));
        }
        if self.behaviour == "mute" {
            return Err(fault(FaultKind::Trap));
        }
        let mut summary = format!("does {}", self.behaviour);
        if self.behaviour == "fickle" {
            summary += &self.asked.fetch_add(1, Ordering::Relaxed).to_string();
        }
        Ok(Identity { name: self.name.clone(), version: self.version.clone(), summary })
    }

    fn fits(&self, _world: World, limits: Limits) -> Result<()> {
        limits.validate().map_err(|error| Error::Limits(error.to_string()))
    }

    fn format(&self, _limits: SharedLimits, _config: &str) -> Result<Format> {
        Err(Error::ComponentRefused("a fake component is no format".into()))
    }

    fn strategy(&self, limits: Limits) -> Result<Arc<dyn Strategy>> {
        self.limits.lock().push(limits);
        let behaviour = self.behaviour.clone();
        let turned = Arc::clone(&self.turned);
        let calls = AtomicU64::new(0);
        Ok(Arc::new(Script(move |call: &Call, _: &View| match behaviour.as_str() {
            "illegal" => Ok(Answer::Merge { from: 3, to: 1 }),
            "trap" => Err(fault(FaultKind::Trap)),
            "flaky" => Ok(Answer::Wait { ask_again_ms: Some(calls.fetch_add(1, Ordering::Relaxed)) }),
            "picky" if call.config != r#"{"knob":1}"# => {
                Err(Fault { kind: FaultKind::Refused, detail: "expected knob, found nothing".into() })
            }
            "turncoat" if turned.load(Ordering::Relaxed) => Err(fault(FaultKind::Trap)),
            _ => Ok(WAIT),
        })))
    }
}
