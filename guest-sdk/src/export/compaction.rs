//! From the host's call to [`CompactionStrategy`].
//!
//! The macro makes the exports of the component on `wasm32` only. Natively it expands to nothing, so that a
//! strategy is tested like any other type. Each call reads its configuration anew, because a strategy has no
//! memory between two calls; a configuration that cannot be read is an error that names the field, which the
//! host tells the operator as a refusal.
//!
//! The macro's expansion stands in the plugin's crate, so whatever it names must be public and reachable
//! through `$crate`.

use super::{config, report_panics};
use crate::Call;
use crate::bindings::exports::mortise::plugin::compaction as wire;
use crate::compaction::{CompactionStrategy, View};

/// Turns a call of the host into one of the trait.
///
/// # Errors
/// Those of the configuration and of the strategy.
pub fn decide<S: CompactionStrategy>(call: &wire::Call, view: &View) -> Result<wire::Decision, String> {
    report_panics();
    let config: S::Config = config(&call.config)?;
    S::decide(&config, &Call { now: call.now, seed: call.seed }, view).map(Into::into)
}

/// Makes a type that implements [`CompactionStrategy`](crate::compaction::CompactionStrategy) the plugin of
/// this crate. Name, version and summary are those of the crate's `Cargo.toml`.
///
/// ```
/// use mortise_guest::Call;
/// use mortise_guest::compaction::{CompactionStrategy, Decision, Step, View};
///
/// struct Idle;
///
/// impl CompactionStrategy for Idle {
///     type Config = serde_json::Value;
///
///     fn decide(_: &Self::Config, _: &Call, _: &View) -> Result<Decision, String> {
///         Ok(Step::WAIT.into())
///     }
/// }
///
/// mortise_guest::export_compaction_strategy!(Idle);
///
/// // Natively, the macro makes nothing, and the type is tested as it is.
/// let config = serde_json::json!({});
/// let decision = Idle::decide(&config, &Call::default(), &mortise_guest::testkit::view().build());
/// assert_eq!(decision, Ok(Step::WAIT.into()));
/// ```
#[macro_export]
macro_rules! export_compaction_strategy {
    ($strategy:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::bindings::exports::mortise::plugin::{compaction, plugin};

            struct Exported;

            impl plugin::Guest for Exported {
                fn describe() -> plugin::Identity {
                    plugin::Identity {
                        name: env!("CARGO_PKG_NAME").into(),
                        version: env!("CARGO_PKG_VERSION").into(),
                        summary: env!("CARGO_PKG_DESCRIPTION").into(),
                    }
                }
            }

            impl compaction::Guest for Exported {
                fn decide(
                    call: compaction::Call,
                    view: compaction::View,
                ) -> Result<compaction::Decision, String> {
                    $crate::export::decide::<$strategy>(&call, &view)
                }
            }

    $crate::bindings::export_world!(Exported with_types_in $crate::bindings);
        };
    };
}
