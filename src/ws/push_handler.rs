//! What a gateway does with pushes: it hands them to the sockets that they are for, and has sockets look for those that
//! it may have missed.

use std::sync::Arc;

use crate::{
    adapters::nats::{
        push::{self, Push},
        subscriptions::Heard,
        watermarks::Continuity,
    },
    app::App,
};

/// Hands on what is heard.
#[derive(Clone)]
pub struct PushHandler {
    app: App,
    continuity: Arc<Continuity>,
}

impl PushHandler {
    /// For the sockets of `app`.
    pub fn new(app: App) -> Self {
        Self { app, continuity: Arc::default() }
    }

    /// Hands on what came from the server.
    pub async fn hear(&self, heard: Heard) {
        match push::read(heard) {
            // This process has told its sockets by itself.
            Some(Push::Said { told, .. }) if told == Some(self.app.executor.node) => {}
            Some(push) => self.hand_on(push).await,
            None => {}
        }
    }

    /// Hands on a push.
    pub async fn hand_on(&self, push: Push) {
        let (hub, lanes) = (&self.app.hub, &self.app.lanes);
        match push {
            Push::Frame { user, number, connection, frame } => {
                hub.push(user, connection, number, frame);
            }
            Push::Drain { user, reply } => {
                if let Some(reply) = reply.filter(|_| hub.drain(user)) {
                    self.app.interest.answer(&reply);
                }
            }
            Push::Said { said, frame, .. } => lanes.tell(&self.app.executor, said, frame).await,
            Push::Watermarks(watermarks) => {
                if !self.continuity.follows(&watermarks) {
                    hub.resync();
                }
                for (user, number) in watermarks.users {
                    hub.pushed(user, number);
                }
                for (group, position) in watermarks.groups {
                    lanes.pushed(group, position);
                }
            }
            Push::Resync => hub.resync(),
        }
    }
}
