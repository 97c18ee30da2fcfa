//! The way of a component into a node, as far as nothing is written on it.
//!
//! `plugin add` goes it and writes between its parts; `plugin check` goes it alone, by [`judge`], on a node
//! or on its author's desk. Because both go the same way, a check refuses what an addition would refuse, for
//! the same reason and in the same words. What cannot be blamed on the component (a node that is stopping, a
//! compiler that cannot be started) is an error and no refusal.

use std::sync::Arc;

use mortise_plugin_runtime::{Capability, Description, Digest, Identity, Limits, World};
use serde::Serialize;

use super::admit::Addition;
use super::capability::{self, Capabilities};
use super::decide::{self, Inspected};
use super::ground::Ground;
use super::host::{Host, Loaded};
use super::signature::{SignatureState, Trust};
use super::stage::Stage;
use crate::catalog::{Model, Origin};
use crate::{Error, Result};

/// The parts of the way, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// The size of the file.
    Size,
    /// Its signature.
    Signature,
    /// What it says about itself; none of it runs.
    Read,
    /// What it wants, against what it is granted.
    Capabilities,
    /// The limits that it is to run under.
    Limits,
    /// Compiling it.
    Compile,
    /// Asking it who it is.
    Describe,
    /// Its name and version, against what the catalog has.
    Catalog,
}

impl Step {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Size,
        Self::Signature,
        Self::Read,
        Self::Capabilities,
        Self::Limits,
        Self::Compile,
        Self::Describe,
        Self::Catalog,
    ];

    /// Name for messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::Signature => "signature",
            Self::Read => "read",
            Self::Capabilities => "capabilities",
            Self::Limits => "limits",
            Self::Compile => "compile",
            Self::Describe => "describe",
            Self::Catalog => "catalog",
        }
    }

    /// Reads a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.as_str() == name)
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a component would not be taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// Where it ended; `None` for one that a newer node knows.
    pub step: Option<Step>,
    /// The sort of reason; `None` for one that a newer node knows.
    pub ground: Option<Ground>,
    /// The node's own words, which `plugin add` would answer with.
    pub reason: String,
}

/// Who a plugin says it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Who {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it does.
    pub summary: String,
}

/// With what a component would come in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Admission {
    /// The name that it would have.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Whether this very component is there under this name and version.
    pub known: bool,
    /// What it would be granted.
    pub grants: Vec<Capability>,
    /// What each of its calls might use.
    pub limits: Limits,
    /// Who vouches for it.
    pub signature: SignatureState,
}

/// What came of leading a component the way of `plugin add`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Judged {
    /// The world that it implements, once it was read.
    pub world: Option<String>,
    /// The version of the contract, once it was read.
    pub wit_version: Option<String>,
    /// What it wants, once it was read.
    pub capabilities: Vec<Capability>,
    /// Who it says it is, once it was asked.
    pub identity: Option<Who>,
    /// With what it would come in.
    pub admission: Option<Admission>,
    /// Why it would not; exactly one of the two is there.
    pub refusal: Option<Refusal>,
}

impl Judged {
    /// The verdict about a component that came no further than this step.
    ///
    /// # Errors
    /// The error itself when it is not the component that is refused.
    pub(crate) fn refused(step: Step, error: Error) -> Result<Self> {
        let refusal = Some(Refused { step, error }.into_refusal()?);
        Ok(Self { refusal, ..Self::default() })
    }
}

/// What a node measures a component by.
#[derive(Clone, Debug)]
pub(crate) struct AdmissionRules {
    pub model: Arc<Model>,
    pub trust: Trust,
    pub max_component_bytes: usize,
    pub unix_ms: u64,
}

impl AdmissionRules {
    /// For a check: a plugin whose removal is under way is gone, as an addition would find.
    pub(crate) fn without_removed(mut self) -> Self {
        if self.model.plugins.values().any(|row| row.stage == Stage::Removed) {
            let model = Arc::make_mut(&mut self.model);
            model.plugins.retain(|_, row| row.stage != Stage::Removed);
        }
        self
    }
}

/// An error, and where on the way.
#[derive(Debug)]
pub(crate) struct Refused {
    pub step: Step,
    pub error: Error,
}

impl Refused {
    /// For people and programs; an error that is not about the component stays one.
    fn into_refusal(self) -> Result<Refusal> {
        let Some(ground) = Ground::of(&self.error) else { return Err(self.error) };
        Ok(Refusal { step: Some(self.step), ground: Some(ground), reason: self.error.to_string() })
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        refused.error
    }
}

/// Notes where an error happened.
trait At<T> {
    fn at(self, step: Step) -> Result<T, Refused>;
}

impl<T> At<T> for Result<T> {
    fn at(self, step: Step) -> Result<T, Refused> {
        self.map_err(|error| Refused { step, error })
    }
}

/// What a component may use while it is asked who it is.
#[derive(Clone, Debug)]
pub(crate) struct TrialTerms {
    pub limits: Limits,
    pub capabilities: Capabilities,
}

