//! No trace of fault points is in a normal program: `tests/no-fault-points.sh`, which `make build` runs on
//! what it has built, finds every name where it is and none where it must not be.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use mortise_kernel::seams::fault::Point;
use mortise_tests::{Finished, mortise_binary, run};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(120);

fn search(program: &Path) -> Result<Finished> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("no-fault-points.sh");
    run(Command::new("sh").arg(script).arg(program), b"", PATIENCE)
}

#[test]
fn no_trace_of_fault_points_is_in_a_normal_binary() -> Result<()> {
    let normal = mortise_binary()?;
    // A release binary is checked as well where one was built; `make build` checks each that it builds.
    let release = normal.parent().and_then(Path::parent).map(|target| target.join("release/mortise"));
    for program in [Some(normal), release].into_iter().flatten().filter(|path| path.is_file()) {
        let told = search(&program)?;
        ensure!(told.success(), "{}{}", told.stdout, told.stderr);
        let all = format!("none of the names of {} fault points", Point::ALL.len());
        ensure!(told.stdout.contains(&all), "the script knows other points: {}", told.stdout);
        // Past the harness's capture: which programs were checked is what a reader wants to know.
        write!(std::io::stdout(), "{}", told.stdout)?;
    }
    Ok(())
}

#[test]
fn every_name_is_found_where_it_is() -> Result<()> {
    let faulty = search(&mortise_binary()?.with_file_name("mortise-fault-points"))?;
    ensure!(faulty.code == Some(1) && faulty.stderr.contains("fault-points"), "{faulty:?}");
    let directory = TempDir::new()?;
    let file: PathBuf = directory.path().join("program");
    for name in Point::ALL.iter().map(|point| point.name()).chain(["FAILPOINTS"]) {
        std::fs::write(&file, [b"\x7fELF\0", name.as_bytes(), b"\0\n"].concat())?;
        let told = search(&file)?;
        ensure!(told.code == Some(1) && told.stderr.contains(name), "{name} is not found: {told:?}");
    }
    std::fs::write(&file, b"\x7fELF\0fault\0")?;
    ensure!(search(&file)?.success(), "what is not there is found");
    ensure!(search(&directory.path().join("missing"))?.code == Some(2), "a missing program is no good one");
    Ok(())
}
