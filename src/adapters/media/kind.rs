//! The kinds of file that are taken and served, and which of them a file is: by its extension, and by its first bytes.
//!
//! Only these kinds are taken and served (rest.md §33). There is no HTML, SVG or script among them, and a
//! file that looks like one has no other name to pass under.

use super::content::FileContent::{self, Is, Mpeg4, Office, Ole, Other, TaggedSound, Text};

/// How much of a file is looked at.
pub const HEAD_BYTES: usize = 4096;

/// A kind of file that is taken and served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileKind {
    /// `.png`
    pub extension: &'static str,
    /// `image/png`
    pub media_type: &'static str,
    /// What ffmpeg's reader for it is called, if it is a video.
    pub demuxer: Option<&'static str>,
}

/// Kinds that take each other's names (clarification 26).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Images.
    Picture,
    /// Audio.
    Sound,
    /// Videos.
    Video,
    /// Documents and archives: here a wrong name is refused.
    Document,
}

const fn kind(extension: &'static str, media_type: &'static str) -> FileKind {
    FileKind { extension, media_type, demuxer: None }
}

const fn video(
    extension: &'static str,
    media_type: &'static str,
    demuxer: &'static str,
) -> FileKind {
    FileKind { extension, media_type, demuxer: Some(demuxer) }
}

const WORD: &str = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
const SHEET: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";
const SLIDES: &str = "application/vnd.openxmlformats-officedocument.presentationml.presentation";

const KINDS: &[FileKind] = &[
    kind(".jpg", "image/jpeg"),
    kind(".jpeg", "image/jpeg"),
    kind(".png", "image/png"),
    kind(".gif", "image/gif"),
    kind(".bmp", "image/bmp"),
    kind(".webp", "image/webp"),
    kind(".heic", "image/heic"),
    kind(".avif", "image/avif"),
    video(".mp4", "video/mp4", "mov"),
    video(".m4v", "video/x-m4v", "mov"),
    video(".mov", "video/quicktime", "mov"),
    video(".3gp", "video/3gpp", "mov"),
    video(".avi", "video/x-msvideo", "avi"),
    video(".webm", "video/webm", "matroska"),
    video(".mkv", "video/x-matroska", "matroska"),
    video(".flv", "video/x-flv", "flv"),
    kind(".mp3", "audio/mpeg"),
    kind(".wav", "audio/wav"),
    kind(".aac", "audio/aac"),
    kind(".m4a", "audio/mp4"),
    kind(".ogg", "audio/ogg"),
    kind(".amr", "audio/amr"),
    kind(".silk", "audio/silk"),
    kind(".txt", "text/plain; charset=utf-8"),
    kind(".csv", "text/csv; charset=utf-8"),
    kind(".rtf", "application/rtf"),
    kind(".pdf", "application/pdf"),
    kind(".doc", "application/msword"),
    kind(".docx", WORD),
    kind(".xls", "application/vnd.ms-excel"),
    kind(".xlsx", SHEET),
    kind(".ppt", "application/vnd.ms-powerpoint"),
    kind(".pptx", SLIDES),
    kind(".zip", "application/zip"),
];

/// Names that stand for others.
const ALIASES: &[(&str, &str)] = &[(".jfif", ".jpg"), (".jpe", ".jpg")];

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

    /// Does content that begins so agree with it?
    pub fn agrees_with(self, head: &[u8]) -> bool {
        FileContent::of(head).agrees_with(self.extension)
    }

    /// What it is a kind of.
    pub fn family(self) -> Family {
        match self.media_type.split('/').next() {
            Some("image") => Family::Picture,
            Some("audio") => Family::Sound,
            Some("video") => Family::Video,
            _ => Family::Document,
        }
    }

    /// Is it shown in a page, and not saved?
    pub fn is_shown(self) -> bool {
        self.family() != Family::Document
    }
}

/// What a client says about a file: its name on the device, and the type of the part it came in.
#[derive(Debug, Default)]
pub struct Claim {
    extension: Option<String>,
    media_type: Option<String>,
}

