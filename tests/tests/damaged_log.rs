//! A damaged raft log is refused by name, or it is none: nothing acknowledged is lost without a word.
//!
//! A node is killed while its log alone holds what was acknowledged, in journals and in tables. Then single
//! bits of the files below `log/` are flipped, each in a copy of its own, and a node is started on it. It
//! must end with an error that names the log, or refuse the volume by name, or serve everything that was
//! acknowledged. What damage to a volume's own files gets is in `bad_input.rs`.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use mortise_tests::{Client, Mortise, seed};
use rand::Rng as _;
use rand::rngs::StdRng;
use tempfile::TempDir;

/// Bits flipped in each file, each in a copy of the directory.
const FLIPS: usize = 4;
/// The log writes a table after 32 MiB.
const MORE_THAN_A_MEMTABLE: usize = 40 << 20;
/// Size of a large value. Tables of more are full of them.
const LARGE: usize = 1 << 20;
/// The volume's own memtable holds all of it, so that its tables cannot stand in for the log.
const UNFLUSHED: [&str; 2] = ["--memtable-size", "512MiB"];
/// What values are made of.
const FILLER: u8 = b'v';

fn key(number: usize) -> String {
    format!("key-{number:04}")
}

/// The number, then as much filler.
fn value(number: usize, size: usize) -> Vec<u8> {
    let mut value = format!("{number:04}").into_bytes();
    value.resize(4 + size, FILLER);
    value
}

/// A file of a directory: its path within, its bytes but for the zeros it ends with, and its length.
struct Stored {
    path: PathBuf,
    bytes: Vec<u8>,
    length: u64,
}

impl Stored {
    fn is_journal(&self) -> bool {
        self.path.extension().is_some_and(|extension| extension == "jnl")
    }

    /// Whether the byte lies within a client's value.
    fn is_filler(&self, offset: usize) -> bool {
        let around = self.bytes.get(offset.saturating_sub(8)..offset + 8);
        around.is_some_and(|bytes| bytes.iter().all(|byte| *byte == FILLER))
    }
}

/// A bit of one file.
#[derive(Clone, Copy)]
struct Bit {
    file: usize,
    offset: usize,
    mask: u8,
}

/// A node's directory, to be written out again and again.
struct Image(Vec<Stored>);

impl Image {
    /// Writes these numbers of bytes under a key each, waits for a table of the log if there should be one,
    /// kills the node, and reads what it left.
    async fn of_killed_node(values: &[usize], with_table: bool) -> Result<Self> {
        let directory = TempDir::new()?;
        let mortise = Mortise::start_with(directory.path(), &UNFLUSHED)?;
        let mut client = Client::connect(&mortise.endpoint()).await?;
        for (number, size) in values.iter().enumerate() {
            client.put(key(number), value(number, *size)).await.ok().context("a put is accepted")?;
        }
        // Tables are written in the background. Further writes are the clock.
        for _ in 0..10_000 {
            if !with_table || has_large_table(&directory.path().join("log/keyspaces"))? {
                break;
            }
            client.put("clock", "tick").await.ok().context("a put is accepted")?;
        }
        mortise.kill()?;
        let mut files = Vec::new();
        read(directory.path(), directory.path(), &mut files)?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self(files))
    }

    /// The directory with one bit flipped.
    fn damaged(&self, bit: Bit) -> Result<TempDir> {
        let copy = TempDir::new()?;
        for (number, stored) in self.0.iter().enumerate() {
            let path = copy.path().join(&stored.path);
            fs::create_dir_all(path.parent().context("a folder")?)?;
            let mut file = fs::File::create(path)?;
            if number == bit.file {
                let mut bytes = stored.bytes.clone();
                bytes[bit.offset] ^= bit.mask;
                file.write_all(&bytes)?;
            } else {
                file.write_all(&stored.bytes)?;
            }
            file.set_len(stored.length)?;
        }
        Ok(copy)
    }

    /// Files of the log that hold something, by their numbers.
    fn log(&self) -> impl Iterator<Item = (usize, &Stored)> {
        let files = self.0.iter().enumerate();
        files.filter(|(_, stored)| stored.path.starts_with("log") && !stored.bytes.is_empty())
    }
}

/// Whether a large table is part of the log: what names the manifest in force is younger than it.
fn has_large_table(keyspaces: &Path) -> Result<bool> {
    for keyspace in fs::read_dir(keyspaces)? {
        let keyspace = keyspace?.path();
        let in_force = fs::metadata(keyspace.join("current"))?.modified()?;
        for table in fs::read_dir(keyspace.join("tables"))? {
            // A table may be replaced while we look.
            let Ok(table) = table?.metadata() else { continue };
            if table.len() > LARGE as u64 && table.modified()? <= in_force {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn read(root: &Path, folder: &Path, files: &mut Vec<Stored>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            read(root, &path, files)?;
        } else {
            let mut bytes = fs::read(&path)?;
            let length = bytes.len() as u64;
            bytes.truncate(bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1));
            files.push(Stored { path: path.strip_prefix(root)?.to_owned(), bytes, length });
        }
    }
    Ok(())
}

/// What became of a node over a damaged log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It did not start, and said why.
    Refused,
    /// It serves, but not the volume, and says why.
    VolumeRefused,
    /// It serves all that was acknowledged.
    Whole,
}

