//! Specifications of what a connection writes, fetches, and passes over.

use super::*;

const US: UserId = UserId(1);
const GROUP: GroupId = GroupId(33);
/// Where the connection opened.
const OPENED: u64 = 100;

fn passed_barrier_at(number: u64, before: Remembered) -> DeliveryState {
    let who = (US, ConnectionId(uuid::Uuid::nil()));
    let start = ConnectionStart { number, position: Position(OPENED) };
    DeliveryState::new(who, start, Position(OPENED), before)
}

fn opened_at(number: u64) -> DeliveryState {
    let mut delivery = passed_barrier_at(number, Remembered::default());
    delivery.must_refetch = false;
    delivery
}

fn with_undelivered(missing: &str) -> DeliveryState {
    let mut delivery = opened_at(5);
    delivery.subscribe(GROUP, missing.parse().expect("ranges"), None);
    delivery.must_refetch = false;
    delivery
}

fn said(position: u64, after: u64) -> GroupPush {
    let (group, position) = (GROUP, Position(position));
    GroupPush { group, position, after, author: None, audience_version: Position(0) }
}

fn in_timeline(position: u64, after: u64) -> Place {
    Place::Timeline { group: GROUP, position, after }
}

fn in_queue(number: u64, position: u64) -> Place {
    Place::Queue { number, position: Position(position) }
}

fn queued(number: u64, position: u64) -> QueueEntry {
    QueueEntry { number, position, content: EntryContent::Object(format!("queued {number}")) }
}

fn entry(position: u64, after: u64) -> TimelineEntry {
    TimelineEntry { position, after, author: None, object: format!("said {position}") }
}

/// All of a place.
fn whole<T>(entries: Vec<T>) -> Part<T> {
    Part { entries, up_to: ENDLESS, evicted: None }
}

fn seen(
    group_delivery: &str,
    queue: Vec<QueueEntry>,
    timelines: Vec<Vec<TimelineEntry>>,
) -> FetchResult {
    let undelivered = vec![(GROUP, group_delivery.parse().expect("ranges"))];
    let (queue, timelines) = (whole(queue), timelines.into_iter().map(whole).collect());
    FetchResult { at: Position(1000), is_receiving: true, undelivered, queue, timelines }
}

