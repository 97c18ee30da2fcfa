//! What went wrong in a call of a plugin, sorted by cause, with a sentence for the operator.
//!
//! The kinds are labels of metrics and words of recorded calls, so their names stay. [`FaultKind::Busy`] is
//! the one that says nothing about the plugin: nobody ran it. What a detail quotes of the plugin is cut and
//! stays on one line.
//!
//! One cause has no public type in wasmtime and is known by its text, which a test holds in place. What
//! follows from a fault is for others to decide.

use wasmtime::{PoolConcurrencyLimitError, Trap, WasmBacktrace};

use crate::Limits;
use crate::engine::WASM_STACK_BYTES;
use crate::limiter::MemoryExceeded;
use crate::present::presentable;
use crate::runtime::Bound;

/// The sort of a [`Fault`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FaultKind {
    /// The plugin trapped: it panicked, ran out of stack, or broke the component model's rules.
    Trap,
    /// The plugin did not answer in time.
    Deadline,
    /// The plugin used up the instructions that the call had.
    Fuel,
    /// The plugin wanted more memory or tables than its limit.
    Memory,
    /// The plugin's answer is larger than its limit.
    AnswerTooLarge,
    /// The plugin's answer breaks the contract in a way that its types don't show.
    InvalidAnswer,
    /// The plugin itself answered with an error, for example about its configuration.
    Refused,
    /// The plugin was not run because too many calls are under way. Not the plugin's fault: try again.
    Busy,
}

impl FaultKind {
    /// Name in tables, JSON, traces and metric labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::Deadline => "deadline",
            Self::Fuel => "fuel",
            Self::Memory => "memory",
            Self::AnswerTooLarge => "answer-too-large",
            Self::InvalidAnswer => "invalid-answer",
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

    /// Sorts what wasmtime reports of a call that ended early.
    pub(crate) fn from_wasmtime(error: &wasmtime::Error, limits: &Limits, bound: Bound) -> Self {
        if let Some(exceeded) = error.downcast_ref::<MemoryExceeded>() {
            return Self::new(FaultKind::Memory, exceeded.to_string());
        }
        if error.is::<PoolConcurrencyLimitError>() {
            return Self::new(FaultKind::Busy, "all slots for plugin instances are taken; try again");
        }
        let cause = error.root_cause().to_string();
        // wasmtime keeps the type of this error to itself; a test holds the text in place.
        if cause.contains("fuel allocated for hostcalls has been exhausted") {
            let detail = format!(
                "the plugin passed more than {} bytes to the host in one answer or message, its limit",
                limits.answer_bytes
            );
            return Self::new(FaultKind::AnswerTooLarge, detail);
        }
        match (error.downcast_ref::<Trap>(), bound) {
            (Some(Trap::Interrupt), Bound::Deadline(deadline)) => {
                let detail = format!("the plugin did not answer within {deadline:?}, its deadline");
                Self::new(FaultKind::Deadline, detail)
            }
            (Some(Trap::Interrupt), Bound::Fuel { backstop, .. }) => {
                let detail = format!(
                    "the plugin did not answer within {backstop:?} though it has fuel left: it lets the host \
                     work for it, or the machine is far too slow for it"
                );
                Self::new(FaultKind::Deadline, detail)
            }
            (Some(Trap::OutOfFuel), bound) => {
                let limit = match bound {
                    Bound::Fuel { fuel, .. } => fuel,
                    Bound::Deadline(_) => limits.tank(),
                };
                let detail = format!(
                    "the plugin did not answer within {limit} units of fuel (about one for each \
                     instruction), its limit"
                );
                Self::new(FaultKind::Fuel, detail)
            }
            (Some(Trap::StackOverflow), _) => {
                let detail =
                    format!("the plugin ran out of stack ({WASM_STACK_BYTES} bytes): endless recursion?");
                Self::new(FaultKind::Trap, detail)
            }
            _ => {
                let detail = format!("the plugin trapped: {}{}", presentable(&cause), place(error));
                Self::new(FaultKind::Trap, detail)
            }
        }
    }
}

/// Where a trap happened, as far as the component still carries names.
fn place(error: &wasmtime::Error) -> String {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else {
        return String::new();
    };
    let frames: Vec<_> = backtrace
        .frames()
        .iter()
        .take(3)
        .map(|frame| match frame.func_name() {
            Some(name) => format!("`{}`", presentable(name)),
            None => format!("function {}", frame.func_index()),
        })
        .collect();
    if frames.is_empty() { String::new() } else { format!(" (in {})", frames.join(", called by ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// wasmtime's own errors quote names that a component may choose.
    #[test]
    fn a_cause_is_cut_and_stays_on_one_line() {
        let error = wasmtime::Error::msg(format!("expected `{}`\nERROR it is all over", "x".repeat(100_000)));
        let fault = Fault::from_wasmtime(
            &error,
            &Limits::default(),
            Bound::Fuel { fuel: 1, backstop: std::time::Duration::ZERO },
        );
        assert!(fault.detail.len() < 5_000 && !fault.detail.contains('\n'), "{} bytes", fault.detail.len());
        let short = wasmtime::Error::msg("one\ntwo");
        let fault = Fault::from_wasmtime(
            &short,
            &Limits::default(),
            Bound::Fuel { fuel: 1, backstop: std::time::Duration::ZERO },
        );
        assert_eq!(fault.detail, "the plugin trapped: one\\ntwo");
    }
}
