//! What one sender says in one chat comes in the order in which he said it.

use std::collections::{BTreeMap, HashMap};

use super::{
    Rule, Verdict,
    model::{Arrival, Facts, Item, Kind, Socket},
};
use crate::history::{Fate, To};

/// A sender and a chat.
type Strand = (u32, To);
/// A socket, its number, and what it brought of one strand.
type Brought<'a> = (&'a Socket, u32, &'a [u64]);

/// Judges what came to one user.
pub(super) fn judge(verdict: &mut Verdict, facts: &Facts, user: u32, arrivals: &[Arrival]) {
    let mut over: BTreeMap<u32, BTreeMap<Strand, Vec<u64>>> = BTreeMap::new();
    for arrival in arrivals {
        let item = &facts.items[&arrival.item];
        if item.fate == Fate::Done && !item.loose {
            let strands = over.entry(arrival.socket).or_default();
            strands.entry((item.by, item.to)).or_default().push(item.n);
        }
    }
    for (socket, strands) in &over {
        for ((by, to), numbers) in strands {
            let opened = &facts.sockets[socket];
            if let Some((earlier, later)) = swapped(facts, opened, numbers) {
                let (earlier, later) = (&facts.items[&earlier], &facts.items[&later]);
                verdict.blame(blamed(earlier, later), || {
                    format!("user {user} got over socket {socket} {later} before {earlier} ({by}, {to:?})")
                });
            }
        }
    }
    across(verdict, facts, user, &over);
}

/// A message that comes after the word that it was taken back is worse than two that are swapped.
fn blamed(earlier: &Item, later: &Item) -> Rule {
    let revoked = earlier.kind == Kind::Message && later.kind == Kind::Revoke;
    if revoked { Rule::Revoked } else { Rule::OutOfOrder }
}

/// Those accepted before the socket opened come with the drain, and live ones may precede them (ws.md §7.6): so a number
/// parts two rising sequences. What was sent after the welcome is live, what was answered before the socket was asked
/// for waits. Answers with two that no such number explains.
fn swapped(facts: &Facts, socket: &Socket, numbers: &[u64]) -> Option<(u64, u64)> {
    let falls = |pair: &&[u64]| pair[0] > pair[1];
    let first = numbers.windows(2).find(falls)?;
    let offending = Some((first[1], first[0]));
    let waits = numbers.iter().filter(|n| facts.items[n].end < socket.begin).max();
    let live = numbers.iter().filter(|n| facts.items[n].begin > socket.open).min();
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
    verdict: &mut Verdict,
    facts: &Facts,
    user: u32,
    over: &BTreeMap<u32, BTreeMap<Strand, Vec<u64>>>,
) {
    let mut strands: HashMap<Strand, Vec<Brought<'_>>> = HashMap::new();
    for (number, of_socket) in over {
        for (strand, numbers) in of_socket {
            let socket = &facts.sockets[number];
            strands.entry(*strand).or_default().push((socket, *number, numbers));
        }
    }
    for sockets in strands.values_mut() {
        sockets.sort_by_key(|(socket, ..)| socket.open);
        // The highest number that came over this socket or one opened before it.
        let mut highest: Vec<u64> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for (index, (socket, number, numbers)) in sockets.iter().enumerate() {
            for n in *numbers {
                let item = &facts.items[n];
                let before = item.begin.min(socket.begin);
                let older = sockets[..index].partition_point(|(older, ..)| older.open < before);
                let overtaken = older.checked_sub(1).map(|last| highest[last]);
                if seen.insert(*n)
                    && let Some(later) = overtaken.filter(|later| later > n)
                {
                    let later = &facts.items[&later];
                    verdict.blame(blamed(item, later), || {
                        format!("user {user} got {item} over socket {number}, after {later} over an older one")
                    });
                }
            }
            let own = numbers.iter().copied().max().unwrap_or_default();
            highest.push(highest.last().map_or(own, |last| own.max(*last)));
        }
    }
}
