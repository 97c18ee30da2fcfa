//! A codec whose every answer is checked.
//!
//! Whatever is encoded to be stored is decoded at once and compared, so that only what certainly comes back
//! is ever stored. Long lists are cut into calls of bounded size.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::codec::{Codec, CodecFault, Codecs, Meter, Recoded};
use super::id::FormatId;
use crate::kv::{KeyValue, MAX_KEY_BYTES};
use crate::{Error, Result};

/// Longest stored form of a value, in bytes.
pub const MAX_STORED_VALUE_BYTES: usize = 16 * 1024 * 1024;

/// Most records of one call.
const CALL_RECORDS: usize = 512;
/// A call takes no further record once it has this many bytes.
const CALL_BYTES: usize = 512 * 1024;
/// Bytes of a key that a message shows.
const SHOWN_BYTES: usize = 80;

/// What was refused of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedPart {
    /// The key.
    Key,
    /// The value.
    Value,
}

/// One record that a format cannot hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What is refused of it.
    pub part: RefusedPart,
    /// The record's key, escaped and shortened.
    pub key: String,
    /// The codec's reason.
    pub reason: String,
}

impl Refusal {
    pub(crate) fn new(part: RefusedPart, key: &[u8], reason: String) -> Self {
        Self { part, key: shown(key), reason }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.part {
            RefusedPart::Key => write!(f, "the key {}: {}", self.key, self.reason),
            RefusedPart::Value => write!(f, "the value of the key {}: {}", self.key, self.reason),
        }
    }
}

/// A key as a message shows it: escaped, and cut when it is long.
pub(crate) fn shown(key: &[u8]) -> String {
    match key.get(..SHOWN_BYTES) {
        Some(start) if key.len() > SHOWN_BYTES => {
            format!("\"{}…\" ({} bytes)", start.escape_ascii(), key.len())
        }
        _ => format!("\"{}\"", key.escape_ascii()),
    }
}

/// One of the functions of a codec.
#[derive(Clone, Copy, Debug)]
enum Call {
    EncodeKeys,
    DecodeKeys,
    EncodeValues,
    DecodeValues,
}

