//! The command line: one file per command, and what they share.
//!
//! | module | what it does |
//! |---|---|
//! | `serve` | runs the daemon |
//! | `kv`, `volume`, `plugin` | talk to a daemon |
//! | `doctor` | checks a data directory while no daemon uses it |
//! | `plugin_record`, `plugin_shadow`, `plugin_upload` | commands of `plugin` that have files of their own |
//! | `plugin_tables`, `plugin_limits`, `plugin_decisions`, `plugin_history` | how plugins are shown |
//! | `plugin_author` and the files named by its commands | what a plugin's author does without a daemon |
//! | `plugin_templates`, `plugin_plot` | what `plugin new` writes, and what `plugin simulate` draws |
//! | `bench` | loads a daemon, or etcd, and measures |
//! | `config` | lets a file supply the defaults of flags |
//! | `client` | connects, and explains why it cannot |
//! | `stated` | who gives a command, and why |
//! | `waiting` | shows that a command waits |
//! | `output` | tables for people, JSON for programs |
//!
//! A command either succeeds and exits with 0, or says `error: …` on standard error and exits with 1. A
//! command line or configuration file that cannot be understood exits with 2. A check that was made and found
//! something has codes of its own, from 3 on.

mod bench;
mod client;
mod config;
mod doctor;
mod kv;
mod output;
mod plugin;
mod plugin_author;
mod plugin_build;
mod plugin_check;
mod plugin_decisions;
mod plugin_history;
mod plugin_limits;
mod plugin_new;
mod plugin_plot;
mod plugin_record;
mod plugin_replay;
mod plugin_shadow;
mod plugin_simulate;
mod plugin_tables;
mod plugin_templates;
mod plugin_test;
mod plugin_upload;
mod serve;
mod stated;
mod volume;
mod waiting;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::wiring;

/// A storage daemon that serves etcd's key-value API and takes its policies as WebAssembly plugins.
#[derive(Debug, Parser)]
#[command(name = "mortise", version, arg_required_else_help = true, max_term_width = 110)]
#[command(after_help = "Start a daemon with `mortise serve`, then try `mortise kv put greeting hello` and \
                        `mortise kv get greeting`, or any etcd v3 client.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon.
    Serve(Box<serve::Serve>),
    /// Read and write keys.
    Kv(kv::Kv),
    /// Create, list, inspect and delete volumes.
    Volume(volume::Volume),
    /// Add, inspect, bind and remove plugins.
    Plugin(plugin::Plugin),
    Doctor(doctor::Doctor),
    /// Load a daemon, or an etcd, and measure it.
    Bench(bench::Bench),
    /// Answer every key-value call with nothing: the ceiling that the transport sets for `bench`.
    #[command(hide = true)]
    BenchStub(bench::Stub),
    /// Compile the plugin on standard input to standard output: what a daemon runs for each, within limits.
    #[command(hide = true, name = wiring::COMPILE_COMMAND)]
    CompilePlugin,
    /// Print the version.
    Version(output::Output),
}

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match parse(std::env::args_os().collect()) {
        Ok(cli) => cli,
        Err(Refused::Usage(error)) => {
            // Help and version arrive here too; they go to standard output and are no failure.
            let code = if error.use_stderr() { 2 } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
        Err(Refused::Config(error)) => return failure(&error, 2),
    };
    if matches!(cli.command, Command::CompilePlugin) {
        // Before there are threads: this process is to be as small as it can be.
        return wiring::compile_plugin();
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failure(&anyhow::Error::from(error).context("starting the runtime"), 1),
    };
    let done = runtime.block_on(run(cli.command));
    // Calls that a stop has cut off, and the input of an interrupted command, are not waited for.
    runtime.shutdown_background();
    match done {
        Ok(code) => code,
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => failure(&error, 1),
    }
}

#[expect(clippy::print_stderr, reason = "this is where the command line reports its errors")]
fn failure(error: &anyhow::Error, code: u8) -> ExitCode {
    eprintln!("error: {}", told(error));
    ExitCode::from(code)
}

/// An error with its causes, leaving out those that it quotes already.
fn told(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    let done = match command {
        Command::Serve(serve) => serve.run().await,
        Command::Kv(kv) => kv.run().await,
        Command::Volume(volume) => volume.run().await,
        Command::Plugin(plugin) => plugin.run().await,
        Command::Doctor(doctor) => return doctor.run().await,
        Command::Bench(bench) => bench.run().await,
        Command::BenchStub(stub) => stub.run().await,
        Command::CompilePlugin => unreachable!("it was answered before there was a runtime"),
        Command::Version(output) => {
            let (version, etcd) = (env!("CARGO_PKG_VERSION"), crate::api::ETCD_VERSION);
            let json = || serde_json::json!({ "version": version, "etcd_version": etcd });
            output.output.emit(|| format!("mortise {version}\netcd API {etcd}\n"), json)
        }
    };
    done.map(|()| ExitCode::SUCCESS)
}

/// Why a command line was not accepted.
#[derive(Debug)]
enum Refused {
    /// clap says why (or prints help).
    Usage(clap::Error),
    /// The configuration file is at fault.
    Config(anyhow::Error),
}

/// Parses `args`. Where `serve` names a configuration file, the file's values take the place of defaults.
fn parse(args: Vec<OsString>) -> Result<Cli, Refused> {
    let matches = Cli::command().try_get_matches_from(&args).map_err(Refused::Usage)?;
    let cli = Cli::from_arg_matches(&matches).map_err(Refused::Usage)?;
    let Command::Serve(serve) = &cli.command else { return Ok(cli) };
    let Some(path) = &serve.config else { return Ok(cli) };
    let file = config::File::read(path).map_err(Refused::Config)?;
    let command = Cli::command().mut_subcommand("serve", |serve| file.supply_defaults(serve));
    file.check_keys(&command).map_err(Refused::Config)?;
    let matches = command.try_get_matches_from(&args).map_err(|error| {
        // Without the file the command line was fine, so that the file's value is the one refused.
        Refused::Config(anyhow::anyhow!("{}: {}", path.display(), config::first_line(&error)))
    })?;
    Cli::from_arg_matches(&matches).map_err(Refused::Usage)
}

#[cfg(test)]
#[path = "cli_tests.rs"]
mod tests;
