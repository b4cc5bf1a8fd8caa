//! The location of a picture is taken out of it: GPS positions in Exif and XMP, overwritten in place.
//!
//! Nothing is parsed that could be got wrong: whatever the container (JPEG, PNG, WebP, HEIF), Exif is a TIFF header and
//! directories of entries, and XMP is XML, both as they are. So the bytes are searched for these, and no length
//! changes. Entries that are not about GPS stay, the orientation among them (Exif 3.0 §4.6.6, XMP part 2 §2.4).

use std::ops::Range;

use memchr::{memchr_iter, memmem};

/// A picture has one TIFF header, and perhaps one per picture within it.
const MOST_HEADERS: usize = 128;

/// No directory of a camera's has as many entries; there are 32 that are about GPS.
const MOST_ENTRIES: usize = 1024;
const MOST_GPS_ENTRIES: usize = 64;

/// Directories that are looked at behind one header, and those about GPS among them.
const MOST_DIRECTORIES: usize = 8;
const MOST_GPS_DIRECTORIES: usize = 2;

/// Properties of XMP that are looked at.
const MOST_PROPERTIES: usize = 1000;

/// Pointers to other directories: that of Exif, and that of GPS.
const EXIF: u16 = 0x8769;
const GPS: u16 = 0x8825;

/// Takes out the positions. Was there any?
pub fn erase(picture: &mut [u8]) -> bool {
    let mut erased = Vec::new();
    for at in headers(picture) {
        let ranges = Tiff::new(&mut picture[at..]).map(Tiff::erase).unwrap_or_default();
        erased.extend(ranges.into_iter().map(|it| it.start + at..it.end + at));
    }
    for range in in_xmp(picture) {
        picture[range.clone()].fill(b' ');
        erased.push(range);
    }
    if !erased.is_empty() && picture.starts_with(b"\x89PNG\r\n\x1a\n") {
        seal_chunks(picture, &erased);
    }
    !erased.is_empty()
}

/// Where TIFF headers may be: byte order, 42, and a first directory that is not far.
fn headers(picture: &[u8]) -> Vec<usize> {
    let is_near = |at: &usize| {
        let offset = picture.get(at + 4..at + 8).and_then(<[u8]>::first_chunk);
        offset.is_some_and(|offset| {
            let little = picture[*at] == b'I';
            let offset =
                if little { u32::from_le_bytes(*offset) } else { u32::from_be_bytes(*offset) };
            (8..=0xffff).contains(&offset)
        })
    };
    let marks = [&b"II*\0"[..], b"MM\0*"];
    let found = marks.iter().flat_map(|mark| memmem::find_iter(picture, mark).filter(is_near));
    found.take(MOST_HEADERS).collect()
}

/// What follows a TIFF header, to the end of the picture.
struct Tiff<'a> {
    bytes: &'a mut [u8],
    little: bool,
    erased: Vec<Range<usize>>,
}

impl<'a> Tiff<'a> {
    fn new(bytes: &'a mut [u8]) -> Option<Self> {
        let little = *bytes.first()? == b'I';
        Some(Self { bytes, little, erased: Vec::new() })
    }

    /// Looks through the directories that lead to each other, and through that of Exif.
    fn erase(mut self) -> Vec<Range<usize>> {
        let mut ahead: Vec<usize> = self.u32(4).into_iter().collect();
        let (mut seen, mut wiped) = (Vec::new(), 0);
        while let Some(at) = ahead.pop() {
            let is_new = seen.len() < MOST_DIRECTORIES && !seen.contains(&at);
            let Some(count) = self.entries(at).filter(|_| is_new) else { continue };
            seen.push(at);
            ahead.extend(self.u32(at + 2 + 12 * count)); // the next
            // From the last to the first, since those behind one that is removed move up.
            for entry in (0..count).rev().map(|index| at + 2 + 12 * index) {
                match (self.u16(entry), self.u32(entry + 8)) {
                    (Some(EXIF), Some(offset)) => ahead.push(offset),
                    (Some(GPS), Some(offset)) if wiped < MOST_GPS_DIRECTORIES => {
                        wiped += 1;
                        if !seen.contains(&offset) {
                            self.wipe_directory(offset);
                        }
                        self.remove(at, entry);
                    }
                    _ => {}
                }
            }
        }
        self.erased
    }

