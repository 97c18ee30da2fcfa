//! A node, and a folder for the components that are put into it: what suites of plugins begin with.
//!
//! Commands are those of the command line, against that node. What is only one suite's business stays there.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::{Finished, Mortise, page, sample};

/// A node with a directory of its own, and a folder for components. Both go with it.
#[derive(Debug)]
pub struct Bench {
    /// The node.
    pub mortise: Mortise,
    data: TempDir,
    folder: TempDir,
}

impl Bench {
    /// Starts a node with further arguments of `mortise serve`.
    ///
    /// # Errors
    /// As [`Mortise::start_with`].
    pub fn start(arguments: &[&str]) -> Result<Self> {
        let (data, folder) = (TempDir::new()?, TempDir::new()?);
        let mortise = Mortise::start_with(data.path(), arguments)?;
        Ok(Self { mortise, data, folder })
    }

    /// Where the node has its data.
    #[must_use]
    pub fn data(&self) -> &Path {
        self.data.path()
    }

    /// The file of this name in the folder.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Stops the node and starts it anew with other arguments.
    ///
    /// # Errors
    /// It does not stop in time, or does not start.
    pub fn restart(self, arguments: &[&str]) -> Result<Self> {
        let Self { mortise, data, folder } = self;
        mortise.stop()?;
        let mortise = Mortise::start_with(data.path(), arguments)?;
        Ok(Self { mortise, data, folder })
    }

    /// Writes a component into the folder; its path.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn component(&self, name: &str, bytes: &[u8]) -> Result<String> {
        let path = self.file(&format!("{name}.wasm"));
        fs::write(&path, bytes)?;
        Ok(path.to_string_lossy().into_owned())
    }

    /// Runs a command that must succeed; what it printed.
    ///
    /// # Errors
    /// It fails.
    pub fn works(&self, arguments: &[&str]) -> Result<String> {
        let finished = self.mortise.cli(arguments)?;
        ensure!(finished.success(), "{arguments:?}: {}", finished.stderr);
        Ok(finished.stdout)
    }

    /// Runs `mortise plugin ARGUMENTS`, which must succeed; what it printed.
    ///
    /// # Errors
    /// It fails.
    pub fn plugin(&self, arguments: &[&str]) -> Result<String> {
        self.works(&[&["plugin"], arguments].concat())
    }

    /// Runs `mortise plugin ARGUMENTS`, which must fail with a message that has all these parts.
    ///
    /// # Errors
    /// It succeeds, prints a result, or says something else.
    pub fn refuses(&self, arguments: &[&str], parts: &[&str]) -> Result<Finished> {
        let finished = self.mortise.cli(&[&["plugin"], arguments].concat())?;
        ensure!(finished.code == Some(1) && finished.stdout.is_empty(), "{arguments:?}: {finished:?}");
        for part in parts {
            ensure!(finished.stderr.contains(part), "{part:?} is missing: {}", finished.stderr);
        }
        Ok(finished)
    }

    /// Adds a component under a name.
    ///
    /// # Errors
    /// It is refused.
    pub fn add(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.component(name, bytes)?;
        self.plugin(&["add", &path, "--name", name]).map(drop)
    }

    /// As [`Self::plugin`], with `--output json`, parsed.
    ///
    /// # Errors
    /// It fails.
    pub fn json(&self, arguments: &[&str]) -> Result<Value> {
        self.mortise.cli_json(&[&["plugin"], arguments].concat())
    }

    /// A metric's value; 0 where the page does not have it.
    ///
    /// # Errors
    /// The page cannot be fetched.
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> Result<f64> {
        Ok(sample(&page(&self.mortise.http, "/metrics")?, name, labels).unwrap_or(0.0))
    }

    /// The rows of the history about a plugin, or about all, the newest first.
    ///
    /// # Errors
    /// There are none.
    pub fn history(&self, name: Option<&str>) -> Result<Vec<Value>> {
        let arguments: Vec<&str> = ["history"].into_iter().chain(name).collect();
        self.json(&arguments)?.as_array().cloned().context("an array")
    }
}
