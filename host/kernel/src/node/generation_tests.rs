//! What a crash can leave in a volume's directory, and what opening makes of it.

use std::fs;
use std::path::Path;

use super::directory::Directory;
use super::generation;
use crate::format::FormatId;
use crate::rebuild::Generation;
use crate::{Error, Result};

const FORMAT: &str = "{\"format\":\"natural\",\"version\":1,\"codec_digest\":null}\n";

fn open(path: &Path) -> Directory {
    Directory::open_root(path).expect("the directory opens")
}

/// What opening a volume does.
fn recover(volume: &Directory) -> Result<Generation> {
    let found = generation::find(volume)?;
    generation::clear(volume, &found, None)?;
    Ok(found)
}

fn names(path: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(path)
        .expect("listable")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Makes a generation's directory with a FORMAT file and a table.
fn make_generation(path: &Path, name: &str, format: Option<&str>) {
    let generation = path.join(name);
    fs::create_dir_all(generation.join("tables")).expect("made");
    fs::write(generation.join("tables/1"), b"table").expect("written");
    if let Some(format) = format {
        fs::write(generation.join("FORMAT"), format).expect("written");
    }
}

/// One row of the table: what is there besides generation 7, which `CURRENT` names.
struct Leftover {
    name: &'static str,
    /// A file's content, or `None` for a generation's directory.
    file: Option<&'static str>,
    removed: bool,
}

const LEFTOVERS: [Leftover; 12] = [
    Leftover { name: "gen-000006", file: None, removed: true },
    Leftover { name: "gen-000008", file: None, removed: true },
    Leftover { name: "gen-1000000", file: None, removed: true },
    Leftover { name: "gen-000008.building", file: None, removed: true },
    Leftover { name: "gen-000007.building", file: None, removed: true },
    Leftover { name: "CURRENT.tmp", file: Some("gen-0000"), removed: true },
    Leftover { name: "other.tmp", file: Some(""), removed: true },
    // None of these is a name that Mortise gives.
    Leftover { name: "gen-8", file: None, removed: false },
    Leftover { name: "gen-000008.tmp", file: None, removed: false },
    Leftover { name: "notes", file: Some("mine"), removed: false },
    Leftover { name: "gen-000009", file: Some("a file"), removed: false },
    Leftover { name: "lost+found", file: None, removed: false },
];

#[test]
fn every_combination_of_leftovers_is_cleared_and_nothing_else() {
    for chosen in 0_u32..1 << LEFTOVERS.len() {
        // Every single one, every pair and the whole: what differs beyond that is only repetition.
        if chosen.count_ones() > 2 && chosen.count_ones() < LEFTOVERS.len() as u32 {
            continue;
        }
        let dir = tempfile::tempdir().expect("a directory");
        make_generation(dir.path(), "gen-000007", Some(FORMAT));
        fs::write(dir.path().join("CURRENT"), "gen-000007\n").expect("written");
        let mut expected = vec!["CURRENT".to_owned(), "gen-000007".to_owned()];
        for (bit, leftover) in LEFTOVERS.iter().enumerate() {
            if chosen & 1 << bit != 0 {
                match leftover.file {
                    Some(content) => fs::write(dir.path().join(leftover.name), content).expect("written"),
                    None => make_generation(dir.path(), leftover.name, Some(FORMAT)),
                }
                if !leftover.removed {
                    expected.push(leftover.name.to_owned());
                }
            }
        }
        expected.sort();
        let found = recover(&open(dir.path())).expect("recovered");
        assert_eq!(found.number, 7);
        assert_eq!(names(dir.path()), expected, "combination {chosen:#b}");
        assert!(found.path.join("tables/1").exists());
    }
}

#[test]
fn files_that_were_never_completed_go_from_generations_in_use_and_nothing_else_does() {
    let dir = tempfile::tempdir().expect("a directory");
    let used = ["gen-000007", "gen-000006"];
    for name in used {
        make_generation(dir.path(), name, Some(FORMAT));
        for file in [".tmpA1b2C3", "FORMAT.tmp", "v7", "current"] {
            fs::write(dir.path().join(name).join(file), b"x").expect("written");
        }
        fs::create_dir(dir.path().join(name).join(".tmpdir")).expect("made");
    }
    fs::write(dir.path().join("CURRENT"), "gen-000007\n").expect("written");
    let volume = open(dir.path());
    let found = generation::find(&volume).expect("found");
    generation::clear(&volume, &found, Some(6)).expect("cleared");
    for name in used {
        assert_eq!(names(&dir.path().join(name)), [".tmpdir", "FORMAT", "current", "tables", "v7"], "{name}");
    }
}

#[test]
fn a_damaged_or_dangling_current_is_reported_and_nothing_is_removed() {
    for content in
        ["", "gen-000007", "gen-7\n", "gen-000007\n\n", "../gen-000007\n", "gen-000008\n", "\u{0}\u{0}"]
    {
        let dir = tempfile::tempdir().expect("a directory");
        make_generation(dir.path(), "gen-000007", Some(FORMAT));
        make_generation(dir.path(), "gen-000009.building", Some(FORMAT));
        fs::write(dir.path().join("CURRENT"), content).expect("written");
        let error = recover(&open(dir.path())).expect_err("refused");
        assert!(matches!(&error, Error::Corrupt { path, .. } if path.ends_with("CURRENT")), "{error}");
        assert_eq!(names(dir.path()), ["CURRENT", "gen-000007", "gen-000009.building"]);
    }
}

#[test]
fn a_generation_of_an_unknown_format_is_left_untouched_with_all_beside_it() {
    let future = FORMAT.replace('1', "2");
    let coded = FORMAT.replace("null", "\"ab\"");
    let other = FORMAT.replace("natural", "reversed");
    for format in [None, Some(future.as_str()), Some(coded.as_str()), Some(other.as_str())] {
        let dir = tempfile::tempdir().expect("a directory");
        make_generation(dir.path(), "gen-000001", format);
        make_generation(dir.path(), "gen-000002.building", Some(FORMAT));
        fs::write(dir.path().join("CURRENT"), "gen-000001\n").expect("written");
        let error = recover(&open(dir.path())).expect_err("refused");
        assert!(matches!(error, Error::UnknownFormat { .. }), "{error}");
        assert_eq!(names(dir.path()), ["CURRENT", "gen-000001", "gen-000002.building"]);
    }
    let dir = tempfile::tempdir().expect("a directory");
    make_generation(dir.path(), "gen-000001", Some("{\"format\":"));
    fs::write(dir.path().join("CURRENT"), "gen-000001\n").expect("written");
    assert!(matches!(recover(&open(dir.path())), Err(Error::Corrupt { .. })));
}

#[test]
fn a_generation_tells_its_format_with_digest_and_config() {
    let digest = Some("ab".repeat(32));
    let coded = FormatId {
        name: "hierarchical".into(),
        version: "1.2.0".into(),
        digest,
        config: "{\"depth\":\"\u{e9}\"}".into(),
    };
    let native = FormatId { digest: None, ..coded.clone() };
    for format in [FormatId::natural(), coded, native] {
        let dir = tempfile::tempdir().expect("a directory");
        let volume = open(dir.path());
        let made = generation::prepare(&volume, &format).expect("prepared");
        generation::complete(&volume, &made).expect("completed");
        assert_eq!(recover(&volume).expect("recovered").format, format);
        let text = fs::read_to_string(dir.path().join("gen-000001/FORMAT")).expect("read");
        assert_eq!(text == FORMAT, format.is_natural(), "a natural FORMAT stays as it always was");

        // What a newer version adds is not understood, and so not opened; nor is what lacks a part.
        let newer = text.replace("}\n", ",\"salt\":1}\n");
        fs::write(dir.path().join("gen-000001/FORMAT"), newer).expect("written");
        assert!(recover(&volume).is_err());
        let older = text.replace("\"version\":1", "\"version\":2");
        fs::write(dir.path().join("gen-000001/FORMAT"), older).expect("written");
        assert!(matches!(recover(&volume), Err(Error::UnknownFormat { .. })));
        let lacking = text.replace(",\"config\"", ",\"codec_version\"");
        if lacking != text {
            fs::write(dir.path().join("gen-000001/FORMAT"), lacking).expect("written");
            assert!(recover(&volume).is_err());
        }
    }
}

#[test]
fn creation_is_incomplete_until_current_exists() {
    let dir = tempfile::tempdir().expect("a directory");
    let volume = open(dir.path());
    let made = generation::prepare(&volume, &FormatId::natural()).expect("prepared");
    assert!(!generation::is_complete(&volume));
    generation::complete(&volume, &made).expect("completed");
    assert!(generation::is_complete(&volume));
    assert_eq!(recover(&volume).expect("recovered"), made);
    assert_eq!(names(dir.path()), ["CURRENT", "gen-000001"]);
}

#[test]
fn the_identity_is_made_once_and_judged_before_anything_is_touched() {
    let dir = tempfile::tempdir().expect("a directory");
    let root = open(dir.path());
    let made = root.identity().expect("made");
    assert_ne!(made.node_id, made.cluster_id);
    assert_eq!(root.identity().expect("read"), made);

    let node = dir.path().join("NODE");
    let future = fs::read_to_string(&node).expect("read").replace("\"format\":1", "\"format\":2,\"new\":[]");
    fs::write(&node, &future).expect("written");
    let error = root.identity().expect_err("refused");
    assert!(matches!(&error, Error::UnknownFormat { found, .. } if found == "2"), "{error}");
    assert_eq!(fs::read_to_string(&node).expect("read"), future);

    for damaged in ["", "{\"format\":1}", "{\"format\":1,\"node_id\":-4,\"cluster_id\":1}", "\u{1}\u{2}"] {
        fs::write(&node, damaged).expect("written");
        assert!(matches!(root.identity(), Err(Error::Corrupt { .. })), "{damaged:?}");
    }
    fs::remove_file(&node).expect("removed");
    fs::create_dir(dir.path().join("volumes")).expect("made");
    let error = root.identity().expect_err("an identity must not be invented over existing data");
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
}

#[test]
fn names_from_outside_cannot_leave_the_directory() {
    let dir = tempfile::tempdir().expect("a directory");
    let inside = dir.path().join("data");
    let root = open(&inside);
    for name in ["../outside", "/tmp", "..", "a/../../outside"] {
        assert!(root.create_child(name).is_err(), "{name}");
    }
    assert_eq!(names(dir.path()), ["data"]);
}
