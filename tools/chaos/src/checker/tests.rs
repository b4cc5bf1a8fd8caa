//! The checker against small histories, one for each promise.

use super::*;
use crate::history::{
    Content,
    Outcome::{Done, Refused, Unknown},
    To,
};

/// A second.
const S: Time = 1_000_000;

/// Three users, and a group of the first two.
#[derive(Default)]
struct Story(Vec<Record>);

impl Story {
    fn new() -> Self {
        let mut story = Self::default();
        for user in 0..3 {
            story.0.push(Record::User { user, id: 100 + i64::from(user) });
        }
        story.member(0, true, 0).member(1, true, 0)
    }

    fn and(mut self, record: Record) -> Self {
        self.0.push(record);
        self
    }

    fn member(self, user: u32, joins: bool, at: Time) -> Self {
        self.and(Record::Member { user, group: 0, joins, begin: at, end: at + 1, outcome: Done })
    }

    /// Sent by user 0 at the second of its number.
    fn sends(self, to: To, n: u64, outcome: Outcome) -> Self {
        let (begin, end, id) = (n * S, n * S + S / 2, Some(format!("id-{n}")));
        self.and(Record::Send { by: 0, to, n, begin, end, outcome, id })
    }

    fn revokes(self, of: u64, n: u64, outcome: Outcome) -> Self {
        let (begin, end, id) = (n * S, n * S + S / 2, format!("id-{of}"));
        self.and(Record::Revoke { by: 0, of, id, n, begin, end, outcome })
    }

    /// A socket of a user at the gateway with the socket's number.
    fn opens(self, socket: u32, user: u32, at: Time) -> Self {
        let (gateway, begin, end) = (socket, at * S, at * S + 1);
        self.and(Record::Open { socket, user, gateway, begin, end })
    }

    fn drains(self, socket: u32, at: Time) -> Self {
        self.and(Record::Drain { socket, begin: at * S, end: at * S + 1, outcome: Done })
    }

    fn ends(self, socket: u32, at: Time, how: End) -> Self {
        self.and(Record::Ended { socket, at: at * S, how })
    }

    fn gets(self, socket: u32, n: u64, at: Time) -> Self {
        self.and(Record::Frame { socket, at: at * S, what: Content::Message(n) })
    }

    fn hears_of(self, socket: u32, of: u64, at: Time) -> Self {
        self.and(Record::Frame { socket, at: at * S, what: Content::Revoked(format!("id-{of}")) })
    }

    /// What operators were told of a message: why these users do not have it.
    fn explains(self, of: u64, recipients: &[(u32, Option<&str>)]) -> Self {
        let recipients = recipients.iter();
        let recipients =
            recipients.map(|(user, why)| (100 + i64::from(*user), why.map(str::to_owned)));
        self.and(Record::Explained { id: format!("id-{of}"), recipients: recipients.collect() })
    }

    fn breaks(self, part: &str, begin: Time, end: Time) -> Self {
        let (kind, part) = ("kill".to_owned(), part.to_owned());
        self.and(Record::Fault { kind, part, begin: begin * S, end: end * S })
    }

    /// Which promises were broken, and how often.
    #[track_caller]
    fn breaks_promises(self, expected: &[(Rule, u64)]) {
        let report = check(&self.0);
        let broken: Vec<_> = report.violations.clone().into_iter().collect();
        assert_eq!(broken, expected, "{:#?}", report.shown);
    }

    #[track_caller]
    fn keeps_all(self) -> Report {
        let report = check(&self.0);
        assert!(report.is_good(), "{:#?}", report.shown);
        report
    }
}

const ONE: To = To::User(1);
const GROUP: To = To::Group(0);

#[test]
fn what_comes_once_and_in_order_is_good() {
    let story = Story::new().opens(1, 1, 1).sends(ONE, 2, Done).sends(GROUP, 3, Done);
    let report = story.gets(1, 2, 2).gets(1, 3, 3).keeps_all();
    assert_eq!((report.acknowledged, report.due, report.arrived), (2, 2, 2));
    assert!(!check(&Story::new().0).is_good(), "silence shows nothing");
}

#[test]
fn what_was_acknowledged_and_never_comes_is_lost() {
    let story = Story::new().opens(1, 1, 1).sends(ONE, 2, Done).sends(GROUP, 3, Done);
    story.breaks_promises(&[(Rule::Lost, 2)]);
}

