//! A component on its way to a node: what `plugin add` and `plugin check --node` send, and by which flags.
//!
//! The first message has the name, the signature, the capabilities and the reason, the following ones the
//! file in parts. A signature that lies beside the component is found by its name; one that was named must be
//! there. The file is not judged here: the daemon's words about it are better and the same for everybody.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use super::plugin_author::read;
use crate::pb::mortise::v1 as pb;

/// Bytes of a component sent in one message.
const CHUNK: usize = 256 * 1024;

#[derive(Debug, Args)]
pub(super) struct Upload {
    /// The component, a .wasm file.
    pub(super) file: PathBuf,
    /// Store it under this name instead of the one that it gives itself.
    #[arg(long)]
    pub(super) name: Option<String>,
    /// Its minisign signature; without it the file of that name with .minisig behind it, where there is one.
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,
    /// Grant the plugin a capability: wasi-minimal. What is granted holds for later versions, too.
    #[arg(long, value_name = "CAPABILITY", value_delimiter = ',')]
    pub(super) grant: Vec<String>,
}

impl Upload {
    /// The file and what comes with it, as messages, with the reason for sending it.
    ///
    /// # Errors
    /// A file cannot be read.
    pub(super) fn messages(&self, reason: &str) -> anyhow::Result<Vec<pb::AddPluginRequest>> {
        let bytes = read(&self.file)?;
        let head = pb::AddPluginRequest {
            name: self.name.clone().unwrap_or_default(),
            signature: self.signature()?.unwrap_or_default(),
            grants: self.grant.clone(),
            reason: reason.to_owned(),
            ..Default::default()
        };
        let chunk =
            |chunk: &[u8]| pb::AddPluginRequest { chunk: chunk.to_vec().into(), ..Default::default() };
        // An empty file gets the daemon's explanation of what it expected.
        Ok(std::iter::once(head).chain(bytes.chunks(CHUNK).map(chunk)).collect())
    }

    /// The text of the signature that is named, or of the one that lies beside the component.
    ///
    /// # Errors
    /// It is empty or cannot be read.
    pub(super) fn signature(&self) -> anyhow::Result<Option<String>> {
        let (path, named) = match &self.signature {
            Some(path) => (path.clone(), true),
            None => {
                let mut beside = self.file.clone().into_os_string();
                beside.push(".minisig");
                (PathBuf::from(beside), false)
            }
        };
        match std::fs::read_to_string(&path) {
            Ok(text) if text.trim().is_empty() => {
                anyhow::bail!("the signature {} is empty; sign the component anew", path.display())
            }
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !named => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read the signature {}", path.display())),
        }
    }
}
