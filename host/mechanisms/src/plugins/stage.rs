//! The stages of a plugin version's life, and the events that lead from one to the next: pure types.
//!
//! A version is **added** (its file is here, nothing of it has run), **verified** (it fits its world and
//! has said who it is), **rehearsed** on a volume's views, perhaps **shadowing** what serves there,
//! **active**, and then **superseded** by another version, **rolled back** by an administrator or the host,
//! or **quarantined** for its faults; at the end it is **removed**. `added`, `verified` and `removed` are
//! about the version and stored in its own row; the others are about the version *on one binding*, and
//! stored there.
//!
//! [`Stage::after`] is the whole machine. Whoever writes a stage into the catalog asks it first, so a step
//! that makes no sense is an error with words, and never a row.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How far a plugin version has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Stage {
    /// Its file is stored and it is about to be compiled and asked who it is.
    Added,
    /// It fits its world and may be rehearsed. Rows from before stages were stored are of this one.
    #[default]
    Verified,
    /// It passed its rehearsal for a binding and may serve it.
    Rehearsed,
    /// It is asked beside what serves a binding, and acted upon by nobody.
    Shadowing,
    /// It serves a binding.
    Active,
    /// Another version took its place; a rollback may bring it back.
    Superseded,
    /// It was taken back; only a new rehearsal brings it back.
    RolledBack,
    /// It faulted too often; only a new rehearsal brings it back.
    Quarantined,
    /// It is being taken out of the catalog, or it is gone.
    Removed,
}

/// What can happen to a plugin version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// It was compiled, fits its world and said who it is.
    Verify,
    /// It was found unfit, or its verification was interrupted.
    Refuse,
    /// It passed a rehearsal.
    Rehearse,
    /// It is asked beside what serves.
    Shadow,
    /// It is put into service, or bound anew where it is bound already.
    Activate,
    /// It is not put into service after all, or does not shadow any more.
    Abandon,
    /// Another version takes its place.
    Supersede,
    /// It is taken back to what served before.
    RollBack,
    /// What took its place is gone again, and it serves as before.
    Return,
    /// It faulted too often.
    Quarantine,
    /// The volume that it serves is deleted.
    Detach,
    /// It is taken out of the catalog.
    Remove,
}

/// An event that has no place in a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a plugin version that is {stage} cannot be {}", .event.done())]
pub struct IllegalTransition {
    /// The stage.
    pub(crate) stage: Stage,
    /// What was to happen.
    pub(crate) event: Event,
}

impl Stage {
    /// The stage that follows.
    ///
    /// # Errors
    /// [`IllegalTransition`] when the event has no place in this stage.
    pub(crate) fn after(self, event: Event) -> Result<Self, IllegalTransition> {
        use Stage::{
            Active, Added, Quarantined, Rehearsed, Removed, RolledBack, Shadowing, Superseded, Verified,
        };
        Ok(match (self, event) {
            (Added, Event::Verify) | (Rehearsed | Shadowing, Event::Abandon) | (Active, Event::Detach) => {
                Verified
            }
            (Added, Event::Refuse) | (Verified | Superseded | RolledBack | Quarantined, Event::Remove) => {
                Removed
            }
            (Verified | Rehearsed | Shadowing | Superseded | RolledBack | Quarantined, Event::Rehearse) => {
                Rehearsed
            }
            (Rehearsed, Event::Shadow) => Shadowing,
            (Rehearsed | Shadowing | Active, Event::Activate) | (Superseded, Event::Return) => Active,
            (Active, Event::Supersede) => Superseded,
            // A verdict that could not be written at once may arrive when another serves already.
            (Active | Superseded, Event::RollBack) => RolledBack,
            (Verified | Rehearsed | Shadowing | Active | Superseded | RolledBack, Event::Quarantine) => {
                Quarantined
            }
            (stage, event) => return Err(IllegalTransition { stage, event }),
        })
    }

