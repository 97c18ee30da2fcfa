//! Misbehaving formats against the plugin runtime: each has a stated outcome for each of its functions, under
//! the clock and under fuel alone, and a good format is served right afterwards.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use mortise_plugin_runtime::format::{Answers, Format, Mode};
use mortise_plugin_runtime::{Fault, FaultKind, Limits, Runtime, RuntimeConfig, World};
use mortise_tests::guests;

use FaultKind::{AnswerTooLarge, Deadline, Fuel, InvalidAnswer, Memory, Refused, Trap};

/// What is asked of a format first.
const QUESTIONS: [&str; 2] = ["describe", "properties"];

/// What is asked of it then, in this order: each function that takes a batch, with each sort of record by
/// itself.
const BATCHES: [&str; 4] = ["encode_keys", "decode_keys", "encode_values", "decode_values"];

/// What becomes of a guest: the first function that faults, how, and what is said.
type Failing = Option<(&'static str, FaultKind, &'static str)>;

const OUTCOMES: &[(&str, Failing)] = &[
    ("format_countless", Some(("encode_keys", Trap, "out of bounds of memory"))),
    ("format_counts_calls", Some(("decode_values", Trap, "unreachable"))),
    ("format_dawdles", None),
    ("format_decodes_anything", None),
    ("format_floods_the_log", Some(("encode_values", AnswerTooLarge, "in one answer or message"))),
    ("format_floods_when_cold", None),
    ("format_gigantic_answer", Some(("describe", Memory, "its limit is 16777216"))),
    ("format_huge_answer", Some(("encode_keys", AnswerTooLarge, "more than 65536 bytes"))),
    ("format_inflates", Some(("encode_values", AnswerTooLarge, "more than 65536 bytes"))),
    ("format_lazy", None),
    ("format_loop_in_decode_keys", Some(("decode_keys", Fuel, "units of fuel"))),
    ("format_loop_in_decode_values", Some(("decode_values", Fuel, "units of fuel"))),
    ("format_loop_in_describe", Some(("describe", Deadline, "within"))),
    ("format_loop_in_encode_keys", Some(("encode_keys", Fuel, "units of fuel"))),
    ("format_loop_in_encode_values", Some(("encode_values", Fuel, "units of fuel"))),
    ("format_loop_in_post_return", Some(("encode_keys", Fuel, "units of fuel"))),
    ("format_loop_in_properties", Some(("properties", Deadline, "within"))),
    ("format_loop_in_realloc", Some(("encode_keys", Fuel, "units of fuel"))),
    ("format_loop_in_start", Some(("describe", Deadline, "within"))),
    ("format_memory_hog", Some(("encode_keys", Memory, "its limit is 16777216"))),
    ("format_merges_keys", None),
    ("format_refuse", Some(("properties", Refused, "the plugin refused: no\\nERROR all is lost"))),
    ("format_too_few", Some(("encode_keys", InvalidAnswer, "answered 2 keys, expected 3"))),
    ("format_trap_in_third_call", None),
    ("format_turns_slow", None),
    ("format_well_behaved", None),
    ("format_whispers_for_ever", Some(("encode_values", AnswerTooLarge, "in one answer or message"))),
];

/// Patient, because the machine that runs the tests may be busy.
const LIMITS: Limits =
    Limits { memory_bytes: 16 << 20, deadline: Duration::from_secs(10), answer_bytes: 64 << 10, fuel: None };

/// For guests that never answer.
const SHORT: Limits = Limits { deadline: Duration::from_millis(200), ..LIMITS };

fn runtime() -> Arc<Runtime> {
    static RUNTIME: OnceLock<Arc<Runtime>> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::new(RuntimeConfig::default()).expect("an engine")).clone()
}

fn format(name: &str, limits: Limits) -> Format {
    let bytes = guests::FORMATS.iter().find(|(other, _)| *other == name).expect("a guest of this name").1;
    runtime().load(bytes).expect("a component").format(limits, "{}").expect("a format")
}

