//! The checker: was every promise kept? It knows what clients did and saw, and nothing else (ws.md §7, rest.md §21, §36, §41).

mod explanations;
mod model;
mod order;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::Serialize;

use self::model::{Arrival, Entitled, Item, Kind, Model};
use super::history::{End, Outcome, Record, Time};

/// A promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Rule {
    /// What was accepted reaches everybody who was entitled to it (ws.md §7.2).
    Lost,
    /// … and does so while they are online and have asked for what waits (rest.md §21), not only when they come again.
    HeldBack,
    /// Nothing comes twice (ws.md §7.4).
    Doubled,
    /// What one sender says in one chat comes in the order in which they said it, but for §7.6.
    OutOfOrder,
    /// Nothing comes that was never sent, was refused, or was not for this user.
    Unexpected,
    /// A message that was taken back does not come after its revocation, which comes as any message does (rest.md §36).
    Revoked,
    /// Who is online is so for everybody, 15 s after the last change that the server could notice.
    Presence,
    /// The read models are what the log says.
    ReadModels,
    /// Operators are told of every message who has it and who has not, as clients saw it.
    Explanation,
    /// No user is refused what they may do, admitted to what they may not, or logged out (§7.7).
    WronglyRefused,
    /// What ended has ended: no call is accepted with a token after the answer to a log-out or a newer log-in.
    Outlived,
    /// All comes back by itself.
    Stuck,
}

/// What is shown of each kind of violation.
const SHOWN: usize = 10;

/// How near a fault of its gateway, or of the log, a delivery is not yet known to have been reported: a gateway tells the
/// log what it wrote a few times a second (ADR 0003).
const UNREPORTED: Time = 3_000_000;

/// What a history shows.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    /// Calls to send that were answered with 200.
    pub(super) acknowledged: u64,
    /// … with 4xx.
    pub(super) refused: u64,
    /// … with 5xx, or not at all.
    pub(super) unknown: u64,
    /// Revocations, friendships, changes of membership, log-ins and log-outs that were acknowledged.
    pub(super) other_calls: u64,
    /// Sockets that were opened.
    pub(super) sockets: u64,
    /// Of which ended by themselves.
    pub(super) dropped: u64,
    /// Of which ended with their client's host.
    pub(super) vanished: u64,
    /// Messages and notices that had to reach somebody; a group's count for each member.
    pub(super) due: u64,
    /// Frames with messages and notices.
    pub(super) arrived: u64,
    /// Frames that came over one socket and again over another, where the first had no time to be reported: next to a
    /// fault of the gateway, or of the log. Not promised otherwise.
    pub(super) repeated: u64,
    /// Pairs of a message and a recipient about which operators were told what clients saw.
    pub(super) explained: u64,
    /// Faults, by kind.
    pub(super) faults: BTreeMap<String, u64>,
    /// How often each promise was broken.
    pub(super) violations: BTreeMap<Rule, u64>,
    /// Some of them, in words.
    pub(super) shown: Vec<String>,
}

impl Report {
    /// Was something acknowledged, and was every promise kept?
    pub(super) fn is_good(&self) -> bool {
        self.acknowledged > 0 && self.violations.is_empty()
    }

    fn violation(&mut self, rule: Rule, words: impl FnOnce() -> String) {
        let count = self.violations.entry(rule).or_default();
        *count += 1;
        if *count <= SHOWN as u64 {
            self.shown.push(format!("{rule:?}: {}", words()));
        }
    }
}

/// Checks a history.
pub(super) fn check(records: &[Record]) -> Report {
    let mut report = Report::default();
    let model = Model::of(records);
    for record in records {
        check_record(&mut report, &model, record);
        explanations::check(&mut report, &model, record);
    }
    for item in model.items.values() {
        accepted_rightly(&mut report, &model, item);
    }
    for user in model.users() {
        let arrivals = model.arrivals(user);
        report.arrived += arrivals.len() as u64;
        received(&mut report, &model, user, &arrivals);
        order::check(&mut report, &model, user, &arrivals);
    }
    for (socket, at, what) in &model.unknown {
        report.violation(Rule::Unexpected, || {
            format!("socket {socket} at {at}: {what:?} is of no call")
        });
    }
    report
}

