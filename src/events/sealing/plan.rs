//! The plan of a sealing: which values of an event are sealed and whose they are, made of its schema.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::events::redaction::plan::{Class, Plan as Classes};

/// What is done with a value and what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SealPlan {
    /// It stays readable.
    Clear,
    /// Only with the keys of all of these it can be read. It is theirs alone if there is nobody: then it stays readable.
    Sealed { whose: Vec<Whose>, blank: Blank },
    /// An object.
    Fields(BTreeMap<String, SealPlan>),
    /// A list of such values.
    Items(Box<SealPlan>),
}

/// Whose a value is: the key `x-of` of a schema. Else it is of whom the object around it is about, by the field `id`, or
/// of whom the aggregate is, or of the actor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Whose {
    /// Whoever did it.
    Actor,
    /// The person that the aggregate is, or who did it.
    Aggregate,
    /// The group that the aggregate is.
    Group,
    /// The one of two people that the aggregate is of who did not do it: a name may be a remark of theirs.
    Other,
    /// The day on which it was said, where messages are kept for so long only.
    Day,
    /// The person whose number is in this field of the same object.
    Field(String),
}

impl Whose {
    fn named(name: &str) -> Self {
        match name {
            "actor" => Self::Actor,
            "group" => Self::Group,
            "other" => Self::Other,
            "day" => Self::Day,
            field => Self::Field(field.to_owned()),
        }
    }
}

/// What is read in the place of a value whose key was destroyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blank {
    Text,
    Null,
    List,
}

impl Blank {
    fn of(schema: &Value) -> Self {
        match schema["type"].as_str() {
            Some("string") => Self::Text,
            Some("array") => Self::List,
            _ => Self::Null,
        }
    }

    pub(super) fn json(self) -> &'static str {
        match self {
            Self::Text => r#""""#,
            Self::Null => "null",
            Self::List => "[]",
        }
    }

    pub(super) fn letter(self) -> char {
        match self {
            Self::Text => 's',
            Self::Null => 'n',
            Self::List => 'a',
        }
    }

    pub(super) fn by_letter(letter: u8) -> Option<Self> {
        [Self::Text, Self::Null, Self::List]
            .into_iter()
            .find(|blank| blank.letter() == char::from(letter))
    }
}

impl SealPlan {
    /// Of a schema without references.
    pub(super) fn of(schema: &Value) -> Self {
        Self::within(schema, &Whose::Aggregate)
    }

    fn within(schema: &Value, around: &Whose) -> Self {
        let ways = schema["anyOf"].as_array().map(Vec::as_slice).unwrap_or_default();
        let is_null = |way: &&Value| way["type"] == "null";
        if let [way] = ways.iter().filter(|way| !is_null(way)).collect::<Vec<_>>()[..] {
            return match Self::within(way, around) {
                Self::Sealed { whose, .. } => Self::Sealed { whose, blank: Blank::Null },
                other => other,
            };
        }
        match Classes::of(schema) {
            Classes::Whole(class)
                if class == Class::Content || schema["x-personal"] == "device" =>
            {
                let named = schema["x-of"].as_array();
                let whose = match named {
                    Some(named) => {
                        named.iter().filter_map(Value::as_str).map(Whose::named).collect()
                    }
                    None => vec![around.clone()],
                };
                Self::Sealed { whose, blank: Blank::of(schema) }
            }
            Classes::Whole(_) => Self::Clear,
            Classes::Fields(_) => {
                let fields = schema["properties"].as_object().expect("an object has fields");
                let id = &fields.get("id").unwrap_or(&Value::Null);
                let is_person = id["x-personal"] == "person" && id["type"] == "integer";
                let own = is_person.then(|| Whose::Field("id".to_owned()));
                let around = own.as_ref().unwrap_or(around);
                let fields = fields.iter();
                let plans = fields.map(|(name, field)| (name.clone(), Self::within(field, around)));
                Self::Fields(plans.collect())
            }
            Classes::Items(_) => Self::Items(Box::new(Self::within(&schema["items"], around))),
        }
    }
}
