//! Runs a format natively and as a component, and holds the two against each other.
#![allow(clippy::print_stdout, reason = "a seed belongs in the output of a test")]
#![allow(dead_code, reason = "no format's suite needs all of it")]

use std::sync::{Arc, OnceLock};

use mortise_guest::Random;
use mortise_guest::export;
use mortise_guest::format::Format;
use mortise_guest::testkit::format::{check_keys, check_stored_keys, check_values, random_records, records};
use mortise_plugin_runtime::format::{self, Answers, Mode};
use mortise_plugin_runtime::{FaultKind, Limits, Runtime, RuntimeConfig, World};

/// A format in both its forms.
pub(crate) struct Coded<F> {
    pub(crate) native: F,
    pub(crate) component: format::Format,
}

impl<F: Format> Coded<F> {
    pub(crate) fn new(component: &[u8], config: &str) -> Self {
        let native = export::config(config).and_then(F::new).expect("the configuration");
        Self { native, component: load(component, config) }
    }

    /// Encodes and decodes keys in both forms, which must agree; checks all laws. Gives back the stored keys.
    pub(crate) fn keys(&self, keys: &[Vec<u8>]) -> Vec<Vec<u8>> {
        check_keys(&self.native, keys).unwrap_or_else(|broken| panic!("{broken}"));
        let answers = self.component.encode(keys, &[], Mode::Apply).map(|answers| answers.keys);
        let stored = agreed(keys, F::encode_key, &self.native, answers);
        let stored: Vec<_> = stored.into_iter().map(|key| key.expect("every key is taken")).collect();
        let answers = self.component.decode(&stored, &[], Mode::Apply).map(|answers| answers.keys);
        let back = agreed(&stored, F::decode_key, &self.native, answers);
        assert!(back.into_iter().map(|key| key.expect("decodable")).eq(keys.iter().cloned()));
        stored
    }

    /// Decodes what is not known to be a stored key in both forms, which must agree.
    pub(crate) fn stored_keys(&self, stored: &[Vec<u8>]) {
        check_stored_keys(&self.native, stored).unwrap_or_else(|broken| panic!("{broken}"));
        let answers = self.component.decode(stored, &[], Mode::REQUEST).map(|answers| answers.keys);
        agreed(stored, F::decode_key, &self.native, answers);
    }

    /// Encodes and decodes values in both forms, which must agree. Gives back the stored values.
    pub(crate) fn values(&self, values: &[Vec<u8>]) -> Vec<Vec<u8>> {
        check_values(&self.native, values).unwrap_or_else(|broken| panic!("{broken}"));
        let answers = self.component.encode(&[], values, Mode::REQUEST).map(|answers| answers.values);
        let stored = agreed(values, F::encode_value, &self.native, answers);
        let stored: Vec<_> = stored.into_iter().map(|value| value.expect("every value is taken")).collect();
        let answers = self.component.decode(&[], &stored, Mode::REQUEST).map(|answers| answers.values);
        let back = agreed(&stored, F::decode_value, &self.native, answers);
        assert!(back.into_iter().map(|value| value.expect("decodable")).eq(values.iter().cloned()));
        stored
    }

    /// Decodes what is not known to be a stored value in both forms, which must agree.
    pub(crate) fn stored_values(&self, stored: &[Vec<u8>]) -> Answers {
        let answers = self.component.decode(&[], stored, Mode::REQUEST).map(|answers| answers.values);
        agreed(stored, F::decode_value, &self.native, answers)
    }

    /// Canned and random records; the seed can be set with `MORTISE_SEED`.
    pub(crate) fn many_records() -> Vec<Vec<u8>> {
        let seed = std::env::var("MORTISE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(42);
        println!("MORTISE_SEED={seed}");
        let mut records = records();
        records.extend(random_records(&mut Random::new(seed), 2_000));
        records.sort();
        records.dedup();
        records
    }
}

/// Random cases that leave no file behind.
pub(crate) fn cases(count: u32) -> proptest::test_runner::Config {
    proptest::test_runner::Config { cases: count, failure_persistence: None, ..Default::default() }
}

/// A component with this configuration.
pub(crate) fn load(component: &[u8], config: &str) -> format::Format {
    let component = runtime().load(component).expect("a shipped plugin loads");
    // Patient, because the machine that runs the tests may be busy.
    let limits = Limits { deadline: std::time::Duration::from_secs(20), ..World::Format.default_limits() };
    component.format(limits, config).expect("the limits")
}

/// A configuration is refused in both forms, with this in the message.
pub(crate) fn refuses<F: Format>(component: &[u8], config: &str, expected: &str) {
    let native = export::config(config).and_then(F::new).err().expect("it is refused");
    assert!(native.contains(expected), "{config}: expected {expected:?} in {native:?}");
    let format = load(component, config);
    let fault = format.properties().expect_err("it is refused");
    assert_eq!(fault.kind, FaultKind::Refused, "{fault}");
    assert!(fault.detail.contains(expected), "{fault}");
    let answers = format.encode(&[b"key"], &[b"one"], Mode::REQUEST);
    let answers = answers.expect("each record is refused for itself");
    for answers in [answers.keys, answers.values] {
        assert!(matches!(&answers[..], [Err(why)] if why.contains(expected)), "{answers:?}");
    }
}

fn agreed<F>(
    records: &[Vec<u8>],
    translate: impl Fn(&F, &[u8]) -> Result<Vec<u8>, String>,
    native: &F,
    answers: Result<Answers, mortise_plugin_runtime::Fault>,
) -> Answers {
    let answers = answers.unwrap_or_else(|fault| panic!("{fault}"));
    assert_eq!(answers.len(), records.len());
    for (record, answer) in records.iter().zip(&answers) {
        assert_eq!(&translate(native, record), answer, "{record:?}: natively and as a component");
    }
    answers
}

fn runtime() -> Arc<Runtime> {
    static RUNTIME: OnceLock<Arc<Runtime>> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::new(RuntimeConfig::default()).expect("an engine")).clone()
}
