//! Misbehaving plugins against the plugin runtime: each has a stated outcome, and a good plugin is served
//! right afterwards.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use mortise_plugin_runtime::compaction::{Answer, View, canned_views};
use mortise_plugin_runtime::{Call, Component, Fault, FaultKind, Limits, Runtime, RuntimeConfig};
use mortise_tests::guests;

/// What becomes of a guest.
enum Outcome {
    /// It isn't loaded; the error says this.
    Unloaded(&'static str),
    /// It can't say who it is.
    Unnamed(FaultKind, &'static str),
    /// It says who it is and fails to decide.
    Undecided(FaultKind, &'static str),
    /// It answers; whether that is legal is for others to judge.
    Answers,
}

use FaultKind::{AnswerTooLarge, Deadline, InvalidAnswer, Memory, Refused, Trap};
use Outcome::{Answers, Undecided, Unloaded, Unnamed};

/// Every guest and its outcome.
const OUTCOMES: &[(&str, Outcome)] = &[
    ("bad_name", Unnamed(InvalidAnswer, "name is \"../../a/etc\"; expected 1 to 63 lower-case letters")),
    ("chatterbox", Answers),
    ("core_module", Unloaded("core module, expected a component")),
    (
        "half_a_world",
        Unloaded("it exports `mortise:plugin/compaction@0.1.0`, expected `mortise:plugin/plugin@0.2.0`"),
    ),
    ("huge_error", Undecided(AnswerTooLarge, "more than 65536 bytes")),
    ("huge_message", Undecided(AnswerTooLarge, "passed more than 65536 bytes")),
    ("huge_name", Unnamed(AnswerTooLarge, "more than 65536 bytes")),
    (
        "imports_clock",
        Unloaded("imports `wasi:clocks/monotonic-clock@0.2.0`, `wasi:filesystem/preopens@0.2.0`"),
    ),
    (
        "imports_environment",
        Unloaded("belong to the capability `wasi-minimal`, and this plugin was not granted it"),
    ),
    (
        "imports_sockets",
        Unloaded("`wasi:http/outgoing-handler@0.2.0`, which is not granted to plugins; granted is"),
    ),
    ("imports_whatever", Unloaded("imports `open`, `helper`, which is not granted to plugins")),
    ("invalid_step", Undecided(Trap, "discriminant")),
    ("invalid_text", Undecided(Trap, "utf-8")),
    ("last_words", Undecided(Trap, "its last message: the tree makes no sense")),
    ("leftover", Answers),
    ("loop_in_decide", Undecided(Deadline, "within 50ms")),
    ("loop_in_describe", Unnamed(Deadline, "within 50ms")),
    ("loop_in_post_return", Undecided(Deadline, "within 50ms")),
    ("loop_in_realloc", Undecided(Deadline, "within 50ms")),
    ("loop_in_start", Unnamed(Deadline, "within 50ms")),
    ("memory_bomb", Unnamed(Memory, "would need 67108864 bytes; its limit is 16777216")),
    (
        "memory_giant",
        Unloaded("starts with 4294967296 bytes of memory; the most that can be granted is 268435456"),
    ),
    ("memory_hog", Undecided(Memory, "its limit is 16777216")),
    ("nonsense", Answers),
    ("other_world", Unloaded("no world of Mortise: it exports `run`")),
    ("random", Answers),
    ("recursion", Undecided(Trap, "ran out of stack")),
    ("refuse", Undecided(Refused, "the plugin refused: no\\nERROR all is lost")),
    ("table_giant", Unloaded("starts with 134217728 bytes of tables")),
    ("table_hog", Undecided(Memory, "its limit is 16777216")),
    ("trap", Undecided(Trap, "unreachable")),
    ("trap_in_start", Unnamed(Trap, "unreachable")),
    ("trap_in_third_call", Answers),
    ("turncoat", Answers),
    ("turncoat_of_choice", Answers),
    ("unknown_version", Unloaded("built for mortise:plugin@0.9.0; this host serves 0.1.0, 0.2.0")),
    ("v2_huge_reason", Undecided(AnswerTooLarge, "more than 65536 bytes")),
    ("v2_invalid_reason", Undecided(Trap, "utf-8")),
    ("v2_invalid_step", Undecided(Trap, "discriminant")),
    ("v2_long_reason", Answers),
    ("v2_loop_in_decide", Undecided(Deadline, "within 50ms")),
    ("v2_wild_reason", Undecided(Trap, "out of bounds of memory")),
    ("weathercock", Answers),
    ("wild_pointer", Undecided(Trap, "")),
    ("wild_realloc", Undecided(Trap, "realloc")),
    ("wrong_types", Unloaded("does not fit world `compaction-strategy`")),
];

/// Patient, because the machine that runs the tests may be busy.
const LIMITS: Limits =
    Limits { memory_bytes: 16 << 20, deadline: Duration::from_secs(10), answer_bytes: 64 << 10, fuel: None };

/// For guests that never answer.
const SHORT: Limits = Limits { deadline: Duration::from_millis(50), ..LIMITS };

/// Guests that behave while they are rehearsed take seeds from here on for those of a live loop.
const LIVE: u64 = 1 << 32;

fn runtime() -> Arc<Runtime> {
    static RUNTIME: OnceLock<Arc<Runtime>> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::new(RuntimeConfig::default()).expect("an engine")).clone()
}

fn guest(name: &str) -> &'static [u8] {
    guests::ALL.iter().find(|(other, _)| *other == name).expect("a guest of this name").1
}

fn load(bytes: &[u8]) -> Component {
    runtime().load(bytes).expect("a component")
}

fn call(seed: u64) -> Call {
    Call { config: "{}".to_owned(), now: 1_700_000_000_000, seed }
}

fn some_view() -> View {
    canned_views().into_iter().find(|(name, _)| *name == "level 0 and level 1").expect("a canned view").1
}

fn decide(component: &Component, seed: u64) -> Result<Answer, Fault> {
    decide_within(LIMITS, component, seed)
}

fn decide_within(limits: Limits, component: &Component, seed: u64) -> Result<Answer, Fault> {
    let strategy = component.compaction_strategy(limits).expect("the limits");
    strategy.decide(&call(seed), &some_view()).map(|decision| decision.step)
}

fn serves_a_good_plugin() {
    let good = load(mortise_plugins::COMPACTION_LEVELED);
    assert_eq!(good.identity(&LIMITS).expect("a good plugin").name, "compaction-leveled");
    let answer = decide(&good, 0).expect("a good plugin");
    assert!(matches!(answer, Answer::Partial { l0_threshold: 4, .. }), "{answer:?}");
}

#[test]
fn every_guest_has_an_outcome() {
    let stated: Vec<_> = OUTCOMES.iter().map(|(name, _)| *name).collect();
    let built: Vec<_> = guests::ALL.iter().map(|(name, _)| *name).collect();
    assert_eq!(stated, built);
}

#[test]
fn every_guest_meets_its_outcome_and_harms_nobody() {
    for (name, outcome) in OUTCOMES {
        meets(name, outcome);
        serves_a_good_plugin();
    }
}

fn meets(name: &str, outcome: &Outcome) {
    let loaded = runtime().load(guest(name));
    let says = |text: &str, expected: &str| {
        assert!(text.contains(expected), "{name}: expected {expected:?} in {text:?}");
    };
    let component = match (outcome, loaded) {
        (Unloaded(expected), Err(error)) => {
            assert!(error.is_component_fault());
            return says(&error.to_string(), expected);
        }
        (Unloaded(_), Ok(_)) => panic!("{name} was loaded"),
        (_, loaded) => loaded.unwrap_or_else(|error| panic!("{name}: {error}")),
    };
    let endless = matches!(outcome, Unnamed(Deadline, _) | Undecided(Deadline, _));
    let begun = Instant::now();
    let identity = component.identity(if matches!(outcome, Unnamed(Deadline, _)) { &SHORT } else { &LIMITS });
    if let Unnamed(kind, expected) = outcome {
        let fault = identity.expect_err(name);
        assert_eq!(fault.kind, *kind, "{name}: {fault}");
        says(&fault.detail, expected);
    } else {
        assert_eq!(identity.unwrap_or_else(|fault| panic!("{name}: {fault}")).name, "misbehaving");
        match (outcome, decide_within(if endless { SHORT } else { LIMITS }, &component, 0)) {
            (Undecided(kind, expected), Err(fault)) => {
                assert_eq!(fault.kind, *kind, "{name}: {fault}");
                says(&fault.detail, expected);
            }
            (Answers, answer) => {
                answer.unwrap_or_else(|fault| panic!("{name}: {fault}"));
            }
            (_, answer) => panic!("{name}: {answer:?}"),
        }
    }
    // A deadline of 50 ms; the rest is patience with a machine that is busy.
    assert!(!endless || begun.elapsed() < Duration::from_secs(5), "{name} took {:?}", begun.elapsed());
}

#[test]
fn what_is_no_component_at_all_is_named() {
    for (bytes, expected) in [
        (&b""[..], "it is empty"),
        (b"(component)", "text format"),
        (b"#!/bin/sh", "it begins with [23, 21, 2f, 62]"),
        (b"\0asm", "damaged"),
        (&mortise_plugins::COMPACTION_LEVELED[..5_000], "damaged"),
    ] {
        let error = runtime().load(bytes).expect_err("nothing to load").to_string();
        assert!(error.contains(expected), "expected {expected:?} in {error:?}");
    }
    let huge = vec![0; 32 * 1024 * 1024 + 1];
    let error = runtime().inspect(&huge).expect_err("too large").to_string();
    assert_eq!(error, "the component has 33554433 bytes; allowed are 33554432");
}

#[test]
fn inspection_tells_world_version_and_imports() {
    let runtime = runtime();
    let description = runtime.inspect(guests::CHATTERBOX).expect("a component");
    assert_eq!(description.world.to_string(), "compaction-strategy");
    assert_eq!(description.wit_version, "0.1.0");
    assert_eq!(description.imports, ["mortise:plugin/log@0.1.0"]);
    assert_eq!(description.bytes, guests::CHATTERBOX.len() as u64);
    assert_eq!(runtime.inspect(guests::TRAP).expect("a component").imports, [""; 0]);
    assert_eq!(&description, load(guests::CHATTERBOX).description());
}

#[test]
fn memory_of_one_call_does_not_reach_the_next() {
    let component = load(guests::LEFTOVER);
    for seed in 0..100 {
        assert_eq!(decide(&component, seed), Ok(Answer::Wait { ask_again_ms: None }));
    }
}

#[test]
fn what_is_not_granted_cannot_be_observed() {
    let component = load(guests::WEATHERCOCK);
    let first = decide(&component, 0).expect("an answer");
    for seed in 1..100 {
        assert_eq!(decide(&component, seed), Ok(first));
    }
    // A fresh instance for each call never comes to its third.
    let component = load(guests::TRAP_IN_THIRD_CALL);
    (0..10).for_each(|seed| assert!(decide(&component, seed).is_ok()));
}

#[test]
fn the_same_call_gets_the_same_answer_and_seeds_make_a_difference() {
    let component = load(guests::RANDOM);
    let answers: Vec<_> =
        (LIVE..LIVE + 200).map(|seed| decide(&component, seed).expect("an answer")).collect();
    for (seed, answer) in (LIVE..).zip(&answers) {
        // Not `assert_eq`: an answer may hold a NaN.
        assert_eq!(format!("{:?}", decide(&component, seed).expect("an answer")), format!("{answer:?}"));
    }
    let count = |sort: fn(&Answer) -> bool| answers.iter().filter(|answer| sort(answer)).count();
    for (name, found) in [
        ("wait", count(|answer| matches!(answer, Answer::Wait { .. }))),
        ("partial", count(|answer| matches!(answer, Answer::Partial { .. }))),
        ("merge", count(|answer| matches!(answer, Answer::Merge { .. }))),
        ("move", count(|answer| matches!(answer, Answer::Move { .. }))),
        ("major", count(|answer| matches!(answer, Answer::Major { .. }))),
    ] {
        assert!(found >= 8, "{name}: {found} of 200");
    }
}

#[test]
fn some_guests_behave_until_they_are_live() {
    let (random, turncoat) = (load(guests::RANDOM), load(guests::TURNCOAT));
    for component in [&random, &turncoat] {
        for seed in (0..100).chain([LIVE - 1]) {
            assert_eq!(decide(component, seed), Ok(Answer::Wait { ask_again_ms: None }), "seed {seed}");
        }
    }
    assert_eq!(decide(&turncoat, LIVE).expect_err("it traps").kind, Trap);
    assert_eq!(decide(&turncoat, LIVE + 1), Ok(Answer::Merge { from: 200, to: 201 }));
}

#[test]
fn nonsense_comes_through_as_it_was_answered() {
    let component = load(guests::NONSENSE);
    let answers: Vec<_> = (0..10).map(|seed| decide(&component, seed).expect("well-typed")).collect();
    assert_eq!(answers[0], Answer::Move { from: 3, to: 1 });
    assert_eq!(answers[1], Answer::Merge { from: 200, to: 201 });
    assert_eq!(answers[2], Answer::Move { from: 0, to: 255 });
    assert_eq!(answers[4], Answer::Major { table_bytes: 0 });
    assert_eq!(answers[5], Answer::Major { table_bytes: u64::MAX });
    assert!(matches!(answers[6], Answer::Partial { level_ratio, .. } if level_ratio.is_nan()));
}

/// Contract 0.2.0 lets a strategy say why, and an operator reads that beside the step.
#[test]
fn a_reason_comes_through_as_one_short_line() {
    let strategy = load(guests::V2_LONG_REASON).compaction_strategy(LIMITS).expect("the limits");
    let decision = strategy.decide(&call(0), &some_view()).expect("an answer");
    assert_eq!(decision.step, Answer::Wait { ask_again_ms: None });
    let reason = decision.reason;
    assert!(reason.starts_with("no\\nERROR all is lost\\n\\u{1b}") && reason.ends_with('…'), "{reason}");
    assert!(reason.len() <= 200 && !reason.contains(char::is_control), "{} bytes: {reason}", reason.len());
}

#[test]
fn limits_are_the_call_s_own() {
    let component = load(guests::MEMORY_BOMB);
    let roomy = Limits { memory_bytes: 128 << 20, ..LIMITS };
    assert_eq!(component.identity(&roomy).expect("enough memory").name, "misbehaving");
    let error =
        component.compaction_strategy(Limits { memory_bytes: 1 << 40, ..LIMITS }).expect_err("too much");
    assert!(error.to_string().contains("limit memory_bytes is 1099511627776; allowed is 65536 to 268435456"));
    let component = load(guests::HUGE_ERROR);
    let strategy =
        component.compaction_strategy(Limits { answer_bytes: 10 << 20, ..LIMITS }).expect("limits");
    assert_eq!(strategy.decide(&call(0), &some_view()).expect_err("it refuses").kind, Refused);
}

#[tokio::test]
async fn the_pool_runs_calls_beside_each_other_and_refuses_what_does_not_fit() {
    let config = RuntimeConfig { max_parallel_calls: 2, max_queued_calls: 3, ..RuntimeConfig::default() };
    let runtime = Runtime::new(config).expect("an engine");
    let endless = runtime.load(guests::LOOP_IN_DECIDE).expect("a component");
    let half_a_second = Limits { deadline: Duration::from_millis(500), ..LIMITS };
    let endless = endless.compaction_strategy(half_a_second).expect("the limits");
    let mut calls = tokio::task::JoinSet::new();
    for seed in 0..20 {
        let endless = endless.clone();
        calls.spawn(async move { endless.decide_on_pool(call(seed), some_view().into()).await });
    }
    let (mut late, mut busy) = (0, 0);
    while let Some(outcome) = calls.join_next().await {
        match outcome.expect("no panic").expect_err("an endless loop").kind {
            Deadline => late += 1,
            FaultKind::Busy => busy += 1,
            other => panic!("{other}"),
        }
    }
    // Two run and three wait; a thread may have taken a call before the queue filled up, not more.
    assert!((3..=5).contains(&late), "{late} late, {busy} busy");
    assert_eq!(late + busy, 20);
    let good = runtime.load(mortise_plugins::COMPACTION_TIERED).expect("a component");
    let good = good.compaction_strategy(LIMITS).expect("the limits");
    good.decide_on_pool(call(0), some_view().into()).await.expect("the pool serves again");
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_does_not_run() {
    let config = RuntimeConfig { max_parallel_calls: 1, max_queued_calls: 10, ..RuntimeConfig::default() };
    let runtime = Runtime::new(config).expect("an engine");
    let endless = runtime.load(guests::LOOP_IN_DECIDE).expect("a component");
    let slow = endless
        .compaction_strategy(Limits { deadline: Duration::from_millis(200), ..LIMITS })
        .expect("limits");
    let begun = Instant::now();
    let first = tokio::spawn({
        let slow = slow.clone();
        async move { slow.decide_on_pool(call(0), some_view().into()).await }
    });
    for seed in 1..=9 {
        let abandoned = slow.decide_on_pool(call(seed), some_view().into());
        assert!(tokio::time::timeout(Duration::ZERO, abandoned).await.is_err());
    }
    assert_eq!(first.await.expect("no panic").expect_err("an endless loop").kind, Deadline);
    let last = slow.decide_on_pool(call(10), some_view().into()).await.expect_err("an endless loop");
    assert_eq!(last.kind, Deadline);
    // Nine further calls would have taken 1.8 seconds more.
    assert!(begun.elapsed() < Duration::from_millis(2_200), "{:?}", begun.elapsed());
}

#[test]
fn dropping_the_runtime_while_components_live_is_fine() {
    let runtime = Runtime::new(RuntimeConfig::default()).expect("an engine");
    let component = runtime.load(guests::RANDOM).expect("a component");
    drop(runtime);
    decide(&component, LIVE).expect("the component keeps what it needs");
}

#[test]
fn a_cached_component_works_like_a_compiled_one() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = RuntimeConfig { cache_dir: Some(dir.path().join("cache")), ..RuntimeConfig::default() };
    let answers = |runtime: &Runtime| {
        let component = runtime.load(guests::RANDOM).expect("a component");
        (LIVE..LIVE + 50).map(|seed| format!("{:?}", decide(&component, seed))).collect::<Vec<_>>()
    };
    let compiled = answers(&Runtime::new(config.clone()).expect("an engine"));
    let artifacts = || std::fs::read_dir(dir.path().join("cache")).expect("the cache").count();
    assert_eq!(artifacts(), 2, "a key and an artifact");
    assert_eq!(answers(&Runtime::new(config).expect("an engine")), compiled);
    assert_eq!(artifacts(), 2);
}
