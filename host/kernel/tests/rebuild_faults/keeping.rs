//! What is kept, whatever point the process dies at: before the switch what was kept then, after it the
//! previous generation; each is a way back that loses nothing.
//!
//! Children as in `crash`, whose rounds are rebuilds that keep the previous generation, in place of one that
//! is kept already, and ways back. Before each step a child tells which generation serves and which is kept.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use fail::FailScenario;
use mortise_kernel::node::Volume;
use mortise_kernel::rebuild::RebuildOptions;
use mortise_kernel::seams::fault::Point;

use crate::crash::{KEYS_OF_KEEPING, Told, die_at};
use crate::node_support::{config, get, life, open, put, soon, volume};

const HOUR: Option<Duration> = Some(Duration::from_secs(3600));

/// Which generation serves, and which is kept; 0 for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    serves: u64,
    kept: u64,
}

impl State {
    fn of(one: &Volume) -> Self {
        Self { serves: one.status().generation, kept: one.kept().map_or(0, |kept| kept.generation) }
    }
}

/// One step of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// A rebuild that keeps the previous generation.
    Keep,
    /// A rebuild that does not, while something is kept.
    Plain,
    /// The way back, on which the one that serves is kept.
    BackAndKeep,
    /// The way back.
    Back,
}

/// The second one replaces what the first one keeps.
const ROUND: [Step; 5] = [Step::Keep, Step::Keep, Step::Plain, Step::BackAndKeep, Step::Back];

impl Step {
    /// Whether this state may follow on another one, in which the step was begun.
    fn leads(self, from: State, to: State) -> bool {
        let began_to_serve = match self {
            Self::Keep => to.serves > from.serves && to.kept == from.serves,
            Self::Plain => to.serves > from.serves && to.kept == from.kept,
            Self::BackAndKeep => to == State { serves: from.kept, kept: from.serves },
            Self::Back => to == State { serves: from.kept, kept: 0 },
        };
        to == from || began_to_serve
    }
}

/// What a child does, again and again.
pub(crate) async fn go_round(one: &Volume) {
    for (number, step) in ROUND.iter().enumerate() {
        let State { serves, kept } = State::of(one);
        #[expect(clippy::print_stdout, reason = "the parent listens")]
        {
            println!("step {number} {serves} {kept}");
        }
        let begun = match step {
            Step::Keep => one.rebuild(RebuildOptions { keep_previous: HOUR, ..RebuildOptions::default() }),
            Step::Plain => one.rebuild(RebuildOptions::default()),
            Step::BackAndKeep => one.undo(HOUR),
            Step::Back => one.undo(None),
        };
        begun.expect("begun").wait().await.expect("done");
    }
}

/// The step that a child died in or after, with the state in which it began it.
fn last_step(told: &Told) -> Option<(Step, State)> {
    let last = told.lines.iter().rev().find_map(|line| line.strip_prefix("step "))?;
    let mut numbers = last.split(' ').map(|number| number.parse::<u64>().expect("a number"));
    let mut next = || numbers.next().expect("three numbers");
    let step = ROUND[usize::try_from(next()).expect("small")];
    Some((step, State { serves: next(), kept: next() }))
}

/// Times that a point is passed before the process dies there, so that every step is met at it.
fn passes(point: Point) -> Vec<u32> {
    match point {
        // A rebuild that keeps passes four files, five renamings and seven syncs of directories.
        Point::FileSyncBefore | Point::FileSyncAfter => (0..9).collect(),
        Point::RenameBefore | Point::RenameAfter => (0..11).collect(),
        Point::DirectorySyncBefore | Point::DirectorySyncAfter => (0..16).collect(),
        _ if point.name().starts_with("file-remove-") => vec![0],
        _ if point.name().contains("remove-") => vec![0, 1],
        // The third step keeps nothing, the fourth one is the way back.
        _ => vec![0, 1, 3],
    }
}

