//! Rehearsal: a candidate is asked about canned views and about the volume as it is, and nothing is acted on.
//!
//! Every answer must be legal by the kernel's own rules for the tree in the view, and the same call, made
//! twice, must give the same answer. A configuration that the plugin refuses shows here, too.

use std::sync::Arc;

use mortise_plugin_runtime::compaction::{Decision, View, canned_views};
use mortise_plugin_runtime::{Call, Fault, FaultKind, ILLEGAL};

use crate::compaction::{Strategy, Verdict, judge, shape_of};

/// Seed of the first call; the further ones count up from it.
const FIRST_SEED: u64 = 1;

/// Tries of a call that the runtime was too busy for.
const BUSY_TRIES: usize = 20;

/// Why a candidate failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The view.
    pub view: String,
    /// What was expected and what it did.
    pub detail: String,
}

/// Rehearses `candidate`; returns the number of views.
pub(crate) async fn rehearse(
    candidate: &dyn Strategy,
    config: &str,
    now: u64,
    live: Option<View>,
) -> Result<usize, Failure> {
    let canned = canned_views().into_iter().map(|(name, view)| (name.to_owned(), view));
    let views: Vec<(String, View)> = canned.chain(live.map(|view| ("live".to_owned(), view))).collect();
    let count = views.len();
    for (seed, (name, view)) in (FIRST_SEED..).zip(views) {
        let call = Call { config: config.into(), now, seed };
        if let Err(detail) = rehearse_one(candidate, call, view).await {
            return Err(Failure { view: name, detail });
        }
    }
    Ok(count)
}

async fn rehearse_one(candidate: &dyn Strategy, call: Call, view: View) -> Result<(), String> {
    let (shape, view) = (shape_of(&view), Arc::new(view));
    let first = ask(candidate, &call, &view).await;
    match judge(&shape, first.clone().map(|decision| decision.step)) {
        // The runtime's words say who refused.
        Verdict::Fault { kind: "refused", detail } => return Err(detail),
        Verdict::Fault { kind: ILLEGAL, detail } => {
            candidate.count_illegal();
            return Err(format!("expected a legal step, found {detail}"));
        }
        Verdict::Fault { kind, detail } => {
            return Err(format!("expected an answer, found a fault ({kind}): {detail}"));
        }
        Verdict::NotAsked(detail) => return Err(format!("it could not be asked: {detail}; try again")),
        Verdict::Wait(_) | Verdict::Step(_) => {}
    }
    let second = ask(candidate, &call, &view).await;
    if first == second {
        Ok(())
    } else {
        Err(format!(
            "expected the same answer to the same call, found {} and then {}",
            shown(&first),
            shown(&second)
        ))
    }
}

/// Asks, and asks again a little later when the runtime is busy with other plugins.
async fn ask(candidate: &dyn Strategy, call: &Call, view: &Arc<View>) -> Result<Decision, Fault> {
    let mut tries = 1;
    loop {
        match candidate.decide(call.clone(), Arc::clone(view)).await {
            Err(Fault { kind: FaultKind::Busy, .. }) if tries < BUSY_TRIES => {
                tries += 1;
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
            answer => return answer,
        }
    }
}

fn shown(answer: &Result<Decision, Fault>) -> String {
    match answer {
        Ok(Decision { step, reason }) if reason.is_empty() => format!("{step:?}"),
        Ok(Decision { step, reason }) => format!("{step:?} ({reason})"),
        Err(fault) => format!("a fault ({}): {fault}", fault.kind),
    }
}
