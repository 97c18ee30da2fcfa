//! What went wrong in a call of a plugin, sorted by cause, with a sentence for the operator.

/// The sort of a [`Fault`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FaultKind {
    /// The plugin trapped: it panicked, ran out of stack, or broke the component model's rules.
    Trap,
    /// The plugin did not answer in time.
    Deadline,
    /// The plugin wanted more memory or tables than its limit.
    Memory,
    /// The plugin's answer is larger than its limit.
    AnswerTooLarge,
    /// The plugin itself answered with an error, for example about its configuration.
    Refused,
    /// The plugin was not run because too many calls are under way. Not the plugin's fault: try again.
    Busy,
}

impl FaultKind {
    /// Name for metric labels and tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::Deadline => "deadline",
            Self::Memory => "memory",
            Self::AnswerTooLarge => "answer_too_large",
            Self::Refused => "refused",
            Self::Busy => "busy",
        }
    }
}

impl std::fmt::Display for FaultKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a call gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Fault {
    /// The sort.
    pub kind: FaultKind,
    /// A sentence for the operator.
    pub detail: String,
}

impl Fault {
    pub(crate) fn new(kind: FaultKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }
}
