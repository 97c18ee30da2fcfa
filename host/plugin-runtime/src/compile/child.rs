//! The process that compiles one component and ends.
//!
//! It binds itself before it reads the component: processor time, address space, no new files, no core dump,
//! and it ends with its parent. It is handed no environment, no directory and no file but its three pipes. It
//! must not know the store, the catalog or the configuration, none of which a compiler needs.

use std::fs;
use std::io::{self, Read, Write};
use std::process::ExitCode;

use rustix::process::{
    DumpableBehavior, Resource, Rlimit, Signal, set_dumpable_behavior, set_parent_process_death_signal,
    setrlimit,
};

use super::frame::{Head, write_answer};
use super::serialize;
use crate::config::MAX_COMPONENT_BYTES;
use crate::engine;

/// Files that may be open: the three pipes, and the few that the system's libraries read.
const OPEN_FILES: u64 = 16;

/// Compiles the component on standard input to standard output, under the limits that its head states. The
/// process must do nothing else, before or after.
#[must_use]
pub fn compile_child_main() -> ExitCode {
    match compile(&mut io::stdin().lock(), &mut io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "compiling a plugin: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compile(input: &mut impl Read, output: &mut impl Write) -> io::Result<()> {
    let head = Head::read(input)?;
    bind(&head)?;
    if head.component_bytes > MAX_COMPONENT_BYTES as u64 {
        return Err(io::Error::other(format!("a component of {} bytes is too large", head.component_bytes)));
    }
    let mut component = Vec::new();
    input.take(head.component_bytes).read_to_end(&mut component)?;
    if component.len() as u64 != head.component_bytes {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let engine = engine::for_compiling().map_err(|error| io::Error::other(format!("{error:#}")))?;
    write_answer(output, &serialize(&engine, &component))
}

/// Gives up what a compiler doesn't need.
fn bind(head: &Head) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let memory = address_space()?.saturating_add(head.memory_bytes);
    let limit = |resource, soft: u64, hard: u64| {
        setrlimit(resource, Rlimit { current: Some(soft), maximum: Some(hard) })
    };
    // The soft limit ends the process by a signal that tells the reason, the hard one by one that none
    // survives.
    limit(Resource::Cpu, head.cpu_seconds, head.cpu_seconds + 1)?;
    limit(Resource::As, memory, memory)?;
    limit(Resource::Core, 0, 0)?;
    limit(Resource::Fsize, 0, 0)?;
    limit(Resource::Nofile, OPEN_FILES, OPEN_FILES)?;
    Ok(())
}

/// Bytes of address space that the process has already.
fn address_space() -> io::Result<u64> {
    let text = fs::read_to_string("/proc/self/statm")?;
    let pages = text.split_whitespace().next().and_then(|pages| pages.parse::<u64>().ok());
    let pages = pages.ok_or_else(|| io::Error::other("/proc/self/statm holds no number"))?;
    Ok(pages.saturating_mul(rustix::param::page_size() as u64))
}
