//! Names that people give to themselves, to groups and to each other (clarification 25).
//!
//! Only what is given from now on is checked. Log-ins and events take every name that the log has ever held.

use unicode_normalization::UnicodeNormalization as _;
use unicode_properties::{GeneralCategory, UnicodeEmoji as _, UnicodeGeneralCategory as _};

/// 422 for a name with a character that names do not have; `of` is what it is the name of.
pub(in crate::protocol) fn invalid_characters(of: &str) -> String {
    format!("{of}包含无效字符")
}

/// May somebody log in by this name from now on? By what it is after NFKC, which is how log-in names are compared.
pub(super) fn is_username(name: &str) -> bool {
    let name: Vec<char> = name.nfkc().collect();
    is_framed(&name) && name.iter().all(|&c| is_plain(c) && !is_ignorable(c) && !is_selector(c))
}

/// May people, groups and friends be called so from now on? Emoji are welcome in all their forms.
pub(in crate::protocol) fn is_name(name: &str) -> bool {
    let name: Vec<char> = name.chars().collect();
    is_framed(&name) && holds_together(&name)
}

/// Is there something, and no white space at either end?
fn is_framed(name: &[char]) -> bool {
    let is_blank = |c: &char| c.is_whitespace() || *c == BRAILLE_BLANK;
    name.first().is_some_and(|c| !is_blank(c)) && name.last().is_some_and(|c| !is_blank(c))
}

const BRAILLE_BLANK: char = '\u{2800}';
const JOINER: char = '\u{200d}';
const BLACK_FLAG: char = '🏴';

/// What follows [`BLACK_FLAG`] in the flags of England, Scotland and Wales: no other such sequences are recommended.
const REGIONS: [[char; 6]; 3] = [
    ['\u{e0067}', '\u{e0062}', '\u{e0065}', '\u{e006e}', '\u{e0067}', '\u{e007f}'],
    ['\u{e0067}', '\u{e0062}', '\u{e0073}', '\u{e0063}', '\u{e0074}', '\u{e007f}'],
    ['\u{e0067}', '\u{e0062}', '\u{e0077}', '\u{e006c}', '\u{e0073}', '\u{e007f}'],
];

/// Is every character plain, or a part of an emoji, or a selector of how the one before it looks?
fn holds_together(name: &[char]) -> bool {
    let mut at = 0;
    let mut shown: Option<char> = None; // the last character that is to be seen
    while let Some(&c) = name.get(at) {
        let before = at.checked_sub(1).map(|last| name[last]);
        let is_good = match c {
            JOINER => {
                shown.is_some_and(is_emoji) && name.get(at + 1).copied().is_some_and(is_emoji)
            }
            c if is_selector(c) => {
                before.is_some_and(|before| is_plain(before) && !is_selector(before))
            }
            c => is_plain(c) && !is_ignorable(c),
        };
        if !is_good {
            return false;
        }
        at += 1;
        if c == BLACK_FLAG {
            let rest = &name[at..];
            at += REGIONS
                .iter()
                .find(|region| rest.starts_with(*region))
                .map_or(0, |region| region.len());
        }
        if c != JOINER && !is_selector(c) {
            shown = Some(c);
        }
    }
    true
}

/// Neither control, format, unassigned, private, nor separating lines.
fn is_plain(c: char) -> bool {
    use GeneralCategory::{
        Control, Format, LineSeparator, ParagraphSeparator, PrivateUse, Surrogate, Unassigned,
    };
    let category = c.general_category();
    ![Control, Format, Unassigned, PrivateUse, Surrogate, LineSeparator, ParagraphSeparator]
        .contains(&category)
}

/// Is it to be seen by itself as an emoji? Digits only are with what follows them.
fn is_emoji(c: char) -> bool {
    !c.is_ascii() && c.is_emoji_char()
}

/// Chooses how the character before it looks (`Variation_Selector`).
fn is_selector(c: char) -> bool {
    matches!(c, '\u{180b}'..='\u{180d}' | '\u{180f}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}')
}

/// Not to be seen, though by its category a letter or a mark (the rest of `Default_Ignorable_Code_Point`).
fn is_ignorable(c: char) -> bool {
    matches!(
        c,
        '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{3164}' | '\u{ffa0}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Controls, zero-width and bidirectional characters, separators, private and unassigned ones, fillers.
    const UNFIT: [&str; 30] = [
        "\0",
        "\t",
        "\n",
        "\r",
        "\u{7f}",
        "\u{85}",
        "\u{ad}",
        "\u{61c}",
        "\u{180e}",
        "\u{200b}",
        "\u{200c}",
        "\u{200d}",
        "\u{200e}",
        "\u{200f}",
        "\u{2028}",
        "\u{2029}",
        "\u{202a}",
        "\u{202e}",
        "\u{2060}",
        "\u{2066}",
        "\u{2069}",
        "\u{feff}",
        "\u{fff9}",
        "\u{e000}",
        "\u{f0000}",
        "\u{378}",
        "\u{ffff}",
        "\u{e0041}",
        "\u{3164}",
        "\u{34f}",
    ];

    #[test]
    fn what_cannot_be_seen_is_in_no_name() {
        for unfit in UNFIT {
            for name in [
                format!("ab{unfit}cd"),
                format!("{unfit}abcd"),
                format!("abcd{unfit}"),
                unfit.repeat(4),
            ] {
                assert!(!is_username(&name), "{name:?} as a username");
                assert!(!is_name(&name), "{name:?}");
            }
        }
    }

    #[test]
    fn white_space_is_between_words_only() {
        for name in [
            " ann",
            "ann ",
            "\u{a0}ann",
            "ann\u{3000}",
            "    ",
            "\u{2003}\u{2003}",
            "",
            "\u{2800}\u{2800}",
        ] {
            assert!(!is_username(name) && !is_name(name), "{name:?}");
        }
        for name in ["with space", "安\u{3000}娜", "a b c"] {
            assert!(is_username(name) && is_name(name), "{name:?}");
        }
        // White space only after NFKC.
        assert!(!is_username("´abc") && is_name("´abc"));
    }

    #[test]
    fn names_of_all_scripts_and_emoji_are_taken() {
        for name in [
            "张三李四",
            "ａｌｉｃｅ",
            "ΣΊΣΥΦΟΣ",
            "Zoë",
            "Zoe\u{308}",
            "שלום",
            "สวัสดี",
            "🦆🦆",
            "🇨🇳",
            "👍🏽",
            "O'Neil-3",
        ] {
            assert!(is_username(name) && is_name(name), "{name:?}");
        }
    }

    #[test]
    fn emoji_keep_their_joiners_and_selectors() {
        for name in [
            "👨\u{200d}👩\u{200d}👧",
            "👩🏽\u{200d}❤\u{fe0f}\u{200d}👨🏿",
            "🏳\u{fe0f}\u{200d}🌈 Ann",
            "🏴\u{200d}☠\u{fe0f}",
            "1\u{fe0f}\u{20e3}",
            "❤\u{fe0e}",
            "🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}!",
            "葛\u{e0100}城",
        ] {
            assert!(is_name(name), "{name:?}");
            assert!(!is_username(name), "{name:?} as a username");
        }
        for name in [
            "👨\u{200d}",
            "\u{200d}👨",
            "👨\u{200d}\u{200d}👩",
            "👨\u{200d}a",
            "a\u{200d}👩",
            "1\u{200d}2",
            "\u{fe0f}a",
            "a\u{fe0f}\u{fe0f}",
            "🏴\u{e0067}\u{e007f}",
            "a\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
        ] {
            assert!(!is_name(name), "{name:?}");
        }
    }
}
