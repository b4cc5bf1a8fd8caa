//! The rules between two users' address books (data.md §7).

#![expect(missing_docs, reason = "a field whose name says what it is needs no comment")]

use serde::Serialize;

use super::{decider::Decider, footprint::Footprint};
use crate::events::{
    Answer, EdgeId, FriendshipEvent, MessageId, NewEdge, Pair, Position, RequestId, UserId,
    UserSummary, Visibility,
};

/// Both directions between two users.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Friendship {
    edges: Vec<Edge>,
    requests: Vec<Request>,
}

/// "`friend` is in `owner`'s address book."
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Edge {
    pub id: EdgeId,
    pub owner: UserId,
    /// The owner's remark.
    pub remark: String,
    /// On the owner's blacklist?
    pub blocked: bool,
    /// Starred by the owner?
    pub starred: bool,
    /// Who sees whose posts.
    pub visibility: Visibility,
}

/// A request that still counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Request {
    pub id: RequestId,
    pub asker: UserId,
    /// Waiting for an answer, or agreed to?
    pub pending: bool,
}

impl Friendship {
    /// What a read model holds of it, in no particular order.
    pub fn from_rows(mut edges: Vec<Edge>, mut requests: Vec<Request>) -> Self {
        edges.sort_by_key(|edge| edge.owner);
        requests.sort_by_key(|request| request.asker);
        Self { edges, requests }
    }

    /// The other user in `owner`'s address book.
    pub fn edge_of(&self, owner: UserId) -> Option<&Edge> {
        self.edges.iter().find(|edge| edge.owner == owner)
    }

    /// The same, as long as the owner has not put them on the blacklist.
    fn usable_edge_of(&self, owner: UserId) -> Result<&Edge, FriendshipRejection> {
        let edge = self.edge_of(owner).filter(|edge| !edge.blocked);
        edge.ok_or(FriendshipRejection::NotInBookOrBlocked)
    }

    fn edge_mut(&mut self, owner: UserId) -> Option<&mut Edge> {
        self.edges.iter_mut().find(|edge| edge.owner == owner)
    }

    /// The request of `asker` that is pending or agreed.
    fn request_of(&self, asker: UserId) -> Option<&Request> {
        self.requests.iter().find(|request| request.asker == asker)
    }

    /// Edges for those of `wanted` that are not there yet; existing ones stay as they are.
    fn missing(&self, wanted: [NewEdge; 2]) -> Vec<NewEdge> {
        wanted.into_iter().filter(|edge| self.edge_of(edge.owner).is_none()).collect()
    }

    fn add(&mut self, at: Position, edges: &[NewEdge]) {
        let fresh = edges.iter().enumerate().map(|(index, edge)| Edge {
            id: EdgeId::made_at(at, index),
            owner: edge.owner,
            remark: edge.remark.clone(),
            blocked: false,
            starred: false,
            visibility: Visibility::default(),
        });
        self.edges.extend(fresh);
        self.edges.sort_by_key(|edge| edge.owner);
    }

    fn put_request(&mut self, id: RequestId, asker: UserId, pending: bool) {
        self.requests.retain(|request| request.asker != asker);
        self.requests.push(Request { id, asker, pending });
        self.requests.sort_by_key(|request| request.asker);
    }
}

/// What can be asked between two users.
#[derive(Debug, Clone)]
pub enum FriendshipCommand {
    /// Ask to be friends (rest.md §11).
    Request {
        asker: UserSummary,
        /// Who is asked.
        asked: UserSummary,
        text: String,
        /// The picture beside the notice.
        icon: String,
        /// The id of the notice.
        notice: MessageId,
    },
    /// Answer a request (rest.md §13).
    Answer {
        request: RequestId,
        /// `None`: leave it pending, which still checks that it is.
        answer: Option<Answer>,
        caller: UserSummary,
        /// The asker, by the name that the notice uses.
        other: UserSummary,
        /// The edges wanted if the answer is yes, the caller's first.
        edges: [NewEdge; 2],
        /// The id of the notice.
        notice: MessageId,
    },
    /// Become friends at once (rest.md §40).
    Befriend {
        /// Who does it.
        caller: UserSummary,
        other: UserSummary,
        text: String,
        /// The edges wanted, the caller's first.
        edges: [NewEdge; 2],
        /// The id of the notice.
        notice: MessageId,
    },
    /// Stop being friends (rest.md §37).
    End {
        /// Who ends it.
        by: UserId,
    },
    /// Put on the blacklist, or take off (rest.md §16).
    ToggleBlacklist { owner: UserId },
    /// Star, or take the star away (rest.md §17).
    ToggleStar { owner: UserId },
    /// Choose who sees whose posts (rest.md §18).
    SetVisibility {
        owner: UserId,
        /// How it shall be.
        visibility: Visibility,
    },
}

