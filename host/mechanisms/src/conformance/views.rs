//! Trees for the battery: edge cases beside the runtime's canned views, and random ones.
//!
//! Every view keeps the contract in what a plugin may rely on, such as the number of levels and runs that are
//! never empty. Everything else may be extreme: numbers that a floating-point number cannot hold, one field
//! at a time so that a failure names it, keys that are no text, and sums beyond 64 bits.
//!
//! The same seed gives the same trees, and a tree has a description of one line for messages.

use mortise_plugin_runtime::compaction::{
    LEVELS, Level, Origin, Outcome, PreviousStep, Run, Span, Step, Table, View, Work, canned_views,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Numbers where languages with floating-point numbers go wrong.
pub(super) const LARGE: [u64; 5] = [(1 << 53) + 1, (1 << 60) + 1, (1 << 63) - 1, (1 << 63) + 1, u64::MAX];

/// A change of one number of a view.
type Set = fn(&mut View, u64);

/// Every number of a view, by its name in the contract.
const NUMBERS: [(&str, Set); 11] = [
    ("id", |view, n| {
        let mut next = 0;
        tables(view).for_each(|table| (table.id, next) = (n - next, next + 1));
    }),
    ("bytes", |view, n| tables(view).for_each(|table| table.bytes = n)),
    ("entries", |view, n| tables(view).for_each(|table| table.entries = n)),
    ("tombstones", |view, n| tables(view).for_each(|table| (table.tombstones, table.entries) = (n, n))),
    ("max-seqno", |view, n| tables(view).for_each(|table| table.max_seqno = n)),
    ("memtable-bytes", |view, n| view.memtable_bytes = n),
    ("write-rate", |view, n| view.write_rate = n),
    ("free-disk", |view, n| view.free_disk = n),
    ("previous.bytes-in", |view, n| view.previous = Some(merged(n, 1, 1))),
    ("previous.bytes-out", |view, n| view.previous = Some(merged(1, n, 1))),
    ("previous.took-ms", |view, n| view.previous = Some(merged(1, 1, n))),
];

/// A merge that has worked.
fn merged(bytes_in: u64, bytes_out: u64, took_ms: u64) -> PreviousStep {
    let step = Step::Merge(Span { from: 0, to: 6 });
    let outcome = Outcome::Done(Work { bytes_in, bytes_out });
    PreviousStep { step, wanted_by: Origin::Plugin, outcome, took_ms }
}

fn tables(view: &mut View) -> impl Iterator<Item = &mut Table> {
    view.levels.iter_mut().flat_map(|level| &mut level.runs).flat_map(|run| &mut run.tables)
}

/// A canned view by its name.
pub(super) fn canned(name: &str) -> View {
    let found = canned_views().into_iter().find(|(known, _)| *known == name);
    found.unwrap_or_else(|| panic!("there is a canned view «{name}»")).1
}

/// Views with a number above 2^53 in one field.
pub(super) fn large_numbers() -> Vec<(String, View)> {
    let mut views = Vec::new();
    for (field, set) in NUMBERS {
        for number in LARGE {
            let mut view = canned("several runs in every level");
            set(&mut view, number);
            views.push((format!("{field} = {number}"), view));
        }
    }
    views
}

/// Views with keys that are no text.
pub(super) fn odd_keys() -> Vec<(String, View)> {
    let keys: [(&str, &[u8], &[u8]); 6] = [
        ("empty keys", b"", b""),
        ("keys of zero bytes", &[0], &[0; 300]),
        ("keys of 0xff", &[0xff], &[0xff; 300]),
        ("a lone continuation byte", &[0x80], &[0x80, 0x80]),
        ("an overlong encoding and a surrogate", &[0xc0, 0xaf], &[0xed, 0xa0, 0x80]),
        ("a key with a byte order mark, quotes and a null", b"\xef\xbb\xbf\"", b"\xef\xbb\xbf\"\\\0\n"),
    ];
    let named = keys.into_iter().map(|(name, least, most)| {
        let mut view = canned("several runs in every level");
        tables(&mut view).for_each(|table| (table.min_key, table.max_key) = (least.into(), most.into()));
        (name.to_owned(), view)
    });
    named.collect()
}

/// Random trees; the same seed gives the same.
pub(super) fn random(seed: u64, count: u64) -> impl Iterator<Item = (String, View)> {
    (0..count).map(move |number| {
        let mut random = StdRng::seed_from_u64(seed.wrapping_add(number.wrapping_mul(0x9E37_79B9)));
        (format!("random view {number} of seed {seed}"), random_view(&mut random))
    })
}

fn random_view(random: &mut StdRng) -> View {
    let mut view = canned("empty tree");
    let (scale, mut id) = (random.random_range(10..40), random.random_range(0..1 << 40));
    for level in &mut view.levels {
        let runs = match random.random_range(0..10) {
            0..=2 => 0,
            3..=7 => 1,
            8 => random.random_range(2..6),
            _ => random.random_range(2..40),
        };
        *level = Level { runs: (0..runs).map(|_| random_run(random, scale, &mut id)).collect() };
    }
    view.memtable_bytes = number(random, scale);
    view.write_rate = number(random, scale);
    view.free_disk = number(random, scale + 12);
    view.guard_l0_runs = random.random_range(0..100);
    if random.random_bool(0.7) {
        let (bytes_in, bytes_out, took_ms) =
            (number(random, scale), number(random, scale), number(random, 20));
        let previous = merged(bytes_in, bytes_out, took_ms);
        let outcome = match random.random_range(0..6) {
            0 => Outcome::Nothing,
            1 => Outcome::Stale,
            2 => Outcome::Failed("no space left on device".to_owned()),
            _ => previous.outcome.clone(),
        };
        let wanted_by = if random.random_bool(0.8) { Origin::Plugin } else { Origin::Host };
        view.previous = Some(PreviousStep { outcome, wanted_by, ..previous });
    }
    view
}

fn random_run(random: &mut StdRng, scale: u32, id: &mut u64) -> Run {
    let count = if random.random_bool(0.7) { random.random_range(1..4) } else { random.random_range(1..40) };
    let mut keys: Vec<Vec<u8>> = (0..count * 2).map(|_| key(random)).collect();
    keys.sort();
    let mut table = |bounds: &[Vec<u8>]| {
        *id += 1;
        let entries = number(random, scale);
        Table {
            id: *id,
            bytes: number(random, scale),
            entries,
            tombstones: if random.random_bool(0.5) { 0 } else { random.random_range(0..=entries) },
            max_seqno: random.random(),
            min_key: bounds[0].clone(),
            max_key: bounds[1].clone(),
        }
    };
    Run { tables: keys.chunks(2).map(&mut table).collect() }
}

/// Mostly of about `scale` bits, sometimes of any size.
fn number(random: &mut StdRng, scale: u32) -> u64 {
    let bits =
        if random.random_bool(0.9) { random.random_range(0..=scale) } else { random.random_range(0..=64) };
    match bits {
        0 => 0,
        bits => random.random::<u64>() >> (64 - bits.min(64)),
    }
}

fn key(random: &mut StdRng) -> Vec<u8> {
    let mut key = vec![0; random.random_range(0..24)];
    random.fill(key.as_mut_slice());
    key
}

/// A view in one line, for messages.
#[must_use]
pub fn described(view: &View) -> String {
    debug_assert_eq!(view.levels.len(), LEVELS);
    let mut parts = Vec::new();
    for (number, level) in view.levels.iter().enumerate().filter(|(_, level)| !level.runs.is_empty()) {
        let tables = level.runs.iter().flat_map(|run| &run.tables);
        let bytes = tables.clone().fold(0_u64, |sum, table| sum.saturating_add(table.bytes));
        let (runs, tables) = (level.runs.len(), tables.count());
        let plural = if runs == 1 { "" } else { "s" };
        parts.push(format!("L{number}: {runs} run{plural}, {tables} tables, {bytes} B"));
    }
    if parts.is_empty() {
        parts.push("an empty tree".to_owned());
    }
    let previous = view.previous.as_ref().map_or(String::new(), |previous| {
        format!(
            "; before that {:?}, wanted by {:?}: {:?}",
            previous.step, previous.wanted_by, previous.outcome
        )
    });
    format!(
        "{}; memtable {} B, write rate {} B/s, free disk {} B{previous}",
        parts.join("; "),
        view.memtable_bytes,
        view.write_rate,
        view.free_disk
    )
}
