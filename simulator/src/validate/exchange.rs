//! Tables of expert exchanges: DeepEP, TensorRT-LLM inside an NVL72 rack, collections of both.

use std::collections::BTreeMap;
use std::path::Path;

use orrery_profile::fit::{Prior, least_squares};

use super::table::{Table, field, number, parse, text};
use super::{Compared, Row, stem};

/// One measured exchange.
#[derive(Clone, Debug)]
struct Exchange {
    id: String,
    /// Library, device, mode and operation: what shares a law.
    family: String,
    /// The same without the device.
    kind: String,
    ranks: f64,
    per_node: f64,
    tokens: f64,
    hidden: f64,
    chosen: f64,
    experts: f64,
    /// Bytes of one value, scales included.
    width: f64,
    /// Execution units that move data; none where they were not said.
    units: Option<f64>,
    /// Rate of a device's links into its node, GB/s.
    links: f64,
    /// Whether the experts of a token lie on as many ranks as there are.
    balanced: bool,
    /// Whether a token is sent once per expert, not once per rank and node.
    direct: bool,
    /// Measured seconds, or the field that lacks them.
    seconds: Result<f64, String>,
}

/// Parameters of a family: floor (us), first step over the network (us), cost of a peer (us), of a node beyond the first
/// (share of the moving time), share of the links into the node, share of the NIC, and rate of one execution unit
/// (GB/s). Value and uncertainty: shares as DeepEP's tables have them on H100 and H800 (240 to 310 of 360 GB/s, 45
/// of 50), the rest assumptions with a wide spread.
const KNOWN: [(f64, f64); 7] = [
    (20.0, 1.0),
    (12.0, 0.7),
    (0.1, 0.7),
    (0.01, 0.3),
    (0.75, 0.3),
    (0.93, 0.15),
    (15.0, 0.7),
];
/// Line rate of the NIC beside each device, GB/s: 400 Gbit/s in every table that is read.
const NIC: f64 = 50.0;
/// Scatter of a row.
const SCATTER: f64 = 0.05;

impl Exchange {
    fn cell(&self) -> String {
        format!("{} EP{}", self.family, self.ranks)
    }

    /// Sets of `sets` that a token reaches: `sets (1 − P(none of k experts in one set))`, experts drawn uniformly.
    /// Worked: 8 of 256 experts over 2 sets: 1.99; over 8: 5.31.
    fn reached(&self, sets: f64) -> f64 {
        if self.balanced {
            return sets.min(self.chosen);
        }
        let outside = self.experts * (1.0 - 1.0 / sets);
        let missed = (0..32)
            .map(f64::from)
            .take_while(|&i| i < self.chosen)
            .fold(1.0, |chance, i| {
                chance * ((outside - i) / (self.experts - i)).max(0.0)
            });
        sets * (1.0 - missed)
    }

    /// Bytes that a device puts into its node's network, and on its NIC.
    fn bytes(&self) -> (f64, f64) {
        let token = self.tokens * self.hidden * self.width;
        let nodes = (self.ranks / self.per_node).max(1.0);
        let remote = (nodes - 1.0) / nodes;
        if self.direct {
            let copies = token * self.chosen;
            let near = (self.per_node - 1.0) / self.ranks;
            return (copies * near, copies * remote);
        }
        // In a balanced table the copy for the own rank is made by the same kernel, and shows in its time.
        let near = if self.balanced {
            1.0
        } else {
            (self.per_node - 1.0) / self.per_node
        };
        (
            token * self.reached(self.ranks) * near,
            token * self.reached(nodes) * remote,
        )
    }

    /// `t = floor + hop + peer · (EP − 1) + (1 + h (N − 1)) max(node / (s · links), network / (s' · NIC), all / (units · b))`;
    /// low-latency kernels have no handshake, `h = 0`.
    fn predicted(&self, law: &[f64]) -> f64 {
        let [floor, hop, peer, handshake, node, network, unit] =
            [0, 1, 2, 3, 4, 5, 6].map(|at| law[at].exp());
        let (near, far) = self.bytes();
        let nodes = (self.ranks / self.per_node).max(1.0);
        let lanes = self
            .units
            .map_or(0.0, |units| near.max(far) / (units * unit * 1e9));
        let moving = (near / (node * self.links * 1e9))
            .max(far / (network * NIC * 1e9))
            .max(lanes);
        let hop = if nodes > 1.0 { hop } else { 0.0 };
        let fixed = (peer.mul_add(self.ranks - 1.0, floor) + hop) * 1e-6;
        let handshake = if self.direct {
            0.0
        } else {
            handshake * (nodes - 1.0)
        };
        handshake.mul_add(moving, moving) + fixed
    }
}

