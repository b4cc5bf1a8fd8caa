//! The results of a run, printed.

use std::{process::ExitCode, sync::atomic::Ordering};

use anyhow::ensure;
use serde_json::{Value, json};
use testkit::output::Output;

use super::{accounts::AccountCounts, format, processes::spent, run::RunResult, schedule::Pace};

/// Open loop with a rate, closed loop without.
pub(super) fn pace(rate: Option<f64>) -> anyhow::Result<Pace> {
    let Some(rate) = rate else { return Ok(Pace::Free) };
    ensure!(rate.is_finite() && rate > 0.0, "a rate is a number of calls in a second, above 0");
    Ok(Pace::PerSecond(rate))
}

/// For titles.
pub(super) fn pace_text(pace: Pace) -> String {
    match pace {
        Pace::Free => "closed loop".to_owned(),
        Pace::PerSecond(rate) => format!("open loop at {rate}/s"),
    }
}

/// Prints them; answers with whether the run is a failure.
pub(super) fn print(
    title: &str,
    result: &RunResult,
    accounts: AccountCounts,
    output: Output,
) -> ExitCode {
    let json = as_json(title, result, accounts);
    output.print(&json, || as_text(title, result, &json));
    if result.report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn as_json(title: &str, result: &RunResult, accounts: AccountCounts) -> Value {
    let RunResult { traffic, report, snapshots: [first, from, to, last], caught_up } = result;
    let time = to.at.saturating_sub(from.at);
    let (acknowledged, due) = (to.acknowledged - from.acknowledged, to.due - from.due);
    let arrived = to.arrived - from.arrived;
    let (measured, measured_cpu) = format::cpu(&spent(&from.servers, &to.servers));
    let (_, whole_cpu) = format::cpu(&spent(&first.servers, &last.servers));
    let own = to.own.saturating_sub(from.own);
    let clock = traffic.clock();
    json!({
        "title": title,
        "setting": traffic.server.describe(),
        "accounts": accounts,
        "users": traffic.scenario.users.len(),
        "online": traffic.scenario.online,
        "connections": traffic.scenario.connections.len(),
        "message_bytes": traffic.bytes,
        "warm_up_s": traffic.times.warm_up.as_secs_f64(),
        "good": report.is_good(),
        "messages": report,
        "measured": {
            "seconds": format::rounded(time.as_secs_f64(), 3),
            "acknowledged": acknowledged,
            "acknowledged_per_s": format::per_second(acknowledged, time),
            "arrived": arrived,
            "arrived_per_s": format::per_second(arrived, time),
            "under_way_before": from.due.saturating_sub(from.arrived),
            "under_way_after": to.due.saturating_sub(to.arrived),
            "answer_ms": format::quantiles(&clock.answers),
            "frame_ms": format::quantiles(&clock.frames),
            "begin_ms": format::quantiles(&clock.begins),
            "not_begun": traffic.schedule.not_begun().count(),
        },
        "server_cpu": {
            "by_name": measured,
            "seconds": measured_cpu.as_secs_f64(),
            "per_1000_sends": format::per_1000(measured_cpu, acknowledged),
            "per_1000_deliveries": format::per_1000(measured_cpu, due),
            "until_all_arrived_per_1000_sends": format::per_1000(whole_cpu, last.acknowledged),
            "read_models_caught_up": caught_up,
        },
        "generator_cpu": {
            "seconds": format::rounded(own.as_secs_f64(), 3),
            "per_1000_sends": format::per_1000(own, acknowledged),
        },
        "away_at_the_end": traffic.counts.away.load(Ordering::Relaxed),
        "sockets_dropped": traffic.counts.dropped.load(Ordering::Relaxed),
        "failures": traffic.failures(),
    })
}

fn as_text(title: &str, result: &RunResult, json: &Value) -> String {
    let RunResult { traffic, report, snapshots: [_, from, to, _], .. } = result;
    let (measured, cpu) = (&json["measured"], &json["server_cpu"]);
    let acknowledged = to.acknowledged - from.acknowledged;
    let title = format!(
        "{title}; messages of {} bytes; {} s measured after a warm-up of {} s",
        traffic.bytes, measured["seconds"], json["warm_up_s"],
    );
    let mut lines = format::about(&json["setting"]);
    let sent = format!(
        "{} in {} s: {}/s",
        format::grouped(acknowledged),
        measured["seconds"],
        measured["acknowledged_per_s"]
    );
    lines.push(("acknowledged", sent));
    lines.push(("answer", format::quantiles_text(&measured["answer_ms"])));
    if json["measured"]["begin_ms"]["p99"].as_f64() > Some(1.0) {
        let begun = format::quantiles_text(&measured["begin_ms"]);
        lines.push(("  until begun", format!("{begun} (contained in the answer)")));
    }
    if traffic.scenario.online > 0 {
        let way = format!(
            "{}; {}/s, {} under way at the end",
            format::quantiles_text(&measured["frame_ms"]),
            measured["arrived_per_s"],
            measured["under_way_after"]
        );
        lines.push(("frame", way));
    }
    let spent = spent(&from.servers, &to.servers);
    let shown = if spent.is_empty() {
        "no server process is on this machine".to_owned()
    } else {
        format!(
            "{} s per 1,000 sends, {} per 1,000 deliveries; with all that was left to do {} per 1,000 sends",
            cpu["per_1000_sends"],
            cpu["per_1000_deliveries"],
            cpu["until_all_arrived_per_1000_sends"],
        )
    };
    lines.push(("server CPU", shown));
    lines.push(("  per 1,000 sends", format::cpu_text(&spent, acknowledged)));
    let own = &json["generator_cpu"];
    let own = format!("{} s per 1,000 sends, on top of that", own["per_1000_sends"]);
    lines.push(("generator CPU", own));
    lines.push(("arrived", format::report_text(report)));
    lines.extend(caveats(result, json).into_iter().map(|text| ("note", text)));
    format::table(&title, &lines)
}

/// What makes the numbers say less than they seem to.
fn caveats(result: &RunResult, json: &Value) -> Vec<String> {
    let mut notes = Vec::new();
    let not_begun = &json["measured"]["not_begun"];
    if not_begun != 0 {
        notes.push(format!(
            "the rate was not kept: {not_begun} calls were due and not begun before the end; what they waited until \
             then is in the answers"
        ));
    }
    if result.caught_up == Some(false) {
        notes.push("some read models had not caught up when the waiting ended".to_owned());
    }
    let dropped = &json["sockets_dropped"];
    if dropped != 0 {
        notes.push(format!(
            "{dropped} sockets ended early and were opened again; {} messages came over the new ones once more, whose \
             order was not checked",
            result.report.repeated
        ));
    }
    let away = &json["away_at_the_end"];
    if away != 0 {
        notes.push(format!(
            "{away} users could not come back: what has not arrived may wait in their queues"
        ));
    }
    for (text, count) in result.traffic.failures() {
        let limited = text.starts_with("429");
        let hint = if limited { " (limits.requests_per_user, or _per_address)" } else { "" };
        notes.push(format!("{count} calls failed{hint}: {text}"));
    }
    notes
}
