//! A virtual machine with nats-server and the service in it, whose power can be cut (`tests/guest/init` is what it
//! runs). PostgreSQL and Redis, whose contents can be rebuilt, are outside and keep theirs.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use hongyan::clock;
use hongyan::events::Timestamp;
use serde_json::json;
use testkit::{ports::Port, servers::NATS_PASSWORDS};

use super::api::{Api, client};
use super::disk::{Cache, Disk};
use super::nats::programs;
use super::postgres::Postgres;
use super::process::{Process, ends_with_parent, run, until};
use super::redis::Redis;
use super::service::{Ran, Settings, cli};
use super::user::{PASSWORD, User};

/// A machine, and what its service needs from outside.
#[derive(Debug)]
pub struct Machine {
    running: Option<Process>,
    disk: Disk,
    /// Where the guest's gateway, operators' pages and nats-server are found on this side.
    ports: [Port; 3],
    postgres: Postgres,
    redis: Redis,
    folder: tempfile::TempDir, // last: removed after the processes have ended
}

/// What the guest calls itself and the host; QEMU's user network has it so.
const GUEST: &str = "10.0.2.15";
const HOST: &str = "10.0.2.2";
const GUEST_PORTS: [u16; 3] = [7001, 7002, 7422];
const ADMIN_TOKEN: &str = "an admin token of the tests";

impl Machine {
    /// A machine that is off, with an empty disk.
    pub async fn new() -> Self {
        let folder =
            tempfile::Builder::new().prefix("hongyan-vm-").tempdir().expect("a temporary folder");
        // PostgreSQL may run as another account and must get in.
        let open = fs::Permissions::from_mode(0o755);
        fs::set_permissions(folder.path(), open).expect("the folder is ours");
        let path = folder.path();
        let (postgres, redis) = (path.join("postgres"), path.join("redis"));
        let (postgres, redis) = tokio::join!(Postgres::apart(&postgres), Redis::start(&redis));
        let ports = [(); 3].map(|()| Port::take().expect("a free port"));
        let machine = Self { running: None, disk: Disk::new(path), ports, postgres, redis, folder };
        machine.fill_guest();
        machine
    }

