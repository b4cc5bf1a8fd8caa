//! The report of a run, printed.

use serde_json::json;
use testkit::output::Output;

use super::{Options, checker::Report};

pub(super) fn print(options: &Options, report: &Report, output: Output) {
    let json = json!({"seed": options.seed, "good": report.is_good(), "report": report});
    output.print(&json, || as_text(options, report));
}

fn as_text(options: &Options, report: &Report) -> String {
    let faults: u64 = report.faults.values().sum();
    let kinds = report.faults.iter().map(|(kind, count)| format!("{kind} {count}"));
    let mut lines = vec![
        format!("seed             {}", options.seed),
        format!("faults           {faults}: {}", kinds.collect::<Vec<_>>().join(", ")),
        format!(
            "sends            {} acknowledged, {} refused, {} without an answer",
            report.acknowledged, report.refused, report.unknown
        ),
        format!("other calls      {} acknowledged", report.other_calls),
        format!(
            "sockets          {}, of which {} were dropped, and the hosts of {} vanished",
            report.sockets, report.dropped, report.vanished
        ),
        format!(
            "frames           {} for {} that were due; {} came again next to a fault of their gateway or the log",
            report.arrived, report.due, report.repeated
        ),
    ];
    lines.push(format!(
        "explained        {} pairs of a message and a recipient, as clients saw them",
        report.explained
    ));
    if report.violations.is_empty() {
        lines.push("violations       none".to_owned());
    }
    for (rule, count) in &report.violations {
        lines.push(format!("VIOLATED         {rule:?}: {count} times"));
    }
    lines.extend(report.shown.iter().map(|words| format!("  {words}")));
    lines.join("\n")
}
