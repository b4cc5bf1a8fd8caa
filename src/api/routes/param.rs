//! What a route takes: as the document shows it, and in which words it is refused (rest.md §0.3).

use serde_json::{Value, json};

use crate::api::names;

/// One parameter.
#[derive(Debug, Clone)]
pub struct Param {
    /// Its name on the wire.
    pub name: &'static str,
    /// Only in the query, though the route is a POST.
    pub in_query: bool,
    /// Must it be there?
    pub required: bool,
    missed_alone: bool,
    /// If it is a name: of what.
    names: Option<&'static str>,
    label: &'static str,
    kind: Kind,
    example: Value,
    note: &'static str,
}

#[derive(Debug, Clone)]
enum Kind {
    Text {
        min: u64,
        max: Option<u64>,
    },
    TextOrObject,
    Int {
        min: Option<i64>,
    },
    UpTo(i64),
    Flag,
    OneOf(&'static [&'static str]),
    Numbers,
    /// Its handler checks it by hand, or takes anything.
    Free(Value),
}

/// A required text.
pub fn text(name: &'static str, label: &'static str, example: impl Into<Value>) -> Param {
    Param::new(name, label, Kind::Text { min: 0, max: None }, example.into())
}

/// A required text, or an object, of which the JSON text is taken.
pub fn text_or_object(name: &'static str, label: &'static str, example: impl Into<Value>) -> Param {
    Param::new(name, label, Kind::TextOrObject, example.into())
}

/// A required number that names somebody or something.
pub fn id(name: &'static str, label: &'static str) -> Param {
    Param::new(name, label, Kind::Int { min: Some(1) }, json!(1))
}

/// A required integer.
pub fn int(name: &'static str, label: &'static str, example: i64) -> Param {
    Param::new(name, label, Kind::Int { min: None }, json!(example))
}

/// A required integer from 0 to `max`.
pub fn up_to(max: i64, name: &'static str, label: &'static str) -> Param {
    Param::new(name, label, Kind::UpTo(max), json!(1))
}

/// A required 0 or 1.
pub fn flag(name: &'static str, label: &'static str) -> Param {
    Param::new(name, label, Kind::Flag, json!(1))
}

/// A required text out of a few.
pub fn one_of(name: &'static str, label: &'static str, allowed: &'static [&'static str]) -> Param {
    Param::new(name, label, Kind::OneOf(allowed), json!(allowed[0]))
}

/// A required list of numbers.
pub fn numbers(name: &'static str, label: &'static str, example: Value) -> Param {
    Param::new(name, label, Kind::Numbers, example)
}

/// One that is never refused with 422.
pub fn free(name: &'static str, label: &'static str, schema: Value, example: Value) -> Param {
    Param::new(name, label, Kind::Free(schema), example)
}

/// One that may be left out. An invalid value counts as such, so none is wrong: `note` says which ones count.
pub fn optional(
    name: &'static str,
    label: &'static str,
    default: impl Into<Value>,
    note: &'static str,
) -> Param {
    let default = default.into();
    let mut param = free(name, label, json!({ "default": default }), default.clone());
    param.required = false;
    param.note(note)
}

impl Param {
    fn new(name: &'static str, label: &'static str, kind: Kind, example: Value) -> Self {
        Self {
            name,
            in_query: false,
            required: true,
            missed_alone: true,
            names: None,
            label,
            kind,
            example,
            note: "",
        }
    }

    /// A text of `min` to `max` characters.
    pub fn of(mut self, min: u64, max: impl Into<Option<u64>>) -> Self {
        self.kind = Kind::Text { min, max: max.into() };
        self
    }

    /// An integer of at least `min`.
    pub fn from(mut self, min: i64) -> Self {
        self.kind = Kind::Int { min: Some(min) };
        self
    }

    /// What else there is to say.
    pub fn note(mut self, note: &'static str) -> Self {
        self.note = note;
        self
    }