/// Why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FriendshipRejection {
    /// A pending or agreed request of the same asker exists.
    #[error("a request in the same direction exists")]
    AlreadyAsked,
    /// No such request, not addressed to the caller, or answered.
    #[error("no such pending request")]
    NotPending,
    /// The other is not in the caller's address book.
    #[error("not in the address book")]
    NotInBook,
    /// The other is not in the caller's address book, or on the caller's blacklist.
    #[error("not in the address book, or on the blacklist")]
    NotInBookOrBlocked,
}

impl Footprint for Friendship {
    fn footprint(&self) -> usize {
        let edges = self.edges.iter().map(|edge| size_of_val(edge) + edge.remark.len());
        edges.sum::<usize>() + size_of_val(self.requests.as_slice())
    }
}

impl Decider for Friendship {
    type Id = Pair;
    type Command = FriendshipCommand;
    type Event = FriendshipEvent;
    type Rejection = FriendshipRejection;

    fn decide(
        &self,
        command: &FriendshipCommand,
    ) -> Result<Option<FriendshipEvent>, FriendshipRejection> {
        Ok(match command.clone() {
            FriendshipCommand::Request { asker, asked, text, icon, notice } => {
                if self.request_of(asker.id).is_some() {
                    return Err(FriendshipRejection::AlreadyAsked);
                }
                Some(FriendshipEvent::Requested { asker, asked, text, icon, notice })
            }
            FriendshipCommand::Answer { request, answer, caller, other, edges, notice } => {
                self.request_of(other.id)
                    .filter(|asked| asked.id == request && asked.pending)
                    .ok_or(FriendshipRejection::NotPending)?;
                answer.map(|answer| FriendshipEvent::Answered {
                    request,
                    answer,
                    caller,
                    other,
                    edges: match answer {
                        Answer::Agree => self.missing(edges),
                        Answer::Refuse | Answer::Ignore => Vec::new(),
                    },
                    notice,
                })
            }
            FriendshipCommand::Befriend { caller, other, text, edges, notice } => {
                if self.request_of(caller.id).is_some() {
                    return Err(FriendshipRejection::AlreadyAsked);
                }
                Some(FriendshipEvent::Befriended {
                    agreed: self
                        .request_of(other.id)
                        .filter(|asked| asked.pending)
                        .map(|asked| asked.id),
                    edges: self.missing(edges),
                    caller,
                    other,
                    text,
                    notice,
                })
            }
            FriendshipCommand::End { by } => {
                self.edge_of(by).ok_or(FriendshipRejection::NotInBook)?;
                let keeps_block = self.edges.iter().any(|edge| edge.owner != by && edge.blocked);
                Some(FriendshipEvent::Ended { by, keeps_block })
            }
            FriendshipCommand::ToggleBlacklist { owner } => {
                let edge = self.edge_of(owner).ok_or(FriendshipRejection::NotInBook)?;
                Some(FriendshipEvent::BlacklistSet { owner, blocked: !edge.blocked })
            }
            FriendshipCommand::ToggleStar { owner } => {
                let edge = self.usable_edge_of(owner)?;
                Some(FriendshipEvent::StarSet { owner, starred: !edge.starred })
            }
            FriendshipCommand::SetVisibility { owner, visibility } => {
                let edge = self.usable_edge_of(owner)?;
                (edge.visibility != visibility)
                    .then_some(FriendshipEvent::VisibilitySet { owner, visibility })
            }
        })
    }

    fn evolve(&mut self, at: Position, event: &FriendshipEvent) {
        match event {
            FriendshipEvent::Requested { asker, .. } => {
                self.put_request(RequestId::made_at(at), asker.id, true);
            }
            FriendshipEvent::Answered { request, answer: Answer::Agree, other, edges, .. } => {
                self.put_request(*request, other.id, false);
                self.add(at, edges);
            }
            FriendshipEvent::Answered { request, .. } => {
                self.requests.retain(|asked| asked.id != *request);
            }
            FriendshipEvent::Befriended { caller, other, agreed, edges, .. } => {
                self.put_request(RequestId::made_at(at), caller.id, false);
                if let Some(agreed) = agreed {
                    self.put_request(*agreed, other.id, false);
                }
                self.add(at, edges);
            }
            FriendshipEvent::Ended { by, keeps_block } => {
                self.edges.retain(|edge| *keeps_block && edge.owner != *by);
                self.requests.clear();
            }
            FriendshipEvent::BlacklistSet { owner, blocked } => {
                if let Some(edge) = self.edge_mut(*owner) {
                    edge.blocked = *blocked;
                }
            }
            FriendshipEvent::StarSet { owner, starred } => {
                if let Some(edge) = self.edge_mut(*owner) {
                    edge.starred = *starred;
                }
            }
            FriendshipEvent::VisibilitySet { owner, visibility } => {
                if let Some(edge) = self.edge_mut(*owner) {
                    edge.visibility = *visibility;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
