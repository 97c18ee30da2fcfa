//! Where a plugin version stands: its stage on every binding that knows it, and the one that sums them up.
//!
//! Stages are read from the rows; only what serves a volume for want of a binding has none and is taken from
//! its slot. A quarantine outweighs what the binding says of the same volume. Of its stages on several
//! volumes the one that says most counts: a version that is active anywhere is active.
//!
//! All of it is for people. Whoever decides asks the rows.

use std::collections::BTreeMap;

use super::act::Lifecycle;
use super::choose::Chosen;
use super::stage::Stage;
use crate::catalog::{BindingRow, Model, Target};
use crate::system::StandingInfo;

impl Lifecycle {
    /// The stage of a version on each binding that knows it, by volume.
    pub(super) fn standings(&self, model: &Model, chosen: &Chosen) -> Vec<StandingInfo> {
        let mut found: BTreeMap<(String, String), StandingInfo> = BTreeMap::new();
        let mut put = |volume: &str, world: &str, stage: Stage, since_unix_ms, reason: &str| {
            let standing = StandingInfo {
                volume: volume.into(),
                world: world.into(),
                stage: stage.to_string(),
                since_unix_ms,
                reason: reason.into(),
            };
            found.insert((volume.into(), world.into()), standing);
        };
        // What serves for want of a binding has no row.
        for (volume, since_unix_ms) in self.serves_unbound(model, chosen) {
            put(&volume, &chosen.row.world, Stage::Active, since_unix_ms, "");
        }
        for ((volume, world), row) in &model.bindings {
            if let Some((stage, since_unix_ms, reason)) = standing_on(row, chosen) {
                put(volume, world, stage, since_unix_ms, reason);
            }
        }
        for ((volume, world, digest), row) in &model.quarantines {
            if *digest == chosen.row.digest {
                put(volume, world, Stage::Quarantined, row.since_unix_ms, &row.reason);
            }
        }
        found.into_values().collect()
    }

    fn serves_unbound(&self, model: &Model, chosen: &Chosen) -> Vec<(String, u64)> {
        let all = self.attached.load();
        let serves = all.iter().filter_map(|(volume, attached)| {
            let active = attached.slot.load();
            let binding = model.bindings.get(&(volume.clone(), chosen.row.world.clone()));
            let unbound = binding.is_none_or(|row| row.current == Target::Default);
            (unbound && active.info.digest == chosen.row.digest && active.info.plugin == chosen.name)
                .then(|| (volume.clone(), active.since_unix_ms))
        });
        serves.collect()
    }
}

/// What one binding says of a version. Of several configurations the one that is furthest counts.
fn standing_on<'a>(row: &'a BindingRow, chosen: &Chosen) -> Option<(Stage, u64, &'a str)> {
    let names = |target: &Target| match target {
        Target::Plugin { plugin, version, digest, .. } => {
            *plugin == chosen.name && *version == chosen.version && *digest == chosen.row.digest
        }
        Target::Default | Target::Native => false,
    };
    if names(&row.current) {
        return Some((Stage::Active, row.since_unix_ms, ""));
    }
    let mut waiting = row.candidate.iter().chain(&row.shadow);
    if let Some(candidate) = waiting.find(|candidate| names(&candidate.target)) {
        return Some((candidate.stage, candidate.since_unix_ms, ""));
    }
    if let Some(taken) = row.taken_back.iter().find(|taken| names(&taken.target)) {
        return Some((Stage::RolledBack, taken.since_unix_ms, &taken.reason));
    }
    row.previous.iter().any(names).then_some((Stage::Superseded, 0, ""))
}

/// The stage that says most about a version: where it stands on its bindings, else what its row says.
pub(super) fn summed_up(standings: &[StandingInfo], row: Stage) -> String {
    let on = |stage: Stage| standings.iter().any(|standing| standing.stage == stage.as_str());
    let order = [
        Stage::Active,
        Stage::Shadowing,
        Stage::Quarantined,
        Stage::Rehearsed,
        Stage::RolledBack,
        Stage::Superseded,
    ];
    order.into_iter().find(|stage| on(*stage)).unwrap_or(row).to_string()
}
