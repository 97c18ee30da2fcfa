//! What a plugin's author is told about good and bad components: `check`, `test` and `replay`, in process.

use std::io::BufReader;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mortise_mechanisms::conformance::{Allowance, Form, Language, Options, Outcome, Workbench, trace};
use mortise_mechanisms::{Ground, Step};
use mortise_plugin_runtime::{CompileLimits, Compiler};
use mortise_tests::{bombs, guests, mortise_binary};

/// Patient, because the machine that runs the tests may be busy.
fn limits() -> Allowance {
    Allowance { deadline: Some(Duration::from_secs(10)), ..Allowance::default() }
}

/// Short for guests that never answer.
fn limits_of(name: &str) -> Allowance {
    let never = name.contains("loop_in");
    if never { Allowance { deadline: Some(Duration::from_millis(50)), ..limits() } } else { limits() }
}

fn guest(name: &str) -> Vec<u8> {
    let found = guests::ALL.iter().find(|(other, _)| *other == name);
    found.unwrap_or_else(|| panic!("there is a guest {name}")).1.to_vec()
}

fn options() -> Options {
    Options { random: 20, ..Options::new(7) }
}

fn test(name: &str, bytes: Vec<u8>) -> Result<Outcome> {
    let bench = Workbench::new(Compiler::InProcess)?;
    let specimen = bench.specimen(bytes, limits_of(name)).with_context(|| name.to_owned())?;
    Ok(specimen.test(&options(), &mut |_, _| {})?)
}

#[test]
fn shipped_plugins_pass_everything() -> Result<()> {
    let bench = Workbench::new(Compiler::InProcess)?;
    for plugin in mortise_plugins::shipped() {
        let checked = bench.check(plugin.bytes, limits())?;
        ensure!(checked.refusal.is_none(), "{}: {:?}", plugin.name, checked.refusal);
        let who = checked.identity.context("it says who it is")?;
        ensure!(who.name == plugin.name && !who.summary.is_empty(), "{who:?}");
        ensure!(checked.origin.form == Form::Component && checked.origin.language == Some(Language::Rust));
        ensure!(checked.wit_version.is_some(), "the contract's version is read");
        let outcome = test(plugin.name, plugin.bytes.to_vec())?;
        ensure!(outcome.passed(), "{}: {outcome:#?}", plugin.name);
        ensure!(outcome.calls > 100 && outcome.used.peak_memory_bytes >= 64 * 1024, "{outcome:#?}");
        let advice: Vec<_> = outcome.sections.iter().flat_map(|section| &section.advice).collect();
        // Who never looks at the free disk cannot be judged in that.
        let other = advice.iter().find(|advice| !advice.contains("depended on the free disk"));
        ensure!(other.is_none(), "{}: {advice:?}", plugin.name);
        ensure!(plugin.name != "compaction-tiered" || advice.is_empty(), "it looks: {advice:?}");
    }
    Ok(())
}

/// Guests that a host takes and the battery finds out, with a word that its findings must hold.
const FOUND_OUT: [(&str, &str); 14] = [
    ("huge_error", "answer-too-large"),
    ("invalid_step", "trap"),
    ("invalid_text", "trap"),
    ("last_words", "the tree makes no sense"),
    ("loop_in_decide", "deadline"),
    ("loop_in_realloc", "deadline"),
    ("memory_hog", "memory"),
    ("nonsense", "illegal"),
    ("recursion", "ran out of stack"),
    ("refuse", "refused"),
    ("table_hog", "memory"),
    ("trap", "unreachable"),
    // It behaves for small seeds; the battery tries large ones.
    ("turncoat", "legal step"),
    ("wild_realloc", "realloc"),
];

#[test]
fn bad_plugins_are_found_out_with_a_reason() -> Result<()> {
    for (name, word) in FOUND_OUT {
        let outcome = test(name, guest(name))?;
        ensure!(!outcome.passed(), "{name} passed: {outcome:#?}");
        let failures = outcome.sections.iter().flat_map(|section| &section.failures);
        let text: String = failures.map(|f| format!("{} {} {}\n", f.seen, f.expected, f.found)).collect();
        let word = if word == "illegal" { "legal step" } else { word };
        ensure!(text.contains(word), "{name}: expected {word:?} in:\n{text}");
        ensure!(text.contains("free disk"), "{name}: the view is shown: {text}");
    }
    Ok(())
}