/// Calls one function by its name.
fn call(format: &Format, function: &str, mode: Mode) -> Result<Answers, Fault> {
    let records = [&b"one"[..], b"", &[0xff; 100]];
    match function {
        "describe" => format.component().identity(&format.limits()).map(|_| Answers::new()),
        "properties" => format.properties().map(|_| Answers::new()),
        "encode_keys" => format.encode(&records, &[], mode).map(|answers| answers.keys),
        "decode_keys" => format.decode(&records, &[], mode).map(|answers| answers.keys),
        "encode_values" => format.encode(&[], &records, mode).map(|answers| answers.values),
        _ => format.decode(&[], &records, mode).map(|answers| answers.values),
    }
}

fn serves_a_good_format() {
    let good = format("format_well_behaved", LIMITS);
    assert!(good.properties().expect("an answer").keeps_order);
    for function in BATCHES {
        let answers = call(&good, function, Mode::REQUEST).expect("answers");
        assert_eq!(answers, [Ok(b"one".to_vec()), Ok(vec![]), Ok(vec![0xff; 100])]);
    }
}

#[test]
fn every_format_has_an_outcome() {
    let stated: Vec<_> = OUTCOMES.iter().map(|(name, _)| *name).collect();
    let built: Vec<_> = guests::FORMATS.iter().map(|(name, _)| *name).collect();
    assert_eq!(stated, built);
}

#[test]
fn every_format_meets_its_outcome_and_harms_nobody() {
    for (name, outcome) in OUTCOMES {
        let endless = matches!(outcome, Some((_, Deadline, _)));
        let format = format(name, if endless { SHORT } else { LIMITS });
        let begun = Instant::now();
        let first = QUESTIONS.iter().chain(&BATCHES).find_map(|function| {
            call(&format, function, Mode::REQUEST).err().map(|fault| (*function, fault))
        });
        match (outcome, first) {
            (None, None) => {}
            (Some((function, kind, says)), Some((found, fault))) => {
                assert_eq!((found, fault.kind), (*function, *kind), "{name}: {fault}");
                assert!(fault.detail.contains(says), "{name}: expected {says:?} in {fault}");
                // A batch that wants too much together is tried again in parts.
                assert!(format.component().usage().faults[kind.as_str()] >= 1, "{name}");
            }
            (_, found) => panic!("{name}: {found:?}"),
        }
        // A deadline of 200 ms; the rest is patience with a machine that is busy.
        assert!(!endless || begun.elapsed() < Duration::from_secs(5), "{name} took {:?}", begun.elapsed());
        serves_a_good_format();
    }
}

/// Inside apply no clock decides: an endless loop ends by fuel.
#[test]
fn fuel_ends_what_no_clock_may() {
    let own = BATCHES.map(|function| (function, function));
    // What surrounds a call loops around every function.
    let around = ["realloc", "post_return", "start"];
    let around = around.into_iter().flat_map(|place| BATCHES.map(|function| (place, function)));
    for (place, function) in own.into_iter().chain(around) {
        let name = format!("format_loop_in_{place}");
        let format = format(&name, SHORT);
        let fault = call(&format, function, Mode::Apply).expect_err("an endless loop");
        assert_eq!(fault.kind, Fuel, "{name}, {function}: {fault}");
        assert_eq!(format.component().usage().faults["fuel"], 1);
    }
    serves_a_good_format();
}

/// What the host does for a plugin costs the plugin fuel, so that no loop around it is endless: neither for a
/// request nor where no clock may decide.
#[test]
fn a_flood_of_messages_ends_by_fuel() {
    let usual = World::Format.default_limits();
    for name in ["format_floods_the_log", "format_whispers_for_ever", "format_floods_when_cold"] {
        // Patient for requests; in apply it is the deadline that says how much an instance may burn.
        for (mode, deadline) in [(Mode::REQUEST, LIMITS.deadline), (Mode::Apply, usual.deadline)] {
            let format = format(name, Limits { deadline, ..usual });
            let fault = format.encode(&[], &["bells"], mode).expect_err("an endless loop");
            assert_eq!(fault.kind, Fuel, "{name}, {mode:?}: {fault}");
        }
    }
    serves_a_good_format();
}

