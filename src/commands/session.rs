//! The rules of log-ins and sockets: one session per account (data.md §4.1).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::decider::Decider;
use crate::events::{
    ConnectionId, DisconnectReason, NodeId, Position, Role, SessionEvent, TokenId, UserId,
};

/// What is current for one account.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Session {
    /// The token of the last log-in as a registered user.
    pub user_token: Option<TokenId>,
    /// The token of the last log-in as a guest, if no user log-in came after it (DEV-29).
    pub visitor_token: Option<TokenId>,
    /// The socket that pushes go to: the newest, unless its token was logged out (DEV-30).
    pub socket: Option<CurrentConnection>,
    /// Every connection of which the log does not say that it has ended, and its gateway: it may have received what the log
    /// does not know of yet, whether it is the current one, was superseded, or came with a token that has ended.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub open: BTreeMap<ConnectionId, NodeId>,
    /// The last change of password that took tokens back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_by: Option<Uuid>,
}

/// The account's socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CurrentConnection {
    /// Which.
    pub connection: ConnectionId,
    /// The gateway that holds it.
    pub node: NodeId,
    /// The token it came with.
    pub token: TokenId,
    /// The role of that token.
    pub role: Role,
}

impl Session {
    /// Is `token` the account's current one?
    pub fn is_current(&self, token: TokenId) -> bool {
        [self.user_token, self.visitor_token].contains(&Some(token))
    }
}

/// What can be asked of a session.
#[derive(Debug, Clone)]
pub enum SessionCommand {
    /// Make a new token current.
    LogIn {
        /// Which.
        token: TokenId,
        /// The role played with it.
        role: Role,
    },
    /// Give the user-mode token back.
    LogOut(TokenId),
    /// Take all tokens back, but `kept`: it stays good if it is, and becomes it not. Once for each change of password,
    /// whoever brings that to its end.
    Revoke {
        /// Which.
        kept: Option<TokenId>,
        /// The change of password.
        change: Uuid,
    },
    /// Make a socket the account's socket.
    Connect(CurrentConnection),
    /// Say once more that this is the account's socket, if it is.
    Renew(ConnectionId),
    /// Note that a socket ended.
    Disconnect(ConnectionId, DisconnectReason),
}

/// Why a session says no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SessionRejection {
    /// Another log-in replaced the token, or it was logged out.
    #[error("the token is not the current one")]
    NotCurrent,
}

impl Decider for Session {
    type Id = UserId;
    type Command = SessionCommand;
    type Event = SessionEvent;
    type Rejection = SessionRejection;

    fn decide(&self, command: &SessionCommand) -> Result<Option<SessionEvent>, SessionRejection> {
        Ok(match command.clone() {
            SessionCommand::LogIn { token, role } => Some(SessionEvent::LoggedIn { token, role }),
            SessionCommand::LogOut(token) => {
                (self.user_token == Some(token)).then_some(SessionEvent::LoggedOut { token })
            }
            SessionCommand::Revoke { kept, change } => (self.revoked_by != Some(change))
                .then_some(SessionEvent::Revoked { kept, change: Some(change) }),
            SessionCommand::Connect(socket) if !self.is_current(socket.token) => {
                return Err(SessionRejection::NotCurrent);
            }
            SessionCommand::Connect(CurrentConnection { connection, node, token, role }) => {
                Some(SessionEvent::Connected { connection, node, token, role })
            }
            SessionCommand::Renew(connection) => {
                let current = self.socket.as_ref().filter(|socket| socket.connection == connection);
                current.cloned().map(|CurrentConnection { connection, node, token, role }| {
                    SessionEvent::Connected { connection, node, token, role }
                })
            }
            SessionCommand::Disconnect(connection, reason) => {
                Some(SessionEvent::Disconnected { connection, reason })
            }
        })
    }

