//! What the head of a form's part says: its field, its file's name and its type, in whatever encoding.
//!
//! `multer` parses the form, but takes a name for none that is not UTF-8 or stands behind a `filename*` (RFC 7578 §4.2,
//! RFC 8187). Of a file's name only the extension counts (clarification 26).

use axum::http::{HeaderMap, HeaderValue, header};
use percent_encoding::percent_decode;

/// The head of a part.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct PartHead {
    /// The field.
    pub name: String,
    /// How the file is called on the device, as bytes: nobody says in which encoding. Empty, if it has no name.
    pub file_name: Vec<u8>,
    /// Without its parameters, in lower case.
    pub media_type: Option<String>,
}

impl PartHead {
    /// Reads the headers of a part.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut head = Self { media_type: media_type(headers), ..Self::default() };
        let disposition = headers.get(header::CONTENT_DISPOSITION).map(HeaderValue::as_bytes);
        let mut extended = None;
        for (key, value) in parameters(disposition.unwrap_or_default()) {
            match key.as_slice() {
                b"name" => head.name = String::from_utf8_lossy(&value).into_owned(),
                b"filename" => head.file_name = value,
                // Also in pieces, of which the last has the extension (RFC 2231 §3).
                _ if key.starts_with(b"filename*") => extended = Some(extended_value(&value)),
                _ => {}
            }
        }
        // The extended form is preferred (RFC 6266 §4.3).
        head.file_name = extended.unwrap_or(head.file_name);
        head
    }

    /// Is it a file, and not a field with text? What browsers send of a field in which nothing was chosen has a name
    /// that is empty.
    pub fn is_file(&self) -> bool {
        !self.file_name.is_empty()
            || self.media_type.as_ref().is_some_and(|it| !it.starts_with("text/"))
    }
}

fn media_type(headers: &HeaderMap) -> Option<String> {
    let line = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let essence = line.split(';').next()?.trim();
    (!essence.is_empty()).then(|| essence.to_ascii_lowercase())
}

/// `UTF-8''a%20b` (RFC 8187 §3.2.1). Whoever leaves out charset and language is understood too.
fn extended_value(value: &[u8]) -> Vec<u8> {
    let encoded = value.splitn(3, |&b| b == b'\'').nth(2).unwrap_or(value);
    percent_decode(encoded).collect()
}

/// The parameters of a header, keys in lower case.
fn parameters(header: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut rest = after(header, b';'); // `form-data`
    let mut found = Vec::new();
    while !rest.is_empty() {
        let end = rest.iter().position(|b| matches!(b, b'=' | b';')).unwrap_or(rest.len());
        let key = rest[..end].trim_ascii().to_ascii_lowercase();
        let value = match rest.get(end) {
            Some(b'=') => rest[end + 1..].trim_ascii_start(),
            _ => b"",
        };
        rest = if let Some(quoted) = value.strip_prefix(b"\"") {
            let (text, behind) = unquoted(quoted);
            found.push((key, text));
            after(behind, b';')
        } else if value.is_empty() {
            rest.get(end + 1..).unwrap_or_default()
        } else {
            let end = value.iter().position(|&b| b == b';').unwrap_or(value.len());
            found.push((key, value[..end].trim_ascii().to_vec()));
            after(value, b';')
        };
    }
    found
}

/// What is between quotes, and what stands behind them. Only a quote is ever escaped: browsers write backslashes as they
/// are, and half of many a Chinese character is one.
fn unquoted(text: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut value = Vec::new();
    let mut rest = text;
    loop {
        rest = match rest {
            [b'\\', b'"', behind @ ..] if behind.contains(&b'"') => {
                value.push(b'"');
                behind
            }
            [b'"', behind @ ..] => return (value, behind),
            [byte, behind @ ..] => {
                value.push(*byte);
                behind
            }
            [] => return (value, rest),
        };
    }
}

fn after(text: &[u8], mark: u8) -> &[u8] {
    text.iter().position(|&b| b == mark).map_or(b"", |at| &text[at + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(disposition: &[u8]) -> PartHead {
        let value = HeaderValue::from_bytes(disposition).expect("a header");
        PartHead::of(&HeaderMap::from_iter([(header::CONTENT_DISPOSITION, value)]))
    }

    #[test]
    fn clarification_26_any_form_of_a_file_name_counts() {
        let cases: &[(&[u8], &[u8])] = &[
            (b"form-data; name=\"f\"; filename=\"a b.png\"", b"a b.png"),
            (b"form-data; name=f; filename=a.png", b"a.png"),
            (b"form-data;name=\"f\";filename = \"a;b.png\"", b"a;b.png"),
            (b"Form-Data; Name=\"f\"; FileName=\"a.png\"", b"a.png"),
            (b"form-data; filename=\"name=x.png\"; name=\"f\"", b"name=x.png"),
            (b"form-data; name=\"f\"; filename=\"a\\\"b.png\"", b"a\"b.png"),
            (b"form-data; name=\"f\"; filename=\"C:\\x\\\"", b"C:\\x\\"),
            (b"form-data; name=\"f\"; filename=\"\xcd\xbc.png\"", b"\xcd\xbc.png"),
            (b"form-data; name=\"f\"; filename=\"\xd5\\\"", b"\xd5\\"),
            (b"form-data; name=\"f\"; filename=\"caf\xe9.png\"", b"caf\xe9.png"),
            (b"form-data; name=\"f\"; filename*=UTF-8''%E5%9B%BE.png", "图.png".as_bytes()),
            (
                b"form-data; filename*=utf-8'zh'%E5%9B%BE.png; filename=\"x\"; name=f",
                "图.png".as_bytes(),
            ),
            (
                b"form-data; name=\"f\"; filename=\"x\"; filename*=\"GBK''%CD%BC.png\"",
                b"\xcd\xbc.png",
            ),
            (b"form-data; name=\"f\"; filename*=a.png", b"a.png"),
            (b"form-data; name=\"f\"; filename*0=\"a\"; filename*1=\"b.png\"", b"b.png"),
        ];
        for (disposition, name) in cases {
            let head = head(disposition);
            let told = (head.name.as_str(), &*head.file_name, head.is_file());
            assert_eq!(told, ("f", *name, true), "{}", disposition.escape_ascii());
        }
    }

    #[test]
    fn without_a_name_the_type_decides() {
        let is_file = |disposition: &'static str, media_type: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static(disposition));
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
            PartHead::of(&headers).is_file()
        };
        assert!(is_file("form-data; name=f", "image/png"));
        assert!(is_file("form-data; name=f; filename=\"\"", "Application/Octet-Stream"));
        assert!(!is_file("form-data; name=f", "Text/Plain; charset=utf-8"));
        assert!(!is_file("form-data; name=f", ""));
        assert!(!head(b"form-data; name=\"f\"; filename=\"\"").is_file());
        assert!(!head(b"form-data; name=\"f\"; filename").is_file());
        assert!(!head(b"").is_file());
    }

    proptest::proptest! {
        #[test]
        fn any_header_is_read(bytes in proptest::collection::vec(0x20_u8.., 0..80)) {
            let bytes: Vec<u8> = bytes.into_iter().filter(|&byte| byte != 0x7f).collect();
            let _ = head(&[b"form-data; filename=", &bytes[..]].concat());
            let _ = head(&bytes);
        }
    }
}
