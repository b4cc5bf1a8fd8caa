//! What is read out of requests, and how it is refused.

use super::*;

fn read(query: &str, kind: &str, body: &[u8]) -> Result<Parameters, Malformed> {
    let mut parameters = Parameters::of_query(Some(query));
    parameters.read_body(Some(kind), body.to_owned()).map(|()| parameters)
}

fn json(body: &str) -> Parameters {
    read("", "application/json", body.as_bytes()).expect("well formed")
}

fn form(body: &str) -> Parameters {
    read("", FORM, body.as_bytes()).expect("well formed")
}

const FORM: &str = "application/x-www-form-urlencoded";

/// In which words a parameter is refused.
fn refused<T: std::fmt::Debug>(param: &impl Declare<Value = T>, sent: &Parameters) -> String {
    match param.read(sent) {
        Err(Invalid::Parameter(text)) => text.into_owned(),
        other => panic!("not refused as a parameter is: {other:?}"),
    }
}

/// A text of any length, as it is read.
fn any(sent: &Parameters, name: &'static str) -> String {
    any_text(name, "x", "").read(sent).expect("there")
}

#[test]
fn dev_32_null_and_the_empty_text_are_missing() {
    for body in [r#"{"a":null}"#, r#"{"a":""}"#, "{}"] {
        assert!((refused(&any_text("a", "账号", ""), &json(body)) == "账号不能为空"), "{body}");
    }
}