/// Points that a rebuild passes from the end of its copy on, or that a way back does.
fn points() -> impl Iterator<Item = Point> {
    let of_switch = |point: &Point| {
        let name = point.name();
        let early = ["rebuild-begin", "rebuild-prepared", "rebuild-copy-middle", "rebuild-verify-middle"];
        let of_rebuild = ["rebuild-", "previous-", "file-", "remove-"];
        point.is_of_files() || of_rebuild.iter().any(|of| name.starts_with(of)) && !early.contains(&name)
    };
    Point::ALL.iter().copied().filter(of_switch)
}

/// Opens the volume, judges what is kept and goes back to it; the state then, and whether it went back.
async fn check(
    directory: &Path,
    acknowledged: &[u64],
    keys: usize,
    known: State,
    step: Option<(Step, State)>,
    what: &str,
) -> (State, bool) {
    let node = open(config(directory)).await;
    let one = node.open_volume(volume(2)).await.unwrap_or_else(|error| panic!("{what}: {error}"));
    let found = State::of(&one);
    match step {
        Some((step, from)) => {
            assert!(step.leads(from, found), "{what}: {step:?} led from {from:?} to {found:?}")
        }
        None => assert_eq!(found, known, "{what}: died while it was opened"),
    }
    let mut expected = vec!["CURRENT".to_owned()];
    let mut generations = [found.kept, found.serves];
    generations.sort_unstable();
    expected
        .extend(generations.iter().filter(|number| **number > 0).map(|number| format!("gen-{number:06}")));
    assert_eq!(crate::names(directory), expected, "{what}");

    put(&one, "check", what.to_owned()).await.expect("written");
    let before = one.content_hash(0).await.expect("hashed");
    let back = found.kept > 0;
    if back {
        let outcome = one.undo(None).expect("begun").wait().await;
        let outcome = outcome.unwrap_or_else(|error| panic!("{what}: no way back from {found:?}: {error}"));
        assert_eq!(outcome.generation, found.kept, "{what}");
        assert_eq!(one.content_hash(0).await.expect("hashed"), before, "{what}");
    }
    assert_eq!(one.kept(), None, "{what}");
    for key in acknowledged {
        assert_eq!(get(&one, &format!("key-{key}")).await, Some(key.to_string()), "{what}: key {key}");
    }
    assert!(before.keys >= keys as u64, "{what}: {} keys, {keys} were acknowledged", before.keys);
    // So that the next child copies keys, and not the history of all children.
    one.compact(one.status().revision, true, soon()).await.expect("compacted");
    let state = State::of(&one);
    node.shutdown().await.expect("stopped");
    (state, back)
}

#[test]
fn whatever_point_the_process_dies_at_exactly_one_generation_is_kept_or_none_and_leads_back() {
    let scenario = FailScenario::setup();
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().to_path_buf();
    let mut known = life(async move {
        let node = open(config(&path)).await;
        let one = node.create_volume(volume(2)).await.expect("created");
        put(&one, "key-0", "0").await.expect("written");
        let state = State::of(&one);
        node.shutdown().await.expect("stopped");
        state
    });
    let mut keys = 1;
    let (mut died_in, mut ways_back) = (Vec::new(), 0);
    let mut next = 1;
    for (point, passes) in
        points().flat_map(|point| passes(point).into_iter().map(move |passes| (point, passes)))
    {
        let action = format!("{}={passes}*off->return(abort)", point.name());
        let told = die_at(directory.path(), &action, true, next);
        next += KEYS_OF_KEEPING;
        let step = last_step(&told);
        #[expect(clippy::print_stdout, reason = "the table of points")]
        {
            println!("{action}: {:?}, {} acknowledged", step, told.keys.len());
        }
        died_in.extend(step.map(|(step, _)| step));
        let acknowledged: BTreeSet<u64> = told.keys.into_iter().collect();
        keys += acknowledged.len();
        let (path, acknowledged) = (directory.path().to_path_buf(), Vec::from_iter(acknowledged));
        let checked = async move { check(&path, &acknowledged, keys, known, step, &action).await };
        let (state, back) = life(checked);
        known = state;
        ways_back += u32::from(back);
    }
    assert!(ROUND.iter().all(|step| died_in.contains(step)), "a step was never met: {died_in:?}");
    assert!(ways_back > 0, "nothing was ever kept");
    scenario.teardown();
}