impl Claim {
    /// Of the name, only the extension is of interest, so its encoding is not: no encoding that ASCII is a part of has
    /// a dot or a slash within another character.
    pub fn new(name: &[u8], media_type: Option<&str>) -> Self {
        // A backslash may be half a character, unless the name is UTF-8.
        let splits = |&b: &u8| b == b'/' || b == b'\\' && std::str::from_utf8(name).is_ok();
        let base = name.rsplit(splits).next().unwrap_or_default().trim_ascii();
        let dot = base.iter().rposition(|&b| b == b'.');
        let dot = dot.filter(|&dot| dot > 0 && dot + 1 < base.len());
        let extension = dot.map(|dot| String::from_utf8_lossy(&base[dot..]).to_lowercase());
        let meant = |extension: String| {
            let alias = ALIASES.iter().find(|(alias, _)| *alias == extension);
            alias.map_or(extension, |(_, meant)| (*meant).to_owned())
        };
        Self {
            extension: extension.map(meant),
            media_type: media_type.map(str::to_ascii_lowercase),
        }
    }

    /// Is it refused whatever the content is?
    pub fn is_hopeless(&self) -> bool {
        self.extension.as_deref().is_some_and(|it| FileKind::of_extension(it).is_none())
    }

    /// The kind that a file is stored and served as: the name's if the content agrees, the content's if that is of the
    /// same family. Without an extension the client's type counts if the content agrees, else the content alone.
    pub fn settle(&self, head: &[u8]) -> Option<FileKind> {
        let content = FileContent::of(head);
        let agrees = |kind: &FileKind| content.agrees_with(kind.extension);
        if let Some(extension) = &self.extension {
            let named = FileKind::of_extension(extension)?;
            return Some(named).filter(agrees).or_else(|| content.within(named.family()));
        }
        let said = self.media_type.as_deref().and_then(FileKind::of_media_type);
        said.filter(agrees).or_else(|| content.alone())
    }
}

impl FileContent {
    /// The kind that it is if somebody calls it one of `family`; `None` if it is not of that family
    /// (clarification 26).
    pub fn within(self, family: Family) -> Option<FileKind> {
        let extension = match (self, family) {
            (_, Family::Document) => return None,
            // Sound in an `.mp4`, and an `.mp3` that is MPEG-4.
            (Is(".m4a"), Family::Video) | (Is(".3gp") | Mpeg4, Family::Sound) => ".m4a",
            (Mpeg4, Family::Video) => ".mp4",
            (TaggedSound, Family::Sound) => ".mp3",
            (Is(known), _) => known,
            _ => return None,
        };
        let kind = FileKind::of_extension(extension)?;
        (kind.family() == family || extension == ".m4a").then_some(kind)
    }

    /// The kind that it is if nobody says anything; `None` where that would be a guess.
    pub fn alone(self) -> Option<FileKind> {
        let extension = match self {
            Is(known) => known,
            Mpeg4 => ".mp4",
            TaggedSound => ".mp3",
            Ole => ".doc",
            Office => ".zip",
            Text | Other => return None,
        };
        FileKind::of_extension(extension)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(name: &str, media_type: Option<&str>, head: &[u8]) -> Option<&'static str> {
        Claim::new(name.as_bytes(), media_type).settle(head).map(|kind| kind.extension)
    }

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n....";
    const MP4: &[u8] = b"\0\0\0\x20ftypisom....";
    const WEBP: &[u8] = b"RIFF....WEBPVP8 ";
    const OLE: &[u8] = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1";

