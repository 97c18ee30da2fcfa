//! Having a component compiled by a process of its own.
//!
//! Whatever becomes of that process, this side waits no longer than the limit, reads no more than the limit,
//! and leaves no process behind: not that one, and none of its process group either.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use tracing::debug;

use super::CompileLimits;
use super::frame::{Head, read_answer};
use crate::present::presentable;
use crate::{Error, Result};

/// Bytes of the process's complaints that are kept.
const COMPLAINT_BYTES: u64 = 16 * 1024;

/// The allocator of the daemon reserves address space far ahead, which would count as used.
const ALLOCATOR: [(&str, &str); 2] =
    [("MIMALLOC_ARENA_RESERVE", "32MiB"), ("MIMALLOC_ARENA_EAGER_COMMIT", "0")];

/// What came of the process.
struct End {
    status: ExitStatus,
    in_time: bool,
    answer: Vec<u8>,
    complaint: String,
}

/// Compiles `component` in a process of `program`.
pub(super) fn compile(
    program: &Path,
    arguments: &[OsString],
    limits: &CompileLimits,
    component: &[u8],
) -> Result<Vec<u8>> {
    let failed = |error: io::Error| Error::Compiler {
        detail: format!("{} cannot be run to compile a plugin: {error}", program.display()),
    };
    let child = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(ALLOCATOR)
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let end = attend(child, limits, component, has_ended_by).map_err(failed)?;
    judge(end, limits)
}

/// Feeds the process and reads what it answers, until it ends or its time is over. Nothing is left of it when
/// this returns, whatever went wrong. `has_ended_by` waits for its end, no longer than until a moment.
fn attend(
    mut child: Child,
    limits: &CompileLimits,
    component: &[u8],
    has_ended_by: impl FnOnce(&Child, Instant) -> io::Result<bool>,
) -> io::Result<End> {
    let (input, output, errors) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(input), Some(output), Some(errors)) = (input, output, errors) else {
        unreachable!("all three were asked for as pipes");
    };
    let head = Head::new(limits, component);
    let group = Pid::from_child(&child);
    let end = Instant::now() + limits.wall;
    thread::scope(|scope| {
        let (done, finished) = mpsc::channel();
        scope.spawn(move || feed(input, &head, component));
        let complaint = scope.spawn(move || read_some(errors, COMPLAINT_BYTES, true));
        let answer = scope.spawn(move || {
            let answer = read_some(output, limits.artifact_bytes.saturating_add(1), false);
            // Nobody listens when the time was over first.
            let _ = done.send(());
            answer
        });
        // A process that says no more has not ended yet: it may have closed its output and go on.
        let in_time = match finished.recv_timeout(limits.wall) {
            Ok(()) => has_ended_by(&child, end),
            Err(_) => Ok(false),
        };
        // Even after a good end, so that nothing it left behind holds one of the pipes. The number of the
        // group stays the process's own until it is waited for.
        let killed = kill_process_group(group, Signal::KILL);
        if !matches!(in_time, Ok(true)) {
            killed?;
        }
        let status = child.wait()?;
        let (answer, complaint) = (answer.join(), complaint.join());
        // Not before: an error must not leave the process behind.
        let in_time = in_time?;
        let (answer, complaint) = (answer.unwrap_or_default(), complaint.unwrap_or_default());
        Ok(End { status, in_time, answer, complaint: String::from_utf8_lossy(&complaint).into_owned() })
    })
}

/// Waits until the process has ended, no longer than until `moment`; tells whether it has.
fn has_ended_by(child: &Child, moment: Instant) -> io::Result<bool> {
    let handle = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    loop {
        let left = moment.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&left)) {
            Ok(ended) => return Ok(ended > 0),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// A process that ends early doesn't read to the end; its status says why.
fn feed(mut input: ChildStdin, head: &Head, component: &[u8]) {
    let fed = head.write(&mut input).and_then(|()| input.write_all(component));
    if let Err(error) = fed {
        debug!(%error, "the process that compiles a plugin does not take it");
    }
}

/// The first `most` bytes. The rest is read and dropped if `to_the_end`, else the pipe is closed.
fn read_some(mut from: impl Read, most: u64, to_the_end: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    let read = (&mut from).take(most).read_to_end(&mut bytes);
    if to_the_end && read.is_ok() {
        let _ = io::copy(&mut from, &mut io::sink());
    }
    bytes
}

fn judge(end: End, limits: &CompileLimits) -> Result<Vec<u8>> {
    if !end.in_time {
        return Err(beyond(format!("took longer than {:?}", limits.wall)));
    }
    if end.answer.len() as u64 > limits.artifact_bytes {
        return Err(beyond(format!("would give more than {} bytes of machine code", limits.artifact_bytes)));
    }
    if end.status.success()
        && let Some(answer) = read_answer(end.answer)
    {
        return answer.map_err(|detail| Error::Malformed { detail: presentable(&detail) });
    }
    debug!(status = %end.status, complaint = %presentable(&end.complaint), "compiling a plugin failed");
    let died_of = |signal: Signal| end.status.signal() == Some(signal.as_raw());
    // The compiler has no other way to say that memory was refused than to abort with these words.
    let memory = end.complaint.contains("memory allocation of") || end.complaint.contains("out of memory");
    Err(if died_of(Signal::XCPU) {
        beyond(format!("took more than {:?} of processor time", limits.cpu))
    } else if died_of(Signal::KILL) {
        let detail = "somebody killed the process that compiles them; the system does so when the machine runs \
                      out of memory, so see its log, and try again";
        Error::Compiler { detail: detail.into() }
    } else if memory {
        beyond(format!("took more than {} bytes of memory", limits.memory_bytes))
    } else if end.status.signal().is_some() {
        beyond(format!("ended the compiler ({}; it ran out of memory or stack)", end.status))
    } else {
        let complaint = end.complaint.lines().last().unwrap_or("it said nothing");
        Error::Compiler {
            detail: format!("the compiler's process ended with {}: {}", end.status, presentable(complaint)),
        }
    })
}

fn beyond(detail: String) -> Error {
    Error::Uncompilable { detail }
}

#[cfg(test)]
#[path = "parent_tests.rs"]
mod tests;
