//! Looks at a data directory that no daemon uses: what the kernel finds in it, and the components beside it.
//!
//! Changes nothing. The catalog is data of a volume and is not read, so volumes have ids here and no names,
//! and a component is known by its digest alone.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use mortise_kernel::node::doctor as kernel;
pub use mortise_kernel::node::doctor::{
    Finding, FormatReport, GenerationReport, JournalReport, LogReport, NodeReport, Report, Role, Severity,
    TreeReport, VolumeReport,
};
use mortise_plugin_runtime::Digest;
use serde::Serialize;

use crate::{Error, Result};

/// What was found in a data directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Examination {
    /// Everything below the kernel. Its findings are about all of the directory.
    #[serde(flatten)]
    pub report: Report,
    /// The components that are stored, by digest.
    pub components: Vec<ComponentReport>,
}

/// A component as a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ComponentReport {
    /// The digest that its name states.
    pub digest: String,
    /// Its size.
    pub bytes: u64,
    /// Whether its content has that digest.
    pub whole: bool,
    /// Ids of the volumes whose data it encodes.
    pub encodes: Vec<u64>,
}

/// Examines a data directory. `read` is told the bytes that were read since it was called last.
///
/// # Errors
/// [`mortise_kernel::Error::DirectoryInUse`] while a daemon runs there, and those of reading. Whatever is
/// wrong inside is a finding and no error.
pub fn examine(path: &Path, read: &dyn Fn(u64)) -> Result<Examination> {
    let mut report = kernel::examine(path, read)?;
    let mut components = components(&mut report, read)?;
    let mut needed: BTreeMap<String, Vec<(u64, String)>> = BTreeMap::new();
    for volume in &report.volumes {
        let used = volume.generations.iter().filter(|generation| generation.role != Role::Leftover);
        for generation in used {
            let Some(format) = &generation.format else { continue };
            let Some(digest) = &format.digest else { continue };
            let what = match generation.role {
                Role::Kept => "the kept generation of volume",
                Role::Current | Role::Leftover => "volume",
            };
            let (id, name, version) = (volume.id.0, &format.format, &format.version);
            let detail = format!(
                "{what} {id} is written in {name} {version}, whose component is not here; it does not open \
                 until `mortise plugin add` brings it"
            );
            needed.entry(digest.clone()).or_default().push((id, detail));
        }
    }
    let blobs = report.directory.join("plugins").join("blobs");
    for (digest, users) in needed {
        if let Some(found) = components.iter_mut().find(|component| component.digest == digest) {
            found.encodes = users.iter().map(|(id, _)| *id).collect();
            found.encodes.dedup();
            continue;
        }
        for (_, detail) in users {
            let path = blobs.join(format!("{digest}.wasm"));
            report.findings.push(Finding { severity: Severity::Unserved, path, detail });
        }
    }
    report.findings.sort_by(|a, b| b.severity.cmp(&a.severity).then_with(|| a.path.cmp(&b.path)));
    Ok(Examination { report, components })
}

/// Compares every component with its name.
fn components(report: &mut Report, read: &dyn Fn(u64)) -> Result<Vec<ComponentReport>> {
    let path = report.directory.join("plugins").join("blobs");
    let failed = |source| Error::Io { context: format!("cannot read {}", path.display()), source };
    let dir = match Dir::open_ambient_dir(&path, ambient_authority()) {
        Ok(dir) => dir,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut found = Vec::new();
    for entry in dir.entries().map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let text = name.to_string_lossy();
        let at: PathBuf = path.join(&name);
        let finding = |severity, detail: String| Finding { severity, path: at.clone(), detail };
        let Some(digest) = text.strip_suffix(".wasm") else {
            report.findings.push(match text.ends_with(".tmp") {
                true => finding(
                    Severity::Leftover,
                    "a component that was never completed; the next start removes it".into(),
                ),
                false => finding(Severity::Unknown, "no name that Mortise gives".into()),
            });
            continue;
        };
        let content = dir.read(&name).map_err(failed)?;
        read(content.len() as u64);
        let is = Digest::of(&content).to_string();
        let whole = is == digest;
        if !whole {
            let detail = format!("its content has digest {is}; add the plugin again, which repairs the file");
            report.findings.push(finding(Severity::Damaged, detail));
        }
        let bytes = content.len() as u64;
        found.push(ComponentReport { digest: digest.to_owned(), bytes, whole, encodes: Vec::new() });
    }
    found.sort_by(|a, b| a.digest.cmp(&b.digest));
    Ok(found)
}
