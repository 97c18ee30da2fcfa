//! `mortise plugin check`: what a component is, and whether a host would take it.

use std::path::PathBuf;

use clap::Args;
use mortise_mechanisms::conformance::{Checked, Form, Origin, Workbench};
use serde_json::json;

use super::output;
use super::plugin_author::{CallLimits, Output, read};
use crate::wiring;

/// Columns that the names on the left take.
const LEFT: usize = 12;

/// Say what a component is, and whether a host would take it.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// The component, a .wasm file.
    file: PathBuf,
    #[command(flatten)]
    limits: CallLimits,
    #[command(flatten)]
    output: Output,
}

impl Check {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let checked =
            Workbench::new(wiring::compile_in_child())?.check(&read(&self.file)?, self.limits.allowance());
        let file = self.file.display().to_string();
        let json = || json!({ "file": file, "accepted": checked.refusal.is_none(), "checked": checked });
        self.output.output.emit(|| told(&file, &checked, output::line_width()), json)?;
        match checked.refusal {
            None => Ok(()),
            Some(_) => anyhow::bail!("a host would refuse {file}"),
        }
    }
}

fn told(file: &str, checked: &Checked, width: usize) -> String {
    let origin = &checked.origin;
    let form = match origin.form {
        Form::Component => "component",
        Form::CoreModule => "core module",
        Form::NotWasm => "not WebAssembly",
    };
    let dash = |text: Option<&str>| output::or_dash(text.unwrap_or_default());
    let contract = checked.wit_version.as_ref().map(|version| format!("mortise:plugin@{version}"));
    let mut rows = vec![
        ("file", file.to_owned()),
        ("form", format!("{form}, {}", output::size(checked.bytes))),
        ("digest", checked.digest.clone()),
        ("world", dash(checked.world.as_deref())),
        ("contract", dash(contract.as_deref())),
        ("imports", if origin.imports.is_empty() { "none".to_owned() } else { origin.imports.join("\n") }),
        ("needs", dash(Some(&needs(checked)))),
        ("made with", made_with(origin)),
    ];
    if let Some(who) = &checked.identity {
        rows.push(("plugin", format!("{} {}", who.name, who.version)));
        rows.push(("summary", who.summary.clone()));
    }
    match &checked.refusal {
        None => rows.push(("verdict", "a host would take it".to_owned())),
        Some(refusal) => {
            rows.push(("verdict", format!("a host would refuse it (step: {})", refusal.step)));
            rows.push(("reason", refusal.reason.clone()));
            rows.push(("usual cure", dash(refusal.cure.as_deref())));
        }
    }
    rows.iter().map(|(name, value)| block(name, value, width)).collect()
}

/// What an operator has to grant; the log is everyone's.
fn needs(checked: &Checked) -> String {
    let granted = checked.capabilities.iter().map(ToString::to_string).filter(|name| name != "log");
    granted.map(|name| format!("the capability {name}")).collect()
}

fn made_with(origin: &Origin) -> String {
    let tools = origin.tools.iter().map(|tool| format!("{} {}", tool.name, tool.version).trim().to_owned());
    let language = origin.language.map(|language| language.to_string());
    output::or_dash(&language.into_iter().chain(tools).collect::<Vec<_>>().join(", "))
}

/// A name, and beside it a text that is broken into lines.
fn block(name: &str, text: &str, width: usize) -> String {
    let mut lines: Vec<String> = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split(' ') {
            let longer = line.chars().count() + 1 + word.chars().count();
            if !line.is_empty() && longer > width.saturating_sub(LEFT) {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    let mut told = String::new();
    for (number, line) in lines.iter().enumerate() {
        told.push_str(format!("{:LEFT$}{line}", if number == 0 { name } else { "" }).trim_end());
        told.push('\n');
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_broken_beside_their_name() {
        let told = block("reason", "one two three four", LEFT + 9);
        assert_eq!(told, "reason      one two\n            three\n            four\n");
        assert_eq!(block("imports", "a\nb", 80), "imports     a\n            b\n");
    }
}
