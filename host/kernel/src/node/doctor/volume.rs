//! One volume's directory: which generation is current, what it is written in, and what else lies there.
//!
//! The rules are those by which a start goes, applied without doing anything: what it would remove is called
//! a leftover, and the trees of leftovers are not read. Without a `CURRENT` that can be read nothing is
//! called a leftover, because any of the generations may be the one that matters. Trees whose `FORMAT` is not
//! known are not judged.

use super::examine::{examine_tree, note};
use super::report::{FormatReport, GenerationReport, Report, Role, Severity, VolumeReport};
use crate::Result;
use crate::format::FormatId;
use crate::node::VolumeId;
use crate::node::directory::{Directory, TEMPORARY};
use crate::node::generation::{self, BUILDING, CURRENT};
use crate::node::kept::{self, KEPT};

/// The generation that is kept beside `current`. A note that a start would take for none is named: what it
/// stood for is gone with that start.
fn kept_beside(current: u64, volume: &Directory, report: &mut Report) -> Result<Option<u64>> {
    let found =
        kept::find(volume, current).and_then(|kept| Ok((kept, generation::directory(volume, current)?)));
    match found {
        Ok((Some(kept), _)) => Ok(Some(kept.generation)),
        Ok((None, serving)) => {
            if serving.has(KEPT) {
                let detail = "it cannot be read or names a generation that is not there, so nothing is kept; \
                              the next start removes it";
                report.find(Severity::Leftover, serving.path_of(KEPT), detail);
            }
            Ok(None)
        }
        Err(error) => {
            note(report, volume.path(), error)?;
            Ok(None)
        }
    }
}

pub(super) fn examine(
    id: VolumeId,
    volume: &Directory,
    report: &mut Report,
    read: &dyn Fn(u64),
) -> Result<VolumeReport> {
    let mut examined = VolumeReport { id, current: None, generations: Vec::new() };
    if !generation::is_complete(volume) {
        let detail = "it has no CURRENT, so its creation never ended; if the catalog still names it, the \
                      next start makes it anew";
        report.find(Severity::Leftover, volume.path().to_path_buf(), detail);
        return Ok(examined);
    }
    let current = match generation::current(volume) {
        Ok(current) => Some(current),
        Err(error) => {
            note(report, &volume.path_of(CURRENT), error)?;
            None
        }
    };
    examined.current = current;
    let kept = match current {
        Some(current) => kept_beside(current, volume, report)?,
        None => None,
    };
    for name in volume.names()? {
        let text = name.to_string_lossy().into_owned();
        if text == CURRENT {
            continue;
        }
        let path = volume.path_of(&text);
        let number = generation::number_of(text.strip_suffix(BUILDING).unwrap_or(&text));
        match number.filter(|_| volume.is_dir(&text)) {
            Some(number) if current == Some(number) && !text.ends_with(BUILDING) => {
                examined.generations.push(generation_in_use(&text, Role::Current, volume, report, read)?);
            }
            Some(number) if kept == Some(number) && !text.ends_with(BUILDING) => {
                examined.generations.push(generation_in_use(&text, Role::Kept, volume, report, read)?);
            }
            Some(_) => {
                // Without a CURRENT that can be read, any of them may be the one that matters.
                if current.is_some() {
                    let detail = "a generation that is not current; the next start removes it";
                    report.find(Severity::Leftover, path, detail);
                }
                let format = volume.child(&text).ok().and_then(|child| generation::format(&child).ok());
                let format = format.map(reported);
                examined.generations.push(GenerationReport {
                    name: text,
                    role: Role::Leftover,
                    format,
                    tree: None,
                });
            }
            None if text.ends_with(TEMPORARY) && !volume.is_dir(&text) => {
                let detail = "a file that was never completed; the next start removes it";
                report.find(Severity::Leftover, path, detail);
            }
            None => report.find(Severity::Unknown, path, "no name that Mortise gives in a volume"),
        }
    }
    Ok(examined)
}

fn generation_in_use(
    name: &str,
    role: Role,
    volume: &Directory,
    report: &mut Report,
    read: &dyn Fn(u64),
) -> Result<GenerationReport> {
    let directory = volume.child(name)?;
    let format = match generation::format(&directory) {
        Ok(format) => Some(reported(format)),
        Err(error) => {
            note(report, directory.path(), error)?;
            None
        }
    };
    for name in directory.names()? {
        let text = name.to_string_lossy();
        if generation::is_temporary(&text) {
            let detail = "a file that was never completed; the next start removes it";
            report.find(Severity::Leftover, directory.path_of(&text), detail);
        }
    }
    // The files of a layout that is not known cannot be judged.
    let tree = format.is_some().then(|| examine_tree(directory.path(), report, read)).transpose()?;
    Ok(GenerationReport { name: name.to_owned(), role, format, tree })
}

fn reported(format: FormatId) -> FormatReport {
    FormatReport { format: format.name, version: format.version, digest: format.digest }
}