/// The format of one store: natural, or a codec whose answers are checked. Clones share the codec.
#[derive(Clone, Default)]
pub struct Coder(Option<Arc<dyn Codec>>);

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
        Self(Some(codec))
    }

    /// The coder of a format; `path` is what asks for it.
    ///
    /// # Errors
    /// [`Error::CodecMissing`].
    pub(crate) fn find(codecs: &dyn Codecs, format: &FormatId, path: &Path) -> Result<Self> {
        if format.is_natural() {
            return Ok(Self::natural());
        }
        let missing = |reason| Error::CodecMissing {
            path: path.to_path_buf(),
            format: Box::new(format.clone()),
            reason,
        };
        let codec = codecs.codec(format).map_err(missing)?;
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
        self.0.as_ref().map_or_else(FormatId::natural, |codec| codec.id().clone())
    }

    /// Whether stored keys order as the keys themselves do.
    #[must_use]
    pub fn keeps_order(&self) -> bool {
        self.0.as_ref().is_none_or(|codec| codec.keeps_order())
    }

    /// Whether both make the same stored forms.
    pub(crate) fn agrees_with(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(one), Some(other)) => Arc::ptr_eq(one, other) || one.id() == other.id(),
            _ => false,
        }
    }

    fn fault(&self, fault: CodecFault) -> Error {
        Error::CodecFault { format: self.format().to_string(), fault }
    }

    /// The error for a refusal.
    pub(crate) fn refused(&self, refusal: Refusal) -> Error {
        Error::Refused { format: self.format().to_string(), refusal: Box::new(refusal) }
    }

    fn call(&self, call: Call, records: &[Bytes], meter: Meter) -> Result<Vec<Recoded>> {
        let Some(codec) = &self.0 else { return Ok(records.iter().cloned().map(Ok).collect()) };
        let mut answers = Vec::with_capacity(records.len());
        let mut rest = records;
        while !rest.is_empty() {
            let (batch, behind) = rest.split_at(batch_length(rest));
            let answered = match call {
                Call::EncodeKeys => codec.encode_keys(batch, meter),
                Call::DecodeKeys => codec.decode_keys(batch, meter),
                Call::EncodeValues => codec.encode_values(batch, meter),
                Call::DecodeValues => codec.decode_values(batch, meter),
            };
            let answered = answered.map_err(|fault| self.fault(fault))?;
            if answered.len() != batch.len() {
                let detail = format!("it gave {} answers to {} records", answered.len(), batch.len());
                return Err(self.fault(CodecFault::Broken(detail)));
            }
            answers.extend(answered);
            rest = behind;
        }
        Ok(answers)
    }

    /// The stored forms of keys. Those that `stored` tells by their place are verified; the others only bound
    /// a range.
    pub(crate) fn encode_keys(
        &self,
        keys: &[Bytes],
        stored: impl Fn(usize) -> bool,
        meter: Meter,
    ) -> Result<Vec<Recoded>> {
        let mut encoded = self.call(Call::EncodeKeys, keys, meter)?;
        self.verify(Call::DecodeKeys, keys, &mut encoded, stored, meter)?;
        Ok(encoded)
    }

    /// The stored forms of values; those that `verified` tells by their place are verified.
    pub(crate) fn encode_values(
        &self,
        values: &[Bytes],
        verified: impl Fn(usize) -> bool,
        meter: Meter,
    ) -> Result<Vec<Recoded>> {
        let (places, full) = not_empty(values);
        let mut encoded = self.call(Call::EncodeValues, &full, meter)?;
        for answer in &mut encoded {
            let length = answer.as_ref().map_or(1, Bytes::len);
            if length == 0 || length > MAX_STORED_VALUE_BYTES {
                *answer = Err(format!(
                    "its stored form has {length} bytes; expected 1 to {MAX_STORED_VALUE_BYTES}"
                ));
            }
        }
        self.verify(Call::DecodeValues, &full, &mut encoded, |nth| verified(places[nth]), meter)?;
        let mut all = vec![Ok(Bytes::new()); values.len()];
        places.into_iter().zip(encoded).for_each(|(place, answer)| all[place] = answer);
        Ok(all)
    }

    /// Turns those answers into refusals that do not lead back to their records.
    fn verify(
        &self,
        back: Call,
        records: &[Bytes],
        encoded: &mut [Recoded],
        wanted: impl Fn(usize) -> bool,
        meter: Meter,
    ) -> Result<()> {
        if self.is_natural() {
            return Ok(());
        }
        let (mut places, mut stored) = (Vec::new(), Vec::new());
        for (place, answer) in encoded.iter().enumerate() {
            if let Ok(bytes) = answer
                && wanted(place)
            {
                places.push(place);
                stored.push(bytes.clone());
            }
        }
        for (place, decoded) in places.into_iter().zip(self.call(back, &stored, meter)?) {
            match decoded {
                Ok(found) if found == records[place] => {}
                Ok(_) => encoded[place] = Err("it comes back changed from its stored form".to_owned()),
                Err(reason) => encoded[place] = Err(format!("its stored form cannot be decoded: {reason}")),
            }
        }
        Ok(())
    }

    /// The keys that stored forms stand for, each with a place for the reason why it cannot be told.
    pub(crate) fn try_decode_keys(&self, keys: &[Bytes], meter: Meter) -> Result<Vec<Recoded>> {
        self.call(Call::DecodeKeys, keys, meter)
    }

    /// The values that stored forms stand for, each with a place for the reason why it cannot be told.
    pub(crate) fn try_decode_values(&self, values: &[Bytes], meter: Meter) -> Result<Vec<Recoded>> {
        let (places, full) = not_empty(values);
        let mut all = vec![Ok(Bytes::new()); values.len()];
        let decoded = self.call(Call::DecodeValues, &full, meter)?;
        places.into_iter().zip(decoded).for_each(|(place, answer)| all[place] = answer);
        Ok(all)
    }

    /// The values that stored forms stand for.
    pub(crate) fn decode_values(&self, values: &[Bytes], meter: Meter) -> Result<Vec<Bytes>> {
        self.all(values, self.try_decode_values(values, meter)?)
    }

    /// Every answer must be there: what is stored was verified before.
    fn all(&self, stored: &[Bytes], decoded: Vec<Recoded>) -> Result<Vec<Bytes>> {
        let told = |(stored, answer): (&Bytes, Recoded)| {
            answer.map_err(|reason| {
                let detail = format!("it cannot decode {}, which is stored: {reason}", shown(stored));
                self.fault(CodecFault::Broken(detail))
            })
        };
        stored.iter().zip(decoded).map(told).collect()
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
        let mut kvs: Vec<_> = kvs.into_iter().collect();
        let keys: Vec<_> = kvs.iter().map(|kv| kv.key.clone()).collect();
        let keys = self.all(&keys, self.try_decode_keys(&keys, meter)?)?;
        kvs.iter_mut().zip(keys).for_each(|(kv, key)| kv.key = key);
        self.decode_values_of(kvs, meter)
    }

    /// Brings values back into user form.
    pub(crate) fn decode_values_of<'a>(
        &self,
        kvs: impl IntoIterator<Item = &'a mut KeyValue>,
        meter: Meter,
    ) -> Result<()> {
        if self.is_natural() {
            return Ok(());
        }
        let kvs: Vec<_> = kvs.into_iter().collect();
        let values: Vec<_> = kvs.iter().map(|kv| kv.value.clone()).collect();
        let values = self.decode_values(&values, meter)?;
        kvs.into_iter().zip(values).for_each(|(kv, value)| kv.value = value);
        Ok(())
    }
}

/// Records that the next call takes; at least one.
fn batch_length(records: &[Bytes]) -> usize {
    let mut bytes = 0;
    let fits = |record: &&Bytes| {
        let fits = bytes < CALL_BYTES;
        bytes += record.len();
        fits
    };
    records.iter().take(CALL_RECORDS).take_while(fits).count()
}

fn not_empty(values: &[Bytes]) -> (Vec<usize>, Vec<Bytes>) {
    let full = values.iter().enumerate().filter(|(_, value)| !value.is_empty());
    full.map(|(place, value)| (place, value.clone())).unzip()
}

/// Why a stored key is too long, if it is.
pub(crate) fn check_stored_key(key: &[u8]) -> Result<(), String> {
    if key.len() <= MAX_KEY_BYTES {
        return Ok(());
    }
    Err(format!("its stored form has {} bytes; at most {MAX_KEY_BYTES} are allowed", key.len()))
}
