//! `fleet` asks many collectors, `query` a server that keeps what they said.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use orrery_telemetry::{QUERY_RANGE, RangeQuery, RangeSeries, UnixTime, read_range};
use orrery_units::{Dimension, parse_quantity};
use serde_json::json;

use super::{Exit, invalid};
use crate::board::wall_clock;
use crate::fleet::{Client, HostReport, HostState, poll, resolve, table};

/// What output looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Human,
    /// One object.
    Json,
    /// Rows with a head; times in seconds since 1970.
    Csv,
}

#[derive(Debug, Args)]
struct ClientArguments {
    /// How long an answer may take.
    #[arg(long, default_value = "2s", value_parser = parse_time)]
    timeout: Duration,
    /// The file of the token that is shown; nobody but its owner may read it.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Certificates to trust, in PEM, in place of those that browsers do.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct FleetArguments {
    /// Collectors: names with ranges (`gpu[001-064,070]:9477`), URLs, `@FILE` of such, `dns:NAME:PORT` for all its
    /// addresses.
    #[arg(required = true, value_name = "HOSTS")]
    hosts: Vec<String>,
    #[command(flatten)]
    client: ClientArguments,
    /// How many are asked at one time.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1024))]
    at_once: u16,
    /// Ask again and again, at this pace, until it is stopped; a dead collector shows when it was last heard.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    watch: Option<Duration>,
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
}

#[derive(Debug, Args)]
pub(super) struct QueryArguments {
    /// A server that speaks the API of Prometheus, such as `http://prometheus:9090`.
    #[arg(value_name = "URL")]
    server: String,
    /// What is asked, in PromQL, such as `avg by (node) (orrery_gpu_power_watts)`.
    #[arg(value_name = "PROMQL")]
    expression: String,
    /// How far back.
    #[arg(long, default_value = "1h", value_parser = parse_time)]
    range: Duration,
    /// Time between two points; without it a hundredth of the range.
    #[arg(long, value_parser = parse_time)]
    step: Option<Duration>,
    #[command(flatten)]
    client: ClientArguments,
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
}

fn parse_time(text: &str) -> Result<Duration, String> {
    let words = |fault: String| format!("{fault}\nuse a time such as `2s`");
    let quantity = parse_quantity(text, Dimension::Time).map_err(|fault| words(fault.to_string()))?;
    if (0.01..=1e9).contains(&quantity.value) {
        Ok(Duration::from_secs_f64(quantity.value))
    } else {
        Err(words("it is out of range".to_owned()))
    }
}

impl ClientArguments {
    /// The client, with a warning where a token would go in clear.
    fn client(&self, shows_in_clear: bool) -> Result<Client, crate::fleet::ClientError> {
        if self.token_file.is_some() && shows_in_clear {
            tracing::warn!("a token goes to a server in clear; name it as `https://HOST` if it speaks TLS");
        }
        Client::new(self.timeout, self.token_file.as_deref(), self.ca.as_deref())
    }
}

pub(super) fn fleet(arguments: &FleetArguments) -> anyhow::Result<Exit> {
    super::log_to_stderr();
    let addresses = match resolve(&arguments.hosts.join("\n")) {
        Ok(addresses) => addresses,
        Err(fault) => return invalid(&fault),
    };
    let shows_in_clear = addresses.iter().any(|address| {
        !address.is_secure && !matches!(address.host.as_str(), "localhost" | "127.0.0.1" | "::1")
    });
    let client = match arguments.client.client(shows_in_clear) {
        Ok(client) => client,
        Err(fault) => return invalid(&fault),
    };
    let mut heard: BTreeMap<String, Instant> = BTreeMap::new();
    loop {
        let start = Instant::now();
        let reports = poll(&client, &addresses, usize::from(arguments.at_once));
        let reports: Vec<HostReport> = reports
            .into_iter()
            .map(|report| {
                if report.state == HostState::Dead {
                    let since = heard.get(&report.host).map(Instant::elapsed);
                    report.last_heard(since)
                } else {
                    heard.insert(report.host.clone(), Instant::now());
                    report
                }
            })
            .collect();
        write_reports(&reports, arguments)?;
        let Some(pace) = arguments.watch else {
            return Ok(judge(&reports));
        };
        std::thread::sleep(pace.saturating_sub(start.elapsed()));
    }
}

/// 0 when all answer, 1 when some do, 3 when none does.
fn judge(reports: &[HostReport]) -> Exit {
    let num_dead = reports
        .iter()
        .filter(|report| report.state == HostState::Dead)
        .count();
    match num_dead {
        0 => Exit::Success,
        dead if dead == reports.len() => Exit::DataMissing,
        _ => Exit::SomeDead,
    }
}

