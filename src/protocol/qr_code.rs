//! What QR codes say: JSON, or the address of a page that reads it (rest.md §32).

use std::fmt::Write as _;

use serde::Serialize;

use crate::events::{ChatKind, enc};

/// The page that reads the code.
const PAGE: &str = "#/pages/setpageInfo/setpageInfo?action=autoAddGroup";

#[derive(Serialize)]
struct Named<'a> {
    id: i64,
    name: &'a str,
    #[serde(rename = "chatType", skip_serializing_if = "Option::is_none")]
    chat: Option<ChatKind>,
}

/// A group's code: for a page below `site`, if there is one.
pub fn group_text(id: i64, name: &str, site: Option<&str>) -> String {
    let Some(site) = site else { return ascii(&Named { id, name, chat: None }) };
    let title = enc("群介绍");
    format!("{site}{PAGE}&title={title}&id={id}&chatType=group&name={}", enc(name))
}

/// A person's code: for a page below `site`, if there is one.
pub fn person_text(id: i64, name: &str, avatar: Option<&str>, site: Option<&str>) -> String {
    let Some(site) = site else {
        return ascii(&Named { id, name, chat: Some(ChatKind::Single) });
    };
    let (title, name) = (enc(&format!("加用户[{name}]为好友")), enc(name));
    let avatar = avatar.map(|avatar| format!("&avatar={}", enc(avatar))).unwrap_or_default();
    format!("{site}{PAGE}&title={title}&id={id}&chatType=single&name={name}{avatar}")
}

/// JSON in ASCII. Readers guess the encoding of anything else: `ZBar` takes a Chinese character or two for Japanese.
fn ascii(named: &Named<'_>) -> String {
    let mut text = String::new();
    for character in serde_json::to_string(named).expect("plain data").chars() {
        if character.is_ascii() {
            text.push(character);
        } else {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                _ = write!(text, "\\u{unit:04x}"); // RFC 8259 §7
            }
        }
    }
    text
}
