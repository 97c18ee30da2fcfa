//! Components are compiled by a process of their own, which is the same program with a hidden command.
//! Whatever a component does to its compiler is an error to whoever added it, and leaves nothing behind.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use mortise_plugin_runtime::{CompileLimits, Compiler, Error, Limits, Runtime, RuntimeConfig};
use mortise_tests::{bombs, guests, mortise_binary};

const GOOD: &[u8] = mortise_plugins::COMPACTION_LEVELED;

/// Patient, because the machine that runs the tests may be busy.
const LIMITS: CompileLimits = CompileLimits {
    cpu: Duration::from_secs(60),
    wall: Duration::from_secs(120),
    memory_bytes: 1 << 30,
    artifact_bytes: 256 << 20,
};

fn compiler(limits: CompileLimits) -> Compiler {
    let program = mortise_binary().expect("the mortise binary");
    Compiler::Child { program, arguments: vec!["compile-plugin".into()], limits }
}

fn runtime(compiler: Compiler, cache_dir: Option<PathBuf>) -> Arc<Runtime> {
    Runtime::new(RuntimeConfig { compiler, cache_dir, ..RuntimeConfig::default() }).expect("an engine")
}

/// Why a component is refused, and how long that took.
fn refused(compiler: Compiler, component: &[u8]) -> (Error, Duration) {
    let runtime = runtime(compiler, None);
    let begun = Instant::now();
    let error = runtime.load(component).expect_err("it is refused");
    (error, begun.elapsed())
}

/// Processes that this one has started and not waited for.
fn children() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").expect("the list of threads");
    let of = |task: PathBuf| fs::read_to_string(task.join("children")).unwrap_or_default();
    let all: String = tasks.flatten().map(|task| of(task.path())).collect();
    all.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn what_a_child_compiled_works_and_is_kept() -> Result<()> {
    let dir = tempfile::tempdir()?;
    for round in 0..2 {
        let runtime = runtime(compiler(LIMITS), Some(dir.path().to_owned()));
        let component = runtime.load(GOOD)?;
        let limits = Limits { deadline: Duration::from_secs(10), ..Limits::default() };
        ensure!(component.identity(&limits)?.name == "compaction-leveled");
        ensure!(runtime.compilations() == 1 - round, "{} compilations", runtime.compilations());
    }
    Ok(())
}

#[test]
fn a_small_file_of_enormous_code_is_stopped_by_processor_time() {
    let bomb = bombs::locals(GOOD, 20_000);
    assert!(bomb.len() < 500_000, "{} bytes", bomb.len());
    let limits = CompileLimits { cpu: Duration::from_secs(2), ..LIMITS };
    let (error, took) = refused(compiler(limits), &bomb);
    assert!(matches!(error, Error::Uncompilable { .. }) && error.is_component_fault(), "{error:?}");
    assert_eq!(
        error.to_string(),
        "the component cannot be compiled within its limits: compiling it took more than 2s of processor time"
    );
    assert!(took < LIMITS.wall, "{took:?}");
}

#[test]
fn time_on_the_wall_is_limited_too() {
    let limits = CompileLimits { wall: Duration::from_millis(300), ..LIMITS };
    let sleeper = Compiler::Child { program: "/bin/sleep".into(), arguments: vec!["600".into()], limits };
    let (error, took) = refused(sleeper, GOOD);
    assert!(error.to_string().ends_with("compiling it took longer than 300ms"), "{error}");
    assert!(took < Duration::from_secs(60), "{took:?}");
}

#[test]
fn a_process_that_says_no_more_is_waited_for_no_longer_and_goes_with_its_children() {
    let limits = CompileLimits { wall: Duration::from_millis(300), ..LIMITS };
    // It closes its output, which looks like an end, and leaves a child that holds its other pipe.
    let script = "exec >&-; sleep 654321 & sleep 654321";
    let arguments = vec!["-c".into(), script.into()];
    let (error, took) = refused(Compiler::Child { program: "/bin/sh".into(), arguments, limits }, GOOD);
    assert!(error.to_string().ends_with("compiling it took longer than 300ms"), "{error}");
    assert!(took < Duration::from_secs(60), "{took:?}");
}

#[test]
fn a_compiler_that_is_killed_from_outside_is_not_the_component_s_fault() {
    let arguments = vec!["-c".into(), "kill -KILL $$".into()];
    let killed = Compiler::Child { program: "/bin/sh".into(), arguments, limits: LIMITS };
    let (error, _) = refused(killed, GOOD);
    assert!(!error.is_component_fault() && error.to_string().contains("out of memory"), "{error}");
}

