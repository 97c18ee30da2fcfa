//! `mortise kv`: reads and writes keys, with etcd's own calls only, so that it works against etcd too.

use anyhow::bail;
use bytes::Bytes;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::client::{ChosenVolume, Target, refused};
use super::output::{self, base64, readable};
use crate::pb::etcdserverpb as pb;
use crate::pb::etcdserverpb::kv_client::KvClient;
use crate::pb::etcdserverpb::range_request::{SortOrder, SortTarget};
use crate::pb::mvccpb::KeyValue;

/// Read and write keys.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
#[command(
    after_help = "Tables show bytes that are not printable text escaped (\\xff) and cut what does not fit \
                        the line; --value-only prints bare values, and JSON carries all keys and values \
                        in base64, as etcdctl does."
)]
pub(super) struct Kv {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print the value of a key, or of many. A key that does not exist prints nothing.
    Get(Get),
    /// Write a key.
    Put(Put),
    /// Delete a key, or many.
    Del(Del),
    /// Make revisions below the given one unreadable, so that their space can be reclaimed.
    Compact(Compact),
}

/// Which keys are meant.
#[derive(Debug, Args)]
struct Keys {
    /// The key, or the first one of a range. May be empty with --prefix or --from-key, which means all keys.
    key: String,
    /// End of the range, exclusive.
    #[arg(conflicts_with_all = ["prefix", "from_key"])]
    range_end: Option<String>,
    /// All keys that start with KEY.
    #[arg(long, conflicts_with = "from_key")]
    prefix: bool,
    /// All keys from KEY on.
    #[arg(long)]
    from_key: bool,
}

impl Keys {
    /// First key and end of the range, as the protocol has them.
    fn range(&self) -> (Bytes, Bytes) {
        let key = Bytes::from(self.key.clone().into_bytes());
        let all = Bytes::from_static(b"\0");
        if self.from_key || (self.prefix && key.is_empty()) {
            return (if key.is_empty() { all.clone() } else { key }, all);
        }
        let end = if self.prefix {
            prefix_end(&key)
        } else {
            Bytes::from(self.range_end.clone().unwrap_or_default().into_bytes())
        };
        (key, end)
    }
}

/// The first key after all that start with `prefix`; one zero byte, «to the end», when there is none.
fn prefix_end(prefix: &[u8]) -> Bytes {
    let Some(last) = prefix.iter().rposition(|byte| *byte < 0xff) else { return Bytes::from_static(b"\0") };
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    end.into()
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Order {
    Ascend,
    Descend,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum SortBy {
    Key,
    Version,
    Create,
    Modify,
    Value,
}

#[derive(Debug, Args)]
struct Get {
    #[command(flatten)]
    keys: Keys,
    /// Read at this revision instead of the newest.
    #[arg(long, value_name = "REVISION", default_value_t = 0, hide_default_value = true)]
    rev: i64,
    /// Print at most this many keys.
    #[arg(long, value_name = "COUNT", default_value_t = 0, hide_default_value = true)]
    limit: i64,
    /// Leave the values out.
    #[arg(long)]
    keys_only: bool,
    /// Print the number of keys only.
    #[arg(long, conflicts_with_all = ["keys_only", "value_only"])]
    count_only: bool,
    /// Print the bare values, each followed by a line break, and nothing else.
    #[arg(long, conflicts_with_all = ["keys_only", "output"])]
    value_only: bool,
    /// Direction of the order.
    #[arg(long, value_enum, value_name = "ORDER")]
    order: Option<Order>,
    /// What to sort by.
    #[arg(long, value_enum, value_name = "TARGET")]
    sort_by: Option<SortBy>,
    /// Accept this replica's present state instead of waiting until it is known to be the newest.
    #[arg(long)]
    serializable: bool,
    #[command(flatten)]
    volume: ChosenVolume,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Args)]
struct Put {
    /// The key.
    key: String,
    /// Its new value; without one it is read from standard input.
    value: Option<String>,
    /// Print the previous value too.
    #[arg(long)]
    prev_kv: bool,
    /// Keep the current value; the key must exist.
    #[arg(long, conflicts_with = "value")]
    ignore_value: bool,
    #[command(flatten)]
    volume: ChosenVolume,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Args)]
