//! The command line of the load generator. What it finds out about a deployment is tried in `tests/it/loadgen.rs`.

use std::process::Command;

#[test]
fn a_deployment_that_is_away_is_named() {
    let mut loadgen = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    // Nobody listens at a port that was just free.
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = port.local_addr().expect("it is bound");
    drop(port);
    loadgen.args(["send", "--senders", "2", "--admin", &format!("http://{address}")]);
    let done = loadgen.output().expect("it starts");
    let complaint = String::from_utf8_lossy(&done.stderr);
    assert!(!done.status.success());
    assert!(complaint.contains(&format!("the admin listener http://{address}")), "{complaint}");
}
