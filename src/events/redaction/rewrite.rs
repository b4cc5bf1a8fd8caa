//! The rewriting of JSON by a plan, in one pass: what stays is copied as it was written.

use std::fmt;

use serde::{
    Deserialize as _, Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor},
};
use serde_json::value::RawValue;

use super::{Redaction, Treatment, plan::Plan};

/// Adds `json` to `out`, without what the plan takes out.
///
/// # Errors
/// It is not JSON, or not as the plan's schema says; `out` may have a part of it.
pub(super) fn rewrite(
    json: &[u8],
    plan: &Plan,
    redaction: &Redaction,
    out: &mut Vec<u8>,
) -> serde_json::Result<()> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    Rewriting { plan, redaction, out }.deserialize(&mut reader)?;
    reader.end()
}

/// A value that is read and written; true if something of it stays.
struct Rewriting<'a> {
    plan: &'a Plan,
    redaction: &'a Redaction,
    out: &'a mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Rewriting<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<bool, D::Error> {
        let Plan::Whole(class) = self.plan else { return from.deserialize_any(self) };
        match self.redaction.disclosure.treatment(*class) {
            Treatment::Keep => {
                self.out.extend_from_slice(<&RawValue>::deserialize(from)?.get().as_bytes());
                Ok(true)
            }
            Treatment::Replace => from.deserialize_any(self),
            Treatment::Remove => IgnoredAny::deserialize(from).map(|_| false),
        }
    }
}

impl Rewriting<'_> {
    /// Only what has a plan of its own may come as a value without parts.
    fn replaces<E: Error>(&self, found: Unexpected<'_>) -> Result<(), E> {
        match self.plan {
            Plan::Whole(_) => Ok(()),
            _ => Err(E::invalid_type(found, self)),
        }
    }

    fn number<E: Error>(self, id: i64) -> Result<bool, E> {
        self.replaces::<E>(Unexpected::Signed(id))?;
        let number = self.redaction.pseudonyms.of_number(id).to_string();
        self.out.extend_from_slice(number.as_bytes());
        Ok(true)
    }
}

impl<'de> Visitor<'de> for Rewriting<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.plan {
            Plan::Fields(_) => "an object",
            Plan::Items(_) => "a list",
            Plan::Whole(_) => "an id",
        })
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        self.out.extend_from_slice(b"null");
        Ok(true)
    }

    fn visit_i64<E: Error>(self, id: i64) -> Result<bool, E> {
        self.number(id)
    }

    fn visit_u64<E: Error>(self, id: u64) -> Result<bool, E> {
        self.number(id.cast_signed())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<bool, E> {
        self.replaces::<E>(Unexpected::Str(text))?;
        let Some(pseudonym) = self.redaction.pseudonyms.of_text(text) else { return Ok(false) };
        self.out.push(b'"');
        self.out.extend_from_slice(pseudonym.as_bytes());
        self.out.push(b'"');
        Ok(true)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<bool, A::Error> {
        let Self { plan, redaction, out } = self;
        let Plan::Items(plan) = plan else {
            return Err(A::Error::invalid_type(Unexpected::Seq, &Self { plan, redaction, out }));
        };
        out.push(b'[');
        let mut is_first = true;
        loop {
            let before = out.len();
            if !is_first {
                out.push(b',');
            }
            match items.next_element_seed(Rewriting { plan, redaction, out })? {
                Some(true) => is_first = false,
                Some(false) => out.truncate(before),
                None => {
                    out.truncate(before);
                    break;
                }
            }
        }
        out.push(b']');
        Ok(true)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<bool, A::Error> {
        let Self { plan, redaction, out } = self;
        let Plan::Fields(known) = plan else {
            return Err(A::Error::invalid_type(Unexpected::Map, &Self { plan, redaction, out }));
        };
        out.push(b'{');
        let mut is_first = true;
        while let Some(named) = fields.next_key_seed(Known(known))? {
            let Some((name, plan)) = named else {
                fields.next_value::<IgnoredAny>()?;
                continue;
            };
            let before = out.len();
            out.extend_from_slice(if is_first { b"\"" } else { b",\"" });
            out.extend_from_slice(name.as_bytes()); // names of fields need no escapes
            out.extend_from_slice(b"\":");
            if fields.next_value_seed(Rewriting { plan, redaction, out })? {
                is_first = false;
            } else {
                out.truncate(before);
            }
        }
        out.push(b'}');
        Ok(true)
    }
}

/// The name of a field, if the plan knows it.
struct Known<'a>(&'a std::collections::BTreeMap<String, Plan>);

impl<'de, 'a> DeserializeSeed<'de> for Known<'a> {
    type Value = Option<(&'a str, &'a Plan)>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_str(self)
    }
}

impl<'a> Visitor<'_> for Known<'a> {
    type Value = Option<(&'a str, &'a Plan)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.get_key_value(name).map(|(name, plan)| (name.as_str(), plan)))
    }
}
