//! RDMA ports, each written to by its own node: data leaves through the port's adapter and comes back.
//!
//! `ib_write_bw` of the package perftest does it, as node health checks of cloud providers have it do: there is no other
//! program that operators know the figures of. It is a child for each end; whatever becomes of them, nobody is waited for
//! beyond the budget.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use orrery_telemetry::DeviceSample;

use super::bench::{NotMeasured, Rate};
use crate::conditions::in_use;

/// Seconds that data are written for, and at each end of those, which do not count.
const WRITTEN: (u32, u32) = (3, 1);
/// Bytes of a message: as large as what collectives send, and beyond what a port needs to be busy.
pub(crate) const MESSAGE: u32 = 1 << 20;
/// What both ends take beside the writing: opening the adapter, registering memory, meeting each other.
const MEETING: Duration = Duration::from_secs(2);
/// How long the side that answers has until it listens. The other tries again for as long.
const LISTENING: Duration = Duration::from_millis(500);
/// Between two looks at the children.
const LOOK: Duration = Duration::from_millis(20);
/// What is kept of what a child says.
const MOST_WORDS: u64 = 64 * 1024;

/// Measures the ports that lie beside devices.
#[derive(Clone, Debug)]
pub struct Loopback {
    sys: PathBuf,
    program: PathBuf,
}

/// A port that is up.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Port {
    adapter: String,
    number: u32,
    /// Its line rate in words, such as `400 Gb/sec (4X NDR)`.
    speed: String,
    /// Where its adapter sits among the buses.
    place: PathBuf,
}

impl Port {
    fn name(&self) -> String {
        let speed = self.speed.split(" (").next().unwrap_or_default();
        format!(
            "{}/{}, {}",
            self.adapter,
            self.number,
            speed.replace("Gb/sec", "Gbit/s")
        )
    }
}

/// A process that does not outlive whoever waits for it.
#[derive(Debug)]
struct End(Child);

impl Drop for End {
    fn drop(&mut self) {
        // It may be over already.
        let _killed = self.0.kill();
        let _ended = self.0.wait();
    }
}

impl Loopback {
    /// Of the ports below `sys` (`/sys`), by `program`: `ib_write_bw`, or where it is.
    #[must_use]
    pub const fn new(sys: PathBuf, program: PathBuf) -> Self {
        Self { sys, program }
    }

    /// The rate of the port beside each of `devices`, all ports at once; a port that serves several devices is measured
    /// once. Ports beside devices that somebody uses are left alone.
    pub(crate) fn measure(
        &self,
        devices: &[&DeviceSample],
        budget: Duration,
    ) -> Vec<Result<Rate, NotMeasured>> {
        let ports = self.ports();
        let beside = self.beside(devices, &ports);
        let chosen: Vec<Result<&Port, NotMeasured>> = devices
            .iter()
            .zip(beside)
            .map(|(device, port)| match in_use(device) {
                Some(user) => Err(NotMeasured::new(&user)),
                None => port.ok_or_else(|| NotMeasured::new("this node has no RDMA port that is up")),
            })
            .collect();
        let needed = Duration::from_secs(WRITTEN.0.into()) + MEETING;
        if budget < needed {
            let seconds = needed.as_secs();
            let reason = NotMeasured::new(&format!(
                "a port takes {seconds} s, which the budget does not hold; a larger `--budget` helps"
            ));
            return chosen
                .into_iter()
                .map(|port| port.and_then(|_| Err(reason.clone())))
                .collect();
        }
        let end = Instant::now() + budget;
        let rates: BTreeMap<&Port, Result<f64, NotMeasured>> = thread::scope(|scope| {
            let mut runs = BTreeMap::new();
            for &port in chosen.iter().flatten() {
                runs.entry(port)
                    .or_insert_with(|| scope.spawn(move || self.write(port, end)));
            }
            let rate = |run: thread::ScopedJoinHandle<'_, _>| run.join().expect("waiting does not panic");
            runs.into_iter().map(|(port, run)| (port, rate(run))).collect()
        });
        chosen
            .into_iter()
            .map(|port| {
                let port = port?;
                let value = rates[port].clone()?;
                Ok(Rate {
                    value,
                    through: Some(port.name()),
                })
            })
            .collect()
    }

    /// The ports that are up, in order.
    fn ports(&self) -> Vec<Port> {
        let folder = self.sys.join("class/infiniband");
        let text = |path: &Path| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let mut ports = Vec::new();
        for adapter in names(&folder) {
            let of_adapter = folder.join(&adapter);
            let place = fs::canonicalize(of_adapter.join("device")).unwrap_or_default();
            for number in names(&of_adapter.join("ports")) {
                let port = of_adapter.join("ports").join(&number);
                if let Ok(number) = number.parse()
                    && text(&port.join("state")).contains("ACTIVE")
                {
                    ports.push(Port {
                        adapter: adapter.clone(),
                        number,
                        speed: text(&port.join("rate")),
                        place: place.clone(),
                    });
                }
            }
        }
        ports.sort();
        ports
    }