#[test]
fn what_was_asked_for_must_not_wait_for_another_socket() {
    let story = Story::new().sends(ONE, 1, Done).opens(1, 1, 2).drains(1, 3);
    let story = story.and(Record::Quiet { at: 10 * S }).opens(2, 1, 11).gets(2, 1, 12);
    story.breaks_promises(&[(Rule::HeldBack, 1)]);
    let story = Story::new().sends(ONE, 1, Done).opens(1, 1, 2); // not asked for
    story.and(Record::Quiet { at: 10 * S }).opens(2, 1, 11).gets(2, 1, 12).keeps_all();
}

#[test]
fn nothing_comes_twice_over_one_socket() {
    let story = Story::new().opens(1, 1, 1).sends(ONE, 2, Done).breaks("gateway-1", 2, 3);
    story.gets(1, 2, 2).gets(1, 2, 3).breaks_promises(&[(Rule::Doubled, 1)]);
}

#[test]
fn over_another_socket_it_comes_again_only_if_the_first_delivery_could_not_be_told() {
    let story = || Story::new().opens(1, 1, 1).sends(ONE, 2, Done).gets(1, 2, 2);
    let again = |story: Story| story.ends(1, 20, End::Dropped).opens(2, 1, 21).gets(2, 2, 22);
    again(story()).breaks_promises(&[(Rule::Doubled, 1)]);
    again(story().breaks("gateway-2", 3, 4)).breaks_promises(&[(Rule::Doubled, 1)]);
    again(story().breaks("redis", 3, 4)).breaks_promises(&[(Rule::Doubled, 1)]);
    again(story().breaks("gateway-1", 10, 11)).breaks_promises(&[(Rule::Doubled, 1)]);
    assert_eq!(again(story().breaks("gateway-1", 3, 4)).keeps_all().repeated, 1);
    assert_eq!(again(story().breaks("nats-server", 3, 4)).keeps_all().repeated, 1);
}

#[test]
fn a_call_without_an_answer_may_arrive_or_not_but_once_and_at_any_time() {
    let story = || Story::new().opens(1, 1, 1).sends(ONE, 2, Unknown).sends(ONE, 3, Done);
    story().gets(1, 3, 3).keeps_all();
    story().gets(1, 3, 3).gets(1, 2, 4).keeps_all();
    story().gets(1, 3, 3).gets(1, 2, 4).gets(1, 2, 5).breaks_promises(&[(Rule::Doubled, 1)]);
}

#[test]
fn what_is_said_later_comes_later() {
    let story = Story::new().opens(1, 1, 1).sends(ONE, 2, Done).sends(ONE, 3, Done);
    story.gets(1, 3, 4).gets(1, 2, 5).breaks_promises(&[(Rule::OutOfOrder, 1)]);
}

#[test]
fn what_waited_may_come_after_what_is_live_and_is_in_order_itself() {
    let sent = || (1..=5).fold(Story::new(), |story, n| story.sends(ONE, n, Done));
    let opened = || sent().opens(1, 1, 6).sends(ONE, 7, Done).sends(ONE, 8, Done);
    let gets =
        |numbers: [u64; 7]| numbers.into_iter().fold(opened(), |story, n| story.gets(1, n, 9));
    gets([7, 1, 2, 3, 8, 4, 5]).keeps_all();
    gets([8, 1, 2, 3, 7, 4, 5]).breaks_promises(&[(Rule::OutOfOrder, 1)]);
    gets([7, 1, 3, 2, 8, 4, 5]).breaks_promises(&[(Rule::OutOfOrder, 1)]);
}

#[test]
fn a_later_message_does_not_overtake_one_that_waits_for_another_socket() {
    let story = Story::new().opens(1, 1, 1).sends(ONE, 2, Done).sends(ONE, 3, Done).gets(1, 3, 4);
    let story = story.ends(1, 5, End::Closed).opens(2, 1, 6).gets(2, 2, 7);
    story.breaks_promises(&[(Rule::OutOfOrder, 1)]);
    // What waited for a drain that was never asked for.
    let story = Story::new().sends(ONE, 1, Done).opens(1, 1, 2).sends(ONE, 3, Done).gets(1, 3, 4);
    story.ends(1, 5, End::Closed).opens(2, 1, 6).gets(2, 1, 7).keeps_all();
}

