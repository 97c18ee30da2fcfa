//! The battery of world `compaction-strategy`.
//!
//! Every answer is judged by the kernel's own rules for the tree that was shown, and every call is made three
//! times: again in a fresh instance, and in a fresh runtime that compiled the component anew.

use mortise_plugin_runtime::compaction::{Answer, CompactionStrategy, Decision, View, canned_views};
use mortise_plugin_runtime::{Call, Fault, FaultKind};

use super::battery::{Battery, Failure, HOPELESS};
use super::configuration::{self, Asked};
use super::precision;
use super::records;
use super::trace::{Record, Reply};
use super::views::{self, LARGE, canned, described};
use super::workbench::LoadedPlugin;
use crate::Result;
use crate::compaction::{Verdict, judge, shape_of};

/// The time of every call that isn't about time: 1 January 2026, Unix milliseconds.
const NOW: u64 = 1_767_225_600_000;

/// A call that was made, with its answer.
struct Made {
    case: String,
    call: Call,
    view: View,
    answer: Result<Decision, Fault>,
}

/// Runs all sections.
pub(super) fn test(specimen: &LoadedPlugin, fresh: &LoadedPlugin, battery: &mut Battery<'_>) -> Result<()> {
    let strategy = specimen.strategy(specimen.limits())?;
    let mut made = Vec::new();
    let canned = canned_views().into_iter().map(|(name, view)| (name.to_owned(), view));
    show(battery, "canned views", &strategy, canned, &mut made);
    show(battery, "keys that are no text", &strategy, views::odd_keys(), &mut made);
    show(battery, "numbers above 2^53", &strategy, views::large_numbers(), &mut made);
    let (seed, count) = (battery.options.seed, battery.options.random);
    show(battery, "random views", &strategy, views::random(seed, count), &mut made);
    times_and_seeds(battery, &strategy, &mut made);
    repeat(battery, &strategy, &fresh.strategy(fresh.limits())?, &made);
    configurations(battery, &strategy);
    exactness(battery, &strategy);
    battery.limits(specimen.limits(), &specimen.usage());
    Ok(())
}

/// Asks about each view.
fn show(
    battery: &mut Battery<'_>,
    section: &'static str,
    strategy: &CompactionStrategy,
    views: impl IntoIterator<Item = (String, View)>,
    made: &mut Vec<Made>,
) {
    battery.begin(section);
    for (seed, (case, view)) in (battery.options.seed..).zip(views) {
        if battery.is_hopeless() {
            battery.advise(format!("after {HOPELESS} failures the rest was left out"));
            break;
        }
        let call = Call { config: battery.options.config.clone(), now: NOW, seed };
        ask(battery, strategy, case, call, view, made);
    }
}

fn ask(
    battery: &mut Battery<'_>,
    strategy: &CompactionStrategy,
    case: String,
    call: Call,
    view: View,
    made: &mut Vec<Made>,
) {
    let answer = battery.timed(|| strategy.decide(&call, &view));
    let judged = match judge(&shape_of(&view), step_of(&answer)) {
        Verdict::Wait(_) | Verdict::Step(_) => Ok(()),
        Verdict::Fault { kind: "illegal", detail } => Err(("a legal step", detail)),
        Verdict::Fault { kind, detail } => Err(("an answer", format!("a fault ({kind}): {detail}"))),
        Verdict::NotAsked(detail) => Err(("an answer", format!("it could not be asked: {detail}"))),
    };
    let made_call = Made { case, call, view, answer };
    let judged = judged.map_err(|(expected, found)| failure(battery, &made_call, expected, found));
    battery.count(judged);
    made.push(made_call);
}

fn failure(battery: &Battery<'_>, made: &Made, expected: impl Into<String>, found: String) -> Failure {
    Failure {
        case: made.case.clone(),
        seen: described(&made.view),
        expected: expected.into(),
        found,
        record: Some(Box::new(Record::strategy(
            battery.plugin.clone(),
            &made.call,
            &made.view,
            &made.answer,
        ))),
    }
}

