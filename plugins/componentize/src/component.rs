//! From core module to component: the steps of `wasm-tools component embed` and `new`, as functions of bytes.

use std::path::Path;

use anyhow::{Context, Result};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Makes a component of a core module that carries its world, as `wit-bindgen` writes it.
///
/// # Errors
/// When the module doesn't fit the world that it carries.
pub fn wrap(module: &[u8]) -> Result<Vec<u8>> {
    ComponentEncoder::default().validate(true).module(module)?.encode()
}

/// Turns the text format into binary. With a world, the text is a core module that implements this world of
/// the contract in the folder `wit`, and becomes a component.
///
/// # Errors
/// When the text or the contract can't be read, or the module doesn't fit the world.
pub fn from_text(text: &str, world: Option<(&Path, &str)>) -> Result<Vec<u8>> {
    let mut binary = wat::parse_str(text)?;
    let Some((wit, world)) = world else {
        return Ok(binary);
    };
    let mut resolve = Resolve::default();
    let (package, _) =
        resolve.push_dir(wit).with_context(|| format!("reading the contract in {}", wit.display()))?;
    let world = resolve.select_world(&[package], Some(world))?;
    embed_component_metadata(&mut binary, &resolve, world, StringEncoding::UTF8)?;
    wrap(&binary)
}
