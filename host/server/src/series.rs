//! Which volumes and plugins the metrics tell of: those of the catalog.
//!
//! The recorder keeps a series for as long as the process lives. A plugin that was removed, or a volume that
//! was deleted, would stay on every dashboard, so its series are left out of the page. What the layers below
//! put into labels is bounded there.

use std::collections::BTreeSet;

use metrics::gauge;
use mortise_mechanisms::{NATIVE_STRATEGY, OTHER_PLUGINS, PluginInfo, VolumeInfo};

/// Stages that versions are counted by.
const STAGES: [&str; 7] =
    ["verified", "rehearsed", "shadowing", "active", "superseded", "rolled-back", "quarantined"];

/// Takes the gauges about plugins.
pub fn refresh(plugins: &[PluginInfo]) {
    let names: BTreeSet<&str> = plugins.iter().map(|plugin| plugin.name.as_str()).collect();
    for name in names {
        for stage in STAGES {
            let there = plugins.iter().filter(|plugin| plugin.name == name && plugin.stage == stage);
            let labels = [("plugin", name.to_owned()), ("stage", stage.to_owned())];
            #[expect(clippy::cast_precision_loss, reason = "there are far fewer versions than 2^53")]
            gauge!("mortise_plugin_versions", &labels).set(there.count() as f64);
        }
    }
}

/// The page without the series of volumes and plugins that are not in the catalog.
pub fn of_catalog(page: &str, plugins: &[PluginInfo], volumes: &[VolumeInfo]) -> String {
    let volumes: BTreeSet<&str> = volumes.iter().map(|volume| volume.name.as_str()).collect();
    let names: BTreeSet<&str> = plugins.iter().map(|plugin| plugin.name.as_str()).collect();
    let versions: BTreeSet<(&str, &str)> =
        plugins.iter().map(|plugin| (plugin.name.as_str(), plugin.version.as_str())).collect();
    let of_plugin = |line: &str| match (label(line, "plugin"), label(line, "version")) {
        (Some(name), _) if [NATIVE_STRATEGY, OTHER_PLUGINS].contains(&name) => true,
        (Some(name), None) => names.contains(name),
        (Some(name), Some(version)) => versions.contains(&(name, version)),
        (None, _) => true,
    };
    let of_volume = |line: &str| label(line, "volume").is_none_or(|name| volumes.contains(name));
    let is_told = |line: &&str| of_plugin(line) && of_volume(line);
    page.lines().filter(is_told).flat_map(|line| [line, "\n"]).collect()
}

/// The value of a label. Names of volumes and plugins, and versions, hold nothing that would be escaped.
fn label<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    if line.starts_with('#') {
        return None;
    }
    let labels = &line[line.find('{')? + 1..line.rfind('}')?];
    labels.split(',').find_map(|pair| pair.strip_prefix(name)?.strip_prefix("=\"")?.strip_suffix('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plugin(name: &str, version: &str) -> PluginInfo {
        PluginInfo { name: name.into(), version: version.into(), ..PluginInfo::default() }
    }

    fn volume(name: &str) -> VolumeInfo {
        VolumeInfo { name: name.into(), ..VolumeInfo::default() }
    }

    #[test]
    fn series_of_volumes_that_are_gone_are_left_out() {
        let page = "# HELP size Bytes of volume=\"gone\"\n\
            size{volume=\"here\"} 1\nsize{volume=\"gone\"} 2\nsize{volume=\"gone\",level=\"0\"} 3\nbare 4\n";
        let left = "# HELP size Bytes of volume=\"gone\"\nsize{volume=\"here\"} 1\nbare 4\n";
        assert_eq!(of_catalog(page, &[], &[volume("here")]), left);
        assert_eq!(of_catalog(page, &[], &[volume("here"), volume("gone")]), page);
    }

    #[test]
    fn only_series_of_plugins_that_are_gone_are_left_out() {
        let page = "# HELP calls Calls of plugin=\"x\"\n\
            calls{volume=\"v\",plugin=\"mine\",version=\"1.0.0\"} 1\n\
            calls{volume=\"v\",plugin=\"mine\",version=\"2.0.0\",le=\"0.1\"} 2\n\
            calls{volume=\"v\",plugin=\"native\",version=\"\"} 3\n\
            calls{plugin=\"others\",version=\"\"} 4\n\
            versions{plugin=\"gone\",stage=\"active\"} 5\n\
            versions{plugin=\"mine\",stage=\"active\"} 6\n\
            bare 7\n";
        let shown = of_catalog(page, &[plugin("mine", "2.0.0")], &[volume("v")]);
        let left: Vec<_> = shown.lines().filter_map(|line| line.rsplit(' ').next()).collect();
        assert_eq!(left, ["plugin=\"x\"", "2", "3", "4", "6", "7"]);
        assert_eq!(
            of_catalog(
                page,
                &[plugin("mine", "1.0.0"), plugin("mine", "2.0.0"), plugin("gone", "1")],
                &[volume("v")]
            ),
            page
        );
    }
}