/// What a record says by itself.
fn check_record(report: &mut Report, model: &Model, record: &Record) {
    match record {
        Record::Send { outcome, .. } => match outcome {
            Outcome::Done => report.acknowledged += 1,
            Outcome::Refused => report.refused += 1,
            Outcome::Unknown => report.unknown += 1,
        },
        Record::Revoke { outcome: Outcome::Done, .. }
        | Record::Befriend { outcome: Outcome::Done, .. }
        | Record::Member { outcome: Outcome::Done, .. }
        | Record::Session { outcome: Outcome::Done, .. } => report.other_calls += 1,
        Record::Stale { user, at, accepted: true } => report.violation(Rule::Outlived, || {
            format!("user {user} at {at}: a token was accepted that had ended")
        }),
        Record::Open { .. } => report.sockets += 1,
        Record::Ended { how: End::Dropped, .. } => report.dropped += 1,
        Record::Ended { how: End::Vanished, .. } => report.vanished += 1,
        Record::Ended { socket, at, how: End::LoggedOut } => {
            report.violation(Rule::WronglyRefused, || {
                format!("socket {socket} was ended with a close frame at {at}: its client logs out")
            });
        }
        Record::Refusal { user, at, call, said } => {
            let words = || format!("user {user} at {at}: {call} was answered with {said}");
            report.violation(Rule::WronglyRefused, words);
        }
        Record::Fault { kind, .. } => *report.faults.entry(kind.clone()).or_default() += 1,
        Record::Stuck { at, what } => report.violation(Rule::Stuck, || format!("at {at}: {what}")),
        Record::Presence { user, at, online } => {
            let really = model.is_connected(*user, *at);
            if really != *online && !(*online && model.may_seem_connected(*user, *at)) {
                report.violation(Rule::Presence, || {
                    format!("user {user} at {at}: seen online {online}, but has a socket: {really}")
                });
            }
        }
        Record::Verified { clean: false, said } => {
            report.violation(Rule::ReadModels, || said.clone());
        }
        _ => {}
    }
}

/// In a group who is in it may write, and nobody else; to each other all may.
fn accepted_rightly(report: &mut Report, model: &Model, item: &Item) {
    let may = model.may_write(item);
    let wrong = match item.outcome {
        Outcome::Refused => may == Entitled::Yes,
        Outcome::Done => may == Entitled::No,
        Outcome::Unknown => false,
    };
    if wrong && item.kind != Kind::Friends {
        report.violation(Rule::WronglyRefused, || {
            format!(
                "{item} was {}",
                if item.outcome == Outcome::Done { "accepted" } else { "refused" }
            )
        });
    }
}

/// What one user got, and did not get.
fn received(report: &mut Report, model: &Model, user: u32, arrivals: &[Arrival]) {
    let mut of_item: BTreeMap<u64, Vec<&Arrival>> = BTreeMap::new();
    for arrival in arrivals {
        of_item.entry(arrival.item).or_default().push(arrival);
    }
    for (n, times) in &of_item {
        let item = &model.items[n];
        let first = times[0];
        if item.outcome == Outcome::Refused || model.entitled(item, user) == Entitled::No {
            report.violation(Rule::Unexpected, || format!("user {user} got {item}: {first}"));
        }
        came_again(report, model, (user, item), times);
    }
    for item in model.due(user) {
        report.due += 1;
        let rule = if item.kind == Kind::Revoke { Rule::Revoked } else { Rule::Lost };
        match of_item.get(&item.n) {
            None => report.violation(rule, || format!("user {user} never got {item}")),
            Some(times) => {
                if let Some(quiet) = model.quiet
                    && model.had_drained(user, quiet)
                    && times.iter().all(|arrival| arrival.at > quiet)
                {
                    report.violation(Rule::HeldBack, || {
                        format!("user {user} got {item} only over a new socket: {}", times[0])
                    });
                }
            }
        }
    }
}

/// Once over one socket; over another only if the delivery over the first could not be reported before it ended.
fn came_again(report: &mut Report, model: &Model, (user, item): (u32, &Item), times: &[&Arrival]) {
    if times.len() == 1 {
        return;
    }
    let mut sockets: Vec<u32> = times.iter().map(|arrival| arrival.socket).collect();
    sockets.sort_unstable();
    sockets.dedup();
    let reported = times.iter().filter(|arrival| !model.is_near_fault(arrival, UNREPORTED)).count();
    if sockets.len() < times.len() || reported > 1 {
        let all = || times.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        report.violation(Rule::Doubled, || format!("user {user} got {item}: {}", all()));
    } else {
        report.repeated += times.len() as u64 - 1;
    }
}
