//! Specifications of the rules: given what happened, when somebody asks, then this.

use uuid::Uuid;

use super::*;
use crate::commands::specification::after;

const ANN: UserId = UserId(3);
const BOB: UserId = UserId(9);
const NOTICE: MessageId = MessageId(Uuid::nil());

fn summary(id: UserId) -> UserSummary {
    UserSummary { id, name: "n".into(), avatar: "a".into() }
}

fn other(id: UserId) -> UserId {
    if id == ANN { BOB } else { ANN }
}

fn edge(owner: UserId) -> NewEdge {
    NewEdge { owner, friend: other(owner), remark: String::new() }
}

fn request(asker: UserId) -> FriendshipCommand {
    FriendshipCommand::Request {
        asker: summary(asker),
        asked: summary(other(asker)),
        text: "hello".into(),
        icon: "i".into(),
        notice: NOTICE,
    }
}

/// Of the request that the event at `position` made.
fn answer(position: u64, caller: UserId, answer: Option<Answer>) -> FriendshipCommand {
    FriendshipCommand::Answer {
        request: RequestId::made_at(Position(position)),
        answer,
        caller: summary(caller),
        other: summary(other(caller)),
        edges: [edge(caller), edge(other(caller))],
        notice: NOTICE,
    }
}

fn befriend(caller: UserId) -> FriendshipCommand {
    FriendshipCommand::Befriend {
        caller: summary(caller),
        other: summary(other(caller)),
        text: String::new(),
        edges: [edge(caller), edge(other(caller))],
        notice: NOTICE,
    }
}

fn hide(owner: UserId) -> FriendshipCommand {
    let visibility = Visibility { friend_sees_mine: false, i_see_theirs: true };
    FriendshipCommand::SetVisibility { owner, visibility }
}

#[test]
fn a_request_is_as_the_asker_made_it() {
    let requested = FriendshipEvent::Requested {
        asker: summary(ANN),
        asked: summary(BOB),
        text: "hello".into(),
        icon: "i".into(),
        notice: NOTICE,
    };
    assert_eq!(Friendship::default().decide(&request(ANN)), Ok(Some(requested)));
}

#[test]
fn a_yes_adds_what_is_missing_and_a_no_nothing() {
    let asked = after::<Friendship>([request(ANN)]);
    let answered = |answer, edges| FriendshipEvent::Answered {
        request: RequestId::made_at(Position(1)),
        answer,
        caller: summary(BOB),
        other: summary(ANN),
        edges,
        notice: NOTICE,
    };
    for (given, edges) in [
        (Answer::Agree, vec![edge(BOB), edge(ANN)]),
        (Answer::Refuse, Vec::new()),
        (Answer::Ignore, Vec::new()),
    ] {
        let expected = Ok(Some(answered(given, edges)));
        assert_eq!(asked.decide(&answer(1, BOB, Some(given))), expected);
    }
    assert_eq!(asked.decide(&answer(1, BOB, None)), Ok(None), "left pending");
}

#[test]
fn befriending_names_the_request_that_it_answers() {
    let befriended = |agreed, edges| FriendshipEvent::Befriended {
        caller: summary(BOB),
        other: summary(ANN),
        text: String::new(),
        agreed,
        edges,
        notice: NOTICE,
    };
    let both = || vec![edge(BOB), edge(ANN)];
    let strangers = Friendship::default().decide(&befriend(BOB));
    assert_eq!(strangers, Ok(Some(befriended(None, both()))));
    let asked = after::<Friendship>([request(ANN)]).decide(&befriend(BOB));
    let request = Some(RequestId::made_at(Position(1)));
    assert_eq!(asked, Ok(Some(befriended(request, both()))));
    let end = FriendshipCommand::End { by: BOB };
    let block = FriendshipCommand::ToggleBlacklist { owner: ANN };
    let blocked = after::<Friendship>([befriend(ANN), block, end]);
    let again = blocked.decide(&befriend(BOB));
    assert_eq!(again, Ok(Some(befriended(None, vec![edge(BOB)]))), "only what is missing");
}

#[test]
fn only_what_is_in_ones_own_book_is_ended_or_blocked() {
    let end = FriendshipCommand::End { by: ANN };
    let block = FriendshipCommand::ToggleBlacklist { owner: ANN };
    for command in [&end, &block] {
        let refused = after::<Friendship>([request(BOB)]).decide(command);
        assert_eq!(refused, Err(FriendshipRejection::NotInBook));
    }
    let friends = [befriend(ANN)];
    let ended = FriendshipEvent::Ended { by: ANN, keeps_block: false };
    assert_eq!(after::<Friendship>(&friends).decide(&end), Ok(Some(ended)));
    let set = |blocked| Ok(Some(FriendshipEvent::BlacklistSet { owner: ANN, blocked }));
    assert_eq!(after::<Friendship>(&friends).decide(&block), set(true));
    assert_eq!(after::<Friendship>([befriend(ANN), block.clone()]).decide(&block), set(false));
}

#[test]
fn one_asks_once_until_the_answer_is_no() {
    let again = |friendship: &Friendship| friendship.decide(&request(ANN)).map(|_| ());
    let asked = [request(ANN)];
    assert_eq!(again(&after::<Friendship>(&asked)), Err(FriendshipRejection::AlreadyAsked));
    for (answered, outcome) in [
        (None, Err(FriendshipRejection::AlreadyAsked)),
        (Some(Answer::Agree), Err(FriendshipRejection::AlreadyAsked)),
        (Some(Answer::Refuse), Ok(())),
        (Some(Answer::Ignore), Ok(())),
    ] {
        let commands = [request(ANN), answer(1, BOB, answered)];
        assert_eq!(again(&after::<Friendship>(&commands)), outcome, "{answered:?}");
    }
    let parted =
        [request(ANN), answer(1, BOB, Some(Answer::Agree)), FriendshipCommand::End { by: ANN }];
    assert_eq!(again(&after::<Friendship>(&parted)), Ok(()));
}

