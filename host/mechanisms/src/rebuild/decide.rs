//! Which work may begin, and what the catalog says before and after it: functions of the catalog's model.
//!
//! A volume's row names every format that its data may be in: the one it has, the one it is being converted
//! to (written before the conversion begins), and that of a generation that is kept. So a crash at any point
//! leaves a row by which the right component is still protected, and the generation on the disk, which is the
//! truth, is one of those that the row names.

use std::num::NonZeroU64;
use std::time::Duration;

use mortise_kernel::format::FormatId;
use mortise_plugin_runtime::World;

use super::observe::{JobKind, JobResult, JobState};
use super::tell;
use crate::catalog::{Change, JobRow, KeptRow, Key, Model, NextJobId, ROW_VERSION, VolumeRow, VolumeState};
use crate::cause::Cause;
use crate::plugins::{Attempt, config_text, format_name, pick_format};
use crate::{Error, Result};

/// Jobs that have ended and are still listed.
pub(crate) const KEPT_JOBS: usize = 50;
/// Of those, how many one change drops; the others wait for the next one.
const DROPPED_AT_ONCE: usize = 16;

/// What is to be done, and how fast.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRequest {
    /// Bytes of keys and values copied in a second at most; `None` for no limit.
    pub rate: Option<NonZeroU64>,
    /// What is to be done.
    pub work: JobWork,
}

/// What a job is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobWork {
    /// Copy the data into a new generation of the same format.
    Rebuild,
    /// Copy the data into a new generation of another format.
    Convert {
        /// That format.
        to: WantedFormat,
        /// Verify only some of the records.
        sample: bool,
        /// Encode and verify every record, and change nothing.
        dry_run: bool,
        /// Keep the previous generation for this long.
        keep_previous: Option<Duration>,
    },
    /// Go back to the format of the previous generation, which is kept.
    Undo,
}

impl JobWork {
    pub(super) fn kind(&self) -> JobKind {
        match self {
            Self::Rebuild => JobKind::Rebuild,
            Self::Convert { .. } => JobKind::Convert,
            Self::Undo => JobKind::Undo,
        }
    }

    pub(super) fn is_dry_run(&self) -> bool {
        matches!(self, Self::Convert { dry_run: true, .. })
    }
}

/// A format by name; the default is the natural one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedFormat {
    /// `natural`, or the name of a plugin of the world `format`; the `format-` that it may begin with can be
    /// left out.
    pub name: String,
    /// Its version; the newest when `None`.
    pub version: Option<String>,
    /// Its configuration, a JSON object; none when `None`.
    pub config: Option<String>,
}

impl Default for WantedFormat {
    fn default() -> Self {
        Self { name: FormatId::natural().name, version: None, config: None }
    }
}

/// A format that was chosen.
#[derive(Clone, Debug)]
pub(crate) struct ChosenFormat {
    pub(crate) id: FormatId,
    /// The row of its component, which must stay; a native format has none.
    pub(crate) plugin: Option<Key>,
}

/// The format that is meant, exactly.
///
/// # Errors
/// There is no such plugin, it is of another world, or the configuration is no JSON object.
pub(crate) fn wanted_format(model: &Model, wanted: &WantedFormat) -> Result<ChosenFormat> {
    let config = config_text(wanted.config.clone())?;
    let natural = FormatId::natural();
    if wanted.name == natural.name {
        if config != natural.config {
            return Err(Error::ConfigSyntax("the format `natural` has no settings".into()));
        }
        return Ok(ChosenFormat { id: natural, plugin: None });
    }
    let chosen = pick_format(model, &wanted.name, wanted.version.as_deref())?;
    if chosen.row.world != World::Format.as_str() {
        return Err(Error::NoFormat { name: chosen.name, world: chosen.row.world });
    }
    let plugin = Some(Key::plugin(&chosen.name, &chosen.version));
    let name = format_name(&chosen.name).to_owned();
    // An earlier build of a version is told from the others by its digest.
    let version = chosen.row.build_of.unwrap_or(chosen.version);
    let id = FormatId { name, version, digest: Some(chosen.row.digest), config };
    Ok(ChosenFormat { id, plugin })
}

/// What the catalog says of a job that begins.
#[derive(Clone, Debug)]
pub(super) struct Begun {
    pub(super) id: u64,
    pub(super) row: JobRow,
}

