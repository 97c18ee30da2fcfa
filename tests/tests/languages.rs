//! The same policy in five languages gives the same answers.
//!
//! `examples/policies/SPEC.md` states the policy. Each language is held against answers worked out by hand,
//! against the kernel's rules, and against the others on canned and on random views. What could not be built
//! here is skipped aloud. What a component costs is printed as a table.

use std::fmt::Write as _;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use mortise_kernel::store::{LevelShape, RunShape, Step as KernelStep, TreeShape, check_step};
use mortise_plugin_runtime::compaction::{Answer, Decision, Level, Run, Table, View, canned_views};
use mortise_plugin_runtime::{Call, Component, FaultKind, Limits, Runtime, RuntimeConfig};
use mortise_tests::{languages, seed};
use rand::Rng as _;
use rand::rngs::StdRng;

const MIB: u64 = 1 << 20;

/// A policy as a component.
struct Policy {
    language: String,
    component: Component,
    compile: Duration,
}

/// The policies of all languages that could be built; the first one is Rust's.
fn policies() -> &'static [Policy] {
    static POLICIES: OnceLock<Vec<Policy>> = OnceLock::new();
    POLICIES.get_or_init(|| {
        let runtime = Runtime::new(RuntimeConfig::default()).expect("an engine");
        let mut built: Vec<_> = languages::build().expect("the policies build").into_iter().collect();
        built.sort_by_key(|(language, _)| (language != "rust", language.clone()));
        let load = |(language, bytes): (String, Vec<u8>)| {
            let begun = Instant::now();
            let component = runtime.load(&bytes).unwrap_or_else(|error| panic!("{language}: {error}"));
            Policy { language, component, compile: begun.elapsed() }
        };
        built.into_iter().map(load).collect()
    })
}

impl Policy {
    /// Patient, because the machine that runs the tests may be busy; memory for a language's whole runtime.
    fn limits() -> Limits {
        Limits { memory_bytes: 64 * MIB, deadline: Duration::from_secs(30), ..Limits::default() }
    }

    fn decide(&self, config: &str, view: &View) -> Result<Decision, String> {
        let strategy = self.component.compaction_strategy(Self::limits()).expect("the limits");
        let call = Call { config: config.to_owned(), now: 1_700_000_000_000, seed: u64::MAX };
        strategy.decide(&call, view).map_err(|fault| {
            assert_eq!(fault.kind, FaultKind::Refused, "{}: {fault}", self.language);
            let error = fault.detail.strip_prefix("the plugin refused: ");
            error.expect("the runtime says who refused").to_owned()
        })
    }
}

/// A tree with these levels, of runs of one table each with so many bytes.
fn tree(levels: &[(usize, &[u64])]) -> View {
    let mut view = View {
        levels: (0..7).map(|_| Level { runs: Vec::new() }).collect(),
        memtable_bytes: 0,
        write_rate: 0,
        free_disk: u64::MAX,
        guard_l0_runs: 20,
        previous: None,
    };
    for (level, runs) in levels {
        view.levels[*level].runs = runs.iter().map(|bytes| Run { tables: vec![table(*bytes)] }).collect();
    }
    view
}

fn table(bytes: u64) -> Table {
    Table { id: 1, bytes, entries: 1, tombstones: 0, max_seqno: 1, min_key: vec![0xff], max_key: vec![0xff] }
}

/// The answer of all languages, which must agree.
#[track_caller]
fn agreed(what: &str, config: &str, view: &View) -> Result<Decision, String> {
    let (first, others) = policies().split_first().expect("Rust is always built");
    let answer = first.decide(config, view);
    for other in others {
        assert_eq!(answer, other.decide(config, view), "{} and {}: {what}", first.language, other.language);
    }
    answer
}

#[track_caller]
fn answers(config: &str, view: &View, step: Answer, reason: &str) {
    let answer = agreed(reason, config, view).expect("an answer");
    assert_eq!(answer, Decision { step, reason: reason.to_owned() });
}

