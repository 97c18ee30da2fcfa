//! How long a node takes until it listens, with many plugins in its catalog and with none.
//!
//! Both nodes have as many volumes, so that only the plugins differ: on one each volume is served by a
//! plugin of its own, on the other by the strategy that is part of the program.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use mortise_tests::{Mortise, bombs};
use tempfile::TempDir;

use crate::{Options, share};

/// Makes a node's directory with that many volumes, each bound to a plugin of its own or to none.
fn prepare(plugins: u64, with_plugins: bool) -> Result<TempDir> {
    let (directory, files) = (TempDir::new()?, TempDir::new()?);
    let node = Mortise::start(directory.path())?;
    let run = |arguments: &[&str]| -> Result<()> {
        let finished = node.cli(arguments)?;
        ensure!(finished.success(), "{arguments:?}: {}", finished.stderr);
        Ok(())
    };
    for number in 0..plugins {
        let volume = format!("volume-{number}");
        run(&["volume", "create", &volume])?;
        let mut name = "native".to_owned();
        if with_plugins {
            name = format!("plugin-{number}");
            let file = files.path().join(&name);
            std::fs::write(&file, bombs::distinct(mortise_plugins::COMPACTION_TIERED, number))?;
            run(&["plugin", "add", &file.to_string_lossy(), "--name", &name])?;
        }
        run(&["plugin", "use", &name, "--volume", &volume])?;
    }
    node.stop()?;
    Ok(directory)
}

/// Starts a node and stops it again; returns how long it took until it listened.
fn start(directory: &TempDir) -> Result<Duration> {
    let begun = Instant::now();
    let node = Mortise::start(directory.path())?;
    let took = begun.elapsed();
    node.stop()?;
    Ok(took)
}

pub(crate) fn measure(options: &Options) -> Result<()> {
    let directories = [prepare(options.plugins, false)?, prepare(options.plugins, true)?];
    let mut took = [Vec::new(), Vec::new()];
    for _ in 0..options.starts {
        for (directory, took) in directories.iter().zip(&mut took) {
            took.push(start(directory)?);
        }
    }
    took.iter_mut().for_each(|took| took.sort());
    let [without, with] = took.map(|took| (share(&took, 0.0), share(&took, 0.5), share(&took, 1.0)));
    println!("Start until it listens, {} volumes, {} starts each, in ms:\n", options.plugins, options.starts);
    println!("| | shortest | median | longest |\n|---|--:|--:|--:|");
    println!("| native strategy | {:.0} | {:.0} | {:.0} |", without.0, without.1, without.2);
    println!("| {} plugins | {:.0} | {:.0} | {:.0} |", options.plugins, with.0, with.1, with.2);
    println!("\nThe medians differ by {:.0} ms.", with.1 - without.1);
    Ok(())
}
