//! The battery of world `format`: the laws of a codec, over arbitrary bytes.
//!
//! Records go in batches, as the host sends them. A record may be refused, with a reason; what is not refused
//! has to keep every law.

use std::collections::BTreeMap;

use mortise_plugin_runtime::Fault;
use mortise_plugin_runtime::format::{Answers, Format, Mode};

use super::battery::{Battery, Failure};
use super::configuration::{self, Asked};
use super::records::{garbage, keys, shown, values};
use super::workbench::LoadedPlugin;
use crate::Result;

/// Records of one batch.
const BATCH: usize = 1_000;

/// Which records a function takes.
#[derive(Clone, Copy, PartialEq)]
enum Sort {
    Keys,
    Values,
}

/// A direction: encoding or decoding.
#[derive(Clone, Copy)]
enum Way {
    Encode,
    Decode,
}

/// Records with what became of each; refusals have their text.
type Encoded = Vec<(Vec<u8>, std::result::Result<Vec<u8>, String>)>;

/// Runs all sections.
pub(super) fn test(specimen: &LoadedPlugin, fresh: &LoadedPlugin, battery: &mut Battery<'_>) -> Result<()> {
    let config = battery.options.config.clone();
    let format = specimen.format(specimen.limits(), &config)?;
    let fresh = fresh.format(fresh.limits(), &config)?;
    let (seed, count) = (battery.options.seed, battery.options.random);
    let keeps_order = properties(battery, &format);
    let keys = round_trip(battery, "keys come back", &format, Sort::Keys, keys(seed, count));
    told_apart(battery, &keys);
    if keeps_order {
        order(battery, &keys);
    }
    let values = round_trip(battery, "values come back", &format, Sort::Values, values(seed, count));
    nothing_is_guessed(battery, &format, &keys, &values);
    batches(battery, &format, &keys);
    together(battery, &format, &keys, &values);
    repeat(battery, &format, &fresh, &[(Sort::Keys, &keys), (Sort::Values, &values)]);
    configuration::test(battery, &mut |battery, config| {
        let seen = format!("get-properties({})", shown(config.as_bytes()));
        let format = specimen.format(specimen.limits(), config).expect("the limits were accepted before");
        let answer = battery.timed(|| format.properties()).map(|properties| format!("{properties:?}"));
        Asked { answer, seen, record: None }
    });
    battery.limits(specimen.limits(), &specimen.usage());
    cost(battery, &keys);
    Ok(())
}

fn call(
    battery: &mut Battery<'_>,
    format: &Format,
    sort: Sort,
    way: Way,
    mode: Mode,
    records: &[Vec<u8>],
) -> std::result::Result<Answers, Fault> {
    let (keys, values) = match sort {
        Sort::Keys => (records, &[][..]),
        Sort::Values => (&[][..], records),
    };
    let answers = battery.timed(|| match way {
        Way::Encode => format.encode(keys, values, mode),
        Way::Decode => format.decode(keys, values, mode),
    })?;
    Ok(match sort {
        Sort::Keys => answers.keys,
        Sort::Values => answers.values,
    })
}

fn name(sort: Sort, way: Way) -> &'static str {
    match (sort, way) {
        (Sort::Keys, Way::Encode) => "encode of keys",
        (Sort::Keys, Way::Decode) => "decode of keys",
        (Sort::Values, Way::Encode) => "encode of values",
        (Sort::Values, Way::Decode) => "decode of values",
    }
}

fn failure(case: &str, seen: &[u8], expected: impl Into<String>, found: impl Into<String>) -> Failure {
    Failure {
        case: case.to_owned(),
        seen: shown(seen),
        expected: expected.into(),
        found: found.into(),
        record: None,
    }
}

fn faulted(case: &str, count: usize, fault: &Fault) -> Failure {
    let seen = format!("a batch of {count} records");
    let found = format!("a fault ({}): {fault}", fault.kind);
    Failure { case: case.to_owned(), seen, expected: "an answer".to_owned(), found, record: None }
}

/// What it promises; the same every time.
fn properties(battery: &mut Battery<'_>, format: &Format) -> bool {
    battery.begin("properties");
    let first = battery.timed(|| format.properties());
    let again = battery.timed(|| format.properties());
    let case = "get-properties";
    let judged = match (&first, &again) {
        (Ok(first), Ok(again)) if first == again => Ok(()),
        (Ok(first), again) => Err(failure(case, b"", format!("{first:?} again"), format!("{again:?}"))),
        (Err(fault), _) => Err(faulted(case, 0, fault)),
    };
    battery.count(judged);
    first.is_ok_and(|properties| properties.keeps_order)
}

