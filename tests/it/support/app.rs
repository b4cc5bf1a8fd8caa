//! The whole system of one test: servers, services, accounts.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::api::Api;
use super::process::{Process, until_moving};
use super::raw::Raw;
use super::servers::Servers;
use super::service::{Ran, Service, Settings, cli, cli_process, settings, tool};
use super::signed::signed_call;
use super::user::{PASSWORD, User};

/// A running system.
#[derive(Debug)]
pub struct App {
    /// The processes that clients talk to.
    pub gateways: Vec<Service>,
    /// The process that builds the read models, if it is not the only gateway.
    pub projector: Option<Service>,
    /// What they run on.
    pub servers: Servers,
    settings: Settings,
    names: AtomicU32,
}

impl App {
    /// One process that plays all roles.
    pub async fn start() -> Self {
        Self::configured(&[]).await
    }

    /// The same with settings of its own: `("LIMITS__BODY_BYTES", "1000")`.
    pub async fn configured(own: &[(&str, &str)]) -> Self {
        Self::on(Servers::start().await, own).await
    }

    /// The same on servers of its own, each of which may be killed.
    pub async fn apart() -> Self {
        Self::apart_configured(&[]).await
    }

    /// The same with settings of its own.
    pub async fn apart_configured(own: &[(&str, &str)]) -> Self {
        Self::on(Servers::apart().await, own).await
    }

    async fn on(servers: Servers, own: &[(&str, &str)]) -> Self {
        let settings = migrated(&servers, own).await;
        let service = Service::start("hongyan", "all", settings.clone(), servers.folder()).await;
        Self {
            gateways: vec![service],
            projector: None,
            servers,
            settings,
            names: AtomicU32::new(1),
        }
    }

    /// One projector and `count` gateways.
    pub async fn with_gateways(count: usize) -> Self {
        Self::with_gateways_configured(count, &[]).await
    }

    /// The same with settings of its own.
    pub async fn with_gateways_configured(count: usize, own: &[(&str, &str)]) -> Self {
        Self::gateways_on(Servers::start().await, count, own).await
    }

    /// The same on servers of its own, each of which may be killed.
    pub async fn with_gateways_apart(count: usize) -> Self {
        Self::gateways_on(Servers::apart().await, count, &[]).await
    }

    async fn gateways_on(servers: Servers, count: usize, own: &[(&str, &str)]) -> Self {
        let settings = migrated(&servers, own).await;
        let folder = servers.folder();
        let projector = Service::start("projector", "projector", settings.clone(), folder).await;
        let names: Vec<String> = (0..count).map(|number| format!("gateway-{number}")).collect();
        let gateways =
            names.iter().map(|name| Service::start(name, "gateway", settings.clone(), folder));
        let gateways = join_all(gateways).await;
        Self { gateways, projector: Some(projector), servers, settings, names: AtomicU32::new(1) }
    }

    /// A caller without a token, at the first gateway.
    pub fn api(&self) -> Api {
        self.api_of(0)
    }

    /// A caller without a token, at one of the gateways.
    pub fn api_of(&self, gateway: usize) -> Api {
        Api::new(self.gateways[gateway].origin())
    }

    /// A connection to the first gateway on which anything can be said.
    pub async fn raw(&self) -> Raw {
        Raw::connect(self.api().origin()).await
    }

    /// The first gateway's metrics.
    pub async fn metrics(&self) -> String {
        let url = format!("{}/metrics", self.gateways[0].admin_origin());
        let page = super::api::client().get(url).send().await.expect("the gateway answers");
        page.text().await.expect("a text")
    }

    /// What the first gateway's metrics say.
    pub async fn metric(&self, name: &str) -> u64 {
        let page = self.metrics().await;
        let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.expect("it is counted").parse().expect("a number")
    }

    /// A new account whose name begins with `name`, logged in.
    pub async fn register(&self, name: &str) -> User {
        let number = self.names.fetch_add(1, Ordering::Relaxed);
        let username = format!("{name}_{number:04}");
        let body = json!({ "username": username, "password": PASSWORD });
        let api = self.api();
        User::from_login(&api, api.post("/api/regChat", body).await.ok())
    }

    /// Several accounts.
    pub async fn users<const N: usize>(&self, names: [&str; N]) -> [User; N] {
        let users = join_all(names.map(|name| self.register(name))).await;
        users.try_into().expect("one account per name")
    }

    /// Several accounts that are friends of each other.
    pub async fn friends<const N: usize>(&self, names: [&str; N]) -> [User; N] {
        let users = self.users(names).await;
        for (index, user) in users.iter().enumerate() {
            for other in &users[index + 1..] {
                user.befriend(other).await;
            }
        }
        users
    }

    /// The guest of a device.
    pub async fn visitor(&self, device: &str) -> User {
        let api = self.api();
        User::from_login(
            &api,
            signed_call(&api, "/api/visitorRegister", device, json!({})).await.ok(),
        )
    }