/// What an instance does once, at its first call, is granted to every instance: in apply more of it than to
/// any request, so that what passed on an instance that was warm passes on a fresh one when the log is
/// replayed.
#[test]
fn a_lazy_format_passes_for_requests_and_again_in_apply() {
    let limits = Limits { deadline: LIMITS.deadline, ..World::Format.default_limits() };
    let bytes = guests::FORMAT_LAZY;
    let lazy = |config: &str, limits: Limits| {
        runtime().load(bytes).expect("a component").format(limits, config).expect("a format")
    };
    let small = |format: &Format, mode| format.encode(&["key"], &["value"], mode).map(drop);
    let usual = World::Format.default_limits();
    // A hundred million units: more than a small record's due.
    for mode in [Mode::REQUEST, Mode::Apply] {
        small(&lazy("{}", limits), mode).expect("the reserve pays");
    }
    // Half a milliard: more than a request's reserve, so that only a large record's due pays for it.
    let patient = "{      \t }";
    let warm = lazy(patient, limits);
    let fault = small(&warm, Mode::REQUEST).expect_err("it takes too long");
    assert_eq!(fault.kind, Fuel, "{fault}");
    warm.encode(&[], &[&[0; 400_000][..]], Mode::REQUEST).expect("a large record pays");
    small(&warm, Mode::REQUEST).expect("it is warm now");
    small(&lazy(patient, usual), Mode::Apply).expect("what passed for a request passes in apply");
    // A limit that is lowered binds requests, and nothing that was accepted before.
    let lowered = lazy(patient, Limits { fuel: Some(1), ..usual });
    assert_eq!(small(&lowered, Mode::REQUEST).expect_err("a limit").kind, Fuel);
    small(&lowered, Mode::Apply).expect("it passes all the same");
    // More than apply grants by itself, which an operator can raise.
    let endless = "{".to_owned() + &" ".repeat(38) + "}";
    assert_eq!(small(&lazy(&endless, usual), Mode::Apply).expect_err("too much").kind, Fuel);
    let raised = Limits { fuel: Some(3_000_000_000), ..usual };
    small(&lazy(&endless, raised), Mode::Apply).expect("the operator allows it");
}

/// An instance that has served before ends as a fresh one does, and the next call gets another.
#[test]
fn a_loop_ends_an_instance_that_was_warm() {
    for (place, mode) in [("realloc", Mode::Apply), ("post_return", Mode::Apply), ("realloc", Mode::REQUEST)]
    {
        // In apply an instance may burn about as much as its deadline holds.
        let limits = Limits { deadline: Duration::from_secs(1), ..LIMITS };
        let format = format(&format!("format_loop_in_{place}"), limits);
        for round in 1..=3 {
            assert!(format.properties().expect("an answer").keeps_order, "{place}, round {round}");
            let fault = call(&format, "encode_values", mode).expect_err("an endless loop");
            assert_eq!(fault.kind, Fuel, "{place}, round {round}: {fault}");
            let usage = format.component().usage();
            assert_eq!((usage.calls, usage.instantiations), (round * 2, round), "{place}");
        }
    }
    serves_a_good_format();
}

/// An instance serves many calls, so it can remember; a fault ends it and the next call gets a fresh one.
#[test]
fn a_fault_ends_the_instance_and_not_the_format() {
    let format = format("format_trap_in_third_call", LIMITS);
    let outcomes: Vec<_> = (0..9)
        .map(|_| call(&format, "encode_keys", Mode::REQUEST).map_err(|fault| fault.kind).is_ok())
        .collect();
    assert_eq!(outcomes, [true, true, false].repeat(3));
    let usage = format.component().usage();
    assert_eq!((usage.calls, usage.instantiations, usage.faults[Trap.as_str()]), (9, 3, 3));
}
