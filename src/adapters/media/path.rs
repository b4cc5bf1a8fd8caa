//! The path of a file within a store, which that cannot lead out of it.

use std::fmt;

use sha2::{Digest as _, Sha256};

use super::kind::FileKind;
use crate::events::Timestamp;

/// Folders and a name, each of ASCII letters, digits, `-` and `_`, the name with a known extension.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredPath {
    text: String,
    kind: FileKind,
}

/// No path of ours is longer.
const LONGEST: usize = 200;

/// Where posters are, and how their names begin.
const POSTERS: &str = "Diy/VideoScreenshot/screenshot_";

fn milliseconds(name: &str) -> Option<i64> {
    name.split('_').next()?.parse().ok()
}

impl StoredPath {
    /// Reads a path as it stands in an address, with nothing encoded; `None` for one that no file of
    /// ours has.
    pub fn parse(text: &str) -> Option<Self> {
        let is_plain = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        let (stem, extension) = text.rsplit_once('.')?;
        let kind = FileKind::of_extension(&format!(".{extension}"))?;
        let fits = text.len() <= LONGEST && stem.split('/').all(is_plain);
        fits.then(|| Self { text: text.to_owned(), kind })
    }

    /// `Diy/chatImgs/20250924/1758692400000_48213377.png` (rest.md §33); `folder` has its levels apart.
    pub fn upload(folder: &str, at: Timestamp, chance: u128, kind: FileKind) -> Self {
        let (day, ms, number) = (at.day_text(), at.0, chance % 100_000_000);
        Self::of(format!("Diy/{folder}/{day}/{ms}_{number}"), kind)
    }

    /// `images/20250924/1758692400000_20f90b51544f.png` (rest.md §34).
    pub fn image(at: Timestamp, chance: u128, kind: FileKind) -> Self {
        let (day, ms, digits) = (at.day_text(), at.0, chance & 0xffff_ffff_ffff);
        Self::of(format!("images/{day}/{ms}_{digits:012x}"), kind)
    }

    /// `Diy/VideoScreenshot/screenshot_1758692400000_k7dz26.png` (rest.md §35): of the same video and the same `still`
    /// always the same. The time is that of the video.
    pub fn poster(video: &Self, still: &str, kind: FileKind) -> Self {
        let at = video.made_at().unwrap_or_default();
        let digest: [u8; 32] = Sha256::digest(format!("{video} {still}")).into();
        let mut rest = digest.first_chunk().map_or(0, |start| u128::from_be_bytes(*start));
        let letters = std::iter::repeat_with(|| {
            let digit = u32::try_from(rest % 36).unwrap_or_default();
            rest /= 36;
            char::from_digit(digit, 36).unwrap_or('0')
        });
        let letters: String = letters.take(6).collect();
        Self::of(format!("{POSTERS}{at}_{letters}"), kind)
    }

    /// When an upload got its name.
    pub fn made_at(&self) -> Option<i64> {
        milliseconds(self.text.rsplit('/').next()?)
    }

    /// When the video got its name that this is a poster of.
    pub fn poster_of(&self) -> Option<i64> {
        milliseconds(self.text.strip_prefix(POSTERS)?)
    }

    fn of(stem: String, kind: FileKind) -> Self {
        Self { text: stem + kind.extension, kind }
    }

    /// The path, without a slash before it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What the file is.
    pub fn kind(&self) -> FileKind {
        self.kind
    }
}

impl fmt::Display for StoredPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_form_that_the_contract_gives() {
        let (at, png) =
            (Timestamp(1_758_692_400_000), FileKind::of_extension(".png").expect("a kind"));
        let paths = [
            StoredPath::upload("chatImgs/small", at, 12_300_000_007, png),
            StoredPath::image(at, 0xf_20f9_0b51_544f, png),
        ];
        let texts = [
            "Diy/chatImgs/small/20250924/1758692400000_7.png",
            "images/20250924/1758692400000_20f90b51544f.png",
        ];
        assert_eq!(paths.each_ref().map(StoredPath::as_str), texts);
        for path in paths {
            assert_eq!(StoredPath::parse(path.as_str()), Some(path));
        }
    }

    #[test]
    fn a_poster_is_called_by_its_video_and_what_is_wanted_of_it() {
        let path = |text| StoredPath::parse(text).expect("a path");
        let (png, video) =
            (path("a.png").kind(), path("images/20250924/1758692400000_20f90b51544f.mp4"));
        let poster = StoredPath::poster(&video, "20", png);
        let name = poster.as_str().strip_prefix("Diy/VideoScreenshot/screenshot_1758692400000_");
        let letters = name.and_then(|name| name.strip_suffix(".png")).expect("its form");
        let is_letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        assert!(letters.len() == 6 && letters.bytes().all(is_letter), "{letters}");
        assert_eq!(StoredPath::parse(poster.as_str()), Some(poster.clone()));
        assert_eq!(StoredPath::poster(&video, "20", png), poster);
        assert_eq!((poster.poster_of(), video.poster_of()), (video.made_at(), None));
        assert_ne!(StoredPath::poster(&video, "21", png), poster);
        assert_ne!(StoredPath::poster(&path("a/1758692400000_1.mp4"), "20", png), poster);
    }

    #[test]
    fn nothing_leads_out_of_the_store() {
        for text in [
            "",
            ".png",
            "/a.png",
            "a//b.png",
            "../a.png",
            "a/../b.png",
            "a/./b.png",
            "a/..png",
            "a\\b.png",
            "%2e%2e/a.png",
            "a%2fb.png",
            "a.b/c.png",
            ".incoming/a.png",
            "a/b",
            "a/b.html",
            "a/b.svg",
            "a/b.PNG",
            "a/b.png/",
            "a/b.png?x",
            "a/b.png\0",
            "a b.png",
            "a/é.png",
            "a/b.png.html",
        ] {
            assert_eq!(StoredPath::parse(text), None, "{text}");
        }
        assert_eq!(StoredPath::parse(&format!("{}.png", "a".repeat(LONGEST))), None);
    }
}
