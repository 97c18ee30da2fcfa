//! What must be true of a directory, wherever the process that served it ended.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use mortise_tests::{Attempt, Client, History, Mortise, mortise_binary};
use rand::rngs::StdRng;

use crate::jobs::{Begun, Held};
use crate::{END, SETTINGS};

/// What is known of a directory's volume.
#[derive(Default)]
pub(crate) struct Known {
    history: History,
    /// What it held when the last judgement ended.
    held: Option<Held>,
}

/// What was found.
pub(crate) struct Verdict {
    pub(crate) acknowledged: usize,
    /// Number and state of the newest job of the life that ended.
    pub(crate) job: u64,
    pub(crate) state: String,
    /// Number of the newest job now.
    pub(crate) last_job: u64,
    /// Whether a generation was kept, and gone back to.
    pub(crate) went_back: bool,
}

impl Known {
    /// Opens the directory as an operator would and judges what is there, after `begun` and these writes.
    pub(crate) async fn judge(
        &mut self,
        directory: &Path,
        attempts: Vec<Attempt>,
        begun: Option<&Begun>,
        rng: &mut StdRng,
    ) -> Result<Verdict> {
        let mut mortise = Mortise::start_with(directory, &SETTINGS)?;
        let mut client = Client::connect(&mortise.endpoint()).await?;
        let acknowledged = self.history.verify(&mut client, attempts, rng).await?.acknowledged;
        let found = Held::of(&mortise.endpoint())?.context("a status")?;
        match (begun, &self.held) {
            (Some(begun), _) => ensure!(begun.leads_to(&found), "{begun:?} led to {found:?}"),
            (None, Some(held)) => ensure!(found == *held, "{held:?} became {found:?} without a job"),
            (None, None) => {}
        }
        names_are(directory, &found)?;
        let (job, state) = newest_job(&mortise)?;
        let went_back = found.kept.is_some();
        if let Some(kept) = found.kept {
            go_back(&mut mortise, kept)?;
            self.history.verify(&mut client, Vec::new(), rng).await?;
        }
        self.history.compact(&mut client, self.history.revision() - 50).await?;
        let (last_job, _) = newest_job(&mortise)?;
        every_record_decodes(&mortise)?;
        let held = Held::of(&mortise.endpoint())?.context("a status")?;
        mortise.stop()?;
        names_are(directory, &held)?;
        self.held = Some(held);
        let mut doctor = Command::new(mortise_binary()?);
        let told = mortise_tests::run(doctor.arg("doctor").arg(directory), b"", END)?;
        ensure!(told.success(), "the doctor finds:\n{}{}", told.stdout, told.stderr);
        Ok(Verdict { acknowledged, job, state, last_job, went_back })
    }
}

/// Goes back to the generation that is kept, and waits until the files of the other one are gone.
fn go_back(mortise: &mut Mortise, kept: u64) -> Result<()> {
    let job = mortise.cli_json(&["volume", "convert", "default", "--undo"])?;
    ensure!(job["state"] == "done" && job["result"]["generation"] == kept, "the way back: {job}");
    let gone = |line: &str| line.contains("removed a generation that nobody reads").then_some(());
    mortise.process().wait_line("that the other generation is gone", END, gone)
}

/// Number and state of the newest job that was to change something.
fn newest_job(mortise: &Mortise) -> Result<(u64, String)> {
    let jobs = mortise.cli_json(&["volume", "jobs"])?;
    let jobs = jobs.as_array().into_iter().flatten().filter(|job| job["dry_run"] == false);
    let newest = jobs.max_by_key(|job| job["id"].as_u64());
    let Some(newest) = newest else { return Ok((0, "none".to_owned())) };
    let state = newest["state"].as_str().context("a state")?;
    ensure!(state != "running", "no job runs after a start: {newest}");
    Ok((newest["id"].as_u64().context("a number")?, state.to_owned()))
}

/// A dry run decodes every record with the codec of the format that the generation names.
fn every_record_decodes(mortise: &Mortise) -> Result<()> {
    for format in ["hierarchical", "natural"] {
        let tried = mortise.cli(&["volume", "convert", "default", "--to", format, "--dry-run"])?;
        if !tried.stderr.contains("already") {
            ensure!(tried.success(), "a record is in another format: {}{}", tried.stdout, tried.stderr);
            return Ok(());
        }
    }
    bail!("the volume is in two formats at once")
}

/// Exactly one generation is there and is current, and beside it the one that is kept.
fn names_are(directory: &Path, held: &Held) -> Result<()> {
    let volume = directory.join("volumes/2");
    let mut names = Vec::new();
    for entry in fs::read_dir(&volume)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    let name = |generation: u64| format!("gen-{generation:06}");
    let mut expected = vec!["CURRENT".to_owned()];
    expected.extend(held.kept.into_iter().chain([held.generation]).map(name));
    expected.sort();
    ensure!(names == expected, "orphans: {names:?}, expected {expected:?}");
    let current = fs::read_to_string(volume.join("CURRENT"))?;
    ensure!(current.trim() == name(held.generation), "{current} is current, and {held:?} serves");
    Ok(())
}
