//! Holds a daemon at one of its fault points for as long as a test wants.
//!
//! The point's action names a socket of the test ([`Gate::action`]): the daemon connects to it and goes on
//! when the connection ends. So both sides wait on signals, and nobody on time. When the gate itself is gone,
//! the daemon passes.

use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tempfile::TempDir;

/// How long a daemon may take to come to a point.
const ARRIVAL: Duration = Duration::from_secs(120);

/// The test's side of a fault point.
#[derive(Debug)]
pub struct Gate {
    directory: TempDir,
    arrivals: Receiver<UnixStream>,
}

/// A daemon stands at the point; it goes on when this is dropped.
#[derive(Debug)]
pub struct Standing(#[expect(dead_code, reason = "held for its end")] UnixStream);

impl Gate {
    /// A gate of its own.
    ///
    /// # Errors
    /// No socket can be made.
    pub fn new() -> Result<Self> {
        let directory = TempDir::with_prefix("gate-")?;
        let listener = UnixListener::bind(directory.path().join("socket"))?;
        let (sender, arrivals) = channel();
        thread::spawn(move || {
            // Once the gate is gone, whoever comes is let go.
            listener.incoming().map_while(Result::ok).for_each(|stream| drop(sender.send(stream)));
        });
        Ok(Self { directory, arrivals })
    }

    /// The action with which a point leads here.
    #[must_use]
    pub fn action(&self) -> String {
        format!("return(gate:{})", self.path().display())
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    /// Waits until a daemon stands at the point.
    ///
    /// # Errors
    /// None came in time.
    pub fn arrival(&self) -> Result<Standing> {
        let arrived = self.arrivals.recv_timeout(ARRIVAL);
        arrived.map(Standing).with_context(|| format!("nobody came to the fault point within {ARRIVAL:?}"))
    }
}
