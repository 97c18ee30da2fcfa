//! The daemons that suites talk to: the real `mortise` binary and a real etcd.
//!
//! Both are started on ports that the system chooses and are known to serve when they say so in their log;
//! nothing is polled and nothing sleeps. A [`Mortise`] can be killed and started again on the same
//! directory. Where no `etcd` program is on PATH, [`Etcd::start`] says so and a suite passes as skipped.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tempfile::TempDir;

use crate::process::{Finished, Process, run};

/// How long a daemon may take to serve. Generous: the machine may be busy compiling.
const START: Duration = Duration::from_secs(60);
/// How long a command-line call may take.
const CALL: Duration = Duration::from_secs(60);

/// Path of the `mortise` binary under test: `MORTISE_BIN`, else the one that cargo built beside the tests.
///
/// # Errors
/// There is none; the message says how to build it.
pub fn mortise_binary() -> Result<PathBuf> {
    if let Some(path) = env::var_os("MORTISE_BIN") {
        return Ok(PathBuf::from(path));
    }
    let own = env::current_exe()?;
    // Tests lie in `target/<profile>/deps`, programs one level above, beside `mortise`.
    let folders = || own.ancestors().skip(1).take(2).map(|folder| folder.join("mortise"));
    let path = folders().find(|path| path.is_file());
    let Some(path) = path.or_else(|| folders().last()) else {
        bail!("the test executable has no folder: {}", own.display());
    };
    if !path.is_file() {
        bail!(
            "{} is missing; build it with `cargo build --bin mortise`, or name another in MORTISE_BIN",
            path.display()
        );
    }
    Ok(path)
}

/// A running `mortise serve`.
#[derive(Debug)]
pub struct Mortise {
    process: Process,
    /// Address of the gRPC interface, `127.0.0.1:port`.
    pub grpc: String,
    /// Address of the HTTP interface, `127.0.0.1:port`.
    pub http: String,
}

impl Mortise {
    /// Starts a node on `data_dir` and waits until it serves.
    ///
    /// # Errors
    /// The binary is missing, or the node ended or said nothing; the message shows its last log lines.
    pub fn start(data_dir: &Path) -> Result<Self> {
        Self::start_with(data_dir, &[])
    }

    /// The same with further arguments of `mortise serve`.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with(data_dir: &Path, arguments: &[&str]) -> Result<Self> {
        Self::from_command(Self::command(data_dir, arguments)?)
    }

    /// The command that [`Self::start_with`] runs, for tests that expect it to fail or wrap it.
    ///
    /// # Errors
    /// The binary is missing.
    pub fn command(data_dir: &Path, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(mortise_binary()?);
        command.arg("serve").arg("--data-dir").arg(data_dir);
        for (flag, address) in [("--listen", "127.0.0.1:0"), ("--listen-http", "127.0.0.1:0")] {
            if !arguments.contains(&flag) {
                command.args([flag, address]);
            }
        }
        command.args(["--log-format", "json"]).args(arguments);
        Ok(command)
    }

    /// Runs a command that ends up in `mortise serve` and waits until it serves.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn from_command(mut command: Command) -> Result<Self> {
        Self::from_process(Process::spawn("mortise serve", &mut command)?)
    }

    /// Takes over a process that is to become a node and waits until it serves.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn from_process(mut process: Process) -> Result<Self> {
        let (grpc, http) = process.wait_line("a «listening» line", START, listening)?;
        Ok(Self { process, grpc, http })
    }

    /// The process, to signal it or to read its log.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Ends the node with SIGKILL.
    ///
    /// # Errors
    /// The system refuses the signal.
    pub fn kill(mut self) -> Result<()> {
        self.process.kill()
    }

    /// Stops the node with SIGTERM and waits for its end.
    ///
    /// # Errors
    /// It did not end in time, or not with exit code 0.
    pub fn stop(mut self) -> Result<()> {
        self.process.terminate()?;
        let (status, log) = self.process.wait_end(START)?;
        if !status.success() {
            bail!("mortise serve ended with {status} after SIGTERM:\n{log}");
        }
        Ok(())
    }

    /// The endpoint as clients name it, `http://127.0.0.1:port`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.grpc)
    }

    /// Runs `mortise ARGUMENTS --endpoint …` against this node.
    ///
    /// # Errors
    /// The command did not end in time. A failing exit code is not an error here.
    pub fn cli(&self, arguments: &[&str]) -> Result<Finished> {
        mortise_cli(&self.endpoint(), arguments)
    }

    /// As [`Self::cli`], with `--output json`, parsed.
    ///
    /// # Errors
    /// The command failed or its output is not JSON.
    pub fn cli_json(&self, arguments: &[&str]) -> Result<Value> {
        let finished = self.cli(&[arguments, &["--output", "json"]].concat())?;
        if !finished.success() {
            bail!("mortise {arguments:?} failed with {:?}: {}", finished.code, finished.stderr);
        }
        serde_json::from_str(&finished.stdout)
            .with_context(|| format!("mortise {arguments:?} --output json printed: {}", finished.stdout))
    }
}

