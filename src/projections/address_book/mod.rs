//! The address books, and the requests to be in one. In PostgreSQL.

mod pages;

use std::collections::BTreeMap;

use sqlx::{PgConnection, PgPool};

use super::{
    Projection, ProjectionParts, StoreError,
    engine::postgres::{PostgresStore, PostgresTx, Tables, column, number},
};
use crate::{
    commands::friendship::{Edge, Friendship, Request},
    events::{
        EdgeId, Event, FriendshipEvent, NewEdge, Pair, Position, Recorded, RequestId, Timestamp,
        UserId, Visibility,
    },
};

pub use pages::{Friend, RequestRow, friends, pending_count, pending_request, requests};

const TABLES: Tables = Tables {
    ddl: include_str!("schema.sql"),
    indexes: "",
    keys: &[("friend_edges", "id"), ("friend_requests", "id"), ("friendships", "lo || '.' || hi")],
};

/// The read model.
pub struct AddressBook;

impl Projection for AddressBook {
    type Store = PostgresStore;
    type Effect = ();
    const NAME: &'static str = "address_book";
    const SUBJECTS: &'static [&'static str] = &["evt.friendship.>"];

    fn open(parts: &ProjectionParts) -> (Self, PostgresStore) {
        (Self, PostgresStore::new(parts.pool.clone(), &TABLES))
    }

    async fn apply(
        &self,
        tx: &mut PostgresTx,
        batch: &[Recorded<Event>],
    ) -> Result<Vec<()>, StoreError> {
        let mut versions = BTreeMap::new();
        for recorded in batch {
            if let &Event::Friendship(pair, ref event) = &recorded.event {
                apply(tx, pair, event, (recorded.position, recorded.at)).await?;
                versions.insert(pair, number(recorded.position));
            }
        }
        note_versions(tx, &versions).await?;
        Ok(Vec::new())
    }
}

async fn note_versions(
    tx: &mut PgConnection,
    versions: &BTreeMap<Pair, i64>,
) -> Result<(), StoreError> {
    if versions.is_empty() {
        return Ok(());
    }
    let (lo, hi): (Vec<i64>, Vec<i64>) =
        versions.keys().map(|pair| (pair.lo().0, pair.hi().0)).unzip();
    let versions: Vec<i64> = versions.values().copied().collect();
    sqlx::query!(
        "insert into friendships (lo, hi, version)
         select * from unnest($1::bigint[], $2::bigint[], $3::bigint[])
         on conflict (lo, hi) do update set version = excluded.version",
        &lo,
        &hi,
        &versions
    )
    .execute(tx)
    .await?;
    Ok(())
}

async fn apply(
    tx: &mut PgConnection,
    pair: Pair,
    event: &FriendshipEvent,
    (position, at): (Position, Timestamp),
) -> Result<(), StoreError> {
    match event {
        FriendshipEvent::Requested { asker, asked, text, .. } => {
            let request = RequestId::made_at(position);
            add_request(tx, request, (asker.id, asked.id), text, "pending", at).await
        }
        FriendshipEvent::Answered { request, answer, edges, .. } => {
            answer_request(tx, *request, answer.as_str(), at).await?;
            add_edges(tx, edges, (position, at)).await
        }
        FriendshipEvent::Befriended { caller, other, text, agreed, edges, .. } => {
            let request = RequestId::made_at(position);
            add_request(tx, request, (caller.id, other.id), text, "agree", at).await?;
            if let Some(agreed) = agreed {
                answer_request(tx, *agreed, "agree", at).await?;
            }
            add_edges(tx, edges, (position, at)).await
        }
        FriendshipEvent::Ended { by, keeps_block } => {
            let (by, other) = both(pair, *by);
            sqlx::query!(
                "delete from friend_edges
                 where (owner = $1 and friend = $2) or (owner = $2 and friend = $1 and not $3)",
                by,
                other,
                keeps_block
            )
            .execute(&mut *tx)
            .await?;
            sqlx::query!(
                "delete from friend_requests
                 where (asker = $1 and asked = $2) or (asker = $2 and asked = $1)",
                by,
                other
            )
            .execute(tx)
            .await?;
            Ok(())
        }
        FriendshipEvent::BlacklistSet { owner, blocked } => {
            let (owner, friend) = both(pair, *owner);
            sqlx::query!(
                "update friend_edges set blocked = $3, updated_at = $4
                 where owner = $1 and friend = $2",
                owner,
                friend,
                blocked,
                at.date_time()
            )
            .execute(tx)
            .await?;
            Ok(())
        }
        FriendshipEvent::StarSet { owner, starred } => {
            let (owner, friend) = both(pair, *owner);
            sqlx::query!(
                "update friend_edges set starred = $3, updated_at = $4
                 where owner = $1 and friend = $2",
                owner,
                friend,
                starred,
                at.date_time()
            )
            .execute(tx)
            .await?;
            Ok(())
        }
        FriendshipEvent::VisibilitySet { owner, visibility } => {
            let (owner, friend) = both(pair, *owner);
            sqlx::query!(
                "update friend_edges set friendlookme = $3, melookfriend = $4, updated_at = $5
                 where owner = $1 and friend = $2",
                owner,
                friend,
                i16::from(visibility.friend_sees_mine),
                i16::from(visibility.i_see_theirs),
                at.date_time()
            )
            .execute(tx)
            .await?;
            Ok(())
        }
    }
}

/// The owner and the other one.
fn both(pair: Pair, owner: UserId) -> (i64, i64) {
    (owner.0, pair.other(owner).0)
}

