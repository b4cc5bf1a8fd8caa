//! What is read out of requests, and how it is refused.

use super::*;

fn read(query: &str, kind: &str, body: &[u8]) -> Result<Params, Malformed> {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, kind.parse().expect("a content type"));
    let mut params = Params::of_query(Some(query));
    params.read_body(&headers, body.to_owned()).map(|()| params)
}

fn json(body: &str) -> Params {
    read("", "application/json", body.as_bytes()).expect("well formed")
}

fn form(body: &str) -> Params {
    read("", FORM, body.as_bytes()).expect("well formed")
}

const FORM: &str = "application/x-www-form-urlencoded";

fn text<T: std::fmt::Debug>(result: Checked<T>) -> String {
    format!("{:?}", result.expect_err("refused"))
}

#[test]
fn dev_32_null_and_the_empty_text_are_missing() {
    for body in [r#"{"a":null}"#, r#"{"a":""}"#, "{}"] {
        assert!(text(json(body).text("a", "账号")).contains("账号不能为空"), "{body}");
    }
}

#[test]
fn what_is_no_text_becomes_text() {
    let params = json(r#"{"n":5,"b":true,"o":{"z":1,"a":"\u4f60"},"l":[1, 2]}"#);
    let read = |name| params.text(name, "x").expect("there");
    assert_eq!([read("n"), read("b")], ["5", "true"]);
    assert_eq!([read("o"), read("l")], [r#"{"z":1,"a":"你"}"#, "[1,2]"]);
}

#[test]
fn integers_are_numbers_or_decimal_text() {
    let params = json(r#"{"a":7,"b":"+7","c":"-7","d":7.0,"e":"7x","f":7.5,"g":[7]}"#);
    for name in ["a", "b", "d"] {
        assert_eq!(params.int(name, "x"), Ok(7), "{name}");
    }
    assert_eq!(params.int("c", "x"), Ok(-7));
    for name in ["e", "f", "g"] {
        assert!(text(params.int(name, "页码")).contains("的类型不是 `int`"), "{name}");
    }
}

#[test]
fn bounds_are_told_in_the_contracts_words() {
    let params = json(r#"{"name":"你好","page":0,"kind":"x"}"#);
    let refused = text(params.text_in("name", "账号", 4, Some(20)));
    assert!(refused.contains("账号 的长度 必须 在 4 和 20 之间"), "{refused}");
    let refused = text(params.id("page", "页码"));
    assert!(refused.contains("页码 的数值 必须 在 1 和 10000000000000000 之间"), "{refused}");
    let refused = text(params.one_of("kind", "类型", &["a", "b"]));
    assert!(refused.contains("类型 的值 `x` 必须在 [`a`、`b`] 中"), "{refused}");
}

#[test]
fn the_body_wins_over_the_query_and_forms_are_bodies() {
    let params = read("a=1&b=2", FORM, b"a=%E4%BD%A0&c=+x").expect("well formed");
    assert_eq!(params.text("a", "x").as_deref(), Ok("你"));
    assert_eq!(params.text("b", "x").as_deref(), Ok("2"));
    assert_eq!(params.text("c", "x").as_deref(), Ok(" x"));
}

#[test]
fn an_invalid_optional_text_counts_as_left_out() {
    let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(51));
    assert_eq!(json(&long).text_or_none("a", 1, 50), None);
    assert_eq!(json(r#"{"a":"ok"}"#).text_or_none("a", 1, 50).as_deref(), Some("ok"));
}

#[test]
fn a_flag_is_0_or_1() {
    let params = json(r#"{"a":1,"b":"0","c":2,"d":true}"#);
    assert_eq!([params.flag("a", "x"), params.flag("b", "x")], [Ok(true), Ok(false)]);
    let refused = text(params.flag("c", "开关"));
    assert!(refused.contains("开关 的值 `2` 必须在 [`0`、`1`] 中"), "{refused}");
    assert!(text(params.flag("d", "x")).contains("的类型不是 `int`"));
}

#[test]
fn dev_27_limits_are_tamed() {
    for (limit, taken) in [
        ("null", 30),
        ("\"x\"", 30),
        ("1.5", 30),
        ("0", 30),
        ("-1", 30),
        ("\"99999999999999999999\"", 30),
        ("1", 1),
        ("\"7\"", 7),
        ("2000", 2000),
        ("2001", 2000),
        ("9007199254740992", 2000),
    ] {
        let page = json(&format!(r#"{{"page":3,"limit":{limit}}}"#)).page(30);
        assert_eq!(page, Ok(Page { limit: taken, offset: 2 * taken }), "{limit}");
    }
    let far = json(r#"{"page":9223372036854775807,"limit":2000}"#).page(30);
    assert_eq!(far, Ok(Page { limit: 2000, offset: i64::MAX }));
}

#[test]
fn a_list_comes_in_four_forms() {
    for body in [r#"{"l":[3,"4",5.0]}"#, r#"{"l":"[3, 4, 5]"}"#, r#"{"l":"3, 4,5"}"#] {
        assert_eq!(json(body).ids("l", "x"), Ok(vec![3, 4, 5]), "{body}");
    }
    assert_eq!(form("l=3&l=4&l=5").ids("l", "x"), Ok(vec![3, 4, 5]));
    assert_eq!(json(r#"{"l":[]}"#).ids("l", "x"), Ok(vec![]));
    assert_eq!(json(r#"{"l":"7"}"#).ids("l", "x"), Ok(vec![7]));
    assert!(text(json(r#"{"l":{}}"#).ids("l", "x")).contains("的类型不是 `array`"));
    assert!(text(json(r#"{"l":""}"#).ids("l", "x")).contains("x不能为空"));
}

#[test]
fn malformed_json_is_told_apart_from_none() {
    for body in ["{", "{\"a\":}", "\u{0}", "nonsense"] {
        let read = read("", "application/json", body.as_bytes());
        assert_eq!(read.err(), Some(Malformed::Syntax), "{body}");
    }
    for none in ["", " \n", "[1]", "7"] {
        assert_eq!(json(none).raw("a"), None, "{none}");
    }
}

/// Clarification 31.
#[test]
fn half_an_emoji_is_replaced() {
    for (sent, taken) in [
        (r"x\ud83e", "x\u{fffd}"),
        (r"\udd86x", "\u{fffd}x"),
        (r"\ud83e\ud83e\udd86", "\u{fffd}🦆"),
        (r"\ud83e\udd86", "🦆"),
        (r"\uD83E\n", "\u{fffd}\n"),
        (r"\\ud83e", r"\ud83e"),
        (r"\\\ud83e", "\\\u{fffd}"),
    ] {
        let params = json(&format!(r#"{{"{sent}":["{sent}"],"a":"{sent}"}}"#));
        assert_eq!(params.text("a", "x").as_deref(), Ok(taken), "{sent}");
        let list = params.text(taken, "x");
        assert_eq!(list, Ok(serde_json::json!([taken]).to_string()), "{sent}");
    }
}

/// Clarification 31.
#[test]
fn a_byte_order_mark_is_passed_over() {
    assert_eq!(json("\u{feff}{\"a\":1}").int("a", "x"), Ok(1));
    assert_eq!(json("\u{feff}").raw("a"), None);
}

/// Clarification 31.
#[test]
fn of_two_in_a_query_the_first_counts() {
    let params = Params::of_query(Some("a=1&a=2&b=&b=2"));
    assert_eq!(params.text("a", "x").as_deref(), Ok("1"));
    assert_eq!(params.raw("b"), None);
}

/// Clarification 31.
#[test]
fn an_error_repeats_little_of_what_was_sent() {
    let params = json(&format!(r#"{{"a":"{}"}}"#, "鸿".repeat(5000)));
    for refused in [text(params.int("a", "x")), text(params.one_of("a", "x", &["b"]))] {
        assert_eq!(refused.matches('鸿').count(), 100, "{refused}");
    }
}

#[test]
fn parameters_are_bounded_in_number_and_depth() {
    let many = |most: usize| (0..most).map(|name| format!("\"{name}\":1")).collect::<Vec<_>>();
    let body = |most| format!("{{{}}}", many(most).join(","));
    let json = |body: &str| read("", "application/json", body.as_bytes()).map(|_| ());
    assert_eq!(json(&body(10_000)), Ok(()));
    assert_eq!(json(&body(10_001)), Err(Malformed::TooManyMembers));
    let fields = "a=1&".repeat(10_001);
    assert_eq!(read("", FORM, fields.as_bytes()).err(), Some(Malformed::TooManyMembers));
    let deep = |depth| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(json(&deep(100)), Ok(()));
    assert_eq!(json(&deep(1000)), Err(Malformed::Syntax));
}
