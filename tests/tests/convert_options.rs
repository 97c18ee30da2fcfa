//! Options of conversions from the command line: a sample, settings, a format that is barred.

use anyhow::{Context as _, Result, ensure};
use mortise_tests::{Client, Mortise};
use tempfile::TempDir;

/// What the dictionary's settings hold, and the values begin with.
const COMMON: &str = "the quick brown fox jumps over the lazy dog, and the lazy dog lets it";

async fn filled(directory: &TempDir) -> Result<(Mortise, Client)> {
    let mortise = Mortise::start(directory.path())?;
    let mut client = Client::connect(&mortise.endpoint()).await?;
    for round in 0..2 {
        for number in 0..300 {
            let value = format!("{COMMON} {}", number + round);
            client.put(format!("/key/{number}"), value).await.ok().context("a put is accepted")?;
        }
    }
    // The empty value and an old revision take part, too.
    client.put("/key/7", "").await.ok().context("a put is accepted")?;
    Ok((mortise, client))
}

/// Hashes at a revision in the middle and at the newest.
async fn hashes(client: &mut Client) -> Result<[u32; 2]> {
    let middle = client.hash(400).await.ok().context("a hash")?.hash;
    Ok([middle, client.hash(0).await.ok().context("a hash")?.hash])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_is_converted_to_a_dictionary_and_back() -> Result<()> {
    let directory = TempDir::new()?;
    let (mortise, mut client) = filled(&directory).await?;
    let before = hashes(&mut client).await?;
    let config = format!(r#"{{"id": 7, "dictionary": {COMMON:?}}}"#);
    let convert = ["volume", "convert", "default", "--to", "dictionary", "--format-config", &config];
    let job = mortise.cli_json(&convert)?;
    ensure!(job["state"] == "done" && job["to"]["name"] == "dictionary", "{job}");
    ensure!(hashes(&mut client).await? == before, "the content is what it was");
    let status = mortise.cli_json(&["volume", "status"])?;
    ensure!(status["format"]["config"].to_string().contains("lazy dog"), "{status}");
    client.put("/key/since", COMMON).await.ok().context("a put is accepted")?;

    // Other settings are another format, and wrong ones none.
    let wrong =
        ["volume", "convert", "default", "--to", "dictionary", "--format-config", r#"{"id": "seven"}"#];
    let refused = mortise.cli(&wrong)?;
    ensure!(!refused.success() && refused.stderr.contains("id"), "{refused:?}");
    let other = format!(r#"{{"id": 8, "dictionary": {:?}}}"#, &COMMON[..20]);
    let other = ["volume", "convert", "default", "--to", "dictionary", "--format-config", &other];
    ensure!(mortise.cli_json(&other)?["state"] == "done", "other settings are another format");

    mortise.kill()?;
    let mortise = Mortise::start(directory.path())?;
    let mut client = Client::connect(&mortise.endpoint()).await?;
    let found = client.get("/key/since").await.ok().flatten().context("the key is there")?;
    ensure!(found.value == COMMON, "{found:?}");
    let job = mortise.cli_json(&["volume", "convert", "default", "--to", "natural"])?;
    ensure!(job["state"] == "done", "{job}");
    let middle = client.hash(400).await.ok().context("a hash")?.hash;
    ensure!(middle == before[0], "the content is what it was");
    mortise.stop()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversion_that_verifies_a_sample_keeps_the_content() -> Result<()> {
    let directory = TempDir::new()?;
    let (mortise, mut client) = filled(&directory).await?;
    let before = hashes(&mut client).await?;
    for to in ["hierarchical", "natural"] {
        let convert = ["volume", "convert", "default", "--to", to, "--verify", "sample"];
        let job = mortise.cli_json(&convert)?;
        ensure!(job["state"] == "done" && job["to"]["name"] == to, "{job}");
        let times = ["copy_ms", "took_ms"].map(|name| job["result"][name].as_u64());
        ensure!(times[0] > Some(0) && times[0] <= times[1], "the copy is a part of all: {job}");
        ensure!(hashes(&mut client).await? == before, "the content is what it was");
    }
    let unknown = mortise.cli(&["volume", "convert", "default", "--to", "natural", "--verify", "little"])?;
    ensure!(unknown.code == Some(2) && unknown.stderr.contains("full"), "{unknown:?}");
    mortise.stop()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_format_in_quarantine_is_given_to_no_volume() -> Result<()> {
    let directory = TempDir::new()?;
    let mortise = Mortise::start(directory.path())?;
    let says = |arguments: &[&str], expected: &str| -> Result<()> {
        let finished = mortise.cli(arguments)?;
        ensure!(!finished.success() && finished.stderr.contains(expected), "{arguments:?}: {finished:?}");
        Ok(())
    };
    ensure!(mortise.cli(&["volume", "create", "tree", "--format", "hierarchical"])?.success(), "created");
    let bar = ["plugin", "quarantine", "format-hierarchical", "--reason", "it is too slow"];
    says(&bar, "tree")?;
    ensure!(mortise.cli(&["volume", "convert", "tree", "--to", "natural"])?.success(), "converted");
    says(&["plugin", "release", "format-hierarchical"], "not in quarantine")?;
    says(&["plugin", "quarantine", "compaction-tiered"], "expected `format`")?;
    says(&["plugin", "quarantine", "unheard-of"], "unheard-of")?;

    let barred = mortise.cli_json(&bar)?;
    ensure!(barred["name"] == "format-hierarchical" && barred["stage"] == "quarantined", "{barred}");
    let again = mortise.cli(&bar)?;
    ensure!(again.success() && again.stdout.contains("is in quarantine"), "{again:?}");
    says(&["volume", "create", "other", "--format", "hierarchical"], "it is too slow")?;
    says(&["volume", "convert", "tree", "--to", "hierarchical"], "it is too slow")?;
    says(&["volume", "convert", "tree", "--to", "hierarchical", "--dry-run"], "it is too slow")?;
    let volumes = mortise.cli_json(&["volume", "list"])?.to_string();
    ensure!(!volumes.contains("other") && !volumes.contains("hierarchical"), "{volumes}");
    let shown = mortise.cli_json(&["plugin", "show", "format-hierarchical"])?;
    ensure!(shown["quarantines"][0]["reason"] == "it is too slow", "{shown}");
    mortise.stop()?;

    let mortise = Mortise::start(directory.path())?;
    let still = mortise.cli(&["volume", "create", "other", "--format", "hierarchical"])?;
    ensure!(!still.success() && still.stderr.contains("it is too slow"), "it outlives a restart: {still:?}");
    ensure!(mortise.cli(&["plugin", "release", "format-hierarchical"])?.success(), "released");
    ensure!(mortise.cli(&["volume", "create", "other", "--format", "hierarchical"])?.success(), "created");
    let history = mortise.cli_json(&["plugin", "history", "format-hierarchical"])?.to_string();
    ensure!(history.contains("plugin-quarantine") && history.contains("plugin-release"), "{history}");
    mortise.stop()
}