fn write_reports(reports: &[HostReport], arguments: &FleetArguments) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match arguments.format {
        Format::Human => {
            if arguments.watch.is_some() && out.is_terminal() {
                // To the upper left, on an empty screen.
                write!(out, "\x1b[2J\x1b[H")?;
            }
            write!(out, "{}", table(reports))?;
        }
        Format::Json => writeln!(
            out,
            "{}",
            json!({ "schema": "fleet/1", "at": wall_clock(), "hosts": reports })
        )?,
        Format::Csv => {
            writeln!(
                out,
                "host,state,devices,lost,slowed,utilization,tensor_active,memory_used,power_watts,age_s"
            )?;
            for report in reports {
                let state = serde_json::to_value(report.state)?;
                let number = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
                writeln!(
                    out,
                    "{},{},{},{},{},{},{},{},{},{}",
                    report.host,
                    state.as_str().unwrap_or_default(),
                    report.num_devices,
                    report.num_lost,
                    report.num_throttled,
                    number(report.utilization),
                    number(report.tensor_active),
                    number(report.memory_used),
                    number(report.power_watts),
                    number(report.age_s),
                )?;
            }
        }
    }
    out.flush()
}

pub(super) fn query(arguments: &QueryArguments) -> anyhow::Result<Exit> {
    super::log_to_stderr();
    let client = match arguments.client.client(arguments.server.starts_with("http://")) {
        Ok(client) => client,
        Err(fault) => return invalid(&fault),
    };
    let end = wall_clock();
    let range = u64::try_from(arguments.range.as_millis()).unwrap_or(u64::MAX);
    let step = arguments.step.unwrap_or(arguments.range / 100).as_secs_f64();
    let question = RangeQuery {
        expression: arguments.expression.clone(),
        start: UnixTime::from_millis(end.as_millis().saturating_sub(range)),
        end,
        step_seconds: step.max(0.001),
    };
    let url = format!("{}{QUERY_RANGE}", arguments.server.trim_end_matches('/'));
    let answer = client.get(&url, &question.parameters());
    let series = answer.and_then(|text| read_range(&text).map_err(|fault| fault.to_string()));
    let series = match series {
        Ok(series) => series,
        Err(fault) => {
            writeln!(io::stderr(), "orrery-collector: `{}`: {fault}", arguments.server)?;
            return Ok(Exit::DataMissing);
        }
    };
    if series.is_empty() {
        writeln!(
            io::stderr(),
            "orrery-collector: the server has nothing for `{}` in that time",
            arguments.expression
        )?;
    }
    write_series(&series, arguments.format)?;
    Ok(Exit::Success)
}

fn write_series(series: &[RangeSeries], format: Format) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let name = |series: &RangeSeries| {
        let labels = series.labels.iter().filter(|(name, _)| *name != "__name__");
        let labels: Vec<String> = labels.map(|(name, value)| format!("{name}={value:?}")).collect();
        let metric = series.labels.get("__name__").map_or("", String::as_str);
        format!("{metric}{{{}}}", labels.join(","))
    };
    match format {
        Format::Json => writeln!(out, "{}", json!({ "schema": "query/1", "series": series }))?,
        Format::Csv => {
            writeln!(out, "series,time,value")?;
            for one in series {
                let quoted = name(one).replace('"', "\"\"");
                for (at, value) in &one.points {
                    writeln!(out, "\"{quoted}\",{at},{value}")?;
                }
            }
        }
        Format::Human => {
            let mut table = comfy_table::Table::new();
            table.load_preset(comfy_table::presets::NOTHING);
            table.set_header(["series", "points", "first", "least", "mean", "largest", "last"]);
            for one in series {
                table.add_row(digest(name(one), &one.points));
            }
            for line in table.lines() {
                writeln!(out, "{}", line.trim_end())?;
            }
        }
    }
    out.flush()
}

/// A series in one row.
fn digest(name: String, points: &[(f64, f64)]) -> [String; 7] {
    let values: Vec<f64> = points
        .iter()
        .map(|&(_, value)| value)
        .filter(|value| !value.is_nan())
        .collect();
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.6}"));
    #[expect(clippy::cast_precision_loss, reason = "a number of points")]
    let mean = (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64);
    [
        name,
        points.len().to_string(),
        number(values.first().copied()),
        number(values.iter().copied().reduce(f64::min)),
        number(mean),
        number(values.iter().copied().reduce(f64::max)),
        number(values.last().copied()),
    ]
}
