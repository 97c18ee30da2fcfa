//! Versions of keys at one revision.
//!
//! A [`Scan`] is opened in the gate and walked outside of it. For the current revision the latest column is
//! all there is to read, and a single key costs one look-up. For an older revision the answer for each key
//! is its latest version if that is old enough, else the newest old enough row of its history; both columns
//! are in key order, so that a range is one pass over the two.

use std::iter::Peekable;

use bytes::Bytes;

use super::columns::{self, Span};
use super::records::{Stored, Version};
use super::source::{Rows, Source};
use super::tree::Tree;
use crate::Result;
use crate::kv::KeyValue;

/// The keys of a span at one revision, opened and not yet walked. They come in key order.
pub(super) enum Scan {
    /// One key that was looked up already.
    Point(Option<KeyValue>),
    /// The current revision.
    Latest(Rows),
    /// An older revision.
    Historic(Box<Historic>),
}

impl Scan {
    /// Opens `span` at the revision `at`, where `current` is the current one.
    pub(super) fn open(source: Source<'_>, span: Span<'_>, at: i64, current: i64) -> Result<Self> {
        match span {
            Span::Point(key) => {
                let version = version_at(source, key, at, current)?;
                Ok(Self::Point(version.map(|version| version.into_kv(Bytes::copy_from_slice(key)))))
            }
            Span::Range(..) if at >= current => Ok(Self::Latest(source.rows(span.latest()))),
            Span::Range(..) => Ok(Self::Historic(Box::new(Historic {
                latest: Self::Latest(source.rows(span.latest())).peekable(),
                history: History { rows: source.rows(span.history()), ahead: None, at }.peekable(),
                at,
            }))),
        }
    }

    /// Walks what is left without decoding more than needed to count it.
    pub(super) fn count_rest(self) -> Result<i64> {
        let mut count = 0;
        match self {
            Self::Latest(rows) => {
                for row in rows {
                    row?;
                    count += 1;
                }
            }
            scan => {
                for kv in scan {
                    kv?;
                    count += 1;
                }
            }
        }
        Ok(count)
    }
}

impl Iterator for Scan {
    type Item = Result<KeyValue>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Point(kv) => kv.take().map(Ok),
            Self::Latest(rows) => {
                let row = rows.next()?;
                Some(row.and_then(|row| latest_kv(rows.tree(), row)))
            }
            Self::Historic(historic) => historic.next_kv().transpose(),
        }
    }
}

/// What a row of the latest column says.
pub(super) fn latest_kv(tree: &Tree, (key, value): (Bytes, Bytes)) -> Result<KeyValue> {
    match (columns::decode_latest(&key), Stored::decode(&value)) {
        (Some(user_key), Some(Stored::Version(version))) => Ok(version.into_kv(user_key)),
        _ => Err(tree.undecodable(&key)),
    }
}

/// The version of one key at the revision `at`. At the current revision this opens no iterator.
fn version_at(source: Source<'_>, key: &[u8], at: i64, current: i64) -> Result<Option<Version>> {
    if let Some((_, version)) = latest(source, key)?
        && version.modified <= at
    {
        return Ok(Some(version));
    }
    if at >= current {
        return Ok(None);
    }
    match source.rows(Some(columns::history_up_to(key, at))).next().transpose()? {
        None => Ok(None),
        Some((tree_key, value)) => match Stored::decode(&value) {
            Some(Stored::Version(version)) => Ok(Some(version)),
            Some(Stored::Tombstone) => Ok(None),
            None => Err(source.tree().undecodable(&tree_key)),
        },
    }
}