/// Formats that a host takes and the battery finds out, with the section that does and a word of what it
/// found.
const FORMATS_FOUND_OUT: [(&str, &str, &str); 10] = [
    ("format_counts_calls", "values come back", "unreachable"),
    ("format_decodes_anything", "nothing is guessed", "taken for"),
    ("format_huge_answer", "keys come back", "answer-too-large"),
    ("format_inflates", "values come back", "comes back"),
    ("format_loop_in_encode_keys", "keys come back", "deadline"),
    ("format_memory_hog", "keys come back", "memory"),
    ("format_merges_keys", "keys are told apart", "is stored as the same bytes"),
    ("format_merges_keys", "keys come back", "comes back"),
    ("format_too_few", "keys come back", "invalid-answer"),
    ("format_trap_in_third_call", "keys come back", "unreachable"),
];

#[test]
fn bad_formats_are_found_out_with_a_reason() -> Result<()> {
    let format = |name: &str| {
        let found = guests::FORMATS.iter().find(|(other, _)| *other == name);
        found.unwrap_or_else(|| panic!("there is a format {name}")).1.to_vec()
    };
    let good = test("format_well_behaved", format("format_well_behaved"))?;
    ensure!(good.passed(), "what all of them are made of passes: {good:#?}");
    for (name, section, word) in FORMATS_FOUND_OUT {
        let outcome = test(name, format(name))?;
        let found = outcome.sections.iter().find(|found| found.name == section).context("a section")?;
        let failures = found.failures.iter();
        let text: String = failures.map(|f| format!("{} {} {}\n", f.seen, f.expected, f.found)).collect();
        ensure!(found.failed > 0 && text.contains(word), "{name}: {word:?} in {section:?}:\n{outcome:#?}");
    }
    Ok(())
}

#[test]
fn what_forgets_between_calls_passes() -> Result<()> {
    // `leftover` answers otherwise from the second call of an instance on, and there is none.
    for name in ["leftover", "chatterbox"] {
        let outcome = test(name, guest(name))?;
        let failed = |section: &&mortise_mechanisms::conformance::Section| section.failed > 0;
        let failed: Vec<_> = outcome.sections.iter().filter(failed).collect();
        ensure!(failed.is_empty(), "{name}: {failed:#?}");
    }
    Ok(())
}

/// Components that a host refuses, with words of the reason and of the cure.
const REFUSED: [(&str, &str, &str); 13] = [
    ("bad_name", "name is", "lower-case"),
    ("core_module", "core module", "wasm-tools component"),
    ("half_a_world", "no world", "WIT files"),
    ("imports_clock", "wasi:clocks", "no WASI"),
    ("imports_sockets", "wasi:http", "no WASI"),
    ("loop_in_describe", "deadline", "--deadline"),
    ("memory_bomb", "memory", "--memory"),
    ("memory_giant", "memory", "initial memory"),
    ("other_world", "no world", "WIT files"),
    ("table_giant", "tables", "initial memory"),
    ("trap_in_start", "unreachable", "asked before anything else"),
    ("unknown_version", "0.9.0", "update the daemon"),
    ("wrong_types", "does not fit", "bindings"),
];

#[test]
fn what_a_host_refuses_is_refused_with_a_cure() -> Result<()> {
    let bench = Workbench::new(Compiler::InProcess)?;
    for (name, reason, cure) in REFUSED {
        let checked = bench.check(&guest(name), limits_of(name))?;
        let refusal = checked.refusal.with_context(|| format!("{name} is taken"))?;
        ensure!(refusal.reason.contains(reason), "{name}: {}", refusal.reason);
        let found = refusal.cure.unwrap_or_default();
        ensure!(found.contains(cure), "{name}: expected {cure:?} in {found:?}");
        ensure!(bench.specimen(guest(name), limits_of(name)).is_err(), "{name}");
    }
    Ok(())
}

