//! Many collectors asked at one time: each within a time limit, so many at once, and one that is dead is a line like
//! the others.

mod client;
mod report;
mod table;

use std::net::ToSocketAddrs as _;
use std::path::Path;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use orrery_telemetry::{HostAddress, HostSpec, HostsError, MOST_HOSTS, parse_hosts};
use thiserror::Error;

pub(crate) use self::client::{Client, ClientError};
pub(crate) use self::report::{HostReport, HostState};
pub(crate) use self::table::table;

/// Files that name files, how deep.
const DEEPEST: u32 = 8;

/// Why nobody can be asked.
#[derive(Debug, Error)]
pub(crate) enum FleetError {
    /// The list cannot be read.
    #[error(transparent)]
    Hosts(#[from] HostsError),
    /// A file of the list cannot be read.
    #[error("the list `{path}` cannot be read: {fault}\nname another after the `@`")]
    File {
        /// The file.
        path: String,
        /// What the system said.
        fault: String,
    },
    /// A name has no addresses.
    #[error("DNS has no address for `{name}`: {fault}\nname one that it knows, or the hosts themselves")]
    Dns {
        /// The name.
        name: String,
        /// What the system said.
        fault: String,
    },
}

/// The collectors that `list` names: files read, names of DNS looked up, each collector once.
pub(crate) fn resolve(list: &str) -> Result<Vec<HostAddress>, FleetError> {
    let mut addresses = Vec::new();
    collect(list, DEEPEST, &mut addresses)?;
    let mut seen = std::collections::BTreeSet::new();
    addresses.retain(|address| seen.insert(address.clone()));
    Ok(addresses)
}

fn collect(list: &str, depth: u32, addresses: &mut Vec<HostAddress>) -> Result<(), FleetError> {
    for host in parse_hosts(list)? {
        match host {
            HostSpec::Address(address) => addresses.push(address),
            HostSpec::File(path) => {
                let unread = |fault: String| FleetError::File {
                    path: path.clone(),
                    fault,
                };
                if depth == 0 {
                    return Err(unread("files name each other in a circle".to_owned()));
                }
                let text =
                    std::fs::read_to_string(Path::new(&path)).map_err(|fault| unread(fault.to_string()))?;
                collect(&text, depth - 1, addresses)?;
            }
            HostSpec::Dns { name, port } => {
                let unknown = |fault: String| FleetError::Dns {
                    name: name.clone(),
                    fault,
                };
                let found = (name.as_str(), port).to_socket_addrs();
                let found = found.map_err(|fault| unknown(fault.to_string()))?;
                addresses.extend(found.map(|address| HostAddress {
                    is_secure: false,
                    host: address.ip().to_string(),
                    port,
                }));
            }
        }
        if addresses.len() > MOST_HOSTS {
            return Err(HostsError::TooMany.into());
        }
    }
    Ok(())
}

/// What each of `addresses` says, in their order; `at_once` are asked at one time.
pub(crate) fn poll(client: &Client, addresses: &[HostAddress], at_once: usize) -> Vec<HostReport> {
    let next = AtomicUsize::new(0);
    let reports: Mutex<Vec<Option<HostReport>>> = Mutex::new(vec![None; addresses.len()]);
    std::thread::scope(|scope| {
        for _ in 0..at_once.clamp(1, addresses.len().max(1)) {
            scope.spawn(|| {
                while let Some((place, address)) = {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    addresses.get(place).map(|address| (place, address))
                } {
                    let report = ask(client, address);
                    reports.lock().unwrap_or_else(PoisonError::into_inner)[place] = Some(report);
                }
            });
        }
    });
    let reports = reports.into_inner().unwrap_or_else(PoisonError::into_inner);
    reports.into_iter().flatten().collect()
}

fn ask(client: &Client, address: &HostAddress) -> HostReport {
    let start = Instant::now();
    let answer = client.get(&address.url("/v1/now"), &[]);
    HostReport::new(address.to_string(), answer, start.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_names_become_hosts_each_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hosts");
        std::fs::write(&path, "# the rack\nn[1-2]\nn2, 127.0.0.1:9477\n").unwrap();
        let list = format!("n1,@{},dns:127.0.0.1:9477", path.display());
        let found: Vec<String> = resolve(&list).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(found, ["n1:9477", "n2:9477", "127.0.0.1:9477"]);
        std::fs::write(&path, format!("@{}", path.display())).unwrap();
        let circle = resolve(&format!("@{}", path.display())).unwrap_err().to_string();
        assert!(circle.contains("in a circle"), "{circle}");
        let missing = resolve("@/nonexistent/hosts").unwrap_err().to_string();
        assert!(missing.contains("name another"), "{missing}");
    }
}
