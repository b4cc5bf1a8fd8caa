//! The routes: each is one entry, from which come both what answers it and what `/openapi.json` says of it. So no route
//! is without an entry, and no entry without a route.

mod accounts;
mod complaints;
mod friends;
mod groups;
mod media;
mod messages;
pub mod param;
mod people;
mod questions;
pub mod shape;

use axum::{
    handler::Handler,
    http::Method,
    routing::{self, MethodRouter},
};
use param::Param;
use serde_json::json;
use shape::{Shape, like, texts};

use crate::state::App;

/// A route, and what there is to know about it.
pub struct Route {
    /// GET or POST.
    pub method: Method,
    /// Where: `/api/userinfo/{uuid}`.
    pub path: &'static str,
    /// What answers.
    pub handler: MethodRouter<App>,
    /// Its part of the contract, in rest.md.
    pub section: u8,
    /// What it does, in a few words.
    pub title: &'static str,
    /// What else happens, and to whom.
    pub about: &'static str,
    /// What it takes, in the order in which it is checked.
    pub params: Vec<Param>,
    /// Signed by the client (rest.md §4).
    pub signed: bool,
    /// Takes a file, usually in the field of this name.
    pub upload: Option<&'static str>,
    /// What it says yes with.
    pub answer: Answer,
    /// The texts with which it says no (400), beside those that all have; `…` stands for any text.
    pub refusals: Vec<&'static str>,
}

/// What comes with status 200.
#[derive(Debug)]
pub enum Answer {
    /// `{"msg":"ok","data":…}`.
    Data(Shape),
    /// `{"msg":"…","data":…}`, on no with `{}` (rest.md §42).
    Told(&'static str, Shape),
    /// `{"code":…,"msg":"…","data":…}`, on no too, or `null`; the code says which it is (rest.md §42).
    Coded(Vec<(u16, &'static str, Shape)>),
    /// `image/png`.
    Picture,
    /// The file, or a part of it.
    File,
}

/// Routes that belong together.
pub struct Chapter {
    /// Its name.
    pub name: &'static str,
    /// What its routes are about.
    pub about: &'static str,
    /// The routes.
    pub routes: Vec<Route>,
}

/// All that clients may call, but for `/ws`.
pub fn chapters() -> [Chapter; 8] {
    [
        accounts::chapter(),
        people::chapter(),
        friends::chapter(),
        groups::chapter(),
        messages::chapter(),
        media::chapter(),
        questions::chapter(),
        complaints::chapter(),
    ]
}

/// A route for GET.
fn get<H: Handler<T, App>, T: 'static>(
    section: u8,
    path: &'static str,
    handler: H,
    title: &'static str,
) -> Route {
    Route::new(Method::GET, section, path, routing::get(handler), title)
}

/// A route for POST.
fn post<H: Handler<T, App>, T: 'static>(
    section: u8,
    path: &'static str,
    handler: H,
    title: &'static str,
) -> Route {
    Route::new(Method::POST, section, path, routing::post(handler), title)
}

impl Route {
    /// One that takes nothing and answers `"ok"`.
    fn new(
        method: Method,
        section: u8,
        path: &'static str,
        handler: MethodRouter<App>,
        title: &'static str,
    ) -> Self {
        Self {
            method,
            path,
            handler,
            section,
            title,
            about: "",
            params: vec![],
            signed: false,
            upload: None,
            answer: Answer::Data(texts(&["ok"])),
            refusals: vec![],
        }
    }

    fn about(mut self, about: &'static str) -> Self {
        self.about = about;
        self
    }

    fn takes(mut self, params: impl IntoIterator<Item = Param>) -> Self {
        self.params.extend(params);
        self
    }

    /// Checks 1 to 6 of rest.md §4, before all else.
    fn signed(mut self) -> Self {
        self.signed = true;
        self.takes([
            param::text("deviceId", "设备指纹", "8d1a344c-bf16-5425-adbc-d12f49cfa332")
                .of(36, 200)
                .note("36 letters, digits, `_` or `-`."),
            param::int("timestamp", "时间戳", 1_752_835_449_008)
                .note("Epoch milliseconds, exactly as signed; at most five minutes off."),
        ])
        .refuses(&[
            "非法访问",
            "非法签名",
            "请求已过期",
            "无效标识",
            "请求过于频繁，请1个小时后再试",
        ])
    }

    fn uploads(mut self, field: &'static str) -> Self {
        self.upload = Some(field);
        self
    }

    fn answers(mut self, answer: Answer) -> Self {
        self.answer = answer;
        self
    }

    fn says(self, said: &[&str]) -> Self {
        self.answers(Answer::Data(texts(said)))
    }

    fn refuses(mut self, texts: &[&'static str]) -> Self {
        self.refusals.extend(texts);
        self
    }
}

/// What a profile shows beyond the account.
fn user_info() -> serde_json::Value {
    json!({ "id": 1, "gender": "unknown", "birthday": null, "bio": null, "location": null, "website": null })
}

/// Data like an example.
fn data(example: serde_json::Value) -> Answer {
    Answer::Data(like(example))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts whose bound is another than a length of their own: in bytes with what else there is, by what they are for, or
    /// by what they must name.
    const BOUNDED_OTHERWISE: &[(&str, &str)] = &[
        ("/api/chat/socket/sendmessage", "data"),
        ("/api/chat/updateUserinfo", "fieldValue"),
        ("/api/chat/revokeMessage", "id"),
        ("/api/chat/uploadStreamSingleToServerDiy/{diydir}", "diydir"),
        ("/public/uploads/{path}", "path"),
    ];

    #[test]
    fn every_text_has_a_bound() {
        let routes = chapters().into_iter().flat_map(|chapter| chapter.routes);
        let endless = routes.flat_map(|route| {
            let endless = route.params.into_iter().filter(Param::is_endless);
            endless.map(move |param| (route.path, param.name)).collect::<Vec<_>>()
        });
        let endless: Vec<_> = endless.filter(|text| !BOUNDED_OTHERWISE.contains(text)).collect();
        assert!(endless.is_empty(), "{endless:?}");
    }
}