#[test]
fn what_cannot_be_compiled_within_the_limits_is_refused_with_a_cure() -> Result<()> {
    let limits = CompileLimits { cpu: Duration::from_secs(1), ..CompileLimits::default() };
    let arguments = vec!["compile-plugin".into()];
    let bench = Workbench::new(Compiler::Child { program: mortise_binary()?, arguments, limits })?;
    // A shipped plugin, so that its file says that it is Rust.
    let bomb = bombs::locals(mortise_plugins::COMPACTION_QUIET, 20_000);
    let refusal = bench.check(&bomb, Allowance::default())?.refusal.context("it is taken")?;
    ensure!(refusal.ground == Some(Ground::Uncompilable) && refusal.step == Some(Step::Compile), "{refusal}");
    ensure!(refusal.reason.contains("1s of processor time"), "{refusal}");
    ensure!(refusal.cure.is_some_and(|cure| cure.contains("#[inline(never)]")));
    let nobody = Compiler::Child { program: "/no/such/program".into(), arguments: vec![], limits };
    let error = Workbench::new(nobody)?.check(mortise_plugins::COMPACTION_QUIET, Allowance::default());
    ensure!(error.is_err_and(|error| error.to_string().contains("/no/such/program")), "not its fault");
    Ok(())
}

#[test]
fn garbage_of_every_sort_gets_an_answer() -> Result<()> {
    let bench = Workbench::new(Compiler::InProcess)?;
    let cases: [(&[u8], &str); 8] = [
        (b"", "empty"),
        (b"(component)", "wasm-tools parse"),
        (b"\x1f\x8b\x08\0", "gunzip"),
        (b"PK\x03\x04", "zip"),
        (b"\x7fELF\x02\x01", "--target wasm32"),
        (b"!<arch>\n", "cdylib"),
        (b"\0asm\x0d\0\x01\0\xff\xff", "damaged"),
        (b"hello", "begins with"),
    ];
    for (bytes, expected) in cases {
        let checked = bench.check(bytes, limits())?;
        let refusal = checked.refusal.context("garbage is refused")?.to_string();
        ensure!(refusal.contains(expected), "{}: {refusal}", bytes.escape_ascii());
    }
    // Cut off and damaged in many places.
    let whole = mortise_plugins::COMPACTION_TIERED;
    for place in (0..whole.len()).step_by(whole.len() / 40) {
        ensure!(bench.check(&whole[..place], limits())?.refusal.is_some(), "cut at {place}");
        let mut bytes = whole.to_vec();
        bytes[place] ^= 0x55;
        // It may be refused or still be fine; what it is must be told.
        ensure!(bench.check(&bytes, limits())?.bytes == bytes.len() as u64, "damaged at {place}");
    }
    Ok(())
}

#[test]
fn recorded_failures_are_replayed() -> Result<()> {
    let outcome = test("turncoat", guest("turncoat"))?;
    let mut lines = Vec::new();
    let failures = outcome.sections.iter().flat_map(|section| &section.failures);
    for record in failures.filter_map(|failure| failure.record.as_deref()) {
        record.write(&mut lines)?;
    }
    let records = trace::read(BufReader::new(lines.as_slice()))?;
    ensure!(!records.is_empty(), "there are failures: {outcome:#?}");
    let bench = Workbench::new(Compiler::InProcess)?;
    let again = bench.specimen(guest("turncoat"), limits())?.replay(&records, &mut |_| {})?;
    ensure!(again.same == again.calls && again.differences.is_empty(), "{again:#?}");
    let good = mortise_plugins::COMPACTION_LEVELED.to_vec();
    let other = bench.specimen(good, limits())?.replay(&records, &mut |_| {})?;
    ensure!(other.differences.len() == records.len() && other.bad == 0, "{other:#?}");
    let broken = trace::read(BufReader::new(&b"\n{\"trace\": 1}\n"[..]));
    ensure!(broken.is_err_and(|error| error.to_string().contains("line 2")), "the line is named");
    Ok(())
}
