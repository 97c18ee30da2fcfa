//! Which plugin may come in, which is bound, and what follows a fault: functions of the catalog's model.
//!
//! They return the [`Change`] that
//! [`Catalog::commit`](crate::catalog::Catalog::commit) makes; each is decided anew when the catalog changed
//! meanwhile.

use mortise_plugin_runtime::{Description, Identity, Limits, World};
use semver::Version;

use super::choose::{Chosen, pick, resolve};
use crate::catalog::{
    BindingRow, Change, HistoryRow, Key, Model, Origin, PluginRow, QuarantineRow, ROW_VERSION, ROWS_AT_ONCE,
    Target, VolumeState, label_problem,
};
use crate::{Error, NATIVE_STRATEGY, Result};

/// Earlier bindings that a volume remembers.
const REMEMBERED_BINDINGS: usize = 16;

/// Largest configuration, in bytes. A binding's row holds its own and up to sixteen earlier ones.
const MAX_CONFIG_BYTES: usize = 16 * 1024;

/// The configuration text to bind with; it must be a JSON object, for that is what every plugin is promised.
pub(crate) fn config_text(config: Option<String>) -> Result<String> {
    let text = config.filter(|text| !text.trim().is_empty()).unwrap_or_else(|| "{}".into());
    if text.len() > MAX_CONFIG_BYTES {
        return Err(Error::ConfigTooLarge { found: text.len(), limit: MAX_CONFIG_BYTES });
    }
    match serde_json::from_str::<serde_json::Value>(&text) {
        Ok(serde_json::Value::Object(_)) => Ok(text),
        Ok(other) => Err(Error::ConfigSyntax(format!("it is {other}"))),
        Err(error) => Err(Error::ConfigSyntax(error.to_string())),
    }
}

/// The limits that a further version of a plugin begins with: those of the newest, for whoever set them meant
/// the plugin. Another world has other needs, and its own default.
pub(crate) fn inherited_limits(model: &Model, name: &str, world: World) -> Limits {
    match pick(model, name, None) {
        Ok(newest) if newest.row.world == world.as_str() => newest.row.limits,
        _ => world.default_limits(),
    }
}

/// Whether a component may come in under this name, and with which row.
pub(crate) fn admit(
    model: &Model,
    name: Option<&str>,
    description: &Description,
    identity: &Identity,
    origin: Origin,
    unix_ms: u64,
) -> Result<(Change, Chosen)> {
    let name = name.unwrap_or(&identity.name);
    if let Some(why) = label_problem(name) {
        return Err(Error::PluginName { name: name.into(), why });
    }
    if name == NATIVE_STRATEGY {
        return Err(Error::PluginName { name: name.into(), why: "it is the name of the built-in strategy" });
    }
    if Version::parse(&identity.version).is_err() {
        return Err(Error::PluginVersion { name: name.into(), found: identity.version.clone() });
    }
    let digest = description.digest.to_string();
    let key = Key::plugin(name, &identity.version);
    let existing = model.plugins.get(&(name.into(), identity.version.clone()));
    let mut change = Change::default();
    let mut row = PluginRow {
        version: ROW_VERSION,
        digest,
        world: description.world.to_string(),
        wit_version: description.wit_version.clone(),
        size: description.bytes,
        added_unix_ms: unix_ms,
        state: origin,
        summary: identity.summary.clone(),
        limits: inherited_limits(model, name, description.world),
    };
    let mut reason = "added";
    if let Some(existing) = existing {
        let shipped = origin == Origin::Shipped;
        if existing.digest != row.digest && !(shipped && existing.state == Origin::Shipped) {
            return Err(Error::PluginConflict {
                name: name.into(),
                version: identity.version.clone(),
                existing: existing.digest.clone(),
                found: row.digest,
            });
        }
        row.limits = existing.limits;
        if existing.digest == row.digest && (!shipped || existing.state == Origin::Shipped) {
            let chosen =
                Chosen { name: name.into(), version: identity.version.clone(), row: existing.clone() };
            return Ok((change, chosen));
        }
        reason = "replaced by the build that comes with this program";
    }
    change.put(model, key, &row)?;
    let audit = match origin {
        Origin::Shipped => HistoryRow::node("plugin-add", format!("shipped with this program; {reason}")),
        Origin::Added => HistoryRow::admin("plugin-add", reason),
    };
    change.audit(audit.plugin(name, &identity.version, &row.digest));
    Ok((change, Chosen { name: name.into(), version: identity.version.clone(), row }))
}