const fn merge(from: u8, to: u8) -> Answer {
    Answer::Merge { from, to }
}

const WAIT: Answer = Answer::Wait { ask_again_ms: None };

#[test]
fn each_tells_who_it_is() {
    for Policy { language, component, .. } in policies() {
        let identity = component.identity(&Policy::limits()).expect("an identity");
        assert_eq!(identity.name, format!("size-tiered-{language}"));
        assert_eq!(identity.version, "1.0.0");
        assert!(identity.summary.starts_with("Size-tiered compaction, in "), "{}", identity.summary);
        let description = component.description();
        assert_eq!(description.wit_version, "0.2.0", "{language}");
        assert_eq!(description.imports, ["mortise:plugin/log@0.2.0"], "{language} needs nothing else");
    }
}

#[test]
fn answers_are_those_worked_out_by_hand() {
    let nothing = "nothing to do";
    answers("{}", &tree(&[]), WAIT, nothing);
    answers("", &View { levels: Vec::new(), ..tree(&[]) }, WAIT, nothing);
    answers("{}", &tree(&[(0, &[MIB; 3])]), WAIT, nothing);
    answers("{}", &tree(&[(0, &[MIB; 4])]), merge(0, 6), "level 0 has 4 runs");
    answers("{}", &tree(&[(0, &[1; 4]), (6, &[9])]), merge(0, 5), "level 0 has 4 runs");
    answers("{}", &tree(&[(0, &[1; 4]), (6, &[8])]), merge(0, 6), "level 0 has 4 runs");
    answers("{}", &tree(&[(3, &[5, 6]), (6, &[100])]), merge(3, 3), "level 3 has 2 runs");
    answers("{}", &tree(&[(2, &[5])]), Answer::Move { from: 2, to: 6 }, "level 2 can sink to level 6");
    let hole = tree(&[(1, &[1]), (3, &[10]), (6, &[100])]);
    answers("{}", &hole, Answer::Move { from: 3, to: 5 }, "level 3 can sink to level 5");
    answers("{}", &tree(&[(5, &[10]), (6, &[20])]), merge(5, 6), "levels 5 and 6 are similar");
    answers("{}", &tree(&[(5, &[10]), (6, &[21])]), WAIT, nothing);
    let major = |table_bytes| Answer::Major { table_bytes };
    answers("{}", &tree(&[(0, &[7, 6]), (6, &[12])]), major(64 * MIB), "13 bytes lie above 12 in level 6");
    let tight = r#" {"max_space_percent": 10, "table_bytes": 65536} "#;
    answers(tight, &tree(&[(5, &[1]), (6, &[10])]), WAIT, nothing);
    answers(tight, &tree(&[(5, &[1]), (6, &[9])]), major(65_536), "1 bytes lie above 9 in level 6");
    // The guard rail of the host comes before the strategy's own limit.
    let guarded = View { guard_l0_runs: 3, ..tree(&[(0, &[1; 3])]) };
    answers(r#"{"level0_runs": 64}"#, &guarded, merge(0, 6), "level 0 has 3 runs");
    answers("{}", &View { guard_l0_runs: 0, ..tree(&[(0, &[1])]) }, WAIT, nothing);
    // Every level is taken; levels 2 and 3 differ the least.
    let full = [(0, &[1; 4][..]), (1, &[30]), (2, &[100]), (3, &[250]), (4, &[1_000]), (5, &[9_000])];
    let full: Vec<_> = full.into_iter().chain([(6, &[90_000][..])]).collect();
    answers("{}", &tree(&full), merge(2, 3), "levels 2 and 3 make room");
}

#[test]
fn numbers_above_2_to_the_53_are_exact() {
    let big = (1_u64 << 60) + 1;
    let above = |over: u64| tree(&[(5, &[big]), (6, &[2 * big + over])]);
    answers("{}", &above(0), merge(5, 6), "levels 5 and 6 are similar");
    answers("{}", &above(1), WAIT, "nothing to do");
    let crowded = tree(&[(4, &[big, 1]), (6, &[u64::MAX])]);
    let short = View { free_disk: big, ..crowded.clone() };
    answers("{}", &View { free_disk: big + 1, ..crowded }, merge(4, 4), "level 4 has 2 runs");
    let wait = Answer::Wait { ask_again_ms: Some(10_000) };
    let reason = "1152921504606846978 bytes need room and 1152921504606846977 are free";
    answers("{}", &short, wait, reason);
    // Sums stop at the largest number, and the products of two such numbers do not overflow.
    let most = tree(&[(0, &[u64::MAX; 4]), (6, &[u64::MAX])]);
    answers("{}", &most, merge(0, 6), "level 0 has 4 runs");
    let space = tree(&[(0, &[u64::MAX; 2]), (6, &[u64::MAX - 1])]);
    let reason = "18446744073709551615 bytes lie above 18446744073709551614 in level 6";
    answers("{}", &space, Answer::Major { table_bytes: 64 * MIB }, reason);
    // Six levels, each 3^8 times the one above, but for the last, which lacks two bytes of 3^40.
    let sizes: Vec<[u64; 1]> = (0..6).map(|place| [3_u64.pow(place * 8)]).collect();
    let mut levels: Vec<(usize, &[u64])> = (1..).zip(sizes.iter().map(<[u64; 1]>::as_slice)).collect();
    levels.push((0, &[0; 4]));
    let mut full = tree(&levels);
    answers("{}", &full, merge(1, 2), "levels 1 and 2 make room");
    full.levels[6].runs[0].tables[0].bytes -= 2;
    answers("{}", &full, merge(5, 6), "levels 5 and 6 make room");
}

#[test]
fn texts_are_utf_8_in_every_direction() {
    let full = tree(&[(0, &[1; 4])]);
    let step = merge(0, 6);
    answers(r#"{"label": "größe ✓ 🦀"}"#, &full, step, "größe ✓ 🦀: level 0 has 4 runs");
    let escaped = r#"{"label": "gr\u00f6\u00DFe \u2713 \ud83e\udd80 \"\/"}"#;
    answers(escaped, &full, step, "größe ✓ 🦀 \"/: level 0 has 4 runs");
    let longest = format!(r#"{{"label": "{}"}}"#, "ü".repeat(32));
    answers(&longest, &tree(&[]), WAIT, &format!("{}: nothing to do", "ü".repeat(32)));
    let error = agreed("a long label", &longest.replacen('ü', "ü!", 1), &full).unwrap_err();
    assert_eq!(error, "configuration: label has 65 bytes; expected at most 64");
    for policy in policies() {
        let error = policy.decide(r#"{"größe 🦀": 1}"#, &full).unwrap_err();
        let named = error.starts_with("configuration") && error.contains("größe 🦀");
        assert!(named, "{}: {error}", policy.language);
    }
}

#[test]
fn wrong_configurations_are_refused_alike() {
    for (config, expected) in [
        (r#"{"level0_runs": 1}"#, "level0_runs is 1; expected 2 to 64"),
        (r#"{"ask_again_ms": 0, "table_bytes": 1}"#, "table_bytes is 1; expected 65536 to 1073741824"),
        (
            r#"{"similar_percent":9007199254740992}"#,
            "similar_percent is 9007199254740992; expected 100 to 1000",
        ),
        (r#"{"label": "x", "max_space_percent": 9}"#, "max_space_percent is 9; expected 10 to 1000"),
    ] {
        assert_eq!(agreed(config, config, &tree(&[])), Err(format!("configuration: {expected}")));
    }
    for (config, named) in [
        ("[]", ""),
        ("7", ""),
        ("{", ""),
        ("{} {}", ""),
        ("{\"level0_runs\" 4}", ""),
        ("{\"level0_runs\": 4,}", ""),
        ("{\"level0_runs\": 04}", ""),
        ("{\"label\": \"\\ud83e\"}", ""),
        (r#"{"level0_run": 4}"#, "level0_run"),
        (r#"{"level0_runs": "4"}"#, "level0_runs"),
        (r#"{"level0_runs": -4}"#, "level0_runs"),
        (r#"{"level0_runs": 4.5}"#, "level0_runs"),
        (r#"{"level0_runs": true}"#, "level0_runs"),
        (r#"{"level0_runs": null}"#, "level0_runs"),
        (r#"{"level0_runs": [4]}"#, "level0_runs"),
        (r#"{"table_bytes": 1, "label": 4}"#, "label"),
        (&*format!("{{\"label\": {}", "[".repeat(20_000)), ""),
    ] {
        for policy in policies() {
            let error = policy.decide(config, &tree(&[])).expect_err(config);
            let named = error.starts_with("configuration") && error.contains(named);
            assert!(named, "{} on {config}: {error}", policy.language);
        }
    }
}

#[test]
fn canned_views_get_identical_legal_answers() {
    for (name, view) in canned_views() {
        for config in ["{}", r#"{"level0_runs": 2, "max_space_percent": 1000, "label": "canned"}"#] {
            let decision = agreed(name, config, &view).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_legal(name, &view, decision.step);
        }
    }
}

fn assert_legal(what: &str, view: &View, answer: Answer) {
    let step = match answer {
        Answer::Wait { .. } => return,
        Answer::Partial { .. } => panic!("{what}: this policy takes no partial steps"),
        Answer::Merge { from, to } => KernelStep::Merge { from, to },
        Answer::Move { from, to } => KernelStep::Move { from, to },
        Answer::Major { table_bytes } => KernelStep::Major { table_bytes },
    };
    let mut shape = TreeShape::default();
    for level in &view.levels {
        let run = |_: &Run| RunShape::default();
        shape.levels.push(LevelShape { runs: level.runs.iter().map(run).collect() });
    }
    check_step(&shape, &step).unwrap_or_else(|rule| panic!("{what}: {step:?}: {rule}"));
}

#[test]
fn random_views_get_identical_legal_answers() {
    let mut rng = seed::rng("random_views_get_identical_legal_answers");
    let rounds = seed::count("MORTISE_VIEWS", 400);
    let mut seen = std::collections::BTreeMap::<String, usize>::new();
    for round in 0..rounds {
        let (config, view) = (random_config(&mut rng), random_view(&mut rng));
        let what = format!("round {round}, {config}");
        let decision = agreed(&what, &config, &view).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_legal(&what, &view, decision.step);
        let words = decision.reason.chars().filter(|char| !char.is_ascii_digit()).collect();
        *seen.entry(words).or_default() += 1;
    }
    // A generator that never gets to a rule would prove nothing about it.
    let sorts = [
        "level  has  runs",
        "level  can sink to level ",
        " bytes lie above  in level ",
        "levels  and  make room",
        "levels  and  are similar",
        " bytes need room and  are free",
        "nothing to do",
    ];
    for sort in sorts {
        let found = seen.get(sort).copied().unwrap_or(0);
        assert!(found * 200 >= rounds, "{sort:?} came {found} times in {rounds}: {seen:?}");
    }
}

fn random_config(rng: &mut StdRng) -> String {
    format!(
        r#"{{"level0_runs": {}, "similar_percent": {}, "max_space_percent": {}, "ask_again_ms": {}}}"#,
        rng.random_range(2..=8),
        rng.random_range(100..=300),
        [10, 100, 1000][rng.random_range(0..3)],
        rng.random_range(1..=86_400_000),
    )
}

/// Levels that are often packed and often grow downwards, so that every rule gets its turn.
fn random_view(rng: &mut StdRng) -> View {
    let mut view = tree(&[]);
    let top = rng.random_range(0..=7);
    let growth = rng.random_range(1..=6);
    let scale = 1_u64 << rng.random_range(0..40);
    let mut size = scale;
    for level in 1..7 {
        size = size.saturating_mul(rng.random_range(1..=growth + 1));
        let runs = match rng.random_range(0..40) {
            0 => 0,
            1 => rng.random_range(2..4),
            _ => usize::from(level >= top),
        };
        for _ in 0..runs {
            let tables = rng.random_range(1..5);
            let tables = (0..tables).map(|_| table(size / tables + rng.random_range(0..scale))).collect();
            view.levels[level].runs.push(Run { tables });
        }
    }
    for _ in 0..rng.random_range(0..10) {
        view.levels[0].runs.push(Run { tables: vec![table(rng.random_range(0..=scale))] });
    }
    if rng.random_range(0..4) == 0 {
        view.free_disk = rng.random_range(0..=scale.saturating_mul(4));
    }
    view.guard_l0_runs = rng.random_range(0..=20);
    view
}

/// A tree of so many tables, most of them in the last two levels, with keys of a usual length.
fn large_tree(tables: usize) -> View {
    let mut view = tree(&[(0, &[MIB; 4])]);
    let long = |id: usize| Table {
        id: id as u64,
        min_key: format!("c/registry/pods/namespace-{id:05}/pod-000").into_bytes(),
        max_key: format!("c/registry/pods/namespace-{id:05}/pod-999").into_bytes(),
        ..table(64 * MIB)
    };
    let middle = tables / 10;
    view.levels[5].runs.push(Run { tables: (0..middle).map(long).collect() });
    view.levels[6].runs.push(Run { tables: (middle..tables - 4).map(long).collect() });
    view
}

#[test]
fn a_thousand_tables_get_identical_answers() {
    answers("{}", &large_tree(1_000), merge(0, 4), "level 0 has 4 runs");
}

/// `MORTISE_TABLES` makes the large tree larger or smaller.
#[test]
fn what_each_costs_is_printed() {
    let tables = seed::count("MORTISE_TABLES", 1_000);
    let (small, large) = (large_tree(10), large_tree(tables));
    let mut text = format!(
        "policy           KiB  compile ms  describe µs  10 tables: µs    MiB  {tables} tables: µs    MiB\n"
    );
    for policy in policies() {
        let describe = median(|| {
            policy.component.identity(&Policy::limits()).expect("an identity");
        });
        let [(few, least), (many, most)] = [&small, &large]
            .map(|view| (median(|| drop(policy.decide("{}", view))), least_memory(policy, view)));
        writeln!(
            text,
            "{:<12}{:>8}{:>12}{:>13}{:>15}{least:>7}{:>17}{most:>7}",
            policy.language,
            policy.component.description().bytes.div_ceil(1024),
            policy.compile.as_millis(),
            describe.as_micros(),
            few.as_micros(),
            many.as_micros(),
        )
        .expect("a string takes everything");
        // What the READMEs of the examples and `docs/plugins` tell operators to grant.
        assert!(tables > 1_000 || most <= 64, "{} needs {most} MiB for {tables} tables", policy.language);
    }
    use std::io::Write as _;
    // Past the test harness's capture, as with what is skipped.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

fn median(mut call: impl FnMut()) -> Duration {
    let mut times: Vec<Duration> = (0..21)
        .map(|_| {
            let begun = Instant::now();
            call();
            begun.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[times.len() / 2]
}

/// The least power of two of MiB that a call gets along with; a test grants up to 256.
fn least_memory(policy: &Policy, view: &View) -> u64 {
    let call = Call { config: "{}".to_owned(), now: 0, seed: 0 };
    let enough = |mib: &u64| {
        let limits = Limits { memory_bytes: mib * MIB, ..Policy::limits() };
        policy.component.compaction_strategy(limits).expect("the limits").decide(&call, view).is_ok()
    };
    (0..=8).map(|power| 1 << power).find(enough).expect("256 MiB are enough for every language")
}
