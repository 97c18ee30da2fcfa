//! The daemon over its real sockets, started in this process on free ports.
//!
//! What the layers below promise is tested there; here it is the translation: messages, codes, texts, the
//! choice of a volume, the pages, and that a stop cuts nothing off.

mod admin;
mod kv;
mod pages;
mod raw;
mod stop;
mod support;
mod surface;