/// Looks at a component without running it: size, signature, world, version, imports. Blocks.
pub(crate) fn look(
    host: &dyn Host,
    admission_rules: &AdmissionRules,
    addition: &Addition,
) -> Result<Inspected, Refused> {
    let Addition { bytes, name, signature, grants, origin, .. } = addition;
    let limit = admission_rules.max_component_bytes;
    if bytes.len() > limit {
        return Err(Error::ComponentTooLarge(limit)).at(Step::Size);
    }
    let signature = match origin {
        // What comes with the program is trusted like the program.
        Origin::Shipped => SignatureState::Unsigned,
        Origin::Added => admission_rules.trust.check(bytes, signature.as_deref()).at(Step::Signature)?,
    };
    Ok(Inspected {
        description: host.inspect(bytes).at(Step::Read)?,
        origin: *origin,
        name: name.clone(),
        signature,
        grants: grants.clone(),
        unix_ms: admission_rules.unix_ms,
    })
}

/// What a component that was looked at runs under: what the plugin has of whose name it is to be a version,
/// and what it is granted expressly.
pub(crate) fn terms(admission_rules: &AdmissionRules, papers: &Inspected) -> Result<TrialTerms, Refused> {
    let Description { world, capabilities: wanted, imports, .. } = &papers.description;
    let name = papers.name.as_deref();
    let inherited = decide::inherited(&admission_rules.model, name, *world);
    let mut granted = inherited.grants;
    granted.extend(&papers.grants);
    capability::check(name, wanted, &granted, imports).at(Step::Capabilities)?;
    let capabilities = wanted.union(&capability::by_default()).copied().collect();
    Ok(TrialTerms { limits: inherited.limits, capabilities })
}

/// Whether what was compiled of a component is kept for later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    Compiled,
    Nothing,
}

/// Compiles a component and asks it who it is, twice. Blocks.
pub(crate) fn verify(
    host: &dyn Host,
    bytes: &[u8],
    world: World,
    terms: &TrialTerms,
    keep: Keep,
) -> Result<(Identity, Arc<dyn Loaded>), Refused> {
    let limits = terms.limits;
    limits.validate().map_err(|error| Error::Limits(error.to_string())).at(Step::Limits)?;
    let component = match keep {
        Keep::Compiled => host.load(bytes, &terms.capabilities),
        Keep::Nothing => host.try_out(bytes, &terms.capabilities),
    };
    let component = component.at(Step::Compile)?;
    component.fits(world, limits).at(Step::Compile)?;
    let ask = || component.identity(&limits).map_err(Error::DescribeFailed).at(Step::Describe);
    let (identity, again) = (ask()?, ask()?);
    if identity != again {
        let detail = format!("asked twice who it is, it said {identity:?} and then {again:?}");
        return Err(Error::IdentityChanges(detail)).at(Step::Describe);
    }
    Ok((identity, component))
}

/// Leads a component all the way and writes nothing. `adjust` changes the limits that it would run under.
/// Blocks.
///
/// # Errors
/// What is not the component's doing.
pub(crate) fn judge(
    host: &dyn Host,
    admission_rules: &AdmissionRules,
    addition: &Addition,
    adjust: impl FnOnce(Limits) -> Limits,
) -> Result<Judged> {
    let mut judged = Judged::default();
    match lead(host, admission_rules, addition, adjust, &mut judged) {
        Ok(admission) => judged.admission = Some(admission),
        Err(refused) => judged.refusal = Some(refused.into_refusal()?),
    }
    Ok(judged)
}

fn lead(
    host: &dyn Host,
    admission_rules: &AdmissionRules,
    addition: &Addition,
    adjust: impl FnOnce(Limits) -> Limits,
    judged: &mut Judged,
) -> Result<Admission, Refused> {
    let papers = look(host, admission_rules, addition)?;
    let Description { world, wit_version, capabilities, .. } = &papers.description;
    judged.world = Some(world.to_string());
    judged.wit_version = Some(wit_version.clone());
    judged.capabilities = capabilities.iter().copied().collect();
    let mut terms = terms(admission_rules, &papers)?;
    terms.limits = adjust(terms.limits);
    let (identity, _) = verify(host, &addition.bytes, *world, &terms, Keep::Nothing)?;
    let Identity { name, version, summary } = identity.clone();
    judged.identity = Some(Who { name, version, summary });
    let (_, chosen) = decide::admit(&admission_rules.model, &papers, &identity).at(Step::Catalog)?;
    let there = admission_rules.model.plugins.get(&(chosen.name.clone(), chosen.version.clone()));
    let digest = Digest::of(&addition.bytes).to_string();
    Ok(Admission {
        known: there.is_some_and(|row| row.digest == digest),
        name: chosen.name,
        version: chosen.version,
        grants: chosen.row.grants.into_iter().collect(),
        limits: chosen.row.limits,
        signature: chosen.row.signature,
    })
}
