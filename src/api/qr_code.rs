//! QR codes that lead to a person or a group (rest.md §32).

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use percent_encoding::{CONTROLS, utf8_percent_encode};
use png::{BitDepth, ColorType, Encoder};
use qrcodegen::{QrCode, QrCodeEcc, QrSegment, Version};
use schemars::SchemaGenerator;

use super::{
    error::ApiError,
    middleware::auth::AuthenticatedUser,
    params::Params,
    route::{Answers, ReplyShape, Route, get},
};
use crate::{
    commands::group::Group,
    commands::user::User,
    events::{GroupId, UserId},
    protocol::{
        media::QrCodeOf,
        qr_code::{group_text, person_text},
        refusals::media as refused,
    },
    state::Readers,
};

/// Pixels per module.
const SCALE: usize = 10;

/// White modules around the code (ISO/IEC 18004 §6.3.8).
const QUIET_ZONE: i32 = 4;

pub(super) fn routes() -> Vec<Route> {
    vec![
        get(32, "/api/chat/groupQrcode/{id}", picture, "A QR picture")
            .about("Clients use its address as that of a picture, so the token is usually in the query.")
            .for_guests()
            .refuses(&[refused::NO_SUCH_GROUP, refused::NO_SUCH_USER, refused::CODE_TOO_LONG]),
    ]
}

/// A picture that nobody keeps.
struct Picture(Vec<u8>);

impl IntoResponse for Picture {
    fn into_response(self) -> Response {
        let headers = [(header::CONTENT_TYPE, "image/png"), (header::CACHE_CONTROL, "no-store")];
        (headers, self.0).into_response()
    }
}

impl Answers for Picture {
    fn answer(_: &mut SchemaGenerator) -> ReplyShape {
        ReplyShape::Picture
    }
}

/// A QR picture (§32)
async fn picture(
    State(readers): State<Readers>,
    caller: AuthenticatedUser,
    Params(QrCodeOf { id, kind, site, chat }): Params<QrCodeOf>,
) -> Result<Picture, ApiError> {
    // Early clients wrote the address over several lines, so values may end with white space.
    let site = Some(site.trim()).filter(|site| kind.trim() == "H5" && is_site(site));
    let site = site.map(|site| utf8_percent_encode(site, CONTROLS).to_string());
    let site = site.as_deref();
    let texts = match chat.trim() {
        "" | "group" => vec![group_text(id, &group_of(&readers, id, &caller).await?, site)],
        _ => {
            let user = readers.state::<User>(UserId(id)).await?;
            let account = user.active();
            let account = account.ok_or_else(|| ApiError::rule(refused::NO_SUCH_USER))?;
            let avatar = account.avatar.as_str();
            let text = |avatar| person_text(id, account.name(), avatar, site);
            if site.is_some() { vec![text(Some(avatar)), text(None)] } else { vec![text(None)] }
        }
    };
    let code = encode(&texts).ok_or_else(|| ApiError::rule(refused::CODE_TOO_LONG))?;
    draw(&code).map(Picture).map_err(ApiError::internal)
}

/// The name of a group that the caller is a full member of, for one with status 1.
async fn group_of(
    readers: &Readers,
    id: i64,
    caller: &AuthenticatedUser,
) -> Result<String, ApiError> {
    let group = readers.state::<Group>(GroupId(id)).await?;
    let active = group.active().filter(|group| group.member(caller.account.id).is_some());
    let active = active.ok_or_else(|| ApiError::rule(refused::NO_SUCH_GROUP))?;
    Ok(active.row.name.clone())
}

/// An address that a browser may be led to: `http://` or `https://`, at most 2048 characters.
fn is_site(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let has_host = rest.is_some_and(|rest| !rest.starts_with(['/', '?', '#']) && !rest.is_empty());
    has_host
        && text.chars().count() <= 2048
        && !text.chars().any(|c| c.is_whitespace() || c.is_control())
}

/// The first text that fits, at level M if it can be, else at level L (clarification 12).
fn encode(texts: &[String]) -> Option<QrCode> {
    let levels = [QrCodeEcc::Medium, QrCodeEcc::Low];
    let mut tries = texts.iter().flat_map(|text| levels.map(|level| (text, level)));
    tries.find_map(|(text, level)| {
        let segments = QrSegment::make_segments(text);
        let (smallest, largest) = (Version::MIN, Version::MAX);
        QrCode::encode_segments_advanced(&segments, level, smallest, largest, None, false).ok()
    })
}