/// The rows of a table of exchanges, each predicted by the law of its family with its own (family, EP) cell left out.
///
/// # Errors
/// When the table is of another kind; the message says which can be read.
pub(super) fn rows(file: &Path) -> Result<Vec<Row>, String> {
    let table = parse(&text(file)?)?;
    let name = stem(file);
    let all = read(&table, &name).ok_or_else(|| refusal(&table, file))?;
    Ok(compare(&all))
}

fn refusal(table: &Table, file: &Path) -> String {
    let path = file.display();
    if table.has(&["tp", "pp", "gbs"]) || table.has(&["args_json"]) {
        return format!(
            "training runs and memory cannot be compared yet; sweeps of nccl-tests and all-to-all tables can: {path}"
        );
    }
    format!(
        "no known table\n  = help: a sweep needs `size_bytes` and a time column, an exchange `tokens_per_gpu` or \
         `num_token` and a latency; `#` lines name `collective`, `gpu`, `nodes` and `ranks`: {path}"
    )
}

/// The exchanges in `table`; none when it has none.
fn read(table: &Table, name: &str) -> Option<Vec<Exchange>> {
    let make: fn(&BTreeMap<String, String>, &str) -> Vec<Exchange> =
        if table.has(&["library", "mode", "tokens_per_gpu"]) {
            collection
        } else if table.has(&["kernel", "ep_ranks"]) {
            deepep
        } else if table.has(&["node_num", "dispatch_avg_t_us"]) {
            |row, id| sides(row, id, "low_latency", ["dispatch_avg_t_us", "combine_avg_t_us"])
        } else if table.has(&["node_num", "dispatch_transmit_us"]) {
            |row, id| sides(row, id, "normal", ["dispatch_transmit_us", "combine_transmit_us"])
        } else if table.has(&["moe_ep_size", "latency_ms"]) {
            rack
        } else if table.has(&["mode", "num_token", "dispatch_us"]) {
            |row, id| sides(row, id, field(row, "mode"), ["dispatch_us", "combine_us"])
        } else {
            return None;
        };
    let numbered = table.rows.iter().enumerate();
    Some(
        numbered
            .flat_map(|(at, row)| make(row, &format!("{name}/{}", at + 1)))
            .collect(),
    )
}

/// Rate of the links of a device into its node, GB/s, as rings of NCCL use them; H100's where it is not known.
fn links(device: &str) -> f64 {
    super::machine::ring(device).unwrap_or(360.0)
}

/// Bytes of a value: FP8 with a scale of four bytes for 128, NVFP4 with one byte for 16.
fn width(dtype: &str) -> f64 {
    match dtype {
        "fp8" => 1.0 + 1.0 / 32.0,
        "nvfp4" => 0.5 + 1.0 / 16.0,
        _ => 2.0,
    }
}

fn collection(row: &BTreeMap<String, String>, id: &str) -> Vec<Exchange> {
    let (op, mode) = (field(row, "op"), field(row, "mode"));
    let needed = ["tokens_per_gpu", "hidden", "topk", "experts", "ep"];
    let lacking = needed.into_iter().find(|column| number(row, column).is_none());
    let value = |column: &str| number(row, column).unwrap_or(1.0);
    let library = field(row, "library");
    let rack = library.contains("NVLink");
    let dtype = if op.starts_with("combine") && library.contains("DeepEP") {
        "bf16"
    } else {
        field(row, "dtype")
    };
    let seconds = match lacking {
        Some(column) => Err(column.to_owned()),
        None => number(row, "time_us")
            .map(|us| us * 1e-6)
            .ok_or_else(|| "time_us".to_owned()),
    };
    vec![Exchange {
        id: format!("{id}:{}", field(row, "id")),
        family: format!(
            "{library} {} {mode} {op} {}",
            field(row, "gpu"),
            if rack { dtype } else { "" }
        ),
        kind: format!("{library} {mode} {op}"),
        ranks: value("ep"),
        per_node: if rack {
            value("ep")
        } else {
            value("gpus_per_node").min(value("ep"))
        },
        tokens: value("tokens_per_gpu"),
        hidden: value("hidden"),
        chosen: value("topk"),
        experts: value("experts"),
        width: width(dtype),
        units: number(row, "sms"),
        links: links(field(row, "gpu")),
        balanced: rack,
        direct: mode == "low_latency",
        seconds,
    }]
}

