//! Whole runs: a private stack is broken while clients use it, and nothing that they were promised is.

use std::{path::Path, process::Stdio};

use serde_json::Value;

/// Runs it; answers with what it says, and whether it found all promises kept.
async fn faults(arguments: &[&str]) -> (bool, Value) {
    let program = Path::new(env!("CARGO_BIN_EXE_chaos"));
    let service = program.with_file_name("hongyan");
    assert!(service.is_file(), "{} is not built: cargo build --workspace", service.display());
    let mut command = tokio::process::Command::new(program);
    command.args(["--json", "--clients", "12", "--groups", "2", "--durability", "acked"]);
    command.args(arguments).env("HONGYAN_BIN", service).kill_on_drop(true);
    let output = command.stdin(Stdio::null()).output().await.expect("it starts");
    let said = String::from_utf8_lossy(&output.stdout);
    let said = serde_json::from_str(&said)
        .unwrap_or_else(|_| panic!("{said}{}", String::from_utf8_lossy(&output.stderr)));
    (output.status.success(), said)
}

/// One of each of these; the others take long to come back from, and are for longer runs. With this seed nothing is away
/// for long: it is to take less than a minute.
#[tokio::test]
async fn faults_break_no_promise() {
    const KINDS: &str =
        "kill-nats,kill-postgres,kill-redis,empty-redis,kill-gateway,cut-gateway,jump-clock";
    let run = ["--minutes", "0.05", "--faults", "7", "--rate", "60", "--seed", "1"];
    let arguments = [&run[..], &["--only", KINDS]].concat();
    let (good, said) = faults(&arguments).await;
    assert!(good, "{said:#}");
    let report = &said["report"];
    assert!(report["acknowledged"].as_u64() > Some(100), "{said:#}");
    assert_eq!(report["faults"]["empty-redis"], 1, "{said:#}");
    if cfg!(target_os = "linux") {
        assert_eq!(report["faults"]["jump-clock"], 1, "libfaketime is missing: {said:#}");
    }
}

/// Insists that a run in which this is done to clients is found to break a promise, and which one.
async fn is_detected(corruption: &str, rule: &str) {
    // So many that some of what is corrupted has a later one in its chat: a slow machine takes longer, and finds as much.
    let run = ["--minutes", "0", "--sends", "500", "--rate", "300", "--seed", "3"];
    let arguments = [&run[..], &["--corrupt", corruption]].concat();
    let (good, said) = faults(&arguments).await;
    let violations = &said["report"]["violations"];
    assert_eq!((good, violations[rule].as_u64() > Some(0)), (false, true), "{said:#}");
    // What is late may come after its revocation, or never, if nothing follows it over its socket.
    let allowed: &[&str] =
        if corruption == "delay" { &[rule, "revoked", "lost"] } else { &[rule, "revoked"] };
    let mut others = violations.as_object().expect("an object").keys();
    assert!(others.all(|other| allowed.contains(&other.as_str())), "{said:#}");
}

#[tokio::test]
async fn an_acknowledged_message_that_was_not_accepted_is_detected() {
    is_detected("swallow", "lost").await;
}

#[tokio::test]
async fn a_lost_frame_is_detected() {
    is_detected("lose", "lost").await;
}

#[tokio::test]
async fn a_frame_that_comes_twice_is_detected() {
    is_detected("double", "doubled").await;
}

#[tokio::test]
async fn a_late_frame_is_detected() {
    is_detected("delay", "out_of_order").await;
}
