//! Reading what a component says about itself, without running or compiling any of it.
//!
//! World and version are read from the names of the component's exports (see `world`), grants are checked
//! against the names of its imports. Exports beyond the world are fine (some languages' runtimes add their
//! own), imports beyond it are not.

use std::collections::BTreeSet;
use std::fmt;

use sha2::{Digest as _, Sha256};
use wasmparser::{Encoding, Parser, Payload};

use crate::config::{MAX_COMPONENT_BYTES, MAX_FUNCTION_BYTES, MAX_MEMORY_BYTES};
use crate::engine::MAX_TABLE_ELEMENTS;
use crate::present::presentable;
use crate::world::Contract;
use crate::{Capability, Error, Result, World, grants};

/// The only interface that every plugin may import, in the version of its contract.
const GRANTED: &str = "log";

/// Bytes of a page where a memory doesn't say otherwise.
const PAGE_BYTES: u64 = 64 * 1024;

/// Imports, and likewise exports, that a component may have. The parser takes any number, and each costs the
/// host many times the bytes that it has in the file; no language's tools come near a hundred.
const MAX_NAMES: u32 = 1_000;

/// Globals that a module may have. They lie in what the host keeps of an instance, which no limit on memory
/// counts; the pool of instances refuses more than about so many by itself.
const MAX_GLOBALS: u32 = 50_000;

/// SHA-256 of a component's bytes; shows as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The digest's own 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// What a component says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// SHA-256 of the component.
    pub digest: Digest,
    /// Size of the component in bytes.
    pub bytes: u64,
    /// The world that it implements.
    pub world: World,
    /// Version of the contract that it was built for.
    pub wit_version: String,
    /// Names of its imports.
    pub imports: Vec<String>,
    /// The capabilities that the imports belong to.
    pub capabilities: BTreeSet<Capability>,
}

/// Reads and checks a component: its size, world, version and imports. Neither compiles nor runs it, and
/// needs no [`Runtime`](crate::Runtime).
///
/// # Errors
/// Why no runtime would take the component, whatever it is granted.
pub fn inspect(bytes: &[u8]) -> Result<Description> {
    let size = bytes.len() as u64;
    if bytes.len() > MAX_COMPONENT_BYTES {
        return Err(Error::TooLarge { found: size, allowed: MAX_COMPONENT_BYTES as u64 });
    }
    check_magic(bytes)?;
    let outline = Outline::read(bytes)?;
    let contract = Contract::of_exports(&outline.exports)?;
    let capabilities = grants::sort(&outline.imports, &contract.version.interface(GRANTED))?;
    outline.check_sizes()?;
    Ok(Description {
        digest: Digest::of(bytes),
        bytes: size,
        world: contract.world,
        wit_version: contract.version.to_string(),
        imports: outline.imports,
        capabilities,
    })
}

fn check_magic(bytes: &[u8]) -> Result<()> {
    if bytes.starts_with(b"\0asm") {
        return Ok(());
    }
    let found = match bytes {
        [] => "it is empty".to_owned(),
        [b'(', ..] => {
            "it begins with `(`, like the text format, which `wasm-tools parse` turns to binary".into()
        }
        _ => format!("it begins with {:02x?}", &bytes[..bytes.len().min(4)]),
    };
    Err(Error::NotWasm { found })
}

/// Names and sizes found in a component.
#[derive(Debug, Default)]
struct Outline {
    imports: Vec<String>,
    exports: Vec<String>,
    memory_bytes: u64,
    largest_table: u64,
}

