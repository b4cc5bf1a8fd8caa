//! Sealing keeps what an event says of people under keys of theirs: who destroys the key has erased it, from the log and
//! from every copy of it (ADR 0038).
//!
//! A sealed value is the object `{"$":"s0.u3.17:…"}`: what is read when the key is gone, the number of the value in its
//! event, whose key, which of theirs, and the value's JSON, encrypted. What clients write cannot look like that, since a
//! quotation mark in a text is escaped and what they pass through is sealed as a whole.

mod plan;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, LazyLock},
};

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD as BASE64};
use memchr::{memchr, memmem};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use serde::{Deserialize, Deserializer, de::MapAccess};
use serde_json::value::RawValue;
use uuid::Uuid;

use self::plan::{Blank, SealPlan, Whose};
use super::{
    Event,
    ids::{ChatKey, GroupId, Subject, UserId},
    schema::schemas,
};

/// How a sealed value begins …
const BEGIN: &[u8] = br#"{"$":""#;
/// … and ends.
const END: &[u8] = br#""}"#;

static BEGINNINGS: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(BEGIN));

static PLANS: LazyLock<HashMap<String, SealPlan>> = LazyLock::new(|| {
    schemas().into_iter().map(|(name, found)| (name, SealPlan::of(&found.schema))).collect()
});

/// Whom a key is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyOwner {
    /// What a person says, and how they are called.
    User(UserId),
    /// How a group is called.
    Group(GroupId),
    /// What was said on a day, counted from 1970 in UTC, while messages are kept for so long only.
    Day(i64),
}

impl fmt::Display for KeyOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => write!(f, "u{id}"),
            Self::Group(id) => write!(f, "g{id}"),
            Self::Day(day) => write!(f, "d{day}"),
        }
    }
}

impl KeyOwner {
    fn parse(text: &str) -> Option<Self> {
        match text.split_at_checked(1)? {
            ("u", id) => id.parse().ok().map(|id| Self::User(UserId(id))),
            ("g", id) => id.parse().ok().map(|id| Self::Group(GroupId(id))),
            ("d", day) => day.parse().ok().map(Self::Day),
            _ => None,
        }
    }
}

/// A key, and which of its owner's it is.
pub struct ContentKey {
    number: u64,
    /// What a cipher is made of in a fraction of a microsecond, and takes twenty times the memory.
    secret: [u8; Self::LENGTH],
}

impl ContentKey {
    /// How long one is, in bytes.
    pub const LENGTH: usize = 32;

    /// Out of its bytes, if there are so many.
    pub fn new(number: u64, secret: &[u8]) -> Option<Self> {
        Some(Self { number, secret: secret.try_into().ok()? })
    }

    fn cipher(&self) -> LessSafeKey {
        LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &self.secret).expect("it is that long"))
    }

    /// A sealed value. `letter` says what is read in its place, and in upper case that what is in it is sealed, too.
    fn seal(
        &self,
        (event, place): (Uuid, u16),
        letter: char,
        owner: KeyOwner,
        json: String,
    ) -> String {
        let (nonce, mut bytes) = (Self::nonce(event, place), json.into_bytes());
        self.cipher()
            .seal_in_place_append_tag(nonce, Aad::empty(), &mut bytes)
            .expect("an event is no larger than a cipher takes");
        let (number, encrypted) = (self.number, BASE64.encode(bytes));
        format!(r#"{{"$":"{letter}{place}.{owner}.{number}:{encrypted}"}}"#)
    }

    /// No two values of events have one: an id is given once, and values are numbered.
    fn nonce(event: Uuid, number: u16) -> Nonce {
        let mut nonce = [0; NONCE_LEN];
        nonce.copy_from_slice(&event.as_bytes()[16 - NONCE_LEN..]);
        for (byte, with) in nonce[NONCE_LEN - 2..].iter_mut().zip(number.to_be_bytes()) {
            *byte ^= with;
        }
        Nonce::assume_unique_for_key(nonce)
    }
}

/// What is known of a key.
#[derive(Clone)]
pub enum KeyState {
    /// It is there.
    Known(Arc<ContentKey>),
    /// It was destroyed.
    Destroyed,
}

/// Why something sealed cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnsealError {
    /// This key is not known.
    #[error("key {1} of {0} is not known")]
    Unknown(KeyOwner, u64),
    /// It is not what was sealed.
    #[error("a sealed value is damaged")]
    Damaged,
}

/// An event on its way into the log.
pub struct Unsealed<'a> {
    /// Its aggregate.
    pub subject: Subject,
    /// Who did it.
    pub actor: Option<UserId>,
    /// Its identity.
    pub id: Uuid,
    /// On which day, if messages are kept for so long only.
    pub day: Option<i64>,
    /// What [`Event::encode`] made of it.
    pub body: &'a [u8],
}

