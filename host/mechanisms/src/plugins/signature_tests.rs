//! Real signatures, made here: good, wrong, foreign, damaged, missing.

use std::io::Cursor;

use minisign::KeyPair;
use mortise_kernel::ErrorKind;

use super::{SignatureState, Trust, TrustedKey};
use crate::Error;

const COMPONENT: &[u8] = b"a component";

fn pair() -> KeyPair {
    KeyPair::generate_unencrypted_keypair().unwrap()
}

fn trusted(pair: &KeyPair) -> TrustedKey {
    TrustedKey::parse(&pair.pk.to_base64()).unwrap()
}

fn sign(pair: &KeyPair, bytes: &[u8], comment: &str) -> String {
    minisign::sign(None, &pair.sk, Cursor::new(bytes), Some(comment), None).unwrap().to_string()
}

fn trust(keys: &[&KeyPair], required: bool) -> Trust {
    Trust { keys: keys.iter().map(|pair| trusted(pair)).collect(), required }
}

#[test]
fn a_good_signature_is_told_by_its_key_and_its_comment() {
    let (mine, other) = (pair(), pair());
    let trust = trust(&[&other, &mine], true);
    let state = trust.check(COMPONENT, Some(&sign(&mine, COMPONENT, "release 1"))).unwrap();
    let key_id = trusted(&mine).id().to_owned();
    assert_eq!(state, SignatureState::Signed { key_id, trusted_comment: "release 1".into() });
    trust.permits(&state).unwrap();
}

#[test]
fn a_key_is_read_from_a_line_or_from_a_file_and_has_the_id_that_minisign_prints() {
    let pair = pair();
    let boxed = pair.pk.to_box().unwrap().to_string();
    let from_file = TrustedKey::parse(&boxed).unwrap();
    assert_eq!(from_file, trusted(&pair));
    assert!(boxed.lines().next().unwrap().ends_with(from_file.id()), "{boxed}: {}", from_file.id());
    for bad in ["", "nonsense", "a\nb\nc", "untrusted comment: x\nnonsense"] {
        let error = TrustedKey::parse(bad).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{bad:?}: {error}");
    }
}

#[test]
fn refusals_name_the_key_that_was_expected_and_the_one_that_was_found() {
    let (mine, stranger) = (pair(), pair());
    let (expected, found) = (trusted(&mine).id().to_owned(), trusted(&stranger).id().to_owned());
    for required in [true, false] {
        let trust = trust(&[&mine], required);
        let foreign = trust.check(COMPONENT, Some(&sign(&stranger, COMPONENT, "x"))).unwrap_err();
        assert!(matches!(foreign, Error::WrongSignature { .. }), "{foreign}");
        let text = foreign.to_string();
        assert!(text.contains(&expected) && text.contains(&found), "{text}");

        let other_bytes = trust.check(b"other bytes", Some(&sign(&mine, COMPONENT, "x"))).unwrap_err();
        assert!(other_bytes.to_string().contains("does not hold"), "{other_bytes}");
    }
    let unsigned = trust(&[&mine], true).check(COMPONENT, None).unwrap_err();
    assert!(matches!(&unsigned, Error::Unsigned { .. }) && unsigned.to_string().contains(&expected));
    assert_eq!(trust(&[&mine], false).check(COMPONENT, None).unwrap(), SignatureState::Unsigned);
}

#[test]
fn every_damaged_byte_of_a_signature_is_noticed() {
    let mine = pair();
    let trust = trust(&[&mine], true);
    let good = sign(&mine, COMPONENT, "release 1");
    let comment_end = good.find('\n').unwrap();
    for at in comment_end..good.trim_end().len() {
        let mut bytes = good.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let text = String::from_utf8(bytes).unwrap();
        assert!(trust.check(COMPONENT, Some(&text)).is_err(), "byte {at} of {good}");
    }
    for cut in 0..good.trim_end().len() {
        assert!(trust.check(COMPONENT, Some(&good[..cut])).is_err(), "cut after {cut} bytes");
    }
    assert!(trust.check(COMPONENT, Some(&"x".repeat(10_000))).unwrap_err().to_string().contains("10000"));
}

#[test]
fn without_keys_a_signature_is_kept_and_not_believed() {
    let mine = pair();
    let nobody = trust(&[], false);
    let state = nobody.check(COMPONENT, Some(&sign(&mine, COMPONENT, "x"))).unwrap();
    assert_eq!(state, SignatureState::Unchecked { key_id: trusted(&mine).id().into() });
    nobody.permits(&state).unwrap();
    assert!(nobody.check(COMPONENT, Some("untrusted comment: x\nnonsense")).is_err());
}

#[test]
fn what_may_not_come_in_may_not_run_either() {
    let (mine, retired) = (pair(), pair());
    let by = |pair: &KeyPair| SignatureState::Signed {
        key_id: trusted(pair).id().into(),
        trusted_comment: String::new(),
    };
    let required = trust(&[&mine], true);
    required.permits(&by(&mine)).unwrap();
    for state in [by(&retired), SignatureState::Unsigned, SignatureState::Unchecked { key_id: "0".into() }] {
        let error = required.permits(&state).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FailedPrecondition, "{error}");
        trust(&[&mine], false).permits(&state).unwrap();
    }
}