    /// The stage as rows, tables and JSON have it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Verified => "verified",
            Self::Rehearsed => "rehearsed",
            Self::Shadowing => "shadowing",
            Self::Active => "active",
            Self::Superseded => "superseded",
            Self::RolledBack => "rolled-back",
            Self::Quarantined => "quarantined",
            Self::Removed => "removed",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Event {
    /// What was done, for messages.
    fn done(self) -> &'static str {
        match self {
            Self::Verify => "verified",
            Self::Refuse => "refused",
            Self::Rehearse => "rehearsed",
            Self::Shadow => "made a shadow",
            Self::Activate => "activated",
            Self::Abandon => "abandoned",
            Self::Supersede => "superseded",
            Self::RollBack => "rolled back",
            Self::Return => "returned to",
            Self::Quarantine => "quarantined",
            Self::Detach => "taken off a deleted volume",
            Self::Remove => "removed",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Event, Stage};

    const STAGES: [Stage; 9] = [
        Stage::Added,
        Stage::Verified,
        Stage::Rehearsed,
        Stage::Shadowing,
        Stage::Active,
        Stage::Superseded,
        Stage::RolledBack,
        Stage::Quarantined,
        Stage::Removed,
    ];
    const EVENTS: [Event; 12] = [
        Event::Verify,
        Event::Refuse,
        Event::Rehearse,
        Event::Shadow,
        Event::Activate,
        Event::Abandon,
        Event::Supersede,
        Event::RollBack,
        Event::Return,
        Event::Quarantine,
        Event::Detach,
        Event::Remove,
    ];

    /// A line for each stage, a column for each event in the order of `EVENTS`; a dash is an error.
    const TABLE: &str = "
        added:       verified removed -         -         -      -        -          -           -      -           -        -
        verified:    -        -       rehearsed -         -      -        -          -           -      quarantined -        removed
        rehearsed:   -        -       rehearsed shadowing active verified -          -           -      quarantined -        -
        shadowing:   -        -       rehearsed -         active verified -          -           -      quarantined -        -
        active:      -        -       -         -         active -        superseded rolled-back -      quarantined verified -
        superseded:  -        -       rehearsed -         -      -        -          rolled-back active quarantined -        removed
        rolled-back: -        -       rehearsed -         -      -        -          -           -      quarantined -        removed
        quarantined: -        -       rehearsed -         -      -        -          -           -      -           -        removed
        removed:     -        -       -         -         -      -        -          -           -      -           -        -
    ";

    #[test]
    fn every_pair_of_stage_and_event_does_what_the_table_says() {
        let lines: Vec<&str> = TABLE.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        assert_eq!(lines.len(), STAGES.len());
        for (stage, line) in STAGES.into_iter().zip(lines) {
            let (name, outcomes) = line.split_once(':').unwrap();
            assert_eq!(name, stage.as_str());
            let outcomes: Vec<&str> = outcomes.split_whitespace().collect();
            assert_eq!(outcomes.len(), EVENTS.len(), "{stage}");
            for (event, expected) in EVENTS.into_iter().zip(outcomes) {
                match stage.after(event) {
                    Ok(next) => assert_eq!(next.as_str(), expected, "{stage} and {event:?}"),
                    Err(error) => {
                        assert_eq!(expected, "-", "{stage} and {event:?}");
                        assert_eq!((error.stage, error.event), (stage, event));
                        assert!(error.to_string().contains(stage.as_str()), "{error}");
                    }
                }
            }
        }
    }

    #[test]
    fn every_stage_is_reached_from_the_first_and_has_a_way_out_but_the_last() {
        let mut reached = BTreeSet::from([Stage::Added]);
        for _ in STAGES {
            let next: Vec<_> = reached
                .iter()
                .flat_map(|stage| EVENTS.into_iter().filter_map(|event| stage.after(event).ok()))
                .collect();
            reached.extend(next);
        }
        assert_eq!(reached, BTreeSet::from(STAGES));
        for stage in STAGES {
            let stuck = EVENTS.into_iter().all(|event| stage.after(event).is_err());
            assert_eq!(stuck, stage == Stage::Removed, "{stage}");
        }
    }

    #[test]
    fn stages_are_stored_by_name() {
        for stage in STAGES {
            let text = serde_json::to_string(&stage).unwrap();
            assert_eq!(text, format!("\"{stage}\""));
            assert_eq!(serde_json::from_str::<Stage>(&text).unwrap(), stage);
        }
    }
}
