//! Deliveries are explained: why somebody got a message, or did not: `explain`.

use std::{io::BufRead as _, process::ExitCode, sync::Arc};

use anyhow::{Context as _, anyhow};
use clap::Args;
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Output, inspection, ops, text};
use crate::{
    adapters::{postgres, redis::Redis},
    boot, clock,
    config::Config,
    delivery_audit::{DeliveryAudit, RECIPIENTS},
    events::{MessageId, NodeId, UserId},
    executor::inspection::{Inspection, Moment},
    projections::user_directory,
};

/// So many lines of a batch are answered at the same time.
const AT_ONCE: usize = 8;

#[derive(Args)]
pub(super) struct ExplainCommand {
    /// The `id` of the message that clients get
    #[arg(required_unless_present_any = ["batch", "from"])]
    message: Option<Uuid>,
    /// One recipient, by id or username, instead of all
    #[arg(long, conflicts_with = "batch")]
    user: Option<String>,
    /// Instead of a message: would one of this user to --user be refused, and why?
    #[arg(long, value_name = "AUTHOR", requires = "user", conflicts_with_all = ["message", "batch"])]
    from: Option<String>,
    /// When: a position, or a time like 2026-11-29T12:00 (UTC, if it names no zone); now if left out
    #[arg(long, value_name = "POSITION|TIME", requires = "from")]
    at: Option<Moment>,
    /// So many recipients at most
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = limit)]
    limit: usize,
    /// Read lines `MESSAGE [USER]` and answer each by a line of JSON, in the same order
    #[arg(long, conflicts_with = "message")]
    batch: bool,
}

fn limit(text: &str) -> Result<usize, String> {
    let limit = text.parse().ok().filter(|limit| (1..=RECIPIENTS).contains(limit));
    limit.ok_or_else(|| format!("a limit is 1 to {RECIPIENTS}"))
}

pub(super) async fn run(
    command: ExplainCommand,
    config: &Config,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let ExplainCommand { message, user, from, at, limit, batch } = command;
    let audit = open(config).await?;
    if let (Some(from), Some(user)) = (&from, &user) {
        let (log, pool) = (audit.log.clone(), audit.pool.clone());
        let as_of = Inspection { log, pool }.position(at).await?;
        let from = inspection::user_named(&audit.pool, from).await?;
        let user = inspection::user_named(&audit.pool, user).await?;
        let shown = json!(audit.judge_send((from, user), as_of).await?);
        output.print(&shown, || text::fields(&shown));
        return Ok(ExitCode::SUCCESS);
    }
    if batch {
        return answer_lines(&audit, limit).await;
    }
    let message = message.context("a message or --batch")?;
    let shown = explained(&audit, message, user.as_deref(), limit).await?;
    output.print(&shown, || as_text(&shown));
    Ok(ExitCode::SUCCESS)
}

async fn open(config: &Config) -> anyhow::Result<DeliveryAudit> {
    let nats = ops::connect(config).await?;
    let log =
        boot::open_log(nats, config, NodeId(clock::random_id()), None, Arc::default()).await?;
    let pool = postgres::readers(config.reader_url(), 2)?;
    let redis = Redis::open(&config.redis.url)?;
    Ok(DeliveryAudit { log, pool, redis, durability: config.log.durability.to_string() })
}

async fn explained(
    audit: &DeliveryAudit,
    message: Uuid,
    user: Option<&str>,
    limit: usize,
) -> anyhow::Result<Value> {
    let user = match user {
        None => None,
        Some(user) => Some(inspection::user_named(&audit.pool, user).await?),
    };
    let explanation = audit.explain(MessageId(message), user, limit).await?;
    let users: Vec<UserId> = explanation.recipients.iter().map(|one| one.user).collect();
    let names = user_directory::roster_users(&audit.pool, &users).await?;
    let mut shown = json!(explanation);
    for recipient in shown["recipients"].as_array_mut().into_iter().flatten() {
        let known = names.iter().find(|known| recipient["user"] == known.id.0);
        recipient["username"] = known.map(|known| known.username.as_str()).into();
    }
    Ok(shown)
}

