//! Traces survive being written and read, whatever is in them; origins are told from files alone.

use mortise_plugin_runtime::Call;
use mortise_plugin_runtime::compaction::{Answer, Decision, canned_views};
use mortise_plugin_runtime::{Fault, FaultKind};

use super::trace::{Record, read};
use mortise_plugin_runtime::{Form, Language, Origin};

#[test]
fn every_view_and_answer_survives_a_trace() {
    let partial = Answer::Partial { l0_threshold: 0, level_ratio: f32::NAN, table_bytes: u64::MAX };
    let answers = [
        Ok(Decision { step: partial, reason: "a reason".to_owned() }),
        Ok(Answer::Wait { ask_again_ms: Some(u64::MAX) }.into()),
        Err(Fault { kind: FaultKind::Trap, detail: "it\ntrapped".to_owned() }),
    ];
    let call = Call { config: "{\"a\": \"\u{2028}\"}".to_owned(), now: u64::MAX, seed: (1 << 60) + 1 };
    let mut lines = Vec::new();
    let mut records = Vec::new();
    for (number, (_, view)) in canned_views().into_iter().enumerate() {
        let record = Record::strategy("x 1.0.0".to_owned(), &call, &view, &answers[number % 3]);
        record.write(&mut lines).unwrap();
        let super::trace::Question::CompactionStrategy { view: recorded } = &record.question;
        assert_eq!(mortise_plugin_runtime::compaction::View::from(recorded), view);
        records.push(record);
    }
    let found = read(lines.as_slice()).unwrap();
    assert_eq!(lines.iter().filter(|byte| **byte == b'\n').count(), records.len());
    // A float that is no number is not equal to itself.
    assert_eq!(format!("{found:?}"), format!("{records:?}"));
}

#[test]
fn a_trace_of_another_version_is_refused_by_its_line() {
    let call = Call { config: "{}".to_owned(), now: 0, seed: 0 };
    let view = &canned_views()[0].1;
    let answer = Ok(Answer::Wait { ask_again_ms: None }.into());
    let mut record = Record::strategy(String::new(), &call, view, &answer);
    let mut lines = b"\n".to_vec();
    record.write(&mut lines).unwrap();
    record.trace = 9;
    record.write(&mut lines).unwrap();
    let error = read(lines.as_slice()).unwrap_err().to_string();
    assert!(error.contains("line 3") && error.contains("version 9"), "{error}");
}

#[test]
fn shipped_components_are_rust() {
    for plugin in mortise_plugins::shipped() {
        let origin = Origin::of(plugin.bytes);
        assert_eq!((origin.form, origin.language), (Form::Component, Some(Language::Rust)), "{origin:?}");
        assert!(!origin.tools.is_empty() && !origin.exports.is_empty());
    }
    assert_eq!(Origin::of(b"text").form, Form::NotWasm);
    assert_eq!(Origin::of(b"\0asm\x01\0\0\0").form, Form::CoreModule);
}
