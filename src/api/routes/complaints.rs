//! Complaints (rest.md §42).

use serde_json::{Value, json};

use super::{
    Answer, Chapter, Param, get,
    param::{id, one_of, text},
    post,
    shape::like,
};
use crate::api::complaints;

pub(super) fn chapter() -> Chapter {
    let number = || id("id", "投诉id");
    let told = |msg, example| Answer::Told(msg, like(example));
    let incomplete = "缺少必要参数";
    let unknown = "投诉不存在";
    let dealt_with = "投诉已处理，无法修改";
    let routes = vec![
        post(42, "/api/chat/complaint/create", complaints::create, "Complain")
            .takes([
                id("target_id", "投诉对象id").missed_together(),
                one_of("target_type", "投诉对象类型", &["group", "single"]).missed_together(),
                text("target_name", "投诉对象名称", "Tea club").of(1, 200).missed_together(),
                reason().missed_together(),
            ])
            .takes(rest())
            .answers(told("投诉提交成功", json!({ "id": 1 })))
            .refuses(&[incomplete, "投诉数量已达上限"]),
        get(42, "/api/chat/complaint/list", complaints::list, "My complaints")
            .answers(told("获取成功", json!([complaint()]))),
        get(42, "/api/chat/complaint/detail/{id}", complaints::detail, "One of my complaints")
            .takes([number()])
            .answers(told("获取成功", complaint()))
            .refuses(&[unknown]),
        post(42, "/api/chat/complaint/update/{id}", complaints::update, "Complain in other words")
            .about("As long as nobody has dealt with it. Whom it is about stays.")
            .takes([number(), reason().or_none()])
            .takes(rest())
            .answers(told("投诉修改成功", json!({ "id": 1 })))
            .refuses(&[incomplete, unknown, dealt_with]),
        post(42, "/api/chat/complaint/delete/{id}", complaints::delete, "Take a complaint back")
            .takes([number()])
            .answers(told("投诉删除成功", json!({ "id": 1 })))
            .refuses(&[unknown, dealt_with]),
    ];
    let about = "About people and groups. `msg` has the text, on yes and on no";
    Chapter { name: "complaints", about, routes }
}

fn reason() -> Param {
    text("reason", "投诉原因", "spam").of(1, 200)
}

fn rest() -> [Param; 3] {
    [
        text("content", "投诉内容", "He writes to everybody").of(1, 2000).or_none(),
        text("images", "投诉图片", r#"["https://h/a.png"]"#).of(1, 10_000).or_none(),
        text("complaint_chatinfo", "聊天记录", "[]").of(1, 20_000).or_none(),
    ]
}

fn complaint() -> Value {
    json!({
        "create_time": "2025-09-24 13:33:54",
        "id": 1,
        "user_id": 12,
        "target_id": 33,
        "target_type": "group",
        "target_name": "Tea club",
        "reason": "spam",
        "content": "He writes to everybody",
        "images": r#"["https://h/a.png"]"#,
        "complaint_chatinfo": "[]",
        "status": 0,
        "update_time": "2025-09-24T05:33:54.000Z",
    })
}