#[test]
fn what_is_no_text_becomes_text() {
    let params = json(r#"{"n":5,"b":true,"o":{"z":1,"a":"\u4f60"},"l":[1, 2]}"#);
    let read = |name| any(&params, name);
    assert_eq!([read("n"), read("b")], ["5", "true"]);
    assert_eq!([read("o"), read("l")], [r#"{"z":1,"a":"你"}"#, "[1,2]"]);
}

#[test]
fn integers_are_numbers_or_decimal_text() {
    let params = json(r#"{"a":7,"b":"+7","c":"-7","d":7.0,"e":"7x","f":7.5,"g":[7]}"#);
    for name in ["a", "b", "d"] {
        assert_eq!(int(name, "x", 1).read(&params), Ok(7), "{name}");
    }
    assert_eq!(int("c", "x", 1).read(&params), Ok(-7));
    for name in ["e", "f", "g"] {
        assert!(refused(&int(name, "页码", 1), &params).contains("的类型不是 `int`"), "{name}");
    }
}

#[test]
fn bounds_are_told_in_the_contracts_words() {
    let params = json(r#"{"name":"你好","page":0,"kind":"x"}"#);
    let name = text("name", "账号", (4, 20), "");
    assert_eq!(refused(&name, &params), "账号 的长度 必须 在 4 和 20 之间");
    let page = id("page", "页码");
    assert_eq!(refused(&page, &params), "页码 的数值 必须 在 1 和 10000000000000000 之间");
    let kind = one_of("kind", "类型", &[("a", 1), ("b", 2)]);
    assert_eq!(refused(&kind, &params), "类型 的值 `x` 必须在 [`a`、`b`] 中");
    let endless = text("name", "账号", (4, None), "");
    assert_eq!(refused(&endless, &params), "账号 的长度 必须 在 4 和 10000000 之间");
    let limit = up_to(10, "kind", "类型");
    assert_eq!(
        refused(&limit, &json(r#"{"kind":11}"#)),
        "类型 的数值 必须 大于等于 `0` 小于等于 `10`"
    );
}

#[test]
fn the_body_wins_over_the_query_and_forms_are_bodies() {
    let params = read("a=1&b=2", FORM, b"a=%E4%BD%A0&c=+x").expect("well formed");
    assert_eq!(["a", "b", "c"].map(|name| any(&params, name)), ["你", "2", " x"]);
}

#[test]
fn an_invalid_optional_text_counts_as_left_out() {
    let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(51));
    let optional = text("a", "x", (1, 50), "").or_default("");
    assert_eq!(optional.read(&json(&long)), Ok(None));
    assert_eq!(optional.read(&json(r#"{"a":"ok"}"#)), Ok(Some("ok".to_owned())));
    let strict = text("a", "x", (1, 50), "").or_none();
    assert_eq!(strict.read(&json("{}")), Ok(None));
    assert_eq!(refused(&strict, &json(&long)), "x 的长度 必须 在 1 和 50 之间");
}

#[test]
fn a_flag_is_0_or_1() {
    let params = json(r#"{"a":1,"b":"0","c":2,"d":true}"#);
    assert_eq!(["a", "b"].map(|name| flag(name, "x").read(&params)), [Ok(true), Ok(false)]);
    assert_eq!(refused(&flag("c", "开关"), &params), "开关 的值 `2` 必须在 [`0`、`1`] 中");
    assert!(refused(&flag("d", "x"), &params).contains("的类型不是 `int`"));
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
        let page = page(30).read(&json(&format!(r#"{{"page":3,"limit":{limit}}}"#)));
        assert_eq!(page, Ok(Page { limit: taken, offset: 2 * taken }), "{limit}");
    }
    let far = page(30).read(&json(r#"{"page":9223372036854775807,"limit":2000}"#));
    assert_eq!(far, Ok(Page { limit: 2000, offset: i64::MAX }));
}

#[test]
fn a_list_comes_in_four_forms() {
    let list = numbers("l", "x");
    for body in [r#"{"l":[3,"4",5.0]}"#, r#"{"l":"[3, 4, 5]"}"#, r#"{"l":"3, 4,5"}"#] {
        assert_eq!(list.read(&json(body)), Ok(vec![3, 4, 5]), "{body}");
    }
    assert_eq!(list.read(&form("l=3&l=4&l=5")), Ok(vec![3, 4, 5]));
    assert_eq!(list.read(&json(r#"{"l":[]}"#)), Ok(vec![]));
    assert_eq!(list.read(&json(r#"{"l":"7"}"#)), Ok(vec![7]));
    assert!(refused(&list, &json(r#"{"l":{}}"#)).contains("的类型不是 `array`"));
    assert!(refused(&list, &json(r#"{"l":""}"#)) == "x不能为空");
}

#[test]
fn malformed_json_is_told_apart_from_none() {
    for body in ["{", "{\"a\":}", "\u{0}", "nonsense"] {
        let read = read("", "application/json", body.as_bytes());
        assert_eq!(read.err(), Some(Malformed::Syntax), "{body}");
    }
    for none in ["", " \n", "[1]", "7"] {
        assert_eq!(json(none).get("a"), None, "{none}");
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
        assert_eq!(any(&params, "a"), taken, "{sent}");
        let list = params.get(taken).expect("there").text();
        assert_eq!(list, serde_json::json!([taken]).to_string(), "{sent}");
    }
}

/// Clarification 31.
#[test]
fn a_byte_order_mark_is_passed_over() {
    assert_eq!(int("a", "x", 1).read(&json("\u{feff}{\"a\":1}")), Ok(1));
    assert_eq!(json("\u{feff}").get("a"), None);
}

/// Clarification 31.
#[test]
fn of_two_in_a_query_the_first_counts() {
    let params = Parameters::of_query(Some("a=1&a=2&b=&b=2"));
    assert_eq!(any(&params, "a"), "1");
    assert_eq!(params.get("b"), None);
}

/// Clarification 31.
#[test]
fn an_error_repeats_little_of_what_was_sent() {
    let params = json(&format!(r#"{{"a":"{}"}}"#, "鸿".repeat(5000)));
    let choice = one_of("a", "x", &[("b", ())]);
    for refused in [refused(&int("a", "x", 1), &params), refused(&choice, &params)] {
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

#[test]
fn numbers_are_finite_and_within_bounds() {
    let width = number("n", "x", (1, Some(3840)), 1);
    let read = |text: &str| width.read(&json(&format!(r#"{{"n":"{text}"}}"#))).ok();
    assert_eq!([read("260"), read("1.5")], [Some(260.0), Some(1.5)]);
    assert_eq!([read("x"), read("inf"), read("0"), read("3841")], [None; 4]);
}

request! {
    /// Two that must be there together.
    Together if incomplete "both" => {
        first: i64 = id("a", "first").missed_together(),
        second: String = text("b", "second", (1, 2), "").missed_together(),
        third: Option<i64> = int("c", "third", 1).or_none(),
    }
}

#[test]
fn what_is_missed_together_is_looked_for_before_the_rest_is_read() {
    let read =
        |body: &str| Together::read(&json(body)).map(|read| (read.first, read.second, read.third));
    assert_eq!(read(r#"{"a":"x"}"#), Err(Invalid::Rule("both")));
    assert_eq!(read(r#"{"a":1,"b":"x","c":7}"#), Ok((1, "x".to_owned(), Some(7))));
    assert!(
        matches!(read(r#"{"a":"x","b":"xyz"}"#), Err(Invalid::Parameter(text)) if text.starts_with("first"))
    );
    let told: Vec<_> =
        Together::parameters().iter().map(|told| (told.name, told.required)).collect();
    assert_eq!(told, [("a", true), ("b", true), ("c", false)]);
    assert!(
        Together::parameters()
            .iter()
            .all(|told| told.refusals.iter().all(|text| !text.contains("不能为空")))
    );
}
