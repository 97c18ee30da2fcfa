//! Codecs for tests: native, and made to refuse, to fault and to lie.
//!
//! | name | keys | values |
//! |---|---|---|
//! | `reversed` | their bytes backwards: keeps no order | `v` before their bytes backwards |
//! | `prefixed` | `k` before them: keeps the order, and is longer | every byte twice |
//! | `lossy` | as they are | without the last byte: does not come back |
//!
//! All refuse keys that hold `!` and values that hold `?`.
#![allow(dead_code, reason = "each test file uses a part")]

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use mortise_kernel::format::{Codec, CodecFault, Codecs, FormatId, Meter, RecodedRecords, Records};
use parking_lot::Mutex;
use tokio::sync::watch;

/// Makes calls fail: told the meter and the number of records, it may answer with a fault.
type Saboteur = dyn Fn(Meter, usize) -> Option<CodecFault> + Send + Sync;

/// What a test sees and decides of one codec.
#[derive(Default)]
pub(crate) struct Controls {
    saboteur: Mutex<Option<Arc<Saboteur>>>,
    /// The key that every key is taken for when it is encoded.
    confused: Mutex<Option<Vec<u8>>>,
    apply_calls: AtomicU64,
    decoded: AtomicU64,
    request_calls: AtomicU64,
    faults: watch::Sender<u64>,
}

impl Controls {
    /// Lets calls fail from now on.
    pub(crate) fn sabotage(
        &self,
        fault: impl Fn(Meter, usize) -> Option<CodecFault> + Send + Sync + 'static,
    ) {
        *self.saboteur.lock() = Some(Arc::new(fault));
    }

    /// Encodes every key as if it were this one from now on.
    pub(crate) fn confuse(&self, instead: &str) {
        *self.confused.lock() = Some(instead.as_bytes().to_vec());
    }

    /// Lets calls pass again, and be right.
    pub(crate) fn heal(&self) {
        *self.confused.lock() = None;
        *self.saboteur.lock() = None;
    }

    /// Calls so far: on behalf of requests, and within apply.
    pub(crate) fn calls(&self) -> (u64, u64) {
        (self.request_calls.load(Ordering::SeqCst), self.apply_calls.load(Ordering::SeqCst))
    }

    /// Records decoded so far.
    pub(crate) fn decoded(&self) -> u64 {
        self.decoded.load(Ordering::SeqCst)
    }

    /// Waits for a fault after the `known` ones; how many there were.
    pub(crate) async fn fault_after(&self, known: u64) -> u64 {
        let mut faults = self.faults.subscribe();
        *faults.wait_for(|faults| *faults > known).await.expect("the codec lives")
    }

    fn enter(&self, meter: Meter, records: usize) -> Result<(), CodecFault> {
        match meter {
            Meter::Request(_) => &self.request_calls,
            Meter::Apply => &self.apply_calls,
        }
        .fetch_add(1, Ordering::SeqCst);
        // Not under the lock: it may stand still for as long as it likes.
        let saboteur = self.saboteur.lock().clone();
        let fault = saboteur.and_then(|saboteur| saboteur(meter, records));
        fault.map_or(Ok(()), |fault| {
            self.faults.send_modify(|faults| *faults += 1);
            Err(fault)
        })
    }
}

pub(crate) struct TestCodec {
    id: FormatId,
    pub(crate) controls: Controls,
}

/// The id of a test format.
pub(crate) fn format(name: &str) -> FormatId {
    FormatId { name: name.into(), version: "1.0.0".into(), digest: None, config: "{}".into() }
}

pub(crate) fn codec(name: &str) -> Arc<TestCodec> {
    Arc::new(TestCodec { id: format(name), controls: Controls::default() })
}

fn backwards(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().rev().copied().collect()
}

impl TestCodec {
    fn each(
        &self,
        records: Records<'_>,
        meter: Meter,
        key: impl Fn(&str, &[u8]) -> Result<Vec<u8>, String>,
        value: impl Fn(&str, &[u8]) -> Result<Vec<u8>, String>,
    ) -> Result<RecodedRecords, CodecFault> {
        self.controls.enter(meter, records.keys.len() + records.values.len())?;
        let name = &self.id.name;
        Ok(RecodedRecords {
            keys: records.keys.iter().map(|record| key(name, record).map(Bytes::from)).collect(),
            values: records.values.iter().map(|record| value(name, record).map(Bytes::from)).collect(),
        })
    }
}

impl Codec for TestCodec {
    fn id(&self) -> &FormatId {
        &self.id
    }

    fn keeps_order(&self) -> bool {
        self.id.name != "reversed"
    }

    fn encode(&self, records: Records<'_>, meter: Meter) -> Result<RecodedRecords, CodecFault> {
        let confused = self.controls.confused.lock().clone();
        let key = |name: &str, key: &[u8]| match (name, confused.as_deref().unwrap_or(key)) {
            (_, key) if key.contains(&b'!') => Err("no exclamation, please".into()),
            ("reversed", key) => Ok(backwards(key)),
            ("prefixed", key) => Ok([b"k", key].concat()),
            (_, key) => Ok(key.to_vec()),
        };
        self.each(records, meter, key, |name, value| match name {
            _ if value.contains(&b'?') => Err("no questions, please".into()),
            "reversed" => Ok([&b"v"[..], &backwards(value)].concat()),
            "prefixed" => Ok(value.iter().flat_map(|&byte| [byte, byte]).collect()),
            _ => Ok(value[..value.len().saturating_sub(1).max(1)].to_vec()),
        })
    }

    fn decode(&self, stored: Records<'_>, meter: Meter) -> Result<RecodedRecords, CodecFault> {
        let records = stored.keys.len() + stored.values.len();
        self.controls.decoded.fetch_add(records as u64, Ordering::SeqCst);
        let key = |name: &str, key: &[u8]| match name {
            "reversed" => Ok(backwards(key)),
            "prefixed" => key.strip_prefix(b"k").map(<[u8]>::to_vec).ok_or_else(|| "no `k`".into()),
            _ => Ok(key.to_vec()),
        };
        self.each(stored, meter, key, |name, value| match name {
            "reversed" => value.strip_prefix(b"v").map(backwards).ok_or_else(|| "no `v`".into()),
            "prefixed" => Ok(value.iter().step_by(2).copied().collect()),
            _ => Ok(value.to_vec()),
        })
    }
}

/// The codecs of a node; a test adds and removes them.
#[derive(Default)]
pub(crate) struct TestCodecs(Mutex<HashMap<String, Arc<TestCodec>>>);

impl TestCodecs {
    pub(crate) fn with(codecs: &[&Arc<TestCodec>]) -> Arc<Self> {
        let found = Arc::new(Self::default());
        codecs.iter().for_each(|codec| found.add(codec));
        found
    }

    pub(crate) fn add(&self, codec: &Arc<TestCodec>) {
        self.0.lock().insert(codec.id.name.clone(), Arc::clone(codec));
    }

    /// Lets a codec of another digest take the name.
    pub(crate) fn replace(&self, name: &str) {
        let id = FormatId { digest: Some("ab".repeat(32)), ..format(name) };
        self.0.lock().insert(name.into(), Arc::new(TestCodec { id, controls: Controls::default() }));
    }
}

impl Codecs for TestCodecs {
    fn codec(&self, _volume: &str, format: &FormatId) -> Result<Arc<dyn Codec>, String> {
        match self.0.lock().get(&format.name) {
            Some(codec) => Ok(Arc::clone(codec) as Arc<dyn Codec>),
            None => Err("no such codec was added".into()),
        }
    }
}
