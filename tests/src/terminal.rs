//! A program at a pseudo-terminal, as a person sees and interrupts it.
//!
//! util-linux's `script` makes the terminal; it is an essential part of Debian. Where it is missing,
//! [`Terminal::run`] says so and a suite passes as skipped.

use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::daemon::{on_path, skip};

/// A program that is running at a terminal of 100 columns.
#[derive(Debug)]
pub struct Terminal {
    script: Child,
    keyboard: ChildStdin,
    pieces: Receiver<Vec<u8>>,
    screen: String,
}

impl Terminal {
    /// Runs a line of shell at a terminal; `None`, and a word about it, where there is no `script`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn run(line: &str, variables: &[(&str, &str)]) -> Result<Option<Self>> {
        if !on_path("script") {
            skip("no `script` program on PATH; install util-linux's to run commands at a terminal");
            return Ok(None);
        }
        let sized = format!("stty cols 100 rows 30; exec {line}");
        let mut command = Command::new("script");
        command.args(["-q", "-e", "-c", &sized, "/dev/null"]).env("TERM", "xterm").env("SHELL", "/bin/sh");
        command.envs(variables.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut script = command.spawn().context("cannot start script")?;
        let keyboard = script.stdin.take().context("standard input is piped")?;
        let mut output = script.stdout.take().context("standard output is piped")?;
        let (sender, pieces) = channel();
        thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(read @ 1..) = output.read(&mut piece) {
                if sender.send(piece[..read].to_vec()).is_err() {
                    break;
                }
            }
        });
        Ok(Some(Self { script, keyboard, pieces, screen: String::new() }))
    }

    /// Everything that was written so far, with its control sequences.
    #[must_use]
    pub fn screen(&self) -> &str {
        &self.screen
    }

    /// Types these bytes: `\x03` is Ctrl-C.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn press(&mut self, keys: &[u8]) -> Result<()> {
        self.keyboard.write_all(keys)?;
        Ok(self.keyboard.flush()?)
    }

    /// Waits until `seen` holds of what was written.
    ///
    /// # Errors
    /// It did not in time, or the program ended before.
    pub fn wait(&mut self, what: &str, within: Duration, seen: impl Fn(&str) -> bool) -> Result<()> {
        let end = Instant::now() + within;
        while !seen(&self.screen) {
            match self.pieces.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(piece) => self.screen += &String::from_utf8_lossy(&piece),
                Err(error) => bail!("{what} was not seen at the terminal ({error}): {:?}", self.screen),
            }
        }
        Ok(())
    }

    /// Waits for the program's end; its exit code and everything that it wrote.
    ///
    /// # Errors
    /// It did not end in time.
    pub fn wait_end(mut self, within: Duration) -> Result<(Option<i32>, String)> {
        let end = Instant::now() + within;
        loop {
            match self.pieces.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(piece) => self.screen += &String::from_utf8_lossy(&piece),
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break,
                Err(error) => bail!("the program at the terminal did not end ({error}): {:?}", self.screen),
            }
        }
        Ok((self.script.wait()?.code(), std::mem::take(&mut self.screen)))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}
