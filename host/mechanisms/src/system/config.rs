//! What the mechanisms are configured with.
//!
//! Plain data, set once at the start; nothing here changes while a node runs. What an operator can change
//! then (bindings, limits, recordings) is in the catalog. The numbers are not checked here: whoever reads
//! them from flags does that, and names the flag.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mortise_kernel::seams::{SharedClock, SystemClock};
use mortise_plugin_runtime::MAX_COMPONENT_BYTES;

use crate::plugins::Trust;
use crate::rebuild::FormatCodecs;

/// A component that comes with the program and is in the catalog from the start.
#[derive(Clone, Debug)]
pub struct ShippedPlugin {
    /// Name in the catalog.
    pub name: String,
    /// The component.
    pub bytes: Cow<'static, [u8]>,
}

/// A component that an administrator adds.
#[derive(Clone, Debug, Default)]
pub struct NewPlugin {
    /// The component.
    pub bytes: Vec<u8>,
    /// Name to store it under instead of the one that it gives itself.
    pub name: Option<String>,
    /// Its minisign signature, the text of the file.
    pub signature: Option<String>,
    /// Names of capabilities that are granted to it beyond what the plugin has.
    pub grants: Vec<String>,
}

/// How the mechanisms of a node are run.
#[derive(Clone)]
pub struct SystemConfig {
    /// Components registered at every start; newer versions are added, known ones left alone.
    pub shipped: Vec<ShippedPlugin>,
    /// Strategy of volumes that have no binding of their own: name of a plugin, or
    /// [`NATIVE_STRATEGY`](crate::NATIVE_STRATEGY).
    pub default_strategy: String,
    /// Labels catalog rows and becomes `now` of plugin calls.
    pub clock: SharedClock,
    /// From more than this number of level-0 runs on, an idle or faulting strategy is passed over. Must lie
    /// below the kernel's `slow_l0_runs`, or writers are slowed before the guard rail helps.
    pub guard_l0_runs: usize,
    /// Compaction steps that may run at once on the node. One volume never runs more than one.
    pub max_parallel_steps: usize,
    /// A volume is looked at after this time even when nothing seems to have changed.
    pub safety_tick: Duration,
    /// Wait for the catalog's reads and writes.
    pub catalog_deadline: Duration,
    /// How long a volume is waited for whose codec has to be there: by the start of a node, and by volumes of
    /// the same codec that are opened after it. It goes on opening, and is served when it is open.
    pub codec_patience: Duration,
    /// How long [`System::shutdown`](crate::System::shutdown) waits for steps that are under way.
    pub shutdown_grace: Duration,
    /// Largest component accepted, in bytes; the runtime takes none above [`MAX_COMPONENT_BYTES`].
    pub max_component_bytes: usize,
    /// For so long after a version was newly activated, its first fault takes it back; nothing: not at all.
    pub plugin_watch: Duration,
    /// Keys whose signatures are trusted, and whether a component needs one.
    pub trust: Trust,
    /// Finds the codecs of the node that the system is started over. The same that the node was opened with.
    pub codecs: Arc<FormatCodecs>,
    /// Audit rows kept in the catalog for each plugin.
    pub history_rows_per_plugin: usize,
    /// Audit rows kept in the catalog for all plugins and volumes together.
    pub history_rows: usize,
}

impl SystemConfig {
    /// The defaults, with these shipped plugins and this default strategy.
    #[must_use]
    pub fn new(shipped: Vec<ShippedPlugin>, default_strategy: impl Into<String>) -> Self {
        Self {
            shipped,
            default_strategy: default_strategy.into(),
            clock: Arc::new(SystemClock),
            guard_l0_runs: 20,
            max_parallel_steps: 2,
            safety_tick: Duration::from_secs(30),
            catalog_deadline: Duration::from_secs(10),
            codec_patience: Duration::from_secs(5),
            shutdown_grace: Duration::from_secs(5),
            max_component_bytes: MAX_COMPONENT_BYTES,
            codecs: FormatCodecs::new(),
            plugin_watch: Duration::from_secs(600),
            trust: Trust::default(),
            history_rows_per_plugin: 200,
            history_rows: 4000,
        }
    }
}

impl fmt::Debug for SystemConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemConfig")
            .field("shipped", &self.shipped.iter().map(|plugin| &plugin.name).collect::<Vec<_>>())
            .field("default_strategy", &self.default_strategy)
            .field("guard_l0_runs", &self.guard_l0_runs)
            .field("max_parallel_steps", &self.max_parallel_steps)
            .finish_non_exhaustive()
    }
}
