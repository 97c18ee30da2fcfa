//! How it is shown what strategies answered lately, why, and what became of it.
//!
//! Functions of the daemon's answers. What a plugin wrote has been made fit for one line before, but its
//! faults may have several, of which the first is shown. A step is shown by the names of the contract, so
//! that a step that this program does not know is shown, too. JSON carries what tables cut.

use std::time::Duration;

use serde_json::{Value, json};

use super::output::{given, or_dash, size, time};
use super::plugin_tables::some;
use crate::pb::mortise::v1 as pb;

/// The latest answers and steps of several bindings, a row each.
pub(super) fn table(bindings: &[pb::Binding]) -> Option<String> {
    let rows = bindings.iter().flat_map(|binding| {
        let row = |what: &str, decision: &pb::Decision| {
            vec![
                binding.volume.clone(),
                what.to_owned(),
                time(decision.unix_ms),
                named(decision),
                step(decision),
                or_dash(&decision.reason),
                became(decision),
            ]
        };
        let answer = binding.answer.as_ref().map(|answer| row("answer", answer));
        let step = binding.step.as_ref().filter(|step| Some(*step) != binding.answer.as_ref());
        answer.into_iter().chain(step.map(|step| row("step", step)))
    });
    some(&["VOLUME", "LAST", "WHEN", "BY", "WANTED", "WHY", "BECAME"], &[4, 5, 6], rows.collect())
}

/// A decision in one line.
pub(super) fn line(decision: &pb::Decision) -> String {
    let why = if decision.reason.is_empty() { String::new() } else { format!(" ({})", decision.reason) };
    format!("{}, {}: {}{why}; {}", time(decision.unix_ms), named(decision), step(decision), became(decision))
}

fn named(decision: &pb::Decision) -> String {
    format!("{} {}", decision.plugin, decision.version).trim_end().to_owned()
}

/// `{"merge":{"from":0,"to":6}}` as `merge from 0 to 6`.
fn step(decision: &pb::Decision) -> String {
    let Ok(Value::Object(step)) = serde_json::from_str(&decision.step_json) else {
        return "no answer".to_owned();
    };
    let mut words = Vec::new();
    for (name, fields) in step {
        words.push(name);
        for (field, value) in fields.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
            words.push(format!("{} {value}", field.replace('_', " ")));
        }
    }
    words.join(" ")
}

fn became(decision: &pb::Decision) -> String {
    match decision.became.as_str() {
        "waits" => "waits for the tree to change".to_owned(),
        "runs" => "runs or waits for its turn".to_owned(),
        "held-back" => "held back: it just failed or did nothing on the same tree".to_owned(),
        "overruled" => "a step of the guard rail came first".to_owned(),
        "nothing" => "had nothing to do".to_owned(),
        "stale" => "the tree had changed before".to_owned(),
        "done" => format!(
            "done in {}: {} read, {} written",
            humantime::format_duration(Duration::from_millis(decision.took_ms)),
            size(decision.bytes_in),
            size(decision.bytes_out)
        ),
        other => {
            let detail = decision.detail.lines().next().unwrap_or_default();
            format!("{other}: {detail}")
        }
    }
}

pub(super) fn decision_json(decision: &pb::Decision) -> Value {
    json!({
        "unix_ms": decision.unix_ms,
        "plugin": decision.plugin,
        "version": given(&decision.version),
        "step": serde_json::from_str::<Value>(&decision.step_json).ok(),
        "reason": given(&decision.reason),
        "became": decision.became,
        "detail": given(&decision.detail),
        "took_ms": decision.took_ms,
        "bytes_in": decision.bytes_in,
        "bytes_out": decision.bytes_out,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decision(step: &str, became: &str) -> pb::Decision {
        pb::Decision {
            unix_ms: 1_769_860_800_000,
            plugin: "mine".into(),
            version: "1.0.0".into(),
            step_json: step.into(),
            reason: "level 0 has 5 runs".into(),
            became: became.into(),
            ..Default::default()
        }
    }

    #[test]
    fn a_decision_is_told_in_one_line() {
        let done = pb::Decision {
            took_ms: 1_250,
            bytes_in: 2048,
            bytes_out: 1024,
            ..decision(r#"{"merge":{"from":0,"to":6}}"#, "done")
        };
        assert_eq!(
            line(&done),
            "2026-01-31 12:00:00 UTC, mine 1.0.0: merge from 0 to 6 (level 0 has 5 runs); \
             done in 1s 250ms: 2.0 KiB read, 1.0 KiB written"
        );
        let waits =
            pb::Decision { reason: String::new(), ..decision(r#"{"wait":{"ask_again_ms":null}}"#, "waits") };
        assert!(line(&waits).ends_with("mine 1.0.0: wait; waits for the tree to change"), "{}", line(&waits));
        let fault = pb::Decision { detail: "trap: unreachable\nat …".into(), ..decision("", "fault") };
        assert!(line(&fault).contains("no answer") && line(&fault).ends_with("fault: trap: unreachable"));
    }

    #[test]
    fn a_step_that_is_the_latest_answer_is_shown_once() {
        // In a narrow terminal a row takes several lines, but the volume's name is in each row once.
        let rows = |binding: pb::Binding| table(&[binding]).map(|text| text.matches("volume-7").count());
        let answer = Some(decision(r#"{"move":{"from":0,"to":6}}"#, "done"));
        let binding = pb::Binding {
            volume: "volume-7".into(),
            answer: answer.clone(),
            step: answer,
            ..Default::default()
        };
        assert_eq!(rows(binding.clone()), Some(1));
        let waits = Some(decision(r#"{"wait":{"ask_again_ms":5}}"#, "waits"));
        assert_eq!(rows(pb::Binding { answer: waits, ..binding }), Some(2));
        assert_eq!(rows(pb::Binding::default()), None);
    }
}
