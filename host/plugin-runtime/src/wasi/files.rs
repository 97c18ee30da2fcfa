//! `wasi:filesystem` without a file: no directory is handed out, so that there is nothing to open one from.
//!
//! A descriptor comes only from another one or from the directories that a plugin begins with, and it begins
//! with none; the functions on descriptors are here because components import them, not because they could
//! be called.

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource, ResourceType, Val};

use super::named;
use crate::runtime::CallState;

/// A file or directory, of which there is none.
struct Descriptor;

/// The entries of a directory, of which there is none.
struct Entries;

/// Functions of a descriptor.
const METHODS: [&str; 27] = [
    "advise",
    "append-via-stream",
    "create-directory-at",
    "get-flags",
    "get-type",
    "is-same-object",
    "link-at",
    "metadata-hash",
    "metadata-hash-at",
    "open-at",
    "read",
    "read-directory",
    "read-via-stream",
    "readlink-at",
    "remove-directory-at",
    "rename-at",
    "set-size",
    "set-times",
    "set-times-at",
    "stat",
    "stat-at",
    "symlink-at",
    "sync",
    "sync-data",
    "unlink-file-at",
    "write",
    "write-via-stream",
];

pub(super) fn add(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    let mut types = linker.instance(&named("wasi:filesystem/types"))?;
    types.resource("descriptor", ResourceType::host::<Descriptor>(), |_, _| Ok(()))?;
    types.resource("directory-entry-stream", ResourceType::host::<Entries>(), |_, _| Ok(()))?;
    let methods = METHODS.map(|method| format!("[method]descriptor.{method}"));
    let entries = "[method]directory-entry-stream.read-directory-entry".to_owned();
    for function in methods.into_iter().chain([entries]) {
        types.func_new(&function, |_, _, _, _| {
            Err(wasmtime::Error::msg("it used a file, although plugins have none"))
        })?;
    }
    types.func_new("filesystem-error-code", |_, _, _, results| {
        results.fill(Val::Option(None));
        Ok(())
    })?;
    linker
        .instance(&named("wasi:filesystem/preopens"))?
        .func_wrap("get-directories", |_: StoreContextMut<'_, CallState>, ()| {
            Ok((Vec::<(Resource<Descriptor>, String)>::new(),))
        })
}
