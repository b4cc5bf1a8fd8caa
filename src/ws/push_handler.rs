//! The push handler hands pushes to the connections that they are for, and has connections refetch those that
//! it may have missed.

use std::sync::Arc;

use super::sockets::Sockets;
use crate::adapters::nats::{
    push::{self, Push},
    subscriptions::SubscriptionEvent,
    watermarks::Continuity,
};

/// Hands on what is heard.
#[derive(Clone)]
pub struct PushHandler {
    sockets: Sockets,
    continuity: Arc<Continuity>,
}

impl PushHandler {
    /// For the connections of this gateway.
    pub fn new(sockets: Sockets) -> Self {
        Self { sockets, continuity: Arc::default() }
    }

    /// Hands on what came from the server.
    pub async fn receive(&self, event: SubscriptionEvent) {
        match push::read(event) {
            // This process has told its connections by itself.
            Some(Push::Group { delivered_by, .. })
                if delivered_by == Some(self.sockets.app.executor.node) => {}
            Some(push) => self.dispatch(push).await,
            None => {}
        }
    }

    /// Hands on a push.
    pub async fn dispatch(&self, push: Push) {
        let (registry, groups) = (&self.sockets.registry, &self.sockets.group_subscriptions);
        match push {
            Push::Queue { push, frame } => {
                registry.push(push, frame, self.sockets.app.metrics.push_timer());
            }
            Push::Drain { user, reply } => {
                if let Some(reply) = reply.filter(|_| registry.drain(user)) {
                    self.sockets.subscriptions.answer(&reply);
                }
            }
            Push::Group { push, frame, .. } => {
                let timer = self.sockets.app.metrics.push_timer();
                groups.deliver(&self.sockets.app.executor, push, frame, timer).await;
            }
            Push::Watermarks(watermarks) => {
                if !self.continuity.follows(&watermarks) {
                    registry.refetch_all();
                }
                for (user, number) in watermarks.users {
                    registry.on_queue_watermark(user, number);
                }
                for (group, position) in watermarks.groups {
                    groups.on_timeline_watermark(group, position);
                }
            }
            Push::Resync => registry.refetch_all(),
        }
    }
}
