//! Types and glue generated from the newest version in `wit/`; the crate re-exports what is public.
//!
//! Functions of plugins are looked up by name and not through this glue: an older version of a world needs
//! only what differs in it, and a codec takes records without copying them first.
#![allow(missing_docs, unreachable_pub, dead_code, clippy::all, clippy::pedantic)]

wasmtime::component::bindgen!({
    path: "../../wit/v0.2.0",
    world: "compaction-strategy",
    additional_derives: [PartialEq, serde::Serialize, serde::Deserialize],
});
