//! Files, posters of videos and QR codes: parameters and answers (rest.md §32–§35).

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Number, json};

use super::{
    parameters::{
        Declare, Invalid, Parameter, ParameterPlace, Parameters, any_text, id, number, one_of,
        request, text,
    },
    refusals::media as refused,
};
use crate::events::Timestamp;

request! {
    /// Which QR code.
    QrCodeOf {
        id: i64 = id("id", "群id或者个人id"),
        kind: String = choice("type", "平台类型", "`H5`: the code holds an address below `http`."),
        site: String = choice("http", "网址域名", "An `http://` or `https://` address of up to 2048 characters; anything else counts as none."),
        chat: String = choice("chatType", "聊天类型", "`group` (also if there is none), anything else: a person."),
    }
}

/// A text that counts as empty if it does not fit.
fn choice(
    name: &'static str,
    label: &'static str,
    note: &'static str,
) -> impl Declare<Value = String> {
    text(name, label, (1, None), "").note(note).or_default("").map(Option::unwrap_or_default)
}

request! {
    /// Where a file goes.
    UploadToFolder {
        folder: String = any_text("diydir", "上传目录", "chatImgs")
            .note("The folder: letters, digits, `-`; `_` separates its levels."),
    }
}

request! {
    /// What an image is for.
    UploadToObjectStore {
        class: Option<i64> = ImageClass,
    }
}

request! {
    /// Which file.
    UploadedFile {
        path: String = any_text("path", "", "Diy/chatImgs/20250924/1758692400000_48213377.png"),
    }
}

request! {
    /// Which frame of which video, and how large.
    VideoScreenshot {
        url: String = any_text("videoUrl", "视频地址", "/public/uploads/Diy/chatVideos/20250924/1758692400000_48213377.mp4")
            .or_rule(refused::NO_VIDEO),
        time: f64 = number("time", "时间点", (0, None), 20).note("Milliseconds.").or_rule(refused::BAD_TIME),
        width: Option<f64> = number("width", "图片宽度", (1, Some(3840)), 260).or_none().or_rule(refused::BAD_WIDTH),
        format: PictureFormat = one_of("format", "图片格式", FORMATS)
            .note("`png`, `jpg` or `jpeg`; anything else counts as `png`.")
            .or_default("png")
            .map(Option::unwrap_or_default),
    }
}

const FORMATS: &[(&str, PictureFormat)] =
    &[("png", PictureFormat::Png), ("jpg", PictureFormat::Jpg), ("jpeg", PictureFormat::Jpeg)];

/// The format of a poster, by the name that the client gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
#[allow(missing_docs, reason = "they are what they are called")]
pub enum PictureFormat {
    #[default]
    Png,
    Jpg,
    Jpeg,
}

impl PictureFormat {
    /// As in a file's name.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Png => ".png",
            Self::Jpg => ".jpg",
            Self::Jpeg => ".jpeg",
        }
    }
}

/// A request with a file in a form.
pub trait Upload: super::parameters::ParameterSet {
    /// The field in which clients send it.
    const FIELD: &'static str;
}

impl Upload for UploadToFolder {
    const FIELD: &'static str = "file";
}

impl Upload for UploadToObjectStore {
    const FIELD: &'static str = "img";
}

/// `imageClassId`: the clients' form field of this name counts for nothing, here as in the original.
struct ImageClass;

impl Declare for ImageClass {
    type Value = Option<i64>;

    fn read(&self, sent: &Parameters) -> Result<Option<i64>, Invalid> {
        let class = sent.in_query("imageClassId").or_else(|| sent.in_body("image_class_id"));
        Ok(class.and_then(|text| text.trim().parse().ok()))
    }

    fn describe(&self, all: &mut Vec<Parameter>) {
        all.push(Parameter {
            name: "imageClassId",
            place: ParameterPlace::Query,
            required: false,
            schema: json!({ "default": 0, "title": "图片分类", "examples": [0] }),
            example: json!(0),
            refusals: Vec::new(),
        });
    }
}

/// Where a file is to be read.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FileAddress {
    /// Below this service.
    pub url: String,
}

/// An image in the object store, or here if there is none.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StoredImage {
    /// Where it is to be read.
    pub url: String,
    /// Where it is in its store.
    pub path: String,
    /// What it is for.
    pub image_class_id: i64,
    /// When it came, in seconds.
    pub create_time: i64,
}

impl StoredImage {
    /// An image that came at `at`.
    pub fn new(url: String, path: String, class: Option<i64>, at: Timestamp) -> Self {
        Self { url, path, image_class_id: class.unwrap_or(0), create_time: at.0 / 1000 }
    }
}

/// A frame of a video.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Poster")]
pub struct PosterObject {
    /// The picture as a `data:` address.
    pub base64: String,
    /// Where it is to be read.
    pub url: String,
    /// Its format.
    pub format: PictureFormat,
    /// The moment, as asked for.
    pub time: Number,
    /// How wide.
    pub width: PosterWidth,
}

/// How wide a poster was asked to be.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub enum PosterWidth {
    /// In pixels.
    Pixels(Number),
    /// As wide as the video.
    Video(VideoWidth),
}

/// As wide as the video.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub enum VideoWidth {
    /// In words.
    #[serde(rename = "原始宽度")]
    Original,
}
