//! A float in JSON, which has no word for those that are no number: they are written as texts.

use serde::{Deserialize, Deserializer, Serializer};

pub(super) fn serialize<S: Serializer>(ratio: &f32, serializer: S) -> Result<S::Ok, S::Error> {
    if ratio.is_finite() {
        serializer.serialize_f32(*ratio)
    } else {
        serializer.serialize_str(&ratio.to_string())
    }
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f32, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Number(f32),
        Text(String),
    }
    match Written::deserialize(deserializer)? {
        Written::Number(ratio) => Ok(ratio),
        Written::Text(text) => text.parse().map_err(serde::de::Error::custom),
    }
}

#[cfg(test)]
mod tests {
    use crate::compaction::Answer;

    #[test]
    fn every_ratio_survives_json() {
        for level_ratio in [10.0, 0.1, f32::MAX, f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let answer = Answer::Partial { l0_threshold: 1, level_ratio, table_bytes: 1 << 20 };
            let text = serde_json::to_string(&answer).unwrap();
            let found: Answer = serde_json::from_str(&text).unwrap();
            assert_eq!(format!("{found:?}"), format!("{answer:?}"), "{text}");
        }
    }
}