#[test]
fn nothing_comes_that_was_not_sent_or_is_not_for_this_user() {
    let story = || Story::new().opens(1, 1, 1).sends(ONE, 2, Done).gets(1, 2, 3);
    story().gets(1, 9, 9).breaks_promises(&[(Rule::Unexpected, 1)]);
    story().opens(2, 2, 1).gets(2, 2, 9).breaks_promises(&[(Rule::Unexpected, 1)]);
    let refused = story().member(0, false, 3 * S).sends(GROUP, 4, Refused).gets(1, 4, 5);
    refused.breaks_promises(&[(Rule::Unexpected, 1)]);
}

#[test]
fn a_groups_message_is_for_those_who_were_certainly_in_it() {
    let story = || Story::new().opens(1, 1, 1).opens(2, 2, 1);
    let joins =
        |begin, end| Record::Member { user: 2, group: 0, joins: true, begin, end, outcome: Done };
    let certain = || story().and(joins(2 * S, 3 * S)).sends(GROUP, 4, Done).gets(1, 4, 5);
    certain().gets(2, 4, 5).keeps_all();
    certain().breaks_promises(&[(Rule::Lost, 1)]);
    // Who joins meanwhile may get it or not.
    let perhaps = || story().and(joins(2 * S, 5 * S)).sends(GROUP, 4, Done).gets(1, 4, 5);
    perhaps().keeps_all();
    perhaps().gets(2, 4, 5).keeps_all();
    let gone =
        || certain().gets(2, 4, 5).member(2, false, 6 * S).sends(GROUP, 7, Done).gets(1, 7, 8);
    gone().keeps_all();
    gone().gets(2, 7, 8).breaks_promises(&[(Rule::Unexpected, 1)]);
}

#[test]
fn who_is_in_a_group_may_write_to_it_and_nobody_else() {
    let story = Story::new().opens(1, 1, 1).sends(GROUP, 2, Refused).sends(ONE, 3, Done);
    story.gets(1, 3, 3).breaks_promises(&[(Rule::WronglyRefused, 1)]);
    let story = Story::new().opens(1, 1, 1).member(0, false, S).sends(GROUP, 4, Done).gets(1, 4, 5);
    story.breaks_promises(&[(Rule::WronglyRefused, 1)]);
}

#[test]
fn a_revocation_is_told_once_and_after_its_message() {
    let story = || Story::new().opens(1, 1, 1).sends(ONE, 2, Done).revokes(2, 3, Done);
    story().gets(1, 2, 2).hears_of(1, 2, 3).keeps_all();
    story().gets(1, 2, 2).breaks_promises(&[(Rule::Revoked, 1)]);
    story().hears_of(1, 2, 3).gets(1, 2, 4).breaks_promises(&[(Rule::Revoked, 1)]);
    let twice = story().revokes(2, 4, Done).gets(1, 2, 2).hears_of(1, 2, 3);
    twice.hears_of(1, 2, 4).breaks_promises(&[(Rule::Doubled, 1)]);
    let never = Story::new().opens(1, 1, 1).sends(ONE, 2, Done).gets(1, 2, 2);
    never.hears_of(1, 2, 3).breaks_promises(&[(Rule::Unexpected, 1)]);
    // Asked for again because there was no answer.
    let asked = Story::new().opens(1, 1, 1).sends(ONE, 2, Done).revokes(2, 3, Unknown);
    asked.revokes(2, 4, Done).gets(1, 2, 2).hears_of(1, 2, 5).keeps_all();
}

#[test]
fn in_a_group_whoever_takes_back_is_told_too() {
    let story = Story::new().opens(0, 0, 1).opens(1, 1, 1).sends(GROUP, 2, Done).gets(1, 2, 2);
    let story = story.revokes(2, 3, Done).hears_of(1, 2, 3);
    story.breaks_promises(&[(Rule::Revoked, 1)]);
}

#[test]
fn friends_are_told_once_on_both_sides() {
    let friends = |outcome| Record::Befriend { by: 0, with: 1, begin: S, end: 2 * S, outcome };
    let told = |socket, id| Record::Frame { socket, at: 3 * S, what: Content::Friends(id) };
    let story = || Story::new().opens(0, 0, 1).opens(1, 1, 1).sends(ONE, 5, Done).gets(1, 5, 5);
    story().and(friends(Done)).and(told(0, 101)).and(told(1, 100)).keeps_all();
    story().and(friends(Done)).and(told(0, 101)).breaks_promises(&[(Rule::Lost, 1)]);
    let twice = story().and(friends(Unknown)).and(told(0, 101)).and(told(0, 101));
    twice.breaks_promises(&[(Rule::Doubled, 1)]);
}

