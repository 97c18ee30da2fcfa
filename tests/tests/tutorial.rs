//! The tutorial does what it says, in what is marked so: its commands are run in their order, against the
//! real binary and a real node, its files are written as it shows them, and what is printed is compared with
//! what it shows.
//!
//! Fences of `docs/plugins/tutorial.md` say by their info strings what they are:
//!
//! | info | what is done |
//! |---|---|
//! | `console` | each line after `$ ` is run, and its output compared with the lines below it |
//! | `console node` | as a node that serves until the end |
//! | `LANGUAGE file=PATH` | written to that file |
//! | `toml set=PATH` | each line takes the place of the one that sets the same key |
//! | any other | nothing; it is for people |
//!
//! `…` stands for any words, at the end of a word for its rest. What differs from run to run (times, sizes,
//! digests, seeds, the shape of a tree under load) is made equal before. Line breaks and blanks don't count.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use mortise_tests::{Mortise, frozen, mortise_binary, run, skip};
use tempfile::TempDir;

/// For a cold build on a busy machine.
const PATIENCE: Duration = Duration::from_secs(900);

/// A fence of a document.
#[derive(Debug)]
struct Fence {
    info: String,
    lines: Vec<String>,
    /// Line of the document at which its content begins.
    at: usize,
}

fn fences(document: &str) -> Vec<Fence> {
    let mut fences = Vec::new();
    let mut open: Option<Fence> = None;
    for (number, line) in document.lines().enumerate() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(_), Some(_)) => fences.extend(open.take()),
            (Some(info), None) => {
                open = Some(Fence { info: info.to_owned(), lines: Vec::new(), at: number + 2 });
            }
            (None, Some(fence)) => fence.lines.push(line.to_owned()),
            (None, None) => {}
        }
    }
    fences
}

/// Commands with the words that their output should have.
fn commands(fence: &Fence) -> Vec<(String, Vec<String>)> {
    let mut commands: Vec<(String, Vec<String>)> = Vec::new();
    for line in &fence.lines {
        match (line.strip_prefix("$ "), commands.last_mut()) {
            (Some(command), _) => commands.push((command.to_owned(), Vec::new())),
            (None, Some((_, output))) => output.push(line.clone()),
            (None, None) => panic!("line {}: output without a command", fence.at),
        }
    }
    commands
}

/// The words of a text, with what differs from run to run made equal.
fn words<'a>(lines: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for line in lines {
        let level = line.strip_prefix('L').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        let mut of_line: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        if level {
            // A level of a tree under load: that it is there is all that is sure.
            of_line.truncate(1);
        }
        words.extend(of_line);
    }
    let bare = |word: &str| word.trim_matches(['(', ')', ',', ';', '.']).to_owned();
    let number = |word: &str| bare(word).parse::<f64>().is_ok();
    for at in 0..words.len() {
        let before = at.checked_sub(1).map(|before| bare(&words[before])).unwrap_or_default();
        let unit = ["B", "KiB", "MiB", "GiB"].contains(&bare(&words[at]).as_str());
        let word = bare(&words[at]);
        let date = word.len() == 10 && word.as_bytes()[4] == b'-' && word.as_bytes()[7] == b'-';
        let time = word.len() == 8 && word.as_bytes()[2] == b':' && word.as_bytes()[5] == b':';
        let hex = word.len() >= 12 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        if unit && at > 0 && number(&words[at - 1]) {
            words[at - 1] = "SIZE".to_owned();
        } else if date || time || hex || (before.ends_with("seed") && number(&word)) {
            words[at] = "VARIES".to_owned();
        } else if let Some((head, _)) = words[at].split_once("127.0.0.1:") {
            words[at] = format!("{head}ADDRESS");
        }
    }
    words
}

/// Whether `found` is what is `shown`, `…` standing for any words or the rest of one.
fn matches(shown: &[String], found: &[String]) -> bool {
    // Where the latest wildcard stood, and how far it reaches.
    let (mut s, mut f, mut star) = (0, 0, None);
    while f < found.len() {
        if shown.get(s).is_some_and(|word| word == "…") {
            star = Some((s, f));
            s += 1;
        } else if shown.get(s).is_some_and(|word| one(word, &found[f])) {
            s += 1;
            f += 1;
        } else if let Some((at, reach)) = star {
            star = Some((at, reach + 1));
            s = at + 1;
            f = reach + 1;
        } else {
            return false;
        }
    }
    shown[s..].iter().all(|word| word == "…")
}

