//! `format-dictionary`, natively and as a component.

mod coded;

use coded::Coded;
use format_dictionary::Dictionary;
use mortise_guest::format::Format;
use mortise_guest::testkit::format::check_values;
use proptest::prelude::*;

const COMPONENT: &[u8] = mortise_plugins::FORMAT_DICTIONARY;

/// What the values of the tests have in common.
const POD: &str = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"namespace":"default","name":"web-","labels":{"app":"web"},"uid":""},"spec":{"containers":[{"image":"registry.example/web:1.","name":"web"}]},"status":{"phase":"Running"}}"#;

fn config(id: u32, dictionary: &str) -> String {
    format!(r#"{{"id": {id}, "dictionary": {dictionary:?}}}"#)
}

fn with_pods() -> Coded<Dictionary> {
    Coded::new(COMPONENT, &config(7, POD))
}

fn native() -> Dictionary {
    let config = format_dictionary::Config { id: 7, dictionary: POD.to_owned(), min_bytes: 0 };
    Dictionary::new(config).unwrap()
}

fn pod(number: usize) -> Vec<u8> {
    POD.replace("web-", &format!("web-{number:04}")).replace("Running", "Pending").into_bytes()
}

/// Values that repeat themselves, the dictionary, or nothing.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        (0..POD.len(), 0..80_usize).prop_map(|(at, length)| POD.as_bytes()[at..]
            .iter()
            .copied()
            .take(length)
            .collect()),
        (any::<u8>(), 0..300_usize).prop_map(|(byte, count)| vec![byte; count]),
    ];
    prop::collection::vec((piece, 1..4_usize), 0..8)
        .prop_map(|pieces| pieces.into_iter().flat_map(|(piece, times)| piece.repeat(times)).collect())
}

#[test]
fn it_keeps_the_order_and_leaves_keys_alone() {
    let format = with_pods();
    assert!(format.component.properties().unwrap().keeps_order);
    let keys = [vec![], vec![0, 255], b"key".to_vec()];
    assert_eq!(format.keys(&keys), keys);
}

#[test]
fn values_like_the_dictionary_become_small() {
    let values: Vec<_> = (0..100).map(pod).collect();
    let bytes = |values: &[Vec<u8>]| values.iter().map(Vec::len).sum::<usize>();
    let stored = with_pods().values(&values);
    assert!(bytes(&stored) * 5 < bytes(&values), "{} of {}", bytes(&stored), bytes(&values));
    // By themselves they are too short for that.
    let alone = Coded::<Dictionary>::new(COMPONENT, "{}").values(&values);
    assert!(bytes(&alone) * 3 > bytes(&values) * 2, "{} of {}", bytes(&alone), bytes(&values));
    let long = vec![b"abcdefgh".repeat(10_000)];
    let stored = Coded::<Dictionary>::new(COMPONENT, "{}").values(&long);
    assert!(stored[0].len() < 30, "what repeats itself needs no dictionary: {}", stored[0].len());
}

#[test]
fn what_cannot_be_compressed_grows_by_one_byte() {
    let mut random = mortise_guest::Random::new(3);
    let noise: Vec<u8> = (0..10_000).map(|_| random.next_u64() as u8).collect();
    let values = [vec![], b"short".to_vec(), noise];
    let stored = with_pods().values(&values);
    for (value, stored) in values.iter().zip(&stored) {
        assert_eq!(stored, &[&[0], &value[..]].concat());
    }
}

#[test]
fn both_forms_agree_on_every_sort_of_record() {
    let format = with_pods();
    let mut values = Coded::<Dictionary>::many_records();
    values.push(pod(1).repeat(6_000));
    assert!(values.last().unwrap().len() > 1_200_000);
    let stored = format.values(&values);
    assert!(stored.iter().zip(&values).all(|(stored, value)| stored.len() <= value.len() + 1));
}

#[test]
fn another_dictionary_is_never_used() {
    let stored = with_pods().values(&[pod(1)]);
    assert_eq!(stored[0][..2], [1, 7]);
    let other = Coded::<Dictionary>::new(COMPONENT, &config(8, POD));
    let answers = other.stored_values(&stored);
    assert!(matches!(&answers[..], [Err(why)] if why.contains("dictionary 7; this one is 8")), "{answers:?}");
}

#[test]
fn damaged_values_are_refused_or_bounded() {
    let format = with_pods();
    let stored = format.values(&[pod(1), b"ab".repeat(500)]);
    let mut bent = vec![vec![], vec![2], vec![1], vec![1, 7], vec![1, 7, 0x80], vec![1, 7, 5, 0]];
    // 64 MiB minus one, and a match that goes on for as long; then the same with a byte more.
    bent.push([&[1, 7, 0xff, 0xff, 0xff, 0x1f, 0x1f, b'x'][..], &[0xff; 9], &[0x7f, 1]].concat());
    bent.push(vec![1, 7, 0x80, 0x80, 0x80, 0x80, 0x40, 0]);
    for value in &stored {
        for at in 0..value.len() {
            bent.push(value[..at].to_vec());
            for byte in [0, 1, 0x7f, 0x80, 0xff] {
                let mut value = value.clone();
                value[at] = byte;
                bent.push(value);
            }
        }
    }
    let answers = format.stored_values(&bent);
    let refused = answers.iter().filter(|answer| answer.is_err()).count();
    assert!(refused > bent.len() / 4, "{refused} of {} were refused", bent.len());
}

#[test]
fn configurations_are_refused_by_the_name_of_the_field() {
    for (config, expected) in [
        (config(0, "x"), "id is 0 and dictionary has 1 bytes"),
        (config(3, ""), "id is 3 and dictionary has 0 bytes"),
        (config(3, &"x".repeat(32 * 1024 + 1)), "dictionary has 32769 bytes; expected at most 32768"),
        (r#"{"id": -1}"#.to_owned(), "field `id`: invalid value"),
        (r#"{"dict": "x"}"#.to_owned(), "unknown field `dict`"),
    ] {
        coded::refuses::<Dictionary>(COMPONENT, &config, expected);
    }
}

proptest! {
    #![proptest_config(coded::cases(500))]

    #[test]
    fn every_value_comes_back(values in prop::collection::vec(value(), 1..5)) {
        check_values(&native(), &values).map_err(|broken| TestCaseError::fail(broken.to_string()))?;
    }

    #[test]
    fn arbitrary_bytes_never_panic_the_decoder(mut stored in prop::collection::vec(any::<u8>(), 0..60)) {
        let format = native();
        let _ = format.decode_value(&stored);
        stored.splice(0..0, [1, 7, 100]);
        let _ = format.decode_value(&stored);
    }
}

#[test]
fn arbitrary_values_come_back_as_a_component() {
    let format = with_pods();
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let batches = prop::collection::vec(value(), 0..20);
    runner
        .run(&batches, |values| {
            format.values(&values);
            Ok(())
        })
        .unwrap();
}