impl Unsealed<'_> {
    /// The body with all that it says of people sealed by the newest key of each, as `key` knows them.
    ///
    /// # Errors
    /// `key` does not know the key of this owner.
    pub fn seal(&self, key: impl Fn(KeyOwner) -> Option<KeyState>) -> Result<Vec<u8>, KeyOwner> {
        let Some(plan) = PLANS.get(Event::type_name(self.body)) else {
            return Ok(self.body.into());
        };
        let text = std::str::from_utf8(self.body).expect("an event is JSON");
        let mut sealing =
            Sealing { event: self, key, number: 0, out: Vec::with_capacity(text.len() * 3 / 2) };
        sealing.value(text, plan, &[])?;
        Ok(sealing.out)
    }

    fn owner(&self, whose: &Whose, around: &[(&str, &RawValue)]) -> Option<KeyOwner> {
        let actor = self.actor.map(KeyOwner::User);
        match (whose, self.subject) {
            (Whose::Field(name), _) => {
                let (_, value) = around.iter().find(|(field, _)| field == name)?;
                value.get().parse().ok().map(|id| KeyOwner::User(UserId(id)))
            }
            (Whose::Day, _) => self.day.map(KeyOwner::Day),
            (Whose::Other, Subject::Chat(ChatKey { pair, sender })) => {
                Some(KeyOwner::User(pair.other(sender)))
            }
            (Whose::Other, Subject::Friendship(pair)) => {
                self.actor.map(|actor| KeyOwner::User(pair.other(actor)))
            }
            (Whose::Other, _) => None,
            (Whose::Group, Subject::Group(id) | Subject::GroupChat(id)) => {
                Some(KeyOwner::Group(id))
            }
            (
                Whose::Aggregate,
                Subject::User(id)
                | Subject::Session(id)
                | Subject::QuickReplies(id)
                | Subject::Chat(ChatKey { sender: id, .. }),
            ) => Some(KeyOwner::User(id)),
            (Whose::Group | Whose::Aggregate | Whose::Actor, _) => actor,
        }
    }
}

/// A text that is kept beside the log, sealed by a key of its owner's: as JSON. `id` is given once.
pub fn seal_text(id: Uuid, text: &str, owner: KeyOwner, key: &KeyState) -> String {
    match key {
        KeyState::Known(key) => {
            let json = serde_json::Value::from(text).to_string();
            key.seal((id, 0), Blank::Text.letter(), owner, json)
        }
        KeyState::Destroyed => Blank::Text.json().to_owned(),
    }
}

struct Sealing<'a, K> {
    event: &'a Unsealed<'a>,
    key: K,
    number: u16,
    out: Vec<u8>,
}

impl<K: Fn(KeyOwner) -> Option<KeyState>> Sealing<'_, K> {
    fn value(
        &mut self,
        json: &str,
        plan: &SealPlan,
        around: &[(&str, &RawValue)],
    ) -> Result<(), KeyOwner> {
        match plan {
            SealPlan::Fields(plans) if json.starts_with('{') => {
                let Fields(fields) = serde_json::from_str(json).expect("an event is JSON");
                self.out.push(b'{');
                for (at, (name, value)) in fields.iter().enumerate() {
                    self.out.extend_from_slice(if at == 0 { b"\"" } else { b",\"" });
                    self.out.extend_from_slice(name.as_bytes()); // names of fields need no escapes
                    self.out.extend_from_slice(b"\":");
                    self.value(value.get(), plans.get(*name).unwrap_or(&SealPlan::Clear), &fields)?;
                }
                self.out.push(b'}');
            }
            SealPlan::Items(plan) if json.starts_with('[') => {
                let items: Vec<&RawValue> = serde_json::from_str(json).expect("an event is JSON");
                self.out.push(b'[');
                for (at, item) in items.into_iter().enumerate() {
                    if at > 0 {
                        self.out.push(b',');
                    }
                    self.value(item.get(), plan, around)?;
                }
                self.out.push(b']');
            }
            SealPlan::Sealed { whose, blank } if json != "null" && json != blank.json() => {
                let mut owners: Vec<KeyOwner> = Vec::new();
                for owner in whose.iter().filter_map(|whose| self.event.owner(whose, around)) {
                    if !owners.contains(&owner) {
                        owners.push(owner);
                    }
                }
                let sealed = self.sealed(json, &owners, *blank)?;
                self.out.extend_from_slice(sealed.as_bytes());
            }
            _ => self.out.extend_from_slice(json.as_bytes()),
        }
        Ok(())
    }

    /// Under one key after the other.
    fn sealed(
        &mut self,
        json: &str,
        owners: &[KeyOwner],
        blank: Blank,
    ) -> Result<String, KeyOwner> {
        let mut value = json.to_owned();
        // Whichever keys are gone: the same event may be sealed again, and no number then means another value.
        let mut number = self.number;
        self.number = number.wrapping_add(u16::try_from(owners.len()).expect("they are few"));
        for (depth, owner) in owners.iter().enumerate() {
            let key = match (self.key)(*owner).ok_or(*owner)? {
                KeyState::Known(key) => key,
                KeyState::Destroyed => return Ok(blank.json().to_owned()),
            };
            let letter =
                if depth == 0 { blank.letter() } else { blank.letter().to_ascii_uppercase() };
            value = key.seal((self.event.id, number), letter, *owner, value);
            number = number.wrapping_add(1);
        }
        Ok(value)
    }
}

