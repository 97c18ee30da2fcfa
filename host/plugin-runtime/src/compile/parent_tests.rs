//! What goes wrong while a process is waited for leaves no process behind.

use rustix::process::test_kill_process;

use super::*;

/// A process that says no more, has closed its pipes, and goes on.
fn lingering() -> Child {
    Command::new("/bin/sh")
        .args(["-c", "exec sleep 300 <&- >&- 2>&-"])
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn a_process_that_cannot_be_watched_is_ended_all_the_same() {
    let child = lingering();
    let process = Pid::from_child(&child);
    let no_more_files = |_: &Child, _: Instant| Err(Errno::MFILE.into());
    let error = attend(child, &CompileLimits::default(), b"", no_more_files).err().unwrap();
    assert_eq!(error.raw_os_error(), Some(Errno::MFILE.raw_os_error()));
    assert_eq!(test_kill_process(process), Err(Errno::SRCH), "it is gone and waited for");
}
