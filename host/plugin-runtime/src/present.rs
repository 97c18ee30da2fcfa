//! Texts of plugins, made fit to be shown: the one place that escapes them.
//!
//! Whatever a plugin or a component says (messages, reasons, refusals, names, last words) goes through
//! [`presentable`] before it reaches a log, a table, a row or an error. What comes out is one line of bounded
//! length that reads in the order in which it is written.

/// Bytes of a text that are shown.
pub(crate) const SHOWN_BYTES: usize = 1024;

/// Whether a character could make a text pass for other lines, or be shown in another order than it has:
/// control characters, separators of lines and paragraphs, and marks that turn the direction of writing.
#[must_use]
pub fn is_unpresentable(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{2028}'
                | '\u{2029}'
                | '\u{61c}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{202a}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
        )
}

/// The beginning of a text from a plugin, on one line.
pub(crate) fn presentable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len().min(SHOWN_BYTES));
    for character in text.chars() {
        let before = shown.len();
        if is_unpresentable(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
        if shown.len() > SHOWN_BYTES {
            shown.truncate(before);
            shown.push('…');
            break;
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_and_stay_on_one_line() {
        assert_eq!(presentable("a\nb\u{1b}[31m"), "a\\nb\\u{1b}[31m");
        for character in ["x", "ü", "\n", "\u{1b}", "a\u{9f}", "\u{2028}"] {
            let long = presentable(&character.repeat(5_000));
            assert!(long.len() <= SHOWN_BYTES + '…'.len_utf8() && long.ends_with('…'), "{long}");
        }
        assert_eq!(presentable(&"x".repeat(SHOWN_BYTES)), "x".repeat(SHOWN_BYTES));
    }

    #[test]
    fn nothing_passes_for_another_line_or_turns_the_writing_round() {
        assert_eq!(presentable("a\u{2028}b\u{2029}c\u{85}d"), "a\\u{2028}b\\u{2029}c\\u{85}d");
        assert_eq!(presentable("safe\u{202e}tpircs"), "safe\\u{202e}tpircs");
        let turning = ('\u{202a}'..='\u{202e}').chain('\u{2066}'..='\u{2069}');
        for character in turning.chain(['\u{61c}', '\u{200e}', '\u{200f}', '\u{b}', '\u{c}', '\r', '\u{7f}'])
        {
            let shown = presentable(&character.to_string());
            assert!(shown.starts_with('\\') && shown.is_ascii(), "{shown:?}");
        }
        // What people write stays as it is, right-to-left text and joined signs included.
        for text in ["größer", "שלום", "日本語", "👩\u{200d}🚀", "a b"] {
            assert_eq!(presentable(text), text);
        }
    }
}
