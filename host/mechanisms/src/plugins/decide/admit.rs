//! Components arrive, and come in or are refused; limits.
//!
//! An arrival is written before anything of the component runs, because what runs then may be what stops the
//! node: the next start finds the arrival, undoes it, and says so, instead of running it again.

use mortise_plugin_runtime::{Description, Identity, Limits, World, is_version, name_problem};

use super::super::capability::{self, Capabilities};
use super::super::choose::{Chosen, pick};
use super::super::signature::SignatureState;
use super::super::stage::{Event, Stage};
use super::super::stage_error::StageError;
use super::after;
use crate::catalog::{
    ArrivalRow, Change, HistoryRow, Key, Model, Origin, PluginRow, ROW_VERSION, ROWS_AT_ONCE,
};
use crate::{Error, NATIVE_STRATEGY, Result};

/// Digits of the digest that tell an earlier build from others of its version.
const BUILD_DIGITS: usize = 12;

/// What a further version of a plugin begins with: what the newest has, for whoever set it meant the plugin.
pub(crate) struct Inherited {
    pub limits: Limits,
    pub grants: Capabilities,
}

/// What a further version of a plugin begins with, or the first one of a plugin of this world.
pub(crate) fn inherited(model: &Model, name: Option<&str>, world: World) -> Inherited {
    match name.map(|name| pick(model, name, None)) {
        Some(Ok(newest)) => Inherited { limits: newest.row.limits, grants: newest.row.grants },
        Some(Err(_)) | None => Inherited { limits: world.default_limits(), grants: capability::by_default() },
    }
}

/// A component that does not come in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refused<'a> {
    pub origin: Origin,
    /// Name that it was to get, when one was given.
    pub name: Option<&'a str>,
    /// Empty when it was not read to its end.
    pub digest: &'a str,
    /// Whether nobody else is having the same bytes verified.
    pub last: bool,
    /// What came of it, in words.
    pub outcome: &'a str,
}

/// What is known of a component without running it.
#[derive(Clone, Debug)]
pub(crate) struct Inspected {
    pub description: Description,
    pub origin: Origin,
    /// Name that it is to get, when one was given.
    pub name: Option<String>,
    pub signature: SignatureState,
    /// What is granted to it expressly.
    pub grants: Capabilities,
    pub unix_ms: u64,
}

impl Inspected {
    fn digest(&self) -> String {
        self.description.digest.to_string()
    }

    /// The audit row of its addition.
    fn audit(&self, reason: &str) -> HistoryRow {
        match self.origin {
            Origin::Shipped => HistoryRow::node("plugin-add", format!("shipped with this program; {reason}")),
            Origin::Added => HistoryRow::admin("plugin-add", reason),
        }
    }
}

/// Takes note of a component that is about to be verified.
pub(crate) fn arrive(model: &Model, papers: &Inspected) -> Result<(Change, ())> {
    let mut change = Change::default();
    let row = ArrivalRow {
        version: ROW_VERSION,
        name: papers.name.clone(),
        size: papers.description.bytes,
        since_unix_ms: papers.unix_ms,
        origin: papers.origin,
        stage: Stage::Added,
    };
    change.put(model, Key::Arrival(papers.digest()), &row)?;
    Ok((change, ()))
}

/// Takes note that a component was refused, and forgets its arrival, unless others wait for it.
pub(crate) fn refuse(model: &Model, refused: &Refused<'_>) -> Result<(Change, ())> {
    let Refused { origin, name, digest, last, outcome } = *refused;
    let mut change = Change::default();
    let audit = match origin {
        Origin::Shipped => HistoryRow::node("plugin-add", "shipped with this program"),
        Origin::Added => HistoryRow::admin("plugin-add", "asked for"),
    };
    // A name that cannot be one stands in the error's words.
    let name = name.filter(|name| name_problem(name).is_none());
    let unknown = name.is_none_or(|name| model.versions(name).next().is_none());
    let mut audit = audit.component(name, digest).refused(unknown && origin == Origin::Added, outcome);
    if let Some(arrival) = model.arrivals.get(digest).filter(|_| last) {
        audit = audit.moved(Some(arrival.stage), after(arrival.stage, Event::Refuse)?);
        change.delete(model, Key::Arrival(digest.into()));
    }
    change.audit(audit);
    Ok((change, ()))
}

