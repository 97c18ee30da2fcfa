//! `mortise plugin check`: what a component is, and whether a host would take it.
//!
//! Whether a host would take it is judged by a node, when one is named, on the very way that `plugin add`
//! takes; else by this program, as a node would that was never told anything. What usually helps is told here
//! either way: the file is here, and says which tools made it.

use clap::Args;
use mortise_mechanisms::conformance::{Checked, Form, ONLY_A_NODE_CAN_TELL, Origin, Workbench};
use mortise_mechanisms::{
    Admission, Capability, Ground, Judged, Limits, NewPlugin, Refusal, SignatureState, Step, Who,
};
use serde_json::json;
use tokio::runtime::Handle;

use super::client::{Target, refused};
use super::output::{self, Format};
use super::plugin_author::{CallSize, read};
use super::plugin_upload::Upload;
use super::volume::admin;
use crate::pb::mortise::v1 as pb;
use crate::wiring;

/// Columns that the names on the left take.
const LEFT: usize = 12;

/// Say what a component is, and whether a host would take it.
#[derive(Debug, Args)]
pub(super) struct Check {
    #[command(flatten)]
    upload: Upload,
    #[command(flatten)]
    size: CallSize,
    /// Ask the node at this URL, by its own keys, grants, limits and plugins. Nothing changes there.
    #[arg(long, value_name = "URL", conflicts_with_all = ["memory", "deadline"])]
    endpoint: Option<String>,
    /// Ask the node that the other commands ask: at `MORTISE_ENDPOINT`, else at <http://127.0.0.1:2379>.
    #[arg(long, conflicts_with_all = ["memory", "deadline"])]
    node: bool,
    /// Longest wait for the node's answer; without it 150s.
    #[arg(long, env = "MORTISE_TIMEOUT", value_name = "TIME")]
    timeout: Option<humantime::Duration>,
    /// A table for people or JSON for programs.
    #[arg(long, short = 'o', value_enum, value_name = "FORMAT", default_value = "table")]
    output: Format,
}

impl Check {
    /// Blocks, and must run on a thread that may.
    pub(super) fn run(self) -> anyhow::Result<()> {
        let file = self.upload.file.display().to_string();
        let node = (self.node || self.endpoint.is_some())
            .then(|| Target::named(self.endpoint.clone(), self.timeout, self.output));
        let checked = match &node {
            Some(node) => self.ask(node)?,
            None => self.by_defaults()?,
        };
        let node = node.map(|node| node.endpoint);
        let json = || {
            let untold: &[&str] = if node.is_some() { &[] } else { &ONLY_A_NODE_CAN_TELL };
            json!({
                "file": file,
                "accepted": checked.refusal.is_none(),
                "node": node,
                "only_a_node_can_tell": untold,
                "checked": checked,
            })
        };
        self.output.emit(|| told(&file, &checked, node.as_deref(), output::line_width()), json)?;
        match (checked.refusal, node) {
            (None, _) => Ok(()),
            (Some(_), None) => anyhow::bail!("a host would refuse {file}"),
            (Some(_), Some(node)) => anyhow::bail!("the node at {node} would refuse {file}"),
        }
    }

    fn by_defaults(&self) -> anyhow::Result<Checked> {
        let Upload { file, name, grant, .. } = &self.upload;
        let new = NewPlugin {
            bytes: read(file)?,
            name: name.clone(),
            signature: self.upload.signature()?,
            grants: grant.clone(),
        };
        Ok(Workbench::new(wiring::compile_in_child())?.check_new(new, self.size.allowance(false))?)
    }

    fn ask(&self, node: &Target) -> anyhow::Result<Checked> {
        let messages = self.upload.messages("")?;
        let bytes: Vec<u8> = messages.iter().flat_map(|message| message.chunk.iter().copied()).collect();
        let mut request = node.request(None, tokio_stream::iter(messages))?;
        request.set_timeout(node.patience());
        let answer = Handle::current().block_on(async {
            let answer = admin(node).await?.check_plugin(request).await.map_err(refused)?;
            anyhow::Ok(answer.into_inner())
        });
        Ok(Checked::of(&bytes, judged(answer?)))
    }
}