    #[test]
    fn content_of_another_family_is_refused() {
        assert_eq!(settled("a.PNG", None, PNG), Some(".png"));
        assert_eq!(settled("a.mp4", None, PNG), None);
        assert_eq!(settled("a.png", None, MP4), None);
        assert_eq!(settled("a.mp3", None, WEBP), None);
        assert_eq!(settled("a.mp4", None, b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n"), None);
        assert_eq!(settled("a.mp4", None, b"ffconcat version 1.0\nfile '/etc/passwd'\n"), None);
        assert_eq!(settled("a.mp4", None, b"\0\0\0\x20ftypheic...."), None);
        assert_eq!(settled("a.txt", None, PNG), None);
        assert_eq!(settled("a.png", Some("image/png"), b"hello"), None);
        assert_eq!(settled("a.docx", None, b"PK\x03\x04.................."), None);
        assert_eq!(settled("a.pdf", None, OLE), None);
        assert_eq!(settled("a.png", None, b"%PDF-1.7"), None);
    }

    #[test]
    fn clarification_26_within_a_family_the_content_decides() {
        let [qt, m4a, m4v] =
            [b"qt  ", b"M4A ", b"M4V "].map(|it| [b"\0\0\0\x14ftyp", &it[..]].concat());
        let amr3gp = b"\0\0\0\x14ftyp3gp4";
        for (name, head, stored) in [
            ("x.jpg", WEBP, ".webp"),
            ("x.jpg", PNG, ".png"),
            ("x.png", b"\xff\xd8\xff\xe0", ".jpg"),
            ("x.jpeg", b"\xff\xd8\xff\xe0", ".jpeg"),
            ("x.jfif", b"\xff\xd8\xff\xe0", ".jpg"),
            ("x.JPE", b"\xff\xd8\xff\xe0", ".jpg"),
            ("x.heic", b"\xff\xd8\xff\xe1", ".jpg"),
            ("x.mp4", &qt, ".mov"),
            ("x.mov", MP4, ".mov"),
            ("x.avi", MP4, ".mp4"),
            ("x.mp4", &m4v, ".m4v"),
            ("x.mp4", &m4a, ".m4a"),
            ("x.aac", &m4a, ".m4a"),
            ("x.mp3", &m4a, ".m4a"),
            ("x.aac", MP4, ".m4a"),
            ("x.mp3", MP4, ".m4a"),
            ("x.m4a", MP4, ".m4a"),
            ("x.amr", amr3gp, ".m4a"),
            ("x.3gp", MP4, ".3gp"),
            ("x.wav", b"ID3\x03", ".mp3"),
            ("x.aac", b"ID3\x03", ".aac"),
            ("x.mp3", b"\xff\xf1\x50\x80", ".aac"),
            ("x.webm", b"\x1a\x45\xdf\xa3\xa3\x42\x82\x88matroska", ".mkv"),
            ("x.docx", OLE, ".docx"),
            ("x.xlsx", OLE, ".xlsx"),
            ("x.ppt", OLE, ".ppt"),
            ("x.csv", b"a,b\r\n", ".csv"),
            ("x.rtf", b"{\\rtf1", ".rtf"),
        ] {
            assert_eq!(settled(name, None, head), Some(stored), "{name} {}", head.escape_ascii());
        }
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
                assert_eq!(settled(&format!("a{}", kind.extension), None, content), None);
                assert_eq!(settled("a", Some(kind.media_type), content), None);
            }
        }
        for name in ["a.html", "a.htm", "a.svg", "a.js", "a.xml", "a.php", "a.png.html", "a.exe"] {
            assert!(Claim::new(name.as_bytes(), None).is_hopeless(), "{name}");
        }
    }

    #[test]
    fn without_an_extension_type_and_content_decide() {
        assert_eq!(settled("blob", Some("image/png"), PNG), Some(".png"));
        assert_eq!(settled("blob", Some("image/jpeg"), PNG), Some(".png"));
        assert_eq!(settled("", Some("image/jpeg"), WEBP), Some(".webp"));
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
    fn clarification_26_of_a_name_in_any_encoding_the_extension_counts() {
        let csv = b"a,b\n";
        // GBK: 图, 誠 (whose second byte is a backslash); Latin-1: é.
        for name in [&b"\xcd\xbc.csv"[..], b"\xd5\x5c.csv", b"caf\xe9.csv", b"/x/\xe9.csv "] {
            let kind = Claim::new(name, None).settle(csv);
            assert_eq!(kind.map(|it| it.extension), Some(".csv"), "{}", name.escape_ascii());
        }
    }
}