/// DeepEP's own tables: 7168 wide, 8 of 256 experts; tokens by kernel (its header). Bandwidths count the copies for
/// the own node or rank, so bytes over bandwidth is the time.
fn deepep(row: &BTreeMap<String, String>, id: &str) -> Vec<Exchange> {
    let kernel = field(row, "kernel");
    let direct = kernel == "low_latency";
    let ranks = number(row, "ep_ranks").unwrap_or(8.0);
    // The first release sent everything over RDMA; what is bound by NVLink alone lies in one domain (its header).
    let bottleneck = field(row, "bottleneck");
    let per_node = if direct && bottleneck == "RDMA" && field(row, "version") == "V1-first" {
        1.0
    } else if bottleneck.starts_with("NVLink") {
        ranks
    } else {
        ranks.min(8.0)
    };
    let tokens = match (direct, field(row, "version")) {
        (true, _) => 128.0,
        (false, "V2") => 8192.0,
        (false, _) => 4096.0,
    };
    [("dispatch", "fp8"), ("combine", "bf16")]
        .into_iter()
        .filter(|(op, _)| {
            !field(row, &format!("{op}_latency_us")).is_empty()
                || !field(row, &format!("{op}_bw_GBps")).is_empty()
        })
        .map(|(op, usual)| {
            let said = field(row, "dispatch_dtype");
            let dtype = if op == "dispatch" && !said.is_empty() {
                said
            } else {
                usual
            };
            let mut exchange = Exchange {
                id: format!("{id}:{op}"),
                family: format!(
                    "{} {} {kernel} {op} {dtype} {} {}",
                    field(row, "version"),
                    field(row, "gpu"),
                    field(row, "measure"),
                    field(row, "source")
                ),
                kind: format!("{} {kernel} {op} {dtype}", field(row, "version")),
                ranks,
                per_node,
                tokens,
                hidden: 7168.0,
                chosen: 8.0,
                experts: 256.0,
                width: width(dtype),
                units: number(row, "sm_count"),
                links: links(field(row, "gpu")),
                balanced: false,
                direct,
                seconds: Err("dispatch_latency_us".to_owned()),
            };
            let nodes = ranks / exchange.per_node;
            let sets = if nodes > 1.0 { nodes } else { ranks };
            let logical = exchange.tokens * exchange.hidden * exchange.width * exchange.reached(sets);
            let latency = number(row, &format!("{op}_latency_us")).map(|us| us * 1e-6);
            let derived = number(row, &format!("{op}_bw_GBps")).map(|rate| logical / (rate * 1e9));
            exchange.seconds = latency.or(derived).ok_or_else(|| format!("{op}_latency_us"));
            exchange
        })
        .collect()
}

/// Dispatch in FP8 and combine in BF16, a column each.
fn sides(row: &BTreeMap<String, String>, id: &str, mode: &str, columns: [&str; 2]) -> Vec<Exchange> {
    let value = |column: &str| number(row, column);
    let per_node = if field(row, "system").starts_with("gb") {
        4.0
    } else {
        8.0
    };
    let ranks = per_node * value("node_num").unwrap_or(1.0);
    [("dispatch", "fp8"), ("combine", "bf16")]
        .into_iter()
        .zip(columns)
        .map(|((op, dtype), column)| Exchange {
            id: format!("{id}:{op}"),
            family: format!("{} {} {mode} {op}", field(row, "system"), field(row, "version")),
            kind: format!("{} {mode} {op}", field(row, "version")),
            ranks,
            per_node,
            tokens: value("num_token").unwrap_or(1.0),
            hidden: value("hidden_size").unwrap_or(7168.0),
            chosen: value("num_topk").unwrap_or(8.0),
            experts: value("num_experts").unwrap_or(256.0),
            width: width(dtype),
            units: value(&format!("{op}_sms")),
            links: links(field(row, "system")),
            balanced: false,
            direct: mode == "low_latency",
            seconds: value(column).map(|us| us * 1e-6).ok_or_else(|| column.to_owned()),
        })
        .collect()
}