/// User keys of a span with their rows of the latest column, in key order, and nothing decoded.
pub(super) fn latest_rows(
    source: Source<'_>,
    span: Span<'_>,
) -> Result<impl Iterator<Item = Result<(Bytes, Bytes)>> + use<>> {
    let (point, rows) = match span {
        Span::Point(key) => {
            let row = source.get(&columns::latest(key))?;
            (row.map(|row| Ok((Bytes::copy_from_slice(key), row))), None)
        }
        Span::Range(..) => (None, Some(source.rows(span.latest()))),
    };
    let tree = source.tree().clone();
    let rows = rows.into_iter().flatten().map(move |row| {
        let (key, row) = row?;
        let user_key = columns::decode_latest(&key).ok_or_else(|| tree.undecodable(&key))?;
        Ok((user_key, row))
    });
    Ok(point.into_iter().chain(rows))
}

/// The version in a row of the latest column; its value shares the memory of the row.
pub(super) fn decode_version(tree: &Tree, key: &[u8], row: &Bytes) -> Result<Version> {
    match Stored::decode(row) {
        Some(Stored::Version(version)) => Ok(version),
        _ => Err(tree.undecodable(&columns::latest(key))),
    }
}

/// The newest version of one key, with its encoded form.
pub(super) fn latest(source: Source<'_>, key: &[u8]) -> Result<Option<(Bytes, Version)>> {
    let tree_key = columns::latest(key);
    let Some(bytes) = source.get(&tree_key)? else { return Ok(None) };
    let version = decode_version(source.tree(), key, &bytes)?;
    Ok(Some((bytes, version)))
}

/// A walk over the latest and the history column together.
pub(super) struct Historic {
    latest: Peekable<Scan>,
    history: Peekable<History>,
    at: i64,
}

impl Historic {
    fn next_kv(&mut self) -> Result<Option<KeyValue>> {
        loop {
            let order = match (self.latest.peek(), self.history.peek()) {
                (None, None) => return Ok(None),
                (Some(Err(_)), _) => return self.latest.next().transpose(),
                (_, Some(Err(_))) => return self.history.next().transpose().map(|_| None),
                (Some(Ok(_)), None) => std::cmp::Ordering::Less,
                (None, Some(Ok(_))) => std::cmp::Ordering::Greater,
                (Some(Ok(kv)), Some(Ok((key, _)))) => kv.key.cmp(key),
            };
            let latest = if order.is_le() { self.latest.next().transpose()? } else { None };
            let history = if order.is_ge() { self.history.next().transpose()? } else { None };
            if let Some(kv) = latest
                && kv.mod_revision <= self.at
            {
                return Ok(Some(kv));
            }
            if let Some((key, Some(version))) = history {
                return Ok(Some(version.into_kv(key)));
            }
        }
    }
}

/// For every key in a part of the history column, its newest version at or before a revision.
struct History {
    rows: Rows,
    /// The first row of the next key, when it was read to find the end of the key before it.
    ahead: Option<(Bytes, i64, Stored)>,
    at: i64,
}

impl History {
    fn next_row(&mut self) -> Result<Option<(Bytes, i64, Stored)>> {
        if let Some(row) = self.ahead.take() {
            return Ok(Some(row));
        }
        let Some((tree_key, value)) = self.rows.next().transpose()? else { return Ok(None) };
        match (columns::decode_history(&tree_key), Stored::decode(&value)) {
            (Some((key, revision)), Some(stored)) => Ok(Some((key, revision, stored))),
            _ => Err(self.rows.tree().undecodable(&tree_key)),
        }
    }

    fn next_key(&mut self) -> Result<Option<(Bytes, Option<Version>)>> {
        let Some((key, revision, stored)) = self.next_row()? else { return Ok(None) };
        let mut found = (revision <= self.at).then_some(stored);
        while let Some((next, revision, stored)) = self.next_row()? {
            if next != key {
                self.ahead = Some((next, revision, stored));
                break;
            }
            if found.is_none() && revision <= self.at {
                found = Some(stored);
            }
        }
        let version = match found {
            Some(Stored::Version(version)) => Some(version),
            Some(Stored::Tombstone) | None => None,
        };
        Ok(Some((key, version)))
    }
}

impl Iterator for History {
    type Item = Result<(Bytes, Option<Version>)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_key().transpose()
    }
}
