//! The checkpoint of a read model: where it is in the log, and whether the log still holds that place.

use super::generation::Generation;
use crate::{
    adapters::nats::event_log::EventLog,
    adapters::nats::log_error::LogError,
    events::{Event, Position, Recorded},
};

/// Where a read model is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Checkpoint {
    /// The last event that counts.
    pub position: Position,
    /// Its identity: the same position in another log is another event.
    pub event: Option<uuid::Uuid>,
}

impl Checkpoint {
    /// After the last of these events; the beginning, if there are none.
    pub fn of(events: &[Recorded<Event>]) -> Self {
        events.last().map_or_else(Self::default, |last| Self {
            position: last.position,
            event: Some(last.id),
        })
    }

    /// Does the log, created then and ending at `last`, hold what was applied? After a power loss it may end before.
    ///
    /// # Errors
    /// The log cannot be reached.
    pub(super) async fn is_held_by(
        &self,
        log: &EventLog,
        generation: &Generation,
        created: i64,
        last: Position,
    ) -> Result<bool, LogError> {
        if self.position.0 == 0 {
            return Ok(generation.log_created == created);
        }
        if generation.log_created != created || self.position > last {
            return Ok(false);
        }
        // An event that is not there any more was a short-lived one.
        match log.at(self.position).await {
            Ok(stored) => Ok(stored.is_none_or(|event| Some(event.id) == self.event)),
            Err(LogError::Corrupt { .. }) => Ok(true),
            Err(error) => Err(error),
        }
    }
}