fn one(shown: &str, found: &str) -> bool {
    shown.strip_suffix('…').map_or(shown == found, |begin| found.starts_with(begin))
}

/// Where the tutorial is followed.
struct Reader {
    folder: PathBuf,
    path: OsString,
    offline: bool,
    node: Option<Mortise>,
    data: TempDir,
    /// What was sent into the background, with its line and the output that `fg` shows.
    background: VecDeque<(Child, String)>,
}

impl Reader {
    fn command(&self, line: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", line]).current_dir(&self.folder).env("PATH", &self.path).env_remove("COLUMNS");
        command.env("MORTISE_OPERATOR", "alice");
        // What cargo sets for its tests must not reach the build of a plugin.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("CARGO") && name != "CARGO_HOME" || name == "RUSTFLAGS" {
                command.env_remove(&name);
            }
        }
        if self.offline {
            command.env("CARGO_NET_OFFLINE", "true");
        }
        if let Some(node) = &self.node {
            command.env("MORTISE_ENDPOINT", node.endpoint());
        }
        command
    }

    /// Runs one command; what it prints, errors behind the rest.
    fn run(&mut self, line: &str) -> Result<String> {
        if let Some(folder) = line.strip_prefix("cd ") {
            self.folder.push(folder);
            return Ok(String::new());
        }
        if let Some(line) = line.strip_suffix(" &") {
            let child = self.command(line).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
            self.background.push_back((child, line.to_owned()));
            return Ok(String::new());
        }
        if line == "fg" {
            let (child, line) = self.background.pop_front().context("something runs in the background")?;
            let output = child.wait_with_output()?;
            ensure!(output.status.success(), "{line} failed");
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let finished = run(&mut self.command(line), b"", PATIENCE)?;
        // What cargo says about its work is nobody's business; what a command refuses is.
        let refused = finished.stderr.lines().filter(|line| line.starts_with("error: "));
        Ok(finished.stdout + &refused.map(|line| format!("{line}\n")).collect::<String>())
    }

    fn serve(&mut self, line: &str) -> Result<()> {
        let mut words: Vec<&str> = line.split_whitespace().collect();
        ensure!(words.starts_with(&["mortise", "serve", "--data-dir"]), "{line}");
        words.drain(..4);
        self.node = Some(Mortise::start_with(self.data.path(), &words)?);
        Ok(())
    }

    fn follow(&mut self, fence: &Fence) -> Result<()> {
        let (kind, rest) = fence.info.split_once(' ').unwrap_or((&fence.info, ""));
        match (kind, rest.split_once('=')) {
            (_, Some(("file", path))) => fs::write(self.folder.join(path), fence.lines.join("\n") + "\n")?,
            (_, Some(("set", path))) => set(&self.folder.join(path), &fence.lines)?,
            ("console", _) if rest == "node" => self.serve(&commands(fence)[0].0)?,
            ("console", _) => {
                for (line, output) in commands(fence) {
                    let found = self.run(&line).with_context(|| line.clone())?;
                    let shown = words(output.iter().map(String::as_str));
                    ensure!(
                        matches(&shown, &words(found.lines())),
                        "line {} and below shows for `{line}`:\n{}\nand it prints:\n{found}",
                        fence.at,
                        output.join("\n")
                    );
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Sets keys of a TOML file: each line takes the place of the one with the same key.
fn set(path: &Path, lines: &[String]) -> Result<()> {
    let mut text = fs::read_to_string(path)?;
    for line in lines {
        let key = line.split_once('=').context("a key and a value")?.0;
        let old = text.lines().find(|old| old.starts_with(key)).with_context(|| format!("{key} is there"))?;
        text = text.replacen(&old.to_owned(), line, 1);
    }
    Ok(fs::write(path, text)?)
}

/// Whether the packages of a project can be had: from what was fetched before, else from the registry. What
/// is compiled of them lies in one folder for all runs.
fn prepare(reader: &mut Reader) -> Result<bool> {
    let shared = mortise_binary()?.with_file_name("tutorial");
    fs::create_dir_all(&shared)?;
    let target = reader.folder.join("target");
    if !target.exists() {
        std::os::unix::fs::symlink(&shared, target)?;
    }
    for offline in [true, false] {
        reader.offline = offline;
        let mut fetch = reader.command("cargo fetch --target wasm32-unknown-unknown");
        if run(&mut fetch, b"", PATIENCE)?.success() {
            return Ok(true);
        }
    }
    Ok(false)
}

#[test]
fn the_tutorial_does_what_it_says() -> Result<()> {
    let document = fs::read_to_string(frozen::root().join("docs/plugins/tutorial.md"))?;
    let (home, data) = (TempDir::new()?, TempDir::new()?);
    let binaries = mortise_binary()?.parent().context("a folder")?.to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(binaries).chain(std::env::split_paths(&path)))?;
    let folder = home.path().to_owned();
    let (offline, node, background) = (false, None, VecDeque::new());
    let mut reader = Reader { folder, path, offline, node, data, background };
    let mut prepared = false;
    let mut ran = 0;
    for fence in fences(&document) {
        if !prepared && fence.info.contains("set=") {
            prepared = true;
            if !prepare(&mut reader)? {
                skip(
                    "the tutorial: its packages are neither in cargo's cache nor to be had from the registry",
                );
                return Ok(());
            }
        }
        reader.follow(&fence)?;
        ran += usize::from(fence.info.contains("console"));
    }
    ensure!(ran >= 13, "only {ran} fences were run: are they marked?");
    reader.node.context("a node was started")?.stop()
}

/// What a page shows of its quick start must at least be understood by the program.
#[test]
fn the_commands_of_the_readme_are_understood() -> Result<()> {
    let document = fs::read_to_string(frozen::root().join("README.md"))?;
    let (home, data) = (TempDir::new()?, TempDir::new()?);
    let mortise = Mortise::start(data.path())?;
    let good = mortise_plugins::COMPACTION_TIERED;
    fs::write(home.path().join("my-policy.wasm"), good)?;
    ensure!(mortise.cli(&["kv", "put", "greeting", "hello"])?.success(), "as etcdctl does above");
    let mut ran = 0;
    for fence in fences(&document) {
        for line in &fence.lines {
            let command = line.split(" #").next().unwrap_or_default().trim();
            let Some(rest) = command.strip_prefix("mortise ") else { continue };
            // A node runs already; what is built takes a minute, and the tutorial does it.
            let elsewhere = ["serve", "plugin build", "plugin test", "plugin simulate"];
            if elsewhere.iter().any(|begin| rest.starts_with(begin)) {
                continue;
            }
            let mut shell = Command::new("sh");
            let rest = rest.replace("--total 100000", "--total 1000");
            let line = format!("{} {rest}", mortise_binary()?.display());
            shell.args(["-c", &line]).current_dir(home.path()).env("MORTISE_ENDPOINT", mortise.endpoint());
            let finished = run(&mut shell, b"", PATIENCE)?;
            ensure!(finished.success(), "`{command}` of README.md failed: {}", finished.stderr);
            ran += 1;
        }
    }
    ensure!(ran >= 12, "only {ran} commands were found");
    mortise.stop()
}

#[test]
fn what_is_shown_is_compared_and_what_varies_is_not() {
    let same = |shown: &str, found: &str| matches(&words(shown.lines()), &words(found.lines()));
    for (shown, found) in [
        ("", ""),
        ("a b", "a\n  b"),
        ("a\n…\nz", "a\nb c\nz"),
        ("a …", "a"),
        ("view…", "viewpoint"),
        ("built (99.5 KiB)", "built (101.2 KiB)"),
        ("at 2026-11-20 15:16:19 UTC", "at 2027-01-02 01:02:03 UTC"),
        ("seed 1630829653 (--seed 1630829653 repeats", "seed 7 (--seed 7 repeats"),
        ("L0  15  15  █", "L0  3  9.8 MiB  ██"),
        ("http://127.0.0.1:2379,", "http://127.0.0.1:40001,"),
        ("digest 57079ea233b1", "digest e57ba2dc0501"),
    ] {
        assert!(same(shown, found), "{shown:?} {found:?}");
    }
    for (shown, found) in
        [("a", ""), ("", "a"), ("a b", "a c"), ("a … z", "a b"), ("… b", "a c"), ("L0 1", "L1 1")]
    {
        assert!(!same(shown, found), "{shown:?} {found:?}");
    }
}
