//! Connections: what becomes of one is appended whether this process may serve or not, since nobody else would say it.

use uuid::Uuid;

use super::{
    CommandError, Executor, Wait,
    action::{Action, Append, Decided, Guard, Judgement},
    authority::Authority,
};
use crate::{
    commands::{
        decider::Decider as _,
        session::{Session, SessionCommand, SessionRejection},
    },
    events::{
        AggregateEvent as _, Cause, ConnectionId, DisconnectReason, Position, Subject, UserId,
    },
};

/// The end of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Disconnect {
    /// Whose it was.
    pub user: UserId,
    /// Which.
    pub connection: ConnectionId,
    /// Why it ended.
    pub reason: DisconnectReason,
}

impl Disconnect {
    /// Appends it; answers with its position.
    ///
    /// # Errors
    /// The log cannot be reached.
    pub async fn run(
        self,
        executor: &Executor,
        cause: &Cause,
    ) -> Result<Position, CommandError<SessionRejection>> {
        // What a projector says of a lost gateway is on nobody's behalf.
        let actor = (self.reason != DisconnectReason::NodeLost).then_some(self.user);
        let authority = Authority { actor, token: None, cause };
        Ok(executor.run(self, authority, Wait::Accepted).await?.position)
    }
}

impl Action for Disconnect {
    type Outcome = ();
    type Rejection = SessionRejection;

    fn contention_subject(&self) -> Subject {
        Subject::Session(self.user)
    }

    /// Whatever the session says: the log may know of a connection whose opening was never answered.
    async fn judge(
        &mut self,
        _: &Executor,
    ) -> Result<Judgement<Self>, CommandError<SessionRejection>> {
        let Self { user, connection, reason } = *self;
        let command = SessionCommand::Disconnect(connection, reason);
        let event = Session::default().decide(&command).map_err(CommandError::Rejected)?;
        let event = event.expect("a connection ends whatever came before").of(user);
        // However often projectors say this, it is one event.
        let id = (reason == DisconnectReason::NodeLost)
            .then(|| Uuid::new_v5(&connection.0, b"node_lost"));
        let guard = Guard::nothing();
        Ok(Judgement { outcome: (), decided: Decided::Append(Append { event, id, guard }) })
    }
}

impl Executor {
    /// Says once more that a connection is its user's current one, if it still is: the first event expires, and a rebuild
    /// would not know of it.
    ///
    /// # Errors
    /// The log cannot be reached.
    pub async fn renew(
        &self,
        user: UserId,
        connection: ConnectionId,
    ) -> Result<(), CommandError<SessionRejection>> {
        let cause = Cause::own("renewal");
        let authority = Authority::without_token(user, &cause);
        let command = SessionCommand::Renew(connection);
        self.execute::<Session>(user, &command, authority, Wait::Accepted).await.map(drop)
    }
}