/// The facts about an open volume that a decision needs.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) id: u64,
    pub(super) format: FormatId,
    pub(super) generation: u64,
    /// The generation that is kept, when one is.
    pub(super) kept: Option<KeptRow>,
}

/// An attempt to begin a job, and the name of the format whose plugin has to do with it: the one that the
/// data is to be in, else the one that it is in.
pub(super) fn attempt<'a>(
    work: &'a JobWork,
    volume: &'a str,
    facts: Option<&'a Facts>,
    natural: &'a FormatId,
    cause: &'a Cause,
) -> (Attempt<'a>, &'a str) {
    let attempt = Attempt::new(work.kind().action(), cause).volume(volume);
    let now = facts.map_or(natural, |facts| &facts.format);
    let of = |format: &'a FormatId| (Attempt { version: Some(&format.version), ..attempt }, &*format.name);
    match work {
        // It has nothing to do with the format.
        JobWork::Rebuild => of(natural),
        JobWork::Convert { to, .. } if to.name == natural.name => of(now),
        JobWork::Convert { to, .. } => {
            let (version, config) = (to.version.as_deref(), to.config.as_deref());
            (Attempt { version, config, ..attempt }, &to.name)
        }
        JobWork::Undo => {
            let back = facts.and_then(|facts| facts.kept.as_ref()).map(|kept| &kept.format);
            of(back.filter(|format| !format.is_natural()).unwrap_or(now))
        }
    }
}

/// Gives a job its number and its row, and names the format that the volume may be in from now on.
pub(super) fn begin(
    model: &Model,
    volume: &str,
    facts: &Facts,
    work: &JobWork,
    unix_ms: u64,
) -> Result<(Change, Begun)> {
    let row = match model.volumes.get(volume) {
        // Another volume may have got the name meanwhile.
        Some(row) if row.state == VolumeState::Ready && row.id == facts.id => row,
        _ => return Err(Error::NoSuchVolume(volume.into())),
    };
    let mut change = Change::default();
    let to = match work {
        JobWork::Rebuild => facts.format.clone(),
        JobWork::Convert { to, .. } => {
            let ChosenFormat { id: to, plugin } = wanted_format(model, to)?;
            if to == facts.format {
                return Err(Error::FormatUnchanged { volume: volume.into(), format: to.to_string() });
            }
            if let Some(plugin) = plugin {
                change.require(model, plugin);
            }
            if row.id == mortise_kernel::node::VolumeId::SYSTEM.0 {
                return Err(Error::SystemFormat);
            }
            to
        }
        JobWork::Undo => match &facts.kept {
            Some(kept) => kept.format.clone(),
            None => return Err(Error::NothingKept(volume.into())),
        },
    };
    let converting = (!work.is_dry_run() && to != facts.format).then(|| to.clone());
    // The row may be behind what the data is in, when the end of an earlier job could not be written.
    let next = VolumeRow { converting, ..settled(row, &facts.format, facts.kept.clone()) };
    change.require(model, Key::Volume(volume.into()));
    settle(&mut change, model, volume, row, next, &[])?;
    let id = model.next_job_id.unwrap_or(1).max(model.jobs.keys().next_back().map_or(0, |id| id + 1));
    change.put(model, Key::NextJobId, &NextJobId { version: ROW_VERSION, next: id + 1 })?;
    let job = JobRow {
        version: ROW_VERSION,
        kind: work.kind(),
        volume: volume.into(),
        volume_id: row.id,
        state: JobState::Running,
        dry_run: work.is_dry_run(),
        from: facts.format.clone(),
        to,
        generation: facts.generation,
        started_unix_ms: unix_ms,
        ended_unix_ms: None,
        detail: String::new(),
        result: None,
    };
    change.put(model, Key::Job(id), &job)?;
    change.audit_all(tell::begun(model, id, &job));
    let ended = model.jobs.iter().filter(|(_, row)| row.state != JobState::Running);
    let excess = ended.clone().count().saturating_sub(KEPT_JOBS - 1).min(DROPPED_AT_ONCE);
    for (old, _) in ended.take(excess) {
        change.delete(model, Key::Job(*old));
    }
    Ok((change, Begun { id, row: job }))
}

