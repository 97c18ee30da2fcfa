//! A codec whose every answer is checked.
//!
//! Whatever is encoded to be stored is decoded at once and compared, so that only what certainly comes back
//! is ever stored. A call is what costs, so keys and values go together and a put takes two: encode, and
//! decode to compare. A read of one key takes two as well: encode the key, and, after the look-up, decode the
//! encoded key to compare together with the value that was found. Long lists are cut into calls of bounded
//! size.

use std::fmt;
use std::path::Path;
use std::slice;
use std::sync::Arc;

use bytes::Bytes;

use super::codec::{Codec, CodecFault, Codecs, Meter, Recoded, RecodedRecords, Records};
use super::id::FormatId;
use super::pace::{Pace, beside_workers};
use super::refusal::{Refusal, RefusedPart, shown};
use crate::kv::{KeyValue, MAX_KEY_BYTES};
use crate::{Error, Result};

/// Longest stored form of a value, in bytes.
pub const MAX_STORED_VALUE_BYTES: usize = 16 * 1024 * 1024;

/// Most records of one call.
const CALL_RECORDS: usize = 512;
/// A call takes no further record once it has this many bytes.
const CALL_BYTES: usize = 512 * 1024;

/// A function of a codec.
#[derive(Clone, Copy, Debug)]
enum Way {
    Encode,
    Decode,
}

/// The format of one store: natural, or a codec whose answers are checked. Clones share the codec.
#[derive(Clone, Default)]
pub struct Coder(Option<Arc<Paced>>);

/// A codec, and how quick it has been.
struct Paced {
    codec: Arc<dyn Codec>,
    pace: Pace,
}

impl fmt::Debug for Coder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Coder").field(&self.format()).finish()
    }
}

impl Coder {
    /// Bytes as they are.
    #[must_use]
    pub fn natural() -> Self {
        Self(None)
    }

    /// What `codec` makes of them.
    pub fn new(codec: Arc<dyn Codec>) -> Self {
        Self(Some(Arc::new(Paced { codec, pace: Pace::new() })))
    }

    /// The coder of a format for a volume; `path` is what asks for it.
    ///
    /// # Errors
    /// [`Error::CodecMissing`].
    pub(crate) fn find(codecs: &dyn Codecs, volume: &str, format: &FormatId, path: &Path) -> Result<Self> {
        if format.is_natural() {
            return Ok(Self::natural());
        }
        let missing = |reason| Error::CodecMissing {
            path: path.to_path_buf(),
            format: Box::new(format.clone()),
            reason,
        };
        let codec = codecs.codec(volume, format).map_err(missing)?;
        if codec.id() != format {
            return Err(missing(format!("the one that was found is that of {}", codec.id())));
        }
        Ok(Self::new(codec))
    }

    /// Whether nothing is encoded.
    #[must_use]
    pub fn is_natural(&self) -> bool {
        self.0.is_none()
    }

    /// The format.
    #[must_use]
    pub fn format(&self) -> FormatId {
        self.0.as_ref().map_or_else(FormatId::natural, |paced| paced.codec.id().clone())
    }

    /// Whether stored keys order as the keys themselves do.
    #[must_use]
    pub fn keeps_order(&self) -> bool {
        self.0.as_ref().is_none_or(|paced| paced.codec.keeps_order())
    }