    /// How many entries a directory has, if all of them are there.
    fn entries(&self, at: usize) -> Option<usize> {
        let count = usize::from(self.u16(at)?);
        let fits = count <= MOST_ENTRIES && at >= 8 && at + 2 + 12 * count <= self.bytes.len();
        fits.then_some(count)
    }

    /// Overwrites a directory and the values that it has elsewhere.
    fn wipe_directory(&mut self, at: usize) {
        let Some(count) = self.entries(at) else { return };
        let count = count.min(MOST_GPS_ENTRIES);
        for entry in (0..count).map(|index| at + 2 + 12 * index) {
            let (Some(kind), Some(number)) = (self.u16(entry + 2), self.u32(entry + 4)) else {
                return;
            };
            let each = match kind {
                1 | 2 | 6 | 7 | 129 => 1,
                3 | 8 => 2,
                4 | 9 | 11 | 13 => 4,
                5 | 10 | 12 => 8,
                _ => continue,
            };
            let length = number.saturating_mul(each);
            let offset = self.u32(entry + 8).filter(|&offset| length > 4 && offset >= 8);
            // In Exif no value is larger: JPEG has it in one segment.
            if let Some(offset) = offset.filter(|_| length <= 0xffff) {
                self.wipe(offset..offset.saturating_add(length));
            }
        }
        self.wipe(at..at + 2 + 12 * count);
    }

    fn wipe(&mut self, range: Range<usize>) {
        if let Some(bytes) = self.bytes.get_mut(range.clone()) {
            bytes.fill(0);
            self.erased.push(range);
        }
    }

    /// Removes an entry: what follows it in its directory moves up, the pointer to the next directory too.
    fn remove(&mut self, at: usize, entry: usize) {
        let Some(count) = self.entries(at).and_then(|count| u16::try_from(count).ok()) else {
            return;
        };
        let end = (at + 2 + 12 * usize::from(count) + 4).min(self.bytes.len());
        if entry + 12 > end {
            return; // the directory led into itself, and is gone
        }
        self.bytes.copy_within(entry + 12..end, entry);
        self.bytes[end - 12..end].fill(0);
        let count = count.saturating_sub(1);
        let count = if self.little { count.to_le_bytes() } else { count.to_be_bytes() };
        self.bytes[at..at + 2].copy_from_slice(&count);
        self.erased.push(at..end);
    }

    fn u16(&self, at: usize) -> Option<u16> {
        let bytes = *self.bytes.get(at..)?.first_chunk()?;
        Some(if self.little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    }

    fn u32(&self, at: usize) -> Option<usize> {
        let bytes = *self.bytes.get(at..)?.first_chunk()?;
        let number =
            if self.little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) };
        usize::try_from(number).ok()
    }
}

/// Properties of XMP whose name begins with `GPS`, in whatever namespace: drones have one of their own.
fn in_xmp(picture: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let (mut from, mut tried) = (0, 0);
    while let Some(start) = memmem::find(&picture[from..], b"<rdf:RDF") {
        let start = from + start;
        let Some(length) = memmem::find(&picture[start..], b"</rdf:RDF>") else { break };
        let packet = &picture[start..start + length];
        let mut done = 0;
        for colon in memchr_iter(b':', packet) {
            let is_gps =
                packet[colon + 1..].get(..3).is_some_and(|it| it.eq_ignore_ascii_case(b"gps"));
            if !is_gps || colon < done || tried == MOST_PROPERTIES {
                continue;
            }
            tried += 1;
            if let Some(range) = property(packet, colon) {
                done = range.end;
                found.push(range.start + start..range.end + start);
            }
        }
        from = start + length;
    }
    found
}

/// The attribute or the element with this colon in its name, with its value.
fn property(packet: &[u8], colon: usize) -> Option<Range<usize>> {
    const LONGEST: usize = 4096;
    let in_name = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    let start = packet[..colon].iter().rposition(|b| !in_name(b))?;
    let length = packet[colon + 1..].iter().take(LONGEST).position(|b| !in_name(b))?;
    let (name, behind) = (&packet[start + 1..colon + 1 + length], colon + 1 + length);
    let rest = &packet[behind..packet.len().min(behind + LONGEST)];
    let end = match packet[start] {
        b'<' => {
            let close = [b"</", name, b">"].concat();
            memmem::find(rest, &close)? + close.len()
        }
        before if before.is_ascii_whitespace() => {
            let value = rest.trim_ascii_start().strip_prefix(b"=")?.trim_ascii_start();
            let (quote, value) =
                value.split_first().filter(|(it, _)| matches!(it, b'"' | b'\''))?;
            rest.len() - value.len() + memchr::memchr(*quote, value)? + 1
        }
        _ => return None,
    };
    // A packet that is cut in pieces has other things between them.
    let is_text = rest[..end].iter().all(|&b| b >= b' ' && b != 0xff || b.is_ascii_whitespace());
    let start = if packet[start] == b'<' { start } else { start + 1 };
    is_text.then_some(start..behind + end)
}

