//! Would a host take this file?
//!
//! Two can judge that: a node, by its own catalog, keys and limits, or this program alone, by the defaults
//! ([`by_defaults`]). Either way the verdict is joined here with what the file says about itself, and with
//! what usually helps.

use std::sync::Arc;

use mortise_plugin_runtime::{Capability, Digest, MAX_COMPONENT_BYTES, Runtime};
use serde::Serialize;

use super::cure::cure;
use super::workbench::Allowance;
use crate::cause::Cause;
use crate::plugins::{
    Admission, AdmissionRules, Ground, Judged, Refusal as Refused, Step, Trust, Who, judge,
};
use crate::system::addition;
use crate::{NewPlugin, Result};
use mortise_plugin_runtime::Origin;

/// Package of the contract, as it stands in the names of exports.
const PACKAGE: &str = "mortise:plugin/";

/// What only a node can tell about a component, in the order in which `plugin add` asks.
pub const ONLY_A_NODE_CAN_TELL: [&str; 5] = [
    "whether a signature is required, and whose",
    "what the plugin of this name has been granted already",
    "the limits that were set for it",
    "whether other bytes have this name and version",
    "whether the node's program serves this version of the contract",
];

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
    /// With what it would come in, when it would.
    pub admission: Option<Admission>,
    /// Why a host would not take it; `None` when it would.
    pub refusal: Option<Refusal>,
}

/// Why a host would not take a component, and what usually helps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// The step that failed; `None` for one that a newer node knows.
    pub step: Option<Step>,
    /// The sort of reason; `None` for one that a newer node knows.
    pub ground: Option<Ground>,
    /// The host's own words.
    pub reason: String,
    /// What usually helps, by language; `None` for a sort of reason that this program doesn't know.
    pub cure: Option<String>,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.reason)?;
        self.cure.as_ref().map_or(Ok(()), |cure| write!(f, "; {cure}"))
    }
}

impl Checked {
    /// Joins what a file says about itself with what a host says about it.
    #[must_use]
    pub fn of(bytes: &[u8], judged: Judged) -> Self {
        let origin = Origin::of(bytes);
        let Judged { world, wit_version, capabilities, identity, admission, refusal } = judged;
        let named = || origin.exports.iter().find_map(|name| Some(contract_version(name)?.to_owned()));
        let wit_version = wit_version.or_else(named);
        let refusal = refusal.map(|Refused { step, ground, reason }| {
            let cure = ground.map(|ground| cure(ground, &origin, bytes));
            Refusal { step, ground, reason, cure }
        });
        Self {
            bytes: bytes.len() as u64,
            digest: Digest::of(bytes).to_string(),
            world,
            wit_version,
            capabilities,
            origin,
            identity,
            admission,
            refusal,
        }
    }
}

/// Judges a component as a node would that was never told anything: no keys, no plugins, the usual limits.
pub(super) fn by_defaults(runtime: &Runtime, new: NewPlugin, allowance: Allowance) -> Result<Judged> {
    let (grants, mut addition) = addition(new, Cause::default());
    if let Err(error) = grants {
        return Judged::refused(Step::Capabilities, error);
    }
    addition.grants.extend(allowance.grants.wasi_minimal.then_some(Capability::WasiMinimal));
    let admission_rules = AdmissionRules {
        model: Arc::default(),
        trust: Trust::default(),
        max_component_bytes: MAX_COMPONENT_BYTES,
        unix_ms: 0,
    };
    judge(runtime, &admission_rules, &addition, |usual| allowance.limits_from(usual))
}

/// The version in `mortise:plugin/<interface>@<version>`.
fn contract_version(export: &str) -> Option<&str> {
    Some(export.strip_prefix(PACKAGE)?.split_once('@')?.1)
}
