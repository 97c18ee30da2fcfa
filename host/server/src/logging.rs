//! Structured logs on standard error, as text or as one JSON object a line.
//!
//! Libraries below are kept at warnings unless a filter names them: they speak of their own internals. Those
//! that use the `log` crate (the storage libraries) are bridged, so that their warnings are not lost.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// Form of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For machines.
    Json,
}

/// Libraries that are quiet unless asked.
const QUIET: &str = "openraft=warn,lsm_tree=warn,fjall=warn,h2=warn,hyper=warn,tower=warn,wasmtime=warn,\
                     cranelift_codegen=warn,tonic=warn";

/// The filter that `level` means: a level, or a filter in tracing's own syntax such as `info,openraft=debug`.
///
/// # Errors
/// When `level` is neither.
fn filter(level: &str) -> anyhow::Result<EnvFilter> {
    EnvFilter::builder().parse(format!("{QUIET},{level}")).map_err(|error| {
        anyhow::anyhow!(
            "{level:?} is not a log level ({error}); use error, warn, info, debug or trace, \
             or a filter such as info,openraft=debug"
        )
    })
}

/// Installs the process-wide log.
///
/// # Errors
/// When `level` cannot be read or another log is installed already.
pub fn install(format: LogFormat, level: &str) -> anyhow::Result<()> {
    let builder = tracing_subscriber::fmt().with_env_filter(filter(level)?).with_writer(std::io::stderr);
    let installed = match format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(false).try_init(),
    };
    installed.map_err(|error| anyhow::anyhow!("the log could not be installed: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_filters_are_read_and_nonsense_is_refused() {
        for level in ["error", "info", "trace", "info,openraft=debug", "mortise_kernel=trace"] {
            assert!(filter(level).is_ok(), "{level}");
        }
        let error = filter("loud=very").expect_err("nonsense").to_string();
        assert!(error.contains("loud=very") && error.contains("debug"), "{error}");
    }
}