#[test]
fn who_has_a_socket_is_online_and_nobody_else() {
    let seen = |user, at: Time, online| Record::Presence { user, at: at * S, online };
    let story = || Story::new().opens(1, 1, 1).sends(ONE, 2, Done).gets(1, 2, 2);
    story().and(seen(1, 5, true)).and(seen(0, 5, false)).keeps_all();
    story().and(seen(1, 5, false)).breaks_promises(&[(Rule::Presence, 1)]);
    let gone = story().ends(1, 3, End::Closed).and(seen(1, 20, true));
    gone.breaks_promises(&[(Rule::Presence, 1)]);
    let vanished = |at| story().ends(1, 3, End::Vanished).and(seen(1, at, true));
    vanished(20).keeps_all();
    vanished(120).breaks_promises(&[(Rule::Presence, 1)]);
}

#[test]
fn what_ended_has_ended() {
    let tried = |accepted| {
        let story = Story::new().opens(1, 1, 1).sends(ONE, 2, Done).gets(1, 2, 2);
        let (user, begin, end, outcome) = (1, 3 * S, 4 * S, Done);
        let out = Record::Session { user, logs_in: false, begin, end, outcome };
        story.and(out).and(Record::Stale { user, at: 5 * S, accepted })
    };
    tried(false).keeps_all();
    tried(true).breaks_promises(&[(Rule::Outlived, 1)]);
}

#[test]
fn what_was_written_to_a_host_that_had_vanished_comes_again() {
    let story = || Story::new().opens(1, 1, 1).ends(1, 2, End::Vanished).sends(ONE, 3, Done);
    story().opens(2, 1, 4).drains(2, 4).gets(2, 3, 5).keeps_all();
    story().opens(2, 1, 4).drains(2, 4).breaks_promises(&[(Rule::Lost, 1)]);
}

#[test]
fn nobody_is_logged_out_or_refused_and_all_comes_back() {
    let story = || Story::new().opens(1, 1, 1).sends(ONE, 2, Done).gets(1, 2, 2);
    let (call, said) = ("/ws".to_owned(), "Token 不合法".to_owned());
    let refused = Record::Refusal { user: 1, at: 5, call, said: said.clone() };
    story().and(refused).breaks_promises(&[(Rule::WronglyRefused, 1)]);
    story().ends(1, 3, End::LoggedOut).breaks_promises(&[(Rule::WronglyRefused, 1)]);
    let stuck = Record::Stuck { at: 5, what: "nothing".to_owned() };
    story().and(stuck).breaks_promises(&[(Rule::Stuck, 1)]);
    let drifted = Record::Verified { clean: false, said };
    story().and(drifted).breaks_promises(&[(Rule::ReadModels, 1)]);
}

#[test]
fn operators_are_told_what_clients_saw() {
    let story = || Story::new().opens(1, 1, 1).sends(ONE, 2, Done).gets(1, 2, 2);
    assert_eq!(story().explains(2, &[(1, None)]).keeps_all().explained, 1);
    for told in [
        &[][..],
        &[(1, Some("not_drained"))],
        &[(1, None), (2, None)],
        &[(1, None), (2, Some("never_connected_since"))],
    ] {
        story().explains(2, told).breaks_promises(&[(Rule::Explanation, 1)]);
    }
    // To a group: its author is told nothing.
    let group = || Story::new().opens(1, 1, 1).sends(To::Group(0), 2, Done).gets(1, 2, 2);
    assert_eq!(group().explains(2, &[(1, None)]).keeps_all().explained, 1);
    let lost = Story::new().sends(ONE, 2, Done).explains(2, &[(1, None)]);
    lost.breaks_promises(&[(Rule::Lost, 1), (Rule::Explanation, 1)]);
    let unexplained = Record::Unexplained { id: "id-2".to_owned(), said: "no".to_owned() };
    story().and(unexplained).breaks_promises(&[(Rule::Explanation, 1)]);
}
