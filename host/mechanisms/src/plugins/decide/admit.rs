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
    /// What came of it, in words.
    pub outcome: &'a str,
}

/// What is known of a component without running it.
#[derive(Clone, Debug)]
pub(crate) struct Papers {
    pub description: Description,
    pub origin: Origin,
    /// Name that it is to get, when one was given.
    pub name: Option<String>,
    pub signature: SignatureState,
    /// What is granted to it expressly.
    pub grants: Capabilities,
    pub unix_ms: u64,
}

impl Papers {
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
pub(crate) fn arrive(model: &Model, papers: &Papers) -> Result<(Change, ())> {
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

/// Takes note that a component was refused, and forgets its arrival, if it came that far.
pub(crate) fn refuse(model: &Model, refused: &Refused<'_>) -> Result<(Change, ())> {
    let Refused { origin, name, digest, outcome } = *refused;
    let mut change = Change::default();
    let audit = match origin {
        Origin::Shipped => HistoryRow::node("plugin-add", "shipped with this program"),
        Origin::Added => HistoryRow::admin("plugin-add", "asked for"),
    };
    // A name that cannot be one stands in the error's words.
    let name = name.filter(|name| name_problem(name).is_none());
    let unknown = name.is_none_or(|name| model.versions(name).next().is_none());
    let mut audit = audit.component(name, digest).refused(unknown && origin == Origin::Added, outcome);
    if let Some(arrival) = model.arrivals.get(digest) {
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
pub(crate) fn admit(model: &Model, papers: &Papers, identity: &Identity) -> Result<(Change, Chosen)> {
    let name = papers.name.as_deref().unwrap_or(&identity.name);
    check_name(name, identity)?;
    let digest = papers.digest();
    let mut change = Change::default();
    change.delete(model, Key::Arrival(digest.clone()));
    let chosen = |row| Chosen { name: name.into(), version: identity.version.clone(), row };
    let world = papers.description.world;
    if let Some((_, row)) = model.versions(name).find(|(_, row)| row.world != world.as_str()) {
        return Err(Error::WrongWorld {
            name: name.into(),
            version: identity.version.clone(),
            expected: row.world.clone(),
            found: world.to_string(),
            cure: "all versions of a plugin are of one world: give this one another name with --name",
        });
    }
    let existing = model.plugins.get(&(name.into(), identity.version.clone()));
    if existing.is_some_and(|row| row.stage == Stage::Removed) {
        let version = identity.version.clone();
        return Err(StageError::BeingRemoved { name: name.into(), version }.into());
    }
    let shipped = papers.origin == Origin::Shipped;
    let mut reason = "added";
    let row = match existing {
        None => new_row(model, name, papers, identity),
        Some(row) if row.digest == digest && (!shipped || row.origin == Origin::Shipped) => {
            // It came in before; it may have got a signature or a grant since.
            let again = seen_again(row, papers);
            if again != *row {
                change.put(model, Key::plugin(name, &identity.version), &again)?;
                let audit = papers.audit("added again with another signature or grant");
                let audit = audit.plugin(name, &identity.version, &digest);
                change.audit(audit.papers(&again.grants, vouched(&again)));
            }
            return Ok((change, chosen(again)));
        }
        Some(row) if row.digest == digest || (shipped && row.origin == Origin::Shipped) => {
            reason = "replaced by the build that comes with this program";
            PluginRow { limits: row.limits, ..new_row(model, name, papers, identity) }
        }
        Some(row) => {
            return Err(Error::PluginConflict {
                name: name.into(),
                version: identity.version.clone(),
                existing: row.digest.clone(),
                found: digest,
            });
        }
    };
    change.put(model, Key::plugin(name, &identity.version), &row)?;
    let to = after(Stage::Added, Event::Verify)?;
    let audit = papers.audit(reason).plugin(name, &identity.version, &digest);
    change.audit(audit.papers(&row.grants, vouched(&row)).moved(Some(Stage::Added), to));
    Ok((change, chosen(row)))
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

fn new_row(model: &Model, name: &str, papers: &Papers, identity: &Identity) -> PluginRow {
    let Inherited { limits, mut grants } = inherited(model, Some(name), papers.description.world);
    grants.extend(&papers.grants);
    PluginRow {
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
    }
}

/// The row of a component that comes a second time. What was proved about it once stays.
fn seen_again(row: &PluginRow, papers: &Papers) -> PluginRow {
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
