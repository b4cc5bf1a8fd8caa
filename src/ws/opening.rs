//! The opening of a connection: the checks of ws.md §2, its registration, and the event that makes it its user's
//! current one.

use std::collections::BTreeSet;

use tracing::{Instrument as _, Span, error_span, warn};

use super::{
    opening_order::OpeningPermit,
    registry::Registration,
    sockets::Sockets,
    takeover::{TakeoverBarrier, takeover},
};
use crate::{
    adapters::tokens::Claims,
    commands::{
        session::{CurrentConnection, Session, SessionCommand, SessionRejection},
        user::{Account, User},
    },
    events::{Cause, DisconnectReason, Role, UserId},
    executor::{CommandError, Wait, authority::Authority, authority::Unauthorized},
    protocol::refusals::socket as refused,
};

/// Somebody who may have a connection. It receives pushes already: a client that asks for its queue as soon as the
/// connection is open (rest.md §21) must not be earlier than we are.
pub struct Admitted {
    claims: Claims,
    pub(crate) account: Account,
    registration: Registration,
    permit: OpeningPermit,
    cause: Cause,
}

impl Admitted {
    /// What log lines of its opening say of it.
    pub(super) fn span(&self) -> Span {
        error_span!(
            "connection",
            user.id = self.account.id.0,
            connection.id = %self.registration.connection,
            request.id = self.cause.request,
        )
    }
}

/// Why a connection is not admitted.
pub enum Refused {
    /// For good: an error frame and a close (ws.md §2).
    Text(&'static str),
    /// Something is down: dropped without a close frame, so that the client comes back.
    Later,
}

fn later(error: impl std::fmt::Display) -> Refused {
    warn!(%error, "cannot open a connection now");
    Refused::Later
}

/// The checks of ws.md §2, in their order.
///
/// # Errors
/// What the client is told.
pub async fn admit(
    sockets: &Sockets,
    token: Option<&str>,
    cause: Cause,
) -> Result<Box<Admitted>, Refused> {
    let token = token.filter(|token| !token.is_empty()).ok_or(Refused::Text(refused::NO_TOKEN))?;
    let unlawful = Refused::Text(refused::BAD_TOKEN);
    let Some(claims) = sockets.app.tokens.read(token) else { return Err(unlawful) };
    let Some(claims) = sockets.app.current(claims).await.map_err(later)? else {
        return Err(unlawful);
    };
    let user = sockets.app.executor.state::<User>(claims.id).await.map_err(later)?;
    let account = match user.state.account() {
        None => return Err(Refused::Text(refused::NO_SUCH_USER)),
        Some(account) if account.disabled => return Err(Refused::Text(refused::DISABLED)),
        Some(account) => account.clone(),
    };
    let permit = sockets.opening_order.wait(account.id).await;
    let registration = sockets.registry.register(account.id, claims.jti);
    sockets.subscriptions.confirm().await.map_err(later)?;
    Ok(Box::new(Admitted { claims, account, registration, permit, cause }))
}

/// A connection that has become its user's current one.
pub(super) struct Opened {
    pub(super) user: UserId,
    pub(super) role: Role,
    pub(super) registration: Registration,
    pub(super) account: Box<Account>,
    pub(super) barrier: TakeoverBarrier,
}

/// The connection becomes the user's current one (ws.md §3).
///
/// # Errors
/// What the client is told.
pub(super) async fn open(sockets: &Sockets, admitted: Box<Admitted>) -> Result<Opened, Refused> {
    let Admitted { claims, account, registration, permit: _permit, cause } = *admitted;
    let (user, connection, node) = (account.id, registration.connection, sockets.app.executor.node);
    let socket = CurrentConnection { connection, node, token: claims.jti, role: claims.role };
    let connect = SessionCommand::Connect(socket);
    let authority = Authority::of_user(user, claims.jti, &cause);
    // Who has connections that may have something to report: the append was guarded by that.
    let mut gateways = BTreeSet::new();
    let observe = |session: &Session| gateways = session.open.values().copied().collect();
    let done = sockets
        .app
        .executor
        .execute_observing::<Session>(user, &connect, authority, Wait::DurableAtOnce, observe)
        .await;
    let position = match done {
        Ok(done) => done.position,
        Err(
            CommandError::Rejected(SessionRejection::NotCurrent)
            | CommandError::Unauthorized(Unauthorized::Token),
        ) => return Err(Refused::Text(refused::BAD_TOKEN)),
        Err(CommandError::Unauthorized(Unauthorized::Account)) => {
            return Err(Refused::Text(refused::DISABLED));
        }
        Err(error) => {
            // The log may have it nevertheless, and nobody else would ever say that this connection is gone.
            registration.end(DisconnectReason::Closed);
            return Err(later(error));
        }
    };
    // Once this node has seen it, its older connections are superseded, and have been alerted.
    if !sockets.app.executor.wait_for_local(position).await {
        registration.end(DisconnectReason::Closed);
        return Err(later("this gateway lags behind the log"));
    }
    gateways.remove(&node);
    let barrier = takeover(sockets.clone(), user, connection, position, gateways);
    let barrier = Box::pin(barrier.instrument(Span::current()));
    Ok(Opened { user, role: claims.role, registration, account: Box::new(account), barrier })
}
