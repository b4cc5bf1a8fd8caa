//! Friends: asking, answering, the address book (rest.md §9, §11–§19, §37, §40).

use serde_json::{Value, json};

use super::{
    Answer, Chapter, Param, data, get,
    param::{flag, id, one_of, optional, text},
    people::page,
    post,
    shape::like,
    user_info,
};
use crate::api::{address_book, friends};

pub(super) fn chapter() -> Chapter {
    let unknown = "好友不存在";
    let asked_already = "您已经申请过了，请勿重复申请";
    let friend = || [id("id", "好友id").note("The friend's user id.")];
    let other = || [id("id", "朋友id").note("A user id.")];
    let routes = vec![
        post(9, "/api/chat/isApplyfriend/{uuid}", address_book::has_asked, "Has this user asked to be my friend?")
            .takes([text("uuid", "uuid值", "edda71aa-4a31-4ba8-9025-8fdc0dc3c0fa").of(36, 36)])
            .answers(data(applied()))
            .refuses(&["用户不存在", "用户申请信息不存在"]),
        post(11, "/api/chat/applyfriend", friends::apply, "Ask to be friends")
            .about("Push P1 to the other.")
            .takes(whom("我的昵称或者说明"))
            .refuses(&["不能添加自己为好友", "添加的好友不存在", asked_already]),
        get(12, "/api/chat/listapplyfriend/{page}", address_book::requests, "Requests addressed to me")
            .about("All of them, the newest first. `pendingCount` counts those on other pages too.")
            .takes(page(10))
            .answers(data(json!({ "alldata": [request()], "pendingCount": 2 }))),
        post(13, "/api/chat/handleapply/{id}", friends::answer, "Answer a request")
            .about("On `agree` both are friends: push P2 to both.")
            .takes([
                id("id", "申请表的id").note("The number of the request (§12)."),
                optional("nickname", "好友备注", "", "1–50 characters."),
                one_of("status", "处理状态", &["pending", "refuse", "agree", "ignore"]),
            ])
            .refuses(&["申请不存在或已处理"]),
        get(14, "/api/chat/goodfriendlist/{page}", address_book::list, "My address book, in sections")
            .about("Sections by the first pinyin letter of `name`, `#` last. `total` counts them. Without friends `rows` is an empty list.")
            .takes(page(2000))
            .answers(book()),
        get(15, "/api/chat/getgoodfriendinfo/{id}", address_book::friend, "Data of a friend")
            .takes(friend())
            .answers(data(json!({
                "id": 5,
                "user_id": 3,
                "friend_id": 1,
                "nickname": "old Tom",
                "friendinfo": {
                    "id": 1,
                    "username": "my01",
                    "avatar": "https://h/1.png",
                    "nickname": "Tom",
                    "role": "user",
                    "status": 1,
                    "userinfo": user_info(),
                },
            })))
            .refuses(&[unknown]),
        post(16, "/api/chat/setblackgoodfriend/{id}", friends::toggle_blacklist, "Toggle the blacklist")
            .takes(friend())
            .refuses(&[unknown]),
        post(17, "/api/chat/setstargoodfriend/{id}", friends::toggle_star, "Toggle the star")
            .takes(friend())
            .refuses(&["好友不存在或者被拉黑，无法操作"]),
        post(18, "/api/chat/setmeOrfriendCanSee/{id}", friends::set_visibility, "Choose who sees whose posts")
            .takes(other())
            .takes([
                flag("friendlookme", "朋友是否可以看我的动态"),
                flag("melookfriend", "我的朋友圈是否出现朋友的信息（我是否看朋友的动态）"),
            ])
            .refuses(&["好友不存在或者被拉黑，无法操作"]),
        post(19, "/api/chat/ismygoodfriend/{id}", address_book::is_mine, "Is this user in my book?")
            .takes(other())
            .answers(data(json!({
                "id": 29,
                "user_id": 6,
                "friend_id": 1,
                "nickname": "Tom",
                "friendlookme": 1,
                "melookfriend": 1,
                "ismystarfriend": 0,
                "isblack": 0,
                "status": 1,
            })))
            .refuses(&["不是好友"]),
        post(37, "/api/chat/deletegoodfriend/{id}", friends::end, "Unfriend")
            .about("Both books and all requests between the two are cleared. Nobody is told.")
            .takes(other())
            .says(&["删除好友成功"])
            .refuses(&["不是好友关系，无权操作"]),
        post(40, "/api/chat/autoAddFriendAndAgree", friends::befriend, "Become friends at once")
            .about("Push P2 to both.")
            .takes(whom("说明"))
            .refuses(&[
                "不能添加自己为好友",
                "添加的好友不存在",
                "需要对方审核，不能自动加对方为好友",
                asked_already,
            ]),
    ];
    Chapter { name: "friends", about: "Requests, and the address book", routes }
}

fn whom(label: &'static str) -> [Param; 2] {
    [id("friend_id", "我申请添加的好友id"), optional("nickname", label, "", "1–50 characters.")]
}

fn applied() -> Value {
    json!({
        "id": 16,
        "user_id": 7,
        "friend_id": 6,
        "nickname": "hi, it is me",
        "friendlookme": 1,
        "melookfriend": 1,
        "ismystarfriend": 0,
        "isblack": 0,
        "status": "pending",
        "userId": 7,
    })
}

fn request() -> Value {
    json!({
        "create_time": "2025-07-14 11:41:19",
        "id": 1,
        "user_id": 1,
        "friend_id": 3,
        "nickname": "",
        "friendlookme": 1,
        "melookfriend": 1,
        "ismystarfriend": 0,
        "isblack": 0,
        "status": "pending",
        "order": 50,
        "update_time": "2025-07-14T04:32:58.000Z",
        "userId": 1,
        "user": {
            "id": 1,
            "username": "my01",
            "avatar": "https://h/1.png",
            "nickname": "Tom",
            "uuid": "d8ffff3b-200d-4282-9e32-28e19a4fee71",
        },
    })
}

fn book() -> Answer {
    let shape = like(json!({ "count": 1, "rows": {
        "newList": [{ "title": "H", "list": [{
            "id": 5,
            "beizhu": "",
            "username": "my01",
            "avatar": "https://h/1.png",
            "friend_nickname": "魂牵一梦",
            "friend_id": 1,
            "name": "魂牵一梦",
            "uuid": "edda71aa-4a31-4ba8-9025-8fdc0dc3c0fa",
        }] }],
        "indexList": ["H"],
        "total": 1,
    } }));
    Answer::Data(shape.also("rows", &json!({ "type": "array", "maxItems": 0 })))
}
