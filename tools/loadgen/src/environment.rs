//! What this machine allows: open files, local ports, and what to change when it is too little.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
};

use anyhow::bail;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Sockets from one address to one other, well below the 28,232 that Linux allows by default.
const PER_ADDRESS: usize = 20_000;

/// Lets this process have so many files open.
///
/// # Errors
/// It may not; the message says what would help.
pub(super) fn raise_files(wanted: u64) -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    let maximum = limit.maximum.map(|maximum| maximum.max(wanted));
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum });
    if raised.is_err() {
        let most = limit.maximum.unwrap_or_default();
        bail!(
            "{wanted} open files are needed and this process may have {most}: raise the hard limit \
             (`ulimit -Hn`, LimitNOFILE= of a unit, /etc/security/limits.conf, --ulimit of a container), or run \
             several generators with fewer sockets each"
        );
    }
    Ok(())
}

/// The local address of a socket: 127.0.0.0/8 has many, elsewhere the system chooses.
pub(super) fn source(number: usize, to: IpAddr) -> Option<IpAddr> {
    let index = u32::try_from(number / PER_ADDRESS).unwrap_or_default();
    if index == 0 || !matches!(to, IpAddr::V4(to) if to.is_loopback()) {
        return None;
    }
    Some(Ipv4Addr::from_bits(Ipv4Addr::new(127, 1, 0, 0).to_bits() + index).into())
}

/// What stands in the way of so many sockets.
pub(super) fn obstacles(sockets: usize, to: IpAddr, server: Option<u32>) -> Vec<String> {
    let mut obstacles = Vec::new();
    if !matches!(to, IpAddr::V4(to) if to.is_loopback()) && sockets > ports() {
        obstacles.push(format!(
            "one address has {} local ports, for {sockets} sockets: widen net.ipv4.ip_local_port_range, give more \
             gateways with --url, or run generators on several machines",
            ports()
        ));
    }
    let limits = server.and_then(|pid| fs::read_to_string(format!("/proc/{pid}/limits")).ok());
    if let Some(most) = limits.as_deref().and_then(open_files)
        && most < sockets as u64 + 100
    {
        obstacles.push(format!(
            "the gateway may have {most} open files, too few for {sockets} sockets: raise its limit \
             (`ulimit -n`, LimitNOFILE=) and start it again"
        ));
    }
    obstacles
}

fn ports() -> usize {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut ends = text.split_whitespace().filter_map(|end| end.parse::<usize>().ok());
    match (ends.next(), ends.next()) {
        (Some(from), Some(to)) => (to + 1).saturating_sub(from),
        _ => 16_000,
    }
}

/// The soft limit in /proc/<pid>/limits.
fn open_files(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_sockets_come_from_many_addresses_of_the_loopback_network() {
        let loopback = IpAddr::from([127, 0, 0, 1]);
        assert_eq!(source(19_999, loopback), None);
        assert_eq!(source(20_000, loopback), Some(IpAddr::from([127, 1, 0, 1])));
        assert_eq!(source(59_999, loopback), Some(IpAddr::from([127, 1, 0, 2])));
        assert_eq!(source(59_999, IpAddr::from([10, 0, 0, 1])), None);
    }

    #[test]
    fn the_limit_of_a_server_is_read() {
        let text = "Limit                     Soft Limit           Hard Limit           Units\n\
                    Max open files            1024                 20000                files\n";
        assert_eq!(open_files(text), Some(1024));
        assert_eq!(open_files("Max open files            unlimited"), None);
    }

    #[test]
    fn files_that_nobody_may_have_are_told() {
        raise_files(3).expect("three are allowed everywhere");
        // Linux knows no more than this, not even for root.
        let error = raise_files(u64::from(u32::MAX)).expect_err("too many").to_string();
        assert!(error.contains("ulimit -Hn"), "{error}");
    }
}
