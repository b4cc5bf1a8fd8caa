//! `/openapi.json`: what it tells of routes and parameters is so. What it tells of answers is held against every answer
//! of every story (`support/document.rs`).

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::document::{Operation, body, document, operations};
use crate::support::{Api, App, Reply, send};

#[tokio::test]
async fn the_document_tells_of_every_route() {
    let app = App::start().await;
    let mut served = app.admin("/openapi.json").await.expect("it is served");
    assert_eq!(served["servers"][0]["url"], app.api().origin());
    served["servers"] = document()["servers"].clone();
    assert_eq!(&served, document());
    every_section_has_a_route();
    every_entry_has_a_route(&app).await;
    what_it_tells_of_parameters_is_so(&app).await;
    the_page_needs_nothing_else(&app).await;
}

fn every_section_has_a_route() {
    let told: BTreeSet<u64> =
        operations().iter().filter_map(|operation| operation.entry["x-section"].as_u64()).collect();
    assert_eq!(told, (0..=42).collect(), "0: a route of our own");
    let named = operations().into_iter().map(|operation| operation.entry["operationId"].as_str());
    assert_eq!(named.collect::<BTreeSet<_>>().len(), operations().len());
}

/// And is silent to other methods (clarification 3), and to those without a token where it should be.
async fn every_entry_has_a_route(app: &App) {
    let (api, ann) = (app.api(), app.register("ann").await);
    for Operation { method, path, entry } in operations() {
        let at = path.replace("{path}", "a/b.png").replace(['{', '}'], "");
        let reply = send(api.request(method.clone(), &at)).await;
        if entry["security"][0].is_object() {
            reply.refused(400, "您没有权限访问即时通讯接口");
        } else if path != "/public/uploads/{path}" {
            assert_ne!(reply.status, 404, "{method} {path}");
        }
        let other = if method == Method::GET { Method::POST } else { Method::GET };
        for other in [other, Method::PUT, Method::DELETE] {
            send(ann.request(other, &at)).await.refused(404, "404 错误");
        }
    }
}

/// Each value of each parameter that is taken or refused, beside examples of the others.
async fn what_it_tells_of_parameters_is_so(app: &App) {
    let mut checked = 0;
    for operation in operations() {
        let (ann, nobody) = (app.register("params").await, app.api());
        let api = if operation.entry["security"][0].is_object() { &*ann } else { &nobody };
        for parameter in checked_parameters(&operation) {
            let mut values = values(&parameter);
            if told(&operation, &parameter, "不能为空") && !parameter.in_path {
                values.extend([(Value::Null, false), (json!(""), false)]);
            }
            for (value, fits) in values {
                let reply = call(&operation, api, &parameter, &value).await;
                let Operation { method, path, .. } = &operation;
                let said = reply.text();
                let case = format!("{method} {path}, `{}` is {value}: {said}", parameter.name);
                assert_eq!(reply.status != 422, fits, "{case}");
                let label = parameter.schema["title"].as_str().expect("a label");
                let words = [&reply.body["data"], &reply.body["msg"]].map(Value::as_str); // §42: in `msg`
                let named = words.into_iter().flatten().any(|words| words.starts_with(label));
                assert!(fits || named, "{case}");
                checked += 1;
            }
        }
    }
    assert!(checked > 200, "only {checked} values");
}

struct Parameter {
    name: &'static str,
    in_path: bool,
    schema: &'static Value,
}

/// Those that are refused with 422: the others say no type, or have words of their own (§35).
fn checked_parameters(operation: &Operation) -> Vec<Parameter> {
    let outside = operation.entry["parameters"].as_array().into_iter().flatten();
    let outside = outside.filter(|told| told["in"] != "header").map(|told| Parameter {
        name: told["name"].as_str().expect("a name"),
        in_path: told["in"] == "path",
        schema: &told["schema"],
    });
    let schema = body(operation, "application/json");
    let inside = schema["properties"].as_object().into_iter().flatten();
    let inside = inside.map(|(name, schema)| Parameter { name, in_path: false, schema });
    let is_checked = operation.entry["responses"]["422"].is_object();
    let all = outside.chain(inside);
    all.filter(|parameter| is_checked && kind(parameter.schema).is_some()).collect()
}