/// A picture with a bit per pixel: 0 is black.
fn draw(code: &QrCode) -> Result<Vec<u8>, png::EncodingError> {
    let modules = code.size() + 2 * QUIET_ZONE;
    let side = usize::try_from(modules).unwrap_or_default() * SCALE;
    let is_dark = |x: usize, y: usize| {
        let place = |at: usize| i32::try_from(at / SCALE).unwrap_or_default() - QUIET_ZONE;
        code.get_module(place(x), place(y)) // light, where there is none
    };
    let mut pixels = vec![0_u8; side.div_ceil(8) * side];
    for (y, row) in pixels.chunks_exact_mut(side.div_ceil(8)).enumerate() {
        for x in (0..side).filter(|&x| !is_dark(x, y)) {
            row[x / 8] |= 0x80 >> (x % 8);
        }
    }
    let (mut picture, width) = (Vec::new(), u32::try_from(side).unwrap_or_default());
    let mut encoder = Encoder::new(&mut picture, width, width);
    encoder.set_color(ColorType::Grayscale);
    encoder.set_depth(BitDepth::One);
    encoder.write_header()?.write_image_data(&pixels)?;
    Ok(picture)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a reader sees in a picture, and at which level.
    fn read(picture: &[u8]) -> (String, u16, usize) {
        let mut reader =
            png::Decoder::new(std::io::Cursor::new(picture)).read_info().expect("a PNG");
        let mut packed = vec![0; reader.output_buffer_size().expect("it has a size")];
        let info = reader.next_frame(&mut packed).expect("an image");
        let (side, line) = (info.width as usize, info.line_size);
        let light = |x: usize, y: usize| packed[y * line + x / 8] & (0x80 >> (x % 8)) != 0;
        let mut image = rqrr::PreparedImage::prepare_from_greyscale(side, side, |x, y| {
            u8::from(light(x, y)) * 255
        });
        let grids = image.detect_grids();
        let (meta, text) = grids.first().expect("a code").decode().expect("readable");
        (text, meta.ecc_level, side / (4 * meta.version.0 + 17 + 8))
    }

    /// As the standard numbers them in a code.
    const M: u16 = 0;
    const L: u16 = 1;

    fn picture_of(texts: &[String]) -> Option<(String, u16, usize)> {
        encode(texts).map(|code| read(&draw(&code).expect("drawn")))
    }

    #[test]
    fn a_reader_reads_what_was_written() {
        let person = person_text(12, "爱丽丝", None, None);
        assert_eq!(person, r#"{"id":12,"name":"\u7231\u4e3d\u4e1d","chatType":"single"}"#);
        assert_eq!(picture_of(std::slice::from_ref(&person)), Some((person, M, SCALE)));
        let tea = group_text(33, "🍵", None);
        assert_eq!(tea, r#"{"id":33,"name":"\ud83c\udf75"}"#);
        let group = group_text(33, "Tea club", None);
        assert_eq!(group, r#"{"id":33,"name":"Tea club"}"#);
    }

    #[test]
    fn names_and_avatars_are_encoded() {
        let text =
            person_text(5, "a&b=c#d", Some("https://h/a.png?x=1&y"), Some("https://s.example"));
        let expected = "https://s.example#/pages/setpageInfo/setpageInfo?action=autoAddGroup&title=%E5%8A%A0%E7%94%A8%E6%88%B7%5Ba%26b%3Dc%23d%5D%E4%B8%BA%E5%A5%BD%E5%8F%8B&id=5&chatType=single&name=a%26b%3Dc%23d&avatar=https%3A%2F%2Fh%2Fa.png%3Fx%3D1%26y";
        assert_eq!(text, expected);
        let group = group_text(33, "茶", Some("http://s"));
        assert_eq!(
            group,
            "http://s#/pages/setpageInfo/setpageInfo?action=autoAddGroup&title=%E7%BE%A4%E4%BB%8B%E7%BB%8D&id=33&chatType=group&name=%E8%8C%B6"
        );
    }

    #[test]
    fn clarification_12_what_is_too_long_is_tried_otherwise() {
        let text = |length: usize| "a".repeat(length); // bytes: 2331 fit at M, 2953 at L
        let level =
            |texts: &[String]| picture_of(texts).map(|(text, level, _)| (text.len(), level));
        assert_eq!(level(&[text(2331), text(10)]), Some((2331, M)));
        assert_eq!(level(&[text(2332), text(10)]), Some((2332, L)));
        assert_eq!(level(&[text(2954), text(10)]), Some((10, M)));
        assert_eq!(level(&[text(2954), text(2332)]), Some((2332, L)));
        assert_eq!(level(&[text(2954), text(2954)]), None);
    }

    #[test]
    fn only_web_addresses_are_led_to() {
        let long = format!("https://{}", "a".repeat(2040));
        for good in ["http://h", "https://h.example:81/p?q#f", "https://h/路径", &long] {
            assert!(is_site(good), "{good}");
        }
        let too_long = format!("{long}a");
        for bad in [
            "",
            "h",
            "ftp://h",
            "javascript:alert(1)",
            "https://",
            "https:///x",
            "http://a b",
            "http://a\nb",
            &too_long,
        ] {
            assert!(!is_site(bad), "{bad}");
        }
    }
}
