//! A question that the loop puts to a strategy, and what is remembered of it until it is answered.
//!
//! It keeps the strategy that it was put to and the tree that it was about, so that an answer that comes late
//! is judged by what was asked and counted for whoever was asked, even when another strategy serves by now.
//! The seed follows from the volume's id and the number of the call since the loop began, and not from
//! chance.

use std::sync::Arc;

use futures::future::BoxFuture;
use mortise_plugin_runtime::Fault;
use mortise_plugin_runtime::compaction::{Decision, View};
use tokio::time::Instant;

use super::observe::Observation;
use super::strategy::Active;
use crate::recording::Recorded;

/// A question that was put to a strategy.
pub(super) struct Question {
    pub(super) asked: Asked,
    pub(super) answer: BoxFuture<'static, Result<Decision, Fault>>,
}

/// Whom it was put to, about which tree, and when.
pub(super) struct Asked {
    pub(super) active: Arc<Active>,
    pub(super) observed: Arc<Observation>,
    pub(super) view: Arc<View>,
    pub(super) now: u64,
    pub(super) seed: u64,
    pub(super) at: Instant,
}

impl Asked {
    /// The call with its answer, to be remembered.
    pub(super) fn answered(&self, answer: &Result<Decision, Fault>) -> Recorded {
        Recorded {
            strategy: self.active.info.clone(),
            now: self.now,
            seed: self.seed,
            view: Arc::clone(&self.view),
            answer: answer.clone(),
        }
    }
}

/// The seed of a volume's n-th call since its loop started: well mixed (splitmix64) and reproducible.
pub(super) fn seed(volume_id: u64, call: u64) -> u64 {
    let mut z =
        volume_id.wrapping_mul(0xD1B5_4A32_D192_ED03).wrapping_add(call.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
