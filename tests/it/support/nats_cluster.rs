//! Three nats-servers that replicate, each write synced: what `log.durability = replicated` is for.

use std::path::{Path, PathBuf};

use testkit::{ports::Port, servers};

use super::{
    nats::programs,
    process::{Process, until},
};

/// The cluster.
#[derive(Debug)]
pub struct NatsCluster {
    nodes: Vec<Node>,
    configuration: PathBuf,
}

#[derive(Debug)]
struct Node {
    process: Process,
    folder: PathBuf,
    clients: Port,
    routes: Port,
}

impl NatsCluster {
    /// Starts one in `folder`, with the repository's `nats.conf` and `sync_interval: always`.
    pub async fn start(folder: &Path) -> Self {
        std::fs::create_dir_all(folder).expect("the folder can be made");
        let single = Path::new(env!("CARGO_MANIFEST_DIR")).join("nats.conf");
        let single = std::fs::read_to_string(single).expect("nats.conf can be read");
        let always = single.replacen("jetstream {", "jetstream {\n  sync_interval: always", 1);
        assert_ne!(always, single);
        let configuration = folder.join("nats.conf");
        std::fs::write(&configuration, always).expect("it can be written");
        let ports: Vec<(Port, Port)> = (0..3)
            .map(|_| (Port::take().expect("a free port"), Port::take().expect("a free port")))
            .collect();
        let routes: Vec<String> = ports.iter().map(|(_, routes)| route(routes)).collect();
        let nodes = ports.into_iter().enumerate().map(|(number, (clients, own))| {
            let folder = folder.join(format!("nats-{number}"));
            let process = spawn(&configuration, &folder, &clients, &own, &routes);
            Node { process, folder, clients, routes: own }
        });
        let cluster = Self { nodes: nodes.collect(), configuration };
        for node in &cluster.nodes {
            node.listens().await;
        }
        cluster.has_a_leader().await;
        cluster
    }

    async fn has_a_leader(&self) {
        until("the servers have chosen a leader", async || {
            let options =
                async_nats::ConnectOptions::with_user_and_password("ops".into(), "opspw".into());
            let options = options.custom_inbox_prefix("_INBOX_ops");
            let client = options.connect(self.url().split(',').collect::<Vec<_>>()).await.ok()?;
            async_nats::jetstream::new(client).query_account().await.ok().map(drop)
        })
        .await;
    }

    /// The servers, separated by commas.
    pub fn url(&self) -> String {
        let urls =
            self.nodes.iter().map(|node| format!("nats://127.0.0.1:{}", node.clients.number()));
        urls.collect::<Vec<_>>().join(",")
    }

    /// Kills a server.
    pub fn kill9(&mut self, number: usize) {
        self.nodes[number].process.kill9();
    }

    /// Starts a killed one again.
    pub async fn start_again(&mut self, number: usize) {
        let routes: Vec<String> = self.nodes.iter().map(|node| route(&node.routes)).collect();
        let node = &mut self.nodes[number];
        node.process =
            spawn(&self.configuration, &node.folder, &node.clients, &node.routes, &routes);
        node.listens().await;
    }
}

impl Node {
    async fn listens(&self) {
        let address = ("127.0.0.1", self.clients.number());
        let answers = async || tokio::net::TcpStream::connect(address).await.is_ok().then_some(());
        until("nats-server listens", answers).await;
    }
}

fn route(port: &Port) -> String {
    format!("nats://127.0.0.1:{}", port.number())
}

fn spawn(
    configuration: &Path,
    folder: &Path,
    clients: &Port,
    routes: &Port,
    all: &[String],
) -> Process {
    let name = folder.file_name().expect("it has a name").to_string_lossy().into_owned();
    let recipe = servers::nats(&programs(), configuration, folder, clients.number());
    let mut command = recipe.command();
    command.args(["--name", &name, "--cluster_name", "hongyan", "--cluster", &route(routes)]);
    command.args(["--routes", &all.join(",")]);
    Process::spawn(&name, &mut command, &folder.with_extension("log"))
}
