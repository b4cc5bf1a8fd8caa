//! What a socket writes, looks for, and passes over.

use super::*;

const US: UserId = UserId(1);
const GROUP: GroupId = GroupId(33);
/// Where the socket opened.
const OPENED: u64 = 100;

fn opened_at(number: u64) -> Inflow {
    let mut inflow = Inflow::new(US, ConnectionId(uuid::Uuid::nil()));
    inflow.open(Opened { number, position: Position(OPENED) }, Position(OPENED));
    inflow.behind = false;
    inflow
}

fn with_lane(missing: &str) -> Inflow {
    let mut inflow = opened_at(5);
    inflow.attach(GROUP, missing.parse().expect("stretches"), None);
    inflow.behind = false;
    inflow
}

fn said(position: u64, after: u64) -> SaidPush {
    let (group, position) = (GROUP, Position(position));
    SaidPush { group, position, after, author: None, ruled: Position(0) }
}

fn in_timeline(position: u64, after: u64) -> Place {
    Place::Timeline { group: GROUP, position, after }
}

fn queued(number: u64, position: u64) -> Queued {
    Queued { number, position, content: Content::Object(format!("queued {number}")) }
}

fn entry(position: u64, after: u64) -> Said {
    Said { position, after, author: None, object: format!("said {position}") }
}

/// All of a place.
fn whole<T>(entries: Vec<T>) -> Part<T> {
    Part { entries, up_to: ENDLESS, evicted: None }
}

fn seen(lane: &str, queue: Vec<Queued>, timelines: Vec<Vec<Said>>) -> Seen {
    let lanes = vec![(GROUP, lane.parse().expect("stretches"))];
    let (queue, timelines) = (whole(queue), timelines.into_iter().map(whole).collect());
    Seen { at: Position(1000), is_receiving: true, lanes, queue, timelines }
}