/// The fields of an object in their order, each as it is written.
struct Fields<'a>(Vec<(&'a str, &'a RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Vec<(&'de str, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(fields)
            }
        }
        from.deserialize_map(Visitor).map(Self)
    }
}

/// The body of an event with all that was sealed, or what is read in its place; `None` if nothing is sealed.
///
/// # Errors
/// `key` does not know a key, or something is damaged.
pub fn unseal(
    event: Uuid,
    body: &[u8],
    key: impl Fn(KeyOwner, u64) -> Option<KeyState>,
) -> Result<Option<Vec<u8>>, UnsealError> {
    let mut found = BEGINNINGS.find_iter(body).peekable();
    if found.peek().is_none() {
        return Ok(None);
    }
    let (mut out, mut done) = (Vec::with_capacity(body.len()), 0);
    for begin in found {
        out.extend_from_slice(&body[done..begin]);
        let sealed = &body[begin + BEGIN.len()..];
        let length = memmem::find(sealed, END).ok_or(UnsealError::Damaged)?;
        unseal_value(event, &sealed[..length], &key, &mut out)?;
        done = begin + BEGIN.len() + length + END.len();
    }
    out.extend_from_slice(&body[done..]);
    Ok(Some(out))
}

/// Whose keys, and which, the values of an event are sealed by that can be seen from outside.
pub fn sealed_by(body: &[u8]) -> impl Iterator<Item = (KeyOwner, u64)> {
    BEGINNINGS.find_iter(body).filter_map(|begin| {
        let (label, _) = parts(&body[begin + BEGIN.len()..])?;
        Some((label.owner, label.number))
    })
}

/// Adds one value to `out`, under however many keys it is.
fn unseal_value(
    event: Uuid,
    sealed: &[u8],
    key: &impl Fn(KeyOwner, u64) -> Option<KeyState>,
    out: &mut Vec<u8>,
) -> Result<(), UnsealError> {
    let (label, encrypted) = parts(sealed).ok_or(UnsealError::Damaged)?;
    let Label { blank, is_outer, place, owner, number } = label;
    let key_of_it = match key(owner, number).ok_or(UnsealError::Unknown(owner, number))? {
        KeyState::Known(key) => key,
        KeyState::Destroyed => {
            out.extend_from_slice(blank.json().as_bytes());
            return Ok(());
        }
    };
    let mut bytes = BASE64.decode(encrypted).map_err(|_| UnsealError::Damaged)?;
    let nonce = ContentKey::nonce(event, place);
    let clear = key_of_it.cipher().open_in_place(nonce, Aad::empty(), &mut bytes);
    let clear = clear.map_err(|_| UnsealError::Damaged)?;
    if is_outer {
        let inner = clear.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(END));
        return unseal_value(event, inner.ok_or(UnsealError::Damaged)?, key, out);
    }
    out.extend_from_slice(clear);
    Ok(())
}

/// The label of a value, and the rest.
fn parts(sealed: &[u8]) -> Option<(Label, &[u8])> {
    let length = memchr(b':', sealed)?;
    let label = std::str::from_utf8(&sealed[..length]).ok()?;
    Some((Label::read(label)?, &sealed[length + 1..]))
}

/// What a sealed value says of itself.
struct Label {
    blank: Blank,
    /// What is in it is sealed, too.
    is_outer: bool,
    /// The number of the value in its event.
    place: u16,
    owner: KeyOwner,
    /// Which key of its owner's.
    number: u64,
}

impl Label {
    fn read(label: &str) -> Option<Self> {
        let mut parts = label.split('.');
        let (letter, place) = parts.next()?.split_at_checked(1)?;
        let letter = letter.as_bytes()[0];
        Some(Self {
            blank: Blank::by_letter(letter.to_ascii_lowercase())?,
            is_outer: letter.is_ascii_uppercase(),
            place: place.parse().ok()?,
            owner: KeyOwner::parse(parts.next()?)?,
            number: parts.next()?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests;
