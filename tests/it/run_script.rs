//! What `./run` makes on a machine.

use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::Command,
};

use testkit::ports::Port;

use crate::support::nats;

/// A checkout with what `./run` needs, and a stack that ends with it.
struct Checkout {
    folder: tempfile::TempDir,
    ports: [Port; 5],
}

impl Checkout {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        // PostgreSQL's account passes through.
        let open = fs::Permissions::from_mode(0o755);
        fs::set_permissions(folder.path(), open).expect("it is ours");
        let files = ["run", "scripts", "nats.conf", "Cargo.toml"]
            .map(|file| Path::new(env!("CARGO_MANIFEST_DIR")).join(file));
        let copied = Command::new("cp").arg("-r").args(&files).arg(folder.path()).status();
        assert!(copied.expect("cp runs").success());
        Self { folder, ports: std::array::from_fn(|_| Port::take().expect("a free port")) }
    }

    fn run(&self, arguments: &[&str]) {
        let parts = ["", "ADMIN_", "NATS_", "POSTGRES_", "REDIS_"];
        let names = parts.map(|part| format!("HONGYAN_{part}PORT"));
        let numbers = self.ports.iter().map(|port| port.number().to_string());
        let ran = Command::new(self.folder.path().join("run"))
            .args(arguments)
            .env("HONGYAN_BIN", env!("CARGO_BIN_EXE_hongyan"))
            .env("NATS_SERVER_BIN", nats::programs().nats)
            .envs(names.iter().zip(numbers))
            .output()
            .expect("it runs");
        assert!(ran.status.success(), "./run {arguments:?}: {ran:?}");
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join(".hongyan")
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        self.run(&["down"]);
    }
}

/// What accounts other than the owner can read or write, by its mode and those of the folders above it.
fn open_to_others(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let (path, about) = (entry.path(), entry.metadata().expect("it is there"));
        if !about.is_symlink() && about.mode() & 0o066 != 0 {
            found.push(path.clone());
        }
        if about.is_dir() && about.mode() & 0o011 != 0 {
            open_to_others(&path, found);
        }
    }
}

/// Messages, uploads, secrets and logs, of an earlier stack too.
#[test]
fn what_run_makes_is_for_its_account_alone() {
    let checkout = Checkout::new();
    for folder in ["data/redis/appendonlydir", "data/nats"] {
        fs::create_dir_all(checkout.state().join(folder)).expect("it can be made");
    }
    checkout.run(&["up"]);
    let mut open = Vec::new();
    open_to_others(&checkout.state(), &mut open);
    assert_eq!(open, [] as [PathBuf; 0]);
    let redis = checkout.state().join("data/redis/appendonlydir");
    assert!(fs::read_dir(&redis).expect("Redis keeps a log").next().is_some());
    if fs::metadata(&redis).expect("it is there").uid() == 0 {
        let tried = Command::new("su")
            .args(["-s", "/bin/sh", "-c", r#"ls "$0""#, "nobody"])
            .arg(AsRef::<OsStr>::as_ref(&redis))
            .output()
            .expect("su runs");
        assert!(!tried.status.success(), "{tried:?}");
    }
}
