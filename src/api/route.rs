//! Routes: each is declared once, beside its handler. What it takes and answers come from the types of the handler, and so
//! does what `/openapi.json` tells of it. That a token is needed says the path, `/api/chat/`, before anything is read; a
//! test holds the types against that.

use axum::{
    extract::State,
    handler::Handler,
    http::{HeaderMap, Method},
    routing::{self, MethodRouter},
};
use schemars::{Schema, SchemaGenerator};

use super::{
    error::ApiError,
    middleware::auth::{AuthenticatedUser, Origin},
    params::Params,
};
use crate::{
    protocol::parameters::{Parameter, ParameterSet},
    state::App,
};

/// A route, and what there is to know about it.
pub struct Route {
    /// GET or POST.
    pub method: Method,
    /// Where: `/api/userinfo/{uuid}`.
    pub path: &'static str,
    /// What answers.
    pub handler: MethodRouter<App>,
    /// Its part of the contract, in rest.md; 0 for a route of our own.
    pub section: u8,
    /// What it does, in a few words.
    pub title: &'static str,
    /// What else happens, and to whom.
    pub about: &'static str,
    /// May guests call it too (data.md §5.2)?
    pub for_guests: bool,
    /// The texts with which it says yes, where `msg` has them; those with another code than 200 too.
    pub told: Vec<(u16, &'static str)>,
    /// The texts with which it says no (400), beside those that all have; `…` stands for any text.
    pub refusals: Vec<&'static str>,
    /// What its handler's types say.
    pub operation: fn(&mut SchemaGenerator) -> Operation,
}

/// What the types of a handler say of its route.
#[derive(Debug)]
pub struct Operation {
    /// What it takes, in the order in which it is checked.
    pub parameters: Vec<Parameter>,
    /// The name of what it takes.
    pub request: &'static str,
    /// Signed by the client (rest.md §4).
    pub is_signed: bool,
    /// Needs a token.
    pub needs_token: bool,
    /// Takes a file, usually in the field of this name.
    pub upload: Option<&'static str>,
    /// What it says yes with.
    pub answer: ReplyShape,
}

/// What comes with status 200.
#[derive(Debug)]
pub enum ReplyShape {
    /// JSON in an envelope.
    Json(Envelope, Schema),
    /// `image/png`.
    Picture,
    /// The file, or a part of it.
    File,
}

/// How JSON says yes and no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Envelope {
    /// `{"msg":"ok","data":…}`, or a refusal.
    Reply,
    /// `{"msg":"…","data":…}`, on no with `{}`.
    TextReply,
    /// `{"code":…,"msg":"…","data":…}` with status 200, on no with `null`.
    CodedReply,
}

/// An argument of a handler, and what it says of the route.
pub trait Asks {
    /// Says it.
    fn describe(_operation: &mut Operation) {}
}

impl<S> Asks for State<S> {}
impl Asks for HeaderMap {}
impl Asks for Origin {}
impl Asks for axum::extract::Request {}

impl Asks for AuthenticatedUser {
    fn describe(operation: &mut Operation) {
        operation.needs_token = true;
    }
}

impl<R: ParameterSet> Asks for Params<R> {
    fn describe(operation: &mut Operation) {
        operation.parameters.extend(R::parameters());
        operation.request = R::NAME;
    }
}

impl<T: Asks> Asks for Result<T, ApiError> {
    fn describe(operation: &mut Operation) {
        T::describe(operation);
    }
}

/// What a handler answers when it says yes.
pub trait Answers {
    /// Its shape.
    fn answer(generator: &mut SchemaGenerator) -> ReplyShape;
}

impl<T: Answers, E> Answers for Result<T, E> {
    fn answer(generator: &mut SchemaGenerator) -> ReplyShape {
        T::answer(generator)
    }
}

/// A handler whose types say what it asks and answers.
pub trait Documented<Arguments> {
    /// What they say.
    fn operation(generator: &mut SchemaGenerator) -> Operation;
}

macro_rules! documented {
    ($($argument:ident)*) => {
        impl<F, Fut, $($argument,)*> Documented<($($argument,)*)> for F
        where
            F: Fn($($argument),*) -> Fut,
            Fut: Future<Output: Answers>,
            $($argument: Asks,)*
        {
            fn operation(generator: &mut SchemaGenerator) -> Operation {
                let mut operation = Operation {
                    parameters: Vec::new(),
                    request: "",
                    is_signed: false,
                    needs_token: false,
                    upload: None,
                    answer: Fut::Output::answer(generator),
                };
                $($argument::describe(&mut operation);)*
                operation
            }
        }
    };
}

documented!(A);
documented!(A B);
documented!(A B C);
documented!(A B C D);

/// A route for GET.
pub(super) fn get<H, T, D>(
    section: u8,
    path: &'static str,
    handler: H,
    title: &'static str,
) -> Route
where
    H: Handler<T, App> + Documented<D>,
    T: 'static,
{
    Route::new(Method::GET, section, path, routing::get(handler), title, H::operation)
}