/// Undoes arrivals whose verification was interrupted; returns whether some are left for the next change.
pub(crate) fn interrupted_arrivals(model: &Model) -> Result<(Change, bool)> {
    let mut change = Change::default();
    let mut arrivals = model.arrivals.iter();
    for (digest, arrival) in arrivals.by_ref().take(ROWS_AT_ONCE / 2) {
        let to = after(arrival.stage, Event::Refuse)?;
        let audit = HistoryRow::node("plugin-add", "the node stopped while the component was verified")
            .component(arrival.name.as_deref(), digest)
            .moved(Some(arrival.stage), to)
            .outcome("undone; add it again");
        change.delete(model, Key::Arrival(digest.clone()));
        change.audit(audit);
    }
    Ok((change, arrivals.next().is_some()))
}

/// Whether a component that was verified may come in, and with which row.
pub(crate) fn admit(model: &Model, papers: &Inspected, identity: &Identity) -> Result<(Change, Chosen)> {
    let name = papers.name.as_deref().unwrap_or(&identity.name);
    check_name(name, identity)?;
    check_world(model, name, papers, identity)?;
    let digest = papers.digest();
    let mut change = Change::default();
    change.delete(model, Key::Arrival(digest.clone()));
    let version = version_for(model, name, papers, identity);
    let existing = model.plugins.get(&(name.into(), version.clone()));
    if existing.is_some_and(|row| row.stage == Stage::Removed) {
        return Err(StageError::BeingRemoved { name: name.into(), version }.into());
    }
    let shipped = papers.origin == Origin::Shipped;
    let mut reason = "added";
    let fresh = || new_row(model, name, &version, papers, identity);
    let row = match existing {
        None => fresh()?,
        Some(row) if row.digest == digest && (!shipped || row.origin == Origin::Shipped) => {
            // It came in before; it may have got a signature or a grant since.
            let again = seen_again(row, papers);
            check_granted(name, papers, &again)?;
            if again != *row {
                change.put(model, Key::plugin(name, &version), &again)?;
                let audit = papers.audit("added again with another signature or grant");
                let audit = audit.plugin(name, &version, &digest);
                change.audit(audit.papers(&again.grants, vouched(&again)));
            }
            return Ok((change, Chosen { name: name.into(), version, row: again }));
        }
        Some(row) if row.digest == digest || (shipped && row.origin == Origin::Shipped) => {
            reason = "replaced by the build that comes with this program";
            let replaced = Chosen { name: name.into(), version: version.clone(), row: row.clone() };
            change.join(keep_build(model, &replaced, &digest)?);
            PluginRow { limits: row.limits, ..fresh()? }
        }
        Some(row) => {
            return Err(Error::PluginConflict {
                name: name.into(),
                version,
                existing: row.digest.clone(),
                found: digest,
            });
        }
    };
    change.put(model, Key::plugin(name, &version), &row)?;
    let to = after(Stage::Added, Event::Verify)?;
    let audit = papers.audit(reason).plugin(name, &version, &digest);
    change.audit(audit.papers(&row.grants, vouched(&row)).moved(Some(Stage::Added), to));
    Ok((change, Chosen { name: name.into(), version, row }))
}

fn check_world(model: &Model, name: &str, papers: &Inspected, identity: &Identity) -> Result<()> {
    let world = papers.description.world;
    match model.versions(name).find(|(_, row)| row.world != world.as_str()) {
        None => Ok(()),
        Some((_, row)) => Err(Error::WrongWorld {
            name: name.into(),
            version: identity.version.clone(),
            expected: row.world.clone(),
            found: world.to_string(),
            cure: "all versions of a plugin are of one world: give this one another name with --name",
        }),
    }
}

/// What it wants must be granted to the name that it has in the end, by the rows as they are in the end: a
/// name that was not given is known late, and grants can go while a component is compiled.
fn check_granted(name: &str, papers: &Inspected, row: &PluginRow) -> Result<()> {
    capability::check(Some(name), &row.wants, &row.grants, &papers.description.imports)
}

/// The version of an earlier build: the one that it says it has, and what tells it from other builds.
fn version_of_build(version: &str, digest: &str) -> String {
    let separator = if version.contains('+') { '.' } else { '+' };
    format!("{version}{separator}build.{}", &digest[..digest.len().min(BUILD_DIGITS)])
}

/// The version that a component gets: the one that it says it has, unless that is another build's and this
/// one is needed, or was, for what is written in it.
fn version_for(model: &Model, name: &str, papers: &Inspected, identity: &Identity) -> String {
    let (said, digest) = (&identity.version, papers.digest());
    let taken = model.plugins.get(&(name.into(), said.clone())).is_some_and(|row| row.digest != digest);
    let ships = papers.origin == Origin::Shipped;
    if !taken || ships || papers.description.world != World::Format {
        return said.clone();
    }
    let build = version_of_build(said, &digest);
    let kept = model.plugins.get(&(name.into(), build.clone())).is_some_and(|row| row.digest == digest);
    if kept || model.written_in(&digest).next().is_some() { build } else { said.clone() }
}

