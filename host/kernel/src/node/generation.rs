//! One volume's directory: which generation is current, and what a crash left behind.
//!
//! ```text
//! volumes/<id>/CURRENT          names the current generation
//! volumes/<id>/gen-000001/      an lsm-tree directory with a FORMAT file
//! volumes/<id>/*.building       a generation in the making
//! volumes/<id>.removing         a volume on its way out
//! ```
//! `CURRENT` alone decides. A volume without it was never completed and may be created anew. With it, every
//! other generation, whatever is `.building` and every temporary file is a leftover and removed. A name that
//! is none of these is reported and left alone. A generation of an unknown format is never
//! opened or changed, and nothing beside it is removed either.

use serde::{Deserialize, Serialize};

use super::VolumeId;
use super::directory::{Directory, TEMPORARY};
use crate::rebuild::Generation;
use crate::{Error, Result};

pub(super) const CURRENT: &str = "CURRENT";
const FORMAT: &str = "FORMAT";
pub(super) const BUILDING: &str = ".building";
pub(super) const REMOVING: &str = ".removing";
const GENERATION: &str = "gen-";

/// The only format that this version writes and reads.
const NATURAL: &str = "natural";
const NATURAL_VERSION: u32 = 1;

/// How a generation's bytes are laid out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FormatFile {
    pub(super) format: String,
    pub(super) version: u32,
    /// SHA-256 of the codec that encodes keys; the natural format has none.
    pub(super) codec_digest: Option<String>,
}

fn name_of(number: u64) -> String {
    format!("{GENERATION}{number:06}")
}

fn building_name(number: u64) -> String {
    format!("{}{BUILDING}", name_of(number))
}

/// The number in a generation's name; `None` when it is not exactly such a name.
pub(super) fn number_of(name: &str) -> Option<u64> {
    let number = name.strip_prefix(GENERATION)?.parse().ok()?;
    (name_of(number) == name).then_some(number)
}

/// Name of a volume's directory.
pub(super) fn directory_name(volume: VolumeId) -> String {
    volume.to_string()
}

/// The volume that a directory's name stands for.
pub(super) fn volume_of(name: &str) -> Option<VolumeId> {
    let id = VolumeId(name.parse().ok()?);
    (directory_name(id) == name).then_some(id)
}

/// Whether the directory holds a complete volume.
pub(super) fn is_complete(volume: &Directory) -> bool {
    volume.has(CURRENT)
}

/// Makes the first generation, without naming it: [`complete`] does that once its store exists.
pub(super) fn prepare(volume: &Directory) -> Result<Generation> {
    let generation = volume.create_child(&name_of(1))?;
    let format = FormatFile { format: NATURAL.into(), version: NATURAL_VERSION, codec_digest: None };
    let text = serde_json::to_string(&format).map_err(|error| Error::Internal(error.to_string()))?;
    generation.replace(FORMAT, format!("{text}\n").as_bytes())?;
    Ok(Generation { number: 1, path: generation.path().to_path_buf() })
}

/// Names the current generation. From here on the volume exists.
pub(super) fn complete(volume: &Directory, generation: &Generation) -> Result<()> {
    volume.child(&name_of(generation.number))?.sync()?;
    volume.replace(CURRENT, format!("{}\n", name_of(generation.number)).as_bytes())
}

/// Makes the directory of a generation in the making. It gets the `FORMAT` given, else that of `like`.
pub(super) fn build(
    volume: &Directory,
    number: u64,
    like: u64,
    format: Option<Vec<u8>>,
) -> Result<Generation> {
    let format = match format {
        Some(format) => format,
        None => {
            let like = volume.child(&name_of(like))?;
            let missing = || Error::Corrupt { path: like.path_of(FORMAT), detail: "it is missing".into() };
            like.read(FORMAT)?.ok_or_else(missing)?
        }
    };
    let building = volume.create_child(&building_name(number))?;
    building.replace(FORMAT, &format)?;
    Ok(Generation { number, path: building.path().to_path_buf() })
}

/// Gives a generation in the making its final name. It is complete, but [`flip`] alone makes it current.
pub(super) fn name(volume: &Directory, number: u64) -> Result<Generation> {
    let building = building_name(number);
    volume.child(&building)?.sync()?;
    volume.rename(&building, &name_of(number))?;
    Ok(Generation { number, path: volume.path_of(&name_of(number)) })
}

