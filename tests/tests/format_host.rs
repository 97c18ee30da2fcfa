//! Formats against the plugin runtime: warm instances, batches in parts, two sorts of bounds. What becomes of
//! formats that misbehave stands in `format_guests.rs`.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use mortise_plugin_runtime::format::{Answers, Format, Mode, Translated};
use mortise_plugin_runtime::{Error, Fault, FaultKind, Limits, Runtime, RuntimeConfig, SharedLimits, World};
use mortise_tests::guests;

/// Patient, because the machine that runs the tests may be busy.
fn limits() -> Limits {
    Limits { deadline: Duration::from_secs(20), ..World::Format.default_limits() }
}

fn runtime() -> Arc<Runtime> {
    static RUNTIME: OnceLock<Arc<Runtime>> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::new(RuntimeConfig::default()).expect("an engine")).clone()
}

fn format(name: &str, limits: Limits) -> Format {
    let (_, bytes) = guests::FORMATS.iter().find(|(other, _)| *other == name).expect("a guest of this name");
    runtime().load(bytes).expect("a component").format(limits, "{}").expect("the limits")
}

fn plain(answers: Answers) -> Vec<Vec<u8>> {
    answers.into_iter().map(|answer| answer.expect("no record is refused")).collect()
}

fn encode_keys<R: AsRef<[u8]>>(format: &Format, keys: &[R], mode: Mode) -> Result<Answers, Fault> {
    format.encode(keys, &[], mode).map(|answers| answers.keys)
}

fn encode_values<R: AsRef<[u8]>>(format: &Format, values: &[R], mode: Mode) -> Result<Answers, Fault> {
    format.encode(&[], values, mode).map(|answers| answers.values)
}

#[test]
fn an_empty_batch_is_an_empty_answer() {
    let format = format("format_loop_in_encode_keys", limits());
    assert_eq!(format.encode::<&[u8]>(&[], &[], Mode::Apply), Ok(Translated::default()));
}

#[test]
fn a_batch_keeps_its_order_and_its_size_through_all_parts() {
    let format = format("format_inflates", limits());
    let keys: Vec<Vec<u8>> =
        (0..5_000_u32).map(|key| key.to_be_bytes().repeat(1 + key as usize % 50)).collect();
    assert_eq!(plain(encode_keys(&format, &keys, Mode::REQUEST).expect("no fault")), keys);
    assert_eq!(plain(format.decode(&keys, &[], Mode::Apply).expect("no fault").keys), keys);
    let large: Vec<Vec<u8>> = (0..4_u8).map(|byte| vec![byte; 2 << 20]).collect();
    let answers = format.decode(&keys, &large, Mode::REQUEST).expect("no fault");
    assert_eq!((plain(answers.keys), plain(answers.values)), (keys, large), "together, too");
}

#[test]
fn answers_that_are_too_large_together_come_in_parts() {
    // Three answers of 64 KiB fit, four don't.
    let format = format("format_inflates", Limits { answer_bytes: 250_000, ..limits() });
    let values = vec![b"x".to_vec(); 50];
    for mode in [Mode::REQUEST, Mode::Apply] {
        let answers = plain(encode_values(&format, &values, mode).expect("parts are small enough"));
        assert_eq!(answers.len(), 50);
        assert!(answers.iter().all(|answer| answer.len() == 65_536));
    }
    let narrow = self::format("format_inflates", Limits { answer_bytes: 60_000, ..limits() });
    let fault = encode_values(&narrow, &values, Mode::REQUEST).expect_err("one alone is too large");
    assert_eq!(fault.kind, FaultKind::AnswerTooLarge, "{fault}");
}

#[test]
fn instances_are_kept_until_they_fault_or_grow() {
    let format = format("format_counts_calls", limits());
    let call = || plain(encode_values(&format, &[[0_u8]], Mode::REQUEST).expect("an answer"))[0][0];
    assert_eq!([call(), call(), call()], [1, 2, 3], "one instance serves one call after the other");
    let fault = format.decode(&[], &[[0_u8]], Mode::REQUEST).expect_err("it traps");
    assert_eq!(fault.kind, FaultKind::Trap);
    assert_eq!(call(), 1, "an instance that faulted is not used again");
    let most = (0..200).map(|_| call()).max().expect("calls");
    assert!((60..70).contains(&most), "an instance that grew by 4 MiB is replaced: {most} calls");
}

#[test]
fn two_formats_of_one_component_share_no_instance() {
    let (one, other) = (format("format_counts_calls", limits()), format("format_counts_calls", limits()));
    let call =
        |format: &Format| plain(encode_values(format, &[[0_u8]], Mode::REQUEST).expect("an answer"))[0][0];
    assert_eq!([call(&one), call(&one), call(&other), call(&one.clone())], [1, 2, 1, 3]);
}

