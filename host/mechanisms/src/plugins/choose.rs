//! Which plugin version a name, a binding or a volume stands for: functions of the catalog's model.
//!
//! A name without a version means the newest by semantic versioning. A version that a binding names by digest
//! is that very component, unless it comes with the program, whose newer build takes its place. What may
//! serve a volume is a list in order of preference, because the first choice may turn out not to load; the
//! native strategy stands behind all of them and is not in the list.
//!
//! The name of a format stands for the plugin that is called so, else for the one with `format-` before it.
//! Nothing is loaded or run here, and nothing is written.

use mortise_kernel::format::FormatId;
use semver::Version;

use super::stage::Stage;
use crate::catalog::{BindingRow, Model, Origin, PluginRow, Target};
use crate::{Error, NATIVE_STRATEGY, Result};

/// A plugin version with what is needed to run it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chosen {
    pub name: String,
    pub version: String,
    pub row: PluginRow,
}

impl Chosen {
    /// Whether both are the same version of the same plugin.
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        (&self.name, &self.version, &self.row.digest) == (&other.name, &other.version, &other.row.digest)
    }

    /// This version with a configuration, as a binding names it.
    pub(crate) fn target(&self, config: &str) -> Target {
        Target::Plugin {
            plugin: self.name.clone(),
            version: self.version.clone(),
            digest: self.row.digest.clone(),
            config: config.into(),
        }
    }
}

/// What may serve a volume: in the order of preference, native last and left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Preference {
    /// Plugins to try, with their configuration.
    pub plugins: Vec<(Chosen, String)>,
    /// Why the binding's own target is not the first of them.
    pub problem: Option<String>,
}

/// The version of `name` that is asked for, or the newest.
pub(crate) fn pick(model: &Model, name: &str, version: Option<&str>) -> Result<Chosen> {
    let found = match version {
        Some(version) => model.versions(name).find(|(found, _)| *found == version),
        // An earlier build is kept for what is written in it, and named expressly or not at all.
        None => model
            .versions(name)
            .max_by_key(|(version, row)| (row.build_of.is_none(), Version::parse(version).ok())),
    };
    let Some((version, row)) = found else {
        let versions: Vec<_> = model.versions(name).map(|(version, _)| version).collect();
        let known = if name == NATIVE_STRATEGY {
            "it is part of the daemon, which can be shown and used, and has no versions and no limits".into()
        } else if versions.is_empty() {
            format!("there are {}", listed(&model.plugin_names()))
        } else {
            format!("its versions are {}", listed(&versions))
        };
        return Err(Error::NoSuchPlugin { name: name.into(), version: version.map(Into::into), known });
    };
    Ok(Chosen { name: name.into(), version: version.into(), row: row.clone() })
}

/// What names of plugins of the world `format` may begin with, and names of formats do not.
const FORMAT_PREFIX: &str = "format-";

/// The name of a format that a plugin of this name has.
pub(crate) fn format_name(plugin: &str) -> &str {
    plugin.strip_prefix(FORMAT_PREFIX).unwrap_or(plugin)
}

/// The version of the plugin that has the format of this name, or its newest. The plugin may be called like
/// the format, or with `format-` before.
pub(crate) fn pick_format(model: &Model, format: &str, version: Option<&str>) -> Result<Chosen> {
    match pick(model, format, version) {
        Err(unknown) => pick(model, &format!("{FORMAT_PREFIX}{format}"), version).map_err(|_| unknown),
        chosen => chosen,
    }
}

/// What a plugin is called that is meant by the name of a format; that name where there is no such plugin.
pub(crate) fn plugin_meant(model: &Model, format: &str) -> String {
    pick_format(model, format, None).map_or_else(|_| format.to_owned(), |chosen| chosen.name)
}