struct Del {
    #[command(flatten)]
    keys: Keys,
    /// Print what was deleted.
    #[arg(long)]
    prev_kv: bool,
    #[command(flatten)]
    volume: ChosenVolume,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Args)]
struct Compact {
    /// Oldest revision that stays readable.
    revision: i64,
    /// Return only when superseded revisions are gone from the tree.
    #[arg(long)]
    physical: bool,
    #[command(flatten)]
    volume: ChosenVolume,
    #[command(flatten)]
    target: Target,
}

impl Kv {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        match self.action {
            Action::Get(get) => get.run().await,
            Action::Put(put) => put.run().await,
            Action::Del(del) => del.run().await,
            Action::Compact(compact) => compact.run().await,
        }
    }
}

async fn client(target: &Target) -> anyhow::Result<KvClient<tonic::transport::Channel>> {
    // What was asked for is wanted whole, however large it is.
    Ok(KvClient::new(target.connect().await?).max_decoding_message_size(usize::MAX))
}

impl Get {
    fn message(&self) -> pb::RangeRequest {
        let (key, range_end) = self.keys.range();
        let order = self.order.map_or(SortOrder::None, |order| match order {
            Order::Ascend => SortOrder::Ascend,
            Order::Descend => SortOrder::Descend,
        });
        let by = self.sort_by.map_or(SortTarget::Key, |by| match by {
            SortBy::Key => SortTarget::Key,
            SortBy::Version => SortTarget::Version,
            SortBy::Create => SortTarget::Create,
            SortBy::Modify => SortTarget::Mod,
            SortBy::Value => SortTarget::Value,
        });
        pb::RangeRequest {
            key,
            range_end,
            limit: self.limit,
            revision: self.rev,
            sort_order: order.into(),
            sort_target: by.into(),
            serializable: self.serializable,
            keys_only: self.keys_only,
            count_only: self.count_only,
            ..Default::default()
        }
    }

    async fn run(self) -> anyhow::Result<()> {
        let request = self.target.request(self.volume.volume.as_deref(), self.message())?;
        let answer = client(&self.target).await?.range(request).await.map_err(refused)?.into_inner();
        if self.value_only {
            for kv in &answer.kvs {
                output::print_bytes(&kv.value)?;
                output::print("\n")?;
            }
            return Ok(());
        }
        self.target.output.emit(
            || match answer.kvs.is_empty() {
                true if self.count_only => format!("{}\n", answer.count),
                true => String::new(),
                false => self.table(&answer),
            },
            || range_json(&answer),
        )
    }

    fn table(&self, answer: &pb::RangeResponse) -> String {
        let rows = answer.kvs.iter().map(|kv| {
            let mut row = vec![readable(&kv.key)];
            if !self.keys_only {
                row.push(readable(&kv.value));
            }
            row.extend([kv.mod_revision, kv.version].map(|number| number.to_string()));
            row
        });
        let width = output::line_width();
        let mut text = if self.keys_only {
            output::cut(&["KEY", "REVISION", "VERSION"], &[1, 2], &[0], rows.collect(), width)
        } else {
            let head = ["KEY", "VALUE", "REVISION", "VERSION"];
            output::cut(&head, &[2, 3], &[0, 1], rows.collect(), width)
        };
        if answer.more {
            text += &format!("({} of {} keys; raise --limit for more)\n", answer.kvs.len(), answer.count);
        }
        text
    }
}

impl Put {
    async fn run(self) -> anyhow::Result<()> {
        let value = match &self.value {
            Some(value) => value.clone().into_bytes(),
            None if self.ignore_value => Vec::new(),
            None => read_standard_input().await?,
        };
        let message = pb::PutRequest {
            key: self.key.clone().into_bytes().into(),
            value: value.into(),
            prev_kv: self.prev_kv,
            ignore_value: self.ignore_value,
            ..Default::default()
        };
        let request = self.target.request(self.volume.volume.as_deref(), message)?;
        let answer = client(&self.target).await?.put(request).await.map_err(refused)?.into_inner();
        let revision = answer.header.map_or(0, |header| header.revision);
        self.target.output.emit(
            || {
                let previous = answer.prev_kv.iter().map(|kv| format!("previous: {}\n", readable(&kv.value)));
                format!("OK, revision {revision}\n") + &previous.collect::<String>()
            },
            || {
                let previous = answer.prev_kv.as_ref().map(kv_json);
                json!({ "header": header_json(answer.header), "prev_kv": previous })
            },
        )
    }
}

