//! Redaction takes out of an event what it tells about people, before the event leaves the service (ADR 0036).
//!
//! What a field tells is said once, by `x-personal` in its schema, and what no schema knows is taken out: so a new field
//! cannot be forgotten.

pub(super) mod plan;
mod pseudonyms;
mod rewrite;

use std::{borrow::Cow, collections::HashMap};

use serde::Deserialize;

use self::{
    plan::{Class, Plan},
    pseudonyms::Pseudonyms,
};
use super::{ids::Subject, schema::schemas};

/// How much of what events tell about people others see (`analytics.content`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Disclosure {
    /// Who did what to whom, by pseudonyms: no text, name, picture, device or session.
    None,
    /// What people say and are called, too; devices and sessions have pseudonyms.
    Pseudonymous,
    /// Everything.
    Full,
}

impl Disclosure {
    /// As the setting is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Pseudonymous => "pseudonymous",
            Self::Full => "full",
        }
    }

    fn treatment(self, class: Class) -> Treatment {
        match (self, class) {
            (Self::Full, _) | (_, Class::Nothing) | (Self::Pseudonymous, Class::Content) => {
                Treatment::Keep
            }
            (_, Class::Person) | (Self::Pseudonymous, Class::Session) => Treatment::Replace,
            (Self::None, Class::Session | Class::Content) => Treatment::Remove,
        }
    }
}

/// What becomes of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Treatment {
    Keep,
    /// By its pseudonym; it is taken out if it can have none.
    Replace,
    Remove,
}

/// The headers of an event that may leave the service, the attributes of `CloudEvents` that they are, and what they tell.
/// Those that name a request lead to access logs, and so to a person.
const HEADERS: [(&str, &str, Class); 11] = [
    ("ce-specversion", "specversion", Class::Nothing),
    ("ce-id", "id", Class::Nothing),
    ("ce-source", "source", Class::Nothing),
    ("ce-type", "type", Class::Nothing),
    (SUBJECT, "subject", Class::Person),
    ("ce-time", "time", Class::Nothing),
    ("hy-actor", "actor", Class::Person),
    ("hy-cause", "cause", Class::Session),
    ("traceparent", "traceparent", Class::Session),
    ("hy-operator", "operator", Class::Content),
    ("hy-reason", "reason", Class::Content),
];
const SUBJECT: &str = "ce-subject";
/// Which process it was is the service's own affair.
const SOURCE: &str = "/hongyan";

/// A header of an event, as others may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// Its name in the log.
    pub header: &'static str,
    /// Its name in `CloudEvents`.
    pub name: &'static str,
    /// Its value.
    pub value: Cow<'a, str>,
}

/// What is taken out of events, by type and version.
pub struct Redaction {
    disclosure: Disclosure,
    pseudonyms: Pseudonyms,
    plans: HashMap<String, Plan>,
}

impl Redaction {
    /// Pseudonyms are made with `secret`: whoever knows it can tell whose they are.
    pub fn new(disclosure: Disclosure, secret: &[u8]) -> Self {
        let plans = schemas().into_iter().map(|(name, found)| (name, Plan::of(&found.schema)));
        Self { disclosure, pseudonyms: Pseudonyms::new(secret), plans: plans.collect() }
    }

    /// How much it leaves.
    pub fn disclosure(&self) -> Disclosure {
        self.disclosure
    }

    /// Tells redactions apart: by how much they leave, and by their secret, which nobody can find by it.
    pub fn fingerprint(&self) -> String {
        match self.disclosure {
            Disclosure::Full => self.disclosure.as_str().to_owned(),
            other => format!("{} {}", other.as_str(), self.pseudonyms.fingerprint()),
        }
    }

    /// The subject as others may see it: ids of groups stay. `None` if this version does not know such a subject.
    pub fn subject(&self, subject: &str) -> Option<String> {
        if self.disclosure == Disclosure::Full {
            return Some(subject.to_owned());
        }
        let named = Subject::parse(subject)?;
        Some(named.with_people(|user| self.pseudonyms.of_user(user)).to_string())
    }

    /// The headers that others may see, of those that `header` tells.
    pub fn attributes<'a>(
        &self,
        header: impl Fn(&str) -> Option<&'a str>,
    ) -> impl Iterator<Item = Attribute<'a>> {
        HEADERS.into_iter().filter_map(move |(name, attribute, class)| {
            let value = if name == "ce-source" { SOURCE } else { header(name)? };
            let value = match self.disclosure.treatment(class) {
                Treatment::Keep => Cow::Borrowed(value),
                Treatment::Replace if name == SUBJECT => Cow::Owned(self.subject(value)?),
                Treatment::Replace => Cow::Owned(self.pseudonyms.of_text(value)?),
                Treatment::Remove => return None,
            };
            Some(Attribute { header: name, name: attribute, value })
        })
    }

    /// Adds the body to `out` as others may see it. False, and nothing is added, if this version cannot read it: its type
    /// is a newer one, or it is not what its schema says.
    pub fn body(&self, kind: &str, body: &[u8], out: &mut Vec<u8>) -> bool {
        if self.disclosure == Disclosure::Full {
            out.extend_from_slice(body);
            return true;
        }
        let Some(plan) = self.plans.get(kind) else { return false };
        let begin = out.len();
        let is_read = rewrite::rewrite(body, plan, self, out).is_ok();
        if !is_read {
            out.truncate(begin);
        }
        is_read
    }
}

#[cfg(test)]
mod tests;
