//! `mortise plugin build`: runs what a project's `mortise-plugin.toml` says, and explains what is missing.
//!
//! `templates/README.md` describes the file. The commands are run as they stand, in the project's folder;
//! whoever builds a project trusts it as much as whoever runs its tests.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use serde::Deserialize;
use serde_json::json;

use super::output::Output;
use super::output::{self, Format};

/// The file that says how a component is made.
const RECIPE: &str = "mortise-plugin.toml";

/// Build the component of a project.
#[derive(Debug, Args)]
pub(super) struct Build {
    /// The project's folder.
    #[arg(default_value = ".")]
    dir: PathBuf,
    #[command(flatten)]
    output: Output,
}

/// How a component is made.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Recipe {
    world: String,
    component: PathBuf,
    step: Vec<Step>,
}

/// One step: a command, or what is done here: bindings for C from the contract in `wit`, and the making of
/// a component.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    what: String,
    run: Option<Vec<String>>,
    componentize: Option<PathBuf>,
    bindings: Option<PathBuf>,
    probe: Option<Vec<String>>,
    missing: Option<String>,
}

impl Build {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let recipe = read(&self.dir)?;
        let component = self.dir.join(&recipe.component);
        for step in &recipe.step {
            say(self.output.output, &step.what);
            step.take(&self.dir, &recipe.world, &component).with_context(|| format!("to {}", step.what))?;
        }
        let size = std::fs::metadata(&component)
            .with_context(|| format!("the steps are done, but {} is not there", component.display()))?
            .len();
        let shown = component.display().to_string();
        self.output.output.emit(
            || {
                let size = output::size(size);
                format!("{shown} built ({size})\ntest it: mortise plugin test {shown}\n")
            },
            || json!({ "component": shown, "bytes": size }),
        )
    }
}

fn read(dir: &Path) -> anyhow::Result<Recipe> {
    let path = dir.join(RECIPE);
    let text = std::fs::read_to_string(&path).with_context(|| {
        format!("cannot read {}; `mortise plugin new` writes projects that have one", path.display())
    })?;
    toml::from_str(&text).with_context(|| format!("{} is not understood", path.display()))
}

/// Progress goes to standard error, where the commands' own output goes, too.
#[expect(clippy::print_stderr, reason = "progress of a command")]
fn say(format: Format, what: &str) {
    if format == Format::Table {
        eprintln!("== {what}");
    }
}

impl Step {
    fn take(&self, dir: &Path, world: &str, component: &Path) -> anyhow::Result<()> {
        match (&self.run, &self.bindings, &self.componentize) {
            (Some(command), None, None) => self.execute(dir, command),
            (None, Some(folder), None) => bind(&dir.join("wit"), world, &dir.join(folder)),
            (None, None, Some(module)) => componentize(&dir.join(module), component),
            _ => bail!("a step in {RECIPE} has one of `run`, `bindings` and `componentize`, and no two"),
        }
    }

    fn execute(&self, dir: &Path, command: &[String]) -> anyhow::Result<()> {
        if let Some(probe) = &self.probe {
            let found = spawn(dir, probe, true).is_ok_and(|status| status.success());
            ensure!(found, "{}", self.lacking(probe));
        }
        let line = command.join(" ");
        let status = match spawn(dir, command, false) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => bail!(self.lacking(command)),
            status => status.with_context(|| format!("cannot run `{line}`"))?,
        };
        ensure!(status.success(), "`{line}` failed ({status}); its own words are above");
        Ok(())
    }

    fn lacking(&self, command: &[String]) -> String {
        let line = command.join(" ");
        match &self.missing {
            Some(cure) => format!("`{line}` doesn't work here; what is missing: {cure}"),
            None => format!("`{line}` doesn't work here; install `{}`", command[0]),
        }
    }
}

/// Runs a command; its output goes to standard error, because standard output is for the answer.
fn spawn(dir: &Path, command: &[String], quiet: bool) -> std::io::Result<std::process::ExitStatus> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(std::io::Error::other(format!("{RECIPE} has an empty command")));
    };
    let mut child = Command::new(program);
    child.args(arguments).current_dir(dir).stdin(Stdio::null());
    if quiet {
        child.stdout(Stdio::null()).stderr(Stdio::null());
    } else {
        child.stdout(std::io::stderr());
    }
    child.status()
}

/// Writes C bindings of a world.
fn bind(wit: &Path, world: &str, folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for (name, contents) in mortise_componentize::c_bindings(wit, world)? {
        let path = folder.join(name);
        std::fs::write(&path, contents).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn componentize(module: &Path, component: &Path) -> anyhow::Result<()> {
    let bytes = std::fs::read(module).with_context(|| format!("cannot read {}", module.display()))?;
    let made = mortise_componentize::wrap(&bytes)
        .with_context(|| format!("{} doesn't carry a world that it fits", module.display()))?;
    std::fs::write(component, made).with_context(|| format!("cannot write {}", component.display()))
}
