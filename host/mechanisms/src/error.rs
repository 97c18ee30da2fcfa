//! Errors of the mechanisms, sorted like the kernel's by what a caller can do.
//!
//! Each variant says what was expected, what was found and what to do. [`Error::kind`] maps onto the
//! kernel's [`ErrorKind`], so that the server has one table of codes for everything below it.

use mortise_kernel::ErrorKind;
use mortise_plugin_runtime::{Fault, NAME_RULE};

use crate::cause::CauseError;
use crate::plugins::StageError;

/// Result of an operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong in the mechanisms.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel refused or failed.
    #[error(transparent)]
    Kernel(#[from] mortise_kernel::Error),
    /// A volume name breaks the rules.
    #[error(
        "{name:?} cannot name a volume: {why}; use 1 to 63 lower-case letters, digits and hyphens, \
         with a letter or digit at both ends, so that a host name can choose the volume"
    )]
    VolumeName {
        /// The name given.
        name: String,
        /// The rule it breaks.
        why: &'static str,
    },
    /// No volume has this name.
    #[error("volume {0:?} does not exist; `volume list` names the volumes, `volume create` makes one")]
    NoSuchVolume(String),
    /// The name is taken.
    #[error("volume {0:?} exists already; choose another name or delete it first")]
    VolumeExists(String),
    /// The volume is between two states.
    #[error("volume {name:?} is being {doing}; {cure}")]
    VolumeInTransition {
        /// Its name.
        name: String,
        /// `created` or `deleted`.
        doing: &'static str,
        /// What the caller can do.
        cure: &'static str,
    },
    /// The volume is in the catalog but could not be opened when the node started.
    #[error(
        "volume {name:?} could not be opened when the node started: {reason}; its files were left untouched"
    )]
    VolumeFailed {
        /// Its name.
        name: String,
        /// Why it could not be opened.
        reason: String,
    },
    /// A volume that the node itself needs.
    #[error("volume {0:?} belongs to the node and cannot be deleted")]
    VolumeProtected(&'static str),
    /// The catalog and the disk contradict each other, and going on could cost data.
    #[error("refusing to start: {0}")]
    CatalogMissing(String),
    /// A row of the catalog cannot be read.
    #[error("catalog key {key:?} cannot be read: {detail}; repair or delete that key of the system volume")]
    CatalogRow {
        /// The key.
        key: String,
        /// What is wrong with its value.
        detail: String,
    },
    /// Others changed the same rows again and again.
    #[error("the catalog changed {0} times while this change was being made; retry a little later")]
    CatalogContention(usize),
    /// A plugin name breaks the rules.
    #[error("{name:?} cannot name a plugin: {why}; use {NAME_RULE}")]
    PluginName {
        /// The name given.
        name: String,
        /// The rule it breaks.
        why: &'static str,
    },
    /// A plugin states a version that is not a semantic version.
    #[error("plugin {name:?} states version {found:?}; expected a semantic version such as 1.2.3")]
    PluginVersion {
        /// Name of the plugin.
        name: String,
        /// What it states.
        found: String,
    },
    /// No plugin has this name, or not in this version.
    #[error(
        "plugin {name:?}{} does not exist; {known}",
        .version.as_ref().map(|version| format!(" version {version}")).unwrap_or_default()
    )]
    NoSuchPlugin {
        /// Name asked for.
        name: String,
        /// Version asked for, if one was.
        version: Option<String>,
        /// What there is instead.
        known: String,
    },
    /// The component has more than the largest number of bytes allowed. It is not read to its end.
    #[error(
        "the component has more than {0} bytes, the most that is accepted; build it with optimisation for \
         size and without debug information"
    )]
    ComponentTooLarge(usize),
    /// The component was looked at and refused.
    #[error("the component is refused: {0}")]
    Component(mortise_plugin_runtime::Error),
    /// There is no use for the component here.
    #[error("the component is refused: {0}")]
    ComponentRefused(String),
    /// The component was asked twice who it is.
    #[error("the component is refused: {0}")]
    IdentityChanges(String),
    /// The component ran and did not behave while it was asked who it is.
    #[error("the component was asked who it is and failed ({}): {}; it is not added", .0.kind, .0.detail)]
    DescribeFailed(Fault),
    /// The name and version are taken by other bytes.
    #[error(
        "plugin {name} {version} exists already with digest {existing}, this component has {found}; \
         give the new build a new version, or remove the old one"
    )]
    PluginConflict {
        /// Name of the plugin.
        name: String,
        /// Its version.
        version: String,
        /// Digest in the catalog.
        existing: String,
        /// Digest given.
        found: String,
    },
    /// A key that is to be trusted is not one.
    #[error(
        "{found:?} is not a minisign public key: {detail}; give the line of base64 that `minisign -G` prints, \
         or the path of the .pub file"
    )]
    TrustedKey {
        /// What was given.
        found: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The component has no signature, and one is required.
    #[error(
        "the component is not signed; this node takes only what {expected} has signed; sign it with \
         `minisign -Sm FILE` and give the signature with --signature FILE.minisig"
    )]
    Unsigned {
        /// The keys that are trusted.
        expected: String,
    },
    /// The component's signature does not hold.
    #[error("the component's signature is refused: expected one by {expected}, found {found}")]
    WrongSignature {
        /// The keys that are trusted.
        expected: String,
        /// What was found.
        found: String,
    },
    /// There is no such capability.
    #[error("{found:?} is no capability; there are {known}")]
    NoSuchCapability {
        /// Name given.
        found: String,
        /// Names of all.
        known: String,
    },
    /// The component wants more than it was granted.
    #[error(
        "the component wants {wanted}, and {granted}; it imports {imports}; to grant that, add it with {flags} \
         (the grants of a plugin are those of its newest version: name it with --name NAME)"
    )]
    NotGranted {
        /// Everything that it wants.
        wanted: String,
        /// What is granted, and to whom.
        granted: String,
        /// The imports that stand for what is missing.
        imports: String,
        /// The flags that grant it.
        flags: String,
    },
    /// The plugin is in a stage, or serves or shadows something, so that this cannot be done.
    #[error(transparent)]
    PluginStage(#[from] StageError),
    /// The plugin is of another world than it is to serve.
    #[error("plugin {name} {version} implements world `{found}`, expected `{expected}`; {cure}")]
    WrongWorld {
        /// Name of the plugin.
        name: String,
        /// Its version.
        version: String,
        /// World that was asked for.
        expected: String,
        /// World that it implements.
        found: String,
        /// What the caller can do.
        cure: &'static str,
    },
    /// A format is wanted that is none.
    #[error(
        "plugin {name} is of world {world} and no format; `plugin list` shows those \
         of world format, and `natural` needs none"
    )]
    NoFormat {
        /// Name of the plugin.
        name: String,
        /// World that it implements.
        world: String,
    },
    /// A conversion to the format that the volume has.
    #[error("volume {volume:?} is in format {format} already; `volume rebuild` copies it in its format")]
    FormatUnchanged {
        /// Name of the volume.
        volume: String,
        /// The format.
        format: String,
    },
    /// The catalog has to be read before any component is known.
    #[error("the system volume is always in format natural, because the catalog in it names the components")]
    SystemFormat,
    /// There is no previous generation.
    #[error(
        "no previous generation of volume {0:?} is kept; `volume convert --keep-previous TIME` keeps one"
    )]
    NothingKept(String),
    /// No job has this number.
    #[error("there is no job {0}; `volume jobs` lists those that run and the latest that ended")]
    NoSuchJob(u64),
    /// Another job works on the volume.
    #[error(
        "{kind} job {id} works on volume {volume:?}; wait for its end (`volume job watch {id}`) or end it \
         (`volume job cancel {id}`)"
    )]
    JobUnderWay {
        /// Name of the volume.
        volume: String,
        /// Number of the job.
        id: u64,
        /// What it does.
        kind: &'static str,
    },
    /// The configuration is not a JSON object.
    #[error("the configuration is not a JSON object: {0}")]
    ConfigSyntax(String),
    /// The configuration of a plugin is larger than the catalog keeps.
    #[error("the configuration has {found} bytes; at most {limit} are kept with a binding, so shorten it")]
    ConfigTooLarge {
        /// Bytes found.
        found: usize,
        /// Largest number allowed.
        limit: usize,
    },
    /// A candidate failed its rehearsal.
    #[error(
        "plugin {plugin} {version} failed its rehearsal on view {view:?}: {detail}; \
         the volume keeps its strategy"
    )]
    Rehearsal {
        /// Name of the plugin.
        plugin: String,
        /// Its version.
        version: String,
        /// View on which it failed.
        view: String,
        /// What was expected and what it did.
        detail: String,
    },
    /// The file of a component is missing or damaged.
    #[error("the component {digest} cannot be used: {detail}; add the plugin again")]
    Blob {
        /// Digest in the catalog.
        digest: String,
        /// What was found.
        detail: String,
    },
    /// There is no previous binding.
    #[error("volume {0:?} has no earlier binding to return to")]
    NothingToRollBack(String),
    /// A volume is bound to the plugin, or written in its format.
    #[error("plugin {name} {version} is in use by {volumes}; bind another there, or convert them, first")]
    PluginInUse {
        /// Name of the plugin.
        name: String,
        /// Its version.
        version: String,
        /// The volumes that use it.
        volumes: String,
    },
    /// The plugin comes with this program.
    #[error(
        "plugin {name} {version} is shipped with this program and would return with the next start; \
         leave it unused instead"
    )]
    PluginShipped {
        /// Name of the plugin.
        name: String,
        /// Its version.
        version: String,
    },
    /// Limits that no plugin could work with, or more than the runtime can grant.
    #[error("the limits are refused: {0}")]
    Limits(String),
    /// What is stated of who asks, and why, breaks the rules.
    #[error(transparent)]
    Cause(#[from] CauseError),
    /// The runtime failed for a reason that is not the component's.
    #[error("the plugin runtime failed: {0}")]
    Runtime(String),
    /// A simulation was asked for that cannot be run, or its writes stopped for good.
    #[error("{0}")]
    Simulation(String),
    /// A line of a trace cannot be read.
    #[error("line {line} of the trace cannot be read: {detail}; each line must be one recorded call")]
    Trace {
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        detail: String,
    },
    /// The operating system refused an operation on a file.
    #[error("{context}: {source}")]
    Io {
        /// What was attempted, with the path.
        context: String,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The node is stopping.
    #[error("the node is shutting down")]
    ShuttingDown,
    /// A defect of Mortise.
    #[error("internal error: {0}; please report it")]
    Internal(String),
}

impl Error {
    /// How a caller may react.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Kernel(error) => error.kind(),
            Self::CatalogContention(_) => ErrorKind::Busy,
            Self::VolumeName { .. }
            | Self::PluginName { .. }
            | Self::PluginVersion { .. }
            | Self::ComponentTooLarge(_)
            | Self::Component(_)
            | Self::ComponentRefused(_)
            | Self::IdentityChanges(_)
            | Self::DescribeFailed(_)
            | Self::ConfigSyntax(_)
            | Self::ConfigTooLarge { .. }
            | Self::TrustedKey { .. }
            | Self::NoSuchCapability { .. }
            | Self::Limits(_)
            | Self::Cause(_)
            | Self::Simulation(_)
            | Self::Trace { .. } => ErrorKind::InvalidArgument,
            Self::NoSuchVolume(_) | Self::NoSuchPlugin { .. } | Self::NoSuchJob(_) => ErrorKind::NotFound,
            Self::VolumeExists(_)
            | Self::VolumeInTransition { .. }
            | Self::VolumeProtected(_)
            | Self::CatalogMissing(_)
            | Self::PluginConflict { .. }
            | Self::Rehearsal { .. }
            | Self::NothingToRollBack(_)
            | Self::Unsigned { .. }
            | Self::WrongSignature { .. }
            | Self::NotGranted { .. }
            | Self::PluginStage(_)
            | Self::WrongWorld { .. }
            | Self::NoFormat { .. }
            | Self::FormatUnchanged { .. }
            | Self::SystemFormat
            | Self::NothingKept(_)
            | Self::JobUnderWay { .. }
            | Self::PluginInUse { .. }
            | Self::PluginShipped { .. } => ErrorKind::FailedPrecondition,
            Self::VolumeFailed { .. } | Self::ShuttingDown => ErrorKind::Unavailable,
            Self::CatalogRow { .. } | Self::Blob { .. } => ErrorKind::Corrupt,
            Self::Io { .. } => ErrorKind::Storage,
            Self::Runtime(_) | Self::Internal(_) => ErrorKind::Internal,
        }
    }
}

impl From<mortise_plugin_runtime::Error> for Error {
    fn from(error: mortise_plugin_runtime::Error) -> Self {
        if error.is_component_fault() { Self::Component(error) } else { Self::Runtime(error.to_string()) }
    }
}
