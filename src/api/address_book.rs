//! Address books and friend requests as their owners see them (rest.md §9, §12, §14, §15, §19).

use axum::extract::State;

use super::{
    error::ApiError,
    letter_sections,
    middleware::auth::AuthenticatedUser,
    params::Params,
    route::{Route, get, post},
    users,
};
use crate::{
    commands::user::User,
    events::UserId,
    projections::{
        address_book::{self, Friend, RequestRow},
        user_directory,
    },
    protocol::{
        friends::{
            AddressBookEntry, AddressBookObject, Asker, FriendInfo, FriendObject, FriendRequest,
            FriendRequests, FriendRowObject, ListFriends, ListRequests, OfFriend, OfUser,
            PendingRequest,
        },
        refusals::friends as refused,
        reply::Reply,
        users::ByUuid,
    },
    state::Readers,
};

type Answer<T> = Result<Reply<T>, ApiError>;

pub(super) fn routes() -> Vec<Route> {
    vec![
        post(9, "/api/chat/isApplyfriend/{uuid}", has_asked, "Has this user asked to be my friend?")
            .refuses(&[refused::NO_SUCH_USER, refused::NO_REQUEST]),
        get(12, "/api/chat/listapplyfriend/{page}", requests, "Requests addressed to me")
            .about("All of them, the newest first. `pendingCount` counts those on other pages too."),
        get(14, "/api/chat/goodfriendlist/{page}", list, "My address book, in sections")
            .about("Sections by the first pinyin letter of `name`, `#` last. `total` counts them. Without friends `rows` is an empty list."),
        get(15, "/api/chat/getgoodfriendinfo/{id}", friend, "Data of a friend")
            .refuses(&[refused::NOT_IN_BOOK]),
        post(19, "/api/chat/ismygoodfriend/{id}", is_mine, "Is this user in my book?")
            .for_guests()
            .refuses(&[refused::NOT_A_FRIEND]),
    ]
}

/// Has this user asked to be my friend? (§9)
async fn has_asked(
    State(readers): State<Readers>,
    caller: AuthenticatedUser,
    Params(ByUuid { uuid }): Params<ByUuid>,
) -> Answer<PendingRequest> {
    let pool = readers.pool();
    let asker = match uuid {
        Some(uuid) => user_directory::profile(pool, uuid).await?.map(|profile| profile.user),
        None => None,
    };
    let asker = match asker {
        Some(asker) => readers.state::<User>(asker).await?.active().map(|user| user.id),
        None => None,
    };
    let asker = asker.ok_or_else(|| ApiError::rule(refused::NO_SUCH_USER))?;
    let asked = caller.account.id;
    let request = address_book::pending_request(pool, asker, asked).await?;
    let (id, text) = request.ok_or_else(|| ApiError::rule(refused::NO_REQUEST))?;
    Ok(Reply::of(PendingRequest::of(id, asker, asked, text)))
}

/// Requests addressed to me (§12)
async fn requests(
    State(readers): State<Readers>,
    caller: AuthenticatedUser,
    Params(ListRequests { page }): Params<ListRequests>,
) -> Answer<FriendRequests> {
    let (pool, me) = (readers.pool(), caller.account.id);
    let rows = address_book::requests(pool, me, page).await?;
    let alldata = rows.into_iter().map(|row| request(row, me)).collect();
    let pending = address_book::pending_count(pool, me).await?;
    Ok(Reply::of(FriendRequests { alldata, pending }))
}

fn request(row: RequestRow, asked: UserId) -> FriendRequest {
    let RequestRow { id, text, status, created_at, updated_at, asker } = row;
    FriendRequest {
        create_time: created_at.row_text(),
        id,
        user_id: asker.id,
        friend_id: asked,
        nickname: text,
        friendlookme: 1,
        melookfriend: 1,
        ismystarfriend: 0,
        isblack: 0,
        status,
        order: 50,
        update_time: updated_at.iso_text(),
        asker: asker.id,
        user: Asker {
            id: asker.id,
            username: asker.username,
            avatar: asker.avatar,
            nickname: asker.nickname,
            uuid: asker.uuid,
        },
    }
}

/// My address book, in sections (§14)
async fn list(
    State(readers): State<Readers>,
    caller: AuthenticatedUser,
    Params(ListFriends { page }): Params<ListFriends>,
) -> Answer<AddressBookObject> {
    let friends = address_book::friends(readers.pool(), caller.account.id, page).await?;
    let entries = friends.into_iter().map(entry).collect();
    Ok(Reply::of(AddressBookObject::of(entries, letter_sections::OTHERS)))
}

/// A friend, and the section where they stand.
fn entry(Friend { id, remark, user }: Friend) -> (char, AddressBookEntry) {
    let names = [&remark, &user.nickname, &user.username];
    let name = names.into_iter().find(|name| !name.is_empty()).unwrap_or(&user.username).clone();
    let section = letter_sections::of(&name);
    let entry = AddressBookEntry {
        id,
        beizhu: remark,
        username: user.username,
        avatar: user.avatar,
        friend_nickname: user.nickname,
        friend_id: user.id,
        name,
        uuid: user.uuid,
    };
    (section, entry)
}

/// Data of a friend (§15)
async fn friend(
    State(readers): State<Readers>,
    caller: AuthenticatedUser,
    Params(OfFriend { friend }): Params<OfFriend>,
) -> Answer<FriendObject> {
    let unknown = || ApiError::rule(refused::NOT_IN_BOOK);
    let pool = readers.pool();
    let edge = address_book::edge(pool, caller.account.id, friend).await?.ok_or_else(unknown)?;
    let user = readers.state::<User>(friend).await?;
    let account = user.account().ok_or_else(unknown)?;
    let profile = user_directory::profile(pool, account.uuid).await?.ok_or_else(unknown)?;
    Ok(Reply::of(FriendObject {
        id: edge.id,
        user_id: edge.owner,
        friend_id: edge.friend,
        nickname: edge.remark,
        friendinfo: FriendInfo::of(account, users::info(profile)),
    }))
}

/// Is this user in my book? (§19)
async fn is_mine(
    State(readers): State<Readers>,
    caller: AuthenticatedUser,
    Params(OfUser { user }): Params<OfUser>,
) -> Answer<FriendRowObject> {
    let row = address_book::edge(readers.pool(), caller.account.id, user).await?;
    let row = row.filter(|row| !row.blocked);
    let row = row.ok_or_else(|| ApiError::rule(refused::NOT_A_FRIEND))?;
    Ok(Reply::of(FriendRowObject {
        id: row.id,
        user_id: row.owner,
        friend_id: row.friend,
        nickname: row.remark,
        friendlookme: row.friendlookme,
        melookfriend: row.melookfriend,
        ismystarfriend: i16::from(row.starred),
        isblack: i16::from(row.blocked),
        status: 1,
    }))
}
