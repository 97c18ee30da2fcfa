//! etcd's own client, unchanged: every supported command prints for Mortise what it prints for etcd.
//!
//! The same commands run in the same order against both; standard output, the error line and the exit code
//! are compared. What names the server itself (ids, addresses, sizes, hashes) is left out there and looked
//! at separately. Without `etcdctl` the suite says so and passes; without `etcd` there is nothing to compare
//! with, and only the commands' success is checked.

use anyhow::{Result, ensure};
use mortise_tests::{Etcd, Finished, Mortise, etcdctl, on_path, skip};
use serde_json::Value;
use tempfile::TempDir;

/// One command: arguments, and what it reads from standard input.
type Command = (&'static str, &'static str);

/// Commands whose whole output must be the same. A space separates arguments; `_` stands for a space.
const SAME: &[Command] = &[
    ("put greeting hello", ""),
    ("put greeting world", ""),
    ("put greeting again --prev-kv", ""),
    ("put greeting --ignore-value", ""),
    ("put missing --ignore-value", ""),
    ("put greeting x --ignore-lease", ""),
    ("put from-input", "typed value"),
    ("put binary \u{fffd}\u{1}", ""),
    ("put a/1 one", ""),
    ("put a/2 two", ""),
    ("put a/3 three", ""),
    ("put b four", ""),
    ("get greeting", ""),
    ("get missing", ""),
    ("get greeting -w json", ""),
    ("get greeting -w fields", ""),
    ("get greeting --print-value-only", ""),
    ("get greeting --hex", ""),
    ("get greeting --rev=2", ""),
    ("get greeting --rev=3 -w json", ""),
    ("get greeting --rev=999", ""),
    ("get greeting --consistency=s", ""),
    ("get a/ --prefix", ""),
    ("get a/ --prefix --keys-only", ""),
    ("get a/ --prefix --limit=2 -w json", ""),
    ("get a/ --prefix --order=DESCEND", ""),
    ("get a/ --prefix --order=DESCEND --sort-by=VALUE", ""),
    ("get a/ --prefix --order=ASCEND --sort-by=MODIFY", ""),
    ("get a/ --prefix --order=DESCEND --sort-by=CREATE --limit=1", ""),
    ("get a/2 --from-key", ""),
    ("get a/1 a/3", ""),
    ("get a/3 a/1", ""),
    ("get --from-key --keys-only \u{1}", ""),
    ("txn", "value(\"greeting\")_=_\"x\"\n\nput_t_yes\nget_greeting\n\nput_t_no\n\n"),
    ("txn -w json", "mod(\"t\")_>_\"1000\"\n\nput_t_yes\n\nput_u_no\ndel_t\n\n"),
    ("txn", "version(\"a/1\")_=_\"1\"\ncreate(\"a/2\")_<_\"100\"\n\nget_--prefix_a/\n\n\n"),
    ("txn", "\nput_same_1\nput_same_2\n\n\n"),
    ("del a/1 --prev-kv", ""),
    ("del a/1", ""),
    ("del a/ --prefix --prev-kv", ""),
    ("del greeting -w json", ""),
    ("put c 1", ""),
    ("put d 2", ""),
    ("del c --from-key", ""),
    ("get \u{1} --from-key -w json", ""),
    ("compaction 5", ""),
    ("compaction 5", ""),
    ("compaction 7 --physical", ""),
    ("compaction 100000", ""),
    ("get greeting --rev=3", ""),
    ("get greeting --rev=7", ""),
    ("alarm list", ""),
    ("alarm disarm", ""),
];

fn arguments(command: &str) -> Vec<String> {
    command.split(' ').map(|word| word.replace('_', " ")).collect()
}

/// Runs one command. The endpoint is named without `http://`, as in etcdctl's own default: for its
/// maintenance calls etcdctl 3.4 sends the endpoint as it is as the request's authority, and a URL is none.
fn call(endpoint: &str, (command, input): Command) -> Result<Finished> {
    let arguments = arguments(command);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    etcdctl(endpoint.trim_start_matches("http://"), &arguments, &input.replace('_', " "))
}

/// What of an output must be the same for every server.
fn comparable(finished: &Finished) -> (Option<i32>, String, String) {
    let errors: Vec<&str> = finished.stderr.lines().filter(|line| line.starts_with("Error:")).collect();
    (finished.code, without_ids(&finished.stdout), errors.join("\n"))
}

fn without_ids(output: &str) -> String {
    if let Ok(mut json) = serde_json::from_str::<Value>(output) {
        clear_ids(&mut json);
        return json.to_string();
    }
    let own =
        |line: &&str| ["\"ClusterID\"", "\"MemberID\"", "\"RaftTerm\""].iter().any(|id| line.starts_with(id));
    output.lines().filter(|line| !own(line)).collect::<Vec<_>>().join("\n")
}

fn clear_ids(json: &mut Value) {
    match json {
        Value::Object(fields) => {
            for id in ["cluster_id", "member_id", "raft_term"] {
                fields.remove(id);
            }
            fields.values_mut().for_each(clear_ids);
        }
        Value::Array(items) => items.iter_mut().for_each(clear_ids),
        _ => {}
    }
}