/// Binds a volume to `target`, which has passed its rehearsal. Clears the quarantine that it may be in.
pub(crate) fn bind(
    model: &Model,
    volume: &str,
    world: &str,
    target: &Target,
    unix_ms: u64,
) -> Result<(Change, ())> {
    let volume_id = ready_volume(model, volume)?;
    let key = Key::binding(volume, world);
    let mut change = Change::default();
    change.require(model, Key::Volume(volume.into()));
    let mut audit = HistoryRow::admin("plugin-use", "rehearsal passed").volume(volume);
    if let Target::Plugin { plugin, version, digest, .. } = target {
        let row = pick(model, plugin, Some(version))?.row;
        if row.digest != *digest {
            return Err(Error::PluginConflict {
                name: plugin.clone(),
                version: version.clone(),
                existing: row.digest,
                found: digest.clone(),
            });
        }
        change.require(model, Key::plugin(plugin, version));
        change.delete(model, Key::quarantine(volume, world, digest));
        audit = audit.plugin(plugin, version, digest);
    } else {
        audit.reason = "the native strategy was asked for".into();
    }
    let mut previous = match model.bindings.get(&(volume.into(), world.into())) {
        // Bound anew, as after a quarantine: the way back leads where it led.
        Some(row) if row.current == *target => row.previous.clone(),
        Some(row) => std::iter::once(&row.current).chain(&row.previous).cloned().collect(),
        None => vec![Target::Default],
    };
    previous.dedup();
    previous.truncate(REMEMBERED_BINDINGS);
    let row = BindingRow {
        version: ROW_VERSION,
        volume_id,
        current: target.clone(),
        since_unix_ms: unix_ms,
        previous,
    };
    change.put(model, key, &row)?;
    change.audit(audit);
    Ok((change, ()))
}

/// Takes a volume back to its latest earlier binding that can serve.
pub(crate) fn roll_back(
    model: &Model,
    volume: &str,
    world: &str,
    default_strategy: &str,
    unix_ms: u64,
) -> Result<(Change, Target)> {
    let volume_id = ready_volume(model, volume)?;
    let row = model.bindings.get(&(volume.into(), world.into()));
    let earlier = row.map(|row| row.previous.as_slice()).unwrap_or_default();
    let usable = |target: &&Target| match resolve(model, target, default_strategy) {
        Ok(None) => true,
        Ok(Some((chosen, _))) => !model.is_quarantined(volume, world, &chosen.row.digest),
        Err(_) => false,
    };
    let Some(target) = earlier.iter().find(usable) else {
        return Err(Error::NothingToRollBack(volume.into()));
    };
    let rest = earlier.iter().skip_while(|earlier| *earlier != target).skip(1).cloned().collect();
    let mut change = Change::default();
    change.require(model, Key::Volume(volume.into()));
    let mut audit = HistoryRow::admin("plugin-rollback", "asked for").volume(volume);
    if let Some((chosen, _)) = resolve(model, target, default_strategy)? {
        change.require(model, Key::plugin(&chosen.name, &chosen.version));
        audit = audit.plugin(&chosen.name, &chosen.version, &chosen.row.digest);
    }
    let row = BindingRow {
        version: ROW_VERSION,
        volume_id,
        current: target.clone(),
        since_unix_ms: unix_ms,
        previous: rest,
    };
    change.put(model, Key::binding(volume, world), &row)?;
    change.audit(audit);
    Ok((change, target.clone()))
}

fn ready_volume(model: &Model, volume: &str) -> Result<u64> {
    match model.volumes.get(volume) {
        Some(row) if row.state == VolumeState::Ready => Ok(row.id),
        _ => Err(Error::NoSuchVolume(volume.into())),
    }
}

/// A version that faulted too often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Convict {
    pub plugin: String,
    pub version: String,
    pub digest: String,
    pub reason: String,
    pub since_unix_ms: u64,
}

/// Puts a version into quarantine for a volume. When it is what the volume is bound to, the binding goes back
/// to the latest earlier target that is not in quarantine, else to the native strategy.
pub(crate) fn quarantine(
    model: &Model,
    volume: &str,
    world: &str,
    default_strategy: &str,
    convict: &Convict,
    serving: &str,
) -> Result<(Change, ())> {
    let mut change = Change::default();
    if model.is_quarantined(volume, world, &convict.digest) || !model.volumes.contains_key(volume) {
        return Ok((change, ()));
    }
    change.require(model, Key::Volume(volume.into()));
    let row = QuarantineRow {
        version: ROW_VERSION,
        plugin: convict.plugin.clone(),
        plugin_version: convict.version.clone(),
        since_unix_ms: convict.since_unix_ms,
        reason: convict.reason.clone(),
    };
    change.put(model, Key::quarantine(volume, world, &convict.digest), &row)?;
    let audit = HistoryRow::node("quarantine", &convict.reason)
        .volume(volume)
        .plugin(&convict.plugin, &convict.version, &convict.digest)
        .outcome(format!("{serving} serves"));
    change.audit(audit);
    let Some(binding) = model.bindings.get(&(volume.into(), world.into())) else { return Ok((change, ())) };
    let convicted = |target: &Target| match resolve(model, target, default_strategy) {
        Ok(Some((chosen, _))) => {
            let digest = &chosen.row.digest;
            *digest == convict.digest || model.is_quarantined(volume, world, digest)
        }
        Ok(None) => false,
        Err(_) => true,
    };
    if convicted(&binding.current) {
        let mut left = binding.previous.iter().skip_while(|target| convicted(target)).cloned();
        let current = left.next().unwrap_or(Target::Native);
        let since_unix_ms = convict.since_unix_ms;
        let row = BindingRow { current, previous: left.collect(), since_unix_ms, ..binding.clone() };
        change.put(model, Key::binding(volume, world), &row)?;
    }
    Ok((change, ()))
}

