//! Configurations that a plugin of any world may be given.
//!
//! It must accept the one that it is tested with. Every other one it may refuse, and a refusal that says what
//! is wrong is best: most are no JSON objects, or have a field that nobody knows. No configuration may end a
//! call in a trap, at its deadline or at its memory limit. Accepting nonsense without a word is allowed and
//! earns advice.

use mortise_plugin_runtime::{Fault, FaultKind};

use super::battery::{Battery, Failure};
use super::trace::Record;

/// What a plugin may do with a configuration.
#[derive(Clone, Copy, PartialEq)]
enum Expect {
    Answer,
    /// A refusal is best, an answer is allowed; anything else is a fault.
    Refusal,
}

/// What became of a question that carried a configuration: the answer in words, and the call to replay.
pub(super) struct Asked {
    pub(super) answer: Result<String, Fault>,
    pub(super) seen: String,
    pub(super) record: Option<Box<Record>>,
}

/// Runs the section; `ask` puts any question with the configuration given.
pub(super) fn test(battery: &mut Battery<'_>, ask: &mut dyn FnMut(&mut Battery<'_>, &str) -> Asked) {
    battery.begin("configuration");
    let given = battery.options.config.clone();
    let deep = "[".repeat(20_000);
    let long = format!("{{\"x\": \"{}\"}}", "y".repeat(200_000));
    let cases = [
        ("the one given", given.as_str(), Expect::Answer),
        ("an empty object", "{}", if given == "{}" { Expect::Answer } else { Expect::Refusal }),
        ("an empty text", "", Expect::Refusal),
        ("a field that nobody knows", r#"{"no_such_field_of_any_plugin": 1}"#, Expect::Refusal),
        ("a list", "[]", Expect::Refusal),
        ("a number", "7", Expect::Refusal),
        ("null", "null", Expect::Refusal),
        ("cut off", "{", Expect::Refusal),
        ("text after the object", "{} {}", Expect::Refusal),
        ("no JSON at all", "max_runs = 3", Expect::Refusal),
        ("a broken escape", r#"{"a": "\u12"}"#, Expect::Refusal),
        ("20,000 brackets", deep.as_str(), Expect::Refusal),
        ("a text of 200 kB", long.as_str(), Expect::Refusal),
    ];
    let mut lax = Vec::new();
    for (name, config, expect) in cases {
        let Asked { answer, seen, record } = ask(battery, config);
        let expected = match (&answer, expect) {
            (Ok(_), Expect::Answer) => None,
            (Ok(_), Expect::Refusal) => {
                // An empty text and an empty object say the same.
                if !name.starts_with("an empty") {
                    lax.push(name);
                }
                None
            }
            (Err(fault), Expect::Refusal) if fault.kind == FaultKind::Refused => None,
            (Err(_), Expect::Answer) => Some("an answer"),
            (Err(_), Expect::Refusal) => Some("a refusal that says what is wrong, or an answer"),
        };
        let found = answer.unwrap_or_else(|fault| format!("a fault ({}): {fault}", fault.kind));
        let case = expected.map_or(Ok(()), |expected| {
            let case = format!("configuration: {name}");
            Err(Failure { case, seen, expected: expected.to_owned(), found, record })
        });
        battery.count(case);
    }
    if !lax.is_empty() {
        battery.advise(format!(
            "configurations that it cannot use are accepted without a word: {}; an operator who misspells \
             a field never learns of it",
            lax.join(", ")
        ));
    }
}
