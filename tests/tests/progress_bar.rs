//! The bar of a rebuild at a terminal: it appears and goes, and Ctrl-C cancels the job and leaves nothing.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use mortise_tests::{Client, Mortise, Terminal, mortise_binary};
use tempfile::TempDir;

const BOUND: Duration = Duration::from_secs(60);
const CTRL_C: &[u8] = b"\x03";
const KEYS: usize = 300;

async fn filled(directory: &TempDir) -> Result<(Mortise, Client)> {
    let mortise = Mortise::start(directory.path())?;
    let mut client = Client::connect(&mortise.endpoint()).await?;
    for number in 0..KEYS {
        let put = client.put(format!("key-{number:05}"), vec![b'v'; 1024]).await;
        ensure!(put.is_ok(), "a put is accepted: {put:?}");
    }
    Ok((mortise, client))
}

fn at_terminal(mortise: &Mortise, arguments: &str) -> Result<Option<Terminal>> {
    let line = format!("{} {arguments}", mortise_binary()?.display());
    Terminal::run(&line, &[("MORTISE_ENDPOINT", &mortise.endpoint())])
}

/// Names in the directory of the default volume.
fn names(directory: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(directory.join("volumes/2"))?;
    let mut names: Vec<_> =
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect::<Result<_>>()?;
    names.sort();
    Ok(names)
}

/// Whether a bar was drawn that has come some way: a phase before it, blocks in it, figures behind it.
fn shows_a_bar(screen: &str) -> bool {
    screen.contains("copying") && screen.contains('█') && screen.contains(" records, ")
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_at_the_bar_cancels_and_leaves_nothing() -> Result<()> {
    let directory = TempDir::new()?;
    let (mortise, mut client) = filled(&directory).await?;
    let before = client.hash(0).await.ok().context("a hash")?.hash;
    // So slow that it is under way for as long as anybody looks.
    let Some(mut terminal) = at_terminal(&mortise, "volume rebuild default --rate 16KiB/s")? else {
        return Ok(());
    };
    terminal.wait("the bar", BOUND, shows_a_bar)?;
    ensure!(names(directory.path())?.len() == 3, "a generation is in the making");
    terminal.press(CTRL_C)?;
    terminal.wait("that it cancels", BOUND, |screen| screen.contains("cancelling job 1"))?;
    let (code, screen) = terminal.wait_end(BOUND)?;
    ensure!(code == Some(1), "{code:?}: {screen:?}");
    let last = screen.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    ensure!(last.contains("job 1 was cancelled; volume \"default\" is as it was"), "{last:?} in {screen:?}");
    ensure!(!last.contains('█'), "the bar is gone: {last:?}");
    ensure!(names(directory.path())? == ["CURRENT", "gen-000001"], "{:?}", names(directory.path())?);
    let jobs = mortise.cli_json(&["volume", "jobs"])?;
    ensure!(jobs[0]["state"] == "cancelled", "{jobs}");
    ensure!(client.hash(0).await.ok().context("a hash")?.hash == before, "the volume is as it was");
    mortise.stop()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bar_goes_when_the_job_is_done_and_the_result_stays() -> Result<()> {
    let directory = TempDir::new()?;
    let (mortise, _client) = filled(&directory).await?;
    let Some(mut terminal) = at_terminal(&mortise, "volume rebuild default --rate 128KiB/s")? else {
        return Ok(());
    };
    terminal.wait("the bar", BOUND, shows_a_bar)?;
    let (code, screen) = terminal.wait_end(BOUND)?;
    ensure!(code == Some(0), "{code:?}: {screen:?}");
    let result = screen.rfind("volume default rebuilt").with_context(|| screen.clone())?;
    ensure!(screen.rfind('█') < Some(result), "the bar was drawn after the result: {screen:?}");
    ensure!(screen[..result].contains("\u{1b}[2K"), "its line was cleared: {screen:?}");
    ensure!(screen[result..].contains("generation 2 serves"), "{screen:?}");

    // A program gets no bar, whatever it is connected to.
    let Some(terminal) = at_terminal(&mortise, "volume rebuild default --output json")? else {
        return Ok(());
    };
    let (code, screen) = terminal.wait_end(BOUND)?;
    ensure!(code == Some(0) && !screen.contains('█') && screen.trim_start().starts_with('{'), "{screen:?}");
    mortise.stop()
}