/// What a change removes.
#[derive(Debug)]
pub(crate) struct Removal {
    /// Digests that no row names any more.
    pub digests: Vec<String>,
    /// Whether there is more to remove than fits into one change.
    pub more: bool,
}

/// Removes versions of a plugin that serve nobody, with the quarantines of what no other row names.
pub(crate) fn remove(
    model: &Model,
    name: &str,
    version: Option<&str>,
    shipped_digests: &[String],
    serving: &dyn Fn(&str) -> Vec<String>,
) -> Result<(Change, Removal)> {
    let mut victims: Vec<Chosen> = match version {
        Some(version) => vec![pick(model, name, Some(version))?],
        None => {
            pick(model, name, None)?;
            let all = model.versions(name);
            all.map(|(v, row)| Chosen { name: name.into(), version: v.into(), row: row.clone() }).collect()
        }
    };
    for victim in &victims {
        check_removable(model, victim, shipped_digests, serving)?;
    }
    let mut change = Change::default();
    // Someone may be binding one of them right now.
    change.require_bindings(model);
    let quarantines: Vec<_> = model
        .quarantines
        .keys()
        .filter(|(_, _, digest)| victims.iter().any(|gone| gone.row.digest == *digest))
        .filter(|(_, _, digest)| !is_named_elsewhere(model, digest, &victims))
        .collect();
    // Quarantines go first, so that a removal in several changes forgets none of them.
    let now = &quarantines[..quarantines.len().min(ROWS_AT_ONCE)];
    for (volume, world, digest) in now {
        change.delete(model, Key::quarantine(volume, world, digest));
    }
    let (room, asked) = ((ROWS_AT_ONCE - now.len()) / 2, victims.len());
    victims.truncate(if now.len() < quarantines.len() { 0 } else { room });
    let mut digests = Vec::new();
    for Chosen { name, version, row } in &victims {
        change.delete(model, Key::plugin(name, version));
        change.audit(HistoryRow::admin("plugin-remove", "asked for").plugin(name, version, &row.digest));
        if !is_named_elsewhere(model, &row.digest, &victims) && !digests.contains(&row.digest) {
            digests.push(row.digest.clone());
        }
    }
    Ok((change, Removal { digests, more: victims.len() < asked }))
}

fn is_named_elsewhere(model: &Model, digest: &str, victims: &[Chosen]) -> bool {
    model.plugins.iter().any(|((name, version), row)| {
        row.digest == digest && !victims.iter().any(|gone| gone.name == *name && gone.version == *version)
    })
}

fn check_removable(
    model: &Model,
    victim: &Chosen,
    shipped_digests: &[String],
    serving: &dyn Fn(&str) -> Vec<String>,
) -> Result<()> {
    let Chosen { name, version, row } = victim;
    if shipped_digests.contains(&row.digest) && row.state == Origin::Shipped {
        return Err(Error::PluginShipped { name: name.clone(), version: version.clone() });
    }
    let names = |target: &Target| match target {
        Target::Plugin { plugin, version: bound, .. } => plugin == name && bound == version,
        Target::Default | Target::Native => false,
    };
    let bound = model.bindings.iter().filter(|(_, binding)| names(&binding.current));
    let mut volumes: Vec<String> = bound.map(|((volume, _), _)| volume.clone()).collect();
    volumes.extend(serving(&row.digest));
    volumes.sort_unstable();
    volumes.dedup();
    if volumes.is_empty() {
        return Ok(());
    }
    let volumes = volumes.join(", ");
    Err(Error::PluginInUse { name: name.clone(), version: version.clone(), volumes })
}

/// Sets the limits of every version of a plugin; returns whether some are left for the next change.
pub(crate) fn limit(model: &Model, name: &str, limits: Limits) -> Result<(Change, bool)> {
    pick(model, name, None)?;
    let mut change = Change::default();
    let mut others = model.versions(name).filter(|(_, row)| row.limits != limits);
    for (version, row) in others.by_ref().take(ROWS_AT_ONCE / 2) {
        let row = PluginRow { limits, ..row.clone() };
        change.put(model, Key::plugin(name, version), &row)?;
        let new = serde_json::to_string(&limits).unwrap_or_default();
        change.audit(HistoryRow::admin("plugin-limits", new).plugin(name, version, &row.digest));
    }
    Ok((change, others.next().is_some()))
}