#[test]
fn only_the_asked_one_answers_and_only_once() {
    let agree = |id, caller| answer(id, caller, Some(Answer::Agree));
    let not_pending = Err(FriendshipRejection::NotPending);
    assert_eq!(after::<Friendship>([request(ANN)]).decide(&agree(1, ANN)), not_pending);
    assert_eq!(after::<Friendship>([request(ANN)]).decide(&agree(2, BOB)), not_pending);
    assert_eq!(
        after::<Friendship>([request(ANN), agree(1, BOB)]).decide(&agree(1, BOB)),
        not_pending
    );
}

#[test]
fn edges_that_are_there_stay_as_they_are() {
    let friends = [request(ANN), answer(1, BOB, Some(Answer::Agree))];
    let before = after::<Friendship>(&friends);
    let after = after::<Friendship>([&friends[..], &[befriend(BOB)]].concat());
    assert_eq!(after.edges, before.edges);
    assert_eq!(after.decide(&request(BOB)), Err(FriendshipRejection::AlreadyAsked));
}

/// Clarification 8.
#[test]
fn adding_answers_the_request_of_the_other_side() {
    let friends = after::<Friendship>([request(ANN), befriend(BOB)]);
    let refuse = answer(1, BOB, Some(Answer::Refuse));
    assert_eq!(friends.decide(&refuse), Err(FriendshipRejection::NotPending));
    assert_eq!(friends.decide(&request(ANN)), Err(FriendshipRejection::AlreadyAsked));
}

#[test]
fn star_and_visibility_want_a_friend_who_is_not_blocked() {
    let (star, block) = (
        FriendshipCommand::ToggleStar { owner: ANN },
        FriendshipCommand::ToggleBlacklist { owner: ANN },
    );
    let blocked = after::<Friendship>([befriend(ANN), block.clone()]);
    for friendship in [&Friendship::default(), &blocked] {
        for command in [&star, &hide(ANN)] {
            let refused = friendship.decide(command);
            assert_eq!(refused, Err(FriendshipRejection::NotInBookOrBlocked));
        }
    }
    let unblocked = after::<Friendship>([befriend(ANN), block.clone(), block, star, hide(ANN)]);
    let edge = unblocked.edge_of(ANN).expect("a friend");
    assert!(edge.starred && !edge.visibility.friend_sees_mine && edge.visibility.i_see_theirs);
    let his = unblocked.edge_of(BOB).expect("a friend");
    assert!(!his.starred && his.visibility == Visibility::default(), "only one's own edge");
}

#[test]
fn a_star_is_a_toggle_and_visibility_is_set() {
    let star = FriendshipCommand::ToggleStar { owner: ANN };
    let starred = after::<Friendship>([befriend(ANN), star.clone()]);
    let event = FriendshipEvent::StarSet { owner: ANN, starred: false };
    assert_eq!(starred.decide(&star), Ok(Some(event)));
    assert_eq!(after::<Friendship>([befriend(ANN), hide(ANN)]).decide(&hide(ANN)), Ok(None));
}

#[test]
fn parting_forgets_what_was_set() {
    let star = FriendshipCommand::ToggleStar { owner: ANN };
    let end = FriendshipCommand::End { by: BOB };
    let again = after::<Friendship>([befriend(ANN), star, hide(ANN), end, befriend(ANN)]);
    let mut fresh = Friendship::default();
    let event = fresh.decide(&befriend(ANN)).expect("allowed").expect("a change");
    fresh.evolve(Position(5), &event);
    assert_eq!(again, fresh);
}

/// Clarification 24: parting does not free the one who is blocked.
#[test]
fn a_block_outlives_the_blocked_ones_parting() {
    let block = || FriendshipCommand::ToggleBlacklist { owner: ANN };
    let blocked = [befriend(ANN), block(), request(BOB)];
    let parted_by =
        |by| after::<Friendship>([&blocked[..], &[FriendshipCommand::End { by }]].concat());
    let parted = parted_by(BOB);
    assert_eq!(parted.edge_of(BOB), None);
    assert!(parted.edge_of(ANN).is_some_and(|edge| edge.blocked));
    assert_eq!(parted.request_of(BOB), None);
    assert_eq!(parted_by(ANN), Friendship::default(), "one's own block ends with one's own edge");

    let friends_again = after::<Friendship>(
        [&blocked[..], &[FriendshipCommand::End { by: BOB }, befriend(BOB)]].concat(),
    );
    assert!(friends_again.edge_of(ANN).is_some_and(|edge| edge.blocked), "it binds as before");
    let lifted = after::<Friendship>(
        [&blocked[..], &[FriendshipCommand::End { by: BOB }, block()]].concat(),
    );
    assert!(lifted.edge_of(ANN).is_some_and(|edge| !edge.blocked), "until it is lifted");
}

/// ADR 0014: the request is the first thing that an event makes, the rows follow.
#[test]
fn ids_are_those_of_the_position() {
    let at = Position(7);
    let mut friends = Friendship::default();
    let event = friends.decide(&befriend(BOB)).expect("allowed").expect("a change");
    friends.evolve(at, &event);
    assert_eq!(friends.request_of(BOB).map(|request| request.id.0), Some(at.numbered(0)));
    assert_eq!(friends.edge_of(BOB).map(|edge| edge.id.0), Some(at.numbered(1)));
    assert_eq!(friends.edge_of(ANN).map(|edge| edge.id.0), Some(at.numbered(2)));
}
