//! Types and glue generated from `wit/` for world `compaction-strategy`; public for its export macro only.
//!
//! The glue of world `format` is generated where it is exported: the generator names its macros by interface,
//! so that one crate cannot hold two worlds that share one.
#![allow(missing_docs, unreachable_pub, unsafe_code, clippy::all, clippy::pedantic)]

wit_bindgen::generate!({
    path: "../wit/v0.2.0",
    world: "compaction-strategy",
    additional_derives: [PartialEq],
    pub_export_macro: true,
    export_macro_name: "export_world",
    default_bindings_module: "mortise_guest::bindings",
});
