//! Kinds of parameters that are numbers.

use serde_json::{Value, json};

use super::{
    FieldValue, Invalid, Param, ParameterKind,
    kinds::{refused, wrong_choice, wrong_type},
};

type Checked<T> = Result<T, Invalid>;

fn wrong_number(label: &str, min: i64, max: &str) -> String {
    format!("{label} 的数值 必须 在 {min} 和 {max} 之间")
}

fn above(label: &str, max: i64) -> String {
    format!("{label} 的数值 必须 大于等于 `0` 小于等于 `{max}`")
}

/// An integer within bounds that are not zero.
#[derive(Debug, Clone, Copy)]
pub struct IntKind {
    min: Option<i64>,
}

/// An integer.
pub(in crate::protocol) fn int(
    name: &'static str,
    label: &'static str,
    example: i64,
) -> Param<IntKind> {
    Param::new(name, label, IntKind { min: None }, example)
}

/// An integer of at least `min`.
pub(in crate::protocol) fn int_from(
    min: i64,
    name: &'static str,
    label: &'static str,
    example: i64,
) -> Param<IntKind> {
    Param::new(name, label, IntKind { min: Some(min) }, example)
}

/// A number that names somebody or something.
pub(in crate::protocol) fn id(name: &'static str, label: &'static str) -> Param<IntKind> {
    int_from(1, name, label, 1)
}

/// An upper bound that is absent prints as this.
const ENDLESS: &str = "10000000000000000";

impl ParameterKind for IntKind {
    type Value = i64;

    fn read(&self, label: &str, value: &FieldValue) -> Checked<i64> {
        let Some(number) = value.integer() else {
            return refused(wrong_type(label, &value.text(), "int"));
        };
        match self.min {
            Some(min) if number < min => refused(wrong_number(label, min, ENDLESS)),
            _ => Ok(number),
        }
    }

    fn schema(&self) -> Value {
        let min = self.min.unwrap_or(i64::MIN);
        json!({ "type": "integer", "format": "int64", "maximum": i64::MAX, "minimum": min })
    }

    fn refusals(&self, label: &str) -> Vec<String> {
        let bound = self.min.map(|min| wrong_number(label, min, "…"));
        [wrong_type(label, "…", "int")].into_iter().chain(bound).collect()
    }
}

/// A moment that is not to come: its upper bound moves, so it is checked by whoever knows the time.
#[derive(Debug, Clone, Copy)]
pub struct MomentKind {
    min: i64,
}

/// A moment in milliseconds, checked by [`in_time`].
pub(in crate::protocol) fn moment(
    min: i64,
    name: &'static str,
    label: &'static str,
    example: i64,
) -> Param<MomentKind> {
    Param::new(name, label, MomentKind { min }, example)
}

/// A moment is within these bounds.
///
/// # Errors
/// It is not.
pub(in crate::protocol) fn in_time(label: &str, at: i64, (min, max): (i64, i64)) -> Checked<()> {
    if (min..=max).contains(&at) {
        return Ok(());
    }
    refused(wrong_number(label, min, &max.to_string()))
}

impl ParameterKind for MomentKind {
    type Value = i64;

    fn read(&self, label: &str, value: &FieldValue) -> Checked<i64> {
        IntKind { min: None }.read(label, value)
    }

    fn schema(&self) -> Value {
        IntKind { min: Some(self.min) }.schema()
    }

    fn refusals(&self, label: &str) -> Vec<String> {
        IntKind { min: Some(self.min) }.refusals(label)
    }
}

/// An integer from 0 on.
#[derive(Debug, Clone, Copy)]
pub struct UpTo(i64);

/// An integer from 0 to `max`.
pub(in crate::protocol) fn up_to(max: i64, name: &'static str, label: &'static str) -> Param<UpTo> {
    Param::new(name, label, UpTo(max), 1)
}

impl ParameterKind for UpTo {
    type Value = i64;

    fn read(&self, label: &str, value: &FieldValue) -> Checked<i64> {
        match value.integer() {
            None => refused(wrong_type(label, &value.text(), "int")),
            Some(number) if !(0..=self.0).contains(&number) => refused(above(label, self.0)),
            Some(number) => Ok(number),
        }
    }

    fn schema(&self) -> Value {
        json!({ "type": "integer", "minimum": 0, "maximum": self.0 })
    }

    fn refusals(&self, label: &str) -> Vec<String> {
        vec![wrong_type(label, "…", "int"), above(label, self.0)]
    }
}

/// 0 or 1.
#[derive(Debug, Clone, Copy)]
pub struct FlagKind;

/// 0 or 1.
pub(in crate::protocol) fn flag(name: &'static str, label: &'static str) -> Param<FlagKind> {
    Param::new(name, label, FlagKind, 1)
}

impl ParameterKind for FlagKind {
    type Value = bool;

    fn read(&self, label: &str, value: &FieldValue) -> Checked<bool> {
        match value.integer() {
            Some(0) => Ok(false),
            Some(1) => Ok(true),
            Some(other) => refused(wrong_choice(label, &other.to_string(), ["0", "1"].into_iter())),
            None => refused(wrong_type(label, &value.text(), "int")),
        }
    }

    fn schema(&self) -> Value {
        json!({ "type": "integer", "enum": [0, 1] })
    }

    fn refusals(&self, label: &str) -> Vec<String> {
        vec![wrong_type(label, "…", "int"), wrong_choice(label, "…", ["0", "1"].into_iter())]
    }
}

/// A number, whole or not, that is refused in words of its route's own.
#[derive(Debug, Clone, Copy)]
pub struct NumberKind {
    min: i32,
    max: Option<i32>,
}

/// A number.
pub(in crate::protocol) fn number(
    name: &'static str,
    label: &'static str,
    (min, max): (i32, Option<i32>),
    example: i64,
) -> Param<NumberKind> {
    Param::new(name, label, NumberKind { min, max }, example)
}

impl ParameterKind for NumberKind {
    type Value = f64;

    fn read(&self, label: &str, value: &FieldValue) -> Checked<f64> {
        let max = self.max.map_or(f64::INFINITY, f64::from);
        let number = value.number().filter(|number| (f64::from(self.min)..=max).contains(number));
        number.map_or_else(|| refused(wrong_type(label, &value.text(), "number")), Ok)
    }

    fn schema(&self) -> Value {
        let mut schema = json!({ "type": "number", "minimum": self.min });
        if let Some(max) = self.max {
            schema["maximum"] = json!(max);
        }
        schema
    }

    fn refusals(&self, _: &str) -> Vec<String> {
        Vec::new()
    }
}