    /// A name that is given from now on; `what` is told to have the invalid character (clarification 25).
    pub fn names(mut self, what: &'static str) -> Self {
        self.names = Some(what);
        self
    }

    /// It has its place in the query.
    pub fn in_query(mut self) -> Self {
        self.in_query = true;
        self
    }

    /// It may be left out.
    pub fn or_none(mut self) -> Self {
        self.required = false;
        self
    }

    /// That it is missing is told of all together, in other words than its own.
    pub fn missed_together(mut self) -> Self {
        self.missed_alone = false;
        self
    }

    /// What it should be; the server takes more (a number as text, an object as a text).
    pub fn schema(&self) -> Value {
        let mut schema = match &self.kind {
            Kind::Text { min, max } => {
                let mut schema = json!({ "type": "string", "minLength": min.max(&1) });
                if let Some(max) = max {
                    schema["maxLength"] = json!(max);
                }
                schema
            }
            Kind::TextOrObject => json!({ "type": ["string", "object"], "minLength": 1 }),
            Kind::Int { min } => {
                let most = json!({ "type": "integer", "format": "int64", "maximum": i64::MAX });
                let mut schema = most;
                schema["minimum"] = json!(min.unwrap_or(i64::MIN));
                schema
            }
            Kind::UpTo(max) => json!({ "type": "integer", "minimum": 0, "maximum": max }),
            Kind::Flag => json!({ "type": "integer", "enum": [0, 1] }),
            Kind::OneOf(allowed) => json!({ "type": "string", "enum": allowed }),
            Kind::Numbers => {
                json!({ "type": "array", "items": { "type": "integer" }, "minItems": 1 })
            }
            Kind::Free(schema) => schema.clone(),
        };
        schema["title"] = json!(self.label);
        if !self.note.is_empty() {
            schema["description"] = json!(self.note);
        }
        schema["examples"] = json!([self.example]);
        schema
    }

    /// May it be a text of any length?
    #[cfg(test)]
    pub fn is_endless(&self) -> bool {
        matches!(self.kind, Kind::Text { max: None, .. } | Kind::TextOrObject)
    }

    /// The value that the document shows.
    pub fn example(&self) -> &Value {
        &self.example
    }

    /// The texts with which it is refused (422); `…` stands for any text.
    pub fn refusals(&self) -> Vec<String> {
        let label = self.label;
        let missing = format!("{label}不能为空");
        let not = |kind| format!("{label} 的值 `…` 的类型不是 `{kind}`");
        let list = |allowed: &[&str]| {
            let list: Vec<_> = allowed.iter().map(|value| format!("`{value}`")).collect();
            format!("{label} 的值 `…` 必须在 [{}] 中", list.join("、"))
        };
        let mut texts = match &self.kind {
            Kind::Free(_) => return vec![],
            Kind::Text { min: 0, .. } | Kind::TextOrObject => vec![missing],
            Kind::Text { min, max } => {
                let max = max.unwrap_or(10_000_000);
                let length = format!("{label} 的长度 必须 在 {min} 和 {max} 之间");
                vec![missing, length, not("string")]
            }
            Kind::Int { min: None } => vec![missing, not("int")],
            Kind::Int { min: Some(min) } => {
                vec![missing, not("int"), format!("{label} 的数值 必须 在 {min} 和 … 之间")]
            }
            Kind::UpTo(max) => {
                let bounds = format!("{label} 的数值 必须 大于等于 `0` 小于等于 `{max}`");
                vec![missing, not("int"), bounds]
            }
            Kind::Flag => vec![missing, not("int"), list(&["0", "1"])],
            Kind::OneOf(allowed) => vec![missing, list(allowed)],
            Kind::Numbers => vec![missing, not("array")],
        };
        if !self.required || !self.missed_alone {
            texts.remove(0);
        }
        texts.extend(self.names.map(|what| format!("{what}{}", names::INVALID)));
        texts
    }
}
