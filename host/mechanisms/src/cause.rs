//! Who asks for a change, and why: what the callers of [`System`](crate::System) state, for the history.
//!
//! The administration has no accounts. What is known of whoever asks is the address that the request came
//! from; a name is what the client says of itself: a *claim*, which is recorded as one and proves nothing.
//! Both and the reason come from outside, so they are bounded here, and a request whose claims break the
//! rules is refused like any other. What the node does by itself has no cause of this kind.
//!
//! This module must not know how requests arrive.

use std::net::IpAddr;

/// Most characters of a reason.
pub const MAX_REASON_CHARS: usize = 400;

/// Most characters of the name that a client gives itself.
pub const MAX_OPERATOR_CHARS: usize = 64;

/// Who asks for a change, as far as that is known. The default knows nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Actor {
    /// The name that the client gives itself; nobody has checked it.
    pub operator: Option<String>,
    /// Where the request came from.
    pub peer: Option<IpAddr>,
}

/// On whose behalf a change is made, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cause {
    /// Who asks for it.
    pub actor: Actor,
    /// Why, in the words of whoever asks.
    pub reason: Option<String>,
}

/// What is stated of who asks, and why, breaks the rules.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CauseError {
    /// The name that a client gives itself.
    #[error("{0:?} cannot be an operator's name; use 1 to 64 characters of visible ASCII, without blanks")]
    Operator(String),
    /// The number of characters of the reason.
    #[error("the reason has {0} characters; at most {MAX_REASON_CHARS} are kept in the history")]
    ReasonTooLong(usize),
    /// The first character of the reason that a line of text must not hold.
    #[error("the reason holds the control character {0:?}; write it as one line of text")]
    ReasonCharacter(char),
}

impl Cause {
    /// Refuses what the history would not keep as it is.
    pub(crate) fn check(&self) -> Result<(), CauseError> {
        if let Some(found) = &self.actor.operator
            && !is_operator(found)
        {
            return Err(CauseError::Operator(found.chars().take(MAX_OPERATOR_CHARS).collect()));
        }
        let Some(reason) = &self.reason else { return Ok(()) };
        let found = reason.chars().count();
        if found > MAX_REASON_CHARS {
            return Err(CauseError::ReasonTooLong(found));
        }
        match reason.chars().find(|c| c.is_control()) {
            Some(found) => Err(CauseError::ReasonCharacter(found)),
            None => Ok(()),
        }
    }

    /// The name that is claimed, where it is one that the history keeps.
    pub(crate) fn operator(&self) -> Option<&str> {
        self.actor.operator.as_deref().filter(|name| is_operator(name))
    }

    /// The reason, where it is one that the history keeps.
    pub(crate) fn reason(&self) -> Option<&str> {
        let keeps =
            |text: &&str| text.chars().count() <= MAX_REASON_CHARS && !text.chars().any(char::is_control);
        self.reason.as_deref().filter(keeps)
    }
}

/// Whether a name may be claimed: visible ASCII, so that it can pretend to be nothing else in a table.
fn is_operator(name: &str) -> bool {
    (1..=MAX_OPERATOR_CHARS).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use mortise_kernel::ErrorKind;

    use super::*;

    fn cause(operator: Option<&str>, reason: Option<&str>) -> Cause {
        let actor = Actor { operator: operator.map(Into::into), peer: None };
        Cause { actor, reason: reason.map(Into::into) }
    }

    #[test]
    fn claims_within_the_bounds_are_kept() {
        let long = "ü".repeat(MAX_REASON_CHARS);
        for (operator, reason) in [
            (None, None),
            (Some("alice"), Some("ticket 7: «too slow»")),
            (Some("DOMAIN\\alice@example.com"), Some(&*long)),
        ] {
            let cause = cause(operator, reason);
            cause.check().unwrap();
            assert_eq!((cause.operator(), cause.reason()), (operator, reason));
        }
    }

    #[test]
    fn claims_that_break_the_rules_are_refused_with_the_rule_and_not_kept() {
        let (long, longer) = ("x".repeat(MAX_OPERATOR_CHARS + 1), "x".repeat(MAX_REASON_CHARS + 1));
        for (operator, reason, part) in [
            (Some(""), None, "1 to 64"),
            (Some("two words"), None, "visible ASCII"),
            (Some("jürgen"), None, "visible ASCII"),
            (Some("a\u{1b}[2J"), None, "\\u{1b}"),
            (Some(&*long), None, "1 to 64"),
            (None, Some(&*longer), "401 characters"),
            (None, Some("two\nlines"), "'\\n'"),
            (None, Some("\u{9b}2J"), "'\\u{9b}'"),
        ] {
            let cause = cause(operator, reason);
            let error = cause.check().unwrap_err();
            assert_eq!(crate::Error::from(error.clone()).kind(), ErrorKind::InvalidArgument);
            assert!(error.to_string().contains(part), "{part} is missing in {error}");
            assert_eq!((cause.operator(), cause.reason()), (None, None));
        }
    }
}