/// How a job ended.
#[derive(Clone, Debug)]
pub(super) struct Ended {
    pub(super) state: JobState,
    pub(super) detail: String,
    pub(super) result: Option<JobResult>,
    /// What the volume is in now, and which generation is kept; `None` when that cannot be told, and then
    /// what the row names stays named.
    pub(super) now: Option<(FormatId, Option<KeptRow>)>,
    /// On whose behalf it was ended before its time.
    pub(super) by: Option<Cause>,
}

/// Writes down how a job ended, and which formats its volume is in from now on.
pub(super) fn end(model: &Model, id: u64, ended: &Ended, unix_ms: u64) -> Result<(Change, JobRow)> {
    let mut change = Change::default();
    let Some(row) = model.jobs.get(&id) else {
        return Err(Error::NoSuchJob(id));
    };
    let row = JobRow {
        state: ended.state,
        detail: ended.detail.clone(),
        result: ended.result.clone(),
        ended_unix_ms: Some(unix_ms),
        ..row.clone()
    };
    change.put(model, Key::Job(id), &row)?;
    change.audit_all(tell::ended(model, id, &row, ended));
    let volume = model.volumes.get(&row.volume).filter(|volume| volume.id == row.volume_id);
    if let (Some(volume), Some((format, kept))) = (volume, &ended.now) {
        let told = [&row.from, &row.to];
        settle(&mut change, model, &row.volume, volume, settled(volume, format, kept.clone()), &told)?;
    }
    Ok((change, row))
}

/// The row of a volume on which no job runs.
fn settled(row: &VolumeRow, format: &FormatId, kept: Option<KeptRow>) -> VolumeRow {
    let codec = (!format.is_natural()).then(|| format.clone());
    VolumeRow { format: format.name.clone(), codec, converting: None, kept, ..row.clone() }
}

/// Brings the row of a volume in line with what was found when it was opened, where no job runs on it.
pub(crate) fn note_format(
    model: &Model,
    name: &str,
    id: u64,
    format: &FormatId,
    kept: Option<KeptRow>,
) -> Result<(Change, ())> {
    let mut change = Change::default();
    let at_work = model.jobs.values().any(|job| job.volume_id == id && job.state == JobState::Running);
    if let Some(row) = model.volumes.get(name).filter(|row| row.id == id && !at_work) {
        settle(&mut change, model, name, row, settled(row, format, kept), &[])?;
    }
    Ok((change, ()))
}

/// Writes the row of a volume on which no job runs yet or any more, when it is another one now, and tells the
/// plugins of formats that are no longer in use there; those of `told` know.
fn settle(
    change: &mut Change,
    model: &Model,
    name: &str,
    before: &VolumeRow,
    after: VolumeRow,
    told: &[&FormatId],
) -> Result<()> {
    if after == *before {
        return Ok(());
    }
    let gone = before.encoded_in().into_iter().filter(|(digest, _)| {
        !after.needs(digest) && told.iter().all(|format| format.digest.as_deref() != Some(digest))
    });
    change.audit_all(gone.filter_map(|(_, format)| tell::unused(model, name, format)));
    change.put(model, Key::Volume(name.into()), &after)?;
    Ok(())
}

/// What is told of a job whose row says `running` while nobody works on it.
pub(super) const NOBODY_WORKS: &str =
    "nobody works on it: its beginning or its end could not be written down; the volume is served as it is";

/// How a job ended on which nobody works, from what its volume is now.
pub(super) fn abandoned(row: &JobRow, generation: u64, format: &FormatId) -> (JobState, String) {
    match interrupted(row, Some((generation, format.clone()))) {
        (JobState::Interrupted, _) => (JobState::Interrupted, NOBODY_WORKS.into()),
        other => other,
    }
}

/// How a job ended that a stop of the node interrupted, from what its volume is now that it opens; `None`
/// when the volume is gone.
pub(super) fn interrupted(row: &JobRow, found: Option<(u64, FormatId)>) -> (JobState, String) {
    match found {
        // The way back leads to a generation with a smaller number.
        Some((generation, format)) if generation != row.generation && format == row.to && !row.dry_run => (
            JobState::Done,
            "the node stopped after the new generation had begun to serve, and before that was noted".into(),
        ),
        Some(_) => {
            (JobState::Interrupted, "the node stopped before it ended; the volume is as it was".into())
        }
        None => {
            (JobState::Interrupted, "the node stopped before it ended, and the volume was deleted".into())
        }
    }
}