    /// The number of a pending friend request, looked up where the service keeps it.
    pub async fn request(&self, from: &User, to: &User) -> u64 {
        let row = format!(
            "select id from live.friend_requests where asker = {} and asked = {}",
            from.id, to.id
        );
        let id = self.servers.postgres.number(row + " and status = 'pending'").await;
        u64::try_from(id).expect("numbers are positive")
    }

    /// One more gateway, which reaches the log at a port of its own.
    pub async fn another_gateway(&mut self, name: &str, nats: u16) {
        let mut settings = self.settings.clone();
        settings.push(("HONGYAN__NATS__URL".to_owned(), format!("nats://127.0.0.1:{nats}")));
        let folder = self.servers.folder();
        self.gateways.push(Service::start(name, "gateway", settings, folder).await);
    }

    /// One more process that builds the read models, if the one that does so goes.
    pub async fn another_projector(&self, name: &str) -> Service {
        let folder = self.servers.folder();
        Service::start(name, "projector", self.settings.clone(), folder).await
    }

    /// The same with settings of its own.
    pub async fn another_projector_with(&self, name: &str, own: &[(&str, &str)]) -> Service {
        let own = own.iter().map(|(key, value)| (format!("HONGYAN__{key}"), (*value).to_owned()));
        let settings = self.settings.iter().cloned().chain(own).collect();
        Service::start(name, "projector", settings, self.servers.folder()).await
    }

    /// Runs a program of `tools/`.
    pub async fn tool(&self, name: &str, arguments: &[&str]) -> Ran {
        tool(name, &self.settings, arguments).await
    }

    /// Runs the binary as a command line.
    pub async fn cli(&self, arguments: &[&str]) -> Ran {
        self.cli_told(arguments, "").await
    }

    /// The same with settings of its own.
    pub async fn cli_with(&self, own: &[(&str, &str)], arguments: &[&str]) -> Ran {
        let mut settings = self.settings.clone();
        settings
            .extend(own.iter().map(|(key, value)| (format!("HONGYAN__{key}"), (*value).into())));
        cli(&settings, arguments, "").await
    }

    /// The same with something on its standard input.
    pub async fn cli_told(&self, arguments: &[&str], input: &str) -> Ran {
        cli(&self.settings, arguments, input).await
    }

    /// An operator's page: `/positions`, `/health/ready`, …
    pub async fn admin(&self, path: &str) -> reqwest::Result<Value> {
        let request = super::api::client().get(format!("{}{path}", self.admin_origin()));
        request.send().await?.error_for_status()?.json().await
    }

    /// Begins an operator's command.
    pub fn begin_cli(&self, arguments: &[&str]) -> Process {
        cli_process(&self.settings, arguments, &self.servers.folder().join("command.log"))
    }

    /// Where the operators' pages are.
    pub fn admin_origin(&self) -> String {
        self.projector.as_ref().unwrap_or(&self.gateways[0]).admin_origin()
    }

    /// Whether an operator sees this user online.
    pub async fn online(&self, user: &User) -> bool {
        let shown = self.cli(&["users", "show", &user.id.to_string(), "--json"]).await.json();
        shown["online"].as_bool().unwrap_or_else(|| panic!("`online` of {shown}"))
    }

    /// Waits until every read model has taken in what the log holds now; more may come meanwhile.
    pub async fn settle(&self) {
        let mut end = None;
        let mut behind: BTreeSet<String> = BTreeSet::new();
        until_moving("the read models have caught up", async |moved| {
            let positions = self.admin("/positions").await.ok()?;
            let projections = positions["projections"].as_object()?;
            moved.at(projections.values().filter_map(|one| one["position"].as_u64()).sum());
            let end = *end.get_or_insert_with(|| {
                behind.extend(projections.keys().cloned());
                positions["log"]["last"].as_u64()
            });
            behind.retain(|name| {
                projections[name]["lag"] != 0 && projections[name]["position"].as_u64() < end
            });
            behind.is_empty().then_some(())
        })
        .await;
    }

    /// The generations of a read model, as operators see them.
    pub async fn generations(&self, projection: &str) -> Vec<Value> {
        let status = self.cli(&["projections", "status", "--json"]).await.json();
        let all = status.as_array().expect("a list");
        let listed = all.iter().find(|one| one["name"] == projection).expect("it is listed");
        listed["generations"].as_array().expect("a list").clone()
    }

    /// Insists that the read models are what the log says.
    pub async fn verify(&self) {
        self.settle().await;
        self.cli(&["projections", "verify", "--json"]).await.ok();
    }
}

/// Servers whose stores are laid out, and what a process needs to know of them.
async fn migrated(servers: &Servers, own: &[(&str, &str)]) -> Settings {
    let settings = settings(servers, own);
    cli(&settings, &["migrate"], "").await.ok();
    settings
}
