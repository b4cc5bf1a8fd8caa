//! Was every promise kept? Judged by what clients did and saw, and by nothing else (ws.md §7, rest.md §21, §36, §41).

mod model;
mod order;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::Serialize;

use self::model::{Arrival, Entitled, Facts, Item, Kind};
use super::history::{End, Fate, Record, Time};

/// A promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Rule {
    /// What was accepted reaches everybody who was entitled to it (ws.md §7.2).
    Lost,
    /// … and does so while he is online and has asked for what waits (rest.md §21), not only when he comes again.
    HeldBack,
    /// Nothing comes twice (ws.md §7.4).
    Doubled,
    /// What one sender says in one chat comes in the order in which he said it, but for §7.6.
    OutOfOrder,
    /// Nothing comes that was never sent, was refused, or was not for this user.
    Unexpected,
    /// A message that was taken back does not come after the word of that, which comes as any message (rest.md §36).
    Revoked,
    /// Who is online is so for everybody, 15 s after the last change that the server could notice.
    Presence,
    /// The read models are what the log says.
    ReadModels,
    /// Nobody is refused what he may do, admitted to what he may not, or logged out (§7.7).
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
const UNTOLD: Time = 3_000_000;

/// What a history has shown.
#[derive(Debug, Default, Serialize)]
pub(super) struct Verdict {
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
    /// Faults, by kind.
    pub(super) faults: BTreeMap<String, u64>,
    /// How often each promise was broken.
    pub(super) violations: BTreeMap<Rule, u64>,
    /// Some of them, in words.
    pub(super) shown: Vec<String>,
}

impl Verdict {
    /// Was something acknowledged, and was every promise kept?
    pub(super) fn is_good(&self) -> bool {
        self.acknowledged > 0 && self.violations.is_empty()
    }

    fn blame(&mut self, rule: Rule, words: impl FnOnce() -> String) {
        let count = self.violations.entry(rule).or_default();
        *count += 1;
        if *count <= SHOWN as u64 {
            self.shown.push(format!("{rule:?}: {}", words()));
        }
    }
}

/// Judges a history.
pub(super) fn judge(records: &[Record]) -> Verdict {
    let mut verdict = Verdict::default();
    let facts = Facts::of(records);
    for record in records {
        take(&mut verdict, &facts, record);
    }
    for item in facts.items.values() {
        accepted_rightly(&mut verdict, &facts, item);
    }
    for user in facts.users() {
        let arrivals = facts.arrivals(user);
        verdict.arrived += arrivals.len() as u64;
        received(&mut verdict, &facts, user, &arrivals);
        order::judge(&mut verdict, &facts, user, &arrivals);
    }
    for (socket, at, what) in &facts.unknown {
        verdict
            .blame(Rule::Unexpected, || format!("socket {socket} at {at}: {what:?} is of no call"));
    }
    verdict
}

/// What a record says by itself.
fn take(verdict: &mut Verdict, facts: &Facts, record: &Record) {
    match record {
        Record::Send { fate, .. } => match fate {
            Fate::Done => verdict.acknowledged += 1,
            Fate::Refused => verdict.refused += 1,
            Fate::Unknown => verdict.unknown += 1,
        },
        Record::Revoke { fate: Fate::Done, .. }
        | Record::Befriend { fate: Fate::Done, .. }
        | Record::Member { fate: Fate::Done, .. }
        | Record::Session { fate: Fate::Done, .. } => verdict.other_calls += 1,
        Record::Stale { user, at, accepted: true } => verdict.blame(Rule::Outlived, || {
            format!("user {user} at {at}: a token was accepted that had ended")
        }),
        Record::Open { .. } => verdict.sockets += 1,
        Record::Ended { how: End::Dropped, .. } => verdict.dropped += 1,
        Record::Ended { how: End::Vanished, .. } => verdict.vanished += 1,
        Record::Ended { socket, at, how: End::LoggedOut } => {
            verdict.blame(Rule::WronglyRefused, || {
                format!("socket {socket} was ended with a close frame at {at}: its client logs out")
            });
        }
        Record::Refusal { user, at, call, said } => {
            let words = || format!("user {user} at {at}: {call} was answered with {said}");
            verdict.blame(Rule::WronglyRefused, words);
        }
        Record::Fault { kind, .. } => *verdict.faults.entry(kind.clone()).or_default() += 1,
        Record::Stuck { at, what } => verdict.blame(Rule::Stuck, || format!("at {at}: {what}")),
        Record::Presence { user, at, online } => {
            let really = facts.is_connected(*user, *at);
            if really != *online && !(*online && facts.lingers(*user, *at)) {
                verdict.blame(Rule::Presence, || {
                    format!("user {user} at {at}: seen online {online}, but has a socket: {really}")
                });
            }
        }
        Record::Verified { clean: false, said } => {
            verdict.blame(Rule::ReadModels, || said.clone());
        }
        _ => {}
    }
}

/// In a group who is in it may write, and nobody else; to each other all may.
fn accepted_rightly(verdict: &mut Verdict, facts: &Facts, item: &Item) {
    let may = facts.may_write(item);
    let wrong = match item.fate {
        Fate::Refused => may == Entitled::Yes,
        Fate::Done => may == Entitled::No,
        Fate::Unknown => false,
    };
    if wrong && item.kind != Kind::Friends {
        verdict.blame(Rule::WronglyRefused, || {
            format!("{item} was {}", if item.fate == Fate::Done { "accepted" } else { "refused" })
        });
    }
}

/// What one user got, and did not get.
fn received(verdict: &mut Verdict, facts: &Facts, user: u32, arrivals: &[Arrival]) {
    let mut of_item: BTreeMap<u64, Vec<&Arrival>> = BTreeMap::new();
    for arrival in arrivals {
        of_item.entry(arrival.item).or_default().push(arrival);
    }
    for (n, times) in &of_item {
        let item = &facts.items[n];
        let first = times[0];
        if item.fate == Fate::Refused || facts.entitled(item, user) == Entitled::No {
            verdict.blame(Rule::Unexpected, || format!("user {user} got {item}: {first}"));
        }
        came_again(verdict, facts, (user, item), times);
    }
    for item in facts.due(user) {
        verdict.due += 1;
        let rule = if item.kind == Kind::Revoke { Rule::Revoked } else { Rule::Lost };
        match of_item.get(&item.n) {
            None => verdict.blame(rule, || format!("user {user} never got {item}")),
            Some(times) => {
                if let Some(quiet) = facts.quiet
                    && facts.waited(user, quiet)
                    && times.iter().all(|arrival| arrival.at > quiet)
                {
                    verdict.blame(Rule::HeldBack, || {
                        format!("user {user} got {item} only when he came again: {}", times[0])
                    });
                }
            }
        }
    }
}

/// Once over one socket; over another only if the delivery over the first could not be told before it ended.
fn came_again(
    verdict: &mut Verdict,
    facts: &Facts,
    (user, item): (u32, &Item),
    times: &[&Arrival],
) {
    if times.len() == 1 {
        return;
    }
    let mut sockets: Vec<u32> = times.iter().map(|arrival| arrival.socket).collect();
    sockets.sort_unstable();
    sockets.dedup();
    let told = times.iter().filter(|arrival| !facts.is_troubled(arrival, UNTOLD)).count();
    if sockets.len() < times.len() || told > 1 {
        let all = || times.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        verdict.blame(Rule::Doubled, || format!("user {user} got {item}: {}", all()));
    } else {
        verdict.repeated += times.len() as u64 - 1;
    }
}
