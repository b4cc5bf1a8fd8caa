//! The routes as an OpenAPI 3.1 document, for clients to be made and tested from.

use std::collections::BTreeSet;

use axum::http::Method;
use serde_json::{Map, Value, json};

use super::{
    caller,
    routes::{self, Answer, Chapter, Route, param::Param, shape::Shape},
};

/// What the document says of all routes.
const ABOUT: &str = include_str!("openapi.md");

/// What every request may be refused with (400).
const UNREADABLE: &[&str] = &["请求内容不是有效的 JSON", "请求内容不完整"];

const INTERNAL: &str = "Internal Server Error";
const DOWN: &str = "A part of the service is down; try again.";

/// What all routes may answer.
const SHARED: [(&str, &str); 6] = [
    ("404", "NotFound"),
    ("408", "TooSlow"),
    ("413", "TooLarge"),
    ("429", "TooMany"),
    ("500", "Internal"),
    ("503", "Overloaded"),
];

/// The document. `server` is where clients find the service.
pub fn document(server: &str) -> Value {
    let chapters = routes::chapters();
    let tags = chapters.iter().map(|chapter| {
        let Chapter { name, about, .. } = chapter;
        json!({ "name": name, "description": about })
    });
    let mut paths = Map::new();
    for chapter in &chapters {
        for route in &chapter.routes {
            let path = route.path.replace("{*", "{");
            let method = route.method.as_str().to_lowercase();
            let item = paths.entry(path).or_insert_with(|| json!({}));
            item[method] = operation(chapter.name, route);
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Hongyan",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
            "description": ABOUT,
        },
        "servers": [{ "url": server }],
        "tags": tags.collect::<Vec<_>>(),
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "token",
                    "description": "From any log-in. Also taken from the query or the body.",
                },
            },
            "schemas": { "Unreadable": said(UNREADABLE), "Unauthorized": said(caller::REFUSALS) },
            "responses": {
                "NotFound": refusal("No such route, or no such file.", &["404 错误"]),
                "TooSlow": refusal("The request did not come to its end in time.", &["请求超时"]),
                "TooLarge": refusal("The request is too large.", &["请求内容过大", "消息内容过大", "文件过大"]),
                "TooMany": refusal("Too many requests in this minute, or too much of something that takes longer.", &["请求过于频繁，请稍后再试", "今日上传已达上限，请稍后再试"]),
                "Internal": refusal(DOWN, &[INTERNAL]),
                "Overloaded": refusal("There is no room for this now; try again.", &["服务繁忙，请稍后再试", "存储空间不足，请稍后再试"]),
            },
        },
    })
}

fn operation(tag: &str, route: &Route) -> Value {
    let protected = caller::is_protected(route.path);
    let who = match (protected, caller::open_to_visitors(&route.method, route.path)) {
        (false, _) => "Anybody.",
        (true, true) => "Users and guests.",
        (true, false) => "Registered users.",
    };
    let mut operation = json!({
        "operationId": operation_id(route.path),
        "tags": [tag],
        "summary": route.title,
        "description": format!("{}\n\n*Who:* {who} (§{})", route.about, route.section).trim(),
        "x-section": route.section,
        "security": if protected { json!([{ "token": [] }]) } else { json!([]) },
        "parameters": parameters(route),
    });
    if let Some(body) = body(route) {
        operation["requestBody"] = body;
    }
    operation["responses"] = responses(route, protected);
    operation
}

/// `socket_sendmessage`: the words of the path.
fn operation_id(path: &str) -> String {
    let words = path.split('/').filter(|word| !word.is_empty() && !word.starts_with('{'));
    words.filter(|word| !["api", "chat"].contains(word)).collect::<Vec<_>>().join("_")
}

fn is_in_path(route: &Route, param: &Param) -> bool {
    let names = route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    names.into_iter().any(|name| name.trim_start_matches('*') == param.name)
}

fn is_in_body(route: &Route, param: &Param) -> bool {
    route.method == Method::POST && !param.in_query && !is_in_path(route, param)
}