/// Sets the checksums of the chunks of a PNG from the first to the last in which something was erased.
fn seal_chunks(picture: &mut [u8], erased: &[Range<usize>]) {
    let first = erased.iter().map(|range| range.start).min().unwrap_or(usize::MAX);
    let last = erased.iter().map(|range| range.end).max().unwrap_or(0);
    let mut at = 8;
    while let Some(length) = picture.get(at..).and_then(<[u8]>::first_chunk) {
        let end = (at + 8).saturating_add(u32::from_be_bytes(*length) as usize);
        if end + 4 > picture.len() {
            return;
        }
        if first < end && last > at + 8 {
            let sum = crc32fast::hash(&picture[at + 4..end]);
            picture[end..end + 4].copy_from_slice(&sum.to_be_bytes());
        }
        at = end + 4;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Orientation, a pointer to Exif, one to GPS, one text; latitude and its reference; the time in Exif.
    fn exif(little: bool) -> Vec<u8> {
        let two = |number: u16| if little { number.to_le_bytes() } else { number.to_be_bytes() };
        let four = |number: u32| if little { number.to_le_bytes() } else { number.to_be_bytes() };
        let entry = |tag, kind, count, value: [u8; 4]| {
            [&two(tag)[..], &two(kind), &four(count), &value].concat()
        };
        let orientation = [two(6), [0, 0]].concat().try_into().expect("four bytes");
        [
            if little { &b"II*\0"[..] } else { b"MM\0*" },
            &four(8),
            &two(4), // 8
            &entry(0x0112, 3, 1, orientation),
            &entry(EXIF, 4, 1, four(62)),
            &entry(GPS, 4, 1, four(80)),
            &entry(0xc4a5, 2, 4, *b"end\0"),
            &four(0),
            &two(1), // 62
            &entry(0x9000, 7, 4, *b"0232"),
            &four(0),
            &two(3), // 80
            &entry(0, 1, 4, [2, 3, 0, 0]),
            &entry(1, 2, 2, *b"N\0\0\0"),
            &entry(2, 5, 3, four(122)),
            &four(0),
            &[22, 0, 0, 0, 1, 0, 0, 0, 32, 0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0, 1, 0, 0, 0], // 122
            b"behind",
        ]
        .concat()
    }

    fn jpeg(exif: &[u8]) -> Vec<u8> {
        [b"\xff\xd8\xff\xe1\0\xa0Exif\0\0", exif, b"\xff\xda\0\x08\x01\x01\0\0\x3f\0data\xff\xd9"]
            .concat()
    }

    /// The entries of a directory, as an independent reader sees them.
    fn tags(tiff: &[u8], at: usize) -> Vec<u16> {
        let little = tiff[0] == b'I';
        let two = |at: usize| {
            let bytes = [tiff[at], tiff[at + 1]];
            if little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) }
        };
        (0..usize::from(two(at))).map(|index| two(at + 2 + 12 * index)).collect()
    }

    #[test]
    fn gps_is_gone_from_exif_and_nothing_else() {
        for little in [true, false] {
            let whole = exif(little);
            let mut picture = jpeg(&whole);
            assert!(erase(&mut picture));
            assert!(!erase(&mut picture), "there is none any more");
            let tiff = &picture[12..12 + whole.len()];
            assert_eq!(tags(tiff, 8), [0x0112, EXIF, 0xc4a5], "the others are where they were");
            assert_eq!(tiff[10..34], whole[10..34], "the orientation too");
            assert_eq!(tiff[62..80], whole[62..80]);
            assert!(tiff[80..146].iter().all(|&byte| byte == 0));
            assert_eq!(tiff[146..], *b"behind");
            assert_eq!(picture.len(), jpeg(&whole).len());
        }
    }

    #[test]
    fn gps_is_gone_from_xmp_and_nothing_else() {
        let xmp = |gps: [&str; 3]| {
            let [attribute, element, drone] = gps;
            format!(
                "x<rdf:RDF><rdf:Description tiff:Orientation=\"6\" {attribute}\n{drone}>\
                 <dc:title>exif:GPS=here</dc:title>{element}</rdf:Description></rdf:RDF>z"
            )
        };
        let gps = [
            "exif:GPSLatitude=\"22,32.1N\"",
            "<exif:GPSLongitude>114,3.2E</exif:GPSLongitude>",
            "drone-dji:GpsLatitude = '+22.5'",
        ];
        let mut picture = xmp(gps).into_bytes();
        assert!(erase(&mut picture));
        let blank = gps.map(|it| " ".repeat(it.len()));
        let expected = xmp([&blank[0], &blank[1], &blank[2]]);
        assert_eq!(String::from_utf8_lossy(&picture), expected);
        assert!(!erase(&mut picture));
    }

    #[test]
    fn checksums_of_a_png_are_right_again() {
        let chunk = |kind: &[u8; 4], data: &[u8]| {
            let length = u32::try_from(data.len()).expect("a chunk").to_be_bytes();
            let named = [&kind[..], data].concat();
            [&length[..], &named, &crc32fast::hash(&named).to_be_bytes()].concat()
        };
        let png = |exif: &[u8]| {
            let chunks = [chunk(b"IHDR", b"head"), chunk(b"eXIf", exif), chunk(b"IEND", b"")];
            [b"\x89PNG\r\n\x1a\n", chunks.concat().as_slice()].concat()
        };
        let mut picture = png(&exif(false));
        assert!(erase(&mut picture));
        let erased = picture[32..32 + exif(false).len()].to_vec();
        assert_eq!(picture, png(&erased));
    }

    #[test]
    fn what_has_no_position_stays_as_it_is() {
        let mut tiff = exif(true);
        tiff[34..36].copy_from_slice(&[0, 0x90]); // another tag than GPS
        let texts: [&[u8]; 5] = [
            &jpeg(&tiff),
            b"exif:GPSLatitude=\"1\"",
            b"<rdf:RDF exif:GPSLatitude=\"1\"",
            b"<rdf:RDF x:GPSLatitude=\"1\x01\"></rdf:RDF>",
            b"<rdf:RDF><x:GPSLatitude>1</rdf:RDF>",
        ];
        for text in texts {
            let mut picture = text.to_vec();
            assert!(!erase(&mut picture), "{}", text.escape_ascii());
            assert_eq!(picture, text);
        }
    }

    #[test]
    fn a_picture_made_to_cost_much_costs_little() {
        let header = [b"II*\0\x08\0\0\0", exif(true)[8..].to_vec().as_slice()].concat();
        for piece in [
            &header[..],
            b"II*\0\x08\0\0\0",
            b"<rdf:RDF",
            b"<rdf:RDF></rdf:RDF>",
            b":GPS",
            b"<a:gps ",
        ] {
            let mut picture =
                [b"<rdf:RDF", piece.repeat(4_000_000 / piece.len()).as_slice()].concat();
            picture.extend_from_slice(b"</rdf:RDF>");
            erase(&mut picture);
        }
        // Every entry leads to the directory itself.
        let mut tiff = exif(true);
        for entry in 0..4 {
            tiff[10 + 12 * entry..12 + 12 * entry].copy_from_slice(&GPS.to_le_bytes());
            tiff[18 + 12 * entry..22 + 12 * entry].copy_from_slice(&[8, 0, 0, 0]);
        }
        erase(&mut tiff);
    }

    proptest! {
        #[test]
        fn any_change_is_survived(little: bool, changes in prop::collection::vec((0_usize..190, any::<u8>()), 1..12)) {
            let mut picture = jpeg(&exif(little));
            let length = picture.len();
            for (at, byte) in changes {
                picture[at % length] = byte;
            }
            erase(&mut picture);
            prop_assert_eq!(picture.len(), length);
        }

        #[test]
        fn what_has_no_mark_stays_as_it_is(bytes in prop::collection::vec(any::<u8>(), 0..4000)) {
            let mut picture = bytes.clone();
            if memmem::find(&bytes, b"*\0").is_none() && memmem::find(&bytes, b"\0*").is_none() {
                prop_assert!(!erase(&mut picture));
                prop_assert_eq!(picture, bytes);
            }
        }
    }
}