/// `decode` of `encode` gives back every record that is not refused.
fn round_trip(
    battery: &mut Battery<'_>,
    section: &'static str,
    format: &Format,
    sort: Sort,
    records: Vec<Vec<u8>>,
) -> Encoded {
    battery.begin(section);
    let (mut encoded, mut refused) = (Encoded::new(), Vec::new());
    for batch in records.chunks(BATCH) {
        let answers = match call(battery, format, sort, Way::Encode, Mode::REQUEST, batch) {
            Ok(answers) => answers,
            Err(fault) => {
                battery.count(Err(faulted(name(sort, Way::Encode), batch.len(), &fault)));
                continue;
            }
        };
        let stored: Vec<Vec<u8>> = answers.iter().flatten().cloned().collect();
        let decoded = match call(battery, format, sort, Way::Decode, Mode::REQUEST, &stored) {
            Ok(decoded) => decoded,
            Err(fault) => {
                battery.count(Err(faulted(name(sort, Way::Decode), stored.len(), &fault)));
                continue;
            }
        };
        let mut decoded = decoded.into_iter();
        for (record, answer) in batch.iter().zip(answers) {
            match &answer {
                Ok(stored) => battery.count(came_back(record, stored, decoded.next())),
                Err(why) if why.trim().is_empty() => {
                    let expected = "a reason for the refusal, which the client reads";
                    battery.count(Err(failure("a refusal", record, expected, "an empty text")));
                }
                Err(why) => refused.push(format!("{}: {why}", shown(record))),
            }
            encoded.push((record.clone(), answer));
        }
    }
    match refused.first() {
        Some(first) if refused.len() == records.len() => {
            battery.count(Err(failure("all records", b"", "some records are taken", first.as_str())));
        }
        Some(first) => battery.advise(format!(
            "{} of {} records were refused, the first was {first}; clients that write such get an error",
            refused.len(),
            records.len()
        )),
        None => {}
    }
    encoded
}

fn came_back(
    record: &[u8],
    stored: &[u8],
    decoded: Option<std::result::Result<Vec<u8>, String>>,
) -> std::result::Result<(), Failure> {
    let case = format!("stored as {}", shown(stored));
    match decoded {
        Some(Ok(found)) if found == record => Ok(()),
        Some(Ok(found)) => Err(failure(&case, record, "the record comes back", shown(&found))),
        Some(Err(why)) => Err(failure(&case, record, "the record comes back", format!("refused: {why}"))),
        None => Err(failure(&case, record, "the record comes back", "no answer")),
    }
}

/// Two keys never share an encoding.
fn told_apart(battery: &mut Battery<'_>, keys: &Encoded) {
    battery.begin("keys are told apart");
    let mut seen: BTreeMap<&[u8], &[u8]> = BTreeMap::new();
    for (key, stored) in keys.iter().filter_map(|(key, stored)| Some((key, stored.as_ref().ok()?))) {
        let other = seen.insert(stored, key).filter(|other| *other != key.as_slice());
        let case = other.map_or(Ok(()), |other| {
            let found = format!("{} is stored as the same bytes", shown(other));
            Err(failure(&format!("stored as {}", shown(stored)), key, "an encoding of its own", found))
        });
        battery.count(case);
    }
}

/// Where the order is promised, it is kept.
fn order(battery: &mut Battery<'_>, keys: &Encoded) {
    battery.begin("keys keep their order");
    let stored = keys.iter().filter_map(|(key, stored)| Some((key, stored.as_ref().ok()?)));
    let sorted: BTreeMap<_, _> = stored.collect();
    let pairs: Vec<_> = sorted.iter().collect();
    for pair in pairs.windows(2) {
        let ((smaller, first), (larger, second)) = (pair[0], pair[1]);
        let found = || format!("{} and then {}", shown(first), shown(second));
        let case = format!("before {}", shown(larger));
        battery.count(if first < second {
            Ok(())
        } else {
            Err(failure(&case, smaller, "encodings in the same order, as keeps-order promises", found()))
        });
    }
}

/// Bytes that are no encoding are refused, and never make it fall over.
fn nothing_is_guessed(battery: &mut Battery<'_>, format: &Format, keys: &Encoded, values: &Encoded) {
    battery.begin("nothing is guessed");
    let seed = battery.options.seed;
    for (sort, encoded) in [(Sort::Keys, keys), (Sort::Values, values)] {
        let garbage = garbage(seed, encoded.iter().filter_map(|(_, stored)| stored.as_ref().ok()));
        for batch in garbage.chunks(BATCH) {
            let answers = match call(battery, format, sort, Way::Decode, Mode::REQUEST, batch) {
                Ok(answers) => answers,
                Err(fault) => {
                    battery.count(Err(faulted(name(sort, Way::Decode), batch.len(), &fault)));
                    continue;
                }
            };
            let taken: Vec<(&Vec<u8>, Vec<u8>)> =
                batch.iter().zip(answers).filter_map(|(bytes, it)| Some((bytes, it.ok()?))).collect();
            (taken.len()..batch.len()).for_each(|_| battery.count(Ok(())));
            // Values need one decoding, not one encoding: a compressor has many ways to say the same.
            if sort == Sort::Keys {
                encoded_the_same(battery, format, &taken);
            } else {
                taken.iter().for_each(|_| battery.count(Ok(())));
            }
        }
    }
}