fn compare_all(ours: &str, theirs: &str) -> Result<()> {
    let mut differences = Vec::new();
    for command in SAME {
        let (our, their) = (comparable(&call(ours, *command)?), comparable(&call(theirs, *command)?));
        if our != their {
            differences.push(format!("etcdctl {}\n  Mortise: {our:?}\n  etcd:    {their:?}", command.0));
        }
    }
    ensure!(differences.is_empty(), "etcdctl prints something else:\n{}", differences.join("\n"));
    Ok(())
}

#[test]
fn etcdctl_prints_the_same_for_mortise_and_etcd() -> Result<()> {
    if !on_path("etcdctl") {
        skip("no `etcdctl` program on PATH; install Debian's etcd-client to run this suite");
        return Ok(());
    }
    let Some(etcd) = Etcd::start()? else { return Ok(()) };
    let directory = TempDir::new()?;
    let mortise = Mortise::start(directory.path())?;
    compare_all(&mortise.endpoint(), &etcd.endpoint())
}

#[test]
fn two_etcds_print_the_same() -> Result<()> {
    if !on_path("etcdctl") {
        return Ok(());
    }
    let (Some(first), Some(second)) = (Etcd::start()?, Etcd::start()?) else { return Ok(()) };
    compare_all(&first.endpoint(), &second.endpoint())
}

#[test]
fn etcdctl_sees_the_servers_state() -> Result<()> {
    if !on_path("etcdctl") {
        skip("no `etcdctl` program on PATH; install Debian's etcd-client to run this suite");
        return Ok(());
    }
    let directory = TempDir::new()?;
    let mortise = Mortise::start(directory.path())?;
    let ctl = |command: &'static str| -> Result<String> {
        let finished = call(&mortise.endpoint(), (command, ""))?;
        ensure!(finished.success(), "etcdctl {command}: {}", finished.stderr);
        Ok(finished.stdout + &finished.stderr)
    };
    ctl("put greeting hello")?;

    let health = ctl("endpoint health")?;
    ensure!(health.contains("is healthy"), "{health}");
    let status: Value = serde_json::from_str(&ctl("endpoint status -w json")?)?;
    let status = &status[0]["Status"];
    ensure!(status["header"]["revision"] == 2, "{status}");
    ensure!(status["leader"] == status["header"]["member_id"], "{status}");
    ensure!(status["version"].as_str().is_some_and(|version| !version.is_empty()), "{status}");
    ensure!(status["raftTerm"].as_u64() > Some(0) && status["raftIndex"].as_u64() > Some(0), "{status}");
    ctl("endpoint status -w table")?;

    let hash = |text: &str| -> Result<Value> {
        Ok(serde_json::from_str::<Value>(text)?[0]["HashKV"]["hash"].clone())
    };
    let before = hash(&ctl("endpoint hashkv -w json")?)?;
    ensure!(before == hash(&ctl("endpoint hashkv -w json")?)?, "the hash changes by itself");
    ctl("put greeting changed")?;
    ensure!(before != hash(&ctl("endpoint hashkv -w json")?)?, "the hash does not see a change");
    ensure!(before == hash(&ctl("endpoint hashkv --rev=2 -w json")?)?, "the hash at a revision changed");

    let members: Value = serde_json::from_str(&ctl("member list -w json")?)?;
    let members = members["members"].as_array().cloned().unwrap_or_default();
    ensure!(members.len() == 1, "{members:?}");
    ensure!(
        members[0]["clientURLs"][0].as_str().is_some_and(|url| url.contains(&mortise.grpc)),
        "{members:?}"
    );
    Ok(())
}

#[test]
fn what_is_not_supported_says_so() -> Result<()> {
    if !on_path("etcdctl") {
        skip("no `etcdctl` program on PATH; install Debian's etcd-client to run this suite");
        return Ok(());
    }
    let directory = TempDir::new()?;
    let mortise = Mortise::start(directory.path())?;
    for (command, call_name) in [
        ("lease grant 60", "LeaseGrant"),
        ("lease list", "LeaseLeases"),
        ("auth enable", "AuthEnable"),
        ("user list", "UserList"),
        ("role list", "RoleList"),
        ("member add other --peer-urls=http://127.0.0.1:1", "MemberAdd"),
        ("watch greeting", "etcdserverpb.Watch/Watch"),
        ("move-leader 1", "MoveLeader"),
        // Both begin with a lease.
        ("lock a-lock", "LeaseGrant"),
        ("elect an-election me", "LeaseGrant"),
    ] {
        let finished = etcdctl(&mortise.grpc, &command.split(' ').collect::<Vec<_>>(), "")?;
        ensure!(!finished.success(), "etcdctl {command} pretends to work: {}", finished.stdout);
        ensure!(
            finished.stderr.contains("Unimplemented") && finished.stderr.contains(call_name),
            "etcdctl {command} should name {call_name}: {}",
            finished.stderr
        );
    }
    let file = directory.path().join("snapshot");
    let finished = etcdctl(&mortise.grpc, &["snapshot", "save", &*file.to_string_lossy()], "")?;
    ensure!(!finished.success() && !file.exists(), "a snapshot was saved: {}", finished.stdout);
    ensure!(finished.stderr.contains("etcdserverpb.Maintenance/Snapshot"), "{}", finished.stderr);
    Ok(())
}