/// Answers line after line; what cannot be answered is an `error`.
async fn answer_lines(audit: &DeliveryAudit, limit: usize) -> anyhow::Result<ExitCode> {
    let lines = stream::iter(std::io::stdin().lock().lines());
    let mut answers = lines
        .map(async |line| {
            let line = line?;
            let mut words = line.split_ascii_whitespace();
            let (message, user) = (words.next().unwrap_or_default(), words.next());
            let answer = match message.parse() {
                Ok(id) => explained(audit, id, user, limit).await,
                Err(_) => Err(anyhow!("a message is named by its id, a UUID")),
            };
            anyhow::Ok(answer.unwrap_or_else(
                |error| json!({ "message": message, "user": user, "error": format!("{error:#}") }),
            ))
        })
        .buffered(AT_ONCE);
    while let Some(answer) = answers.next().await {
        text::print(&text::harmless(&answer?.to_string()));
    }
    Ok(ExitCode::SUCCESS)
}

fn as_text(shown: &Value) -> String {
    let accepted = &shown["accepted"];
    let mut lines = vec![format!("{:<20}{}", "message", plain(&shown["message"]))];
    let named = [
        ("accepted", format!("at {}, {}", accepted["position"], plain(&accepted["stored"]))),
        ("durability", plain(&accepted["durability"])),
        ("request", plain(&accepted["request"])),
        ("author", plain(&accepted["author"])),
        ("to", target(&accepted["to"])),
    ];
    lines.extend(named.into_iter().map(|(name, value)| format!("{name:<20}{value}")));
    if let Some(at) = accepted["revoked"].as_str() {
        lines.push(format!("{:<20}at {at}; who had not received it gets it first", "revoked"));
    }
    let recipients = shown["recipients"].as_array().into_iter().flatten();
    let recipients: Vec<&Value> = recipients.collect();
    let of = format!("{} of {}", recipients.len(), shown["entitled"]);
    lines.push(format!("{:<20}{of}", "recipients"));
    for recipient in recipients {
        lines.push(String::new());
        lines.extend(recipient_lines(recipient));
    }
    lines.join("\n")
}

fn recipient_lines(recipient: &Value) -> Vec<String> {
    let mut lines = vec![format!(
        "{:<20}{} {}",
        "user",
        recipient["user"],
        recipient["username"].as_str().unwrap_or_default()
    )];
    let mut line = |name: &str, value: String| lines.push(format!("  {name:<18}{value}"));
    match &recipient["place"] {
        Value::Null => {}
        Value::String(timeline) => line("place", timeline.clone()),
        queue if queue["queue"].is_null() => line("place", "queue".to_owned()),
        queue => line("place", format!("queue, number {}", queue["queue"])),
    }
    for connection in recipient["connections"].as_array().into_iter().flatten() {
        let until = match connection["to"].as_array().map(Vec::as_slice) {
            Some([position, why]) => format!("until {position}, {}", plain(why)),
            _ => "still there".to_owned(),
        };
        let (which, gateway) = (plain(&connection["connection"]), plain(&connection["gateway"]));
        line("connection", format!("{which} from {} {until}", connection["from"]));
        line("", format!("gateway {gateway}"));
    }
    let delivered = &recipient["delivered"];
    if delivered.is_object() {
        let (stored, gateway) = (plain(&delivered["stored"]), plain(&delivered["gateway"]));
        line("delivered", format!("by {stored}: reported at {}", delivered["position"]));
        line("", format!("by gateway {gateway}"));
        if let (Some(over), Some(by)) = (delivered["connection"].as_str(), delivered["by"].as_str())
        {
            line("", format!("over connection {over}, {by}"));
        }
    } else {
        line("not delivered", plain(&recipient["reason"]));
        line("", plain(&recipient["why"]));
    }
    lines
}

fn target(to: &Value) -> String {
    let named = to.as_object().and_then(|to| to.iter().next());
    named.map_or_else(String::new, |(kind, id)| format!("{kind} {id}"))
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
