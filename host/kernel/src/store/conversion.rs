//! The transform between two formats: decode with the codec of one, encode with that of the other.
//!
//! What the new codec makes of a record is verified by decoding it again, all of them unless only a sample
//! was asked for. The first record that is refused ends the rebuild; a [`Survey`] then counts the others, and
//! also answers beforehand whether a conversion would pass.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use super::columns::{self, Column};
use super::convert::{Row, Transform};
use super::records::Stored;
use crate::format::{Coder, FormatId, Meter, Records, Refusal, RefusedPart, check_stored_key};
use crate::{Error, Result};

/// Of this many records, one is verified when a sample is asked for.
const SAMPLED: u64 = 16;
/// Rows that are surveyed at a time.
const PORTION_ROWS: usize = 512;

/// How many records a format refuses. A record is one version of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Records looked at.
    pub records: u64,
    /// Those refused.
    pub refused: u64,
    /// The first of them.
    pub first: Option<Refusal>,
}

impl Survey {
    /// The error for a conversion to `format`, if one record is refused.
    ///
    /// # Errors
    /// [`Error::ConversionRefused`].
    pub fn check(self, format: &FormatId) -> Result<()> {
        match self.first {
            None => Ok(()),
            Some(first) => Err(Error::ConversionRefused {
                format: format.to_string(),
                refused: self.refused,
                first: Box::new(first),
            }),
        }
    }
}

/// Turns what one format stored into what another one stores.
#[derive(Debug)]
pub struct Conversion {
    from: Coder,
    to: Coder,
    /// Of so many records, one is verified.
    one_in: u64,
    turn: AtomicU64,
}

/// A stored key or value in the new form, or the name of the record (its key) and the reason against it.
type Converted = Result<Bytes, (Bytes, String)>;

impl Conversion {
    /// From one format to another.
    #[must_use]
    pub fn new(from: Coder, to: Coder) -> Self {
        Self { from, to, one_in: 1, turn: AtomicU64::new(0) }
    }

    /// Verifies a sample only.
    #[must_use]
    pub fn sampled(self) -> Self {
        Self { one_in: SAMPLED, ..self }
    }

    fn is_verified(&self) -> bool {
        self.turn.fetch_add(1, Ordering::Relaxed).is_multiple_of(self.one_in)
    }

    fn convert_keys(&self, stored: &[Bytes]) -> Result<Vec<Converted>> {
        let meter = Meter::of_long_work();
        let decoded = self.from.try_decode(Records::keys(stored), meter)?.keys;
        let keys: Vec<Bytes> = decoded.iter().map(|key| key.clone().unwrap_or_default()).collect();
        let encoded = self.to.encode(Records::keys(&keys), |_, _| self.is_verified(), meter)?.keys;
        let answers = stored.iter().zip(decoded).zip(encoded).map(|((stored, key), encoded)| {
            let key = key.map_err(|reason| (stored.clone(), undecodable(&reason)))?;
            let checked = encoded.and_then(|encoded| check_stored_key(&encoded).map(|()| encoded));
            checked.map_err(|reason| (key, reason))
        });
        Ok(answers.collect())
    }

    fn convert_values(&self, stored: &[Bytes]) -> Result<Vec<Result<Bytes, String>>> {
        let meter = Meter::of_long_work();
        let decoded = self.from.try_decode(Records::values(stored), meter)?.values;
        let values: Vec<Bytes> = decoded.iter().map(|value| value.clone().unwrap_or_default()).collect();
        let encoded = self.to.encode(Records::values(&values), |_, _| self.is_verified(), meter)?.values;
        let answers = decoded.into_iter().zip(encoded).map(|(value, encoded)| {
            value.map_err(|reason| undecodable(&reason))?;
            encoded
        });
        Ok(answers.collect())
    }

    /// Looks at the records of a portion of rows.
    fn survey_portion(&self, rows: &[Row], survey: &mut Survey) -> Result<()> {
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        for (key, value) in rows {
            let Some((key, value)) = record(key, value) else { continue };
            keys.push(key);
            values.push(value);
        }
        survey.records += keys.len() as u64;
        let converted = self.convert_keys(&keys)?.into_iter().zip(self.convert_values(&values)?);
        for ((key, value), stored) in converted.zip(&keys) {
            let refusal = match (key, value) {
                (Ok(_), Ok(_)) => continue,
                (Err((key, reason)), _) => Refusal::new(RefusedPart::Key, &key, reason),
                (_, Err(reason)) => Refusal::new(RefusedPart::Value, &self.name(stored), reason),
            };
            survey.refused += 1;
            survey.first.get_or_insert(refusal);
        }
        Ok(())
    }

    /// The user's key, for a message.
    fn name(&self, stored: &Bytes) -> Bytes {
        let stored_key = Records::keys(std::slice::from_ref(stored));
        let decoded = self.from.try_decode(stored_key, Meter::of_long_work());
        let decoded = decoded.ok().and_then(|decoded| decoded.keys.into_iter().next()?.ok());
        decoded.unwrap_or_else(|| stored.clone())
    }
}

fn undecodable(reason: &str) -> String {
    format!("its present form cannot be decoded: {reason}")
}

/// Stored key and value of a row that holds one version of a key; a tombstone has the empty value.
fn record(key: &Bytes, value: &Bytes) -> Option<(Bytes, Bytes)> {
    let stored_key = match columns::column(key)? {
        Column::Latest => columns::decode_latest(key)?,
        Column::History => columns::decode_history(key)?.0,
        Column::State | Column::Revisions => return None,
    };
    match Stored::decode(value)? {
        Stored::Version(version) => Some((stored_key, version.value)),
        Stored::Tombstone => Some((stored_key, Bytes::new())),
    }
}

impl Transform for Conversion {
    fn format(&self) -> FormatId {
        self.to.format()
    }

    fn applies_to(&self, coder: &Coder) -> Result<()> {
        if self.from.agrees_with(coder) {
            return Ok(());
        }
        let (expected, found) = (self.from.format(), coder.format());
        Err(Error::Busy(format!("the volume's format was {expected} and is {found} by now")))
    }

    fn keeps_order(&self) -> bool {
        self.from.keeps_order() && self.to.keeps_order()
    }

    fn keeps_content(&self) -> bool {
        true
    }

    fn keys(&self, stored: &[Bytes]) -> Result<Vec<Bytes>> {
        let refused =
            |(key, reason): (Bytes, String)| self.to.refused(Refusal::new(RefusedPart::Key, &key, reason));
        self.convert_keys(stored)?.into_iter().map(|key| key.map_err(refused)).collect()
    }

    fn values(&self, stored: &[Bytes]) -> Result<Vec<Bytes>> {
        // Whose value it is, the survey tells.
        let refused = |reason| self.to.refused(Refusal::new(RefusedPart::Value, b"", reason));
        self.convert_values(stored)?.into_iter().map(|value| value.map_err(refused)).collect()
    }

    fn survey(
        &self,
        rows: &mut dyn Iterator<Item = Result<Row>>,
        each: &mut dyn FnMut(u64) -> Result<()>,
    ) -> Result<Survey> {
        let mut survey = Survey::default();
        loop {
            let portion = rows.take(PORTION_ROWS).collect::<Result<Vec<_>>>()?;
            if portion.is_empty() {
                return Ok(survey);
            }
            let bytes = portion.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum();
            self.survey_portion(&portion, &mut survey)?;
            each(bytes)?;
        }
    }

    fn finish(&self) -> Result<()> {
        Ok(())
    }
}