fn encoded_the_same(battery: &mut Battery<'_>, format: &Format, taken: &[(&Vec<u8>, Vec<u8>)]) {
    let records: Vec<Vec<u8>> = taken.iter().map(|(_, record)| record.clone()).collect();
    let answers = match call(battery, format, Sort::Keys, Way::Encode, Mode::REQUEST, &records) {
        Ok(answers) => answers,
        Err(fault) => {
            return battery.count(Err(faulted(name(Sort::Keys, Way::Encode), records.len(), &fault)));
        }
    };
    for ((bytes, record), answer) in taken.iter().zip(answers) {
        let becomes = match answer {
            Ok(stored) if &stored == *bytes => {
                battery.count(Ok(()));
                continue;
            }
            Ok(stored) => format!("stored as {}", shown(&stored)),
            Err(why) => format!("refused: {why}"),
        };
        let found = format!("taken for {}, which is {becomes}", shown(record));
        let expected = "a refusal, because no key is stored like this";
        battery.count(Err(failure(name(Sort::Keys, Way::Decode), bytes, expected, found)));
    }
}

/// A batch of any size is answered record by record.
fn batches(battery: &mut Battery<'_>, format: &Format, keys: &Encoded) {
    battery.begin("batches");
    for (sort, way) in [
        (Sort::Keys, Way::Encode),
        (Sort::Keys, Way::Decode),
        (Sort::Values, Way::Encode),
        (Sort::Values, Way::Decode),
    ] {
        let empty = call(battery, format, sort, way, Mode::REQUEST, &[]);
        battery.count(match empty {
            Ok(answers) if answers.is_empty() => Ok(()),
            other => Err(failure(name(sort, way), b"", "no answers to no records", format!("{other:?}"))),
        });
    }
    for (key, expected) in keys.iter().take(100) {
        let alone = call(battery, format, Sort::Keys, Way::Encode, Mode::REQUEST, std::slice::from_ref(key));
        let as_before = matches!(&alone, Ok(answers) if answers.first() == Some(expected));
        let differs = || failure("alone", key, format!("as in a batch: {expected:?}"), format!("{alone:?}"));
        battery.count(if as_before { Ok(()) } else { Err(differs()) });
    }
}

/// Keys and values that come in one call are answered as they are alone, whatever stands beside them.
fn together(battery: &mut Battery<'_>, format: &Format, keys: &Encoded, values: &Encoded) {
    battery.begin("keys and values together");
    for (keys, values) in keys.chunks(7).zip(values.chunks(5)).take(100) {
        let records =
            |encoded: &[_]| encoded.iter().map(|(record, _): &(Vec<u8>, _)| record.clone()).collect();
        let (some_keys, some_values): (Vec<Vec<u8>>, Vec<Vec<u8>>) = (records(keys), records(values));
        let answers = match battery.timed(|| format.encode(&some_keys, &some_values, Mode::REQUEST)) {
            Ok(answers) => answers,
            Err(fault) => {
                battery.count(Err(faulted("together", keys.len() + values.len(), &fault)));
                continue;
            }
        };
        let pairs = keys.iter().zip(answers.keys).chain(values.iter().zip(answers.values));
        for ((record, alone), answer) in pairs {
            let differs =
                || failure("together", record, format!("as alone: {alone:?}"), format!("{answer:?}"));
            battery.count(if *alone == answer { Ok(()) } else { Err(differs()) });
        }
    }
}

/// The same records have the same encodings: in an instance that has served much, without a clock, and in a
/// fresh runtime.
fn repeat(battery: &mut Battery<'_>, format: &Format, fresh: &Format, sets: &[(Sort, &Encoded)]) {
    battery.begin("the same records again");
    let others = [
        ("in a warm instance", format, Mode::REQUEST),
        ("bounded by fuel", format, Mode::Apply),
        ("in a fresh runtime", fresh, Mode::REQUEST),
    ];
    for (how, format, mode) in others {
        for (sort, encoded) in sets {
            for batch in encoded.chunks(BATCH) {
                let records: Vec<Vec<u8>> = batch.iter().map(|(record, _)| record.clone()).collect();
                let answers = match call(battery, format, *sort, Way::Encode, mode, &records) {
                    Ok(answers) => answers,
                    Err(fault) => {
                        battery.count(Err(faulted(how, records.len(), &fault)));
                        continue;
                    }
                };
                for ((record, before), now) in batch.iter().zip(answers) {
                    let told = |it: &std::result::Result<Vec<u8>, String>| match it {
                        Ok(stored) => shown(stored),
                        Err(why) => format!("refused: {why}"),
                    };
                    let same = now == *before;
                    let differs = || failure(how, record, told(before), told(&now));
                    battery.count(if same { Ok(()) } else { Err(differs()) });
                }
            }
        }
    }
}

/// What stored keys cost.
fn cost(battery: &mut Battery<'_>, keys: &Encoded) {
    let taken = keys.iter().filter_map(|(key, stored)| Some((key.len(), stored.as_ref().ok()?.len())));
    let (plain, stored) = taken.fold((0, 0), |sum, (plain, stored)| (sum.0 + plain, sum.1 + stored));
    if stored > plain * 2 {
        battery.advise(format!(
            "stored keys take {stored} bytes where the keys of this battery have {plain}; a key has at most \
             32,000 bytes as it is stored"
        ));
    }
}
