//! Rebuilds of an open volume: what is written, read and compacted meanwhile, and how they end early.
//!
//! Nothing here waits for time. Where a rebuild has to be met halfway, its transform stops it (`gated`).
//! Random tests print their seed and replay it with `MORTISE_SEED`.

#[path = "../node_support/mod.rs"]
mod node_support;

#[path = "../store_suite/model.rs"]
#[allow(dead_code, reason = "the store's own suite uses more of it")]
mod model;
#[path = "../store_suite/workload.rs"]
#[allow(dead_code, reason = "the store's own suite uses more of it")]
mod workload;

mod early_ends;
mod gated;
mod going_back;
mod history;
mod lifecycle;
mod memory;

use std::path::{Path, PathBuf};

use mortise_kernel::rebuild::RebuildOptions;
use mortise_kernel::store::Transform;
use std::sync::Arc;

/// The directory of volume 2.
fn volume_directory(root: &Path) -> PathBuf {
    root.join("volumes").join("2")
}

/// Names in the directory of volume 2, sorted.
fn names(root: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(volume_directory(root)).expect("the volume's directory");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn through(transform: Arc<dyn Transform>) -> RebuildOptions {
    RebuildOptions { transform: Some(transform), ..RebuildOptions::default() }
}
