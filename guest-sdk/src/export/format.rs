//! From the host's batches to [`Format`].
//!
//! An instance of a format is called again and again, mostly with the same configuration. So the format is
//! prepared once and kept with the text that it was prepared from; any other text prepares it anew, and the
//! answer never depends on which came before. What was prepared is the only memory that outlives a call.
//!
//! The contract answers each record by itself. A configuration that cannot be used therefore refuses every
//! record of a batch and does not end the call. Natively the macro expands to nothing.

use std::cell::RefCell;
use std::rc::Rc;

use super::{config, report_panics};
use crate::format::Format;

/// Keys or values of a batch.
pub type Records = Vec<Vec<u8>>;

/// One answer for each record.
pub type Answers = Vec<Result<Vec<u8>, String>>;

/// A function of [`Format`] that translates one record.
pub type Translate<F> = fn(&F, &[u8]) -> Result<Vec<u8>, String>;

/// A format and the configuration that it was prepared from. An instance is called with the same one again
/// and again.
pub struct Prepared<F>(RefCell<Option<(String, Rc<F>)>>);

impl<F> Default for Prepared<F> {
    fn default() -> Self {
        Self::new()
    }
}

impl<F> Prepared<F> {
    /// Nothing prepared yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(RefCell::new(None))
    }
}

impl<F: Format> Prepared<F> {
    /// The format under a configuration.
    fn format(&self, text: &str) -> Result<Rc<F>, String> {
        if let Some((known, format)) = &*self.0.borrow()
            && known == text
        {
            return Ok(Rc::clone(format));
        }
        report_panics();
        let format = Rc::new(F::new(config(text)?)?);
        *self.0.borrow_mut() = Some((text.to_owned(), Rc::clone(&format)));
        #[cfg(target_arch = "wasm32")]
        crate::allocator::keep();
        Ok(format)
    }

    /// Whether the format promises to keep the order of keys.
    ///
    /// # Errors
    /// Why the configuration cannot be used.
    pub fn keeps_order(&self, text: &str) -> Result<bool, String> {
        Ok(self.format(text)?.keeps_order())
    }

    /// Translates keys and values, each with its own function. Under a configuration that cannot be used,
    /// every record is refused.
    pub fn batch(
        &self,
        text: &str,
        (keys, key): (&Records, Translate<F>),
        (values, value): (&Records, Translate<F>),
    ) -> (Answers, Answers) {
        match self.format(text) {
            Ok(format) => {
                let each = |records: &Records, translate: Translate<F>| {
                    records.iter().map(|record| translate(&format, record)).collect()
                };
                (each(keys, key), each(values, value))
            }
            Err(why) => {
                let none = |records: &Records| records.iter().map(|_| Err(why.clone())).collect();
                (none(keys), none(values))
            }
        }
    }
}

/// Makes a type that implements [`Format`](crate::format::Format) the plugin of this crate. Name, version and
/// summary are those of the crate's `Cargo.toml`. What the type keeps in memory must not change an answer.
///
/// ```
/// use mortise_guest::format::Format;
///
/// /// Stores everything as it is.
/// struct Plain;
///
/// impl Format for Plain {
///     type Config = serde_json::Value;
///
///     fn new(_: Self::Config) -> Result<Self, String> {
///         Ok(Self)
///     }
///
///     fn keeps_order(&self) -> bool {
///         true
///     }
/// }
///
/// mortise_guest::export_format!(Plain);
///
/// // Natively, the macro makes nothing, and the type is tested as it is.
/// assert_eq!(Plain.encode_key(b"key"), Ok(b"key".to_vec()));
/// ```
#[macro_export]
macro_rules! export_format {
    ($format:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            mod glue {
                // `wit/v0.2.0` without its comments; the generator takes a literal or a path in this crate.
                $crate::wit_bindgen::generate!({
                    inline: "
                        package mortise:plugin@0.2.0;
                        interface plugin {
                            record identity { name: string, version: string, summary: string }
                            describe: func() -> identity;
                        }
                        interface log {
                            enum level { debug, info, warn, error }
                            write: func(level: level, message: string);
                        }
                        interface codec {
                            record properties { keeps-order: bool }
                            get-properties: func(config: string) -> result<properties, string>;
                            record answers {
                                keys: list<result<list<u8>, string>>,
                                values: list<result<list<u8>, string>>,
                            }
                            encode: func(config: string, keys: list<list<u8>>, values: list<list<u8>>)
                                -> answers;
                            decode: func(config: string, keys: list<list<u8>>, values: list<list<u8>>)
                                -> answers;
                        }
                        world format {
                            import log;
                            export plugin;
                            export codec;
                        }
                    ",
                    world: "format",
                    runtime_path: "mortise_guest::wit_bindgen::rt",
                });
            }

            use glue::exports::mortise::plugin::{codec, plugin};
            use $crate::export::{Prepared, Records, Translate};
            use $crate::format::Format;

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

            std::thread_local! {
                static PREPARED: Prepared<$format> = const { Prepared::new() };
            }

            fn batch(
                config: String,
                keys: (Records, Translate<$format>),
                values: (Records, Translate<$format>),
            ) -> codec::Answers {
                let (keys, values) = PREPARED
                    .with(|prepared| prepared.batch(&config, (&keys.0, keys.1), (&values.0, values.1)));
                codec::Answers { keys, values }
            }

            impl codec::Guest for Exported {
                fn get_properties(config: String) -> Result<codec::Properties, String> {
                    let keeps_order = PREPARED.with(|prepared| prepared.keeps_order(&config))?;
                    Ok(codec::Properties { keeps_order })
                }

                fn encode(config: String, keys: Records, values: Records) -> codec::Answers {
                    let (key, value) = (<$format as Format>::encode_key, <$format as Format>::encode_value);
                    batch(config, (keys, key), (values, value))
                }

                fn decode(config: String, keys: Records, values: Records) -> codec::Answers {
                    let (key, value) = (<$format as Format>::decode_key, <$format as Format>::decode_value);
                    batch(config, (keys, key), (values, value))
                }
            }

    glue::export!(Exported with_types_in glue);
        };
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Shift(u8);

    #[derive(serde::Deserialize)]
    struct Config {
        by: u8,
    }

    impl Format for Shift {
        type Config = Config;

        fn new(config: Config) -> Result<Self, String> {
            if config.by == 0 { Err("by is 0".to_owned()) } else { Ok(Self(config.by)) }
        }

        fn keeps_order(&self) -> bool {
            false
        }

        fn encode_value(&self, value: &[u8]) -> Result<Vec<u8>, String> {
            Ok(value.iter().map(|byte| byte.wrapping_add(self.0)).collect())
        }
    }

    #[test]
    fn a_batch_follows_its_own_configuration_and_not_the_last_one() {
        let prepared = Prepared::<Shift>::new();
        let batch = |config: &str| {
            let (keys, values) = (vec![vec![7]], vec![vec![1], vec![2]]);
            prepared.batch(config, (&keys, Shift::encode_key), (&values, Shift::encode_value))
        };
        let moved = |by: u8| (vec![Ok(vec![7])], vec![Ok(vec![1 + by]), Ok(vec![2 + by])]);
        let refused = Err("by is 0".to_owned());
        assert_eq!(batch(r#"{"by": 1}"#), moved(1));
        assert_eq!(batch(r#"{"by": 9}"#), moved(9));
        assert_eq!(batch(r#"{"by": 0}"#), (vec![refused.clone()], vec![refused; 2]));
        assert_eq!(batch(r#"{"by": 1}"#), moved(1));
        assert!(prepared.keeps_order("{}").unwrap_err().contains("missing field `by`"));
    }
}
