//! People: search, profiles, settings (rest.md §7, §8, §10, §38, §39).

use serde_json::json;

use super::{
    Answer, Chapter, data, get,
    param::{free, id, text},
    post,
    shape::like,
    user_info,
};
use crate::api::users;

const USERSET: &str = r#"{"chatset":{"visitor":{"sendCount":1,"needFollow":false},"user":{"sendCount":2,"needFollow":false}}}"#;

pub(super) fn chapter() -> Chapter {
    let profile = like(json!({
        "id": 1,
        "uuid": "edda71aa-4a31-4ba8-9025-8fdc0dc3c0fa",
        "username": "my01",
        "nickname": "Tom",
        "avatar": "https://h/1.png",
        "role": "user",
        "userset": USERSET,
        "userinfo": user_info(),
    }));
    let routes = vec![
        post(7, "/api/chat/searchUser", users::search, "Find users by a part of their username")
            .about("At most 200, the oldest first; no guests, not oneself.")
            .takes([text("keyword", "搜索关键词", "my").of(1, 50)])
            .answers(data(json!([{
                "id": 1,
                "username": "my01",
                "avatar": "https://h/1.png",
                "role": "user",
                "uuid": "edda71aa-4a31-4ba8-9025-8fdc0dc3c0fa",
                "nickname": "Tom",
            }]))),
        get(8, "/api/userinfo/{uuid}", users::profile, "A profile")
            .about("`null` for somebody unknown or disabled.")
            .takes([text("uuid", "uuid值", "edda71aa-4a31-4ba8-9025-8fdc0dc3c0fa").of(36, 36)])
            .answers(Answer::Data(profile.also("", &json!({ "type": "null" })))),
        post(10, "/api/chat/userset", users::set_userset, "Save my settings")
            .about("Replaces them. `sendCount`: 0 = strangers may not write, 1 = one message until they are friends, 2 = no limit.")
            .takes([text("userset", "用户设置", USERSET)
                .of(2, users::USERSET_BYTES)
                .note("The JSON text of an object, or the object. The upper bound is in bytes.")])
            .refuses(&["用户设置格式错误"]),
        post(38, "/api/chat/updateUserinfo", users::update, "Change one of my fields")
            .about("For any other field nothing changes, and `data` is empty.")
            .takes([
                text("fieldname", "修改类型", "nickname")
                    .of(1, 30)
                    .note("`nickname` (up to 30 characters), `avatar` (up to 1000), `invite_confirm` (0 or 1)."),
                text("fieldValue", "修改结果", "Tom").of(1, None).names("昵称"),
            ])
            .says(&["修改昵称成功", "头像更新成功", "设置成功", ""])
            .refuses(&[
                "账号不可修改",
                "昵称长度不能超过30个字符",
                "头像地址过长不能超过1000个字符",
                "添加我为好友设置值错误",
                "用户不存在，无法修改信息",
            ]),
        post(39, "/api/chat/getUserSetInfo", users::settings, "Settings of somebody before befriending")
            .about("`isgoodfriend`: I am in that user's book. `isgoodfriend_status`: false only if I am blacklisted there.")
            .takes([id("userid", "用户id")])
            .answers(data(json!({
                "id": 6,
                "userset": "",
                "invite_confirm": 0,
                "uuid": "be047323-c8e3-4305-b014-3d8c7d24f300",
                "isgoodfriend": false,
                "isgoodfriend_status": true,
            })))
            .refuses(&["用户不存在或者为游客，无法加为好友"]),
    ];
    Chapter { name: "people", about: "Who others are, and what I say of myself", routes }
}

/// Which page of a list.
pub(super) fn page(usual: i64) -> [super::Param; 2] {
    let limit = json!({ "default": usual });
    [
        id("page", "页码"),
        free("limit", "每页多少条", limit, json!(usual))
            .or_none()
            .note("1 or more, counted as 2000 at most; anything else counts as the default."),
    ]
}
