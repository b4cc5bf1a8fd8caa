//! Pictures of videos, by ffmpeg: within limits of time and memory, and with nothing but the one file to read.

use std::{io, path::Path, process::Stdio, time::Duration};

use tokio::{
    io::AsyncReadExt as _,
    process::Command,
    sync::Semaphore,
    time::{Instant, timeout_at},
};
use tracing::{debug, warn};

use super::kind::FileKind;
use crate::config;

/// No picture of ours has more bytes.
const MOST_BYTES: u64 = 32 * 1024 * 1024;

/// No picture of ours is wider, or higher: a poster is a preview, and a larger one costs seconds of CPU.
const WIDEST: u32 = 1280;
const HIGHEST: u32 = 2560;

/// Decoders that ffmpeg may use: what phones and browsers record.
const CODECS: &str = "h264,hevc,mpeg4,h263,vp8,vp9,libvpx,libvpx-vp9,av1,libdav1d,libaom-av1,mjpeg,\
    mpeg1video,mpeg2video,msmpeg4v2,msmpeg4,flv,wmv1,wmv2,prores,qtrle,rawvideo,png";

/// Formats that ffmpeg may read, as it names them. None of them leads to another file.
const FORMATS: &str = "mov,mp4,m4a,3gp,3g2,mj2,avi,flv,matroska,webm";

/// Makes posters, one at a time per core.
#[derive(Debug)]
pub struct Posters {
    program: std::path::PathBuf,
    memory_kib: u64,
    limit: Duration,
    turns: Semaphore,
}

/// What is wanted of a video.
#[derive(Debug, Clone, Copy)]
pub struct Still {
    /// How far into it, in milliseconds.
    pub at_ms: f64,
    /// Its width in pixels, of which 1280 are the most; `None`: the video's.
    pub width: Option<u32>,
    /// PNG or JPEG.
    pub jpeg: bool,
}

impl Still {
    /// What is the same for the same picture.
    pub fn key(&self) -> String {
        let width = self.width.map_or(0, |width| width.min(WIDEST));
        format!("{} {width} {}", self.seconds(), self.jpeg)
    }

    /// As ffmpeg is told.
    fn seconds(&self) -> String {
        format!("{:.3}", self.at_ms / 1000.0)
    }

    /// A strip of a video does not become a tower.
    fn scale(&self) -> String {
        let size = match self.width {
            Some(width) => format!("{}:{HIGHEST}", width.min(WIDEST)),
            None => format!("'min({WIDEST},iw)':'min({HIGHEST},ih)'"),
        };
        format!("scale={size}:force_original_aspect_ratio=decrease")
    }
}

/// Why there is no picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PosterError {
    /// The video has no frame there.
    #[error("no frame there")]
    NoFrame,
    /// ffmpeg gave up on the video, or ran into its limits.
    #[error("the video cannot be decoded")]
    Unreadable,
    /// It took too long, the wait for a turn included.
    #[error("it took too long")]
    TooSlow,
    /// ffmpeg is not installed.
    #[error("no ffmpeg")]
    NoTool,
}

impl Posters {
    /// As the configuration says.
    pub fn new(config: &config::MediaSettings) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            program: config.ffmpeg.clone(),
            memory_kib: config.poster_memory_mib * 1024,
            limit: Duration::from_millis(config.poster_timeout_ms),
            turns: Semaphore::new(cores),
        }
    }

    /// A picture of `video`, read as `kind` and as nothing else.
    ///
    /// # Errors
    /// There is none to be had.
    pub async fn take(
        &self,
        video: &Path,
        kind: FileKind,
        still: Still,
    ) -> Result<Vec<u8>, PosterError> {
        let end = Instant::now() + self.limit;
        let too_slow = |_| PosterError::TooSlow;
        let _turn = timeout_at(end, self.turns.acquire()).await.map_err(too_slow)?;
        let demuxer = kind.demuxer.ok_or(PosterError::Unreadable)?;
        let mut command = self.command(video, demuxer, still);
        let mut child = command.spawn().map_err(|error| {
            warn!(%error, "cannot run a shell for ffmpeg");
            PosterError::NoTool
        })?;
        // Dropped at the end of the time, it is killed.
        let run = async {
            let mut picture = Vec::new();
            let mut said = Vec::new();
            if let (Some(out), Some(err)) = (child.stdout.take(), child.stderr.take()) {
                let (mut out, mut err) = (out.take(MOST_BYTES), err.take(4096));
                tokio::try_join!(out.read_to_end(&mut picture), err.read_to_end(&mut said))?;
            }
            let status = child.wait().await?;
            io::Result::Ok((picture, said, status.code()))
        };
        let ended = timeout_at(end, run).await.map_err(too_slow)?;
        let (picture, said, code) = ended.map_err(|_| PosterError::Unreadable)?;
        debug!(code, "ffmpeg: {}", String::from_utf8_lossy(&said));
        match code {
            Some(0) if picture.is_empty() => Err(PosterError::NoFrame),
            Some(0) => Ok(picture),
            // The shell's words for "not found" and "not executable".
            Some(126 | 127) => Err(PosterError::NoTool),
            _ => Err(PosterError::Unreadable),
        }
    }

    /// The shell only sets limits: it becomes ffmpeg, so killing it ends ffmpeg. Nothing of what a client sent is
    /// among the words but numbers.
    fn command(&self, video: &Path, demuxer: &str, still: Still) -> Command {
        let (memory, seconds) = (self.memory_kib, self.limit.as_secs().max(1));
        // Some systems cannot limit the address space; the time holds everywhere.
        let limits = format!(
            "ulimit -t {seconds}; ulimit -c 0; ulimit -v {memory} 2>/dev/null; exec \"$0\" \"$@\""
        );
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(limits).arg(&self.program);
        command.args(["-nostdin", "-hide_banner", "-loglevel", "error", "-threads", "1"]);
        command.args(["-protocol_whitelist", "file", "-format_whitelist", FORMATS]);
        command.args(["-codec_whitelist", CODECS, "-max_pixels", "67108864", "-f", demuxer]);
        let seek = ["-ss".to_owned(), still.seconds()];
        // Without an index FLV finds no place but the beginning, so what comes before is decoded and thrown away.
        let (before, after) =
            if demuxer == "flv" { (None, Some(seek)) } else { (Some(seek), None) };
        command.args(before.into_iter().flatten()).arg("-i").arg(file_url(video));
        command.args(after.into_iter().flatten());
        command.args([
            "-map",
            "0:V:0",
            "-an",
            "-sn",
            "-dn",
            "-frames:v",
            "1",
            "-filter_threads",
            "1",
        ]);
        command.arg("-vf").arg(still.scale());
        let encoder = if still.jpeg { "mjpeg" } else { "png" };
        command.args(["-threads", "1", "-c:v", encoder, "-f", "image2pipe", "pipe:1"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let path = std::env::var_os("PATH").unwrap_or_default();
        command.env_clear().env("PATH", path).current_dir("/").kill_on_drop(true);
        command
    }
}

/// With its protocol, so that no part of a name can be taken for one.
fn file_url(path: &Path) -> std::ffi::OsString {
    let mut url = std::ffi::OsString::from("file:");
    url.push(path);
    url
}
