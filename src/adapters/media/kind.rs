//! What a file is: by its extension, and by its first bytes, which must agree.
//!
//! Only these kinds are taken and served (rest.md §33). There is no HTML, SVG or script among them, and a
//! file that looks like one has no other name to pass under.

/// How much of a file is looked at.
pub const HEAD_BYTES: usize = 4096;

/// A kind of file that is taken and served.
#[derive(Debug, Clone, Copy)]
pub struct FileKind {
    /// `.png`
    pub extension: &'static str,
    /// `image/png`
    pub media_type: &'static str,
    /// What ffmpeg's reader for it is called, if it is a video.
    pub demuxer: Option<&'static str>,
    is_one: fn(&[u8]) -> bool,
}

impl PartialEq for FileKind {
    fn eq(&self, other: &Self) -> bool {
        self.extension == other.extension
    }
}

type Looks = fn(&[u8]) -> bool;

const fn kind(extension: &'static str, media_type: &'static str, is_one: Looks) -> FileKind {
    FileKind { extension, media_type, demuxer: None, is_one }
}

const fn video(
    extension: &'static str,
    media_type: &'static str,
    demuxer: &'static str,
    is_one: Looks,
) -> FileKind {
    FileKind { extension, media_type, demuxer: Some(demuxer), is_one }
}

const WORD: &str = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
const SHEET: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";

const KINDS: &[FileKind] = &[
    kind(".jpg", "image/jpeg", is_jpeg),
    kind(".jpeg", "image/jpeg", is_jpeg),
    kind(".png", "image/png", |head| head.starts_with(b"\x89PNG\r\n\x1a\n")),
    kind(".gif", "image/gif", |head| head.starts_with(b"GIF87a") || head.starts_with(b"GIF89a")),
    kind(".bmp", "image/bmp", is_bmp),
    kind(".webp", "image/webp", |head| is_riff(head, *b"WEBP")),
    video(".mp4", "video/mp4", "mov", is_iso_media),
    video(".mov", "video/quicktime", "mov", |head| is_iso_media(head) || is_old_quicktime(head)),
    video(".avi", "video/x-msvideo", "avi", |head| is_riff(head, *b"AVI ")),
    video(".webm", "video/webm", "matroska", is_webm),
    kind(".mp3", "audio/mpeg", |head| head.starts_with(b"ID3") || is_mpeg_audio(head)),
    kind(".wav", "audio/wav", |head| is_riff(head, *b"WAVE")),
    kind(".aac", "audio/aac", |head| head.starts_with(b"ID3") || is_adts(head)),
    kind(".m4a", "audio/mp4", is_iso_media),
    kind(".ogg", "audio/ogg", |head| head.starts_with(b"OggS")),
    kind(".amr", "audio/amr", |head| head.starts_with(b"#!AMR")),
    kind(".silk", "audio/silk", is_silk),
    kind(".txt", "text/plain; charset=utf-8", is_text),
    kind(".pdf", "application/pdf", |head| head.starts_with(b"%PDF-")),
    kind(".doc", "application/msword", is_ole),
    kind(".docx", WORD, is_office),
    kind(".xls", "application/vnd.ms-excel", is_ole),
    kind(".xlsx", SHEET, is_office),
    kind(".zip", "application/zip", is_zip),
];

impl FileKind {
    /// By an extension with its dot, in lower case.
    pub fn of_extension(extension: &str) -> Option<Self> {
        KINDS.iter().copied().find(|kind| kind.extension == extension)
    }

    /// By what a client says that it sends.
    fn of_media_type(media_type: &str) -> Option<Self> {
        let same = |kind: &&Self| kind.media_type.split(';').next() == Some(media_type);
        KINDS.iter().find(same).copied()
    }

    /// By the content alone, where it leaves no doubt.
    fn of_content(head: &[u8]) -> Option<Self> {
        let extension = match head.get(4..12) {
            Some(b"ftypqt  ") => ".mov",
            Some(b"ftypM4A ") => ".m4a",
            _ => {
                // Text has no mark of its own, and three kinds share theirs with another.
                let clear =
                    |kind: &&Self| !matches!(kind.extension, ".txt" | ".docx" | ".xlsx" | ".xls");
                return KINDS.iter().filter(clear).find(|kind| (kind.is_one)(head)).copied();
            }
        };
        Self::of_extension(extension)
    }

    /// Does content that begins so agree with it?
    pub fn agrees_with(self, head: &[u8]) -> bool {
        (self.is_one)(head)
    }

    /// Is it shown in a page, and not saved?
    pub fn is_shown(self) -> bool {
        ["image/", "audio/", "video/"].iter().any(|kind| self.media_type.starts_with(kind))
    }
}

