//! Which row vouches for the component of a format.

use serde_json::json;

use super::*;
use crate::plugins::SignatureState;

fn model(rows: &[(&str, &str, &str)]) -> Model {
    let mut model = Model::default();
    for (name, version, digest) in rows {
        let row = json!({
            "digest": digest,
            "world": "format",
            "wit_version": "0.2.0",
            "size": 1,
            "added_unix_ms": 1,
            "origin": "added",
        });
        let row: PluginRow = serde_json::from_value(row).unwrap();
        model.plugins.insert(((*name).into(), (*version).into()), row);
    }
    model
}

fn format(name: &str, version: &str) -> FormatId {
    let (name, version) = (name.to_owned(), version.to_owned());
    FormatId { name, version, digest: Some("aa".into()), config: "{}".into() }
}

/// The same bytes came in by several names, one after the other in the order of the catalog.
#[test]
fn a_trusted_row_vouches_before_others_and_then_the_one_named_like_the_format() {
    let model = model(&[
        ("alias", "1.0.0", "aa"),
        ("format-mine", "1.0.0", "aa"),
        ("format-mine", "1.1.0", "aa"),
        ("format-mine", "1.2.0", "bb"),
        ("other", "1.0.0", "aa"),
    ]);
    let mut signed = model.clone();
    let other = signed.plugins.get_mut(&("other".to_owned(), "1.0.0".to_owned())).unwrap();
    other.signature = SignatureState::Unchecked { key_id: "the key".into() };
    let trusted = |row: &PluginRow| row.signature != SignatureState::Unsigned;
    let chosen = |model: &Model, format: &FormatId| {
        let chosen = choose(model, format, trusted).unwrap();
        format!("{} {}", chosen.name, chosen.version)
    };
    assert_eq!(chosen(&model, &format("mine", "1.1.0")), "format-mine 1.1.0");
    assert_eq!(
        chosen(&model, &format("mine", "1.2.0")),
        "format-mine 1.0.0",
        "these bytes, not that version"
    );
    assert_eq!(chosen(&model, &format("alias", "1.0.0")), "alias 1.0.0");
    assert_eq!(chosen(&signed, &format("mine", "1.1.0")), "other 1.0.0", "it alone may run");
}
