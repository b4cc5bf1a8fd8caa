//! Hand-over requests between gateways: "stop delivering to this user, I have their connection now".

use std::time::Duration;

use async_nats::{Client, Message, RequestErrorKind};
use bytes::Bytes;
use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep, timeout};

use crate::events::{NodeId, Position, UserId};

/// How long a new socket waits for the node of an older one, which may be dead.
const LIMIT: Duration = Duration::from_secs(2);

/// How long that node may be on its way back to a server that was restarted, and how often it is asked.
const RETURN: Duration = Duration::from_millis(600);
const PAUSE: Duration = Duration::from_millis(100);

/// The other gateways.
#[derive(Clone)]
pub struct HandOverChannel {
    client: Client,
}

/// A request to hand a user's queue over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandOverRequest {
    /// Whose.
    pub user: UserId,
    /// Where the log says that another socket has it.
    pub since: Position,
}

impl HandOverChannel {
    /// Over `client`.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Asks `node`, and answers with the position of its last delivery report; `None` if it does
    /// not answer in time.
    pub async fn hand_over(&self, node: NodeId, request: HandOverRequest) -> Option<Position> {
        let body = Bytes::from(serde_json::to_vec(&request).expect("plain data"));
        let asked = Instant::now();
        let answer = async {
            loop {
                match self.client.request(subject(node), body.clone()).await {
                    Err(error)
                        if error.kind() == RequestErrorKind::NoResponders
                            && asked.elapsed() < RETURN =>
                    {
                        sleep(PAUSE).await;
                    }
                    answer => return answer.ok(),
                }
            }
        };
        let answer = timeout(LIMIT, answer).await.ok()??;
        serde_json::from_slice(&answer.payload).ok()
    }

    /// Answers the requests to `node` with what `serve` says, for ever.
    ///
    /// # Errors
    /// Not connected to the server.
    pub async fn serve<F>(
        &self,
        node: NodeId,
        serve: impl Fn(HandOverRequest) -> F,
    ) -> Result<(), async_nats::SubscribeError>
    where
        F: Future<Output = Option<Position>> + Send + 'static,
    {
        let requests = self.client.subscribe(subject(node)).await?;
        requests
            .for_each_concurrent(256, |message| {
                let work = serde_json::from_slice(&message.payload).ok().map(&serve);
                async move {
                    if let Some(work) = work
                        && let Some(position) = work.await
                    {
                        self.answer(&message, position).await;
                    }
                }
            })
            .await;
        Ok(())
    }

    async fn answer(&self, request: &Message, position: Position) {
        if let Some(reply) = request.reply.clone() {
            let body = serde_json::to_vec(&position).expect("plain data");
            _ = self.client.publish(reply, body.into()).await;
        }
    }
}

fn subject(node: NodeId) -> String {
    format!("node.{node}.handover")
}
