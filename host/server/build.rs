//! Compiles the protocol definitions in `proto/` with protox, so that building needs no `protoc`, and embeds
//! what `mortise plugin new` writes: the templates, the WIT files and the guest SDK.
//!
//! Files are listed in the order of their names, so that the same sources give the same program. The SDK is
//! embedded as a crate that stands alone: what it inherits from the workspace is written out, and lints and
//! development dependencies are left out.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

type Failed = Box<dyn std::error::Error>;

const FILES: [&str; 13] = [
    "etcd/mvcc.proto",
    "etcd/header.proto",
    "etcd/kv.proto",
    "etcd/watch.proto",
    "etcd/lease.proto",
    "etcd/cluster.proto",
    "etcd/maintenance.proto",
    "etcd/authpb.proto",
    "etcd/auth.proto",
    "mortise/jobs.proto",
    "mortise/recording.proto",
    "mortise/admin.proto",
    "mortise/shadows.proto",
];

fn main() -> Result<(), Failed> {
    println!("cargo:rerun-if-changed=proto");
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).open_files(FILES)?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    fs::write(out.join("mortise.bin"), compiler.encode_file_descriptor_set())?;
    // Keys and values stay slices of the received frame instead of being copied.
    tonic_prost_build::configure().bytes(".").compile_fds(compiler.file_descriptor_set())?;
    embed(&out)
}

/// Writes lists of files, by path, that the program includes.
fn embed(out: &Path) -> Result<(), Failed> {
    let here = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?);
    let root = here.join("../..");
    let sdk = root.join("guest-sdk");
    let manifest = out.join("guest-sdk.toml");
    fs::write(&manifest, standalone(&sdk.join("Cargo.toml"), &root.join("Cargo.toml"))?)?;
    let mut sdk_files = list(&sdk.join("src"), "src/")?;
    sdk_files.push(("Cargo.toml".to_owned(), manifest));
    let mut text = String::new();
    for (constant, what, files) in [
        ("TEMPLATES", "Projects, by language and world.", list(&here.join("templates"), "")?),
        ("WIT", "The contract, a folder for each version.", list(&root.join("wit"), "")?),
        ("SDK", "The guest SDK, as a crate that needs no workspace.", sdk_files),
    ] {
        writeln!(text, "/// {what}\npub(super) const {constant}: &[File] = &[")?;
        for (path, file) in files {
            writeln!(text, "    ({path:?}, include_bytes!({:?})),", file.canonicalize()?)?;
        }
        writeln!(text, "];")?;
    }
    fs::write(out.join("embedded.rs"), text)?;
    Ok(())
}

/// The files below a folder, by their paths below it.
fn list(folder: &Path, prefix: &str) -> Result<Vec<(String, PathBuf)>, Failed> {
    println!("cargo:rerun-if-changed={}", folder.display());
    let mut entries = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    let mut files = Vec::new();
    for entry in entries {
        let (name, path) = (entry.file_name(), entry.path());
        let name = format!("{prefix}{}", name.to_str().ok_or("a file name that is not text")?);
        if path.is_dir() {
            files.extend(list(&path, &format!("{name}/"))?);
        } else {
            files.push((name, path));
        }
    }
    Ok(files)
}

/// The SDK's manifest with everything written out that it inherits from the workspace.
fn standalone(manifest: &Path, workspace: &Path) -> Result<String, Failed> {
    for file in [manifest, workspace] {
        println!("cargo:rerun-if-changed={}", file.display());
    }
    let mut crate_: toml::Table = fs::read_to_string(manifest)?.parse()?;
    let workspace: toml::Table = fs::read_to_string(workspace)?.parse()?;
    let workspace = &workspace["workspace"];
    let inherits = |value: &toml::Value| value.get("workspace").and_then(toml::Value::as_bool) == Some(true);
    for (section, source) in [("package", "package"), ("dependencies", "dependencies")] {
        let Some(table) = crate_.get_mut(section).and_then(toml::Value::as_table_mut) else { continue };
        for (key, value) in table.iter_mut().filter(|(_, value)| inherits(value)) {
            *value = workspace[source].get(key.as_str()).ok_or("not in the workspace")?.clone();
        }
    }
    // Lints are for those who change the SDK; tests need crates that a vendored copy doesn't.
    crate_.remove("lints");
    crate_.remove("dev-dependencies");
    Ok(toml::to_string(&crate_)?)
}
