//! The format of results: numbers in JSON, lines for people.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::{checker::Report, processes::Sample};

/// Durations in microseconds, to three digits, up to five minutes.
pub(super) fn histogram() -> Histogram<u64> {
    Histogram::new_with_max(300_000_000, 3).expect("within what a histogram can hold")
}

pub(super) fn record(histogram: &mut Histogram<u64>, duration: Duration) {
    histogram.saturating_record(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
}

const QUANTILES: [(&str, f64); 5] =
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99_9", 0.999), ("max", 1.0)];

/// Milliseconds; `null` when nothing was measured.
pub(super) fn quantiles(histogram: &Histogram<u64>) -> Value {
    if histogram.is_empty() {
        return Value::Null;
    }
    let mut value = json!({"count": histogram.len(), "mean": ms(histogram.mean())});
    for (name, quantile) in QUANTILES {
        value[name] = ms(micros(histogram.value_at_quantile(quantile)));
    }
    value
}

#[expect(clippy::cast_precision_loss, reason = "far from 2^52 microseconds")]
fn micros(value: u64) -> f64 {
    value as f64
}

/// Of microseconds, to three digits behind the point.
fn ms(micros: f64) -> Value {
    json!(micros.round() / 1000.0)
}

/// `p50 1.2 ms   p90 …`.
pub(super) fn quantiles_text(quantiles: &Value) -> String {
    let texts = QUANTILES.map(|(name, _)| match quantiles[name].as_f64() {
        Some(ms) => format!("{} {ms:.1} ms", name.replace('_', ".")),
        None => String::new(),
    });
    if quantiles.is_null() { "nothing was measured".to_owned() } else { texts.join("   ") }
}

#[expect(clippy::cast_precision_loss, reason = "far from 2^52")]
fn number(count: u64) -> f64 {
    count as f64
}

/// To so many digits behind the point.
pub(super) fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}

/// So many in a second.
pub(super) fn per_second(count: u64, time: Duration) -> f64 {
    rounded(number(count) / time.as_secs_f64(), 1)
}

/// Seconds of CPU for each thousand; `null` for none.
pub(super) fn per_1000(cpu: Duration, count: u64) -> Value {
    if count == 0 {
        Value::Null
    } else {
        json!(rounded(cpu.as_secs_f64() * 1000.0 / number(count), 4))
    }
}

/// What the servers used, by name and together.
pub(super) fn cpu(spent: &Sample) -> (Value, Duration) {
    let total = spent.values().map(|usage| usage.cpu).sum::<Duration>();
    let by_name: serde_json::Map<String, Value> = spent
        .iter()
        .map(|(name, usage)| {
            let shown = json!({"processes": usage.processes, "seconds": usage.cpu.as_secs_f64()});
            (name.clone(), shown)
        })
        .collect();
    (Value::Object(by_name), total)
}

/// `hongyan 0.100 (1), postgres 0.020 (12)`: seconds per 1,000, and how many processes.
pub(super) fn cpu_text(spent: &Sample, count: u64) -> String {
    let shown = spent.iter().map(|(name, usage)| {
        let share = per_1000(usage.cpu, count).as_f64().unwrap_or_default();
        format!("{name} {share:.3} ({})", usage.processes)
    });
    shown.collect::<Vec<_>>().join(", ")
}

/// `12,345`.
pub(super) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// What the checker found, for people.
pub(super) fn report_text(report: &Report) -> String {
    let Report { due, arrived, lost, doubled, out_of_order, unexpected, .. } = report;
    if report.is_good() {
        let due = grouped(*due);
        return format!("{due} of {due}, each once and in order");
    }
    format!(
        "{} of {}: {lost} LOST, {doubled} DOUBLED, {out_of_order} OUT OF ORDER, {unexpected} UNEXPECTED",
        grouped(*arrived),
        grouped(*due)
    )
}

/// The server and the machine, for people.
pub(super) fn about(described: &Value) -> Vec<(&'static str, String)> {
    let text = |value: &Value| value.as_str().unwrap_or("unknown").to_owned();
    let server = &described["server"];
    let mut said = format!("durability {}", text(&server["durability"]));
    for (name, version) in server["versions"].as_object().into_iter().flatten() {
        said = format!("{said}, {name} {}", text(version));
    }
    if server["durability"].is_null() {
        "give --admin to be told".clone_into(&mut said);
    }
    let machine = &described["machine"];
    let cores = format!(
        "{} cores ({}), {}",
        machine["cores"],
        text(&machine["processor"]),
        text(&machine["system"])
    );
    vec![("server", said), ("machine", cores)]
}

/// A title and lines of a name and what there is to say.
pub(super) fn table(title: &str, lines: &[(&str, String)]) -> String {
    let lines = lines.iter().map(|(name, text)| format!("{name:<16} {text}"));
    std::iter::once(title.to_owned()).chain(lines).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::processes::Usage;

    #[test]
    fn quantiles_are_in_milliseconds() {
        let mut times = histogram();
        assert_eq!(quantiles(&times), Value::Null);
        for value in 1..=1000 {
            record(&mut times, Duration::from_micros(value * 100));
        }
        let shown = quantiles(&times);
        assert_eq!(shown["count"], 1000);
        for (name, expected) in
            [("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p99_9", 99.9), ("max", 100.0)]
        {
            let found = shown[name].as_f64().expect("a number");
            assert!((found / expected - 1.0).abs() < 0.002, "{name} is {found}");
        }
        assert!(quantiles_text(&shown).starts_with("p50 50.0 ms   p90 90"), "{shown}");
    }

    #[test]
    fn an_endless_wait_is_counted_as_the_longest() {
        let mut times = histogram();
        record(&mut times, Duration::MAX);
        assert!(quantiles(&times)["max"].as_f64().expect("a number") >= 300_000.0);
    }

    #[test]
    fn cpu_is_told_for_each_thousand() {
        let usage = |ms| Usage { processes: 2, cpu: Duration::from_millis(ms), memory: 0 };
        let spent: Sample = BTreeMap::from([("a".into(), usage(1500)), ("b".into(), usage(500))]);
        let (by_name, total) = cpu(&spent);
        assert_eq!(by_name["a"], json!({"processes": 2, "seconds": 1.5}));
        assert_eq!(per_1000(total, 4000), json!(0.5));
        assert_eq!(per_1000(total, 0), Value::Null);
        assert_eq!(cpu_text(&spent, 10_000), "a 0.150 (2), b 0.050 (2)");
        assert!((per_second(4000, Duration::from_secs(8)) - 500.0).abs() < f64::EPSILON);
    }

    #[test]
    fn what_is_broken_cannot_be_overlooked() {
        let good = Report { acknowledged: 1200, due: 1200, arrived: 1200, ..Report::default() };
        assert_eq!(report_text(&good), "1,200 of 1,200, each once and in order");
        let bad = Report { arrived: 1199, lost: 1, ..good };
        assert!(report_text(&bad).contains("1 LOST"), "{}", report_text(&bad));
    }

    #[test]
    fn digits_are_grouped() {
        let shown = [0, 12, 123, 1234, 1_234_567].map(grouped);
        assert_eq!(shown, ["0", "12", "123", "1,234", "1,234,567"]);
    }
}