    /// Switches it on, with the service's `log.durability` and its clock wrong by so many seconds, and waits until
    /// nats-server is there.
    pub async fn switch_on(&mut self, durability: &str, clock_s: i64) {
        self.write_settings(durability);
        let (root, archive) = (self.root(), self.folder.path().join("initrd"));
        let pack = r#"cd "$0" && find . | bin/busybox cpio -o -H newc >"$1""#;
        run(Command::new("sh").args(["-c", pack]).args([&root, &archive]));
        let [gateway, admin, nats] = [0, 1, 2].map(|index| {
            format!("hostfwd=tcp:127.0.0.1:{}-:{}", self.ports[index].number(), GUEST_PORTS[index])
        });
        // Emulation alone: KVM inside of a virtual machine cannot be relied on.
        let mut qemu = ends_with_parent("qemu-system-x86_64");
        qemu.args(["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "1024"]);
        qemu.args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"]);
        qemu.args(["-serial", "stdio", "-append", "console=ttyS0 quiet panic=-1"]);
        qemu.arg("-kernel").arg(prepared().join("vmlinuz")).arg("-initrd").arg(archive);
        let now = Timestamp(clock::now().0 + clock_s * 1000).iso_text();
        qemu.args(["-rtc", &format!("base={}", now.split('.').next().expect("seconds"))]);
        qemu.args(["-netdev", &format!("user,id=net,{gateway},{admin},{nats}")]);
        qemu.args(["-device", "virtio-net-pci,netdev=net,romfile="]);
        qemu.args(self.disk.plug_in());
        self.running = Some(Process::spawn("the guest", &mut qemu, &self.console()));
        self.answers("nats-server greets", async |ports| {
            let address = ("127.0.0.1", ports[2].number());
            let mut stream = tokio::net::TcpStream::connect(address).await.ok()?;
            let mut greeting = [0; 5];
            tokio::io::AsyncReadExt::read_exact(&mut stream, &mut greeting).await.ok()?;
            (greeting == *b"INFO ").then_some(())
        })
        .await;
    }

    /// Waits until the service says that it is ready.
    pub async fn ready(&mut self) {
        let client = client();
        self.answers("the service is ready", async |ports| {
            let url = format!("http://127.0.0.1:{}/health/ready", ports[1].number());
            client
                .get(url)
                .bearer_auth(ADMIN_TOKEN)
                .send()
                .await
                .ok()?
                .error_for_status()
                .ok()
                .map(drop)
        })
        .await;
    }

    async fn answers(&mut self, what: &str, mut done: impl AsyncFnMut(&[Port; 3]) -> Option<()>) {
        let guest = self.running.as_mut().expect("the machine is on");
        until(what, async || {
            assert!(guest.is_alive(), "the guest ended:\n{}", guest.log_tail());
            // A connection that was made before the guest's network may wait for long.
            tokio::time::timeout(Duration::from_secs(5), done(&self.ports)).await.ok()?
        })
        .await;
    }

    /// Takes the power away, at once.
    pub fn cut_power(&mut self) {
        self.running.take().expect("the machine is on").kill9();
    }

    /// What was on the disk, given what its cache did. See [`Disk::lose_power`].
    pub fn settle_disk(&self, cache: Cache, chance: impl FnMut(usize) -> usize) -> (usize, usize) {
        self.disk.lose_power(cache, chance)
    }

    /// A new account, logged in.
    pub async fn register(&self, username: &str) -> User {
        let api = Api::new(format!("http://127.0.0.1:{}", self.ports[0].number()));
        let body = json!({ "username": username, "password": PASSWORD });
        User::from_login(&api, api.post("/api/regChat", body).await.ok())
    }

    /// Runs the binary as an operator would, outside.
    pub async fn cli(&self, arguments: &[&str]) -> Ran {
        let nats = format!("nats://127.0.0.1:{}", self.ports[2].number());
        let mut settings = self.settings("127.0.0.1", nats);
        settings.push(("HONGYAN__LOG__DURABILITY".to_owned(), "acked".to_owned()));
        cli(&settings, arguments, "").await
    }

    /// Insists that the read models are what the log says, once they have taken it all in.
    pub async fn verify(&self) {
        until("the read models have caught up", async || {
            let status = self.cli(&["projections", "status", "--json"]).await.json();
            let mut models = status.as_array()?.iter();
            models.all(|model| model["lag"] == 0).then_some(())
        })
        .await;
        self.cli(&["projections", "verify", "--json"]).await.ok();
    }

    /// All that the guest said since it was switched on first.
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.console()).unwrap_or_default()).into_owned()
    }

    fn console(&self) -> PathBuf {
        self.folder.path().join("console.log")
    }

    /// What becomes the guest's first file system.
    fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// Puts the programs into it, with the libraries that they are linked to.
    fn fill_guest(&self) {
        let root = self.root();
        run(Command::new("cp").arg("-a").arg(prepared().join("tree")).arg(&root));
        let sources = Path::new(env!("CARGO_MANIFEST_DIR"));
        copy(&sources.join("tests/guest/init"), &root.join("init"));
        copy(&sources.join("nats.conf"), &root.join("nats.conf"));
        copy(&programs().nats, &root.join("bin/nats-server"));
        let program = std::env::var("HONGYAN_TEST_GUEST_PROGRAM");
        let program = program.as_deref().unwrap_or(env!("CARGO_BIN_EXE_hongyan"));
        run(Command::new("strip")
            .args(["--strip-debug", program, "-o"])
            .arg(root.join("bin/hongyan")));
        let linked = run(Command::new("ldd").arg(program));
        for library in linked.split_whitespace().filter(|word| word.starts_with('/')) {
            copy(Path::new(library), &root.join(&library[1..]));
        }
    }

    fn write_settings(&self, durability: &str) {
        let mut settings = self.settings(HOST, format!("nats://{GUEST}:{}", GUEST_PORTS[2]));
        settings
            .extend(NATS_PASSWORDS.map(|(name, password)| (name.to_owned(), password.to_owned())));
        for (key, value) in [
            ("LOG__DURABILITY", durability),
            ("LOG__STORE_DIR", "/log/nats"),
            ("SERVER__LISTEN", &format!("0.0.0.0:{}", GUEST_PORTS[0])),
            ("SERVER__ADMIN_LISTEN", &format!("0.0.0.0:{}", GUEST_PORTS[1])),
            ("SERVER__ADMIN_TOKEN", ADMIN_TOKEN),
            ("MEDIA__ROOT", "/uploads"),
            ("LIMITS__EXEMPT", &format!("{HOST}/32")), // all clients come from there
        ] {
            settings.push((format!("HONGYAN__{key}"), value.to_owned()));
        }
        let lines: Vec<_> =
            settings.iter().map(|(key, value)| format!("{key}='{value}'\n")).collect();
        fs::write(self.root().join("settings"), lines.concat()).expect("settings can be written");
    }

    /// What a process needs to know, wherever it runs.
    fn settings(&self, host: &str, nats: String) -> Settings {
        let there = |url: String| url.replace("127.0.0.1", host);
        let mut settings = vec![
            ("NATS__URL", nats),
            ("POSTGRES__URL", there(self.postgres.owner_url())),
            ("POSTGRES__READER_URL", there(self.postgres.reader_url())),
            ("REDIS__URL", there(self.redis.url())),
            ("AUTH__TOKEN_SECRET", "a secret of the tests, of no use elsewhere".to_owned()),
            ("AUTH__PASSWORD_PEPPER", "a pepper of the tests".to_owned()),
            (
                "ANALYTICS__PSEUDONYM_SECRET",
                "a secret of the tests, of no use elsewhere".to_owned(),
            ),
            ("AUTH__ARGON2_MEMORY_KIB", "64".to_owned()),
            ("AUTH__ARGON2_PASSES", "1".to_owned()),
            ("PROJECTIONS__VERIFY_EVERY_S", "0".to_owned()),
        ];
        let users = ["GATEWAY", "PROJECTOR", "OPS", "ANALYTICS"];
        let names = users.map(|user| format!("NATS__{user}_PASSWORD"));
        let passwords = names.iter().zip(NATS_PASSWORDS);
        settings
            .extend(passwords.map(|(name, (_, password))| (name.as_str(), password.to_owned())));
        settings.into_iter().map(|(key, value)| (format!("HONGYAN__{key}"), value)).collect()
    }
}

/// Where `scripts/guest` put the kernel and the beginnings of the guest's file system.
fn prepared() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(".hongyan/guest")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().expect("a file is in a folder")).expect("folders can be made");
    fs::copy(from, to).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
}
