//! The command line as a whole: what help says, and who wins over whom.

use clap::CommandFactory as _;

use super::*;

fn serve() -> clap::Command {
    let command = Cli::command();
    command.find_subcommand("serve").expect("serve").clone()
}

#[test]
fn the_command_line_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn help_of_serve_names_every_default_and_every_variable() {
    let help = serve().render_long_help().to_string();
    for arg in serve().get_arguments() {
        let Some(long) = arg.get_long().filter(|long| !["help", "version"].contains(long)) else { continue };
        assert!(help.contains(&format!("--{long}")), "--{long} is missing");
        for default in arg.get_default_values() {
            let default = format!("[default: {}]", default.to_string_lossy());
            assert!(help.contains(&default), "{default} of --{long} is missing");
        }
        let variable = format!("MORTISE_{}", long.to_uppercase().replace('-', "_"));
        assert_eq!(arg.get_env(), Some(variable.as_ref()), "the variable of --{long}");
        assert!(help.contains(&variable), "{variable} of --{long} is missing");
    }
}

#[test]
fn every_client_command_takes_an_endpoint_and_an_output() {
    let command = Cli::command();
    for group in ["kv", "volume", "plugin", "bench"] {
        for action in command.find_subcommand(group).expect(group).get_subcommands() {
            takes_both(group, action);
        }
    }
}

/// Commands for authors of plugins, which ask no daemon; `check` may ask one.
const OFFLINE: [&str; 5] = ["new", "build", "test", "replay", "simulate"];

/// A command, or each command below it, takes an endpoint and an output.
fn takes_both(group: &str, action: &clap::Command) {
    if action.has_subcommands() {
        return action.get_subcommands().for_each(|below| takes_both(group, below));
    }
    let longs: Vec<_> = action.get_arguments().filter_map(clap::Arg::get_long).collect();
    if group == "plugin" && OFFLINE.contains(&action.get_name()) {
        return assert!(!longs.contains(&"endpoint"), "{group} {action}");
    }
    assert!(longs.contains(&"endpoint") && longs.contains(&"output"), "{group} {action}");
}

#[test]
fn a_check_names_its_limits_or_a_node_that_has_them() {
    for args in [&["--memory", "1MiB"][..], &["--node"], &["--endpoint", "http://a"]] {
        let line = [&["mortise", "plugin", "check", "a.wasm"], args].concat();
        assert!(Cli::try_parse_from(&line).is_ok(), "{line:?}");
    }
    for both in [["--node", "--deadline=1s"], ["--endpoint=http://a", "--memory=1MiB"]] {
        let line = [&["mortise", "plugin", "check", "a.wasm"], &both[..]].concat();
        let error = Cli::try_parse_from(&line).expect_err("a node has limits of its own");
        assert_eq!(error.kind(), clap::error::ErrorKind::ArgumentConflict, "{line:?}");
    }
}

#[test]
fn a_volume_is_named_in_either_way_but_not_in_both() {
    for command in ["status", "jobs"] {
        for args in [&["tenant"][..], &["--volume", "tenant"], &[]] {
            let line = [&["mortise", "volume", command], args].concat();
            assert!(Cli::try_parse_from(&line).is_ok(), "{line:?}");
        }
        contradicts(&["volume", command, "tenant", "--volume", "tenant"]);
    }
}

fn contradicts(args: &[&str]) {
    let line = [&["mortise"], args].concat();
    let error = Cli::try_parse_from(&line).expect_err("a contradiction");
    assert_eq!(error.kind(), clap::error::ErrorKind::ArgumentConflict, "{line:?}");
}

#[test]
fn what_is_neither_a_table_nor_json_takes_no_output() {
    contradicts(&["kv", "get", "k", "--value-only", "--output", "json"]);
    contradicts(&["plugin", "record", "--trace", "-o", "json"]);
    for line in
        [&["mortise", "kv", "get", "k", "--value-only"][..], &["mortise", "plugin", "record", "--trace"]]
    {
        assert!(Cli::try_parse_from(line).is_ok(), "{line:?}");
    }
    let version = ["mortise", "version", "-o", "json"];
    assert!(Cli::try_parse_from(version).is_ok(), "{version:?}");
}

