//! Types and glue generated from `wit/`; the crate re-exports what is public.
#![allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]

wasmtime::component::bindgen!({
    path: "../../wit/v0.1.0",
    world: "compaction-strategy",
    additional_derives: [PartialEq, serde::Serialize, serde::Deserialize],
});
