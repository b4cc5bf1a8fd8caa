//! A line of an export is one event in the JSON format of `CloudEvents` 1.0, structured mode.

use std::io;

use tokio::sync::mpsc;

use super::file::ExportFile;
use crate::{adapters::nats::reader::Stored, events::Redaction};

/// How much is written at once: a frame of Zstandard, before it is compressed.
const WRITE_BYTES: usize = 4 << 20;

/// Lines on their way to a file.
pub(super) struct Lines<W> {
    redaction: Redaction,
    target: ExportFile,
    is_wanted: W,
    written: Vec<u8>,
}

impl<W: Fn(&Stored) -> bool> Lines<W> {
    pub(super) fn new(redaction: Redaction, target: ExportFile, is_wanted: W) -> Self {
        Self { redaction, target, is_wanted, written: Vec::new() }
    }

    /// Writes all that comes; false if nobody reads any further (`… | head`).
    pub(super) fn write_all(
        &mut self,
        mut batches: mpsc::Receiver<Vec<Stored>>,
    ) -> io::Result<bool> {
        loop {
            let batch = batches.blocking_recv();
            let is_last = batch.is_none();
            for stored in batch.iter().flatten().filter(|stored| (self.is_wanted)(stored)) {
                line(&self.redaction, stored, &mut self.written);
            }
            if is_last || self.written.len() >= WRITE_BYTES {
                match self.target.write(&self.written) {
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(false),
                    result => result?,
                }
                self.written.clear();
            }
            if is_last {
                return Ok(true);
            }
        }
    }
}

/// Adds a line. Of what this version cannot read there is no `data`, and the text says nothing about people.
fn line(redaction: &Redaction, stored: &Stored, out: &mut Vec<u8>) {
    out.push(b'{');
    let position = stored.position.to_string();
    text("position", &position, out);
    let header = |name: &str| match name {
        "ce-subject" => Some(stored.subject()),
        name => stored.header(name),
    };
    for attribute in redaction.attributes(header) {
        out.push(b',');
        text(attribute.name, &attribute.value, out);
    }
    let before = out.len();
    out.extend_from_slice(br#","datacontenttype":"application/json","data":"#);
    let kind = stored.header("ce-type").unwrap_or_default();
    if !redaction.body(kind, stored.body(), out) {
        out.truncate(before);
    }
    out.extend_from_slice(b"}\n");
}

fn text(name: &str, value: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    serde_json::to_writer(&mut *out, value).expect("a text is JSON, and memory takes it");
}