async fn read_standard_input() -> anyhow::Result<Vec<u8>> {
    use std::io::{IsTerminal as _, Read as _};
    if std::io::stdin().is_terminal() {
        bail!("no value was given; write `mortise kv put KEY VALUE`, or pipe the value into standard input");
    }
    let read = || {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).map(|_| bytes)
    };
    Ok(tokio::task::spawn_blocking(read).await??)
}

impl Del {
    async fn run(self) -> anyhow::Result<()> {
        let (key, range_end) = self.keys.range();
        let message = pb::DeleteRangeRequest { key, range_end, prev_kv: self.prev_kv };
        let request = self.target.request(self.volume.volume.as_deref(), message)?;
        let answer = client(&self.target).await?.delete_range(request).await.map_err(refused)?.into_inner();
        self.target.output.emit(
            || {
                let rows = answer.prev_kvs.iter().map(|kv| vec![readable(&kv.key), readable(&kv.value)]);
                let rows: Vec<_> = rows.collect();
                let head = match rows.is_empty() {
                    true => String::new(),
                    false => output::cut(&["KEY", "VALUE"], &[], &[0, 1], rows, output::line_width()),
                };
                format!("{head}{} deleted\n", answer.deleted)
            },
            || {
                json!({
                    "header": header_json(answer.header),
                    "deleted": answer.deleted,
                    "prev_kvs": answer.prev_kvs.iter().map(kv_json).collect::<Vec<_>>(),
                })
            },
        )
    }
}

impl Compact {
    async fn run(self) -> anyhow::Result<()> {
        let message = pb::CompactionRequest { revision: self.revision, physical: self.physical };
        let request = self.target.request(self.volume.volume.as_deref(), message)?;
        let answer = client(&self.target).await?.compact(request).await.map_err(refused)?.into_inner();
        self.target.output.emit(
            || format!("compacted, the oldest readable revision is {}\n", self.revision),
            || json!({ "header": header_json(answer.header) }),
        )
    }
}

fn range_json(answer: &pb::RangeResponse) -> Value {
    json!({
        "header": header_json(answer.header),
        "kvs": answer.kvs.iter().map(kv_json).collect::<Vec<_>>(),
        "more": answer.more,
        "count": answer.count,
    })
}

fn kv_json(kv: &KeyValue) -> Value {
    json!({
        "key": base64(&kv.key),
        "create_revision": kv.create_revision,
        "mod_revision": kv.mod_revision,
        "version": kv.version,
        "value": base64(&kv.value),
        "lease": kv.lease,
    })
}

fn header_json(header: Option<pb::ResponseHeader>) -> Value {
    let header = header.unwrap_or_default();
    json!({
        "cluster_id": header.cluster_id,
        "member_id": header.member_id,
        "revision": header.revision,
        "raft_term": header.raft_term,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(key: &str, prefix: bool, from_key: bool) -> (Vec<u8>, Vec<u8>) {
        let keys = Keys { key: key.to_owned(), range_end: None, prefix, from_key };
        let (key, end) = keys.range();
        (key.to_vec(), end.to_vec())
    }

    #[test]
    fn ranges_follow_the_protocol() {
        assert_eq!(keys("a", false, false), (b"a".to_vec(), Vec::new()));
        assert_eq!(keys("ab", true, false), (b"ab".to_vec(), b"ac".to_vec()));
        assert_eq!(keys("", true, false), (b"\0".to_vec(), b"\0".to_vec()));
        assert_eq!(keys("k", false, true), (b"k".to_vec(), b"\0".to_vec()));
        assert_eq!(keys("", false, true), (b"\0".to_vec(), b"\0".to_vec()));
    }

    #[test]
    fn the_end_of_a_prefix_skips_bytes_that_cannot_grow() {
        assert_eq!(&prefix_end(b"a\xff\xff")[..], b"b");
        assert_eq!(&prefix_end(b"\xff\xff")[..], b"\0");
    }
}
