//! `format-hierarchical`, natively and as a component.

mod coded;

use coded::Coded;
use format_hierarchical::Hierarchical;
use mortise_guest::format::Format;
use mortise_guest::testkit::format::{check_keys, check_stored_keys};
use proptest::prelude::*;

fn hierarchical() -> Coded<Hierarchical> {
    Coded::new(mortise_plugins::FORMAT_HIERARCHICAL, "{}")
}

fn stored(key: &[u8]) -> Vec<u8> {
    Hierarchical.encode_key(key).expect("every key is taken")
}

/// Bytes of which keys that matter are made.
fn byte() -> impl Strategy<Value = u8> {
    let border = prop::sample::select(&[0, 1, 2, 0x2e, 0x30, 0xfd, 0xfe, 0xff][..]);
    prop_oneof![4 => Just(b'/'), 4 => border, 2 => any::<u8>()]
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(byte(), 0..24)
}

#[test]
fn it_keeps_no_order_and_leaves_values_alone() {
    let format = hierarchical();
    assert!(!format.component.properties().unwrap().keeps_order);
    let values = [vec![], vec![0, 255], b"value".to_vec()];
    assert_eq!(format.values(&values), values);
}

#[test]
fn keys_are_ordered_by_depth_and_then_by_segments() {
    let in_order: Vec<Vec<u8>> = [
        "", "a", "b", "z", "/", "/a", "/a!", "/b", "a/", "a/b", "a/c", "a!/b", "b/a", "//", "/a/", "/a/b",
        "/a/c", "/a!/b", "/b/a", "/a/b/", "/a/b/c", "/a/b//", "/a/c/a", "/a/b/c/d",
    ]
    .map(|key| key.as_bytes().to_vec())
    .into();
    // `//` is the end of the directory `/`, so it belongs to those of depth 1.
    let mut expected = in_order.clone();
    let end = expected.iter().position(|key| key == b"//").unwrap();
    let end = expected.remove(end);
    let behind = expected.iter().position(|key| key == b"a/").unwrap();
    expected.insert(behind, end);
    let mut found = in_order;
    found.sort_by_key(|key| stored(key));
    let text = |keys: &[Vec<u8>]| {
        keys.iter().map(|key| String::from_utf8_lossy(key).into_owned()).collect::<Vec<_>>()
    };
    assert_eq!(text(&found), text(&expected));
}

#[test]
fn both_forms_agree_on_every_sort_of_record() {
    let format = hierarchical();
    let records = Coded::<Hierarchical>::many_records();
    let stored = format.keys(&records);
    format.stored_keys(&records);
    // What is nearly a stored key is refused or is one.
    let mut bent = Vec::new();
    for key in stored.iter().filter(|key| key.len() < 40) {
        for at in 0..key.len() {
            for byte in [0, 1, 2, b'/', 0xf8, 0xfe, 0xff] {
                let mut key = key.clone();
                key[at] = byte;
                bent.push(key);
            }
            bent.push(key[..at].to_vec());
        }
    }
    bent.truncate(60_000);
    assert!(bent.len() > 10_000);
    format.stored_keys(&bent);
}

#[test]
fn depths_of_every_size_are_ordered() {
    let keys: Vec<_> =
        [0, 1, 246, 247, 248, 255, 256, 257, 65_535, 65_536].map(|depth| b"/a".repeat(depth)).into();
    let stored = hierarchical().keys(&keys);
    assert!(stored.is_sorted());
}

#[test]
fn unknown_knobs_are_refused() {
    let component = mortise_plugins::FORMAT_HIERARCHICAL;
    coded::refuses::<Hierarchical>(component, r#"{"separator": "."}"#, "unknown field `separator`");
}

proptest! {
    #![proptest_config(coded::cases(2_000))]

    #[test]
    fn every_byte_string_comes_back(keys in prop::collection::vec(key(), 1..20)) {
        check_keys(&Hierarchical, &keys).map_err(|broken| TestCaseError::fail(broken.to_string()))?;
    }

    #[test]
    fn what_is_no_stored_key_is_refused(stored in prop::collection::vec(byte(), 0..24)) {
        let checked = check_stored_keys(&Hierarchical, &[stored]);
        checked.map_err(|broken| TestCaseError::fail(broken.to_string()))?;
    }

    /// From `D` to `D/` lie exactly the keys that are `D` and a name without a slash, whatever `D`.
    #[test]
    fn a_directory_is_one_range(mut directory in key(), other in key(), name in key()) {
        directory.push(b'/');
        let end = [&directory[..], b"/"].concat();
        let range = stored(&directory)..stored(&end);
        let child: Vec<u8> = name.iter().copied().filter(|byte| *byte != b'/').collect();
        prop_assert!(range.contains(&stored(&[&directory[..], &child].concat())));
        for key in [other, [&directory[..], &name].concat()] {
            let is_child = key.strip_prefix(&directory[..]).is_some_and(|name| !name.contains(&b'/'));
            prop_assert_eq!(range.contains(&stored(&key)), is_child, "{:?} in {:?}", key, directory);
        }
    }

    /// With empty segments the number of `/` decides no more: one that directly follows another one is not
    /// counted. A directory is one range all the same, whatever it and its keys hold (above).
    #[test]
    fn a_slash_after_a_slash_is_not_counted(one in key(), other in key()) {
        let counted = |key: &[u8]| {
            let mut key = key.to_vec();
            key.dedup_by(|next, before| *next == b'/' && *before == b'/');
            key.iter().filter(|byte| **byte == b'/').count()
        };
        let (ours, theirs) = (counted(&one), counted(&other));
        if ours != theirs {
            prop_assert_eq!(stored(&one).cmp(&stored(&other)), ours.cmp(&theirs));
        }
    }

    /// Without empty segments the order is exactly: number of slashes, then segments.
    #[test]
    fn the_order_is_by_depth_and_segments(one in key(), other in key()) {
        let plain = |mut key: Vec<u8>| {
            key.dedup_by(|next, before| *next == b'/' && *before == b'/');
            key
        };
        let (one, other) = (plain(one), plain(other));
        let segments = |key: &[u8]| key.split(|byte| *byte == b'/').map(<[u8]>::to_vec).collect::<Vec<_>>();
        let (ours, theirs) = (segments(&one), segments(&other));
        let expected = ours.len().cmp(&theirs.len()).then(ours.cmp(&theirs));
        prop_assert_eq!(stored(&one).cmp(&stored(&other)), expected);
    }
}

#[test]
fn arbitrary_bytes_come_back_as_a_component() {
    let format = hierarchical();
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let batches = prop::collection::vec(key(), 0..200);
    runner
        .run(&batches, |keys| {
            let unique: std::collections::BTreeSet<_> = keys.into_iter().collect();
            format.keys(&unique.into_iter().collect::<Vec<_>>());
            Ok(())
        })
        .unwrap();
}