fn places(found: Option<ReadOutcome>) -> Vec<Place> {
    match found {
        Some(ReadOutcome::Items(items)) => items.into_iter().map(|item| item.place).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn live_frames_are_those_after_the_socket_opened_once_and_in_order() {
    let mut delivery = opened_at(5);
    assert_eq!(delivery.on_queue_push(5, false), Decision::Drop);
    assert_eq!(delivery.on_queue_push(6, false), Decision::Deliver);
    delivery.written(in_queue(6, 110));
    assert_eq!(delivery.on_queue_push(6, false), Decision::Drop);
    assert_eq!(delivery.on_queue_push(8, false), Decision::Refetch);
    assert_eq!(
        delivery.on_queue_push(7, false),
        Decision::Refetch,
        "until the queue has been read"
    );
}

#[test]
fn only_who_is_behind_a_watermark_looks() {
    let mut delivery = opened_at(5);
    delivery.apply(&ConnectionCommand::QueueWatermark(5));
    assert!(!delivery.wants_reading(), "it opened after that");
    delivery.written(in_queue(6, 110));
    delivery.apply(&ConnectionCommand::QueueWatermark(6));
    assert!(!delivery.wants_reading(), "it was written");
    delivery.apply(&ConnectionCommand::QueueWatermark(7));
    assert!(delivery.wants_reading());

    let mut delivery = with_undelivered("90-");
    delivery.apply(&ConnectionCommand::TimelineWatermark(GROUP, Position(95)));
    delivery.apply(&ConnectionCommand::TimelineWatermark(GroupId(34), Position(120)));
    assert!(!delivery.wants_reading(), "it waits for a drain, or is said where it does not listen");
    delivery.written(in_timeline(120, 95));
    delivery.apply(&ConnectionCommand::TimelineWatermark(GROUP, Position(120)));
    assert!(!delivery.wants_reading(), "it was written");
    delivery.apply(&ConnectionCommand::TimelineWatermark(GROUP, Position(130)));
    assert!(delivery.wants_reading());
}

#[test]
fn a_bare_push_makes_the_socket_look() {
    let mut delivery = opened_at(5);
    assert_eq!(delivery.on_queue_push(6, true), Decision::Refetch);
    assert!(delivery.wants_reading());
    let mut delivery = with_undelivered("90-");
    assert_eq!(delivery.on_group_push(&said(120, 95), true), Decision::Refetch);
    assert!(delivery.wants_reading());
}

#[test]
fn what_is_said_comes_once_and_in_order() {
    let mut delivery = with_undelivered("90-");
    assert_eq!(delivery.on_group_push(&said(95, 0), false), Decision::Drop, "it waits for a drain");
    assert_eq!(delivery.on_group_push(&said(120, 95), false), Decision::Deliver);
    delivery.written(in_timeline(120, 95));
    assert_eq!(delivery.on_group_push(&said(120, 95), false), Decision::Drop);
    assert_eq!(delivery.on_group_push(&said(140, 130), false), Decision::Refetch, "130 is missing");
    assert_eq!(
        delivery.on_group_push(&said(130, 120), false),
        Decision::Refetch,
        "until it has looked"
    );
}

/// Under traffic there is always something new: a look that finds nothing would never come.
#[test]
fn who_has_seen_all_that_is_there_hears_what_comes_next() {
    let mut delivery = with_undelivered("90-");
    delivery.apply(&ConnectionCommand::Refetch);
    let wanted = delivery.wanted(Side::Live);
    let found =
        delivery.apply_fetch(Side::Live, &wanted, seen("90-", vec![], vec![vec![entry(120, 95)]]));
    assert_eq!(places(found), [in_timeline(120, 95)]);
    delivery.written(in_timeline(120, 95));
    assert!(!delivery.wants_reading());
    assert_eq!(delivery.on_group_push(&said(130, 120), false), Decision::Deliver);
    delivery.written(in_timeline(130, 120));

    delivery.apply(&ConnectionCommand::Refetch);
    let wanted = delivery.wanted(Side::Live);
    let mut page = seen("90-", vec![queued(6, 150)], vec![vec![]]);
    page.queue.up_to = 150;
    assert_eq!(places(delivery.apply_fetch(Side::Live, &wanted, page)), [in_queue(6, 150)]);
    delivery.written(in_queue(6, 150));
    assert!(delivery.wants_reading(), "there may be more than was read at once");
}

#[test]
fn who_has_left_hears_no_more() {
    let mut delivery = with_undelivered("90-");
    delivery.apply(&ConnectionCommand::LeftGroup(GROUP, Position(125)));
    assert_eq!(delivery.on_group_push(&said(120, 95), false), Decision::Deliver);
    assert_eq!(delivery.on_group_push(&said(130, 120), false), Decision::Drop);
    // A look at a time before they left does not bring them back; a later one may.
    let wanted = delivery.wanted(Side::Live);
    let mut past = seen("90-", vec![], vec![vec![]]);
    past.at = Position(124);
    delivery.apply_fetch(Side::Live, &wanted, past);
    assert_eq!(delivery.on_group_push(&said(130, 120), false), Decision::Drop);
    delivery.apply_fetch(Side::Live, &wanted, seen("90-125 150-", vec![], vec![vec![]]));
    assert_eq!(delivery.on_group_push(&said(151, 150), false), Decision::Refetch);
}

/// They may have come back by then.
#[test]
fn a_leave_from_before_what_was_read_changes_nothing() {
    let mut delivery = with_undelivered("90-");
    let wanted = delivery.wanted(Side::Live);
    delivery.apply_fetch(Side::Live, &wanted, seen("90-125 150-", vec![], vec![vec![]]));
    delivery.apply(&ConnectionCommand::LeftGroup(GROUP, Position(125)));
    assert_eq!(delivery.on_group_push(&said(151, 150), false), Decision::Refetch);
}

#[test]
fn what_was_said_before_a_leave_is_not_passed_over_by_a_look_into_the_past() {
    let mut delivery = with_undelivered("90-");
    delivery.apply(&ConnectionCommand::LeftGroup(GROUP, Position(125)));
    let wanted = delivery.wanted(Side::Live);
    let mut past = seen("90-", vec![], vec![vec![]]);
    past.at = Position(110);
    assert_eq!(places(delivery.apply_fetch(Side::Live, &wanted, past.clone())), []);
    past.at = Position(124);
    let found = delivery.apply_fetch(
        Side::Live,
        &wanted,
        FetchResult { timelines: vec![whole(vec![entry(120, 95)])], ..past },
    );
    assert_eq!(places(found), [in_timeline(120, 95)]);
}

#[test]
fn one_s_own_messages_are_passed_over() {
    let mut delivery = with_undelivered("90-");
    let own = GroupPush { author: Some(US), ..said(120, 95) };
    assert_eq!(delivery.on_group_push(&own, false), Decision::SkipOwn);
}

#[test]
fn events_that_may_have_been_missed_make_it_look_first() {
    let mut delivery = with_undelivered("90-");
    delivery.apply(&ConnectionCommand::EventsMissed(Position(118)));
    delivery.must_refetch = false; // it has looked, but before that
    assert_eq!(delivery.on_group_push(&said(120, 95), false), Decision::Refetch);
    let wanted = delivery.wanted(Side::Live);
    delivery.apply_fetch(Side::Live, &wanted, seen("90-", vec![], vec![vec![]]));
    delivery.must_refetch = false;
    assert_eq!(delivery.on_group_push(&said(120, 95), false), Decision::Deliver);
}

#[test]
fn places_are_merged_in_the_order_of_the_log() {
    let mut delivery = with_undelivered("90-");
    let wanted = delivery.wanted(Side::Live);
    assert_eq!((wanted.queue, &*wanted.timelines), ((6, ENDLESS), &[(GROUP, (101, ENDLESS))][..]));
    let queue = vec![queued(6, 110), queued(7, 130)];
    let timeline = vec![entry(105, 95), entry(120, 105)];
    let found = delivery.apply_fetch(Side::Live, &wanted, seen("90-", queue, vec![timeline]));
    let expected =
        [in_timeline(105, 95), in_queue(6, 110), in_timeline(120, 105), in_queue(7, 130)];
    assert_eq!(places(found), expected);
    let wanted = delivery.wanted(Side::Drain);
    assert_eq!((wanted.queue, &*wanted.timelines), ((1, 5), &[(GROUP, (90, 100))][..]));
}

#[test]
fn nothing_is_written_beyond_what_every_place_has_shown() {
    let mut delivery = with_undelivered("90-");
    let wanted = delivery.wanted(Side::Live);
    let queue = vec![queued(6, 110), queued(7, 115)];
    let mut there = seen("90-", queue, vec![vec![entry(120, 95)]]);
    there.queue.up_to = 115; // there may be more
    let found = delivery.apply_fetch(Side::Live, &wanted, there);
    assert_eq!(places(found), [in_queue(6, 110), in_queue(7, 115)]);
    // A range that they have lies between this one and the next.
    let mut delivery = with_undelivered("101-110 120-");
    let wanted = delivery.wanted(Side::Live);
    let (queue, timeline) = (vec![queued(6, 115)], vec![entry(105, 95)]);
    let found =
        delivery.apply_fetch(Side::Live, &wanted, seen("101-110 120-", queue, vec![timeline]));
    assert_eq!(places(found), [in_timeline(105, 95)]);
    delivery.written(in_timeline(105, 95));
    // The rest of it holds nothing.
    let wanted = delivery.wanted(Side::Live);
    let found =
        delivery.apply_fetch(Side::Live, &wanted, seen("101-110 120-", vec![], vec![vec![]]));
    assert_eq!(places(found), [in_timeline(110, 105)]);
}

#[test]
fn a_stretch_that_a_timeline_has_forgotten_is_passed_over_if_nothing_was_said_there() {
    let mut delivery = with_undelivered("90-");
    let wanted = delivery.wanted(Side::Live);
    let mut there = seen("90-", vec![queued(6, 130)], vec![vec![]]);
    there.timelines[0].up_to = 120; // from there on it is looked for again
    let found = delivery.apply_fetch(Side::Live, &wanted, there);
    assert_eq!(places(found), [in_timeline(120, 100)]);
    delivery.written(in_timeline(120, 100));
    let wanted = delivery.wanted(Side::Live);
    assert_eq!((wanted.queue, &*wanted.timelines), ((6, ENDLESS), &[(GROUP, (121, ENDLESS))][..]));
}

#[test]
fn what_was_written_is_not_missing_though_the_queue_does_not_know_yet() {
    let mut delivery = with_undelivered("90-");
    delivery.written(in_timeline(120, 95));
    let wanted = delivery.wanted(Side::Live);
    assert_eq!(
        delivery.apply_fetch(Side::Live, &wanted, seen("90-", vec![], vec![vec![]])),
        Some(ReadOutcome::Items(vec![]))
    );
    assert_eq!(delivery.on_group_push(&said(120, 95), false), Decision::Drop);
    assert_eq!(delivery.on_group_push(&said(130, 120), false), Decision::Deliver);
}

#[test]
fn what_was_written_does_not_come_back_when_queues_are_built_anew() {
    // The undelivered set is gone, for all was received and reported; so is what the connection knows of it.
    let mut delivery = with_undelivered("90-");
    delivery.apply(&ConnectionCommand::LeftGroup(GROUP, Position(125)));
    delivery.written(in_timeline(120, 95));
    let wanted = delivery.wanted(Side::Live);
    let nothing = FetchResult { undelivered: vec![], ..seen("", vec![], vec![]) };
    delivery.apply_fetch(Side::Live, &wanted, FetchResult { at: Position(130), ..nothing });
    // Redis begins anew, and has not yet read the report.
    let wanted = delivery.wanted(Side::Live);
    let again = FetchResult { at: Position(122), ..seen("90-", vec![], vec![]) };
    assert_eq!(delivery.apply_fetch(Side::Live, &wanted, again), Some(ReadOutcome::TooEarly));
    // Neither does it after a push that no look has seen.
    let mut delivery = with_undelivered("90-");
    delivery.written(in_timeline(120, 95));
    let wanted = delivery.wanted(Side::Live);
    let before_he_joined =
        FetchResult { at: Position(110), undelivered: vec![], ..seen("", vec![], vec![]) };
    assert_eq!(
        delivery.apply_fetch(Side::Live, &wanted, before_he_joined),
        Some(ReadOutcome::TooEarly)
    );
}

#[test]
fn a_queue_that_is_built_anew_is_waited_for() {
    let mut delivery = opened_at(5);
    let wanted = delivery.wanted(Side::Live);
    let nothing = FetchResult {
        at: Position(OPENED - 1),
        is_receiving: false,
        undelivered: vec![],
        queue: whole(vec![]),
        timelines: vec![],
    };
    assert_eq!(
        delivery.apply_fetch(Side::Live, &wanted, nothing.clone()),
        Some(ReadOutcome::TooEarly)
    );
    let later = FetchResult { at: Position(OPENED), ..nothing };
    assert_eq!(delivery.apply_fetch(Side::Live, &wanted, later), Some(ReadOutcome::Displaced));
}
