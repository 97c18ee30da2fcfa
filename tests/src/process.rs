//! A child process that a test starts, listens to and ends.
//!
//! What it promises: nothing here sleeps. A test waits for a line of the child's standard error or for its
//! end, always with a deadline; when the deadline passes, the message carries the last lines the child
//! wrote. Dropping a [`Process`] kills the child, so a failed test leaves nothing running. Signals go to one
//! process id, never to a name.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};

/// Lines kept for error messages.
const TAIL: usize = 40;

/// A running child process whose standard error is read line by line.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    lines: Receiver<String>,
    tail: VecDeque<String>,
}

impl Process {
    /// Starts `command`; its standard output is discarded.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn spawn(name: &str, command: &mut Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {name}: {command:?}"))?;
        let stderr = child.stderr.take().context("the child's standard error is piped")?;
        let (sender, lines) = channel();
        // The thread ends when the child closes its standard error. It goes on reading after the receiver is
        // gone, because a child that cannot write its log would block.
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Ok(Self { name: name.to_owned(), child, lines, tail: VecDeque::new() })
    }

    /// Waits until `pick` answers `Some` for a line of the child's standard error.
    ///
    /// # Errors
    /// The child ended or `within` passed before such a line came; the message shows the last lines.
    pub fn wait_line<T>(
        &mut self,
        what: &str,
        within: Duration,
        mut pick: impl FnMut(&str) -> Option<T>,
    ) -> Result<T> {
        let end = Instant::now() + within;
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    let found = pick(&line);
                    self.remember(line);
                    if let Some(found) = found {
                        return Ok(found);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    let tail = self.tail();
                    bail!("{} did not report {what} within {within:?}; last lines:\n{tail}", self.name)
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let status = self.child.wait()?;
                    let tail = self.tail();
                    bail!("{} ended ({status}) before it reported {what}:\n{tail}", self.name)
                }
            }
        }
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGKILL and waits for the end.
    ///
    /// # Errors
    /// The system refuses the signal.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill().with_context(|| format!("cannot kill {}", self.name))?;
        self.child.wait()?;
        Ok(())
    }

    /// Sends SIGTERM without waiting.
    ///
    /// # Errors
    /// The system refuses the signal.
    pub fn terminate(&self) -> Result<()> {
        self.signal(Signal::TERM)
    }

    /// Sends SIGINT without waiting, as Ctrl-C does.
    ///
    /// # Errors
    /// The system refuses the signal.
    pub fn interrupt(&self) -> Result<()> {
        self.signal(Signal::INT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("a process id")?;
        kill_process(pid, signal).with_context(|| format!("cannot signal {}", self.name))
    }

    /// Waits for the child to end by itself and returns its status with all it wrote to standard error.
    ///
    /// # Errors
    /// It did not end within the time given.
    pub fn wait_end(&mut self, within: Duration) -> Result<(ExitStatus, String)> {
        let outcome = self.wait_line("its end", within, |_| None::<()>);
        match (outcome, self.child.try_wait()?) {
            (_, Some(status)) => Ok((status, self.tail())),
            (outcome, None) => {
                Err(outcome.err().unwrap_or_else(|| anyhow!("unreachable: nothing was picked")))
            }
        }
    }

    /// The last lines of the child's standard error that were read.
    #[must_use]
    pub fn tail(&mut self) -> String {
        while let Ok(line) = self.lines.try_recv() {
            self.remember(line);
        }
        self.tail.iter().fold(String::new(), |text, line| text + line + "\n")
    }

    fn remember(&mut self, line: String) {
        if self.tail.len() == TAIL {
            self.tail.pop_front();
        }
        self.tail.push_back(line);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a program that was run to its end left behind.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Finished {
    /// Whether the exit code is 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.code == Some(0)
    }
}

/// Runs a program with `stdin` as its input to its end, at most `within`.
///
/// # Errors
/// It cannot be started, or did not end in time (it is killed then).
pub fn run(command: &mut Command, stdin: &[u8], within: Duration) -> Result<Finished> {
    use std::io::Write as _;
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {command:?}"))?;
    if let Some(mut input) = child.stdin.take() {
        // A program that does not read its input closes the pipe; that is its right.
        let _ = input.write_all(stdin);
    }
    let stdout = read_all(child.stdout.take().context("standard output is piped")?);
    let stderr = read_all(child.stderr.take().context("standard error is piped")?);
    let end = Instant::now() + within;
    let out = stdout.recv_timeout(within);
    let err = stderr.recv_timeout(end.saturating_duration_since(Instant::now()));
    let (Ok(stdout), Ok(stderr)) = (out, err) else {
        child.kill()?;
        child.wait()?;
        bail!("{command:?} did not end within {within:?}");
    };
    Ok(Finished { code: child.wait()?.code(), stdout, stderr })
}

fn read_all(mut from: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receiver
}