/// Kernels inside one NVL72 rack.
fn rack(row: &BTreeMap<String, String>, id: &str) -> Vec<Exchange> {
    let value = |column: &str| number(row, column).unwrap_or(1.0);
    let (op, dtype) = (field(row, "op_name"), field(row, "moe_dtype"));
    vec![Exchange {
        id: id.to_owned(),
        family: format!(
            "{} {} {op} {dtype} {}",
            field(row, "system"),
            field(row, "kernel_source"),
            field(row, "distribution")
        ),
        kind: format!("{} {op} {dtype}", field(row, "kernel_source")),
        ranks: value("moe_ep_size"),
        per_node: value("moe_ep_size"),
        tokens: value("num_tokens"),
        hidden: value("hidden_size"),
        chosen: value("topk"),
        experts: value("num_experts"),
        width: width(dtype),
        units: None,
        links: links(field(row, "system")),
        balanced: field(row, "distribution") == "balanced",
        direct: false,
        seconds: number(row, "latency_ms")
            .map(|ms| ms * 1e-3)
            .ok_or_else(|| "latency_ms".to_owned()),
    }]
}

fn compare(all: &[Exchange]) -> Vec<Row> {
    let mut cells: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (at, exchange) in all.iter().enumerate() {
        cells.entry(exchange.cell()).or_default().push(at);
    }
    let mut rows: Vec<Option<Row>> = vec![None; all.len()];
    for (cell, members) in &cells {
        let Exchange { family, kind, .. } = &all[members[0]];
        let outside = |other: &&Exchange| other.cell() != *cell && other.seconds.is_ok();
        let mut others: Vec<&Exchange> = all
            .iter()
            .filter(|other| &other.family == family)
            .filter(outside)
            .collect();
        if others.is_empty() {
            // Another device's shares of its own links.
            others = all
                .iter()
                .filter(|other| &other.kind == kind)
                .filter(outside)
                .collect();
        }
        let law = law(&others);
        for &at in members {
            rows[at] = Some(row(&all[at], cell, law.as_ref()));
        }
    }
    rows.into_iter().flatten().collect()
}

fn priors() -> Vec<Prior> {
    KNOWN
        .iter()
        .map(|&(value, spread)| Prior {
            centre: value.ln(),
            spread,
        })
        .collect()
}

/// The law of `rows` and the spread of its errors; none without rows.
fn law(rows: &[&Exchange]) -> Option<(Vec<f64>, f64)> {
    if rows.is_empty() {
        return None;
    }
    let errors = |law: &[f64]| -> Vec<f64> {
        let measured = rows
            .iter()
            .filter_map(|row| row.seconds.as_ref().ok().map(|seconds| (row, *seconds)));
        measured
            .map(|(row, seconds)| (row.predicted(law) / seconds).ln())
            .collect()
    };
    let found = least_squares(&priors(), |law| errors(law).iter().map(|e| e / SCATTER).collect());
    let mut sizes: Vec<f64> = errors(&found).iter().map(|e| e.abs()).collect();
    sizes.sort_by(f64::total_cmp);
    // Another cell is off by about twice what the cells of the fit are (assumption).
    let spread = (sizes[sizes.len() * 4 / 5] / 1.2816 * 2.0).max(0.05);
    Some((found, spread))
}

fn row(exchange: &Exchange, cell: &str, law: Option<&(Vec<f64>, f64)>) -> Row {
    let result = match (&exchange.seconds, law) {
        (Err(field), _) => Err(field.clone()),
        (Ok(_), None) => Err("a second EP of this kernel, to fit its law without this cell".to_owned()),
        (Ok(measured), Some((law, spread))) => {
            let predicted = exchange.predicted(law);
            let width = (1.2816 * spread).exp();
            Ok(Compared {
                measured: *measured,
                predicted,
                low: predicted / width,
                high: predicted * width,
                evidence: "extrapolated",
            })
        }
    };
    let mode = if exchange.direct { "low latency" } else { "normal" };
    Row {
        id: exchange.id.clone(),
        facts: vec![
            ("op", exchange.family.clone()),
            ("ranks", exchange.ranks.to_string()),
            ("tokens", exchange.tokens.to_string()),
        ],
        groups: vec![format!("cell {cell}"), format!("all exchanges {mode}")],
        result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reached_sets_worked() {
        let exchange = &sides(&BTreeMap::new(), "x", "normal", ["a", "b"])[0];
        assert!(
            (exchange.reached(2.0) - 1.993).abs() < 0.002,
            "{}",
            exchange.reached(2.0)
        );
        assert!(
            (exchange.reached(8.0) - 5.31).abs() < 0.05,
            "{}",
            exchange.reached(8.0)
        );
    }
}