async fn fate(directory: &Path, values: &[usize]) -> Result<Fate> {
    let mortise = match Mortise::start_with(directory, &UNFLUSHED) {
        Ok(mortise) => mortise,
        Err(error) => {
            let error = format!("{error:#}");
            ensure!(!error.contains("panicked"), "it panicked: {error}");
            let path = directory.join("log");
            let named = error.contains("raft log") || error.contains(&*path.to_string_lossy());
            ensure!(named && error.contains("error: "), "the log is not named: {error}");
            return Ok(Fate::Refused);
        }
    };
    let mut client = Client::connect(&mortise.endpoint()).await?;
    for (number, size) in values.iter().enumerate() {
        let key = key(number);
        match client.get(key.clone()).await {
            Ok(Some(kv)) => ensure!(kv.value == value(number, *size), "{key} has changed"),
            Ok(None) => bail!("{key} of {} was acknowledged and is lost without a word", values.len()),
            Err(refusal) => {
                ensure!(number == 0, "{key} is refused, those before it are not: {refusal:?}");
                ensure!(refusal.message.contains("default"), "the volume is not named: {refusal:?}");
                return Ok(Fate::VolumeRefused);
            }
        }
    }
    Ok(Fate::Whole)
}

/// Flips bits one by one and judges what becomes of each node.
async fn flip(image: &Image, values: &[usize], bits: Vec<Bit>) -> Result<()> {
    let (mut fates, mut wrong) = (Vec::new(), Vec::new());
    for bit in bits {
        let copy = image.damaged(bit)?;
        match fate(copy.path(), values).await {
            Ok(fate) => fates.push(fate),
            Err(error) => {
                let Stored { path, length, .. } = &image.0[bit.file];
                let Bit { offset, mask, .. } = bit;
                wrong.push(format!("{}, {mask:#x} of byte {offset} of {length}: {error:#}", path.display()));
            }
        }
    }
    ensure!(wrong.is_empty(), "of {} flips:\n{}", wrong.len() + fates.len(), wrong.join("\n"));
    ensure!(fates.iter().any(|fate| *fate != Fate::Whole), "no flip was noticed: {fates:?}");
    Ok(())
}

/// Bits of each file of the log: of journals within values, of all else anywhere.
fn any_bits(image: &Image, rng: &mut StdRng) -> Result<Vec<Bit>> {
    let mut bits = Vec::new();
    for (file, stored) in image.log() {
        for _ in 0..FLIPS {
            let mut tries = (0..10_000).map(|_| rng.random_range(0..stored.bytes.len()));
            let offset = tries.find(|offset| !stored.is_journal() || stored.is_filler(*offset));
            let offset = offset.with_context(|| format!("{} holds no value", stored.path.display()))?;
            bits.push(Bit { file, offset, mask: 1 << rng.random_range(0..8) });
        }
    }
    Ok(bits)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_log_loses_nothing_without_a_word() -> Result<()> {
    let mut rng = seed::rng("a_damaged_log_loses_nothing_without_a_word");
    let values = [200; 100];
    let image = Image::of_killed_node(&values, false).await?;
    let bits = any_bits(&image, &mut rng)?;
    flip(&image, &values, bits).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_table_of_the_log_loses_nothing_without_a_word() -> Result<()> {
    let mut rng = seed::rng("a_damaged_table_of_the_log_loses_nothing_without_a_word");
    let values = [&[200; 20][..], &[LARGE; MORE_THAN_A_MEMTABLE / LARGE], &[200; 20]].concat();
    let image = Image::of_killed_node(&values, true).await?;
    let is_table = |stored: &Stored| stored.bytes.len() > LARGE && !stored.is_journal();
    ensure!(image.log().any(|(_, stored)| is_table(stored)), "the log wrote no table of client's data");
    let mut bits = any_bits(&image, &mut rng)?;
    bits.retain(|bit| is_table(&image.0[bit.file]));
    flip(&image, &values, bits).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_frame_of_a_journal_loses_nothing_without_a_word() -> Result<()> {
    let mut rng = seed::rng("a_damaged_frame_of_a_journal_loses_nothing_without_a_word");
    let values = [20; 100];
    let image = Image::of_killed_node(&values, false).await?;
    let journals = image.log().filter(|(_, stored)| stored.is_journal());
    let bits = journals.flat_map(|(file, stored)| {
        let draws = (0..100).map(|_| (rng.random_range(0..stored.bytes.len()), rng.random_range(0..8)));
        draws.map(|(offset, bit)| Bit { file, offset, mask: 1 << bit }).collect::<Vec<_>>()
    });
    flip(&image, &values, bits.collect()).await
}