/// Times and seeds of any size.
fn times_and_seeds(battery: &mut Battery<'_>, strategy: &CompactionStrategy, made: &mut Vec<Made>) {
    battery.begin("times and seeds");
    let config = battery.options.config.clone();
    for number in [0, 1].into_iter().chain(LARGE) {
        for (field, now, seed) in [("now", number, 1), ("seed", NOW, number)] {
            let call = Call { config: config.clone(), now, seed };
            let case = format!("{field} = {number}");
            ask(battery, strategy, case, call, canned("several runs in every level"), made);
        }
    }
}

/// The same call again must get the same answer.
fn repeat(
    battery: &mut Battery<'_>,
    strategy: &CompactionStrategy,
    fresh: &CompactionStrategy,
    made: &[Made],
) {
    battery.begin("the same call again");
    // What never answers would only take its time again.
    let answered = |made: &&Made| !matches!(&made.answer, Err(fault) if fault.kind == FaultKind::Deadline);
    for made in made.iter().filter(answered) {
        for (where_, strategy) in [("in a fresh instance", strategy), ("in a fresh runtime", fresh)] {
            let again = battery.timed(|| strategy.decide(&made.call, &made.view));
            let case = if same(&made.answer, &again) {
                Ok(())
            } else {
                let expected = format!("the answer from before: {}", shown(&made.answer));
                Err(failure(battery, made, expected, format!("{where_}: {}", shown(&again))))
            };
            battery.count(case);
        }
    }
}

fn step_of(answer: &Result<Decision, Fault>) -> Result<Answer, Fault> {
    answer.clone().map(|decision| decision.step)
}

/// Whether two answers are the same. A fault is the same by its kind: its text may hold addresses.
fn same(one: &Result<Decision, Fault>, other: &Result<Decision, Fault>) -> bool {
    match (one, other) {
        // A float that is no number is not equal to itself, and yet the same answer.
        (Ok(one), Ok(other)) => one == other || format!("{one:?}") == format!("{other:?}"),
        (Err(one), Err(other)) => {
            one.kind == other.kind && (one.kind != FaultKind::Refused || one.detail == other.detail)
        }
        _ => false,
    }
}

fn shown(answer: &Result<Decision, Fault>) -> String {
    match answer {
        Ok(Decision { step, reason }) if reason.is_empty() => format!("{step:?}"),
        Ok(Decision { step, reason }) => format!("{step:?} ({reason})"),
        Err(fault) => format!("a fault ({}): {fault}", fault.kind),
    }
}

fn configurations(battery: &mut Battery<'_>, strategy: &CompactionStrategy) {
    configuration::test(battery, &mut |battery, config| {
        let call = Call { config: config.to_owned(), now: NOW, seed: 1 };
        let view = canned("forty runs in level 0");
        let answer = battery.timed(|| strategy.decide(&call, &view));
        let record = Record::strategy(battery.plugin.clone(), &call, &view, &answer);
        let record = Some(Box::new(record));
        let seen = format!("the configuration {}", records::shown(config.as_bytes()));
        Asked { answer: answer.map(|decision| format!("{:?}", decision.step)), seen, record }
    });
}

/// Whether numbers above 2^53 keep their last digits.
fn exactness(battery: &mut Battery<'_>, strategy: &CompactionStrategy) {
    battery.begin("exact numbers");
    let call = Call { config: battery.options.config.clone(), now: NOW, seed: 1 };
    let found =
        precision::probe(&mut |view| battery.timed(|| strategy.decide(&call, view)).ok().map(|it| it.step));
    match found {
        precision::Found::Exact => battery.count(Ok(())),
        precision::Found::Insensitive => battery.advise(
            "no answer depended on the free disk, so it could not be seen whether numbers above 2^53 keep their \
             last digits"
                .to_owned(),
        ),
        precision::Found::Rounded { detail } => battery.advise(detail),
    }
}

/// Runs one recorded call again.
pub(super) fn replay(
    strategy: &CompactionStrategy,
    record: &Record,
    view: &super::trace::View,
) -> (Reply, bool) {
    let view = View::from(view);
    let answer = strategy.decide(&record.call(), &view);
    let legal = matches!(judge(&shape_of(&view), step_of(&answer)), Verdict::Wait(_) | Verdict::Step(_));
    (answer.into(), legal)
}