/// What a client says about a file: its name on the device, and the type of the part it came in.
#[derive(Debug, Default)]
pub struct Claim {
    extension: Option<String>,
    media_type: Option<String>,
}

impl Claim {
    /// Of the name, only the extension is of interest.
    pub fn new(name: &str, media_type: Option<&str>) -> Self {
        let base = name.rsplit(['/', '\\']).next().unwrap_or_default();
        let dot = base.rfind('.').filter(|&dot| dot > 0 && dot + 1 < base.len());
        Self {
            extension: dot.map(|dot| base[dot..].to_lowercase()),
            media_type: media_type.map(str::to_ascii_lowercase),
        }
    }

    /// Is it refused whatever the content is?
    pub fn is_hopeless(&self) -> bool {
        self.extension.as_deref().is_some_and(|it| FileKind::of_extension(it).is_none())
    }

    /// The kind that claim and content agree on. Without an extension the client's type counts if it
    /// agrees, else the content alone.
    pub fn settle(&self, head: &[u8]) -> Option<FileKind> {
        if let Some(extension) = &self.extension {
            return FileKind::of_extension(extension).filter(|kind| kind.agrees_with(head));
        }
        let said = self.media_type.as_deref().and_then(FileKind::of_media_type);
        said.filter(|kind| kind.agrees_with(head)).or_else(|| FileKind::of_content(head))
    }
}

fn is_jpeg(head: &[u8]) -> bool {
    head.starts_with(b"\xff\xd8\xff")
}

/// The mark is two letters, so the size of the header that follows is looked at too.
fn is_bmp(head: &[u8]) -> bool {
    head.starts_with(b"BM")
        && matches!(head.get(14..18), Some([12 | 40 | 52 | 56 | 64 | 108 | 124, 0, 0, 0]))
}

fn is_riff(head: &[u8], form: [u8; 4]) -> bool {
    head.starts_with(b"RIFF") && head.get(8..12) == Some(&form)
}

