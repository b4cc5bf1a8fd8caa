//! `users show | disable | enable | set-password`.

use std::{io::Read as _, process::ExitCode};

use anyhow::{Context as _, bail};
use clap::Subcommand;
use serde_json::json;

use super::{Output, ops};
use crate::{
    adapters::{
        checkpoints::Checkpoints, passwords::Passwords, postgres, redis::Redis, vault::Vault,
    },
    app, clock,
    commands::{
        accounts::Accounts,
        authority::Authority,
        execute::Executor,
        session::Session,
        user::{Account, User, UserCommand},
    },
    config::{Config, Durability},
    events::{Cause, NodeId, UserId, Username},
    projections::{presence, user_directory},
};

#[derive(Subcommand)]
pub(super) enum Command {
    /// An account, by id or username
    Show { user: String },
    /// Shut an account: its tokens are refused, its sockets closed
    Disable { user: String },
    /// Open it again
    Enable { user: String },
    /// Give it a new password, read from standard input, and end its sessions
    SetPassword { user: String },
}

pub(super) async fn run(
    command: Command,
    config: &Config,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let accounts = accounts(config).await?;
    match command {
        Command::Show { user } => {
            let account = find(&accounts, &user).await?;
            show(&accounts, &account, output).await?;
        }
        Command::Disable { user } => change(&accounts, &user, UserCommand::Disable, output).await?,
        Command::Enable { user } => change(&accounts, &user, UserCommand::Enable, output).await?,
        Command::SetPassword { user } => {
            let account = find(&accounts, &user).await?;
            let password = read_password()?;
            accounts
                .set_password(&account, &password, &Cause::own("hongyan users set-password"))
                .await
                .context("the password was not changed")?;
            let done = json!({"id": account.id, "password": "changed"});
            output.tell(&done, || format!("user {} has a new password", account.id));
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn accounts(config: &Config) -> anyhow::Result<Accounts> {
    let nats = ops::connect(config).await?;
    let node = NodeId(clock::random_id());
    let log = app::open_durable_log(nats.clone(), config, node).await?;
    let (checkpoints, listen) = Checkpoints::start(nats.client.clone(), None).await?;
    app::background(listen);
    let pool = postgres::readers(config.reader_url(), 2)?;
    let redis = Redis::open(&config.redis.url)?;
    let auth = &config.auth;
    let replicated = config.log.durability == Durability::Replicated;
    Ok(Accounts {
        executor: Executor::new(
            log,
            checkpoints,
            (pool, redis),
            node,
            replicated,
            config.wait(),
            None,
        ),
        vault: Vault::open(&nats, replicated)
            .await
            .context("cannot open VAULT; run `hongyan migrate`")?,
        passwords: Passwords::new(
            auth.password_pepper.clone(),
            auth.argon2_memory_kib,
            auth.argon2_passes,
            1,
        )?,
        default_avatar: String::new(),
    })
}

async fn find(accounts: &Accounts, user: &str) -> anyhow::Result<Account> {
    let executor = &accounts.executor;
    let by_name = user_directory::named(&executor.pool, &Username(user.to_owned())).await;
    let id = match (user.parse(), by_name) {
        (Ok(id), _) => Some(UserId(id)),
        (_, Ok(found)) => found,
        (_, Err(error)) => return Err(error).context("PostgreSQL cannot be asked for the name"),
    };
    let state = match id {
        Some(id) => accounts.account(id).await?,
        None => None,
    };
    state.with_context(|| format!("there is no user `{user}`; give an id or a username"))
}

async fn show(accounts: &Accounts, account: &Account, output: Output) -> anyhow::Result<()> {
    let executor = &accounts.executor;
    let session = executor.state::<Session>(account.id).await?;
    let sockets = presence::connections(&executor.redis, account.id).await.ok();
    let shown = json!({
        "id": account.id,
        "uuid": account.uuid,
        "username": account.username,
        "nickname": account.nickname,
        "role": account.role,
        "status": account.status(),
        "registered": account.registered_at.iso_text(),
        "online": session.state.socket.is_some(),
        "node": session.state.socket.as_ref().map(|socket| socket.node),
        "sockets": sockets,
        "logged_in": session.state.user_token.is_some() || session.state.visitor_token.is_some(),
    });
    output.tell(&shown, || {
        let fields = shown.as_object().expect("made as one");
        let lines = fields.iter().map(|(name, value)| format!("{name:<12}{value}"));
        lines.collect::<Vec<_>>().join("\n")
    });
    Ok(())
}

async fn change(
    accounts: &Accounts,
    user: &str,
    command: UserCommand,
    output: Output,
) -> anyhow::Result<()> {
    let account = find(accounts, user).await?;
    let cause = Cause::own("hongyan users");
    let done = accounts
        .executor
        .execute_visibly::<User>(account.id, &command, Authority::of_operator(&cause))
        .await?;
    let status = accounts.account(account.id).await?.as_ref().map(Account::status);
    let text = if done.event.is_some() { "changed" } else { "was so already" };
    output.tell(&json!({"id": account.id, "status": status}), || {
        format!("user {} {text}, status {}", account.id, status.unwrap_or_default())
    });
    Ok(())
}

/// Never on the command line, where `ps` and the shell's history would show it.
fn read_password() -> anyhow::Result<String> {
    let mut text = String::new();
    std::io::stdin().take(1024).read_to_string(&mut text)?;
    let password = text.trim_end_matches(['\r', '\n']);
    if !(6..=20).contains(&password.chars().count()) {
        bail!(
            "a password has 6 to 20 characters; pipe it in: `printf %s … | hongyan users set-password …`"
        );
    }
    Ok(password.to_owned())
}
