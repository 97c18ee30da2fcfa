//! The steps between a compiler and `mortise plugin add`, for languages whose tools stop at a core module.
//!
//! `bindings` writes C sources for a world of the contract, as `wit-bindgen c` does; `new` makes a component
//! of a core module that was built with them, as `wasm-tools component new` does. Both are here so that the
//! examples build with what this repository's own build has fetched already.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

const USAGE: &str = "expected one of\n  \
    mortise-componentize bindings <folder of the contract> <world> <folder for the C sources>\n  \
    mortise-componentize new <core module> <component>";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments[..] {
        ["bindings", wit, world, folder] => bindings(Path::new(wit), world, Path::new(folder)),
        ["new", module, component] => new(Path::new(module), &PathBuf::from(component)),
        _ => Err(anyhow::anyhow!(USAGE)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&format!("error: {error:#}\n"));
            ExitCode::FAILURE
        }
    }
}

/// Standard error may be closed; there is nobody left to tell then.
fn tell(message: &str) {
    use std::io::Write as _;
    let _ = std::io::stderr().write_all(message.as_bytes());
}

fn bindings(wit: &Path, world: &str, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    for (name, contents) in mortise_componentize::c_bindings(wit, world)? {
        let path = folder.join(name);
        fs::write(&path, contents).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

fn new(module: &Path, component: &Path) -> Result<()> {
    let bytes = fs::read(module).with_context(|| format!("reading {}", module.display()))?;
    if !bytes.starts_with(b"\0asm\x01\0\0\0") {
        bail!("{} is no core module; expected what a compiler for WebAssembly writes", module.display());
    }
    let wrapped = mortise_componentize::wrap(&bytes)
        .with_context(|| format!("making a component of {}", module.display()))?;
    fs::write(component, wrapped).with_context(|| format!("writing {}", component.display()))
}
