//! Groups to write to: made by their first member, joined by the others without a word to anybody.

use anyhow::{Context as _, ensure};
use futures_util::future::try_join_all;
use hyper::http::uri::PathAndQuery;
use serde_json::{Value, json};
use testkit::client::http::Connection;

use super::{
    accounts::{Account, call},
    target::Server,
    traffic::Group,
};

/// How new members get in when nobody is to be told (data.md §8, 3–10): a notice for each would make load of its own.
const SILENTLY: u8 = 3;

/// So many join at once: each waits until their membership is seen everywhere.
const JOINING: usize = 16;

/// Makes a group of these users. The first two must be registered.
pub(super) async fn make(
    server: &Server,
    users: &[Account],
    members: Vec<usize>,
) -> anyhow::Result<Group> {
    ensure!(members.len() >= 2, "a group has at least two members");
    let (owner, friend) = (&users[members[0]], &users[members[1]]);
    let mut http = Connection::to(server.origin(members[0]));
    let mut row = row_of(&mut http, owner, friend).await?;
    if row.is_none() {
        let body = json!({"friend_id": friend.id});
        call(&mut http, owner, "/api/chat/autoAddFriendAndAgree", body).await?;
        row = row_of(&mut http, owner, friend).await?;
    }
    let row = row.context("a new friend is in no book")?;
    call(&mut http, owner, "/api/chat/group/create", json!({"userIds": [row]})).await?;
    let listed = http.get(Some("/api/chat/grouplist/1?limit=1"), Some(&owner.header())).await?;
    let id = listed.data()?[0]["id"].as_i64().context("a new group is not listed")?;
    let policy = json!({"group_id": id, "addGroupSet": SILENTLY});
    call(&mut http, owner, "/api/chat/groupAddUserSet", policy).await?;
    let share = members.len().div_ceil(JOINING);
    let joining = members[2..].chunks(share).map(async |some| {
        let mut http = Connection::to(server.origin(some[0]));
        for member in some {
            let member = &users[*member];
            let body = json!({"group_id": id, "user_id": member.id, "inviteuser_id": -1});
            call(&mut http, member, "/api/chat/groupInviteUser", body).await?;
        }
        anyhow::Ok(())
    });
    try_join_all(joining).await.with_context(|| {
        format!("not all {} joined, which limits.group_members has to allow", members.len())
    })?;
    Ok(Group { id, members })
}

/// The number of a friend's row in somebody's book (rest.md §19).
async fn row_of(
    http: &mut Connection,
    owner: &Account,
    friend: &Account,
) -> anyhow::Result<Option<Value>> {
    let path = PathAndQuery::try_from(format!("/api/chat/ismygoodfriend/{}", friend.id))?;
    let answer = http.post_to(path, Some(&owner.header()), "").await?;
    Ok(answer.data().ok().map(|mut row| row["id"].take()))
}