/// Lets a format whose version another build takes over stay beside it, under a version of its own, when the
/// data of a volume is in it: nothing else can read that. The new build is not kept beside itself.
fn keep_build(model: &Model, replaced: &Chosen, by: &str) -> Result<Change> {
    let Chosen { name, version, row } = replaced;
    let mut change = Change::default();
    if row.world != World::Format.as_str() || row.digest == by {
        return Ok(change);
    }
    // The program takes an earlier build up again.
    let own = (name.clone(), version_of_build(version, by));
    if model.plugins.get(&own).is_some_and(|row| row.build_of.is_some() && row.digest == by) {
        change.delete(model, Key::plugin(&own.0, &own.1));
    }
    // Somebody may be creating a volume in it right now.
    change.require_volumes(model);
    let volumes: Vec<_> = model.written_in(&row.digest).collect();
    // A volume whose row cannot be read may be in it.
    let unknown = model.unreadable.keys().any(|key| matches!(key, Key::Volume(_)));
    if volumes.is_empty() && !unknown {
        return Ok(change);
    }
    let build = version_of_build(version, &row.digest);
    let kept = PluginRow { build_of: Some(version.clone()), ..row.clone() };
    change.put(model, Key::plugin(name, &build), &kept)?;
    let reason = format!("another build of {version} comes with this program");
    let audit = HistoryRow::node("plugin-keep", reason).plugin(name, &build, &row.digest);
    let written =
        if volumes.is_empty() { "a volume whose row cannot be read".into() } else { volumes.join(", ") };
    change.audit(audit.outcome(format!("kept for {written}")));
    Ok(change)
}

/// The signature of what did not come with the program, which is trusted like the program.
fn vouched(row: &PluginRow) -> Option<&SignatureState> {
    (row.origin != Origin::Shipped).then_some(&row.signature)
}

fn check_name(name: &str, identity: &Identity) -> Result<()> {
    if let Some(why) = name_problem(name) {
        return Err(Error::PluginName { name: name.into(), why });
    }
    if name == NATIVE_STRATEGY {
        return Err(Error::PluginName { name: name.into(), why: "it is the name of the built-in strategy" });
    }
    if !is_version(&identity.version) {
        return Err(Error::PluginVersion { name: name.into(), found: identity.version.clone() });
    }
    Ok(())
}

fn new_row(
    model: &Model,
    name: &str,
    version: &str,
    papers: &Inspected,
    identity: &Identity,
) -> Result<PluginRow> {
    let Inherited { limits, mut grants } = inherited(model, Some(name), papers.description.world);
    grants.extend(&papers.grants);
    let row = PluginRow {
        version: ROW_VERSION,
        digest: papers.digest(),
        world: papers.description.world.to_string(),
        wit_version: papers.description.wit_version.clone(),
        size: papers.description.bytes,
        added_unix_ms: papers.unix_ms,
        origin: papers.origin,
        summary: identity.summary.clone(),
        limits,
        stage: Stage::Verified,
        signature: papers.signature.clone(),
        grants,
        wants: papers.description.capabilities.clone(),
        build_of: (version != identity.version).then(|| identity.version.clone()),
    };
    check_granted(name, papers, &row)?;
    Ok(row)
}

/// The row of a component that comes a second time. What was proved about it once stays.
fn seen_again(row: &PluginRow, papers: &Inspected) -> PluginRow {
    let mut again = row.clone();
    again.grants.extend(&papers.grants);
    if matches!(papers.signature, SignatureState::Signed { .. }) {
        again.signature = papers.signature.clone();
    }
    again
}

/// Sets the limits of every version of a plugin; returns whether some are left for the next change.
pub(crate) fn limit(model: &Model, name: &str, limits: Limits) -> Result<(Change, bool)> {
    pick(model, name, None)?;
    let mut change = Change::default();
    let mut others = model.versions(name).filter(|(_, row)| row.limits != limits);
    for (version, row) in others.by_ref().take(ROWS_AT_ONCE / 2) {
        let row = PluginRow { limits, ..row.clone() };
        change.put(model, Key::plugin(name, version), &row)?;
        let new = serde_json::to_string(&limits).unwrap_or_default();
        change.audit(HistoryRow::admin("plugin-limits", new).plugin(name, version, &row.digest));
    }
    Ok((change, others.next().is_some()))
}