/// ISO base media with sound or pictures that move; brands of still images are none of them.
fn is_iso_media(head: &[u8]) -> bool {
    const STILL: [&[u8]; 8] =
        [b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1", b"avif", b"avis"];
    head.get(4..8) == Some(b"ftyp") && head.get(8..12).is_some_and(|brand| !STILL.contains(&brand))
}

/// `QuickTime` from before it named itself.
fn is_old_quicktime(head: &[u8]) -> bool {
    matches!(head.get(4..8), Some(b"moov" | b"mdat" | b"wide" | b"free" | b"skip"))
}

fn is_webm(head: &[u8]) -> bool {
    let start = &head[..head.len().min(256)];
    start.starts_with(b"\x1a\x45\xdf\xa3") && start.windows(7).any(|it| it == b"\x42\x82\x84webm")
}

/// A frame of MPEG audio, layer 1 to 3.
fn is_mpeg_audio(head: &[u8]) -> bool {
    let Some(&[sync, layer, rates]) = head.first_chunk::<3>() else { return false };
    let has_layer = layer & 0xe0 == 0xe0 && layer & 0x18 != 0x08 && layer & 0x06 != 0;
    sync == 0xff && has_layer && rates & 0xf0 != 0xf0 && rates & 0x0c != 0x0c
}

fn is_adts(head: &[u8]) -> bool {
    matches!(head, [0xff, second, ..] if second & 0xf6 == 0xf0) || head.starts_with(b"ADIF")
}

/// As clients of the `WeChat` family write it, with a byte before the mark, or as the codec does.
fn is_silk(head: &[u8]) -> bool {
    head.strip_prefix(b"\x02").unwrap_or(head).starts_with(b"#!SILK")
}

fn is_ole(head: &[u8]) -> bool {
    head.starts_with(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
}

fn is_zip(head: &[u8]) -> bool {
    [&b"PK\x03\x04"[..], b"PK\x05\x06", b"PK\x07\x08"].iter().any(|mark| head.starts_with(mark))
}

/// A ZIP whose first entry is one that Office documents begin with.
fn is_office(head: &[u8]) -> bool {
    const FIRST: [&[u8]; 6] =
        [b"[Content_Types].xml", b"_rels/", b"docProps/", b"word/", b"xl/", b"customXml/"];
    let first = head.strip_prefix(b"PK\x03\x04").and_then(|rest| rest.get(26..));
    first.is_some_and(|name| FIRST.iter().any(|entry| name.starts_with(entry)))
}

/// Text in any encoding, but no markup and no script.
fn is_text(head: &[u8]) -> bool {
    if head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff") {
        return true; // UTF-16: half of it may be zeros
    }
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    let is_markup = matches!(text, [b'<', b'!' | b'?' | b'/' | b'a'..=b'z' | b'A'..=b'Z', ..]);
    let is_script = text.starts_with(b"#!");
    let is_plain = |&byte: &u8| byte >= 0x20 || matches!(byte, b'\t' | b'\n' | b'\r' | 0x0c | 0x1b);
    let others = KINDS.iter().filter(|kind| kind.extension != ".txt");
    !is_markup
        && !is_script
        && text.iter().all(is_plain)
        && !others.into_iter().any(|kind| (kind.is_one)(head))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(name: &str, media_type: Option<&str>, head: &[u8]) -> Option<&'static str> {
        Claim::new(name, media_type).settle(head).map(|kind| kind.extension)
    }

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n....";
    const MP4: &[u8] = b"\0\0\0\x20ftypisom....";

    #[test]
    fn the_content_must_agree_with_the_extension() {
        assert_eq!(settled("a.PNG", None, PNG), Some(".png"));
        assert_eq!(settled("a.jpg", Some("image/jpeg"), PNG), None);
        assert_eq!(settled("a.mp4", None, b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n"), None);
        assert_eq!(settled("a.mp4", None, b"ffconcat version 1.0\nfile '/etc/passwd'\n"), None);
        assert_eq!(settled("a.mp4", None, b"\0\0\0\x20ftypheic...."), None);
        assert_eq!(settled("a.txt", None, PNG), None);
        assert_eq!(settled("a.txt", None, b"#EXTM3U\n"), Some(".txt"));
        assert_eq!(settled("a.docx", None, b"PK\x03\x04.................."), None);
    }

    #[test]
    fn markup_and_scripts_have_no_name_to_pass_under() {
        let bad: [&[u8]; 5] = [
            b"<!DOCTYPE html><p>",
            b"\xef\xbb\xbf \n<html><body>",
            b"<svg xmlns=",
            b"<?xml version='1.0'?><svg>",
            b"#!/bin/sh\n",
        ];
        for content in bad {
            for kind in KINDS {
                assert!(!kind.agrees_with(content), "{} {content:?}", kind.extension);
            }
        }
        for name in ["a.html", "a.htm", "a.svg", "a.js", "a.xml", "a.php", "a.png.html", "a.exe"] {
            assert!(Claim::new(name, None).is_hopeless(), "{name}");
        }
    }

    #[test]
    fn without_an_extension_type_and_content_decide() {
        assert_eq!(settled("blob", Some("image/png"), PNG), Some(".png"));
        assert_eq!(settled("blob", Some("image/jpeg"), PNG), Some(".png"));
        assert_eq!(settled("a.", Some("application/octet-stream"), MP4), Some(".mp4"));
        assert_eq!(settled(".png", None, MP4), Some(".mp4"));
        assert_eq!(settled("x", Some("audio/mp4"), MP4), Some(".m4a"));
        assert_eq!(settled("x", None, b"\0\0\0\x14ftypqt  "), Some(".mov"));
        assert_eq!(settled("readme", Some("text/plain"), b"hello"), Some(".txt"));
        assert_eq!(settled("readme", None, b"hello"), None);
        assert_eq!(settled("../../etc/cron.d/x.PnG", None, PNG), Some(".png"));
        assert_eq!(settled("C:\\a.b\\photo", None, PNG), Some(".png"));
    }

    #[test]
    fn each_kind_knows_its_own() {
        let samples: &[(&str, &[u8])] = &[
            (".jpeg", b"\xff\xd8\xff\xe0"),
            (".gif", b"GIF89a"),
            (".bmp", b"BM....\0\0\0\0\x36\0\0\0\x28\0\0\0"),
            (".webp", b"RIFF....WEBPVP8 "),
            (".mov", b"\0\0\0\x08wide"),
            (".avi", b"RIFF....AVI LIST"),
            (".webm", b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\x82\x84webm"),
            (".mp3", b"\xff\xfb\x90\x64"),
            (".mp3", b"ID3\x04"),
            (".wav", b"RIFF....WAVEfmt "),
            (".aac", b"\xff\xf1\x50\x80"),
            (".ogg", b"OggS\0"),
            (".amr", b"#!AMR\n"),
            (".silk", b"\x02#!SILK_V3"),
            (".txt", "你好\r\n".as_bytes()),
            (".txt", b""),
            (".pdf", b"%PDF-1.7"),
            (".doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
            (".xlsx", b"PK\x03\x04\x14\0\x06\0\x08\0....................[Content_Types].xml"),
            (".zip", b"PK\x03\x04"),
        ];
        for (extension, head) in samples {
            assert_eq!(settled(&format!("a{extension}"), None, head), Some(*extension));
        }
    }
}
