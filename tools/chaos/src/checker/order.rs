//! The order of messages: what one sender says in one chat comes in the order in which they said it.

use std::collections::{BTreeMap, HashMap};

use super::{
    Report, Rule,
    model::{Arrival, Item, Kind, Model, Socket},
};
use crate::history::{Outcome, To};

/// A sender and a chat.
type Conversation = (u32, To);
/// A socket, its number, and what it brought of one conversation.
type Brought<'a> = (&'a Socket, u32, &'a [u64]);

/// Judges what came to one user.
pub(super) fn check(report: &mut Report, model: &Model, user: u32, arrivals: &[Arrival]) {
    let mut over: BTreeMap<u32, BTreeMap<Conversation, Vec<u64>>> = BTreeMap::new();
    for arrival in arrivals {
        let item = &model.items[&arrival.item];
        if item.outcome == Outcome::Done && !item.loose {
            let conversations = over.entry(arrival.socket).or_default();
            conversations.entry((item.by, item.to)).or_default().push(item.n);
        }
    }
    for (socket, conversations) in &over {
        for ((by, to), numbers) in conversations {
            let opened = &model.sockets[socket];
            if let Some((earlier, later)) = swapped(model, opened, numbers) {
                let (earlier, later) = (&model.items[&earlier], &model.items[&later]);
                report.violation(rule_broken_by(earlier, later), || {
                    format!("user {user} got over socket {socket} {later} before {earlier} ({by}, {to:?})")
                });
            }
        }
    }
    across(report, model, user, &over);
}

/// A message that comes after its revocation is worse than two that are swapped.
fn rule_broken_by(earlier: &Item, later: &Item) -> Rule {
    let revoked = earlier.kind == Kind::Message && later.kind == Kind::Revoke;
    if revoked { Rule::Revoked } else { Rule::OutOfOrder }
}

/// Those accepted before the socket opened come with the drain, and live ones may precede them (ws.md §7.6): so a number
/// parts two rising sequences. What was sent after the welcome is live, what was answered before the socket was asked
/// for waits. Answers with two that no such number explains.
fn swapped(model: &Model, socket: &Socket, numbers: &[u64]) -> Option<(u64, u64)> {
    let falls = |pair: &&[u64]| pair[0] > pair[1];
    let first = numbers.windows(2).find(falls)?;
    let offending = Some((first[1], first[0]));
    let waits = numbers.iter().filter(|n| model.items[n].end < socket.begin).max();
    let live = numbers.iter().filter(|n| model.items[n].begin > socket.open).min();
    // The last that waited is the smaller part of every fall.
    let lowest = numbers.windows(2).filter(falls).map(|pair| pair[1]).max()?;
    let lowest = waits.map_or(lowest, |waits| lowest.max(*waits));
    let highest = numbers.windows(2).filter(falls).map(|pair| pair[0]).min()?;
    let highest = live.map_or(highest, |live| highest.min(*live));
    let rises = |part: &dyn Fn(u64) -> bool| numbers.iter().filter(|n| part(**n)).is_sorted();
    let mut candidates = numbers.iter().filter(|n| (lowest..highest).contains(*n));
    let explained =
        candidates.any(|last| rises(&|number| number <= *last) && rises(&|number| number > *last));
    if explained { None } else { offending }
}

/// What was sent after a socket's welcome comes over it without holes: if a later one came, no earlier one waits for
/// another socket.
fn across(
    report: &mut Report,
    model: &Model,
    user: u32,
    over: &BTreeMap<u32, BTreeMap<Conversation, Vec<u64>>>,
) {
    let mut conversations: HashMap<Conversation, Vec<Brought<'_>>> = HashMap::new();
    for (number, of_socket) in over {
        for (conversation, numbers) in of_socket {
            let socket = &model.sockets[number];
            conversations.entry(*conversation).or_default().push((socket, *number, numbers));
        }
    }
    for sockets in conversations.values_mut() {
        sockets.sort_by_key(|(socket, ..)| socket.open);
        // The highest number that came over this socket or one opened before it.
        let mut highest: Vec<u64> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for (index, (socket, number, numbers)) in sockets.iter().enumerate() {
            for n in *numbers {
                let item = &model.items[n];
                let before = item.begin.min(socket.begin);
                let older = sockets[..index].partition_point(|(older, ..)| older.open < before);
                let overtaken = older.checked_sub(1).map(|last| highest[last]);
                if seen.insert(*n)
                    && let Some(later) = overtaken.filter(|later| later > n)
                {
                    let later = &model.items[&later];
                    report.violation(rule_broken_by(item, later), || {
                        format!("user {user} got {item} over socket {number}, after {later} over an older one")
                    });
                }
            }
            let own = numbers.iter().copied().max().unwrap_or_default();
            highest.push(highest.last().map_or(own, |last| own.max(*last)));
        }
    }
}