#[test]
fn memory_is_limited() {
    let component = bombs::plenty(GOOD, 9_000);
    // Reading it takes more than that already.
    let limits = CompileLimits { memory_bytes: 4 << 20, ..LIMITS };
    let (error, _) = refused(compiler(limits), &component);
    assert!(matches!(error, Error::Uncompilable { .. }) && error.is_component_fault(), "{error:?}");
    assert!(error.to_string().ends_with("compiling it took more than 4194304 bytes of memory"), "{error}");
}

#[test]
fn the_size_of_what_is_made_is_limited() {
    let limits = CompileLimits { artifact_bytes: 10_000, ..LIMITS };
    let (error, _) = refused(compiler(limits), GOOD);
    assert!(error.to_string().ends_with("would give more than 10000 bytes of machine code"), "{error}");
    // A program that never ends to talk.
    let talker = Compiler::Child { program: "/usr/bin/yes".into(), arguments: vec![], limits };
    let (error, _) = refused(talker, GOOD);
    assert!(error.to_string().contains("more than 10000 bytes"), "{error}");
}

#[test]
fn a_compiler_that_is_none_is_the_host_s_fault() {
    let child = |program: &str| Compiler::Child {
        program: program.into(),
        arguments: vec!["hello".into()],
        limits: LIMITS,
    };
    for (program, expected) in [
        ("/nowhere/mortise", "/nowhere/mortise cannot be run to compile a plugin: No such file"),
        ("/bin/false", "the compiler's process ended with exit status: 1"),
        ("/bin/echo", "the compiler's process ended with exit status: 0"),
    ] {
        let (error, _) = refused(child(program), GOOD);
        assert!(!error.is_component_fault() && error.to_string().contains(expected), "{program}: {error}");
    }
}

#[test]
fn what_the_compiler_itself_refuses_is_told() {
    let mut damaged = GOOD.to_vec();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 64].fill(0xff);
    let (error, _) = refused(compiler(LIMITS), &damaged);
    assert!(matches!(error, Error::Malformed { .. }), "{error:?}");
    let inside = Runtime::new(RuntimeConfig::default()).expect("an engine");
    let same = inside.load(&damaged).expect_err("it is refused");
    assert_eq!(error.to_string(), same.to_string());
}

#[test]
fn no_process_is_left_behind() {
    for (program, arguments) in [("/bin/sleep", vec!["600".into()]), ("/usr/bin/yes", vec![])] {
        let limits = CompileLimits { wall: Duration::from_millis(200), artifact_bytes: 1_000, ..LIMITS };
        refused(Compiler::Child { program: program.into(), arguments, limits }, GOOD);
    }
    // Other tests of this file have children of their own at the same time, but none that sleep or talk.
    for child in children() {
        let name = fs::read_to_string(format!("/proc/{child}/comm")).unwrap_or_default();
        assert!(!["sleep", "yes"].contains(&name.trim()), "{child} {name}");
    }
}

#[test]
fn the_hidden_command_takes_nothing_but_a_request() -> Result<()> {
    for input in [&b""[..], b"hello", &[0; 100], b"mortise-compile1"] {
        let mut child = Command::new(mortise_binary()?)
            .arg("compile-plugin")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut pipe = child.stdin.take().expect("a pipe");
        // It may be gone already.
        let _ = pipe.write_all(input);
        drop(pipe);
        let output = child.wait_with_output()?;
        ensure!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
        ensure!(String::from_utf8_lossy(&output.stderr).starts_with("compiling a plugin: "), "{output:?}");
    }
    Ok(())
}

/// What is refused before anything is compiled never reaches a compiler.
#[test]
fn nothing_is_compiled_that_is_refused_by_its_looks() {
    let none = Compiler::Child { program: "/nowhere".into(), arguments: vec![], limits: LIMITS };
    let runtime = runtime(none, None);
    for guest in [guests::CORE_MODULE, guests::IMPORTS_SOCKETS, guests::IMPORTS_CLOCK, guests::MEMORY_GIANT] {
        let error = runtime.load(guest).expect_err("it is refused");
        assert!(error.is_component_fault(), "{error}");
    }
    assert_eq!(runtime.compilations(), 0);
}
