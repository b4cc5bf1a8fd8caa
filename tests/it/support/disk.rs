//! The disk of a guest, and what is left of it when its power fails.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::process::run;

/// What the disk's own cache does with writes that the guest had not flushed when the power failed.
#[derive(Debug, Clone, Copy)]
pub enum Cache {
    /// All of them had reached the disk.
    Kept,
    /// None had.
    Lost,
    /// Some had, whichever; a disk promises no order.
    Mixed,
}

/// A disk image, and between power-on and power failure a copy that the guest writes to.
///
/// QEMU's driver `blklogwrites` notes each write and each flush in a log, in the format of the kernel's `dm-log-writes`.
#[derive(Debug)]
pub struct Disk {
    /// What is on the disk for certain.
    image: PathBuf,
    /// What the guest sees.
    seen: PathBuf,
    log: PathBuf,
}

/// The unit of the log, and of the disk.
const SECTOR: u64 = 512;
/// What the log begins with.
const MAGIC: u64 = 0x006a_7366_7773_6872;
const FLUSH: u64 = 1;
const DISCARD: u64 = 4;

/// A write: where to, and where its data are in the log.
#[derive(Debug, Clone, Copy)]
struct Write {
    to: u64,
    from: u64,
    length: u64,
}

impl Disk {
    /// A disk with an empty ext4 on it.
    pub fn new(folder: &Path) -> Self {
        let [image, seen, log] = ["disk", "disk.seen", "disk.log"].map(|name| folder.join(name));
        let file = File::create(&image).expect("the disk can be made");
        file.set_len(1 << 30).expect("the disk can be given a size");
        let path = "/usr/sbin:/sbin:".to_owned() + &std::env::var("PATH").unwrap_or_default();
        run(Command::new("mke2fs").args(["-q", "-t", "ext4"]).arg(&image).env("PATH", path));
        Self { image, seen, log }
    }

    /// Switches it on: what QEMU is told of it.
    pub fn plug_in(&self) -> Vec<String> {
        run(Command::new("cp").arg("--sparse=always").args([&self.image, &self.seen]));
        File::create(&self.log).expect("the log can be made");
        // The host keeps its power, so only the guest's flushes matter: they need not go on to the host's disk.
        let file = |name: &str, path: &Path| {
            let path = path.display();
            format!("driver=file,node-name={name},filename={path},cache.no-flush=on")
        };
        let disk = "driver=blklogwrites,node-name=disk,file=seen,log=log";
        [
            ["-blockdev", &file("seen", &self.seen)],
            ["-blockdev", &file("log", &self.log)],
            ["-blockdev", &format!("{disk},log-super-update-interval=4294967295")],
            ["-device", "virtio-blk-pci,drive=disk"],
        ]
        .concat()
        .into_iter()
        .map(str::to_owned)
        .collect()
    }

    /// Decides what is left. Returns how many writes had not been flushed, and how many of them were lost.
    pub fn lose_power(
        &self,
        cache: Cache,
        mut chance: impl FnMut(usize) -> usize,
    ) -> (usize, usize) {
        let log = File::open(&self.log).expect("the log can be read");
        let (flushed, loose) = writes(&log).expect("the log of the disk's writes makes sense");
        let kept: Vec<Write> = loose
            .iter()
            .copied()
            .filter(|_| match cache {
                Cache::Kept => true,
                Cache::Lost => false,
                Cache::Mixed => chance(2) == 1,
            })
            .collect();
        let image = File::options().write(true).open(&self.image).expect("the disk can be written");
        for write in flushed.iter().chain(&kept) {
            write.copy(&log, &image).expect("the log holds what was written");
        }
        (loose.len(), loose.len() - kept.len())
    }
}

impl Write {
    fn copy(self, log: &File, image: &File) -> io::Result<()> {
        let mut data = vec![0; usize::try_from(self.length).expect("a write is short")];
        log.read_exact_at(&mut data, self.from)?;
        image.write_all_at(&data, self.to)
    }
}

/// All that were written before the last flush, and those after it. What the log says of itself is as of that flush.
fn writes(log: &File) -> io::Result<(Vec<Write>, Vec<Write>)> {
    let [magic, _version, flushed] = numbers(log, 0)?;
    assert_eq!(magic, MAGIC, "no log of writes");
    let (mut writes, mut safe) = (Vec::new(), 0);
    let mut at = SECTOR;
    let end = log.metadata()?.len();
    for entry in 1.. {
        if at + SECTOR > end {
            break;
        }
        let [sector, sectors, flags] = numbers(log, at)?;
        if (sectors, flags) == (0, 0) {
            break; // not written yet when the power failed
        }
        at += SECTOR;
        if flags & FLUSH != 0 && entry <= flushed {
            safe = writes.len();
        }
        if sectors > 0 && flags & DISCARD == 0 {
            let length = sectors * SECTOR;
            if at + length > end {
                break;
            }
            writes.push(Write { to: sector * SECTOR, from: at, length });
            at += length;
        }
    }
    let loose = writes.split_off(safe);
    Ok((writes, loose))
}

fn numbers(log: &File, at: u64) -> io::Result<[u64; 3]> {
    let mut bytes = [0; 24];
    log.read_exact_at(&mut bytes, at)?;
    let number =
        |index: usize| u64::from_le_bytes(bytes[8 * index..][..8].try_into().expect("eight bytes"));
    Ok([number(0), number(1), number(2)])
}

#[test]
fn what_was_not_flushed_may_be_lost() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let [image, seen, log] = ["image", "seen", "log"].map(|name| folder.path().join(name));
    let disk = Disk { image, seen, log };
    let sector = |first: [u64; 3]| {
        let mut sector = first.map(u64::to_le_bytes).concat();
        sector.resize(512, 0);
        sector
    };
    let wrote = |to, byte: u8| [sector([to, 1, 0]), vec![byte; 512]].concat();
    let flush = sector([0, 0, FLUSH]);
    let log = [sector([MAGIC, 1, 2]), wrote(0, 1), flush, wrote(1, 2), wrote(2, 3)].concat();
    fs::write(&disk.log, log).expect("a log");
    let left = |cache, chance: usize| {
        fs::write(&disk.image, [0; 3 * 512]).expect("a disk");
        let counts = disk.lose_power(cache, |_| chance);
        let image = fs::read(&disk.image).expect("a disk");
        (counts, [0, 1, 2].map(|sector| image[sector * 512]))
    };
    assert_eq!(left(Cache::Lost, 1), ((2, 2), [1, 0, 0]));
    assert_eq!(left(Cache::Kept, 0), ((2, 0), [1, 2, 3]));
    assert_eq!(left(Cache::Mixed, 0), ((2, 2), [1, 0, 0]));
    assert_eq!(left(Cache::Mixed, 1), ((2, 0), [1, 2, 3]));
}
