//! The page about security says what was tried, and by which test. It must not claim a test that is gone, nor
//! leave out a guest.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use mortise_tests::guests;

const PAGE: &str = "docs/plugins/security.md";
/// Where tests are.
const TESTS: [&str; 3] = ["host", "tests", "plugins"];
/// Words that a name of a test has at least, to be told from names of functions and guests.
const WORDS: usize = 4;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// What stands between backticks.
fn quoted(page: &str) -> BTreeSet<&str> {
    page.split('`').skip(1).step_by(2).collect()
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            rust_files(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(())
}

/// The functions that stand right below an attribute of a test.
fn tests() -> Result<BTreeSet<String>> {
    let mut files = Vec::new();
    for folder in TESTS {
        rust_files(&root().join(folder), &mut files)?;
    }
    let mut names = BTreeSet::new();
    for file in files {
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        for part in text.split("#[test]").skip(1).chain(text.split("#[tokio::test").skip(1)) {
            let name = part.split("fn ").nth(1).and_then(|rest| rest.split('(').next());
            names.extend(name.map(str::to_owned));
        }
    }
    Ok(names)
}

#[test]
fn every_guest_is_on_the_page_about_security() -> Result<()> {
    let page = fs::read_to_string(root().join(PAGE))?;
    let told = quoted(&page);
    let all = [guests::ALL, guests::FORMATS, guests::WASI].concat();
    let missing: Vec<_> = all.iter().map(|(name, _)| *name).filter(|name| !told.contains(name)).collect();
    ensure!(missing.is_empty(), "{PAGE} does not say what becomes of {missing:?}");
    Ok(())
}

#[test]
fn every_test_on_the_page_about_security_is_there() -> Result<()> {
    let page = fs::read_to_string(root().join(PAGE))?;
    let (tests, guests) = (tests()?, [guests::ALL, guests::FORMATS, guests::WASI].concat());
    let is_guest = |name: &str| guests.iter().any(|(guest, _)| *guest == name);
    let is_test = |name: &str| name.split('_').count() >= WORDS && !name.contains('/') && !is_guest(name);
    let named: Vec<&str> = quoted(&page).into_iter().filter(|name| is_test(name)).collect();
    ensure!(named.len() > 40, "only {named:?} are named");
    let gone: Vec<_> = named.into_iter().filter(|name| !tests.contains(*name)).collect();
    ensure!(gone.is_empty(), "{PAGE} names tests that are not there: {gone:?}");
    for promise in page.split("\n**").skip(1).take_while(|part| !part.contains("## What was tried")) {
        let title = promise.lines().next().unwrap_or_default();
        ensure!(promise.contains("*Tested by*"), "{PAGE}: no test is named for: {title}");
    }
    for path in quoted(&page).into_iter().filter(|name| name.ends_with(".rs")) {
        ensure!(root().join(path).is_file(), "{PAGE} names {path}, which is not there");
    }
    Ok(())
}