impl Outline {
    fn read(bytes: &[u8]) -> Result<Self> {
        let mut outline = Self::default();
        let mut depth = 0_usize;
        for payload in Parser::new(0).parse_all(bytes) {
            match payload.map_err(malformed)? {
                Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => {
                    return Err(Error::CoreModule);
                }
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(imports) if depth == 0 => {
                    at_most(MAX_NAMES, "imports", outline.imports.len(), imports.count())?;
                    for import in imports {
                        outline.imports.push(import.map_err(malformed)?.name.name.to_owned());
                    }
                }
                Payload::ComponentExportSection(exports) if depth == 0 => {
                    at_most(MAX_NAMES, "exports", outline.exports.len(), exports.count())?;
                    for export in exports {
                        outline.exports.push(export.map_err(malformed)?.name.name.to_owned());
                    }
                }
                Payload::MemorySection(memories) => {
                    for memory in memories {
                        let memory = memory.map_err(malformed)?;
                        let page = memory.page_size_log2.map_or(PAGE_BYTES, |log2| 1 << log2.min(16));
                        let initial = memory.initial.saturating_mul(page);
                        outline.memory_bytes = outline.memory_bytes.saturating_add(initial);
                    }
                }
                Payload::GlobalSection(globals) => {
                    at_most(MAX_GLOBALS, "globals in a module", 0, globals.count())?;
                }
                Payload::CodeSectionEntry(body) => {
                    let found = body.range().len() as u64;
                    if found > MAX_FUNCTION_BYTES {
                        return Err(Error::FunctionTooLarge { found, allowed: MAX_FUNCTION_BYTES });
                    }
                }
                Payload::TableSection(tables) => {
                    for table in tables {
                        let initial = table.map_err(malformed)?.ty.initial;
                        outline.largest_table = outline.largest_table.max(initial);
                    }
                }
                _ => {}
            }
        }
        Ok(outline)
    }

    fn check_sizes(&self) -> Result<()> {
        let table_bytes = self.largest_table.saturating_mul(8);
        for (what, found, allowed) in
            [("memory", self.memory_bytes, MAX_MEMORY_BYTES), ("tables", table_bytes, MAX_TABLE_ELEMENTS * 8)]
        {
            if found > allowed {
                return Err(Error::StartsTooBig { what, found, allowed });
            }
        }
        Ok(())
    }
}

/// Checks a number that a section states, before any of it is read.
fn at_most(most: u32, what: &'static str, had: usize, more: u32) -> Result<()> {
    let found = had as u64 + u64::from(more);
    if found > u64::from(most) { Err(Error::TooMany { what, found, allowed: most.into() }) } else { Ok(()) }
}

fn malformed(error: impl fmt::Display) -> Error {
    Error::Malformed { detail: presentable(&error.to_string()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A component with a core module that has one function with a body of about so many bytes.
    fn with_function(bytes: usize) -> Vec<u8> {
        let body = "nop ".repeat(bytes);
        wat::parse_str(format!("(component (core module (func {body})))")).unwrap()
    }

    #[test]
    fn too_many_names_or_globals_are_refused_before_they_are_read() {
        let lines = |count: usize, line: &dyn Fn(usize) -> String| (0..count).map(line).collect::<String>();
        let import = |number| format!("(import \"i{number}\" (func))");
        let export = |number| format!("(export \"e{number}\" (func $f))");
        let texts = [
            ("1001 imports", format!("(component {})", lines(1_001, &import))),
            ("1001 exports", format!("(component (import \"f\" (func $f)) {})", lines(1_001, &export))),
            (
                "50001 globals",
                format!(
                    "(component (core module {}))",
                    lines(50_001, &|_| "(global i32 i32.const 0)".into())
                ),
            ),
        ];
        for (expected, text) in texts {
            let error = inspect(&wat::parse_str(text).unwrap()).unwrap_err();
            assert!(matches!(error, Error::TooMany { .. }), "{error}");
            assert!(error.is_component_fault() && error.to_string().contains(expected), "{error}");
        }
        let error = inspect(&wat::parse_str(format!("(component {})", lines(1_000, &import))).unwrap());
        assert!(matches!(error, Err(Error::OtherWorld { .. })), "{error:?}");
    }

    #[test]
    fn huge_functions_are_refused_before_they_are_compiled() {
        let limit = usize::try_from(MAX_FUNCTION_BYTES).unwrap();
        let error = inspect(&with_function(limit)).unwrap_err();
        assert!(matches!(error, Error::FunctionTooLarge { .. }), "{error}");
        assert!(error.is_component_fault() && error.to_string().contains("524288"), "{error}");
        let error = inspect(&with_function(limit - 100)).unwrap_err();
        assert!(matches!(error, Error::OtherWorld { .. }), "{error}");
    }
}
