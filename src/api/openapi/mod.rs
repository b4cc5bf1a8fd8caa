//! The routes as an OpenAPI 3.1 document, made of the types of their handlers, for clients to be made and tested from.

mod examples;
mod responses;
mod schemas;

use schemars::{SchemaGenerator, generate::SchemaSettings, transform::RecursiveTransform};
use serde_json::{Map, Value, json};

use super::{
    Chapter, chapters,
    route::{Access, Operation, Route},
};
use crate::protocol::{
    frames::Frame,
    parameters::{Parameter, ParameterPlace},
    refusals::{any, media, messages},
    reply::Failed,
};

/// What the document says of all routes.
const ABOUT: &str = include_str!("openapi.md");

/// The document. `server` is where clients find the service.
pub fn document(server: &str) -> Value {
    let mut generator = generator();
    let mut paths = Map::new();
    let mut requests = Map::new();
    let mut tags = Vec::new();
    for Chapter { name, about, routes } in chapters() {
        tags.push(json!({ "name": name, "description": about }));
        for route in routes {
            let path = route.path.replace("{*", "{");
            let method = route.method.as_str().to_lowercase();
            let item = paths.entry(path).or_insert_with(|| json!({}));
            item[method] = operation(name, &route, &mut generator, &mut requests);
        }
    }
    generator.subschema_for::<Failed<'static>>();
    generator.subschema_for::<Frame<'static>>(); // no route has it, and clients need it
    let mut schemas = generator.take_definitions(true);
    schemas.append(&mut requests);
    examples::add(&mut paths, &schemas);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Hongyan",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
            "description": ABOUT,
        },
        "servers": [{ "url": server }],
        "tags": tags,
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
            "schemas": schemas,
            "responses": {
                "NotFound": responses::refusal("No such route, or no such file.", &[any::NOT_FOUND]),
                "TooSlow": responses::refusal("The request did not come to its end in time.", &[any::TOO_SLOW]),
                "TooLarge": responses::refusal("The request is too large.", &[any::TOO_LARGE, messages::TOO_LARGE, media::FILE_TOO_LARGE]),
                "TooMany": responses::refusal("Too many requests in this minute, or too much of something that takes longer.", &[any::TOO_MANY, media::TOO_MUCH]),
                "Internal": responses::refusal(responses::DOWN, &[any::INTERNAL]),
                "Overloaded": responses::refusal("There is no room for this now; try again.", &[any::OVERLOADED, any::NO_SPACE]),
            },
        },
    })
}

/// Schemas of what is sent.
fn generator() -> SchemaGenerator {
    let settings = SchemaSettings::draft2020_12().for_serialize().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    settings.with_transform(RecursiveTransform(schemas::simplify)).into_generator()
}

fn operation(
    tag: &str,
    route: &Route,
    generator: &mut SchemaGenerator,
    requests: &mut Map<String, Value>,
) -> Value {
    let operation = (route.operation)(generator);
    let who = match (Access::needs_token(route.path), route.for_guests) {
        (false, _) => "Anybody.",
        (true, true) => "Users and guests.",
        (true, false) => "Registered users.",
    };
    let section = match route.section {
        0 => "a route of our own".to_owned(),
        section => format!("§{section}"),
    };
    let mut told = json!({
        "operationId": operation_id(route.path),
        "tags": [tag],
        "summary": route.title,
        "description": format!("{}\n\n*Who:* {who} ({section})", route.about).trim(),
        "x-section": route.section,
        "security": if operation.needs_token { json!([{ "token": [] }]) } else { json!([]) },
        "parameters": parameters(route, &operation),
    });
    if let Some(body) = body(route, &operation, requests) {
        told["requestBody"] = body;
    }
    told["responses"] = responses::of(route, operation);
    told
}

/// `socket_sendmessage`: the words of the path.
fn operation_id(path: &str) -> String {
    let words = path.split('/').filter(|word| !word.is_empty() && !word.starts_with('{'));
    words.filter(|word| !["api", "chat"].contains(word)).collect::<Vec<_>>().join("_")
}

fn is_in_path(route: &Route, parameter: &Parameter) -> bool {
    let names = route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    names.into_iter().any(|name| name.trim_start_matches('*') == parameter.name)
}

fn is_in_body(route: &Route, parameter: &Parameter) -> bool {
    route.method == axum::http::Method::POST
        && parameter.place == ParameterPlace::Anywhere
        && !is_in_path(route, parameter)
}

fn parameters(route: &Route, operation: &Operation) -> Value {
    let sign = operation.is_signed.then(|| {
        json!({
            "name": "X-Security-Sign",
            "in": "header",
            "required": true,
            "description": "Lower-case hex SHA-256 of `deviceId={deviceId}&salt={salt}&timestamp={timestamp}APP_SECRET`.",
            "schema": { "type": "string", "minLength": 1 },
        })
    });
    let outside = operation.parameters.iter().filter(|told| !is_in_body(route, told));
    let outside = outside.map(|parameter| {
        let in_path = is_in_path(route, parameter);
        json!({
            "name": parameter.name,
            "in": if in_path { "path" } else { "query" },
            "required": in_path || parameter.required,
            "schema": parameter.schema,
        })
    });
    sign.into_iter().chain(outside).collect()
}

/// The body of a request, whose schema is one of the named ones.
fn body(route: &Route, operation: &Operation, requests: &mut Map<String, Value>) -> Option<Value> {
    if let Some(field) = operation.upload {
        let file = json!({ "type": "string", "format": "binary" });
        let schema =
            json!({ "type": "object", "properties": { field: file }, "required": [field] });
        return Some(
            json!({ "required": true, "content": { "multipart/form-data": { "schema": schema } } }),
        );
    }
    let inside: Vec<&Parameter> =
        operation.parameters.iter().filter(|told| is_in_body(route, told)).collect();
    if inside.is_empty() {
        return None;
    }
    let properties: Map<_, _> =
        inside.iter().map(|told| (told.name.to_owned(), told.schema.clone())).collect();
    let required: Vec<_> =
        inside.iter().filter(|told| told.required).map(|told| told.name).collect();
    let example: Map<_, _> =
        inside.iter().map(|told| (told.name.to_owned(), told.example.clone())).collect();
    let schema = json!({ "type": "object", "properties": properties, "required": required });
    let name = operation.request.to_owned();
    let named = json!({ "$ref": format!("#/components/schemas/{name}") });
    let mut in_form = schema.clone();
    for field in in_form["properties"].as_object_mut().into_iter().flat_map(Map::values_mut) {
        if field["type"].is_array() {
            field["type"] = json!("string"); // a form has no objects
        }
    }
    let in_form = if in_form == schema { named.clone() } else { in_form };
    requests.insert(name, schema);
    let media = |schema: Value| json!({ "schema": schema, "example": example });
    Some(json!({ "required": !required.is_empty(), "content": {
        "application/json": media(named),
        "application/x-www-form-urlencoded": media(in_form),
    } }))
}
