//! Rows of one format made into rows of another.
//!
//! A store keeps keys and values as its format encodes them; those are the *stored* keys and values. They
//! occur in three columns: a key with its latest version, with each superseded one, and in the list of what a
//! revision touched. Here rows are taken apart, their keys and values go through a [`Transform`] in one batch
//! each, and the rows are put together again. The state row holds neither and stays as it is.
//!
//! This module must not know codecs.

use bytes::Bytes;

use super::Survey;
use super::columns::{self, Column};
use super::records::{self, Stored, Touch, Version};
use crate::format::{Coder, FormatId};
use crate::kv::MAX_KEY_BYTES;
use crate::{Error, Result};

/// Key and value of one row of the tree.
pub type Row = (Bytes, Bytes);

/// Turns stored keys and values of one format into those of another.
///
/// Every answer must be a pure function of the bytes: the same key occurs in several rows and must become
/// the same in all of them.
pub trait Transform: Send + Sync + 'static {
    /// The format that this makes.
    fn format(&self) -> FormatId;

    /// Judges whether this can be applied to a store with this coder.
    ///
    /// # Errors
    /// It was made for another one.
    fn applies_to(&self, coder: &Coder) -> Result<()> {
        let _ = coder;
        Ok(())
    }

    /// Whether users see the same content before and after, so that its fingerprints are compared.
    fn keeps_content(&self) -> bool {
        false
    }

    /// Whether any two stored keys are in the same order before and after.
    fn keeps_order(&self) -> bool;

    /// The new stored key of each stored key, in the same order.
    ///
    /// # Errors
    /// A key cannot be converted; the rebuild ends and the volume stays as it was.
    fn keys(&self, stored: &[Bytes]) -> Result<Vec<Bytes>>;

    /// The new stored value of each stored value, in the same order.
    ///
    /// # Errors
    /// As for [`Transform::keys`].
    fn values(&self, stored: &[Bytes]) -> Result<Vec<Bytes>>;

    /// Called when a record was refused, with the rows from the one on that held it: how many are refused in
    /// all. `each` is told the bytes of rows looked at, and may end this.
    ///
    /// # Errors
    /// What the iterator or `each` answers, or the codec failed.
    fn survey(
        &self,
        rows: &mut dyn Iterator<Item = Result<Row>>,
        each: &mut dyn FnMut(u64) -> Result<()>,
    ) -> Result<Survey> {
        let _ = (rows, each);
        Ok(Survey::default())
    }

    /// Called once after the last row was converted and before anything is switched, so that what was refused
    /// on the way can be reported as a whole.
    ///
    /// # Errors
    /// The conversion must not be completed; the rebuild ends and the volume stays as it was.
    fn finish(&self) -> Result<()>;
}

/// A row without its keys and value, which go through the transform.
enum Skeleton {
    Latest(Version),
    History(i64, Option<Version>),
    Revision(Bytes, Vec<Touch>),
    Untouched(Row),
}

/// Converts rows, in the order given.
///
/// # Errors
/// The transform refuses something, or a row cannot be decoded.
pub(crate) fn convert(rows: Vec<Row>, transform: &dyn Transform) -> Result<Vec<Row>> {
    let (mut keys, mut values) = (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()));
    let mut skeletons = Vec::with_capacity(rows.len());
    for row in rows {
        skeletons.push(take_apart(row, &mut keys, &mut values)?);
    }
    let mut keys = answered("keys", keys.len(), transform.keys(&keys)?)?;
    let mut values = answered("values", values.len(), transform.values(&values)?)?;
    skeletons.into_iter().map(|skeleton| put_together(skeleton, &mut keys, &mut values)).collect()
}

fn take_apart(row: Row, keys: &mut Vec<Bytes>, values: &mut Vec<Bytes>) -> Result<Skeleton> {
    let (key, value) = row;
    let undecodable = || Error::Storage {
        context: "converting a row",
        detail: format!("the row with the key {} cannot be decoded", key.escape_ascii()),
    };
    let mut version = |stored| match stored {
        Stored::Version(mut version) => {
            values.push(std::mem::take(&mut version.value));
            Some(version)
        }
        Stored::Tombstone => None,
    };
    match columns::column(&key).ok_or_else(undecodable)? {
        Column::Latest => {
            let user_key = columns::decode_latest(&key).ok_or_else(undecodable)?;
            let stored = Stored::decode(&value).ok_or_else(undecodable)?;
            let version = version(stored).ok_or_else(undecodable)?;
            keys.push(user_key);
            Ok(Skeleton::Latest(version))
        }
        Column::History => {
            let (user_key, revision) = columns::decode_history(&key).ok_or_else(undecodable)?;
            let version = version(Stored::decode(&value).ok_or_else(undecodable)?);
            keys.push(user_key);
            Ok(Skeleton::History(revision, version))
        }
        Column::Revisions => {
            let touches = records::decode_touches(&value).ok_or_else(undecodable)?;
            keys.extend(touches.iter().map(|touch| touch.key.clone()));
            Ok(Skeleton::Revision(key, touches))
        }
        Column::State => Ok(Skeleton::Untouched((key, value))),
    }
}

/// What a transform answered, if it is as much as it was asked for.
fn answered(what: &str, expected: usize, found: Vec<Bytes>) -> Result<std::vec::IntoIter<Bytes>> {
    if found.len() == expected {
        return Ok(found.into_iter());
    }
    Err(Error::Internal(format!("a transform was given {expected} {what} and answered {}", found.len())))
}

fn put_together(
    skeleton: Skeleton,
    keys: &mut impl Iterator<Item = Bytes>,
    values: &mut impl Iterator<Item = Bytes>,
) -> Result<Row> {
    let too_few = || Error::Internal("a converted row lacks a part".into());
    let mut next_key = || {
        let key = keys.next().ok_or_else(too_few)?;
        if key.len() > MAX_KEY_BYTES {
            return Err(Error::RequestTooLarge { found: key.len(), limit: MAX_KEY_BYTES });
        }
        Ok(key)
    };
    let mut fill = |mut version: Version| {
        version.value = values.next().ok_or_else(too_few)?;
        Ok::<_, Error>(version.encode())
    };
    match skeleton {
        Skeleton::Latest(version) => Ok((columns::latest(&next_key()?), fill(version)?)),
        Skeleton::History(revision, version) => {
            let row = version.map_or_else(|| Ok(records::tombstone()), fill)?;
            Ok((columns::history(&next_key()?, revision), row))
        }
        Skeleton::Revision(key, mut touches) => {
            for touch in &mut touches {
                touch.key = next_key()?;
            }
            Ok((key, records::encode_touches(&touches)))
        }
        Skeleton::Untouched(row) => Ok(row),
    }
}