/// Does the document tell of this refusal?
fn told(operation: &Operation, parameter: &Parameter, what: &str) -> bool {
    let label = parameter.schema["title"].as_str().expect("a label");
    let refusals = operation.entry["responses"]["422"]["description"].as_str();
    refusals.is_some_and(|refusals| refusals.contains(&format!("`{label}{what}`")))
}

/// Values, and whether they fit.
fn values(parameter: &Parameter) -> Vec<(Value, bool)> {
    let schema = parameter.schema;
    let int = |key: &str| schema[key].as_i64();
    let text = |length: u64| json!("x".repeat(usize::try_from(length).expect("a length")));
    let mut values = match kind(schema) {
        Some("string") if schema["enum"].is_array() => vec![(json!("another"), false)],
        Some("string") => {
            let (min, max) = (schema["minLength"].as_u64(), schema["maxLength"].as_u64());
            let min = min.expect("a text is not empty");
            let mut values = vec![(text(min), true)];
            values.extend(
                max.into_iter().flat_map(|max| [(text(max), true), (text(max + 1), false)]),
            );
            values.extend((min > 1).then(|| (text(min - 1), false)));
            values
        }
        Some("integer") if schema["enum"].is_array() => {
            vec![(json!(2), false), (json!("x"), false)]
        }
        Some("integer") => {
            let (min, max) = (int("minimum").expect("a bound"), int("maximum").expect("a bound"));
            let mut values = vec![(json!(max), true), (json!("1.5"), false)];
            values.extend((min > i64::MIN).then(|| (json!(min - 1), false)));
            values.extend((max < i64::MAX).then(|| (json!(max + 1), false)));
            values.push((json!(min), true));
            values
        }
        Some("array") => vec![(json!([]), true), (json!({}), false)],
        other => panic!("{} of type {other:?}", parameter.name),
    };
    values
        .extend(schema["enum"].as_array().into_iter().flatten().map(|value| (value.clone(), true)));
    // What is too far ahead is refused too, and that moment moves.
    values.retain(|(value, _)| parameter.name != "create_time" || *value != i64::MAX);
    values
}

/// The first of several: a text that may be an object is a text.
fn kind(schema: &Value) -> Option<&str> {
    schema["type"].as_str().or_else(|| schema["type"][0].as_str())
}

async fn call(operation: &Operation, api: &Api, parameter: &Parameter, value: &Value) -> Reply {
    let mut path = operation.path.to_owned();
    for told in operation.entry["parameters"].as_array().into_iter().flatten() {
        let example = &told["schema"]["examples"][0];
        let value = if told["name"] == parameter.name { value } else { example };
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        path = path.replace(&format!("{{{}}}", told["name"].as_str().expect("a name")), &text);
    }
    let request = api.request(operation.method.clone(), &path).header("X-Security-Sign", "any");
    let mut body = operation.entry["requestBody"]["content"]["application/json"]["example"].clone();
    if body.is_null() {
        return send(request).await;
    }
    if !parameter.in_path {
        body[parameter.name] = value.clone();
    }
    send(request.json(&body)).await
}

/// Nothing is fetched from elsewhere, so it works where there is no way out.
async fn the_page_needs_nothing_else(app: &App) {
    let page = send(Api::new(app.admin_origin()).request(Method::GET, "/docs")).await.text();
    for other in ["src=", "<link", "@import", "url(", "//cdn"] {
        assert!(!page.contains(other), "the page has `{other}`");
    }
    assert!(page.contains("fetch('openapi.json')"));
}
