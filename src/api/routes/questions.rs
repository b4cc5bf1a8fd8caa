//! Questions answered beforehand (rest.md §42).

use serde_json::{Value, json};

use super::{
    Answer, Chapter, Route,
    param::{free, id, one_of, text},
    post,
    shape::{Shape, like},
};
use crate::api::askanswer;

pub(super) fn chapter() -> Chapter {
    let number = || id("id", "问答id").missed_together();
    let kind = || one_of("type", "类型", &["single", "group"]).missed_together();
    let ask = || text("ask", "问题", "When are you open?").of(1, 100).missed_together();
    let answer = || text("answer", "回答", "From nine to five").of(1, 1000).missed_together();
    let whose = |label: &'static str| id("create_userId", label).missed_together();
    let mine = || {
        let schema = json!({ "type": "integer" });
        free("create_userId", "创建者id", schema, json!(12)).note("The caller's own id.")
    };
    let routes = vec![
        post(42, "/api/chat/askanswer/create", askanswer::create, "Answer a question beforehand")
            .about("The same question gets the new answer.")
            .takes([ask(), answer(), kind(), mine()])
            .codes(vec![(200, "问答创建成功", item()), (200, "问答已更新", item()), unknown()])
            .refuses(&["参数不完整", NOT_MINE, "问答数量已达上限"]),
        post(
            42,
            "/api/chat/askanswer/update",
            askanswer::update,
            "Change a question or its answer",
        )
        .takes([number(), ask(), answer(), kind(), mine()])
        .codes(vec![(200, "更新成功", item()), unknown()])
        .refuses(&["参数不完整", NOT_MINE]),
        post(42, "/api/chat/askanswer/delete", askanswer::delete, "Answer a question no more")
            .takes([number(), kind().or_none(), mine().or_none()])
            .codes(vec![(200, "删除成功", nothing()), unknown()])
            .refuses(&["参数不完整", NOT_MINE]),
        post(42, "/api/chat/askanswer/list", askanswer::list, "Somebody's questions")
            .takes([kind(), id("userId", "用户id").missed_together()])
            .codes(vec![(200, "获取成功", items()), (200, "暂无问答数据", none())])
            .refuses(&["参数不完整"]),
        post(42, "/api/chat/askanswer/detail", askanswer::detail, "One of somebody's questions")
            .about("The caller's own, unless it is said whose.")
            .takes([number(), kind().or_none(), whose("创建者id").or_none()])
            .codes(vec![(200, "获取成功", item()), unknown()])
            .refuses(&["参数不完整"]),
        post(42, "/api/chat/askanswer/search", askanswer::search, "What somebody answers to this")
            .about("The very question, or else those that have it in them.")
            .takes([kind(), whose("创建者id"), ask()])
            .codes(vec![
                (200, "找到相关回答", item()),
                (200, "搜索成功", items()),
                (404, "未找到相关问答", none()),
            ])
            .refuses(&["参数不完整"]),
    ];
    let about = "Answered beforehand. Once somebody is let in the status is always 200, and `code` says how it went";
    Chapter { name: "questions", about, routes }
}

const NOT_MINE: &str = "创建者id 的值 `…` 必须在 [`…`] 中";

impl Route {
    /// What it says, with which code; and why it says no, with 400.
    fn codes(self, said: Vec<(u16, &'static str, Shape)>) -> Self {
        self.answers(Answer::Coded(said))
    }
}

fn unknown() -> (u16, &'static str, Shape) {
    (404, "问答不存在", nothing())
}

fn nothing() -> Shape {
    like(Value::Null).but("", json!({ "type": "null" }))
}

fn none() -> Shape {
    like(json!([])).but("", json!({ "type": "array", "maxItems": 0 }))
}

fn item() -> Shape {
    like(question())
}

fn items() -> Shape {
    like(json!([question()]))
}

fn question() -> Value {
    json!({
        "id": 1_758_692_400_000_i64,
        "ask": "When are you open?",
        "answer": "From nine to five",
        "type": "single",
        "create_userId": 12,
        "create_time": "2025-09-24 13:33:54",
        "update_time": "2025-09-24T05:33:54.000Z",
        "likeCount": 0,
        "liked": false,
    })
}
