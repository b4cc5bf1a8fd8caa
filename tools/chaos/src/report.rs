//! What a run has shown, told.

use serde_json::json;

use super::{Options, checker::Verdict};
use testkit::output::Output;

pub(super) fn print(options: &Options, verdict: &Verdict, output: Output) {
    let told = json!({"seed": options.seed, "good": verdict.is_good(), "verdict": verdict});
    output.print(&told, || as_text(options, verdict));
}

fn as_text(options: &Options, verdict: &Verdict) -> String {
    let faults: u64 = verdict.faults.values().sum();
    let kinds = verdict.faults.iter().map(|(kind, count)| format!("{kind} {count}"));
    let mut lines = vec![
        format!("seed             {}", options.seed),
        format!("faults           {faults}: {}", kinds.collect::<Vec<_>>().join(", ")),
        format!(
            "sends            {} acknowledged, {} refused, {} without an answer",
            verdict.acknowledged, verdict.refused, verdict.unknown
        ),
        format!("other calls      {} acknowledged", verdict.other_calls),
        format!(
            "sockets          {}, of which {} were dropped, and the hosts of {} vanished",
            verdict.sockets, verdict.dropped, verdict.vanished
        ),
        format!(
            "frames           {} for {} that were due; {} came again next to a fault of their gateway or the log",
            verdict.arrived, verdict.due, verdict.repeated
        ),
    ];
    if verdict.violations.is_empty() {
        lines.push("violations       none".to_owned());
    }
    for (rule, count) in &verdict.violations {
        lines.push(format!("VIOLATED         {rule:?}: {count} times"));
    }
    lines.extend(verdict.shown.iter().map(|words| format!("  {words}")));
    lines.join("\n")
}
