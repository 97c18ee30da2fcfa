//! Types and glue generated from `wit/`; public for the export macros only.
#![allow(missing_docs, unreachable_pub, unsafe_code, clippy::all, clippy::pedantic)]

wit_bindgen::generate!({
    path: "../wit/v0.1.0",
    world: "compaction-strategy",
    additional_derives: [PartialEq],
    pub_export_macro: true,
    export_macro_name: "export_world",
    default_bindings_module: "mortise_guest::bindings",
});
