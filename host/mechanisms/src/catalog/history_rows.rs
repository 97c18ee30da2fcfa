//! Rows of the history: who did what to what, when, why, and what came of it.
//!
//! Rows of earlier programs lack what was added since and are read like all others; this layout has had
//! nothing but additions, which programs from before pass over, so its version is still 1.
//!
//! What is refused leaves a row, too, and anybody can be refused any number of times. Such rows are marked,
//! because they are kept in smaller numbers: see [`Keep`](super::Keep).

use mortise_plugin_runtime::Digest;
use serde::{Deserialize, Serialize};

use crate::cause::Cause;
use crate::plugins::{Capabilities, SignatureState, Stage};

/// Largest configuration that a row has in full, in bytes.
const CONFIG_IN_FULL: usize = 400;

/// What rows call whoever called the administration's API.
const ADMIN: &str = "admin";

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// A configuration as the history has it: in full, or by digest where it is long.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ConfigSeen {
    pub bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

impl ConfigSeen {
    fn of(config: &str) -> Self {
        let bytes = config.len() as u64;
        if config.len() <= CONFIG_IN_FULL {
            Self { bytes, json: Some(config.into()), sha256: None }
        } else {
            Self { bytes, json: None, sha256: Some(Digest::of(config.as_bytes()).to_string()) }
        }
    }
}

/// Who did what to what, why, and what came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct HistoryRow {
    pub version: u32,
    pub unix_ms: u64,
    /// `admin` or `node`.
    pub actor: String,
    /// The name that an administrator's client gave itself: a claim.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator: Option<String>,
    /// The address that an administrator's request came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    pub action: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The stages that a plugin version left and reached, as text: newer programs may know more of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Why, in the host's words.
    pub reason: String,
    /// Why, in the words of whoever asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator_reason: Option<String>,
    /// What the version may use from now on, by name: newer programs may know more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grants: Option<Vec<String>>,
    /// `signed`, `unsigned` or `unchecked`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// The key that signed it, or that it claims to be signed with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// The settings that it was activated or rehearsed with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<ConfigSeen>,
    pub outcome: String,
    /// Whether nothing was done but to refuse an attempt.
    #[serde(skip_serializing_if = "is_false")]
    pub refused: bool,
    /// Whether the attempt was on something that the catalog did not have.
    #[serde(skip_serializing_if = "is_false")]
    pub stranger: bool,
}

impl HistoryRow {
    /// What an administrator did. Time and layout version are filled in when it is written.
    pub(crate) fn admin(action: &str, reason: impl Into<String>) -> Self {
        Self { actor: ADMIN.into(), action: action.into(), reason: reason.into(), ..Self::default() }.ok()
    }

    /// What the node did by itself.
    pub(crate) fn node(action: &str, reason: impl Into<String>) -> Self {
        Self { actor: "node".into(), action: action.into(), reason: reason.into(), ..Self::default() }.ok()
    }

    fn ok(self) -> Self {
        self.outcome("done")
    }

    /// States on whose behalf an administrator's row is, and why. The node's own rows stay as they are.
    pub(crate) fn caused_by(mut self, cause: &Cause) -> Self {
        if self.actor == ADMIN {
            self.operator = cause.operator().map(Into::into);
            self.peer = cause.actor.peer.map(|address| address.to_string());
            self.operator_reason = cause.reason().map(Into::into);
        }
        self
    }

    /// What was granted and who vouches for it; nobody has to for what comes with the program.
    pub(crate) fn papers(mut self, grants: &Capabilities, signature: Option<&SignatureState>) -> Self {
        self.grants = Some(grants.iter().map(ToString::to_string).collect());
        let Some(signature) = signature else { return self };
        let (state, key_id) = match signature {
            SignatureState::Unsigned => ("unsigned", None),
            SignatureState::Unchecked { key_id } => ("unchecked", Some(key_id)),
            SignatureState::Signed { key_id, .. } => ("signed", Some(key_id)),
        };
        self.signature = Some(state.into());
        self.key_id = key_id.cloned();
        self
    }

    /// The settings.
    pub(crate) fn config(mut self, config: &str) -> Self {
        self.config = Some(ConfigSeen::of(config));
        self
    }

    /// An attempt that came to nothing; `stranger` when it was on something that nobody knows.
    pub(crate) fn refused(mut self, stranger: bool, outcome: impl Into<String>) -> Self {
        (self.refused, self.stranger) = (true, stranger);
        self.outcome(outcome)
    }

    /// The stages that it left and reached.
    pub(crate) fn moved(mut self, from: Option<Stage>, to: Stage) -> Self {
        self.from = from.map(|stage| stage.to_string());
        self.to = Some(to.to_string());
        self
    }

    pub(crate) fn outcome(mut self, outcome: impl Into<String>) -> Self {
        self.outcome = outcome.into();
        self
    }

    pub(crate) fn volume(mut self, name: &str) -> Self {
        self.volume = Some(name.into());
        self
    }

    /// A component of which nothing but the digest is known, or also the name that it was to get. One that
    /// was not read to its end has an empty digest.
    pub(crate) fn component(mut self, name: Option<&str>, digest: &str) -> Self {
        self.plugin = name.map(Into::into);
        self.digest = (!digest.is_empty()).then(|| digest.into());
        self
    }

    pub(crate) fn plugin(mut self, name: &str, version: &str, digest: &str) -> Self {
        self.plugin = Some(name.into());
        self.plugin_version = Some(version.into());
        self.digest = Some(digest.into());
        self
    }
}