fn parameters(route: &Route) -> Value {
    let sign = route.signed.then(|| {
        json!({
            "name": "X-Security-Sign",
            "in": "header",
            "required": true,
            "description": "Lower-case hex SHA-256 of `deviceId={deviceId}&salt={salt}&timestamp={timestamp}APP_SECRET`.",
            "schema": { "type": "string", "minLength": 1 },
        })
    });
    let outside = route.params.iter().filter(|param| !is_in_body(route, param)).map(|param| {
        let in_path = is_in_path(route, param);
        json!({
            "name": param.name,
            "in": if in_path { "path" } else { "query" },
            "required": in_path || param.required,
            "schema": param.schema(),
        })
    });
    sign.into_iter().chain(outside).collect()
}

fn body(route: &Route) -> Option<Value> {
    let params: Vec<&Param> =
        route.params.iter().filter(|param| is_in_body(route, param)).collect();
    if let Some(field) = route.upload {
        let file = json!({ "type": "string", "format": "binary" });
        let schema =
            json!({ "type": "object", "properties": { field: file }, "required": [field] });
        return Some(
            json!({ "required": true, "content": { "multipart/form-data": { "schema": schema } } }),
        );
    }
    let field = |param: &&Param| (param.name.to_owned(), param.schema());
    let properties: Map<_, _> = params.iter().map(field).collect();
    let required: Vec<_> =
        params.iter().filter(|param| param.required).map(|param| param.name).collect();
    let example: Map<_, _> =
        params.iter().map(|param| (param.name.to_owned(), param.example().clone())).collect();
    let schema = json!({ "type": "object", "properties": properties, "required": required });
    let mut in_form = schema.clone();
    for param in in_form["properties"].as_object_mut().into_iter().flat_map(Map::values_mut) {
        if param["type"].is_array() {
            param["type"] = json!("string"); // a form has no objects
        }
    }
    let media = |schema: &Value| json!({ "schema": schema, "example": example });
    (!params.is_empty()).then(|| {
        json!({ "required": !required.is_empty(), "content": {
            "application/json": media(&schema),
            "application/x-www-form-urlencoded": media(&in_form),
        } })
    })
}

fn responses(route: &Route, protected: bool) -> Value {
    let wrong: Vec<String> = route.params.iter().flat_map(Param::refusals).collect();
    let wrong: Vec<&str> = wrong.iter().map(String::as_str).collect();
    let mut edge = vec![json!({ "$ref": "#/components/schemas/Unreadable" })];
    let mut told = "The request cannot be read.".to_owned();
    if protected {
        edge.push(json!({ "$ref": "#/components/schemas/Unauthorized" }));
        told += " The token is missing, refused, or a guest's.";
    }
    let with_own = listed(&format!("{told} Or:"), &route.refusals);
    let told = if route.refusals.is_empty() { &told } else { &with_own };
    let first = listed("The first parameter that is wrong:", &wrong);

    let mut responses = success(&route.answer);
    for (status, name) in SHARED {
        responses[status] = json!({ "$ref": format!("#/components/responses/{name}") });
    }
    let fail = |reasons: Vec<Value>| envelope(&json!("fail"), &json!({ "anyOf": reasons }));
    match &route.answer {
        Answer::Told(..) => {
            let empty = json!({ "type": "object", "maxProperties": 0 });
            let no = |texts: &[&str]| object(&[("msg", said(texts)), ("data", empty.clone())]);
            let own = (!route.refusals.is_empty()).then(|| no(&route.refusals));
            let ways: Vec<Value> = std::iter::once(fail(edge)).chain(own).collect();
            responses["400"] = response(told, &json!({ "anyOf": ways }));
            if !wrong.is_empty() {
                responses["422"] = response(&first, &no(&wrong));
            }
            let ways = [fail(vec![said(&[INTERNAL])]), no(&[INTERNAL])];
            responses["500"] = response(DOWN, &json!({ "anyOf": ways }));
        }
        Answer::Coded(ways) => {
            let no = [route.refusals.as_slice(), wrong.as_slice()].concat();
            let mut all: Vec<Value> =
                ways.iter().map(|(code, msg, shape)| coded(*code, &[msg], &shape.schema)).collect();
            all.push(coded(400, &no, &json!({ "type": "null" })));
            all.push(coded(500, &[INTERNAL], &json!({ "type": "null" })));
            let yes = ways.iter().map(|(code, msg, _)| format!("{code} `{msg}`"));
            let yes = yes.collect::<Vec<_>>().join(", ");
            let place = &mut responses["200"];
            place["description"] = json!(listed(&format!("`code` is {yes}, or 400 with:"), &no));
            place["content"]["application/json"]["schema"] = json!({ "anyOf": all });
            responses["400"] = response(told.split(" Or:").next().unwrap_or(told), &fail(edge));
        }
        _ => {
            edge.extend((!route.refusals.is_empty()).then(|| said(&route.refusals)));
            responses["400"] = response(told, &fail(edge));
            if !wrong.is_empty() {
                responses["422"] = response(&first, &fail(vec![said(&wrong)]));
            }
        }
    }
    responses
}

