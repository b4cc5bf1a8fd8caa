//! The content of a file, by its first bytes: recognised by `file-format`, and brought down to the kinds that we take.
//!
//! Of the crate only signatures are used, none of its readers of whole files: what a container holds is asked of the
//! head alone, so that half a file is judged as a whole one is.

use file_format::FileFormat as Format;

/// What a file is, by its content alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileContent {
    /// Of the kind with this extension.
    Is(&'static str),
    /// MPEG-4 under a brand that leaves open what is in it.
    Mpeg4,
    /// Sound behind a tag: MP3, or AAC.
    TaggedSound,
    /// A compound file: older Office documents, and newer ones with a password.
    Ole,
    /// A ZIP archive that begins as Office documents do.
    Office,
    /// Text, but no markup and no script.
    Text,
    /// Nothing that is taken.
    Other,
}

use FileContent::{Is, Mpeg4, Office, Ole, Other, TaggedSound, Text};

impl FileContent {
    /// Of a file that begins so.
    pub fn of(head: &[u8]) -> Self {
        match by_signature(head) {
            Other => by_our_own(head),
            known => known,
        }
    }

    /// May a file of this content have this extension?
    pub fn agrees_with(self, extension: &str) -> bool {
        match self {
            Is(".jpg") => matches!(extension, ".jpg" | ".jpeg"),
            Is(known) => known == extension,
            Mpeg4 => matches!(extension, ".mp4" | ".m4v" | ".mov" | ".3gp" | ".m4a"),
            TaggedSound => matches!(extension, ".mp3" | ".aac"),
            Ole => matches!(extension, ".doc" | ".xls" | ".ppt" | ".docx" | ".xlsx" | ".pptx"),
            Office => matches!(extension, ".docx" | ".xlsx" | ".pptx" | ".zip"),
            Text => matches!(extension, ".txt" | ".csv"),
            Other => false,
        }
    }
}

fn by_signature(head: &[u8]) -> FileContent {
    match Format::from_bytes(head) {
        Format::JointPhotographicExpertsGroup => Is(".jpg"),
        Format::PortableNetworkGraphics | Format::AnimatedPortableNetworkGraphics => Is(".png"),
        Format::GraphicsInterchangeFormat => Is(".gif"),
        Format::WindowsBitmap => Is(".bmp"),
        Format::Webp => Is(".webp"),
        Format::HighEfficiencyImageCoding | Format::HighEfficiencyImageCodingSequence => {
            Is(".heic")
        }
        Format::Av1ImageFileFormat | Format::Av1ImageFileFormatSequence => Is(".avif"),
        Format::HighEfficiencyImageFileFormat | Format::HighEfficiencyImageFileFormatSequence => {
            if brands(head).any(|brand| brand == b"avif") {
                Is(".avif")
            } else {
                Is(".heic")
            }
        }
        Format::AppleQuicktime => Is(".mov"),
        Format::AppleItunesVideo => Is(".m4v"),
        Format::AppleItunesAudio | Format::AppleItunesAudiobook => Is(".m4a"),
        Format::ThirdGenerationPartnershipProject | Format::ThirdGenerationPartnershipProject2 => {
            Is(".3gp")
        }
        Format::Mpeg4Part14 => Mpeg4,
        Format::AudioVideoInterleave => Is(".avi"),
        Format::ExtensibleBinaryMetaLanguage if is_webm(head) => Is(".webm"),
        Format::ExtensibleBinaryMetaLanguage => Is(".mkv"),
        Format::FlashVideo => Is(".flv"),
        Format::Mpeg12AudioLayer2 | Format::Mpeg12AudioLayer3 => Is(".mp3"),
        Format::Id3v2 => TaggedSound,
        Format::WaveformAudio => Is(".wav"),
        Format::AdvancedAudioCoding => Is(".aac"),
        Format::OggFlac
        | Format::OggMedia
        | Format::OggMultiplexedMedia
        | Format::OggOpus
        | Format::OggSpeex
        | Format::OggTheora
        | Format::OggVorbis => Is(".ogg"),
        Format::AdaptiveMultiRate => Is(".amr"),
        Format::PortableDocumentFormat => Is(".pdf"),
        Format::RichTextFormat => Is(".rtf"),
        Format::CompoundFileBinary => Ole,
        Format::Zip if is_office(head) => Office,
        Format::Zip => Is(".zip"),
        _ => Other,
    }
}

/// What the crate does not know: a codec of messengers, brands of MPEG-4 that came later, rarer heads of sounds and
/// bitmaps, and text, which has no signature.
fn by_our_own(head: &[u8]) -> FileContent {
    match head {
        _ if head.strip_prefix(b"\x02").unwrap_or(head).starts_with(b"#!SILK") => Is(".silk"),
        [_, _, _, _, b'f', b't', b'y', b'p', _, _, _, _, ..] => {
            // Cameras' raw pictures and JPEG 2000 are in such boxes too.
            let still = |brand: &[u8]| brand.starts_with(b"crx") || brand.starts_with(b"jp");
            if brands(head).any(still) { Other } else { Mpeg4 }
        }
        [0xff, 0xf0 | 0xf8, ..] | [b'A', b'D', b'I', b'F', ..] => Is(".aac"),
        [b'I', b'D', b'3', ..] => TaggedSound,
        [b'P', b'K', 7, 8, ..] => Is(".zip"),
        [b'B', b'M', ..] if has_bitmap_header(head) => Is(".bmp"),
        _ if is_text(head) => Text,
        _ => Other,
    }
}

