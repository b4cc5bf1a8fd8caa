//! Evicted entries, which queues and timelines do not hold any more, are fetched from `message_history` (ADR 0016).

use sqlx::PgPool;
use tracing::warn;

use crate::{
    events::{GroupId, Position, UserId},
    projections::{
        Projection as _,
        engine::postgres,
        message_history::{self, MessageHistory},
        offline_queue::query::{
            EntryContent, FetchRequest, FetchResult, Part, QueueEntry, TimelineEntry,
        },
    },
};

/// Fills in what was evicted of what `user`'s connection has seen; `false` if `message_history` is not that far.
pub(super) async fn fill(
    pool: &PgPool,
    user: UserId,
    wanted: &FetchRequest,
    seen: &mut FetchResult,
) -> sqlx::Result<bool> {
    let of_queue = positions(&seen.queue.entries).last().copied();
    let of_timelines = seen.timelines.iter().filter_map(|part| part.evicted);
    let Some(last) = of_timelines.chain(of_queue).max() else { return Ok(true) };
    if !postgres::has_seen(pool, MessageHistory::NAME, Position(last)).await? {
        return Ok(false);
    }
    let bytes = wanted.bytes_of_each();
    fill_queue(pool, user, bytes, &mut seen.queue).await?;
    for ((group, (from, _)), part) in wanted.timelines.iter().zip(&mut seen.timelines) {
        if let Some(to) = part.evicted.take() {
            *part = timeline(pool, *group, (*from, to), (wanted.most, bytes)).await?;
        }
    }
    Ok(true)
}

fn positions(queue: &[QueueEntry]) -> Vec<u64> {
    let evicted = queue.iter().filter(|entry| entry.content == EntryContent::Evicted);
    evicted.map(|entry| entry.position).collect()
}

async fn fill_queue(
    pool: &PgPool,
    user: UserId,
    bytes: usize,
    queue: &mut Part<QueueEntry>,
) -> sqlx::Result<()> {
    let positions = positions(&queue.entries);
    if positions.is_empty() {
        return Ok(());
    }
    let objects = message_history::for_user(pool, user, &positions, bytes).await?;
    let all = objects.len() == positions.len();
    let mut objects = objects.into_iter();
    let mut first = 0; // of those that have to wait
    for entry in &mut queue.entries {
        if entry.content == EntryContent::Evicted {
            let Some((position, object)) = objects.next() else { break };
            if object.is_none() {
                warn!(%position, "message_history does not know the entry at {position}");
            }
            entry.content = object.map_or(EntryContent::Nothing, EntryContent::Object);
        }
        first += 1;
    }
    if !all {
        queue.entries.truncate(first);
        queue.up_to = queue.entries.last().map_or(queue.up_to, |last| last.position);
    }
    Ok(())
}

/// What a timeline has forgotten of what was wanted.
async fn timeline(
    pool: &PgPool,
    group: GroupId,
    (from, to): (u64, u64),
    (most, bytes): (usize, usize),
) -> sqlx::Result<Part<TimelineEntry>> {
    let rows = message_history::in_group(pool, group, (from, to), most, bytes).await?;
    let mut after = from - 1;
    let entries = rows.into_iter().map(|row| {
        let message_history::HistoryEntry { position, author, object } = row;
        let said = TimelineEntry { position, after, author, object };
        after = position;
        said
    });
    let entries: Vec<TimelineEntry> = entries.collect();
    // The rest is looked for from there on.
    let up_to = entries.last().map_or(to, |last| last.position);
    Ok(Part { entries, up_to, evicted: None })
}
