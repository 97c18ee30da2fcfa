//! Judges what a volume holds against what its writers remember.
//!
//! [`History::verify`] looks at every revision that is new since the last time and finds the one write that
//! made it: an acknowledged write at exactly the revision it was told, or an unknown one, each at most once.
//! A revision that nobody made, a gap and a missing acknowledged write are failures. The writes are replayed
//! in the order of their revisions into the [`Model`], whose content must then equal the volume's, field by
//! field, at the newest and at sampled older revisions; so must the hashes that the volume answers there and
//! at the revisions where it was asked for them before.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::{Context, Result, anyhow, bail, ensure};
use bytes::Bytes;
use mortise::pb::etcdserverpb as pb;
use mortise::pb::mvccpb::KeyValue;
use mortise_kernel::store::ContentHasher;
use pb::request_op::Request as OpRequest;
use rand::Rng as _;
use rand::rngs::StdRng;

use crate::client::Client;
use crate::load::Attempt;
use crate::model::Model;
use crate::request::{Refusal, Request};

/// Older revisions compared in full each time.
const SAMPLES: usize = 8;

/// Revisions that are read in whole each time, evenly chosen. Of others only what was acknowledged there is
/// read: to read one in whole takes the longer the more there are.
const READ_IN_WHOLE: i64 = 2_000;

/// All that is known about a volume's past.
#[derive(Debug, Default)]
pub struct History {
    model: Model,
    compacted: i64,
    /// Revisions whose hashes are compared again each time.
    hashed: BTreeSet<i64>,
    /// The server hashes in a way of its own.
    foreign_hashes: bool,
}

/// What [`History::verify`] found.
#[derive(Clone, Copy, Debug, Default)]
pub struct Verdict {
    /// Acknowledged writes that were looked for and found.
    pub acknowledged: usize,
    /// Unknown writes that turned out to have happened.
    pub appeared: usize,
    /// Unknown writes that did not happen.
    pub vanished: usize,
}

impl History {
    /// A history of a real etcd, which hashes in a way of its own: answers are judged, hashes are not.
    #[must_use]
    pub fn of_etcd() -> Self {
        Self { foreign_hashes: true, ..Self::default() }
    }

    /// The newest revision that was verified.
    #[must_use]
    pub fn revision(&self) -> i64 {
        self.model.revision()
    }

    /// Compacts the volume, and the model with it; does nothing at a revision that is compacted already.
    ///
    /// # Errors
    /// The server refuses.
    pub async fn compact(&mut self, client: &mut Client, revision: i64) -> Result<()> {
        if revision <= self.compacted {
            return Ok(());
        }
        let request = Request::Compact(pb::CompactionRequest { revision, physical: false });
        refused(client.send(&request).await)?;
        refused(self.model.apply(&request))?;
        self.compacted = revision;
        self.hashed = self.hashed.split_off(&revision);
        Ok(())
    }

    /// Judges the volume after `attempts`, which are all writes since the last time.
    ///
    /// # Errors
    /// What is wrong, with the revision and the write concerned.
    pub async fn verify(
        &mut self,
        client: &mut Client,
        attempts: Vec<Attempt>,
        rng: &mut StdRng,
    ) -> Result<Verdict> {
        let newest = refused(client.revision().await)?;
        let mut verdict = Verdict::default();
        let (mut acknowledged, mut unknown) = sort_out(attempts)?;
        let first = self.model.revision() + 1;
        let every = (newest - first) / READ_IN_WHOLE + 1;
        for revision in first..=newest {
            let known = acknowledged.remove(&revision);
            let in_whole = known.is_none() || revision % every == 0;
            let changes = if in_whole { Some(refused(changes_at(client, revision).await)?) } else { None };
            let request = if let Some(request) = known {
                verdict.acknowledged += 1;
                request
            } else {
                verdict.appeared += 1;
                self.attribute(client, revision, changes.as_deref().unwrap_or_default(), &mut unknown).await?
            };
            self.replay(client, revision, &request, changes).await?;
        }
        if let Some((revision, request)) = acknowledged.pop_first() {
            bail!(
                "lost: the volume ends at revision {newest}, but {revision} was acknowledged for {request:?}"
            );
        }
        verdict.vanished = unknown.len();
        self.compare_content(client, newest, rng).await?;
        self.compare_hashes(client, newest, rng).await?;
        Ok(verdict)
    }

    /// Finds the unknown write that made a revision.
    async fn attribute(
        &self,
        client: &mut Client,
        revision: i64,
        changes: &[KeyValue],
        unknown: &mut HashMap<String, Request>,
    ) -> Result<Request> {
        if let Some(change) = changes.first() {
            let id = id_of(&change.value);
            return unknown.remove(&id).with_context(|| {
                format!("revision {revision} was made by write {id}, which was never sent or was made before")
            });
        }
        // Nothing carries this revision, so it deleted a key: the one that is gone since the revision before.
        let left: Vec<Bytes> =
            refused(client.content(revision).await)?.into_iter().map(|kv| kv.key).collect();
        let before = self.model.content(revision - 1);
        let gone: Vec<&Bytes> = before.iter().map(|kv| &kv.key).filter(|key| !left.contains(key)).collect();
        let [key] = gone[..] else {
            bail!("revision {revision} is a gap: no key carries it and {} keys are gone", gone.len());
        };
        let id = unknown
            .iter()
            .find(|(_, request)| matches!(request, Request::Delete(delete) if delete.key == *key))
            .map(|(id, _)| id.clone())
            .with_context(|| format!("revision {revision} deleted {key:?}, which nobody asked for"))?;
        unknown.remove(&id).context("the write was just found")
    }

