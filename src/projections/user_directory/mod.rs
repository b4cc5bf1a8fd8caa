//! The user directory: accounts, settings, profiles. In PostgreSQL.

#![expect(missing_docs, reason = "a field whose name says what it is needs no comment")]

mod listing;

use std::collections::BTreeMap;

use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    Projection, ProjectionParts, StoreError,
    engine::postgres::{PostgresStore, PostgresTx, Tables, column, number},
};
use crate::{
    commands::user::{Account, User},
    events::{
        Device, Event, Position, Recorded, Role, SessionEvent, Timestamp, UserEvent, UserId,
        Username,
    },
};

pub use listing::{ListedAccount, listed};

const TABLES: Tables =
    Tables { ddl: include_str!("schema.sql"), indexes: "", keys: &[("users", "id")] };

/// The read model.
pub struct UserDirectory;

impl Projection for UserDirectory {
    type Store = PostgresStore;
    type Effect = ();
    const NAME: &'static str = "user_directory";
    const SUBJECTS: &'static [&'static str] = &["evt.user.>", "evt.session.>"];

    fn open(parts: &ProjectionParts) -> (Self, PostgresStore) {
        (Self, PostgresStore::new(parts.pool.clone(), &TABLES))
    }

    async fn apply(
        &self,
        tx: &mut PostgresTx,
        batch: &[Recorded<Event>],
    ) -> Result<Vec<()>, StoreError> {
        let (mut registered, mut changed) = (Vec::new(), Vec::new());
        let mut signed_in = BTreeMap::new();
        for recorded in batch {
            match &recorded.event {
                Event::User(_, event @ UserEvent::Registered { id, .. }) => {
                    signed_in.remove(&id.0); // nobody was there yet
                    registered.extend(Registered::of(event, recorded.position));
                }
                Event::User(user, event) => changed.push((user, event, recorded)),
                Event::Session(user, SessionEvent::LoggedIn { .. }) => {
                    let at = recorded.at.date_time();
                    let (last, latest) = signed_in.entry(user.0).or_insert((at, at));
                    (*last, *latest) = (at, at.max(*latest)); // clocks may differ
                }
                _ => {}
            }
        }
        // An account is registered before anything else happens to it, and the rest are different columns.
        insert(tx, &registered).await?;
        for (user, event, recorded) in changed {
            change(tx, *user, event, recorded).await?;
        }
        sign_in(tx, signed_in).await?;
        Ok(Vec::new())
    }
}

/// A new account.
struct Registered<'a> {
    id: i64,
    uuid: Uuid,
    username: &'a Username,
    avatar: &'a str,
    role: &'static str,
    device: Device,
    at: OffsetDateTime,
    version: i64,
}

impl<'a> Registered<'a> {
    fn of(event: &'a UserEvent, position: Position) -> Option<Self> {
        let UserEvent::Registered { id, uuid, username, role, device, avatar, at } = event else {
            return None;
        };
        Some(Self {
            id: id.0,
            uuid: *uuid,
            username,
            avatar,
            role: role.as_str(),
            device: device.clone().unwrap_or_default(),
            at: at.date_time(),
            version: number(position),
        })
    }
}