/// The plugin version that encodes a format; `None` for a native one, and where no such component is here.
/// The same bytes may have come in by several names: one for which `preferred` is true is taken before
/// others, then one that is called like the format, then one of its version.
pub(crate) fn bearer(
    model: &Model,
    format: &FormatId,
    preferred: impl Fn(&PluginRow) -> bool,
) -> Option<Chosen> {
    let digest = format.digest.as_deref()?;
    let there = model.plugins.iter().filter(|(_, row)| row.stage != Stage::Removed && row.digest == digest);
    let best = there.min_by_key(|((name, version), row)| {
        let version = row.build_of.as_ref().unwrap_or(version);
        (!preferred(row), format_name(name) != format.name, *version != format.version)
    });
    best.map(|((name, version), row)| Chosen {
        name: name.clone(),
        version: version.clone(),
        row: row.clone(),
    })
}

pub(crate) fn listed(names: &[&str]) -> String {
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

/// Which plugins may serve a volume, in order: its binding's target, the earlier ones, nothing in quarantine.
/// `barred` adds what the catalog does not show yet of targets and their digests that must not serve.
pub(crate) fn prefer(
    model: &Model,
    volume: &str,
    world: &str,
    default_strategy: &str,
    barred: impl Fn(&Target, &str) -> bool,
) -> Preference {
    let default = [Target::Default];
    let binding = model.bindings.get(&(volume.into(), world.into()));
    let targets: Vec<&Target> = match binding {
        Some(row) => {
            let taken_back = |target: &&Target| row.taken_back.iter().any(|taken| taken.target == **target);
            let earlier = row.previous.iter().filter(|target| !taken_back(target));
            std::iter::once(&row.current).chain(earlier).collect()
        }
        None => default.iter().collect(),
    };
    let mut preference = Preference::default();
    for target in targets {
        match resolve(model, target, default_strategy) {
            Ok(None) => break,
            Ok(Some((chosen, config))) => {
                let digest = &chosen.row.digest;
                if model.is_quarantined(volume, world, digest) || barred(target, digest) {
                    let reason = format!("{} {} is in quarantine", chosen.name, chosen.version);
                    preference.problem.get_or_insert(reason);
                } else {
                    preference.plugins.push((chosen, config));
                }
            }
            Err(error) => drop(preference.problem.get_or_insert(error.to_string())),
        }
        // What follows the first usable one only matters when that one cannot be loaded.
    }
    if preference.plugins.first().is_some_and(|(chosen, _)| is_current(binding, chosen, default_strategy)) {
        preference.problem = None;
    }
    preference
}

fn is_current(binding: Option<&BindingRow>, chosen: &Chosen, default_strategy: &str) -> bool {
    match binding.map(|row| &row.current) {
        Some(Target::Plugin { plugin, version, .. }) => *plugin == chosen.name && *version == chosen.version,
        Some(Target::Native) => false,
        Some(Target::Default) | None => chosen.name == default_strategy,
    }
}

/// The plugin that a target stands for; `None` for the native strategy.
pub(crate) fn resolve(
    model: &Model,
    target: &Target,
    default_strategy: &str,
) -> Result<Option<(Chosen, String)>> {
    match target {
        Target::Native => Ok(None),
        Target::Default if default_strategy == NATIVE_STRATEGY => Ok(None),
        Target::Default => {
            let shipped = model.versions(default_strategy).filter(|(_, row)| row.origin == Origin::Shipped);
            let newest = shipped.max_by_key(|(version, _)| Version::parse(version).ok());
            let version = newest.map(|(version, _)| version.to_owned());
            pick(model, default_strategy, version.as_deref()).map(|chosen| Some((chosen, "{}".into())))
        }
        Target::Plugin { plugin, version, digest, config } => {
            let chosen = pick(model, plugin, Some(version))?;
            // A build that comes with this program replaces the one of the program before; everything else
            // of another digest is another component that nobody rehearsed.
            if chosen.row.digest != *digest && chosen.row.origin != Origin::Shipped {
                return Err(Error::PluginConflict {
                    name: plugin.clone(),
                    version: version.clone(),
                    existing: chosen.row.digest,
                    found: digest.clone(),
                });
            }
            Ok(Some((chosen, config.clone())))
        }
    }
}