    /// Whether both make the same stored forms.
    pub(crate) fn agrees_with(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(one), Some(other)) => Arc::ptr_eq(one, other) || one.codec.id() == other.codec.id(),
            _ => false,
        }
    }

    /// Whether a small request may do its work with this coder on a worker of the runtime.
    pub(crate) fn is_quick(&self) -> bool {
        self.0.as_ref().is_none_or(|paced| paced.pace.is_quick())
    }

    /// Does a small request's work with this coder, and takes its time.
    pub(crate) fn run<T>(&self, work: impl FnOnce() -> T) -> T {
        match &self.0 {
            Some(paced) => paced.pace.run(work),
            None => work(),
        }
    }

    fn fault(&self, fault: CodecFault) -> Error {
        Error::CodecFault { format: self.format().to_string(), fault }
    }

    /// The error for a refusal.
    pub(crate) fn refused(&self, refusal: Refusal) -> Error {
        Error::Refused { format: self.format().to_string(), refusal: Box::new(refusal) }
    }

    fn call(&self, way: Way, records: Records<'_>, meter: Meter) -> Result<RecodedRecords> {
        let Some(Paced { codec, .. }) = self.0.as_deref() else {
            let same = |records: &[Bytes]| records.iter().cloned().map(Ok).collect();
            return Ok(RecodedRecords { keys: same(records.keys), values: same(records.values) });
        };
        let mut answers = RecodedRecords::default();
        let mut rest = records;
        while !(rest.keys.is_empty() && rest.values.is_empty()) {
            let (batch, behind) = split(rest);
            let work = || match way {
                Way::Encode => codec.encode(batch, meter),
                Way::Decode => codec.decode(batch, meter),
            };
            let answered = match meter {
                // Apply runs on a worker, and what it calls has more fuel than any request's.
                Meter::Apply => beside_workers(work),
                // Nobody waits for what a long list would still take.
                Meter::Request(deadline) if deadline.left().is_zero() => Err(CodecFault::TimedOut),
                Meter::Request(_) => work(),
            };
            let answered = answered.map_err(|fault| self.fault(fault))?;
            for (what, answered, given) in [
                ("keys", answered.keys.len(), batch.keys.len()),
                ("values", answered.values.len(), batch.values.len()),
            ] {
                if answered != given {
                    let detail = format!("it gave {answered} answers to {given} {what}");
                    return Err(self.fault(CodecFault::Broken(detail)));
                }
            }
            answers.keys.extend(answered.keys);
            answers.values.extend(answered.values);
            rest = behind;
        }
        Ok(answers)
    }

    /// The stored forms of keys and values. Those that `verified` tells by their place among the keys or the
    /// values are decoded again and compared, all with one further call; who leaves a key out either bounds a
    /// range with it or verifies it later (see [`Coder::decode_found`]).
    pub(crate) fn encode(
        &self,
        records: Records<'_>,
        verified: impl Fn(RefusedPart, usize) -> bool,
        meter: Meter,
    ) -> Result<RecodedRecords> {
        let (places, full) = not_empty(records.values);
        let given = Records { keys: records.keys, values: &full };
        let mut encoded = self.call(Way::Encode, given, meter)?;
        for answer in &mut encoded.values {
            let length = answer.as_ref().map_or(1, Bytes::len);
            if length == 0 || length > MAX_STORED_VALUE_BYTES {
                *answer = Err(format!(
                    "its stored form has {length} bytes; expected 1 to {MAX_STORED_VALUE_BYTES}"
                ));
            }
        }
        let verified = |part, nth: usize| match part {
            RefusedPart::Key => verified(part, nth),
            RefusedPart::Value => verified(part, places[nth]),
        };
        self.verify(given, &mut encoded, verified, meter)?;
        encoded.values = spread(encoded.values, &places, records.values.len());
        Ok(encoded)
    }

    /// Turns those answers into refusals that do not lead back to their records.
    fn verify(
        &self,
        given: Records<'_>,
        encoded: &mut RecodedRecords,
        verified: impl Fn(RefusedPart, usize) -> bool,
        meter: Meter,
    ) -> Result<()> {
        if self.is_natural() {
            return Ok(());
        }
        let wanted = |part, answers: &[Recoded]| -> (Vec<usize>, Vec<Bytes>) {
            let taken =
                answers.iter().enumerate().filter_map(|(nth, answer)| Some((nth, answer.as_ref().ok()?)));
            taken.filter(|(nth, _)| verified(part, *nth)).map(|(nth, bytes)| (nth, bytes.clone())).unzip()
        };
        let (of_keys, keys) = wanted(RefusedPart::Key, &encoded.keys);
        let (of_values, values) = wanted(RefusedPart::Value, &encoded.values);
        let back = self.call(Way::Decode, Records { keys: &keys, values: &values }, meter)?;
        for (places, back, given, encoded) in [
            (of_keys, back.keys, given.keys, &mut encoded.keys),
            (of_values, back.values, given.values, &mut encoded.values),
        ] {
            for (place, back) in places.into_iter().zip(back) {
                if let Err(reason) = self.check_back(&given[place], back) {
                    encoded[place] = Err(reason);
                }
            }
        }
        Ok(())
    }

    /// What stored forms stand for, each with a place for the reason why it cannot be told.
    pub(crate) fn try_decode(&self, stored: Records<'_>, meter: Meter) -> Result<RecodedRecords> {
        let (places, full) = not_empty(stored.values);
        let mut decoded = self.call(Way::Decode, Records { keys: stored.keys, values: &full }, meter)?;
        decoded.values = spread(decoded.values, &places, stored.values.len());
        Ok(decoded)
    }

    /// The values that stored forms stand for.
    pub(crate) fn decode_values(&self, values: &[Bytes], meter: Meter) -> Result<Vec<Bytes>> {
        self.all(values, self.try_decode(Records::values(values), meter)?.values)
    }

    /// Every answer must be there: what is stored was verified before.
    fn all(&self, stored: &[Bytes], decoded: Vec<Recoded>) -> Result<Vec<Bytes>> {
        let told = |(stored, answer): (&Bytes, Recoded)| {
            answer.map_err(|reason| {
                let detail = format!("it cannot decode {}, which is stored: {reason}", shown(stored));
                self.found_wrong(&detail);
                self.fault(CodecFault::Broken(detail))
            })
        };
        stored.iter().zip(decoded).map(told).collect()
    }

    /// Why a stored form does not lead back to its record, if it does not.
    fn check_back(&self, record: &Bytes, back: Recoded) -> Result<(), String> {
        let reason = match back {
            Ok(found) if found == record => return Ok(()),
            Ok(_) => "it comes back changed from its stored form".to_owned(),
            Err(reason) => format!("its stored form cannot be decoded: {reason}"),
        };
        self.found_wrong(&format!("{}: {reason}", shown(record)));
        Err(reason)
    }

    fn found_wrong(&self, detail: &str) {
        if let Some(paced) = &self.0 {
            paced.codec.found_wrong(detail);
        }
    }

    /// Brings what was found under one key into user form, and verifies with the same call that `stored`, by
    /// which it was looked for, is the stored form of `key`. That holds for «nothing was found» as well: it
    /// is an answer about `key` only if `stored` leads back to it.
    pub(crate) fn decode_found(
        &self,
        key: &Bytes,
        stored: &Bytes,
        found: &mut [KeyValue],
        meter: Meter,
    ) -> Result<()> {
        if self.is_natural() {
            return Ok(());
        }
        let values: Vec<_> = found.iter().map(|kv| kv.value.clone()).collect();
        let decoded = self.try_decode(Records { keys: slice::from_ref(stored), values: &values }, meter)?;
        for back in decoded.keys {
            self.check_back(key, back)
                .map_err(|reason| self.refused(Refusal::new(RefusedPart::Key, key, reason)))?;
        }
        for (kv, value) in found.iter_mut().zip(self.all(&values, decoded.values)?) {
            kv.key = key.clone();
            kv.value = value;
        }
        Ok(())
    }

    /// Brings keys and values back into user form.
    pub(crate) fn decode_kvs<'a>(
        &self,
        kvs: impl IntoIterator<Item = &'a mut KeyValue>,
        meter: Meter,
    ) -> Result<()> {
        if self.is_natural() {
            return Ok(());
        }
        let kvs: Vec<_> = kvs.into_iter().collect();
        let (keys, values): (Vec<_>, Vec<_>) =
            kvs.iter().map(|kv| (kv.key.clone(), kv.value.clone())).unzip();
        let decoded = self.try_decode(Records { keys: &keys, values: &values }, meter)?;
        let (keys, values) = (self.all(&keys, decoded.keys)?, self.all(&values, decoded.values)?);
        for (kv, (key, value)) in kvs.into_iter().zip(keys.into_iter().zip(values)) {
            kv.key = key;
            kv.value = value;
        }
        Ok(())
    }
}