#[test]
fn a_request_is_bounded_by_the_clock_and_apply_by_fuel() {
    let short = Limits { deadline: Duration::from_millis(50), ..limits() };
    let endless = format("format_loop_in_encode_keys", short);
    // Fuel is granted in proportion; a large key has more of it than the deadline leaves time for.
    let large = [vec![0_u8; 250_000]];
    let fault = encode_keys(&endless, &large, Mode::REQUEST).expect_err("an endless loop");
    assert_eq!(fault.kind, FaultKind::Deadline, "{fault}");
    for mode in [Mode::Apply, Mode::Request { within: Duration::from_secs(20) }] {
        let patient = format("format_loop_in_encode_keys", limits());
        let fault = encode_keys(&patient, &["a"], mode).expect_err("an endless loop");
        assert_eq!(fault.kind, FaultKind::Fuel, "what ends in apply ends at the proposal, too: {fault}");
    }
    let over = Mode::Request { within: Duration::ZERO };
    let fault = encode_values(&endless, &["a"], over).expect_err("there is no time left");
    assert_eq!(fault.kind, FaultKind::Deadline, "{fault}");
    let metered = format("format_loop_in_encode_keys", Limits { fuel: Some(10_000_000), ..limits() });
    let fault = encode_keys(&metered, &["a"], Mode::REQUEST).expect_err("an endless loop");
    assert_eq!(fault.kind, FaultKind::Fuel, "{fault}");
    assert!(fault.detail.contains("within 10000000 units"), "the operator's limit binds requests: {fault}");
    assert_eq!(plain(encode_values(&metered, &["a"], Mode::Apply).expect("values are fine")), [b"a"]);
}

/// Limits hold from the next call on, for instances that have served before as well.
#[test]
fn limits_that_change_hold_for_the_next_call() {
    let limits = limits();
    let shared = SharedLimits::from(limits);
    let served = runtime().load(guests::FORMAT_INFLATES).expect("a component");
    let served = served.format(shared.clone(), "{}").expect("a format");
    let inflate = || encode_values(&served, &["x"], Mode::REQUEST).map(drop).map_err(|fault| fault.kind);
    assert_eq!(inflate(), Ok(()));
    for (changed, outcome) in [
        (Limits { answer_bytes: 60_000, ..limits }, Err(FaultKind::AnswerTooLarge)),
        (limits, Ok(())),
        (Limits { fuel: Some(10), ..limits }, Err(FaultKind::Fuel)),
        (limits, Ok(())),
        (Limits { memory_bytes: 64 << 10, ..limits }, Err(FaultKind::Memory)),
        (limits, Ok(())),
    ] {
        shared.set(changed).expect("within what can be granted");
        assert_eq!((inflate(), served.limits()), (outcome, changed));
    }
    shared.set(Limits { memory_bytes: u64::MAX, ..limits }).expect_err("too much");
    assert_eq!((inflate(), served.limits()), (Ok(()), limits), "nothing has changed");
}

#[test]
fn a_component_serves_its_own_world_only() {
    let strategy = runtime().load(mortise_plugins::COMPACTION_LEVELED).expect("a component");
    let error = strategy.format(limits(), "{}").expect_err("a strategy is no format");
    assert!(matches!(error, Error::WrongWorld { .. }), "{error}");
    let format = runtime().load(mortise_plugins::FORMAT_HIERARCHICAL).expect("a component");
    let error = format.compaction_strategy(limits()).expect_err("a format is no strategy");
    assert!(error.to_string().contains("of world `format`; expected one of world `compaction-strategy`"));
    assert_eq!(format.identity(&limits()).expect("an identity").name, "format-hierarchical");
}

#[test]
fn more_callers_than_instances_wait_for_each_other() {
    let format = format("format_counts_calls", limits());
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..32)
            .map(|_| {
                let format = format.clone();
                scope.spawn(move || {
                    for _ in 0..50 {
                        plain(encode_keys(&format, &["key"], Mode::REQUEST).expect("an instance in time"));
                    }
                })
            })
            .collect();
        callers.into_iter().for_each(|caller| caller.join().expect("no panic"));
    });
}

#[test]
fn idle_instances_make_room_for_others() {
    // Far more formats than there are slots for instances; each leaves one behind.
    let formats: Vec<_> = (0..100).map(|_| format("format_counts_calls", limits())).collect();
    for _ in 0..2 {
        for format in &formats {
            plain(encode_keys(format, &["key"], Mode::REQUEST).expect("a slot"));
        }
    }
    let strategy = runtime().load(mortise_plugins::COMPACTION_LEVELED).expect("a component");
    strategy.identity(&limits()).expect("a slot for a strategy");
}
