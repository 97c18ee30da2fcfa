//! Single measurements with `mortise bench`, and what is made of several.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::daemon::mortise_binary;
use crate::process::run;

/// A single measurement may take this long.
const PATIENCE: Duration = Duration::from_secs(300);

/// One run of `mortise bench`.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// Calls answered in a second.
    pub per_second: f64,
    /// Median latency in microseconds.
    pub p50_us: f64,
    /// Latency that 99 of 100 calls did not exceed, in microseconds.
    pub p99_us: f64,
    /// Calls that failed.
    pub errors: u64,
}

/// What `mortise bench` is to send.
#[derive(Clone, Copy, Debug)]
pub struct Requests {
    /// Calls with many clients; one client sends a fifteenth.
    pub total: u64,
    /// Bytes of a value.
    pub value_size: u64,
}

impl Requests {
    /// Measures an operation of `mortise bench` against a server.
    ///
    /// # Errors
    /// The benchmark failed, or printed something else than figures.
    pub fn bench(self, endpoint: &str, operation: &str, clients: u64) -> Result<Measured> {
        let total = if clients == 1 { self.total.div_ceil(15) } else { self.total };
        let mut command = Command::new(mortise_binary()?);
        command.args(["bench", operation, "--endpoint", endpoint, "--output", "json"]);
        command.args(["--clients", &clients.to_string(), "--total", &total.to_string()]);
        command.args(["--value-size", &self.value_size.to_string()]);
        let finished = run(&mut command, b"", PATIENCE)?;
        ensure!(finished.success(), "{command:?}: {}", finished.stderr);
        let measured: Value = serde_json::from_str(&finished.stdout)
            .with_context(|| format!("the benchmark printed {}", finished.stdout))?;
        Measured::read(&measured).with_context(|| format!("the benchmark printed {measured}"))
    }
}

impl Measured {
    fn read(measured: &Value) -> Option<Self> {
        let latency = measured.get("latency_us")?;
        Some(Self {
            per_second: measured.get("throughput")?.as_f64()?,
            p50_us: latency.get("p50")?.as_f64()?,
            p99_us: latency.get("p99")?.as_f64()?,
            errors: measured.get("errors")?.as_u64()?,
        })
    }

    /// For a file of measurements.
    #[must_use]
    pub fn as_json(&self) -> Value {
        let Self { per_second, p50_us, p99_us, errors } = self;
        json!({ "per_second": per_second, "p50_us": p50_us, "p99_us": p99_us, "errors": errors })
    }
}

/// The median of one field over several measurements; NaN when there are none.
#[must_use]
pub fn median(values: &[Measured], field: impl Fn(&Measured) -> f64) -> f64 {
    let mut values: Vec<f64> = values.iter().map(field).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