/// A route for POST.
pub(super) fn post<H, T, D>(
    section: u8,
    path: &'static str,
    handler: H,
    title: &'static str,
) -> Route
where
    H: Handler<T, App> + Documented<D>,
    T: 'static,
{
    Route::new(Method::POST, section, path, routing::post(handler), title, H::operation)
}

impl Route {
    fn new(
        method: Method,
        section: u8,
        path: &'static str,
        handler: MethodRouter<App>,
        title: &'static str,
        operation: fn(&mut SchemaGenerator) -> Operation,
    ) -> Self {
        Self {
            method,
            path,
            handler,
            section,
            title,
            about: "",
            for_guests: false,
            told: vec![],
            refusals: vec![],
            operation,
        }
    }

    /// What else happens, and to whom.
    pub(super) fn about(self, about: &'static str) -> Self {
        Self { about, ..self }
    }

    /// Guests may call it too.
    pub(super) fn for_guests(self) -> Self {
        Self { for_guests: true, ..self }
    }

    /// A text with which it says yes, in `msg`.
    pub(super) fn tells(self, text: &'static str) -> Self {
        self.tells_with(200, text)
    }

    /// A text with which it answers with another code.
    pub(super) fn tells_with(mut self, code: u16, text: &'static str) -> Self {
        self.told.push((code, text));
        self
    }

    /// The texts with which its rules say no.
    pub(super) fn refuses(mut self, texts: &[&'static str]) -> Self {
        self.refusals.extend(texts);
        self
    }
}

/// Who may call what, for a request that no handler has seen yet.
#[derive(Debug)]
pub struct Access {
    /// What guests may do: method and path, without its parameters.
    for_guests: Vec<(Method, &'static str)>,
}

impl Access {
    /// As the routes say.
    pub fn of<'a>(routes: impl Iterator<Item = &'a Route>) -> Self {
        let fixed = |path: &'static str| path.split_once("/{").map_or(path, |(fixed, _)| fixed);
        let for_guests = routes
            .filter(|route| route.for_guests)
            .map(|route| (route.method.clone(), fixed(route.path)));
        Self { for_guests: for_guests.collect() }
    }

    /// Does it need a token? Also where there is no route.
    pub fn needs_token(path: &str) -> bool {
        path.starts_with("/api/chat/")
    }

    /// May guests? By whole path segments: `/api/chat/grouplist/1`, not `/api/chat/grouplistX`.
    pub fn is_for_guests(&self, method: &Method, path: &str) -> bool {
        self.for_guests.iter().any(|(allowed, fixed)| {
            let rest = path.strip_prefix(fixed).filter(|_| allowed == method);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::routes;

    #[test]
    fn guests_may_what_routes_say_by_method_and_whole_segments() {
        let access = Access::of(routes().iter());
        assert!(access.is_for_guests(&Method::GET, "/api/chat/grouplist/1"));
        assert!(access.is_for_guests(&Method::POST, "/api/chat/userset"));
        assert!(!access.is_for_guests(&Method::POST, "/api/chat/usersetX"));
        assert!(!access.is_for_guests(&Method::POST, "/api/chat/logout"));
        assert!(!access.is_for_guests(&Method::POST, "/api/chat/grouplist/1"));
    }

    /// The whitelist of `data.md` §5.2, and nothing else.
    #[test]
    fn nineteen_routes_are_for_guests() {
        let routes = routes();
        let contract = routes.iter().filter(|route| route.section > 0);
        assert_eq!(Access::of(contract).for_guests.len(), 19);
    }

    #[test]
    fn handlers_ask_for_a_user_where_a_token_is_needed() {
        let mut generator = SchemaGenerator::default();
        for route in routes() {
            let operation = (route.operation)(&mut generator);
            assert_eq!(operation.needs_token, Access::needs_token(route.path), "{}", route.path);
            assert!(!route.for_guests || operation.needs_token, "{}", route.path);
        }
    }

    /// Texts whose bound is another than a length of their own: in bytes with what else there is, by what they are for, or
    /// by what they must name.
    const BOUNDED_OTHERWISE: &[(&str, &str)] = &[
        ("/api/chat/socket/sendmessage", "data"),
        ("/api/chat/updateUserinfo", "fieldValue"),
        ("/api/chat/revokeMessage", "id"),
        ("/api/chat/uploadStreamSingleToServerDiy/{diydir}", "diydir"),
        ("/api/chat/getVideoScreenshot", "videoUrl"),
        ("/public/uploads/{*path}", "path"),
    ];

    #[test]
    fn every_text_has_a_bound() {
        let mut generator = SchemaGenerator::default();
        for route in routes() {
            for parameter in (route.operation)(&mut generator).parameters {
                let schema = &parameter.schema;
                let is_text = schema["type"] == "string" || schema["type"][0] == "string";
                let is_endless =
                    is_text && schema["maxLength"].is_null() && schema["enum"].is_null();
                let text = (route.path, parameter.name);
                assert_eq!(is_endless, BOUNDED_OTHERWISE.contains(&text), "{text:?}");
            }
        }
    }
}
