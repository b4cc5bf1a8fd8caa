//! Declarations: a parameter's name, label, kind and what else there is to say of it, from which it is both read and
//! documented; and requests made of them.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::{FieldValue, ParameterKind, Parameters};

/// Why a request is refused for its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Invalid {
    /// The first parameter that is wrong, in the contract's words (422).
    Parameter(Cow<'static, str>),
    /// In words of the route's own, as a rule says no (400).
    Rule(&'static str),
}

/// The parameters of a route.
pub trait ParameterSet: Sized {
    /// Its name in the document.
    const NAME: &'static str;

    /// Reads and checks them, in the order in which they are declared.
    ///
    /// # Errors
    /// The first that is missing or wrong.
    fn read(sent: &Parameters) -> Result<Self, Invalid>;

    /// What the document tells of them, in the same order.
    fn parameters() -> Vec<Parameter>;
}

/// Makes a [`ParameterSet`]: each field is read as the declaration behind it says. With `if incomplete` all parameters that are
/// [`Param::missed_together`] are looked for first.
macro_rules! request {
    ($(#[$doc:meta])* $name:ident $(if incomplete $text:expr =>)? { $($field:ident: $type:ty = $param:expr,)* }) => {
        $(#[$doc])*
        #[derive(Debug)]
        #[allow(missing_docs, reason = "declarations tell what each field is")]
        pub struct $name { $(pub $field: $type,)* }

        impl $crate::protocol::parameters::ParameterSet for $name {
            const NAME: &'static str = stringify!($name);

            fn read(
                sent: &$crate::protocol::parameters::Parameters,
            ) -> Result<Self, $crate::protocol::parameters::Invalid> {
                use $crate::protocol::parameters::Declare as _;
                const TOGETHER: &[&str] = &[$($text)?];
                for text in TOGETHER {
                    $(($param).complete(sent, text)?;)*
                }
                Ok(Self { $($field: ($param).read(sent)?,)* })
            }

            fn parameters() -> Vec<$crate::protocol::parameters::Parameter> {
                use $crate::protocol::parameters::Declare as _;
                let mut all = Vec::new();
                $(($param).describe(&mut all);)*
                all
            }
        }
    };
}
pub(in crate::protocol) use request;

/// What the document tells of a parameter.
#[derive(Debug, Clone)]
pub struct Parameter {
    /// Its name on the wire.
    pub name: &'static str,
    /// Where it is looked for beside the path.
    pub place: ParameterPlace,
    /// Must it be there?
    pub required: bool,
    /// What it should be; the server takes more (a number as text, an object as a text).
    pub schema: Value,
    /// A value that fits.
    pub example: Value,
    /// The texts with which it is refused (422); `…` stands for any text.
    pub refusals: Vec<String>,
}

/// Where a parameter that is not in the path is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParameterPlace {
    /// In the body of a POST, else in the query.
    Anywhere,
    /// In the query, though the route is a POST.
    Query,
}

/// A parameter, or several, to be read and to be documented.
pub trait Declare: Sized {
    /// What becomes of it.
    type Value;

    /// Reads and checks it.
    ///
    /// # Errors
    /// It is missing or wrong.
    fn read(&self, sent: &Parameters) -> Result<Self::Value, Invalid>;

    /// Adds what the document tells of it.
    fn describe(&self, all: &mut Vec<Parameter>);

    /// Is it there, if all must be there together?
    ///
    /// # Errors
    /// In these words, if it is not.
    fn complete(&self, _sent: &Parameters, _text: &'static str) -> Result<(), Invalid> {
        Ok(())
    }

    /// Makes another value of what was read.
    fn map<T, F: Fn(Self::Value) -> T>(self, into: F) -> Mapped<Self, F> {
        Mapped { inner: self, into }
    }

    /// Whatever is wrong with it is told in these words, with 400.
    fn or_rule(self, text: &'static str) -> OrRule<Self> {
        OrRule { inner: self, text }
    }
}

/// A value as the document shows it.
#[derive(Debug, Clone, Copy)]
pub enum Example {
    /// A text.
    Text(&'static str),
    /// A number.
    Number(i64),
    /// Something else, as JSON text.
    Json(&'static str),
}

impl From<&'static str> for Example {
    fn from(text: &'static str) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Example {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl Example {
    fn value(self) -> Value {
        match self {
            Self::Text(text) => json!(text),
            Self::Number(number) => json!(number),
            Self::Json(text) => serde_json::from_str(text).expect("examples are well formed"),
        }
    }
}

/// A required parameter.
#[derive(Debug, Clone, Copy)]
pub struct Param<K> {
    name: &'static str,
    label: &'static str,
    kind: K,
    example: Example,
    note: &'static str,
    missed_alone: bool,
}

impl<K: ParameterKind> Param<K> {
    /// One of a kind, by its name on the wire and the label by which refusals call it.
    pub(in crate::protocol) fn new(
        name: &'static str,
        label: &'static str,
        kind: K,
        example: impl Into<Example>,
    ) -> Self {
        Self { name, label, kind, example: example.into(), note: "", missed_alone: true }
    }

    /// What else there is to say.
    pub(in crate::protocol) fn note(self, note: &'static str) -> Self {
        Self { note, ..self }
    }

    /// That it is missing is told of all together, in other words than its own.
    pub(in crate::protocol) fn missed_together(self) -> Self {
        Self { missed_alone: false, ..self }
    }

    /// It may be left out.
    pub(in crate::protocol) fn or_none(self) -> Optional<K> {
        Optional(self)
    }

    /// It may be left out, and what is invalid counts as left out: `None`, which means `default` to the route.
    pub(in crate::protocol) fn or_default(self, default: impl Into<Example>) -> OrDefault<K> {
        OrDefault { param: self, default: default.into() }
    }

    fn parameter(&self, required: bool, mut schema: Value) -> Parameter {
        schema["title"] = json!(self.label);
        if !self.note.is_empty() {
            schema["description"] = json!(self.note);
        }
        let example = self.example.value();
        schema["examples"] = json!([example]);
        let (name, place) = (self.name, ParameterPlace::Anywhere);
        Parameter { name, place, required, schema, example, refusals: Vec::new() }
    }

    fn refusals(&self) -> Vec<String> {
        self.kind.refusals(self.label)
    }
}

/// A required parameter is missing.
pub(in crate::protocol) fn missing(label: &str) -> String {
    format!("{label}不能为空")
}

impl<K: ParameterKind> Declare for Param<K> {
    type Value = K::Value;

    fn read(&self, sent: &Parameters) -> Result<K::Value, Invalid> {
        let value = sent.get(self.name);
        let value = value.ok_or_else(|| Invalid::Parameter(missing(self.label).into()))?;
        self.kind.read(self.label, value)
    }

    fn describe(&self, all: &mut Vec<Parameter>) {
        let missing = self.missed_alone.then(|| missing(self.label));
        let refusals = missing.into_iter().chain(self.refusals()).collect();
        all.push(Parameter { refusals, ..self.parameter(true, self.kind.schema()) });
    }

    fn complete(&self, sent: &Parameters, text: &'static str) -> Result<(), Invalid> {
        let is_there = self.missed_alone || sent.get(self.name).is_some();
        if is_there { Ok(()) } else { Err(Invalid::Rule(text)) }
    }
}

/// One that may be left out, but must be right if it is there.
#[derive(Debug, Clone, Copy)]
pub struct Optional<K>(Param<K>);

impl<K: ParameterKind> Declare for Optional<K> {
    type Value = Option<K::Value>;

    fn read(&self, sent: &Parameters) -> Result<Self::Value, Invalid> {
        let read = |value: &FieldValue| self.0.kind.read(self.0.label, value);
        sent.get(self.0.name).map(read).transpose()
    }

    fn describe(&self, all: &mut Vec<Parameter>) {
        let refusals = self.0.refusals();
        all.push(Parameter { refusals, ..self.0.parameter(false, self.0.kind.schema()) });
    }
}

/// One that is never refused.
#[derive(Debug, Clone, Copy)]
pub struct OrDefault<K> {
    param: Param<K>,
    default: Example,
}

impl<K: ParameterKind> Declare for OrDefault<K> {
    type Value = Option<K::Value>;

    fn read(&self, sent: &Parameters) -> Result<Self::Value, Invalid> {
        let value = sent.get(self.param.name);
        Ok(value.and_then(|value| self.param.kind.read(self.param.label, value).ok()))
    }

    fn describe(&self, all: &mut Vec<Parameter>) {
        // Whatever is sent fits, so the schema tells no type.
        all.push(self.param.parameter(false, json!({ "default": self.default.value() })));
    }
}

/// See [`Declare::map`].
#[derive(Debug, Clone, Copy)]
pub struct Mapped<D, F> {
    inner: D,
    into: F,
}

impl<D: Declare, T, F: Fn(D::Value) -> T> Declare for Mapped<D, F> {
    type Value = T;

    fn read(&self, sent: &Parameters) -> Result<T, Invalid> {
        self.inner.read(sent).map(&self.into)
    }

    fn describe(&self, all: &mut Vec<Parameter>) {
        self.inner.describe(all);
    }

    fn complete(&self, sent: &Parameters, text: &'static str) -> Result<(), Invalid> {
        self.inner.complete(sent, text)
    }
}

/// See [`Declare::or_rule`].
#[derive(Debug, Clone, Copy)]
pub struct OrRule<D> {
    inner: D,
    text: &'static str,
}

impl<D: Declare> Declare for OrRule<D> {
    type Value = D::Value;

    fn read(&self, sent: &Parameters) -> Result<D::Value, Invalid> {
        self.inner.read(sent).map_err(|_| Invalid::Rule(self.text))
    }

    fn describe(&self, all: &mut Vec<Parameter>) {
        let first = all.len();
        self.inner.describe(all);
        all[first..].iter_mut().for_each(|parameter| parameter.refusals.clear());
    }
}

/// One after the other.
impl<A: Declare, B: Declare> Declare for (A, B) {
    type Value = (A::Value, B::Value);

    fn read(&self, sent: &Parameters) -> Result<Self::Value, Invalid> {
        Ok((self.0.read(sent)?, self.1.read(sent)?))
    }

    fn describe(&self, all: &mut Vec<Parameter>) {
        self.0.describe(all);
        self.1.describe(all);
    }
}

/// All parameters of another request.
#[derive(Debug, Clone, Copy)]
pub struct All<R>(std::marker::PhantomData<R>);

/// All parameters of another request.
pub fn all<R: ParameterSet>() -> All<R> {
    All(std::marker::PhantomData)
}

impl<R: ParameterSet> Declare for All<R> {
    type Value = R;

    fn read(&self, sent: &Parameters) -> Result<R, Invalid> {
        R::read(sent)
    }

    fn describe(&self, all: &mut Vec<Parameter>) {
        all.extend(R::parameters());
    }
}