    /// Applies a write to the model; the model must change exactly what the volume changed, or where that was
    /// not read in whole, what the model changed must be there.
    async fn replay(
        &mut self,
        client: &mut Client,
        revision: i64,
        request: &Request,
        changes: Option<Vec<KeyValue>>,
    ) -> Result<()> {
        let answer = refused(self.model.apply(request))?;
        ensure!(
            answer.revision() == revision,
            "revision {revision} belongs to {request:?}, which makes none in the model"
        );
        let expected: Vec<KeyValue> =
            self.model.content(revision).into_iter().filter(|kv| kv.mod_revision == revision).collect();
        let changes = match changes {
            Some(changes) => changes,
            None => {
                let mut found = Vec::new();
                for kv in &expected {
                    found.extend(refused(key_at(client, &kv.key, revision).await)?);
                }
                found
            }
        };
        ensure!(
            expected == changes,
            "revision {revision} changed {changes:?}; the model, after {request:?}, says {expected:?}"
        );
        Ok(())
    }

    async fn compare_content(&self, client: &mut Client, newest: i64, rng: &mut StdRng) -> Result<()> {
        let oldest = self.compacted.max(1);
        let samples = (0..SAMPLES).map(|_| rng.random_range(oldest..=newest)).chain([oldest, newest]);
        for revision in samples {
            let found = refused(client.content(revision).await)?;
            let expected = self.model.content(revision);
            let differing = expected.iter().zip(&found).find(|(expected, found)| expected != found);
            ensure!(
                found == expected,
                "content at revision {revision} of {newest}: {} keys, expected {}; first difference {differing:?}",
                found.len(),
                expected.len()
            );
        }
        Ok(())
    }

    /// The volume's hashes are those of the model, now and at every revision where they were before.
    async fn compare_hashes(&mut self, client: &mut Client, newest: i64, rng: &mut StdRng) -> Result<()> {
        if self.foreign_hashes {
            return Ok(());
        }
        let oldest = self.compacted.max(1);
        self.hashed.extend([newest, rng.random_range(oldest..=newest), rng.random_range(oldest..=newest)]);
        for revision in &self.hashed {
            let (found, expected) =
                (refused(client.hash(*revision).await)?, expected_hash(self.model.content(*revision)));
            ensure!(
                found.hash == expected && found.hash_revision == *revision,
                "the hash at revision {revision} is {:08x} of revision {}; the model's is {expected:08x}",
                found.hash,
                found.hash_revision
            );
        }
        Ok(())
    }
}

/// Acknowledged writes by revision, and unknown ones by id.
fn sort_out(attempts: Vec<Attempt>) -> Result<(BTreeMap<i64, Request>, HashMap<String, Request>)> {
    let (mut acknowledged, mut unknown) = (BTreeMap::new(), HashMap::new());
    for (number, attempt) in attempts.into_iter().enumerate() {
        match attempt.outcome {
            Ok(revision) => {
                if let Some(other) = acknowledged.insert(revision, attempt.request.clone()) {
                    bail!("revision {revision} was acknowledged twice: {other:?} and {:?}", attempt.request);
                }
            }
            Err(_) => {
                let id = match &attempt.request {
                    Request::Put(put) => id_of(&put.value),
                    Request::Txn(txn) => match &txn.success[0].request {
                        Some(OpRequest::RequestPut(put)) => id_of(&put.value),
                        _ => bail!("a load's transaction begins with a put"),
                    },
                    _ => format!("delete {number}"),
                };
                unknown.insert(id, attempt.request);
            }
        }
    }
    Ok((acknowledged, unknown))
}

/// What `HashKV` must answer for a content.
fn expected_hash(content: Vec<KeyValue>) -> u32 {
    let mut hasher = ContentHasher::default();
    for kv in content {
        let KeyValue { key, value, create_revision, mod_revision, version, lease } = kv;
        let kv = mortise_kernel::kv::KeyValue { key, value, create_revision, mod_revision, version, lease };
        hasher.push(&kv);
    }
    mortise::api::fold_hash(hasher.hash())
}

fn id_of(value: &[u8]) -> String {
    let id = value.split(|byte| *byte == b'|').next().unwrap_or_default();
    String::from_utf8_lossy(id).into_owned()
}

/// The keys that carry exactly this revision, at this revision.
async fn changes_at(client: &mut Client, revision: i64) -> Result<Vec<KeyValue>, Refusal> {
    let all = Bytes::from_static(b"\0");
    let request = pb::RangeRequest {
        key: all.clone(),
        range_end: all,
        revision,
        min_mod_revision: revision,
        max_mod_revision: revision,
        ..Default::default()
    };
    Ok(client.kv.range(request).await?.into_inner().kvs)
}

/// A key at a revision.
async fn key_at(client: &mut Client, key: &Bytes, revision: i64) -> Result<Vec<KeyValue>, Refusal> {
    let request = pb::RangeRequest { key: key.clone(), revision, ..Default::default() };
    Ok(client.kv.range(request).await?.into_inner().kvs)
}

fn refused<T>(outcome: Result<T, Refusal>) -> Result<T> {
    outcome.map_err(|refusal| anyhow!("refused with {:?}: {}", refusal.code, refusal.message))
}
