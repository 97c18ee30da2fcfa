//! `mortise plugin new`, `build`, `check`, `test`, `replay` and `simulate`: what the author of a plugin does,
//! without a daemon; `check` asks one if it is told to.
//!
//! All of them block, so each runs on a thread of its own; signals are theirs where they take long.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use mortise_mechanisms::Capability;
use mortise_mechanisms::conformance::{Allowance, LoadedPlugin, Workbench};
use tokio::signal::unix::{SignalKind, signal};

use super::config::byte_size;
use super::plugin_build::Build;
use super::plugin_check::Check;
use super::plugin_new::New;
use super::plugin_replay::Replay;
use super::plugin_simulate::Simulate;
use super::plugin_test::Test;

/// The author's commands.
#[derive(Debug, Subcommand)]
pub(super) enum Author {
    /// Write a small plugin project that builds, in Rust, C, Python or JavaScript.
    New(New),
    /// Build the component of a project that `plugin new` wrote.
    Build(Build),
    /// Say what a component is, and whether a host would take it: a node that is asked, or by the defaults.
    Check(Check),
    /// Run the conformance battery of a component's world. Needs no daemon.
    Test(Test),
    /// Run recorded calls against a component, and say what it would answer otherwise. Needs no daemon.
    Replay(Replay),
    /// Drive compaction strategies against a real store in simulated time. Needs no daemon.
    Simulate(Simulate),
}

/// The capability that is not everyone's.
const WASI_MINIMAL: &str = Capability::WasiMinimal.as_str();

/// Set when the user wants no more.
pub(super) type Stop = Arc<AtomicBool>;

impl Author {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        // A simulation ends between two writes and removes what it has made; the others leave nothing behind.
        let ends_itself = matches!(self, Self::Simulate(_));
        // Before the work begins, so that no signal comes too early to be noticed.
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let stop = Stop::default();
        let stopped = Arc::clone(&stop);
        let work = tokio::task::spawn_blocking(move || match self {
            Self::New(new) => new.run(),
            Self::Build(build) => build.run(),
            Self::Check(check) => check.run(),
            Self::Test(test) => test.run(),
            Self::Replay(replay) => replay.run(),
            Self::Simulate(simulate) => simulate.run(&stopped),
        });
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done.context("the command ended early")?,
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            // A second one does not wait for the clean end.
            if stop.swap(true, Ordering::Relaxed) || !ends_itself {
                anyhow::bail!("interrupted");
            }
        }
    }
}

/// What a call of the component may use.
#[derive(Debug, Args)]
pub(super) struct CallLimits {
    #[command(flatten)]
    size: CallSize,
    /// Grant a capability, as the operator would.
    #[arg(long, value_name = "CAPABILITY", value_delimiter = ',', value_parser = ["log", WASI_MINIMAL])]
    grant: Vec<String>,
}

/// How much a call of the component may use.
#[derive(Debug, Args)]
pub(super) struct CallSize {
    /// Memory of one call; without it what a daemon gives by default.
    #[arg(long, value_name = "SIZE", value_parser = byte_size)]
    memory: Option<bytesize::ByteSize>,
    /// Time of one call; without it what a daemon gives by default.
    #[arg(long, value_name = "TIME")]
    deadline: Option<humantime::Duration>,
}

impl CallLimits {
    pub(super) fn allowance(&self) -> Allowance {
        self.size.allowance(self.grant.iter().any(|granted| granted == WASI_MINIMAL))
    }
}

impl CallSize {
    pub(super) fn allowance(&self, wasi_minimal: bool) -> Allowance {
        let memory_bytes = self.memory.map(|memory| memory.as_u64());
        let deadline = self.deadline.map(Into::into);
        let mut allowance = Allowance { memory_bytes, deadline, ..Allowance::default() };
        allowance.grants.wasi_minimal = wasi_minimal;
        allowance
    }
}

/// Reads a component.
pub(super) fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(file).with_context(|| format!("cannot read the component {}", file.display()))
}

/// Puts a component on the workbench; the error names the file.
pub(super) fn specimen(bench: &Workbench, file: &Path, limits: &CallLimits) -> anyhow::Result<LoadedPlugin> {
    bench.specimen(read(file)?, limits.allowance()).with_context(|| {
        format!("{} cannot be used (`mortise plugin check` says more about it)", file.display())
    })
}

/// `1234567` as `1,234,567`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
