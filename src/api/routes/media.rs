//! Files, posters and QR codes (rest.md §32–§35).

use serde_json::json;

use super::{
    Answer, Chapter, data, get,
    param::{free, id, optional, text},
    post,
    shape::like,
};
use crate::api::{files, qr_code, uploads, videos};

pub(super) fn chapter() -> Chapter {
    let broken = "请求内容不完整";
    let choice = |name, label, note| optional(name, label, "", note);
    let poster = like(json!({
        "base64": "data:image/png;base64,iVBORw0KGgo…",
        "url": "/public/uploads/Diy/VideoScreenshot/screenshot_1758692400000_k7dz26.png",
        "format": "png",
        "time": 20,
        "width": 260,
    }));
    let poster = poster
        .but("format", json!({ "enum": ["png", "jpg", "jpeg"] }))
        .but("time", json!({ "type": "number" }))
        .but("width", json!({ "anyOf": [{ "type": "number" }, { "const": "原始宽度" }] }));
    let routes = vec![
        get(32, "/api/chat/groupQrcode/{id}", qr_code::picture, "A QR picture")
            .about("Clients use its address as that of a picture, so the token is usually in the query.")
            .takes([
                id("id", "群id或者个人id"),
                choice("type", "平台类型", "`H5`: the code holds an address below `http`."),
                choice("http", "网址域名", "An `http://` or `https://` address of up to 2048 characters; anything else counts as none."),
                choice("chatType", "聊天类型", "`group` (also if there is none), anything else: a person."),
            ])
            .answers(Answer::Picture)
            .refuses(&["群不存在或被封禁或者您不在该群聊中", "用户不存在或被封禁", "二维码内容过长"]),
        post(33, "/api/chat/uploadStreamSingleToServerDiy/{diydir}", uploads::to_folder, "Upload a file")
            .about("Pictures, videos, sounds, documents of up to 50 MB.")
            .takes([text("diydir", "上传目录", "chatImgs")
                .note("The folder: letters, digits, `-`; `_` separates its levels.")])
            .uploads("file")
            .answers(data(json!({
                "url": "/public/uploads/Diy/chatImgs/20250924/1758692400000_48213377.png",
            })))
            .refuses(&["无效的上传目录", "请选择要上传的文件", "不支持的文件类型", broken]),
        post(34, "/api/chat/uploadAliyun", uploads::to_object_store, "Upload to the object storage")
            .about("Without one the file is kept here. `create_time` is in seconds.")
            .takes([free("imageClassId", "图片分类", json!({ "default": 0 }), json!(0))
                .or_none()
                .in_query()])
            .uploads("img")
            .answers(data(json!([{
                "url": "https://bucket.example/images/20250924/1758692400000_20f90b51544f.png",
                "path": "images/20250924/1758692400000_20f90b51544f.png",
                "image_class_id": 0,
                "create_time": 1_758_692_400,
            }])))
            .refuses(&["上传失败: …"]),
        post(35, "/api/chat/getVideoScreenshot", videos::screenshot, "A poster frame of a video")
            .about("Of a file of this service or its object storage; nothing else is ever fetched. The picture is 1280 pixels wide at most. Its parameters are refused with 400.")
            .takes([
                free("videoUrl", "视频地址", json!({ "type": "string", "minLength": 1 }), json!("/public/uploads/Diy/chatVideos/20250924/1758692400000_48213377.mp4")),
                free("time", "时间点", json!({ "type": "number", "minimum": 0 }), json!(20)).note("Milliseconds."),
                free("width", "图片宽度", json!({ "type": "number", "minimum": 1, "maximum": 3840 }), json!(260)).or_none(),
                choice("format", "图片格式", "`png`, `jpg` or `jpeg`; anything else counts as `png`."),
            ])
            .answers(Answer::Data(poster))
            .refuses(&["视频地址不能为空", "时间点参数无效", "图片宽度应在1-3840之间", "截图生成失败", "截图处理失败: …"]),
        get(33, "/public/uploads/{*path}", files::serve, "An uploaded file")
            .about("As it was uploaded, without the position of a picture; ranges are served. The path has slashes in it.")
            .takes([free("path", "", json!({ "type": "string" }), json!("Diy/chatImgs/20250924/1758692400000_48213377.png"))])
            .answers(Answer::File),
    ];
    Chapter { name: "media", about: "Files, posters of videos, QR codes", routes }
}