/// Writes the `CURRENT` that names a generation beside the one that is there.
pub(super) fn prepare_flip(volume: &Directory, number: u64) -> Result<()> {
    volume.prepare(CURRENT, format!("{}\n", name_of(number)).as_bytes())
}

/// Puts the prepared `CURRENT` in the place of the one that is there.
pub(super) fn flip(volume: &Directory) -> Result<()> {
    volume.rename_unsynced(&format!("{CURRENT}{TEMPORARY}"), CURRENT)
}

/// Removes a generation, under either name, and a `CURRENT` that was prepared for it.
pub(super) fn abandon(volume: &Directory, number: u64) -> Result<()> {
    let prepared = format!("{CURRENT}{TEMPORARY}");
    if volume.has(&prepared) {
        volume.remove_file(&prepared)?;
    }
    volume.remove_tree(&building_name(number))?;
    volume.remove_tree(&name_of(number))
}

/// The largest number of a generation that is there, under either name.
pub(super) fn largest(volume: &Directory) -> Result<u64> {
    let names = volume.names()?;
    let names = names.iter().filter_map(|name| name.to_str());
    let numbers = names.filter_map(|name| number_of(name.strip_suffix(BUILDING).unwrap_or(name)));
    Ok(numbers.max().unwrap_or(0))
}

/// Number of the current generation of a complete volume, which has a directory.
pub(super) fn current(volume: &Directory) -> Result<u64> {
    let path = volume.path_of(CURRENT);
    let corrupt = |detail| Error::Corrupt { path: path.clone(), detail };
    let bytes = volume.read(CURRENT)?.ok_or_else(|| corrupt("expected it, found no such file".into()))?;
    let text = String::from_utf8_lossy(&bytes);
    let number = text
        .strip_suffix('\n')
        .and_then(number_of)
        .ok_or_else(|| corrupt(format!("expected a line such as {:?}, found {text:?}", name_of(1))))?;
    let name = name_of(number);
    if !volume.is_dir(&name) {
        return Err(corrupt(format!("it names {name}, but there is no such directory")));
    }
    Ok(number)
}

/// Finds the current generation of a complete volume, then removes leftovers.
pub(super) fn recover(volume: &Directory) -> Result<Generation> {
    let number = current(volume)?;
    let name = name_of(number);
    let generation = volume.child(&name)?;
    format(&generation)?;
    // What a flip replaced may go only when a power failure cannot bring it back.
    volume.sync()?;
    remove_leftovers(volume, &name)?;
    Ok(Generation { number, path: generation.path().to_path_buf() })
}

/// The format of a generation, which this version knows.
pub(super) fn format(generation: &Directory) -> Result<FormatFile> {
    let path = generation.path_of(FORMAT);
    let expected = format!("{NATURAL} version {NATURAL_VERSION}");
    let Some(bytes) = generation.read(FORMAT)? else {
        return Err(Error::UnknownFormat { path, found: "missing".into(), expected });
    };
    let format: FormatFile = serde_json::from_slice(&bytes).map_err(|error| Error::Corrupt {
        path: path.clone(),
        detail: format!("expected a JSON object with format and version: {error}"),
    })?;
    if format.format != NATURAL || format.version != NATURAL_VERSION || format.codec_digest.is_some() {
        let codec = format.codec_digest.map(|digest| format!(" with codec {digest}")).unwrap_or_default();
        let found = format!("{} version {}{codec}", format.format, format.version);
        return Err(Error::UnknownFormat { path, found, expected });
    }
    Ok(format)
}

fn remove_leftovers(volume: &Directory, current: &str) -> Result<()> {
    for name in volume.names()? {
        let Some(name) = name.to_str() else {
            tracing::warn!(path = %volume.path().display(), ?name, "unknown name left alone");
            continue;
        };
        let path = volume.path_of(name);
        if name == current || name == CURRENT {
            continue;
        }
        if number_of(name.strip_suffix(BUILDING).unwrap_or(name)).is_some() && volume.is_dir(name) {
            volume.remove_tree(name)?;
            tracing::info!(path = %path.display(), current, "removed a generation that is not current");
        } else if name.ends_with(TEMPORARY) && !volume.is_dir(name) {
            volume.remove_file(name)?;
            tracing::info!(path = %path.display(), "removed a file that was never completed");
        } else {
            tracing::warn!(path = %path.display(), "unknown name left alone");
        }
    }
    Ok(())
}
