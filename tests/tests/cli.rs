//! The command line: every command works, prints JSON that parses, and fails with a clear message.
//!
//! Nothing is said here about the wording of tables; JSON is for machines and its presence is checked.

use anyhow::{Result, ensure};
use mortise_tests::{Mortise, mortise_cli};
use tempfile::TempDir;

fn node() -> Result<(TempDir, Mortise)> {
    let directory = TempDir::new()?;
    let mortise = Mortise::start(directory.path())?;
    Ok((directory, mortise))
}

fn works(mortise: &Mortise, arguments: &[&str]) -> Result<String> {
    let finished = mortise.cli(arguments)?;
    ensure!(finished.success(), "mortise {arguments:?}: {}", finished.stderr);
    Ok(finished.stdout)
}

fn fails(mortise: &Mortise, arguments: &[&str], expected: &str) -> Result<()> {
    let finished = mortise.cli(arguments)?;
    ensure!(!finished.success(), "mortise {arguments:?} should fail: {}", finished.stdout);
    ensure!(finished.stdout.is_empty(), "an error goes to standard error: {}", finished.stdout);
    ensure!(finished.stderr.contains(expected), "{arguments:?}: expected {expected:?}: {}", finished.stderr);
    ensure!(!finished.stderr.contains("panicked"), "{}", finished.stderr);
    Ok(())
}

#[test]
fn keys_are_written_read_and_deleted() -> Result<()> {
    let (_directory, mortise) = node()?;
    works(&mortise, &["kv", "put", "greeting", "hello"])?;
    ensure!(works(&mortise, &["kv", "get", "greeting"])?.contains("hello"), "the value is printed");
    let json = mortise.cli_json(&["kv", "get", "greeting"])?.to_string();
    ensure!(json.contains("greeting") || json.contains("Z3JlZXRpbmc"), "the key is in the JSON: {json}");
    works(&mortise, &["kv", "del", "greeting"])?;
    ensure!(!works(&mortise, &["kv", "get", "greeting"])?.contains("hello"), "the key is gone");
    Ok(())
}

#[test]
fn keys_live_in_the_volume_named() -> Result<()> {
    let (_directory, mortise) = node()?;
    works(&mortise, &["volume", "create", "tenant"])?;
    works(&mortise, &["kv", "put", "key", "of-tenant", "--volume", "tenant"])?;
    ensure!(
        works(&mortise, &["kv", "get", "key", "--volume", "tenant"])?.contains("of-tenant"),
        "it is there"
    );
    ensure!(!works(&mortise, &["kv", "get", "key"])?.contains("of-tenant"), "and nowhere else");
    fails(&mortise, &["kv", "get", "key", "--volume", "missing"], "missing")
}

#[test]
fn volumes_are_listed_and_described() -> Result<()> {
    let (_directory, mortise) = node()?;
    works(&mortise, &["volume", "create", "tenant"])?;
    let list = mortise.cli_json(&["volume", "list"])?.to_string();
    for name in ["default", "system", "tenant"] {
        ensure!(list.contains(&format!("\"{name}\"")), "{name} is missing in {list}");
    }
    works(&mortise, &["kv", "put", "a", "b"])?;
    let status = mortise.cli_json(&["volume", "status"])?;
    ensure!(status["revision"] == 2 && status["levels"].is_array(), "{status}");
    ensure!(works(&mortise, &["volume", "status"])?.contains("default"), "the table names the volume");
    fails(&mortise, &["volume", "create", "tenant"], "tenant")?;
    for wrong in ["", "Upper", "-dash", "a/b", "..", &"x".repeat(300)] {
        let finished = mortise.cli(&["volume", "create", "--", wrong])?;
        ensure!(!finished.success(), "a volume may not be called {wrong:?}");
    }
    works(&mortise, &["volume", "delete", "tenant"])?;
    ensure!(!mortise.cli_json(&["volume", "list"])?.to_string().contains("tenant"), "it is gone");
    Ok(())
}

#[test]
fn shipped_plugins_are_there_and_can_be_used() -> Result<()> {
    let (_directory, mortise) = node()?;
    let list = mortise.cli_json(&["plugin", "list"])?.to_string();
    for name in ["compaction-leveled", "compaction-tiered", "compaction-quiet"] {
        ensure!(list.contains(name), "{name} is not shipped: {list}");
        ensure!(works(&mortise, &["plugin", "show", name])?.contains(name), "it is described");
        mortise.cli_json(&["plugin", "show", name])?;
    }
    works(&mortise, &["plugin", "use", "compaction-tiered", "--volume", "default"])?;
    ensure!(works(&mortise, &["volume", "status"])?.contains("compaction-tiered"), "it serves");
    mortise.cli_json(&["plugin", "rollback", "--volume", "default"])?;
    ensure!(works(&mortise, &["volume", "status"])?.contains("compaction-leveled"), "the one before serves");
    Ok(())
}

#[test]
fn the_benchmark_counts_what_it_did() -> Result<()> {
    let (_directory, mortise) = node()?;
    let few = ["--clients", "4", "--total", "200", "--warm-up", "0", "--key-space", "50"];
    let bench = mortise.cli_json(&[&["bench", "put"], &few[..]].concat())?;
    ensure!(bench["total"] == 200 && bench["errors"] == 0, "{bench}");
    ensure!(bench["latency_us"]["p99"].as_f64() > Some(0.0), "{bench}");
    let revision = &mortise.cli_json(&["volume", "status"])?["revision"];
    ensure!(*revision == 201, "200 puts make revision 201, not {revision}");
    let bench = mortise.cli_json(&[&["bench", "get"], &few[..]].concat())?;
    ensure!(bench["errors"] == 0, "{bench}");
    ensure!(works(&mortise, &[&["bench", "put"], &few[..]].concat())?.contains("p99"), "a table is printed");
    Ok(())
}

#[test]
fn nobody_there_is_said_clearly() -> Result<()> {
    // Port 1 of this machine is nobody's.
    let finished = mortise_cli("http://127.0.0.1:1", &["kv", "get", "a"])?;
    ensure!(!finished.success() && finished.stderr.contains("127.0.0.1:1"), "{finished:?}");
    let finished = mortise_cli("no endpoint at all", &["kv", "get", "a"])?;
    ensure!(!finished.success() && finished.stderr.contains("no endpoint at all"), "{finished:?}");
    Ok(())
}

#[test]
fn the_endpoint_flag_goes_before_the_environment() -> Result<()> {
    let (_directory, mortise) = node()?;
    let endpoint = mortise.endpoint();
    let finished = mortise_cli("http://127.0.0.1:1", &["kv", "put", "a", "b", "--endpoint", &endpoint])?;
    ensure!(finished.success(), "{finished:?}");
    Ok(())
}

#[test]
fn help_names_every_default() -> Result<()> {
    let finished = mortise_cli("", &["serve", "--help"])?;
    ensure!(finished.success(), "{}", finished.stderr);
    for expected in ["127.0.0.1:2379", "127.0.0.1:2381", "--data-dir", "--log-format", "MORTISE_"] {
        ensure!(finished.stdout.contains(expected), "{expected} is missing in:\n{}", finished.stdout);
    }
    let unknown = mortise_cli("", &["no-such-command"])?;
    ensure!(unknown.code == Some(2) && unknown.stderr.contains("no-such-command"), "{unknown:?}");
    Ok(())
}
