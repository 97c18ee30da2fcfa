//! One volume's directory: which generation is current, and what a crash left behind.
//!
//! ```text
//! volumes/<id>/CURRENT          names the current generation
//! volumes/<id>/gen-000001/      an lsm-tree directory with a FORMAT file
//! volumes/<id>/gen-000001/KEPT  names a generation that is not to be removed while this one is current
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
use super::kept::KEPT;
use crate::format::FormatId;
use crate::rebuild::Generation;
use crate::{Error, Result};

pub(super) const CURRENT: &str = "CURRENT";
const FORMAT: &str = "FORMAT";
pub(super) const BUILDING: &str = ".building";
pub(super) const REMOVING: &str = ".removing";
const GENERATION: &str = "gen-";
const LIBRARY_TEMPORARY: &str = ".tmp";

/// The layout of rows, and of the file that says so. A larger one was written by a newer Mortise.
const LAYOUT: u32 = 1;

/// How a generation's bytes are laid out. A natural generation has neither version nor config of a codec.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FormatFile {
    format: String,
    version: u32,
    /// SHA-256 of the codec's component; a native codec has none.
    codec_digest: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    codec_version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    config: Option<String>,
}

/// The part of the file that is read before the rest is believed.
#[derive(Deserialize)]
struct FormatHead {
    format: String,
    version: u64,
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
pub(super) fn prepare(volume: &Directory, format: &FormatId) -> Result<Generation> {
    let generation = volume.create_child(&name_of(1))?;
    write_format(&generation, format)?;
    Ok(Generation { number: 1, path: generation.path().to_path_buf(), format: format.clone() })
}

/// Names the current generation. From here on the volume exists.
pub(super) fn complete(volume: &Directory, generation: &Generation) -> Result<()> {
    volume.child(&name_of(generation.number))?.sync()?;
    volume.replace(CURRENT, format!("{}\n", name_of(generation.number)).as_bytes())
}

/// Makes the directory of a generation in the making, of the format given, else of that of `like`.
pub(super) fn build(
    volume: &Directory,
    number: u64,
    like: u64,
    wanted: Option<FormatId>,
) -> Result<Generation> {
    let wanted = wanted.map_or_else(|| format(&volume.child(&name_of(like))?), Ok)?;
    let building = volume.create_child(&building_name(number))?;
    write_format(&building, &wanted)?;
    Ok(Generation { number, path: building.path().to_path_buf(), format: wanted })
}

/// Gives a generation in the making its final name. It is complete, but [`flip`] alone makes it current.
pub(super) fn name(volume: &Directory, number: u64) -> Result<Generation> {
    let building = building_name(number);
    volume.child(&building)?.sync()?;
    volume.rename(&building, &name_of(number))?;
    named(volume, number)
}

/// Writes the `CURRENT` that names a generation beside the one that is there.
pub(super) fn prepare_flip(volume: &Directory, number: u64) -> Result<()> {
    volume.prepare(CURRENT, format!("{}\n", name_of(number)).as_bytes())
}

/// Puts the prepared `CURRENT` in the place of the one that is there.
pub(super) fn flip(volume: &Directory) -> Result<()> {
    volume.rename_unsynced(&format!("{CURRENT}{TEMPORARY}"), CURRENT)
}

/// Removes a `CURRENT` that was prepared and never took its place.
pub(super) fn unprepare_flip(volume: &Directory) -> Result<()> {
    let prepared = format!("{CURRENT}{TEMPORARY}");
    if volume.has(&prepared) { volume.remove_file(&prepared) } else { Ok(()) }
}

/// Removes a generation, under either name.
pub(super) fn abandon(volume: &Directory, number: u64) -> Result<()> {
    volume.remove_tree(&building_name(number))?;
    volume.remove_tree(&name_of(number))
}

/// Removes a generation that was current once.
pub(super) fn remove(volume: &Directory, number: u64) -> Result<()> {
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

/// Finds the current generation of a complete volume and changes nothing.
pub(super) fn find(volume: &Directory) -> Result<Generation> {
    named(volume, current(volume)?)
}

/// Removes what interrupted work left beside the current generation, and the one that is kept.
pub(super) fn clear(volume: &Directory, current: &Generation, kept: Option<u64>) -> Result<()> {
    // What a flip replaced may go only when a power failure cannot bring it back.
    volume.sync()?;
    let kept = kept.map(name_of);
    let serving = directory(volume, current.number)?;
    if kept.is_none() && serving.has(KEPT) {
        serving.remove_file(KEPT)?;
    }
    remove_leftovers(volume, &name_of(current.number), kept.as_deref())?;
    for used in [Some(name_of(current.number)), kept].into_iter().flatten().filter(|name| volume.is_dir(name))
    {
        remove_temporaries(&volume.child(&used)?)?;
    }
    Ok(())
}

/// Whether a file in a generation's directory is one that a crash kept from being completed: one of ours, or
/// of the tree, which names its own by the `tempfile` crate's prefix.
pub(super) fn is_temporary(name: &str) -> bool {
    name.ends_with(TEMPORARY) || name.starts_with(LIBRARY_TEMPORARY)
}

/// Removes them. Nobody has the generation's tree open.
fn remove_temporaries(generation: &Directory) -> Result<()> {
    for name in generation.names()? {
        if let Some(name) = name.to_str()
            && is_temporary(name)
            && !generation.is_dir(name)
        {
            generation.remove_file(name)?;
            tracing::info!(path = %generation.path_of(name).display(), "removed a file that was never completed");
        }
    }
    Ok(())
}

/// Whether a generation is there under its final name.
pub(super) fn exists(volume: &Directory, number: u64) -> bool {
    volume.is_dir(&name_of(number))
}

/// The directory of a generation that is there under its final name.
pub(super) fn directory(volume: &Directory, number: u64) -> Result<Directory> {
    volume.child(&name_of(number))
}

/// A generation that is there under its final name.
pub(super) fn named(volume: &Directory, number: u64) -> Result<Generation> {
    let generation = directory(volume, number)?;
    let format = format(&generation)?;
    Ok(Generation { number, path: generation.path().to_path_buf(), format })
}

/// Writes the FORMAT file of a generation.
fn write_format(generation: &Directory, format: &FormatId) -> Result<()> {
    let codec = |text: &String| (!format.is_natural()).then(|| text.clone());
    let file = FormatFile {
        format: format.name.clone(),
        version: LAYOUT,
        codec_digest: format.digest.clone(),
        codec_version: codec(&format.version),
        config: codec(&format.config),
    };
    let text = serde_json::to_string(&file).map_err(|error| Error::Internal(error.to_string()))?;
    generation.replace(FORMAT, format!("{text}\n").as_bytes())
}

/// The format of a generation, in a layout that this version knows.
pub(super) fn format(generation: &Directory) -> Result<FormatId> {
    let path = generation.path_of(FORMAT);
    let expected = || format!("a format in layout {LAYOUT}");
    let unknown = |found| Error::UnknownFormat { path: path.clone(), found, expected: expected() };
    let corrupt = |error: serde_json::Error| Error::Corrupt {
        path: path.clone(),
        detail: format!("expected a JSON object that names {}: {error}", expected()),
    };
    let Some(bytes) = generation.read(FORMAT)? else { return Err(unknown("no FORMAT file".into())) };
    let head: FormatHead = serde_json::from_slice(&bytes).map_err(corrupt)?;
    if head.version != u64::from(LAYOUT) {
        return Err(unknown(format!("{} in layout {}", head.format, head.version)));
    }
    let file: FormatFile = serde_json::from_slice(&bytes).map_err(corrupt)?;
    let FormatFile { format: name, codec_digest: digest, codec_version, config, .. } = file;
    let natural = FormatId::natural();
    match (codec_version, config) {
        (None, None) if name == natural.name && digest.is_none() => Ok(natural),
        (Some(version), Some(config)) if name != natural.name => {
            Ok(FormatId { name, version, digest, config })
        }
        (version, _) => {
            let (version, digest) = (version.unwrap_or_default(), digest.unwrap_or_default());
            Err(unknown(format!("{name:?} with the codec version {version:?}, digest {digest:?}")))
        }
    }
}

fn remove_leftovers(volume: &Directory, current: &str, kept: Option<&str>) -> Result<()> {
    for name in volume.names()? {
        let Some(name) = name.to_str() else {
            tracing::warn!(path = %volume.path().display(), ?name, "unknown name left alone");
            continue;
        };
        let path = volume.path_of(name);
        if name == current || name == CURRENT || kept == Some(name) {
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