#[test]
fn a_format_and_its_settings_are_named_alike_everywhere() {
    let command = Cli::command();
    let volume = command.find_subcommand("volume").expect("volume");
    for action in ["create", "convert"] {
        let action = volume.find_subcommand(action).expect(action);
        let longs: Vec<_> = action.get_arguments().filter_map(clap::Arg::get_long).collect();
        for flag in ["format-version", "format-config"] {
            assert!(longs.contains(&flag), "--{flag} of {action}");
        }
    }
}

#[test]
fn a_cause_is_told_once() {
    let denied = || std::io::Error::other("permission denied");
    let twice = anyhow::Error::from(mortise_kernel::Error::Io {
        context: "creating /proc/nope".to_owned(),
        source: denied(),
    });
    assert_eq!(told(&twice), "creating /proc/nope: permission denied");
    let once = anyhow::Error::from(denied()).context("reading the file");
    assert_eq!(told(&once), "reading the file: permission denied");
}

fn parsed(args: &[&str]) -> Result<serve::Serve, Refused> {
    let args = ["mortise", "serve"].iter().chain(args).map(OsString::from).collect();
    match parse(args)?.command {
        Command::Serve(serve) => Ok(*serve),
        other => panic!("not serve: {other:?}"),
    }
}

fn with_file(text: &str, args: &[&str]) -> Result<serve::Serve, Refused> {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("mortise.toml");
    std::fs::write(&path, text).expect("file");
    let path = path.to_string_lossy().into_owned();
    parsed(&[&["--config", path.as_str()], args].concat())
}

#[test]
fn a_file_supplies_defaults_and_flags_win_over_it() {
    let file = "listen = \"127.0.0.1:1\"\nmax-txn-ops = 7\nadvertise-urls = [\"http://a\", \"http://b\"]\n";
    let found = format!("{:?}", with_file(file, &[]).expect("valid"));
    assert!(found.contains("listen: \"127.0.0.1:1\""), "{found}");
    assert!(found.contains("max_txn_ops: 7"), "{found}");
    assert!(found.contains("advertise_urls: [\"http://a\", \"http://b\"]"), "{found}");
    assert!(found.contains("plugin_threads: 4"), "{found}");
    let found = format!("{:?}", with_file(file, &["--listen", "127.0.0.1:2"]).expect("valid"));
    assert!(found.contains("listen: \"127.0.0.1:2\""), "{found}");
}

#[test]
fn mistakes_in_a_file_are_named() {
    let cases = [
        ("cache-sise = 1", vec!["unknown key \"cache-sise\"", "cache-size"]),
        ("config = \"x\"", vec!["unknown key \"config\""]),
        ("cache-size = \"lots\"", vec!["mortise.toml", "lots", "--cache-size"]),
        ("log-format = \"xml\"", vec!["mortise.toml", "xml"]),
        ("listen = ", vec!["mortise.toml", "not valid TOML"]),
        ("[listen]\nport = 1", vec!["mortise.toml", "listen", "table"]),
    ];
    for (text, words) in cases {
        match with_file(text, &[]) {
            Err(Refused::Config(error)) => {
                let message = format!("{error:#}");
                for word in words {
                    assert!(message.contains(word), "{message:?} lacks {word:?}");
                }
            }
            other => panic!("{text:?} was taken: {other:?}"),
        }
    }
    let error = parsed(&["--config", "/nowhere/mortise.toml"]).expect_err("missing");
    assert!(format!("{error:?}").contains("/nowhere/mortise.toml"), "{error:?}");
}

#[test]
fn usage_errors_name_the_flag() {
    let error = parsed(&["--cache-size", "lots"]).expect_err("no size");
    assert!(matches!(&error, Refused::Usage(error) if error.use_stderr()), "{error:?}");
    assert!(format!("{error:?}").contains("cache-size"), "{error:?}");
    let error = Cli::try_parse_from(["mortise", "serve", "--memtable-size", "10foo"]).expect_err("no size");
    assert!(
        error.to_string().contains("'10foo' for '--memtable-size <SIZE>': expected a size such as 16MiB")
    );
}
