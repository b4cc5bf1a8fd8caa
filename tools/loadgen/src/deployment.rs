//! Which processes of this machine are behind a port: who listens there, whom that process talks to, and who else
//! talks to the same. Several deployments may share a machine.

use std::{collections::BTreeSet, fs, path::PathBuf};

use super::processes;

const LISTENS: &str = "0A";
const ESTABLISHED: &str = "01";

/// A line of /proc/net/tcp.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Socket {
    local: u16,
    remote: u16,
    listens: bool,
    /// Is the other side on this machine?
    here: bool,
    /// What a process that holds it has among its open files.
    file: PathBuf,
}

/// The process that listens on a port of this machine.
pub(super) fn listener(port: u16) -> Option<u32> {
    listener_in(&sockets(), port)
}

/// The processes of the deployment whose gateways listen on these ports. Empty if they are not on this machine, or
/// belong to somebody whose open files we may not see.
pub(super) fn behind(ports: &[u16]) -> BTreeSet<u32> {
    let sockets = sockets();
    let gateways: Vec<u32> = ports.iter().filter_map(|port| listener_in(&sockets, *port)).collect();
    let backends: BTreeSet<u16> =
        gateways.iter().flat_map(|pid| talks_to(*pid, &sockets)).collect();
    let servers = backends.iter().filter_map(|port| listener_in(&sockets, *port));
    let servers: BTreeSet<u32> = servers.collect();
    if gateways.len() < ports.len() || servers.is_empty() {
        return BTreeSet::new();
    }
    let of_ours = |pid: &u32| talks_to(*pid, &sockets).any(|port| backends.contains(&port));
    let others = processes::all().into_values().filter(|process| process.name == "hongyan");
    let others = others.map(|process| process.pid).filter(of_ours);
    others.chain(gateways).chain(servers).collect()
}

fn sockets() -> Vec<Socket> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(fs::read_to_string);
    tables.iter().flatten().flat_map(|table| table.lines()).filter_map(Socket::read).collect()
}

fn listener_in(sockets: &[Socket], port: u16) -> Option<u32> {
    let there: Vec<&Socket> =
        sockets.iter().filter(|socket| socket.listens && socket.local == port).collect();
    if there.is_empty() {
        return None;
    }
    let holds = |pid: &u32| files(*pid).any(|file| there.iter().any(|socket| socket.file == file));
    processes::all().into_keys().find(holds)
}

/// The ports that a process has connections to.
fn talks_to(pid: u32, sockets: &[Socket]) -> impl Iterator<Item = u16> {
    let held: BTreeSet<PathBuf> = files(pid).collect();
    let connected = sockets.iter().filter(move |socket| socket.here && held.contains(&socket.file));
    connected.map(|socket| socket.remote)
}

/// What the open files of a process are.
fn files(pid: u32) -> impl Iterator<Item = PathBuf> {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    files.filter_map(|file| fs::read_link(file.path()).ok())
}

impl Socket {
    fn read(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let port = |text: &str| u16::from_str_radix(text, 16).ok();
        let [_, local, remote, state, ..] = fields[..] else { return None };
        let (own, local) = local.rsplit_once(':')?;
        let (other, remote) = remote.rsplit_once(':')?;
        if state != LISTENS && state != ESTABLISHED {
            return None;
        }
        Some(Self {
            local: port(local)?,
            remote: port(remote)?,
            listens: state == LISTENS,
            // Addresses are written with their last byte first.
            here: state == ESTABLISHED && (other == own || other.ends_with("7F")),
            file: format!("socket:[{}]", fields.get(9)?).into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_told_by_its_ports_and_its_inode() {
        let line = "   0: 0100007F:1B59 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4711 1";
        let socket = Socket::read(line).expect("it is one");
        assert_eq!((socket.local, socket.remote, socket.listens), (7001, 0, true));
        assert_eq!(socket.file, PathBuf::from("socket:[4711]"));
        let connected = line.replace(" 0A ", " 01 ").replace("00000000:0000 ", "0100007F:1CFE ");
        let socket = Socket::read(&connected).expect("it is one");
        assert_eq!((socket.remote, socket.listens, socket.here), (7422, false, true));
        let elsewhere = connected.replace("0100007F:1CFE", "0500000A:1CFE");
        assert_eq!(Socket::read(&elsewhere).map(|socket| socket.here), Some(false));
        assert_eq!(Socket::read(&line.replace(" 0A ", " 06 ")), None);
        assert_eq!(Socket::read("sl local_address rem_address st"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_listens_where_it_listens_and_talks_to_whom_it_talks() {
        let own = std::process::id();
        let listens = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listens.local_addr().expect("bound");
        assert_eq!(listener(address.port()), Some(own));
        assert!(behind(&[address.port()]).is_empty(), "it has no servers");
        let talks = std::net::TcpStream::connect(address).expect("connected");
        assert!(talks_to(own, &sockets()).any(|port| port == address.port()));
        assert_eq!(behind(&[address.port()]), [own].into());
        drop(talks);
    }
}