/// The records of the next call, at least one, and those behind it.
fn split(records: Records<'_>) -> (Records<'_>, Records<'_>) {
    let (mut bytes, mut count) = (0, 0);
    let mut fit = |records: &[Bytes]| {
        let fits = |record: &&Bytes| {
            let fits = bytes < CALL_BYTES && count < CALL_RECORDS;
            bytes += record.len();
            count += 1;
            fits
        };
        records.iter().take_while(fits).count()
    };
    let (keys, more_keys) = records.keys.split_at(fit(records.keys));
    let (values, more_values) = records.values.split_at(fit(records.values));
    (Records { keys, values }, Records { keys: more_keys, values: more_values })
}

fn not_empty(values: &[Bytes]) -> (Vec<usize>, Vec<Bytes>) {
    let full = values.iter().enumerate().filter(|(_, value)| !value.is_empty());
    full.map(|(place, value)| (place, value.clone())).unzip()
}

/// Puts answers into their places among as many, the others being the empty value's.
fn spread(answers: Vec<Recoded>, places: &[usize], count: usize) -> Vec<Recoded> {
    if answers.len() == count {
        return answers;
    }
    let mut all = vec![Ok(Bytes::new()); count];
    places.iter().zip(answers).for_each(|(&place, answer)| all[place] = answer);
    all
}

/// Why a stored key is too long, if it is.
pub(crate) fn check_stored_key(key: &[u8]) -> Result<(), String> {
    if key.len() <= MAX_KEY_BYTES {
        return Ok(());
    }
    Err(format!("its stored form has {} bytes; at most {MAX_KEY_BYTES} are allowed", key.len()))
}
