//! The state that all connections of this gateway share, beside what HTTP has too.

use std::{ops::Deref, sync::Arc};

use tokio::sync::Semaphore;

use super::{
    delivery_acks::DeliveryAcks, group_subscriptions::GroupSubscriptions,
    opening_order::OpeningOrder, registry::ConnectionRegistry,
};
use crate::{
    adapters::nats::{hand_over::HandOverChannel, subscriptions::Subscriptions},
    state::App,
};

/// How many connections of a gateway read their queues at once.
const REFETCHES: usize = 64;

/// What connections work with; a clone is one count.
#[derive(Clone)]
pub struct Sockets(Arc<Shared>);

impl Deref for Sockets {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// What a clone of [`Sockets`] shares with the others.
pub struct Shared {
    /// What HTTP works with, too.
    pub app: App,
    /// What this gateway receives from NATS.
    pub subscriptions: Subscriptions,
    /// To and from the other gateways.
    pub hand_overs: HandOverChannel,
    /// The connections of this gateway.
    pub registry: Arc<ConnectionRegistry>,
    /// In which order those of one user open.
    pub opening_order: OpeningOrder,
    /// So many of them read their queues at once.
    pub refetches: Semaphore,
    /// What they receive of large groups.
    pub group_subscriptions: GroupSubscriptions,
    /// What they have received.
    pub delivery_acks: DeliveryAcks,
}

impl Sockets {
    /// Of a gateway without a connection yet. Run the returned future, which must outlive the connections.
    pub fn start(
        app: App,
        hand_overs: HandOverChannel,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let executor = &app.executor;
        let delivery_acks = DeliveryAcks::new(executor.log.clone(), executor.node);
        let subscriptions = Subscriptions::default();
        let (registry, reporter) = ConnectionRegistry::start(
            executor.clone(),
            delivery_acks.clone(),
            subscriptions.clone(),
            app.config.limits.sockets_per_user,
        );
        let sockets = Shared {
            app,
            hand_overs,
            registry,
            opening_order: OpeningOrder::default(),
            refetches: Semaphore::new(REFETCHES),
            group_subscriptions: GroupSubscriptions::new(subscriptions.clone()),
            subscriptions,
            delivery_acks,
        };
        (Self(Arc::new(sockets)), reporter)
    }
}