async fn insert(tx: &mut PgConnection, rows: &[Registered<'_>]) -> Result<(), StoreError> {
    let Some(highest) = rows.iter().map(|row| row.id).max() else { return Ok(()) };
    sqlx::query!(
        "insert into users (id, uuid, username, username_fold, avatar, role, device, uniplatform,
             devicemodel, deviceos, devicebrand, registered_at, updated_at, version)
         select id, uuid, username, fold, avatar, role, device, uniplatform, model, os, brand, at, at, version
         from unnest($1::bigint[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
             $8::text[], $9::text[], $10::text[], $11::text[], $12::timestamptz[], $13::bigint[])
             as new (id, uuid, username, fold, avatar, role, device, uniplatform, model, os, brand, at, version)
         on conflict (id) do nothing",
        &column(rows, |row| row.id),
        &column(rows, |row| row.uuid),
        &column(rows, |row| row.username.0.clone()),
        &column(rows, |row| row.username.folded()),
        &column(rows, |row| row.avatar.to_owned()),
        &column(rows, |row| row.role.to_owned()),
        &column(rows, |row| row.device.fingerprint.clone()),
        &column(rows, |row| row.device.uniplatform.clone()),
        &column(rows, |row| row.device.model.clone()),
        &column(rows, |row| row.device.os.clone()),
        &column(rows, |row| row.device.brand.clone()),
        &column(rows, |row| row.at),
        &column(rows, |row| row.version),
    )
    .execute(&mut *tx)
    .await?;
    raise_sequence(tx, "ids.users", highest).await
}

/// When users last signed in, and the latest of those times.
async fn sign_in(
    tx: &mut PgConnection,
    times: BTreeMap<i64, (OffsetDateTime, OffsetDateTime)>,
) -> Result<(), StoreError> {
    if times.is_empty() {
        return Ok(());
    }
    let (users, times): (Vec<i64>, Vec<_>) = times.into_iter().unzip();
    let (last, latest): (Vec<OffsetDateTime>, Vec<OffsetDateTime>) = times.into_iter().unzip();
    sqlx::query!(
        "update users set last_login = new.last, updated_at = greatest(updated_at, new.latest)
         from unnest($1::bigint[], $2::timestamptz[], $3::timestamptz[]) as new (id, last, latest)
         where users.id = new.id",
        &users,
        &last,
        &latest
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Keeps a sequence above every number that the log holds: the database may be older than the log.
pub(super) async fn raise_sequence(
    tx: &mut PgConnection,
    sequence: &str,
    highest: i64,
) -> Result<(), StoreError> {
    sqlx::query!(
        "select setval($1::text::regclass, $2) from pg_sequences
         where schemaname || '.' || sequencename = $1 and coalesce(last_value, 0) < $2",
        sequence,
        highest
    )
    .fetch_optional(tx)
    .await?;
    Ok(())
}

async fn change(
    tx: &mut PgConnection,
    user: UserId,
    event: &UserEvent,
    recorded: &Recorded<Event>,
) -> Result<(), StoreError> {
    let at = recorded.at.date_time();
    let version = number(recorded.position);
    if matches!(event, UserEvent::FileUploaded(_)) {
        // Not of this read model; but the account's last event is another one.
        sqlx::query!("update users set version = $2 where id = $1", user.0, version)
            .execute(&mut *tx)
            .await?;
        return Ok(());
    }
    sqlx::query!(
        "update users set version = $2, updated_at = greatest(updated_at, $3) where id = $1",
        user.0,
        version,
        at
    )
    .execute(&mut *tx)
    .await?;
    let change = match event {
        UserEvent::Registered { .. } | UserEvent::PasswordChanged | UserEvent::FileUploaded(_) => {
            return Ok(());
        }
        UserEvent::Upgraded { username } => sqlx::query!(
            "update users set username = $2, username_fold = $3, role = 'user' where id = $1",
            user.0,
            username.0,
            username.folded()
        ),
        UserEvent::DeviceDescribed { device } => sqlx::query!(
            "update users set uniplatform = $2, devicemodel = $3, deviceos = $4, devicebrand = $5
             where id = $1",
            user.0,
            device.uniplatform,
            device.model,
            device.os,
            device.brand
        ),
        UserEvent::NicknameChanged { nickname } => {
            sqlx::query!("update users set nickname = $2 where id = $1", user.0, nickname)
        }
        UserEvent::AvatarChanged { avatar } => {
            sqlx::query!("update users set avatar = $2 where id = $1", user.0, avatar)
        }
        UserEvent::InviteConfirmChanged { invite_confirm } => sqlx::query!(
            "update users set invite_confirm = $2 where id = $1",
            user.0,
            invite_confirm
        ),
        UserEvent::SettingsChanged { userset } => {
            sqlx::query!("update users set userset = $2 where id = $1", user.0, userset)
        }
        UserEvent::Disabled => {
            sqlx::query!("update users set disabled = true where id = $1", user.0)
        }
        UserEvent::Enabled => {
            sqlx::query!("update users set disabled = false where id = $1", user.0)
        }
        UserEvent::Deleted => {
            sqlx::query!("update users set disabled = true, deleted = true where id = $1", user.0)
        }
        UserEvent::Erased { .. } => sqlx::query!(
            "update users set erased = true, username = '', username_fold = '', nickname = '', avatar = '',
                 userset = '', device = '', uniplatform = '', devicemodel = '', deviceos = '', devicebrand = ''
             where id = $1",
            user.0
        ),
    };
    change.execute(&mut *tx).await?;
    Ok(())
}

/// An account as the rules see it, with the version that it is.
///
/// # Errors
/// The database cannot be reached.
pub async fn load(pool: &PgPool, user: UserId) -> sqlx::Result<(User, Position)> {
    let row = sqlx::query!(
        "select id, uuid, username, nickname, avatar, role, device, uniplatform, devicemodel,
             deviceos, devicebrand, userset, invite_confirm, disabled, deleted, erased, registered_at, version
         from users where id = $1",
        user.0
    )
    .fetch_optional(pool)
    .await?;
    let Some(row) = row else {
        return Ok((User::Unregistered, Position(0)));
    };
    let device = (!row.device.is_empty()).then_some(Device {
        fingerprint: row.device,
        uniplatform: row.uniplatform,
        model: row.devicemodel,
        os: row.deviceos,
        brand: row.devicebrand,
    });
    let account = Account {
        id: UserId(row.id),
        uuid: row.uuid,
        username: Username(row.username),
        nickname: row.nickname,
        avatar: row.avatar,
        role: Role::parse(&row.role),
        device,
        userset: row.userset.into(),
        invite_confirm: row.invite_confirm,
        disabled: row.disabled,
        deleted: row.deleted,
        erased: row.erased,
        registered_at: Timestamp::of(row.registered_at),
    };
    Ok((User::Registered(Box::new(account)), Position(row.version.unsigned_abs())))
}

/// What a profile shows beyond the account (data.md §2.2).
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    pub user: UserId,
    /// `male`, `female` or `unknown`.
    pub gender: String,
    pub birthday: Option<Timestamp>,
    pub bio: Option<String>,
    /// Where they live.
    pub location: Option<String>,
    pub website: Option<String>,
}

/// Who has this public identifier, with their profile.
///
/// # Errors
/// The database cannot be reached.
pub async fn profile(pool: &PgPool, uuid: Uuid) -> sqlx::Result<Option<Profile>> {
    let row = sqlx::query!(
        "select id, gender, birthday, bio, location, website from users where uuid = $1",
        uuid
    )
    .fetch_optional(pool)
    .await?;
    Ok(row.map(|row| Profile {
        user: UserId(row.id),
        gender: row.gender,
        birthday: row.birthday.map(Timestamp::of),
        bio: row.bio,
        location: row.location,
        website: row.website,
    }))
}

/// Somebody as others find them.
#[derive(Debug, Clone, PartialEq)]
pub struct ListedUser {
    pub id: UserId,
    /// The public identifier.
    pub uuid: Uuid,
    /// The log-in name.
    pub username: String,
    /// The display name; may be empty.
    pub nickname: String,
    pub avatar: String,
}

/// Registered, enabled users whose username holds `part` in any spelling, but not `seeker`; by id.
///
/// This reads row after row until there are enough: a part may be a single character, which no
/// index of trigrams finds. A part that nobody has costs 0.2 to 0.3 s among a million accounts.
///
/// # Errors
/// The database cannot be reached.
pub async fn search(pool: &PgPool, part: &str, seeker: UserId) -> sqlx::Result<Vec<ListedUser>> {
    let pattern = format!("%{}%", literal(&Username(part.to_owned()).folded()));
    let rows = sqlx::query!(
        "select id, uuid, username, nickname, avatar from users
         where username_fold like $1 and role = 'user' and not disabled and id <> $2
         order by id limit 200",
        pattern,
        seeker.0
    )
    .fetch_all(pool)
    .await?;
    let found = rows.into_iter().map(|row| ListedUser {
        id: UserId(row.id),
        uuid: row.uuid,
        username: row.username,
        nickname: row.nickname,
        avatar: row.avatar,
    });
    Ok(found.collect())
}

/// A text as a pattern of `like` that matches nothing else (DEV-31).
pub(super) fn literal(text: &str) -> String {
    text.replace('\\', r"\\").replace('%', r"\%").replace('_', r"\_")
}

/// An account as rosters show it (rest.md §23).
#[derive(Debug, Clone, PartialEq)]
pub struct RosterUser {
    pub id: UserId,
    /// The public identifier.
    pub uuid: Uuid,
    /// The log-in name.
    pub username: String,
    /// The display name; may be empty.
    pub nickname: String,
    pub avatar: String,
    /// The row role.
    pub role: String,
}

/// Some accounts at once, in no particular order.
///
/// # Errors
/// The database cannot be reached.
pub async fn roster_users(pool: &PgPool, users: &[UserId]) -> sqlx::Result<Vec<RosterUser>> {
    let ids: Vec<i64> = users.iter().map(|user| user.0).collect();
    let rows = sqlx::query!(
        "select id, uuid, username, nickname, avatar, role from users where id = any($1)",
        &ids
    )
    .fetch_all(pool)
    .await?;
    let users = rows.into_iter().map(|row| RosterUser {
        id: UserId(row.id),
        uuid: row.uuid,
        username: row.username,
        nickname: row.nickname,
        avatar: row.avatar,
        role: row.role,
    });
    Ok(users.collect())
}

/// Accounts that were deleted, and whether they were erased since.
///
/// # Errors
/// The database cannot be reached.
pub async fn deleted(pool: &PgPool) -> sqlx::Result<Vec<(UserId, bool)>> {
    let found = sqlx::query!("select id, erased from users where deleted order by id");
    let rows = found.fetch_all(pool).await?;
    Ok(rows.into_iter().map(|row| (UserId(row.id), row.erased)).collect())
}

/// Who has this log-in name, in any spelling that folds to it.
///
/// # Errors
/// The database cannot be reached.
pub async fn named(pool: &PgPool, name: &Username) -> sqlx::Result<Option<UserId>> {
    let folded = name.folded();
    let found = sqlx::query_scalar!("select id from users where username_fold = $1", folded);
    Ok(found.fetch_optional(pool).await?.map(UserId))
}