/// A node's answer in our own words. What a newer node knows and we don't has its reason all the same.
fn judged(answer: pb::CheckPluginResponse) -> Judged {
    let pb::CheckPluginResponse { plugin, known, refusal } = answer;
    let plugin = plugin.unwrap_or_default();
    let given = |text: &String| (!text.is_empty()).then(|| text.clone());
    let parsed = |names: &[String]| names.iter().filter_map(|name| Capability::parse(name)).collect();
    let admission = refusal.is_none().then(|| Admission {
        name: plugin.name.clone(),
        version: plugin.version.clone(),
        known,
        grants: parsed(&plugin.grants),
        limits: limits(plugin.limits.unwrap_or_default()),
        signature: signature(plugin.signature.clone().unwrap_or_default()),
    });
    Judged {
        world: given(&plugin.world),
        wit_version: given(&plugin.wit_version),
        capabilities: parsed(&plugin.wants),
        identity: given(&plugin.name).map(|name| Who {
            name,
            version: plugin.version.clone(),
            summary: plugin.summary.clone(),
        }),
        admission,
        refusal: refusal.map(|refusal| Refusal {
            step: Step::parse(&refusal.step),
            ground: Ground::parse(&refusal.ground),
            reason: refusal.reason,
        }),
    }
}

fn limits(limits: pb::Limits) -> Limits {
    Limits {
        memory_bytes: limits.memory_bytes,
        deadline: std::time::Duration::from_millis(limits.deadline_ms),
        answer_bytes: usize::try_from(limits.answer_bytes).unwrap_or(usize::MAX),
        fuel: limits.fuel.filter(|fuel| *fuel > 0),
    }
}

fn signature(signature: pb::Signature) -> SignatureState {
    let pb::Signature { state, key_id, trusted_comment } = signature;
    match state.as_str() {
        "signed" => SignatureState::Signed { key_id, trusted_comment },
        "unchecked" => SignatureState::Unchecked { key_id },
        _ => SignatureState::Unsigned,
    }
}

fn told(file: &str, checked: &Checked, node: Option<&str>, width: usize) -> String {
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
    if let Some(admission) = &checked.admission {
        rows.push(("comes in", admitted(admission)));
    }
    let judge = node.map_or_else(|| "a host".to_owned(), |node| format!("the node at {node}"));
    match &checked.refusal {
        None => {
            let known = checked.admission.as_ref().is_some_and(|admission| admission.known);
            let there = if known { "; it has this very component already" } else { "" };
            rows.push(("verdict", format!("{judge} would take it{there}")));
        }
        Some(refusal) => {
            let step = refusal.step.map_or("unknown to this program", Step::as_str);
            rows.push(("verdict", format!("{judge} would refuse it (step: {step})")));
            rows.push(("reason", refusal.reason.clone()));
            rows.push(("usual cure", dash(refusal.cure.as_deref())));
        }
    }
    if node.is_none() {
        let untold = ONLY_A_NODE_CAN_TELL.map(|what| format!("- {what}")).join("\n");
        let how = "the defaults; only a node can tell (--node, or --endpoint URL)";
        rows.push(("judged by", format!("{how}\n{untold}")));
    }
    rows.iter().map(|(name, value)| block(name, value, width)).collect()
}

/// With what it would come in.
fn admitted(admission: &Admission) -> String {
    let Admission { name, version, grants, limits, signature, .. } = admission;
    let grants: Vec<_> = grants.iter().map(|grant| grant.as_str()).collect();
    let signature = match signature {
        SignatureState::Unsigned => "unsigned".to_owned(),
        SignatureState::Unchecked { key_id } => format!("signed by key {key_id}, which nobody checked"),
        SignatureState::Signed { key_id, .. } => format!("signed by key {key_id}"),
    };
    format!(
        "as {name} {version}, {signature}, granted {}, with {} and {:?} for a call",
        grants.join(", "),
        output::size(limits.memory_bytes),
        limits.deadline
    )
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