    fn evolve(&mut self, _: Position, event: &SessionEvent) {
        match *event {
            SessionEvent::LoggedIn { token, role: Role::User } => {
                self.user_token = Some(token);
                self.visitor_token = None;
            }
            SessionEvent::LoggedIn { token, role: Role::Visitor } => {
                self.visitor_token = Some(token);
            }
            SessionEvent::LoggedOut { token } => {
                self.user_token.take_if(|current| *current == token);
                self.socket.take_if(|socket| socket.token == token);
            }
            SessionEvent::Revoked { kept, change } => {
                self.revoked_by = change;
                let ended = |token: TokenId| Some(token) != kept;
                self.user_token.take_if(|token| ended(*token));
                self.visitor_token.take_if(|token| ended(*token));
                self.socket.take_if(|socket| ended(socket.token));
            }
            SessionEvent::Connected { connection, node, token, role } => {
                self.open.insert(connection, node);
                self.socket = Some(CurrentConnection { connection, node, token, role });
            }
            SessionEvent::Disconnected { connection, .. } => {
                self.open.remove(&connection);
                self.socket.take_if(|socket| socket.connection == connection);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::commands::specification::{after, given};

    const A: TokenId = TokenId(Uuid::from_u128(1));
    const B: TokenId = TokenId(Uuid::from_u128(2));

    fn logged_in(token: TokenId, role: Role) -> SessionEvent {
        SessionEvent::LoggedIn { token, role }
    }

    fn log_in(token: TokenId, role: Role) -> SessionCommand {
        SessionCommand::LogIn { token, role }
    }

    fn id(connection: u128) -> ConnectionId {
        ConnectionId(Uuid::from_u128(connection))
    }

    fn ended(connection: u128) -> SessionEvent {
        SessionEvent::Disconnected { connection: id(connection), reason: DisconnectReason::Closed }
    }

    fn connect(connection: u128, token: TokenId) -> SessionCommand {
        SessionCommand::Connect(CurrentConnection {
            connection: id(connection),
            node: NodeId(Uuid::nil()),
            token,
            role: Role::User,
        })
    }

    #[test]
    fn every_log_in_and_every_end_of_a_connection_is_noted() {
        let session = given::<Session>([logged_in(A, Role::User)]);
        for token in [A, B] {
            let again = session.decide(&log_in(token, Role::User));
            assert_eq!(again, Ok(Some(logged_in(token, Role::User))));
        }
        let end = SessionCommand::Disconnect(id(1), DisconnectReason::Closed);
        assert_eq!(
            session.decide(&end),
            Ok(Some(ended(1))),
            "the log may have forgotten its beginning"
        );
    }

    #[test]
    fn only_the_users_current_token_is_given_back() {
        let session = given::<Session>([logged_in(A, Role::User), logged_in(B, Role::Visitor)]);
        let log_out = |token| session.decide(&SessionCommand::LogOut(token));
        assert_eq!(log_out(A), Ok(Some(SessionEvent::LoggedOut { token: A })));
        assert_eq!(log_out(B), Ok(None), "a guest's");
    }

    #[test]
    fn a_connection_with_the_current_token_is_the_accounts() {
        let connected = SessionEvent::Connected {
            connection: id(1),
            node: NodeId(Uuid::nil()),
            token: A,
            role: Role::User,
        };
        let session = given::<Session>([logged_in(A, Role::User)]);
        assert_eq!(session.decide(&connect(1, A)), Ok(Some(connected.clone())));
        let session = given::<Session>([logged_in(A, Role::User), connected.clone()]);
        assert_eq!(session.decide(&SessionCommand::Renew(id(1))), Ok(Some(connected)));
    }

    #[test]
    fn a_newer_log_in_ends_the_older_one() {
        let session = after::<Session>([log_in(A, Role::User), log_in(B, Role::User)]);
        assert!(!session.is_current(A) && session.is_current(B));
    }

    #[test]
    fn dev_29_a_guest_log_in_leaves_the_users_token_alone_but_not_the_reverse() {
        let session = after::<Session>([log_in(A, Role::User), log_in(B, Role::Visitor)]);
        assert!(session.is_current(A) && session.is_current(B));
        let session = after::<Session>([log_in(A, Role::Visitor), log_in(B, Role::User)]);
        assert!(!session.is_current(A) && session.is_current(B));
    }

    #[test]
    fn rest_42_all_tokens_but_one_are_taken_back_with_their_sockets() {
        let both = [log_in(A, Role::User), log_in(B, Role::Visitor), connect(1, A)];
        let change = Uuid::from_u128(9);
        let revoke = |kept| [&both[..], &[SessionCommand::Revoke { kept, change }]].concat();
        let session = after::<Session>(revoke(Some(A)));
        assert!(session.is_current(A) && !session.is_current(B) && session.socket.is_some());
        let session = after::<Session>(revoke(Some(B)));
        assert!(!session.is_current(A) && session.is_current(B) && session.socket.is_none());
        let session = after::<Session>(revoke(None));
        assert!(!session.is_current(A) && !session.is_current(B) && session.socket.is_none());
        assert_eq!(session.revoked_by, Some(change));
    }

    #[test]
    fn a_change_of_password_takes_tokens_back_once() {
        let revoke = SessionCommand::Revoke { kept: None, change: Uuid::from_u128(9) };
        let session =
            after::<Session>([log_in(A, Role::User), revoke.clone(), log_in(B, Role::User)]);
        assert_eq!(session.decide(&revoke), Ok(None), "they came in with the new password");
        let next = SessionCommand::Revoke { kept: None, change: Uuid::from_u128(10) };
        assert!(session.decide(&next).is_ok_and(|event| event.is_some()));
    }

    #[test]
    fn a_token_that_ended_is_not_kept() {
        let change = Uuid::from_u128(9);
        let revoke = SessionCommand::Revoke { kept: Some(A), change };
        let revoked = Session { revoked_by: Some(change), ..Session::default() };
        let session =
            after::<Session>([log_in(A, Role::User), log_in(B, Role::User), revoke.clone()]);
        assert_eq!(session, revoked);
        let session = after::<Session>([log_in(A, Role::User), SessionCommand::LogOut(A), revoke]);
        assert_eq!(session, revoked);
    }

    #[test]
    fn dev_02_a_socket_needs_the_current_token() {
        let session = after::<Session>([log_in(A, Role::User), log_in(B, Role::User)]);
        assert_eq!(session.decide(&connect(1, A)), Err(SessionRejection::NotCurrent));
    }

    #[test]
    fn dev_03_the_end_of_an_older_socket_leaves_the_newer_one() {
        let mut session = after::<Session>([log_in(A, Role::User), connect(1, A), connect(2, A)]);
        let current = session.socket.clone();
        session.evolve(Position(9), &ended(1));
        assert!(session.socket.is_some() && session.socket == current);
    }

    #[test]
    fn dev_30_after_logout_the_socket_is_silent() {
        let session =
            after::<Session>([log_in(A, Role::User), connect(1, A), SessionCommand::LogOut(A)]);
        assert_eq!((session.user_token, session.socket), (None, None));
    }

    #[test]
    fn a_connection_is_open_until_the_log_says_that_it_has_ended() {
        let mut session = after::<Session>([
            log_in(A, Role::User),
            connect(1, A),
            connect(2, A),
            SessionCommand::LogOut(A),
            log_in(B, Role::User),
            connect(3, B),
        ]);
        let open = |session: &Session| -> Vec<u128> {
            session.open.keys().map(|connection| connection.0.as_u128()).collect()
        };
        assert_eq!(open(&session), [1, 2, 3], "superseded, logged out, current");
        session.evolve(Position(9), &ended(2));
        assert_eq!(open(&session), [1, 3]);
    }

    #[test]
    fn only_the_current_connection_is_renewed() {
        let session = after::<Session>([log_in(A, Role::User), connect(1, A), connect(2, A)]);
        let renew = |connection| session.decide(&SessionCommand::Renew(id(connection)));
        assert_eq!(renew(1), Ok(None));
        assert!(renew(2).is_ok_and(|event| event.is_some()));
    }
}