/// Runs the built-in client against `endpoint`.
///
/// # Errors
/// The command did not end in time. A failing exit code is not an error here.
pub fn mortise_cli(endpoint: &str, arguments: &[&str]) -> Result<Finished> {
    let mut command = Command::new(mortise_binary()?);
    command.args(arguments).env("MORTISE_ENDPOINT", endpoint);
    run(&mut command, b"", CALL)
}

/// The two addresses of a «listening» log line; `None` for any other line.
fn listening(line: &str) -> Option<(String, String)> {
    let line: Value = serde_json::from_str(line).ok()?;
    // tracing's JSON layer nests an event's fields under `fields` unless told to flatten them.
    let fields = line.get("fields").unwrap_or(&line);
    if fields.get("message")?.as_str()? != "listening" {
        return None;
    }
    let address = |name: &str| fields.get(name)?.as_str().map(str::to_owned);
    Some((address("grpc")?, address("http").unwrap_or_default()))
}

/// A running etcd in a directory of its own.
#[derive(Debug)]
pub struct Etcd {
    process: Process,
    _directory: TempDir,
    /// Address of the client interface, `127.0.0.1:port`.
    pub grpc: String,
}

impl Etcd {
    /// Starts a single-member etcd. `None` where no `etcd` program is on PATH: a plain message is printed
    /// and the caller skips what needs it.
    ///
    /// # Errors
    /// etcd is there but does not start.
    pub fn start() -> Result<Option<Self>> {
        Self::start_in(TempDir::with_prefix("etcd-")?)
    }

    /// The same in a given directory, which goes with it.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_in(directory: TempDir) -> Result<Option<Self>> {
        if !on_path("etcd") {
            skip("no `etcd` program on PATH; install Debian's etcd-server to run this comparison");
            return Ok(None);
        }
        let any_port = "http://127.0.0.1:0";
        let mut command = Command::new("etcd");
        command
            .args(["--logger", "zap", "--log-outputs", "stderr", "--name", "default"])
            .args(["--listen-client-urls", any_port, "--advertise-client-urls", any_port])
            .args(["--listen-peer-urls", any_port, "--initial-advertise-peer-urls", any_port])
            .args(["--initial-cluster", "default=http://127.0.0.1:0"])
            .args(["--quota-backend-bytes", "8589934592"])
            .arg("--data-dir")
            .arg(directory.path());
        let mut process = Process::spawn("etcd", &mut command)?;
        let grpc = process.wait_line("its client address", START, |line| {
            let line: Value = serde_json::from_str(line).ok()?;
            let message = line.get("msg")?.as_str()?;
            message
                .starts_with("serving client traffic")
                .then(|| line["address"].as_str().map(str::to_owned))?
        })?;
        Ok(Some(Self { process, _directory: directory, grpc }))
    }

    /// The endpoint as clients name it, `http://127.0.0.1:port`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.grpc)
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }
}

/// Runs etcd's own client against `endpoint`.
///
/// # Errors
/// The command did not end in time. A failing exit code is not an error here.
pub fn etcdctl(endpoint: &str, arguments: &[&str], stdin: &str) -> Result<Finished> {
    let mut command = Command::new("etcdctl");
    command.env("ETCDCTL_API", "3").args(["--endpoints", endpoint]).args(arguments);
    run(&mut command, stdin.as_bytes(), CALL)
}

/// Whether a program of this name is on PATH.
#[must_use]
pub fn on_path(program: &str) -> bool {
    env::var_os("PATH").is_some_and(|paths| env::split_paths(&paths).any(|dir| dir.join(program).is_file()))
}

/// Says plainly, past the test harness's capture, that something is not run here and why.
#[allow(clippy::print_stderr, reason = "a skipped test must be seen, and tests have no other voice")]
pub fn skip(why: &str) {
    use std::io::Write as _;
    // `eprintln!` would be captured by the test harness of a passing test; a direct write is not.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}