fn places(found: Option<Found>) -> Vec<Place> {
    match found {
        Some(Found::Items(items)) => items.into_iter().map(|item| item.place).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn live_frames_are_those_after_the_socket_opened_once_and_in_order() {
    let mut inflow = opened_at(5);
    assert_eq!(inflow.arrive(5, false), Arrival::Ignore);
    assert_eq!(inflow.arrive(6, false), Arrival::Write);
    inflow.written(Place::Queue(6));
    assert_eq!(inflow.arrive(6, false), Arrival::Ignore);
    assert_eq!(inflow.arrive(8, false), Arrival::Look);
    assert_eq!(inflow.arrive(7, false), Arrival::Look, "until the queue has been read");
}

#[test]
fn only_who_is_behind_a_watermark_looks() {
    let mut inflow = opened_at(5);
    inflow.pushed(5);
    assert!(!inflow.wants_reading(), "it opened after that");
    inflow.written(Place::Queue(6));
    inflow.pushed(6);
    assert!(!inflow.wants_reading(), "it was written");
    inflow.pushed(7);
    assert!(inflow.wants_reading());

    let mut inflow = with_lane("90-");
    inflow.said_before(GROUP, Position(95));
    inflow.said_before(GroupId(34), Position(120));
    assert!(!inflow.wants_reading(), "it waits for a drain, or is said where it does not listen");
    inflow.written(in_timeline(120, 95));
    inflow.said_before(GROUP, Position(120));
    assert!(!inflow.wants_reading(), "it was written");
    inflow.said_before(GROUP, Position(130));
    assert!(inflow.wants_reading());
}

#[test]
fn a_bare_push_makes_the_socket_look() {
    let mut inflow = opened_at(5);
    assert_eq!(inflow.arrive(6, true), Arrival::Look);
    assert!(inflow.wants_reading());
    let mut inflow = with_lane("90-");
    assert_eq!(inflow.hear(&said(120, 95), true), Arrival::Look);
    assert!(inflow.wants_reading());
}

#[test]
fn nothing_flows_before_the_queue_knows_the_socket_nor_after_it_was_superseded() {
    let mut inflow = Inflow::new(US, ConnectionId(uuid::Uuid::nil()));
    inflow.drain();
    assert_eq!(inflow.arrive(1, false), Arrival::Ignore);
    assert!(!inflow.wants_reading());
    inflow.open(Opened { number: 3, position: Position(9) }, Position(9));
    assert!(inflow.wants_reading());
    inflow.stop();
    assert!(!inflow.wants_reading());
    assert_eq!(inflow.arrive(4, false), Arrival::Ignore);
    assert_eq!(inflow.hear(&said(120, 0), false), Arrival::Ignore);
}

#[test]
fn what_is_said_comes_once_and_in_order() {
    let mut inflow = with_lane("90-");
    assert_eq!(inflow.hear(&said(95, 0), false), Arrival::Ignore, "it waits for a drain");
    assert_eq!(inflow.hear(&said(120, 95), false), Arrival::Write);
    inflow.written(in_timeline(120, 95));
    assert_eq!(inflow.hear(&said(120, 95), false), Arrival::Ignore);
    assert_eq!(inflow.hear(&said(140, 130), false), Arrival::Look, "130 is missing");
    assert_eq!(inflow.hear(&said(130, 120), false), Arrival::Look, "until it has looked");
}

/// Under traffic there is always something new: a look that finds nothing would never come.
#[test]
fn who_has_seen_all_that_is_there_hears_what_comes_next() {
    let mut inflow = with_lane("90-");
    inflow.resync();
    let wanted = inflow.wanted(Side::Live).expect("it is open");
    let found = inflow.take(Side::Live, &wanted, seen("90-", vec![], vec![vec![entry(120, 95)]]));
    assert_eq!(places(found), [in_timeline(120, 95)]);
    inflow.written(in_timeline(120, 95));
    assert!(!inflow.wants_reading());
    assert_eq!(inflow.hear(&said(130, 120), false), Arrival::Write);
    inflow.written(in_timeline(130, 120));

    inflow.resync();
    let wanted = inflow.wanted(Side::Live).expect("it is open");
    let mut page = seen("90-", vec![queued(6, 150)], vec![vec![]]);
    page.queue.up_to = 150;
    assert_eq!(places(inflow.take(Side::Live, &wanted, page)), [Place::Queue(6)]);
    inflow.written(Place::Queue(6));
    assert!(inflow.wants_reading(), "there may be more than was read at once");
}

#[test]
fn who_has_left_hears_no_more() {
    let mut inflow = with_lane("90-");
    inflow.leave(GROUP, Position(125));
    assert_eq!(inflow.hear(&said(120, 95), false), Arrival::Write);
    assert_eq!(inflow.hear(&said(130, 120), false), Arrival::Ignore);
    // A look at a time before he left does not bring him back; a later one may.
    let wanted = inflow.wanted(Side::Live).expect("it is open");
    let mut past = seen("90-", vec![], vec![vec![]]);
    past.at = Position(124);
    inflow.take(Side::Live, &wanted, past);
    assert_eq!(inflow.hear(&said(130, 120), false), Arrival::Ignore);
    inflow.take(Side::Live, &wanted, seen("90-125 150-", vec![], vec![vec![]]));
    assert_eq!(inflow.hear(&said(151, 150), false), Arrival::Look);
}

#[test]
fn what_was_said_before_a_leave_is_not_passed_over_by_a_look_into_the_past() {
    let mut inflow = with_lane("90-");
    inflow.leave(GROUP, Position(125));
    let wanted = inflow.wanted(Side::Live).expect("it is open");
    let mut past = seen("90-", vec![], vec![vec![]]);
    past.at = Position(110);
    assert_eq!(places(inflow.take(Side::Live, &wanted, past.clone())), []);
    past.at = Position(124);
    let found = inflow.take(
        Side::Live,
        &wanted,
        Seen { timelines: vec![whole(vec![entry(120, 95)])], ..past },
    );
    assert_eq!(places(found), [in_timeline(120, 95)]);
}

#[test]
fn one_s_own_messages_are_passed_over() {
    let mut inflow = with_lane("90-");
    let own = SaidPush { author: Some(US), ..said(120, 95) };
    assert_eq!(inflow.hear(&own, false), Arrival::Own);
}

#[test]
fn events_that_may_have_been_missed_make_it_look_first() {
    let mut inflow = with_lane("90-");
    inflow.doubt(Position(118));
    inflow.behind = false; // it has looked, but before that
    assert_eq!(inflow.hear(&said(120, 95), false), Arrival::Look);
    let wanted = inflow.wanted(Side::Live).expect("it is open");
    inflow.take(Side::Live, &wanted, seen("90-", vec![], vec![vec![]]));
    inflow.behind = false;
    assert_eq!(inflow.hear(&said(120, 95), false), Arrival::Write);
}

#[test]
fn places_are_merged_in_the_order_of_the_log() {
    let mut inflow = with_lane("90-");
    let wanted = inflow.wanted(Side::Live).expect("it is open");
    assert_eq!((wanted.queue, &*wanted.timelines), ((6, ENDLESS), &[(GROUP, (101, ENDLESS))][..]));
    let queue = vec![queued(6, 110), queued(7, 130)];
    let timeline = vec![entry(105, 95), entry(120, 105)];
    let found = inflow.take(Side::Live, &wanted, seen("90-", queue, vec![timeline]));
    let expected = [in_timeline(105, 95), Place::Queue(6), in_timeline(120, 105), Place::Queue(7)];
    assert_eq!(places(found), expected);
    let wanted = inflow.wanted(Side::Drain).expect("it is open");
    assert_eq!((wanted.queue, &*wanted.timelines), ((1, 5), &[(GROUP, (90, 100))][..]));
}

#[test]
fn nothing_is_written_beyond_what_every_place_has_shown() {
    let mut inflow = with_lane("90-");
    let wanted = inflow.wanted(Side::Live).expect("it is open");
    let queue = vec![queued(6, 110), queued(7, 115)];
    let mut there = seen("90-", queue, vec![vec![entry(120, 95)]]);
    there.queue.up_to = 115; // there may be more
    let found = inflow.take(Side::Live, &wanted, there);
    assert_eq!(places(found), [Place::Queue(6), Place::Queue(7)]);
    // A stretch that he has lies between this one and the next.
    let mut inflow = with_lane("101-110 120-");
    let wanted = inflow.wanted(Side::Live).expect("it is open");
    let (queue, timeline) = (vec![queued(6, 115)], vec![entry(105, 95)]);
    let found = inflow.take(Side::Live, &wanted, seen("101-110 120-", queue, vec![timeline]));
    assert_eq!(places(found), [in_timeline(105, 95)]);
    inflow.written(in_timeline(105, 95));
    // The rest of it holds nothing.
    let wanted = inflow.wanted(Side::Live).expect("it is open");
    let found = inflow.take(Side::Live, &wanted, seen("101-110 120-", vec![], vec![vec![]]));
    assert_eq!(places(found), [in_timeline(110, 105)]);
}

#[test]
fn a_stretch_that_a_timeline_has_forgotten_is_passed_over_if_nothing_was_said_there() {
    let mut inflow = with_lane("90-");
    let wanted = inflow.wanted(Side::Live).expect("it is open");
    let mut there = seen("90-", vec![queued(6, 130)], vec![vec![]]);
    there.timelines[0].up_to = 120; // from there on it is looked for again
    let found = inflow.take(Side::Live, &wanted, there);
    assert_eq!(places(found), [in_timeline(120, 100)]);
    inflow.written(in_timeline(120, 100));
    let wanted = inflow.wanted(Side::Live).expect("it is open");
    assert_eq!((wanted.queue, &*wanted.timelines), ((6, ENDLESS), &[(GROUP, (121, ENDLESS))][..]));
}

#[test]
fn what_was_written_is_not_missing_though_the_queue_does_not_know_yet() {
    let mut inflow = with_lane("90-");
    inflow.written(in_timeline(120, 95));
    let wanted = inflow.wanted(Side::Live).expect("it is open");
    assert_eq!(
        inflow.take(Side::Live, &wanted, seen("90-", vec![], vec![vec![]])),
        Some(Found::Items(vec![]))
    );
    assert_eq!(inflow.hear(&said(120, 95), false), Arrival::Ignore);
    assert_eq!(inflow.hear(&said(130, 120), false), Arrival::Write);
}

#[test]
fn what_was_written_does_not_come_back_when_queues_are_built_anew() {
    // The lane is gone, for all was received and reported; so is what the socket knows of it.
    let mut inflow = with_lane("90-");
    inflow.leave(GROUP, Position(125));
    inflow.written(in_timeline(120, 95));
    let wanted = inflow.wanted(Side::Live).expect("it is open");
    let nothing = Seen { lanes: vec![], ..seen("", vec![], vec![]) };
    inflow.take(Side::Live, &wanted, Seen { at: Position(130), ..nothing });
    // Redis begins anew, and has not yet read the report.
    let wanted = inflow.wanted(Side::Live).expect("it is open");
    let again = Seen { at: Position(122), ..seen("90-", vec![], vec![]) };
    assert_eq!(inflow.take(Side::Live, &wanted, again), Some(Found::TooEarly));
    // Neither does it after a push that no look has seen.
    let mut inflow = with_lane("90-");
    inflow.written(in_timeline(120, 95));
    let wanted = inflow.wanted(Side::Live).expect("it is open");
    let before_he_joined = Seen { at: Position(110), lanes: vec![], ..seen("", vec![], vec![]) };
    assert_eq!(inflow.take(Side::Live, &wanted, before_he_joined), Some(Found::TooEarly));
}

#[test]
fn a_queue_that_is_built_anew_is_waited_for() {
    let mut inflow = opened_at(5);
    let wanted = inflow.wanted(Side::Live).expect("it is open");
    let nothing = Seen {
        at: Position(OPENED - 1),
        is_receiving: false,
        lanes: vec![],
        queue: whole(vec![]),
        timelines: vec![],
    };
    assert_eq!(inflow.take(Side::Live, &wanted, nothing.clone()), Some(Found::TooEarly));
    let later = Seen { at: Position(OPENED), ..nothing };
    assert_eq!(inflow.take(Side::Live, &wanted, later), Some(Found::Superseded));
}
