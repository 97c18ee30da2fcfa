//! What a node has of plugins: to be compared before and after something that must leave no trace but one row
//! of the history.
//!
//! Figures of use are left out, for they change with every call. Rows about other components are none of its
//! business: the node may write some at any time.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use mortise::pb::mortise::v1::admin_client::AdminClient;
use mortise::pb::mortise::v1::{HistoryRow, ListPluginsRequest, PluginHistoryRequest};

use crate::Mortise;

/// Plugins, files and history of a node at one moment.
#[derive(Clone, Debug)]
pub struct Inventory {
    /// Name, version and digest of each, as `plugin list` has them.
    plugins: Vec<[String; 3]>,
    /// Names of the files in the folder of components.
    files: BTreeSet<String>,
    /// Newest first.
    history: Vec<HistoryRow>,
}

impl Inventory {
    /// Looks at a running node and at its data directory.
    ///
    /// # Errors
    /// The node doesn't answer, or the folder of components cannot be read.
    pub async fn take(mortise: &Mortise, data_dir: &Path) -> Result<Self> {
        let mut admin = AdminClient::connect(mortise.endpoint()).await?.max_decoding_message_size(usize::MAX);
        let list = admin.list_plugins(ListPluginsRequest {}).await?.into_inner();
        let plugins = list.plugins.into_iter().map(|plugin| [plugin.name, plugin.version, plugin.digest]);
        let history = admin.plugin_history(PluginHistoryRequest::default()).await?.into_inner().rows;
        let folder = data_dir.join("plugins/blobs");
        let mut files = BTreeSet::new();
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            files.insert(entry?.file_name().to_string_lossy().into_owned());
        }
        Ok(Self { plugins: plugins.collect(), files, history })
    }

    /// Sees that nothing has changed since `before`, and that so many rows tell that the component with this
    /// digest was refused: when this was asked for, by whom, and why.
    ///
    /// # Errors
    /// What has changed.
    pub fn tells_only_of_a_refusal(
        &self,
        before: &Self,
        action: &str,
        digest: &str,
        rows: usize,
    ) -> Result<()> {
        let (plugins, files) = (&self.plugins, &self.files);
        ensure!(*plugins == before.plugins, "the list was {:?} and is {plugins:?}", before.plugins);
        ensure!(*files == before.files, "the files were {:?} and are {files:?}", before.files);
        let known = before.history.first();
        let new = self.history.iter().take_while(|row| known != Some(*row));
        let new: Vec<_> = new.filter(|row| row.digest == digest).collect();
        ensure!(new.len() == rows, "expected {rows} new rows about {digest}, found {new:?}");
        for row in new {
            ensure!(row.actor == "admin" && row.action == action, "expected an admin's {action}: {row:?}");
            let why = row.outcome.strip_prefix("refused: ").unwrap_or_default();
            ensure!(why.len() > 10, "expected that it was refused, and why: {row:?}");
        }
        Ok(())
    }
}
