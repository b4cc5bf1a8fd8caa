//! Accounts are listed, shown, disabled, enabled and given passwords, and people get what is theirs, or have it erased:
//! `users show | list | disable | enable | set-password | export | erase | erasures`.

mod erase;
mod export;
mod traces;

use std::{io::Read as _, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context as _, bail};
use clap::Subcommand;
use serde_json::{Value, json};

use self::erase::EraseCommand;
use super::{
    Output,
    operator::{self, Acting, Paging},
    text,
};
use crate::{
    adapters::{
        nats::{
            credential_store::CredentialStore,
            secret_checks::{self, Secret},
        },
        passwords::Passwords,
    },
    commands::{
        session::Session,
        user::{Account, User, UserCommand},
    },
    config::Config,
    events::Cause,
    executor::{Executor, Wait, accounts::Accounts, authority::Authority},
    projections::{
        presence,
        user_directory::{self, ListedAccount},
    },
};

#[derive(Subcommand)]
pub(super) enum UsersCommand {
    /// An account, by id or username
    Show { user: String },
    /// Accounts, by id
    List {
        /// Only those whose username holds this
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
        /// Only those that are shut
        #[arg(long)]
        disabled: bool,
        #[command(flatten)]
        paging: Paging,
    },
    /// Shut an account: its tokens are refused, its sockets closed
    Disable {
        user: String,
        #[command(flatten)]
        acting: Acting,
    },
    /// Open it again
    Enable {
        user: String,
        #[command(flatten)]
        acting: Acting,
    },
    /// Write what is a person's, and what they said, into a folder: JSON and files
    Export {
        user: String,
        /// A folder that is not there yet
        #[arg(long, value_name = "FOLDER")]
        output: PathBuf,
        #[command(flatten)]
        acting: Acting,
    },
    /// Delete an account, and make what it says of its person unreadable everywhere, and what they wrote
    Erase(EraseCommand),
    /// List the accounts that were erased, to be kept beside backups
    Erasures,
    /// Give it a new password, read from standard input, and end its sessions
    SetPassword {
        user: String,
        #[command(flatten)]
        acting: Acting,
    },
}

pub(super) async fn run(
    command: UsersCommand,
    config: &Config,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let accounts = accounts(config).await?;
    let executor = &accounts.executor;
    match command {
        UsersCommand::Show { user } => {
            let account = operator::find(executor, &user).await?;
            show(executor, &account, output).await?;
        }
        UsersCommand::List { search, disabled, paging } => {
            let found =
                user_directory::listed(&executor.pool, search.as_deref(), disabled, paging.part());
            let rows = found.await?.iter().map(row).collect();
            let columns = ["id", "username", "nickname", "role", "status", "registered"];
            paging.print(output, rows, &columns);
        }
        UsersCommand::Disable { user, acting } => {
            let cause = acting.cause("users disable")?;
            change(executor, &user, UserCommand::Disable, &cause, output).await?;
        }
        UsersCommand::Enable { user, acting } => {
            let cause = acting.cause("users enable")?;
            change(executor, &user, UserCommand::Enable, &cause, output).await?;
        }
        UsersCommand::Export { user, output: folder, acting } => {
            let cause = acting.cause("users export")?;
            let account = operator::find(executor, &user).await?;
            export::run(executor, &account, &folder, (config, &cause), output).await?;
        }
        UsersCommand::Erase(command) => {
            return Box::pin(erase::run(command, &accounts, config, output)).await;
        }
        UsersCommand::Erasures => erase::list(&executor.log, output).await?,
        UsersCommand::SetPassword { user, acting } => {
            let cause = acting.cause("users set-password")?;
            let account = operator::find(executor, &user).await?;
            let password = read_password()?;
            let pepper = &config.auth.password_pepper;
            secret_checks::check(&accounts.credentials, Secret::Pepper, pepper).await?;
            let done = accounts.set_password(&account, &password, &cause).await;
            done.context("the password was not changed")?;
            let done = json!({"id": account.id, "password": "changed"});
            output.print(&done, || format!("user {} has a new password", account.id));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// With what keeps credentials.
async fn accounts(config: &Config) -> anyhow::Result<Accounts> {
    let (nats, executor) = operator::executor(config).await?;
    let (auth, keys) = (&config.auth, executor.log.keys.clone());
    Ok(Accounts {
        executor,
        credentials: CredentialStore::open(&nats, keys, config.log.is_replicated())
            .await
            .context("cannot open VAULT; run `hongyan migrate`")?,
        passwords: Passwords::new(
            auth.password_pepper.clone(),
            (auth.argon2_memory_kib, auth.argon2_passes),
            1,
            Duration::from_millis(auth.password_wait_ms),
        )?,
        default_avatar: String::new(),
    })
}

fn row(found: &ListedAccount) -> Value {
    json!({
        "id": found.id,
        "username": found.username,
        "nickname": found.nickname,
        "role": found.role,
        "status": i16::from(!found.disabled),
        "registered": found.registered_at.iso_text(),
    })
}

async fn show(executor: &Executor, account: &Account, output: Output) -> anyhow::Result<()> {
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
    output.print(&shown, || text::fields(&shown));
    Ok(())
}

async fn change(
    executor: &Executor,
    user: &str,
    command: UserCommand,
    cause: &Cause,
    output: Output,
) -> anyhow::Result<()> {
    let account = operator::find(executor, user).await?;
    let authority = Authority::of_operator(cause);
    let done = executor.execute::<User>(account.id, &command, authority, Wait::Everywhere).await?;
    let now = executor.state::<User>(account.id).await?.state;
    let status = now.account().map(Account::status);
    let text = if done.event.is_some() { "changed" } else { "was so already" };
    let told = json!({"id": account.id, "status": status, "position": done.position});
    output.print(&told, || {
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