/// The brands of a file of boxes: its own, and those that it is compatible with (ISO/IEC 14496-12 §4.3).
fn brands(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    let length = head.first_chunk().map_or(0, |size| u32::from_be_bytes(*size)) as usize;
    let file_type = head.get(8..length.clamp(8, 512).min(head.len())).unwrap_or_default();
    file_type.chunks_exact(4)
}

/// Does the EBML header call itself that? It is Matroska otherwise.
fn is_webm(head: &[u8]) -> bool {
    head[..head.len().min(256)].windows(4).any(|it| it == b"webm")
}

/// The mark is two letters, so the size of the header that follows is looked at.
fn has_bitmap_header(head: &[u8]) -> bool {
    matches!(head.get(14..18), Some([12 | 40 | 52 | 56 | 64 | 108 | 124, 0, 0, 0]))
}

/// A ZIP whose first entry is one that Office documents begin with.
fn is_office(head: &[u8]) -> bool {
    const FIRST: [&[u8]; 7] =
        [b"[Content_Types].xml", b"_rels/", b"docProps/", b"word/", b"xl/", b"ppt/", b"customXml/"];
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
    !is_markup && !is_script && text.iter().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_known_by_its_head() {
        let samples: &[(FileContent, &[u8])] = &[
            (Is(".jpg"), b"\xff\xd8\xff\xe0"),
            (Is(".png"), b"\x89PNG\r\n\x1a\n"),
            (Is(".gif"), b"GIF89a"),
            (Is(".bmp"), b"BM....\0\0\0\0\x36\0\0\0\x28\0\0\0"),
            (Is(".webp"), b"RIFF....WEBPVP8 "),
            (Is(".heic"), b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"),
            (Is(".heic"), b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic"),
            (Is(".avif"), b"\0\0\0\x18ftypavif\0\0\0\0mif1avif"),
            (Is(".avif"), b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif"),
            (Is(".mov"), b"\0\0\0\x14ftypqt  "),
            (Is(".mov"), b"\0\0\0\x08wide"),
            (Is(".m4v"), b"\0\0\0\x14ftypM4V "),
            (Is(".m4a"), b"\0\0\0\x14ftypM4A "),
            (Is(".3gp"), b"\0\0\0\x14ftyp3gp4"),
            (Mpeg4, b"\0\0\0\x14ftypisom"),
            (Mpeg4, b"\0\0\0\x14ftypiso9"),
            (Is(".avi"), b"RIFF....AVI LIST"),
            (Is(".webm"), b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\x82\x84webm"),
            (Is(".mkv"), b"\x1a\x45\xdf\xa3\xa3\x42\x86\x81\x01\x42\x82\x88matroska"),
            (Is(".flv"), b"FLV\x01\x05"),
            (Is(".mp3"), b"\xff\xfb\x90\x64"),
            (TaggedSound, b"ID3\x04"),
            (Is(".wav"), b"RIFF....WAVEfmt "),
            (Is(".aac"), b"\xff\xf1\x50\x80"),
            (Is(".aac"), b"\xff\xf0\x50\x80"),
            (Is(".ogg"), b"OggS\0"),
            (Is(".amr"), b"#!AMR\n"),
            (Is(".silk"), b"\x02#!SILK_V3"),
            (Text, "你好\r\n".as_bytes()),
            (Text, b"\xc4\xe3\xba\xc3,1\r\n"),
            (Text, b"#EXTM3U\n"),
            (Is(".pdf"), b"%PDF-1.7"),
            (Is(".rtf"), b"{\\rtf1\\ansi"),
            (Ole, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
            (Office, b"PK\x03\x04\x14\0\x06\0\x08\0....................[Content_Types].xml"),
            (Is(".zip"), b"PK\x03\x04.................."),
        ];
        for (content, head) in samples {
            assert_eq!(FileContent::of(head), *content, "{}", head.escape_ascii());
        }
    }

    #[test]
    fn markup_scripts_programs_and_raw_pictures_are_nothing_that_is_taken() {
        let bad: [&[u8]; 12] = [
            b"<!DOCTYPE html><p>",
            b"<html>",
            b"\xef\xbb\xbf \n<html><body>",
            b"<svg xmlns=",
            b"<?xml version='1.0'?><svg>",
            b"#!/bin/sh\n",
            b"MZ\x90\0",
            b"\x7fELF\x02\x01\x01\0",
            b"CWS\x0a\0\0\0\0",
            b"\0\0\0\x18ftypcrx \0\0\0\x01crx isom",
            b"\0\0\0\x14ftypjp2 ",
            b"\0\x01\x02\x03",
        ];
        for head in bad {
            assert_eq!(FileContent::of(head), Other, "{}", head.escape_ascii());
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_judged(head in proptest::collection::vec(proptest::num::u8::ANY, 0..600)) {
            let _ = FileContent::of(&head).alone();
            let boxed = [b"\0\0\0\xff", b"ftyp", &head[..]].concat();
            let _ = FileContent::of(&boxed).alone();
        }
    }
}
