//! Accounts and guests (rest.md §1–§6).

use serde_json::json;

use super::{
    Answer, Chapter,
    param::{Param, optional, text},
    post,
    shape::like,
};
use crate::api::{accounts, passwords};

pub(super) fn chapter() -> Chapter {
    let gone = "账号不存在或者被禁用";
    let taken = "该账号已存在，请换一个账号注册";
    let too_often = "登录失败次数过多，请稍后再试";
    let proof = [gone, "账户或密码错误", too_often];
    let password = |name, label| text(name, label, "a good one").of(6, 20);
    let device = |name, label, note| optional(name, label, "", note);
    let routes = vec![
        post(1, "/api/loginChat", accounts::log_in, "Log in")
            .about("The user's token so far is refused from now on.")
            .takes(credentials())
            .answers(user_full())
            .refuses(&proof),
        post(2, "/api/regChat", accounts::register, "Register")
            .about("Makes an account and logs in.")
            .takes(new_credentials())
            .answers(user_full())
            .refuses(&[taken]),
        post(3, "/api/chat/logout", accounts::log_out, "Log out")
            .about("The token is refused from now on, and its socket gets no more pushes.")
            .answers(Answer::Data(like(json!(true)).but("", json!({ "const": true })))),
        post(4, "/api/visitorRegister", accounts::visitor_register, "Be a guest on a device")
            .about("The same device is the same guest. For a device that a registered account owns: that account, as a guest.")
            .signed()
            .takes([
                device("uniplatform", "平台类型", "2–50 characters."),
                device("devicemodel", "设备型号", "1–50 characters."),
                device("deviceos", "操作系统", "1–50 characters."),
                device("devicebrand", "设备品牌", "1–50 characters."),
            ])
            .answers(user_full())
            .refuses(&[gone]),
        post(5, "/api/visitorregChat", accounts::visitor_upgrade, "Become a registered user")
            .about("The guest of the device becomes the account and keeps all that it has. Where no guest owns the device: a new account.")
            .takes(new_credentials())
            .signed()
            .answers(user_full())
            .refuses(&[taken]),
        post(6, "/api/visitorloginChat", accounts::visitor_log_in, "Log in from a guest's device")
            .about("The guest keeps the device.")
            .takes(credentials())
            .signed()
            .answers(user_full())
            .refuses(&proof),
        post(42, "/api/chat/setPassword", passwords::set, "Set my password")
            .about("This token stays good, all others are refused from now on.")
            .takes([
                password("oldpassword", "原始密码"),
                password("newpassword", "新密码"),
                password("checknewpassword", "确认新密码"),
            ])
            .says(&["修改密码成功"])
            .refuses(&[
                "新密码与确认新密码不一致",
                "您未登录，无法修改密码",
                "用户不存在，无法修改密码",
                "原始密码错误，无法修改密码",
                too_often,
            ]),
    ];
    Chapter { name: "accounts", about: "Registered users and guests, and their tokens", routes }
}

fn credentials() -> [Param; 2] {
    [
        text("username", "账号", "alice_01").of(4, 20).note("Upper and lower case are one."),
        text("password", "密码", "a good one").of(6, 20),
    ]
}

fn new_credentials() -> [Param; 2] {
    let [username, password] = credentials();
    [username.names("账号"), password]
}

/// §0.5.
fn user_full() -> Answer {
    let example = json!({
        "create_time": "2025-09-20 10:11:12",
        "id": 12,
        "uuid": "6d2c1a52-5f0e-4a44-9f0e-2f7d3c1b8a90",
        "username": "alice_01",
        "nickname": "",
        "avatar": "https://docs-51yrc-com.oss-cn-hangzhou.aliyuncs.com/chat/user.jpg",
        "devicefingeruuid": "",
        "uniplatform": "",
        "devicemodel": "",
        "deviceos": "",
        "devicebrand": "",
        "userset": "",
        "invite_confirm": 0,
        "mobile": null,
        "email": null,
        "status": 1,
        "last_login": "2025-09-24T05:33:04.123Z",
        "last_login_ip": null,
        "register_time": "2025-09-20T02:11:12.000Z",
        "register_ip": null,
        "is_deleted": 0,
        "wechat_openid": null,
        "qq_openid": null,
        "weibo_uid": null,
        "role": "user",
        "is_email_verified": 0,
        "is_mobile_verified": 0,
        "order": 50,
        "update_time": "2025-09-24T05:33:04.000Z",
        "token": "eyJ…",
    });
    Answer::Data(like(example).but("role", json!({ "enum": ["user", "visitor"] })))
}
