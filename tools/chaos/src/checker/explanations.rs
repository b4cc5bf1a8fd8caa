//! What operators are told of messages is held against what clients saw.

use std::collections::HashMap;

use super::{
    Report, Rule,
    model::{Entitled, Model},
};
use crate::history::Record;

/// Holds one record, if it is an explanation, against the model.
pub(super) fn check(report: &mut Report, model: &Model, record: &Record) {
    match record {
        Record::Unexplained { id, said } => {
            report.violation(Rule::Explanation, || format!("message {id}: {said}"));
        }
        Record::Explained { id, recipients } => match model.messages.get(id) {
            Some(n) => explained(report, model, *n, recipients),
            None => report.violation(Rule::Explanation, || format!("nobody asked about {id}")),
        },
        _ => {}
    }
}

fn explained(report: &mut Report, model: &Model, n: u64, recipients: &[(i64, Option<String>)]) {
    let item = &model.items[&n];
    let told: HashMap<i64, Option<&str>> =
        recipients.iter().map(|(user, reason)| (*user, reason.as_deref())).collect();
    for user in model.users() {
        let told = model.id_of(user).and_then(|id| told.get(&id));
        let came = model.has_arrived(n, user);
        let may_be_for_them = match model.entitled(item, user) {
            Entitled::Yes => told.is_some(),
            Entitled::Perhaps => true,
            Entitled::No => told.is_none(),
        };
        if may_be_for_them && (told == Some(&None)) == came {
            report.explained += u64::from(told.is_some());
            continue;
        }
        report.violation(Rule::Explanation, || {
            let told = match told {
                None => "it was not for them".to_owned(),
                Some(None) => "they have it".to_owned(),
                Some(Some(reason)) => format!("they do not have it: {reason}"),
            };
            format!("user {user}, who {}, {item}: {told}", if came { "got" } else { "did not get" })
        });
    }
}
