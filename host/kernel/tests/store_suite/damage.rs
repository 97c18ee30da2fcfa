//! Damaged and missing files are reported, by name, and never answered from.

use std::path::{Path, PathBuf};

use mortise_kernel::store::{Step, Store, StoreConfig, TABLE_BYTES};
use mortise_kernel::{Error, Result};
use rand::Rng;

use crate::{apply, open, put, with_seeds};

/// A closed store with tables in two levels; returns its content hash.
fn prepare(directory: &tempfile::TempDir) -> u64 {
    let store = open(directory);
    for round in 0..2 {
        for number in 0..300 {
            apply(&store, put(format!("key {number}"), format!("{round} {number}").repeat(20)))
                .expect("a put");
        }
        store.close().expect("closed");
        if round == 0 {
            store.run_step(&Step::Major { table_bytes: *TABLE_BYTES.start() }).expect("a step");
        }
    }
    store.content_hash(0).expect("a hash").hash
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// Opens the store with a cache that holds nothing yet and reads all of it.
fn read_all(directory: &tempfile::TempDir) -> Result<u64> {
    let store = Store::open(StoreConfig::new(directory.path().join("tree")))?;
    let newest = store.content_hash(0)?.hash;
    store.content_hash(2)?;
    Ok(newest)
}

#[test]
fn a_flipped_bit_is_reported_with_the_file_or_harmless() {
    with_seeds(1, |rng| {
        let directory = tempfile::tempdir().expect("a directory");
        let expected = prepare(&directory);
        let mut reported = 0;
        let files = files(&directory.path().join("tree"));
        assert!(files.len() == 4, "{files:?}");
        for file in &files {
            let intact = std::fs::read(file).expect("a file");
            for _ in 0..40 {
                let at = rng.random_range(0..intact.len());
                let mut damaged = intact.clone();
                damaged[at] ^= 1 << rng.random_range(0..8);
                std::fs::write(file, &damaged).expect("written");
                match read_all(&directory) {
                    Ok(found) => assert_eq!(found, expected, "{} byte {at}", file.display()),
                    Err(Error::Corrupt { path, detail }) => {
                        reported += 1;
                        let current = file.ends_with("current");
                        assert!(path == *file || current, "{}: {}, {detail}", file.display(), path.display());
                    }
                    Err(error) => panic!("{} byte {at}: {error}", file.display()),
                }
                std::fs::write(file, &intact).expect("written");
                assert!(files.iter().all(|file| file.exists()), "nothing is removed because of damage");
            }
        }
        assert!(reported > 80, "most flipped bits are found: {reported}");
        assert_eq!(read_all(&directory).expect("intact again"), expected);
    });
}

#[test]
fn a_missing_or_cut_off_file_is_reported_by_name() {
    let directory = tempfile::tempdir().expect("a directory");
    let expected = prepare(&directory);
    for file in files(&directory.path().join("tree")) {
        let intact = std::fs::read(&file).expect("a file");
        std::fs::remove_file(&file).expect("removed");
        assert_names(read_all(&directory), &file);
        for length in [0, 1, intact.len() / 2, intact.len() - 1] {
            std::fs::write(&file, &intact[..length]).expect("written");
            assert_names(read_all(&directory), &file);
        }
        std::fs::write(&file, &intact).expect("written");
    }
    assert_eq!(read_all(&directory).expect("intact again"), expected);
}

fn assert_names(found: Result<u64>, file: &Path) {
    match found {
        Err(Error::Corrupt { path, .. }) => assert_eq!(path, file),
        other => panic!("{}: {other:?}", file.display()),
    }
}
