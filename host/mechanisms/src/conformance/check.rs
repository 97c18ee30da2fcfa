//! Would a host take this file?

use mortise_plugin_runtime::{Capability, Digest, Error as RuntimeError, Identity, Runtime};
use serde::Serialize;

use super::cure::cure;
use super::origin::Origin;
use super::workbench::Allowance;

/// Package of the contract, as it stands in the names of exports.
const PACKAGE: &str = "mortise:plugin/";

/// What a file is, and whether a host would take it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Size of the file in bytes.
    pub bytes: u64,
    /// SHA-256 of the file, in hexadecimal digits.
    pub digest: String,
    /// The world that it implements, if it implements one.
    pub world: Option<String>,
    /// The version of the contract that it names.
    pub wit_version: Option<String>,
    /// What it needs to be granted; everyone has `log`.
    pub capabilities: Vec<Capability>,
    /// Who made it, and its imports and exports.
    pub origin: Origin,
    /// Name, version and summary, once it could be asked.
    pub identity: Option<Who>,
    /// Why a host would not take it; `None` when it would.
    pub refusal: Option<Refusal>,
}

/// Who a plugin says it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Who {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it does.
    pub summary: String,
}

/// Why a host would not take a component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// The step that failed: `read`, `compile`, `limits` or `describe`.
    pub step: &'static str,
    /// The host's own words.
    pub reason: String,
    /// What usually helps, by language.
    pub cure: Option<String>,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.reason)?;
        self.cure.as_ref().map_or(Ok(()), |cure| write!(f, "; {cure}"))
    }
}

/// Takes the same way as `plugin add`, as far as it goes without a daemon.
pub(super) fn check(runtime: &Runtime, bytes: &[u8], allowance: Allowance) -> Checked {
    let origin = Origin::of(bytes);
    let wit_version = origin.exports.iter().find_map(|name| Some(contract_version(name)?.to_owned()));
    let mut checked = Checked {
        bytes: bytes.len() as u64,
        digest: Digest::of(bytes).to_string(),
        world: None,
        wit_version,
        capabilities: Vec::new(),
        origin,
        identity: None,
        refusal: None,
    };
    let refused = admit(runtime, bytes, allowance, &mut checked);
    checked.refusal = refused.err();
    checked
}

fn admit(
    runtime: &Runtime,
    bytes: &[u8],
    allowance: Allowance,
    checked: &mut Checked,
) -> Result<(), Refusal> {
    let origin = checked.origin.clone();
    let refuse = |step, error: &RuntimeError| Refusal {
        step,
        reason: error.to_string(),
        cure: cure(error, &origin, bytes),
    };
    let description = runtime.inspect(bytes).map_err(|error| refuse("read", &error))?;
    checked.world = Some(description.world.to_string());
    checked.capabilities = description.capabilities.iter().copied().collect();
    let grants = allowance.grants;
    let component = runtime.load_granted(bytes, grants).map_err(|error| refuse("compile", &error))?;
    let limits = allowance.limits(description.world);
    limits.validate().map_err(|error| refuse("limits", &error))?;
    let describe = || {
        component.identity(&limits).map_err(|fault| Refusal {
            step: "describe",
            reason: format!("asked who it is, the plugin failed ({}): {fault}", fault.kind),
            cure: None,
        })
    };
    let Identity { name, version, summary } = describe()?;
    let again = describe()?;
    if (&name, &version, &summary) != (&again.name, &again.version, &again.summary) {
        return Err(Refusal {
            step: "describe",
            reason: format!("asked twice who it is, it said {name:?} {version:?} and then something else"),
            cure: Some("`describe` must answer the same at every call; make it constant".to_owned()),
        });
    }
    checked.identity = Some(Who { name, version, summary });
    Ok(())
}

/// The version in `mortise:plugin/<interface>@<version>`.
fn contract_version(export: &str) -> Option<&str> {
    Some(export.strip_prefix(PACKAGE)?.split_once('@')?.1)
}
