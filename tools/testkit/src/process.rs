//! Child processes: found in the PATH, ended with their parent, signalled together with their own children.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Child, Command},
};

use rustix::process::{Pid, Signal, kill_process};

/// Where the shell would find a program.
pub fn find_in_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// A command that the kernel kills when the thread that starts it dies, so that nothing survives us; as another account,
/// which only root may ask for. Spawn it on a thread that stays: those of a blocking pool come and go.
pub fn ends_with_parent(program: &Path, account: Option<&str>) -> Command {
    let Some(setpriv) = find_in_path("setpriv") else { return Command::new(program) };
    let mut command = Command::new(setpriv);
    if let Some(account) = account {
        command.args([&format!("--reuid={account}"), &format!("--regid={account}")]);
        command.arg("--clear-groups");
    }
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// Sends a signal to a process and its children.
pub fn signal_tree(child: &mut Child, signal: Signal) {
    if !matches!(child.try_wait(), Ok(None)) {
        return; // its number may belong to somebody else by now
    }
    let id = child.id();
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
    _ = kill_process(Pid::from_child(child), signal);
    let children = children.unwrap_or_default();
    for pid in children.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)) {
        _ = kill_process(pid, signal);
    }
}