    /// For each device the port that it shares most bridges with, and of several the one with the fewest devices so far.
    fn beside<'a>(&self, devices: &[&DeviceSample], ports: &'a [Port]) -> Vec<Option<&'a Port>> {
        let mut served: BTreeMap<&Port, usize> = BTreeMap::new();
        devices
            .iter()
            .map(|device| {
                let place = self.place(device);
                let nearest = ports.iter().min_by_key(|port| {
                    let bridges = port
                        .place
                        .iter()
                        .zip(place.iter())
                        .take_while(|(one, other)| one == other);
                    let bridges = bridges.count();
                    (
                        std::cmp::Reverse(bridges),
                        served.get(port).copied().unwrap_or(0),
                        *port,
                    )
                });
                if let Some(port) = nearest {
                    *served.entry(port).or_default() += 1;
                }
                nearest
            })
            .collect()
    }

    /// Where a device sits among the buses; nowhere, if it does not say.
    fn place(&self, device: &DeviceSample) -> PathBuf {
        // NVML has eight digits of the domain, the kernel four.
        let Some(address) = device.facts.pci_bus_id.value().map(|id| id.to_lowercase()) else {
            return PathBuf::new();
        };
        let short = address.strip_prefix("0000").unwrap_or(&address);
        let address = if address.len() == 16 { short } else { &address };
        fs::canonicalize(self.sys.join("bus/pci/devices").join(address)).unwrap_or_default()
    }

    /// What `port` takes from this node and gives back to it, in bytes per second.
    fn write(&self, port: &Port, end: Instant) -> Result<f64, NotMeasured> {
        let meeting =
            free_port().map_err(|fault| NotMeasured::new(&format!("no TCP port is free: {fault}")))?;
        let mut server = self.start(port, meeting, false)?;
        thread::sleep(LISTENING);
        let mut said = String::new();
        for _ in 0..2 {
            if let Some(code) = over(&mut server)? {
                return Err(self.failed(port, code, &words(&mut server)));
            }
            let mut client = self.start(port, meeting, true)?;
            let code = loop {
                if let Some(code) = over(&mut client)? {
                    break code;
                }
                if Instant::now() > end {
                    let name = self.program.display();
                    return Err(NotMeasured::new(&format!(
                        "`{name}` on {} was not done within the budget",
                        port.name()
                    )));
                }
                thread::sleep(LOOK);
            };
            said = words(&mut client);
            if code == Some(0) {
                return average(&said)
                    .map(|gigabits| gigabits * 1e9 / 8.0)
                    .ok_or_else(|| {
                        NotMeasured::new(&format!(
                            "`{}` printed no average that is known",
                            self.program.display()
                        ))
                    });
            }
            // Whoever answers may have been late.
            thread::sleep(LISTENING);
        }
        Err(self.failed(port, None, &said))
    }

    fn failed(&self, port: &Port, code: Option<i32>, said: &str) -> NotMeasured {
        let last = said.lines().map(str::trim).rfind(|line| !line.is_empty());
        let code = code.map(|code| format!(" (code {code})")).unwrap_or_default();
        NotMeasured::new(&format!(
            "`{}` on {} failed{code}: {}",
            self.program.display(),
            port.name(),
            last.unwrap_or("it said nothing")
        ))
    }

    fn start(&self, port: &Port, meeting: u16, is_client: bool) -> Result<End, NotMeasured> {
        let mut command = Command::new(&self.program);
        command
            .args(["-d", &port.adapter, "-i", &port.number.to_string()])
            .args(["-p", &meeting.to_string(), "-s", &MESSAGE.to_string()])
            .args(["-D", &WRITTEN.0.to_string(), "-f", &WRITTEN.1.to_string()])
            .args(["-F", "--report_gbits"]);
        if is_client {
            command.arg(Ipv4Addr::LOCALHOST.to_string());
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.spawn().map(End).map_err(|fault| {
            let name = self.program.display();
            NotMeasured::new(&match fault.kind() {
                io::ErrorKind::NotFound => {
                    format!(
                        "`{name}` is not there; install perftest, or name the program with `--ib-write-bw`"
                    )
                }
                _ => format!("`{name}` does not start: {fault}"),
            })
        })
    }
}

/// The entries of a folder, in order.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

/// A port of TCP that nobody listens on.
fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// The exit code of a process that is over: none if a signal ended it.
fn over(end: &mut End) -> Result<Option<Option<i32>>, NotMeasured> {
    let state = end.0.try_wait();
    let state = state.map_err(|fault| NotMeasured::new(&format!("it cannot be waited for: {fault}")))?;
    Ok(state.map(|state| state.code()))
}

/// What a process that is over said, on both ways.
fn words(end: &mut End) -> String {
    let mut text = String::new();
    let mut read = |from: &mut dyn io::Read| {
        let mut bytes = Vec::new();
        // What cannot be read was not said.
        let _read = from.take(MOST_WORDS).read_to_end(&mut bytes);
        text.push_str(&String::from_utf8_lossy(&bytes));
        text.push('\n');
    };
    if let Some(out) = &mut end.0.stdout {
        read(out);
    }
    if let Some(faults) = &mut end.0.stderr {
        read(faults);
    }
    text
}

/// The average of a report of `ib_write_bw`, in Gbit/s: the fourth number below the line that names the columns.
fn average(report: &str) -> Option<f64> {
    let mut lines = report
        .lines()
        .skip_while(|line| !line.contains("BW average[Gb/sec]"));
    let numbers = lines.nth(1)?;
    let average: f64 = numbers.split_whitespace().nth(3)?.parse().ok()?;
    (average > 0.0 && average.is_finite()).then_some(average)
}

#[cfg(test)]
mod tests;
