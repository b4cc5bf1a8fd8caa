//! The file of an export is gone on with where its last whole line ends.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _},
    path::PathBuf,
};

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use zstd::{bulk::Compressor, stream::read::Decoder};

use crate::events::Position;

/// Two lines at least: an event is 2 MB at most.
const TAIL_BYTES: u64 = 8 << 20;
/// How each line begins.
const LINE: &[u8] = b"{\"position\":\"";
const LEVEL: i32 = 3;

/// Where lines go.
pub(super) struct ExportFile {
    out: Box<dyn io::Write + Send>,
    compressor: Option<Compressor<'static>>,
}

impl ExportFile {
    /// A file, or standard output; and the position of the last event that is there already.
    pub(super) fn open(path: Option<PathBuf>, zstd: bool) -> anyhow::Result<(Self, Position)> {
        let compressor = zstd.then(|| Compressor::new(LEVEL)).transpose()?;
        let Some(path) = path else {
            return Ok((Self { out: Box::new(io::stdout()), compressor }, Position(0)));
        };
        let cannot = || format!("cannot write {}", path.display());
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = file.with_context(cannot)?;
        let end = if zstd { end_of_frames(&mut file) } else { end_of_lines(&mut file) };
        let (end, last) =
            end.with_context(|| format!("{} is not an export to go on with", path.display()))?;
        file.set_len(end).with_context(cannot)?;
        file.seek(SeekFrom::Start(end)).with_context(cannot)?;
        Ok((Self { out: Box::new(file), compressor }, last))
    }

    /// Writes whole lines.
    pub(super) fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        match &mut self.compressor {
            None => self.out.write_all(lines)?,
            Some(compressor) => self.out.write_all(&compressor.compress(lines)?)?,
        }
        self.out.flush()
    }
}

/// Where the last whole line ends, and its position.
fn end_of_lines(file: &mut File) -> anyhow::Result<(u64, Position)> {
    let length = file.metadata()?.len();
    let begin = length.saturating_sub(TAIL_BYTES);
    file.seek(SeekFrom::Start(begin))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let whole = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    ensure!(whole > 0 || LINE.starts_with(&tail) || tail.starts_with(LINE), "it has no lines");
    Ok((begin + whole as u64, last_position(&tail[..whole])?))
}

/// Where the last whole frame ends, and the position of its last line.
fn end_of_frames(file: &mut File) -> anyhow::Result<(u64, Position)> {
    let (mut end, mut last) = (0, Position(0));
    let mut reader = BufReader::new(file);
    while !reader.fill_buf()?.is_empty() {
        let mut lines = Vec::new();
        let frame = Decoder::with_buffer(&mut reader)?.single_frame().read_to_end(&mut lines);
        if frame.is_err() {
            ensure!(end > 0 || starts_frame(reader.get_mut())?, "it is not Zstandard");
            break; // the last one was being written
        }
        last = last_position(&lines)?;
        end = reader.stream_position()?;
    }
    Ok((end, last))
}

fn starts_frame(file: &mut File) -> io::Result<bool> {
    let mut magic = [0; 4];
    file.seek(SeekFrom::Start(0))?;
    let read = file.read(&mut magic)?;
    Ok(zstd::zstd_safe::MAGICNUMBER.to_le_bytes()[..read] == magic[..read])
}

/// The position in the last of some whole lines.
fn last_position(lines: &[u8]) -> anyhow::Result<Position> {
    #[derive(Deserialize)]
    struct Line {
        position: String,
    }
    let Some(line) = lines.split(|byte| *byte == b'\n').rev().nth(1) else {
        return Ok(Position(0));
    };
    let line: Line = serde_json::from_slice(line)?;
    Ok(Position(line.position.parse()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &std::path::Path, zstd: bool, lines: &str) -> Position {
        let (mut target, last) = ExportFile::open(Some(path.to_owned()), zstd).expect("it opens");
        target.write(lines.as_bytes()).expect("it is written");
        last
    }

    #[test]
    fn a_file_is_gone_on_with_after_its_last_whole_line() {
        let folder = tempfile::tempdir().expect("a folder");
        for zstd in [false, true] {
            let path = folder.path().join(format!("zstd-{zstd}"));
            let (one, two) = ("{\"position\":\"7\"}\n", "{\"position\":\"9\"}\n");
            assert_eq!(write(&path, zstd, one), Position(0));
            let whole = std::fs::read(&path).expect("it is there");
            assert_eq!(write(&path, zstd, two), Position(7));
            let both = std::fs::read(&path).expect("it is there");
            for torn in whole.len()..both.len() {
                std::fs::write(&path, &both[..torn]).expect("it is written");
                assert_eq!(write(&path, zstd, two), Position(7), "torn at {torn}");
                assert_eq!(std::fs::read(&path).expect("it is there"), both, "torn at {torn}");
            }
            assert_eq!(write(&path, zstd, ""), Position(9));
            for torn in 0..whole.len() {
                std::fs::write(&path, &whole[..torn]).expect("it is written");
                assert_eq!(write(&path, zstd, one), Position(0), "torn at {torn}");
            }
        }
    }

    #[test]
    fn another_file_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("letter");
        for letter in ["Dear Bob,\n", "Dear Bob,\nhello", "Dear Bob"] {
            std::fs::write(&path, letter).expect("it is written");
            for zstd in [false, true] {
                assert!(ExportFile::open(Some(path.clone()), zstd).is_err());
                assert_eq!(std::fs::read_to_string(&path).expect("it is there"), letter);
            }
        }
    }
}
