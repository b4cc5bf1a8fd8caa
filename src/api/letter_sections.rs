//! Under which letter a name stands in an address book (rest.md §14).

use pinyin::{Pinyin, ToPinyin as _};

/// The section of the names that begin with no letter.
pub const OTHERS: char = '#';

/// The first letter of the pinyin of the first character; a Latin letter is its own (DEV-28).
pub fn of(name: &str) -> char {
    let first = name.chars().next().unwrap_or(OTHERS);
    let letter = first.to_pinyin().map(Pinyin::first_letter).and_then(|text| text.chars().next());
    let letter = letter.unwrap_or(first).to_ascii_uppercase();
    if letter.is_ascii_uppercase() { letter } else { OTHERS }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn characters_stand_under_their_pinyin_and_letters_under_themselves() {
        let names = ["魂牵一梦", "Tom", "tom", "啊", "欧阳", "嗯", "㐀", "\u{20000}", "z"];
        assert_eq!(names.map(of), ['H', 'T', 'T', 'A', 'O', 'N', 'Q', 'H', 'Z']);
    }

    #[test]
    fn dev_28_everything_else_stands_last() {
        for name in [
            "(", ")", "[", "]", "{", "*", "+", "?", "\\", ".", "^", "$", "|", "#", "-", "_", " ",
            "007", "🦆", "é", "Ａ", "ß", "я", "ひ", "한", "。", "\u{0}", "\u{301}a", "",
        ] {
            assert_eq!(of(name), OTHERS, "{name:?}");
        }
    }

    proptest! {
        #[test]
        fn there_are_27_sections(name in any::<String>()) {
            let section = of(&name);
            prop_assert!(section.is_ascii_uppercase() || section == OTHERS);
        }
    }
}