async fn add_request(
    tx: &mut PgConnection,
    request: RequestId,
    (asker, asked): (UserId, UserId),
    text: &str,
    status: &str,
    at: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into friend_requests (id, asker, asked, text, status, created_at, updated_at)
         values ($1, $2, $3, $4, $5, $6, $6)",
        request.0,
        asker.0,
        asked.0,
        text,
        status,
        at.date_time()
    )
    .execute(tx)
    .await?;
    Ok(())
}

async fn answer_request(
    tx: &mut PgConnection,
    request: RequestId,
    status: &str,
    at: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query!(
        "update friend_requests set status = $2, updated_at = $3 where id = $1",
        request.0,
        status,
        at.date_time()
    )
    .execute(tx)
    .await?;
    Ok(())
}

async fn add_edges(
    tx: &mut PgConnection,
    edges: &[NewEdge],
    (position, at): (Position, Timestamp),
) -> Result<(), StoreError> {
    if edges.is_empty() {
        return Ok(());
    }
    let ids = (0..edges.len()).map(|index| EdgeId::made_at(position, index).0);
    sqlx::query!(
        "insert into friend_edges (id, owner, friend, remark, created_at, updated_at)
         select id, owner, friend, remark, $5, $5
         from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[]) as new (id, owner, friend, remark)",
        &ids.collect::<Vec<_>>(),
        &column(edges, |edge| edge.owner.0),
        &column(edges, |edge| edge.friend.0),
        &column(edges, |edge| edge.remark.clone()),
        at.date_time()
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Two users as the rules see them, with the version that it is.
///
/// # Errors
/// The database cannot be reached.
pub async fn load(pool: &PgPool, pair: Pair) -> sqlx::Result<(Friendship, Position)> {
    let (lo, hi) = (pair.lo().0, pair.hi().0);
    // One snapshot: the version must be that of the rows.
    let mut tx = pool.begin_with("begin isolation level repeatable read read only").await?;
    let version =
        sqlx::query_scalar!("select version from friendships where lo = $1 and hi = $2", lo, hi)
            .fetch_optional(&mut *tx)
            .await?;
    let edges = sqlx::query!(
        "select id, owner, remark, blocked, starred, friendlookme, melookfriend
         from friend_edges where (owner = $1 and friend = $2) or (owner = $2 and friend = $1)",
        lo,
        hi
    )
    .fetch_all(&mut *tx)
    .await?;
    let requests = sqlx::query!(
        "select id, asker, status from friend_requests
         where ((asker = $1 and asked = $2) or (asker = $2 and asked = $1))
           and status in ('pending', 'agree')",
        lo,
        hi
    )
    .fetch_all(&mut *tx)
    .await?;
    tx.commit().await?;
    let edges = edges.into_iter().map(|row| Edge {
        id: EdgeId(row.id),
        owner: UserId(row.owner),
        remark: row.remark,
        blocked: row.blocked,
        starred: row.starred,
        visibility: Visibility {
            friend_sees_mine: row.friendlookme != 0,
            i_see_theirs: row.melookfriend != 0,
        },
    });
    let requests = requests.into_iter().map(|row| Request {
        id: RequestId(row.id),
        asker: UserId(row.asker),
        pending: row.status == "pending",
    });
    let friendship = Friendship::from_rows(edges.collect(), requests.collect());
    Ok((friendship, Position(version.unwrap_or(0).unsigned_abs())))
}

/// A row of `goodfriend` (data.md §2.3).
#[derive(Debug, Clone, PartialEq)]
pub struct FriendRow {
    /// The row.
    pub id: EdgeId,
    /// Whose book.
    pub owner: UserId,
    /// Who is in it.
    pub friend: UserId,
    /// The owner's remark.
    pub remark: String,
    /// May the friend see my posts?
    pub friendlookme: i16,
    /// Do I see theirs?
    pub melookfriend: i16,
    /// Starred?
    pub starred: bool,
    /// On the blacklist?
    pub blocked: bool,
}

/// The row of `friend` in `owner`'s book.
///
/// # Errors
/// The database cannot be reached.
pub async fn edge(pool: &PgPool, owner: UserId, friend: UserId) -> sqlx::Result<Option<FriendRow>> {
    let row = sqlx::query!(
        "select id, remark, friendlookme, melookfriend, starred, blocked
         from friend_edges where owner = $1 and friend = $2",
        owner.0,
        friend.0
    )
    .fetch_optional(pool)
    .await?;
    Ok(row.map(|row| FriendRow {
        id: EdgeId(row.id),
        owner,
        friend,
        remark: row.remark,
        friendlookme: row.friendlookme,
        melookfriend: row.melookfriend,
        starred: row.starred,
        blocked: row.blocked,
    }))
}

/// Has `owner` a friend who is not on their blacklist?
///
/// # Errors
/// The database cannot be reached.
pub async fn has_friends(pool: &PgPool, owner: UserId) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select from friend_edges where owner = $1 and not blocked) as "any!""#,
        owner.0
    )
    .fetch_one(pool)
    .await
}

/// Whom these rows of `owner`'s book name, by user id. Rows of other books, and of who is on the
/// blacklist, name nobody (DEV-16).
///
/// # Errors
/// The database cannot be reached.
pub async fn friends_in(pool: &PgPool, owner: UserId, rows: &[i64]) -> sqlx::Result<Vec<UserId>> {
    let friends = sqlx::query_scalar!(
        "select friend from friend_edges
         where owner = $1 and id = any($2) and not blocked order by friend",
        owner.0,
        rows
    );
    Ok(friends.fetch_all(pool).await?.into_iter().map(UserId).collect())
}