fn success(answer: &Answer) -> Value {
    let done = |example: Value, schema: &Value| {
        let media = json!({ "schema": schema, "example": example });
        json!({ "200": { "description": "Done.", "content": { "application/json": media } } })
    };
    let binary = |kind: &str| json!({ kind: {} });
    match answer {
        Answer::Data(Shape { schema, example }) => {
            done(json!({ "msg": "ok", "data": example }), &envelope(&json!("ok"), schema))
        }
        Answer::Told(msg, Shape { schema, example }) => {
            done(json!({ "msg": msg, "data": example }), &envelope(&json!(msg), schema))
        }
        Answer::Coded(ways) => {
            let example = ways.first().map(
                |(code, msg, shape)| json!({ "code": code, "msg": msg, "data": shape.example }),
            );
            done(example.into(), &json!({}))
        }
        Answer::Picture => {
            json!({ "200": { "description": "The picture.", "content": binary("image/png") } })
        }
        Answer::File => json!({
            "200": { "description": "The file.", "content": binary("*/*") },
            "206": { "description": "A part of it.", "content": binary("*/*") },
            "304": { "description": "It is what you have." },
            "412": { "description": "It is not what you have." },
            "416": { "description": "It has no such part." },
        }),
    }
}

/// A sentence and a list of texts, each once.
fn listed(sentence: &str, texts: &[&str]) -> String {
    let mut lines = vec![sentence.to_owned()];
    for text in texts {
        // In Markdown, code with backticks in it stands between double ones.
        let line =
            if text.contains('`') { format!("- `` {text} ``") } else { format!("- `{text}`") };
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines.join("\n")
}

fn response(described: &str, schema: &Value) -> Value {
    json!({ "description": described, "content": { "application/json": { "schema": schema } } })
}

fn refusal(described: &str, texts: &[&str]) -> Value {
    response(described, &envelope(&json!("fail"), &said(texts)))
}

fn envelope(msg: &Value, data: &Value) -> Value {
    object(&[("msg", json!({ "const": msg })), ("data", data.clone())])
}

/// The envelope of questions (rest.md §42).
fn coded(code: u16, texts: &[&str], data: &Value) -> Value {
    let code = json!({ "const": code });
    object(&[("code", code), ("msg", said(texts)), ("data", data.clone())])
}

fn object(fields: &[(&str, Value)]) -> Value {
    let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
    let properties: Map<_, _> =
        fields.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect();
    json!({ "type": "object", "properties": properties, "required": names, "additionalProperties": false })
}

/// One of these texts; `…` stands for any text.
fn said(texts: &[&str]) -> Value {
    let (like, exactly): (Vec<&str>, Vec<&str>) =
        texts.iter().copied().partition(|text| text.contains('…'));
    let exactly: BTreeSet<&str> = exactly.into_iter().collect();
    let mut ways: Vec<Value> = like.into_iter().map(pattern).collect();
    if !exactly.is_empty() {
        ways.insert(0, json!({ "enum": exactly }));
    }
    json!({ "type": "string", "anyOf": ways })
}

fn pattern(text: &str) -> Value {
    let mut pattern = String::from("^");
    for mark in text.chars() {
        match mark {
            '…' => pattern += r"[\s\S]*",
            _ if r"\.+*?()|[]{}^$".contains(mark) => pattern.extend(['\\', mark]),
            _ => pattern.push(mark),
        }
    }
    json!({ "pattern": pattern + "$" })
}
