//! Address books and friend requests as their owners see them (rest.md §9, §12, §14, §15, §19).

use std::collections::BTreeMap;

use axum::extract::State;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{caller::Caller, params::Params, refusal::Refusal, reply::Reply, sections, users};
use crate::{
    commands::user::User,
    events::UserId,
    projections::{
        address_book::{self, Friend, FriendRow, RequestRow},
        user_directory,
    },
    state::App,
};

type Answer = Result<Reply<Value>, Refusal>;

/// Has this user asked to be my friend? (§9)
pub async fn has_asked(State(app): State<App>, caller: Caller, params: Params) -> Answer {
    let uuid = params.text_in("uuid", "uuid值", 36, Some(36))?;
    let pool = &app.executor.pool;
    let asker = match uuid.parse::<Uuid>() {
        Ok(uuid) => user_directory::profile(pool, uuid).await?.map(|profile| profile.user),
        Err(_) => None,
    };
    let asker = match asker {
        Some(asker) => app.executor.state::<User>(asker).await?.state.active().map(|user| user.id),
        None => None,
    };
    let asker = asker.ok_or_else(|| Refusal::rule("用户不存在"))?;
    let asked = caller.account.id;
    let request = address_book::pending_request(pool, asker, asked).await?;
    let (id, text) = request.ok_or_else(|| Refusal::rule("用户申请信息不存在"))?;
    Ok(Reply(json!({
        "id": id,
        "user_id": asker,
        "friend_id": asked,
        "nickname": text,
        "friendlookme": 1,
        "melookfriend": 1,
        "ismystarfriend": 0,
        "isblack": 0,
        "status": "pending",
        "userId": asker,
    })))
}

/// Requests addressed to me (§12)
pub async fn requests(State(app): State<App>, caller: Caller, params: Params) -> Answer {
    let page = params.page(10)?;
    let (pool, me) = (&app.executor.pool, caller.account.id);
    let rows = address_book::requests(pool, me, page).await?;
    let rows: Vec<Value> = rows.iter().map(|row| request(row, me)).collect();
    let pending = address_book::pending_count(pool, me).await?;
    Ok(Reply(json!({ "alldata": rows, "pendingCount": pending })))
}

fn request(row: &RequestRow, asked: UserId) -> Value {
    json!({
        "create_time": row.created_at.row_text(),
        "id": row.id,
        "user_id": row.asker.id,
        "friend_id": asked,
        "nickname": row.text,
        "friendlookme": 1,
        "melookfriend": 1,
        "ismystarfriend": 0,
        "isblack": 0,
        "status": row.status,
        "order": 50,
        "update_time": row.updated_at.iso_text(),
        "userId": row.asker.id,
        "user": {
            "id": row.asker.id,
            "username": row.asker.username,
            "avatar": row.asker.avatar,
            "nickname": row.asker.nickname,
            "uuid": row.asker.uuid,
        },
    })
}

/// My address book, in sections (§14)
pub async fn list(State(app): State<App>, caller: Caller, params: Params) -> Answer {
    let page = params.page(2000)?;
    let friends = address_book::friends(&app.executor.pool, caller.account.id, page).await?;
    if friends.is_empty() {
        return Ok(Reply(json!({ "count": 0, "rows": [] })));
    }
    let count = friends.len();
    let mut sections = BTreeMap::<_, Vec<Value>>::new();
    for friend in friends {
        let (section, entry) = entry(friend);
        sections.entry((section == sections::OTHERS, section)).or_default().push(entry);
    }
    let index: Vec<char> = sections.keys().map(|(_, section)| *section).collect();
    let list = |((_, title), list)| json!({ "title": title, "list": list });
    let sections: Vec<Value> = sections.into_iter().map(list).collect();
    let total = sections.len();
    let rows = json!({ "newList": sections, "indexList": index, "total": total });
    Ok(Reply(json!({ "count": count, "rows": rows })))
}

/// A friend, and the section where he stands.
fn entry(Friend { id, remark, user }: Friend) -> (char, Value) {
    let names = [&remark, &user.nickname, &user.username];
    let name = names.into_iter().find(|name| !name.is_empty()).unwrap_or(&user.username).clone();
    let entry = json!({
        "id": id,
        "beizhu": remark,
        "username": user.username,
        "avatar": user.avatar,
        "friend_nickname": user.nickname,
        "friend_id": user.id,
        "name": name,
        "uuid": user.uuid,
    });
    (sections::of(&name), entry)
}

/// Data of a friend (§15)
pub async fn friend(State(app): State<App>, caller: Caller, params: Params) -> Answer {
    let friend = UserId(params.id("id", "好友id")?);
    let unknown = || Refusal::rule("好友不存在");
    let pool = &app.executor.pool;
    let edge = address_book::edge(pool, caller.account.id, friend).await?.ok_or_else(unknown)?;
    let user = app.executor.state::<User>(friend).await?;
    let account = user.state.account().ok_or_else(unknown)?;
    let profile = user_directory::profile(pool, account.uuid).await?.ok_or_else(unknown)?;
    Ok(Reply(json!({
        "id": edge.id,
        "user_id": edge.owner,
        "friend_id": edge.friend,
        "nickname": edge.remark,
        "friendinfo": {
            "id": account.id,
            "username": account.username,
            "avatar": account.avatar,
            "nickname": account.nickname,
            "role": account.role,
            "status": account.status(),
            "userinfo": users::info(&profile),
        },
    })))
}

/// Is this user in my book? (§19)
pub async fn is_mine(State(app): State<App>, caller: Caller, params: Params) -> Answer {
    let friend = UserId(params.id("id", "朋友id")?);
    let row = address_book::edge(&app.executor.pool, caller.account.id, friend).await?;
    let row = row.filter(|row| !row.blocked).ok_or_else(|| Refusal::rule("不是好友"))?;
    Ok(Reply(edge(&row)))
}

fn edge(row: &FriendRow) -> Value {
    json!({
        "id": row.id,
        "user_id": row.owner,
        "friend_id": row.friend,
        "nickname": row.remark,
        "friendlookme": row.friendlookme,
        "melookfriend": row.melookfriend,
        "ismystarfriend": i16::from(row.starred),
        "isblack": i16::from(row.blocked),
        "status": 1,
    })
}
