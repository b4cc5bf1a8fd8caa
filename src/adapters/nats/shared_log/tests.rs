//! What the shared end of the log finds for its subscribers, whom it wakes, and what it forgets.

use super::*;
use crate::adapters::nats::reader::Unreadable;

fn event(position: u64, subject: &str, bytes: usize) -> Fetched {
    let source = Arc::new(crate::events::DecodeError::Subject(subject.to_owned()));
    let entry = Err(Unreadable { position: Position(position), source });
    Fetched { subject: subject.into(), bytes, entry }
}

fn recent(events: Vec<Fetched>) -> Recent {
    let mut recent = Recent { after: Some(Position(10)), end: Position(10), ..Recent::default() };
    recent.take(events);
    recent
}

fn found(recent: &Recent, subjects: &[&str], next: u64, most: usize) -> (Vec<u64>, u64) {
    let (found, next) = recent.find(subjects, Position(next), most);
    (found.iter().map(|event| position_of(&event.entry).0).collect(), next.0)
}

#[test]
fn a_follower_finds_his_subjects_and_goes_on_behind_what_he_has_seen() {
    let recent = recent(vec![
        event(11, "evt.user.1", 1),
        event(12, "evt.chat.1.2.1", 1),
        event(15, "evt.user.2", 1),
        event(16, "evt.chat.1.2.2", 1),
    ]);
    assert_eq!(found(&recent, &["evt.user.>"], 11, 9), (vec![11, 15], 17));
    assert_eq!(found(&recent, &["evt.user.>"], 11, 1), (vec![11], 12));
    assert_eq!(found(&recent, &["evt.user.>", "evt.chat.>"], 12, 2), (vec![12, 15], 16));
    assert_eq!(found(&recent, &["evt.group.>"], 13, 9), (vec![], 17));
    assert_eq!(found(&recent, &["evt.user.>"], 20, 9), (vec![], 20), "they are ahead of the tail");
}

#[test]
fn only_what_concerns_one_who_waits_wakes_it() {
    let mut recent = recent(Vec::new());
    let wait = |recent: &mut Recent, number, goal| {
        let (subjects, arrived): (&[&str], _) = (&["evt.user.>"], Arc::default());
        let (clear_to, is_notified) = (recent.end, false);
        let waiting = Waiting { subjects, goal, clear_to, arrived, is_notified };
        recent.waiting.insert(number, waiting);
    };
    wait(&mut recent, 1, None);
    wait(&mut recent, 2, Some(Position(13)));
    let state = |recent: &Recent, number| {
        let waiting = &recent.waiting[&number];
        (waiting.is_notified, waiting.clear_to.0)
    };
    recent.take(vec![event(12, "evt.chat.1.2.1", 1)]);
    assert_eq!((state(&recent, 1), state(&recent, 2)), ((false, 12), (false, 12)));
    recent.take(vec![event(13, "evt.chat.1.2.1", 1)]);
    assert_eq!((state(&recent, 1), state(&recent, 2)), ((false, 13), (true, 12)));
    recent.take(vec![event(14, "evt.chat.1.2.1", 1), event(15, "evt.user.1", 1)]);
    assert_eq!(state(&recent, 1), (true, 13), "what is in the batch it has yet to find");
    recent.take(vec![event(16, "evt.chat.1.2.1", 1)]);
    assert_eq!(state(&recent, 1), (true, 13));
}

#[test]
fn a_batch_ends_once_it_is_large() {
    let half = BATCH_BYTES / 2 + 1;
    let sizes = [half, half, 1, 2 * BATCH_BYTES, 1];
    let recent =
        recent((11..).zip(sizes).map(|(at, size)| event(at, "evt.user.1", size)).collect());
    assert_eq!(found(&recent, &["evt.user.>"], 11, 9), (vec![11, 12], 13));
    assert_eq!(found(&recent, &["evt.user.>"], 13, 9), (vec![13, 14], 15));
    assert_eq!(found(&recent, &["evt.user.>"], 14, 9), (vec![14], 15), "one at least");
    assert_eq!(found(&recent, &["evt.user.>"], 15, 9), (vec![15], 16));
}

#[test]
fn what_does_not_fit_is_forgotten_oldest_first_and_known_to_be() {
    let mut recent = recent(vec![event(11, "evt.user.1", MOST_BYTES), event(14, "evt.user.1", 1)]);
    assert!(!recent.has(Position(11)) && recent.has(Position(12)));
    recent.take((15..).take(MOST).map(|at| event(at, "evt.user.1", 1)).collect());
    assert_eq!(recent.events.len(), MOST);
    assert!(!recent.has(Position(14)) && recent.has(Position(15)));
}

#[test]
fn who_lags_does_not_get_what_was_forgotten() {
    let mut recent = recent(vec![event(11, "evt.user.1", 1), event(14, "evt.user.1", 1)]);
    recent.forget();
    assert!(!recent.has(Position(14)) && recent.has(Position(15)));
    recent.take(vec![event(15, "evt.user.1", 1)]);
    assert_eq!(found(&recent, &["evt.user.>"], 15, 9), (vec![15], 16));
}
