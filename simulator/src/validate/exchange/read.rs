//! The tables of exchanges, by their columns: which rows are which exchange, and what a row lacks.

use std::collections::BTreeMap;
use std::path::Path;

use orrery_workload::collective::nccl::Architecture;

use super::super::machine::Device;
use super::super::table::{Table, field, number};
use super::law::{Exchange, Kind};

type Cells = BTreeMap<String, String>;

/// One measured exchange, or the first field for want of which it is none.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    /// Table and row.
    pub(super) id: String,
    /// Library, device, mode and operation: what shares a law.
    pub(super) family: String,
    /// The same without the device.
    pub(super) kind: String,
    /// Architecture of the device, where that is known.
    pub(super) architecture: Option<Architecture>,
    /// The exchange and its seconds.
    pub(super) result: Result<(Exchange, f64), String>,
}

/// The exchanges in `table`; none when it has none.
pub(super) fn read(table: &Table, name: &str) -> Option<Vec<Measured>> {
    let make: fn(&Cells, &str) -> Vec<Measured> = if table.has(&["library", "mode", "tokens_per_gpu"]) {
        |row, id| vec![collection(row, id)]
    } else if table.has(&["kernel", "ep_ranks"]) {
        deepep
    } else if table.has(&["node_num", "dispatch_avg_t_us"]) {
        |row, id| sides(row, id, "low_latency", ["dispatch_avg_t_us", "combine_avg_t_us"])
    } else if table.has(&["node_num", "dispatch_transmit_us"]) {
        |row, id| sides(row, id, "normal", ["dispatch_transmit_us", "combine_transmit_us"])
    } else if table.has(&["moe_ep_size", "latency_ms"]) {
        |row, id| vec![rack(row, id)]
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

/// Why a file holds no exchanges.
pub(super) fn refusal(table: &Table, file: &Path) -> String {
    let path = file.display();
    if table.has(&["tp", "pp", "gbs"]) || table.has(&["args_json"]) {
        return format!(
            "memory cannot be compared yet; training steps, sweeps of nccl-tests and all-to-all tables can: {path}"
        );
    }
    format!(
        "no known table\n  = help: a sweep needs `size_bytes` and a time column, an exchange `tokens_per_gpu` or \
         `num_token` and a latency; `#` lines name `collective`, `gpu`, `nodes` and `ranks`: {path}"
    )
}

/// A number above zero in `column`, else the column's name.
fn positive(row: &Cells, column: &str) -> Result<f64, String> {
    let value = number(row, column).filter(|&value| value > 0.0);
    value.ok_or_else(|| column.to_owned())
}

/// The device that `column` names, else the column and what stands there.
fn device(row: &Cells, column: &str) -> Result<Device, String> {
    let name = field(row, column);
    Device::find(name).ok_or_else(|| format!("{column}: `{name}` is not in scenarios/hardware/families.csv"))
}

fn architecture(row: &Cells, column: &str) -> Option<Architecture> {
    Some(Device::find(field(row, column))?.architecture())
}

/// Bytes of a value: FP8 with a scale of four bytes for 128, NVFP4 with one byte for 16.
fn width(dtype: &str) -> Result<f64, String> {
    match dtype.to_ascii_lowercase().as_str() {
        "fp8" => Ok(1.0 + 1.0 / 32.0),
        "nvfp4" => Ok(0.5 + 1.0 / 16.0),
        "bf16" | "bfloat16" | "fp16" | "half" | "float16" => Ok(2.0),
        other => Err(format!("dtype: `{other}` has no known width")),
    }
}

fn collection(row: &Cells, id: &str) -> Measured {
    let (op, mode) = (field(row, "op"), field(row, "mode"));
    let library = field(row, "library");
    let rack = library.contains("NVLink");
    // DeepEP and TensorRT-LLM send back what experts computed, in BF16, whatever was dispatched; `low_precision` says
    // otherwise.
    let dtype = if op == "combine" {
        "bf16"
    } else {
        field(row, "dtype")
    };
    let exchange = || -> Result<(Exchange, f64), String> {
        let seconds = positive(row, "time_us")? * 1e-6;
        let ranks = positive(row, "ep")?;
        let tokens = positive(row, "tokens_per_gpu")?;
        let gpu = device(row, "gpu")?;
        let exchange = Exchange {
            ranks,
            per_node: if rack {
                ranks
            } else {
                positive(row, "gpus_per_node")?.min(ranks)
            },
            tokens,
            hidden: positive(row, "hidden")?,
            chosen: positive(row, "topk")?,
            experts: positive(row, "experts")?,
            groups: groups(mode, library.starts_with("DeepEP") && library != "DeepEP V2"),
            width: width(dtype)?,
            units: number(row, "sms"),
            links: gpu.ring(),
            nic: gpu.nic(),
            kind: kind(mode, op, rack),
        };
        Ok((exchange, seconds))
    };
    let of = if rack { field(row, "dtype") } else { "" };
    Measured {
        id: format!("{id}:{}", field(row, "id")),
        family: format!("{library} {} {mode} {op} {of}", field(row, "gpu")),
        kind: format!("{library} {mode} {op}"),
        architecture: architecture(row, "gpu"),
        result: exchange(),
    }
}

fn kind(mode: &str, op: &str, balanced: bool) -> Kind {
    if op.ends_with("prepare") {
        Kind::Prepare
    } else if mode == "low_latency" {
        Kind::LowLatency
    } else if balanced {
        Kind::Balanced
    } else {
        Kind::Normal
    }
}

/// Nodes that a token may go to: normal kernels of DeepEP's first version are measured with the four groups of DeepSeek-V3,
/// a group a node (header of tests/truth/deepep.csv). Tables of others made with its test say nothing of groups, but with
/// tokens to any of eight nodes their fastest rows would need 61 GB/s of a NIC of 50.
fn groups(mode: &str, first_version: bool) -> f64 {
    if first_version && mode == "normal" {
        4.0
    } else {
        f64::INFINITY
    }
}

/// DeepEP's own tables: tokens by kernel, 7168 wide, 8 experts a token of 256, or of 8 on each rank, as its header says.
/// Bandwidths count the copies for the own node or rank, so bytes over bandwidth is the time.
fn deepep(row: &Cells, id: &str) -> Vec<Measured> {
    let kernel = field(row, "kernel");
    let version = field(row, "version");
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
            let gpu = field(row, "gpu");
            Measured {
                id: format!("{id}:{op}"),
                family: format!(
                    "{version} {gpu} {kernel} {op} {dtype} {} {}",
                    field(row, "measure"),
                    field(row, "source")
                ),
                kind: format!("{version} {kernel} {op} {dtype}"),
                architecture: architecture(row, "gpu"),
                result: deepep_exchange(row, op, dtype),
            }
        })
        .collect()
}

fn deepep_exchange(row: &Cells, op: &str, dtype: &str) -> Result<(Exchange, f64), String> {
    let (kernel, version) = (field(row, "kernel"), field(row, "version"));
    let direct = kernel == "low_latency";
    let ranks = positive(row, "ep_ranks")?;
    let gpu = device(row, "gpu")?;
    // The first release sent everything over RDMA, and without NVLink every copy leaves the device by its NIC; what is
    // bound by NVLink alone lies in one domain (its header).
    let bottleneck = field(row, "bottleneck");
    let alone = (direct && bottleneck == "RDMA" && version == "V1-first") || bottleneck.starts_with("PCIe");
    let per_node = if alone {
        1.0
    } else if bottleneck.starts_with("NVLink") {
        ranks
    } else {
        ranks.min(8.0)
    };
    let exchange = Exchange {
        ranks,
        per_node,
        tokens: match (direct, version) {
            (true, _) => 128.0,
            (false, "V2") => 8192.0,
            (false, _) => 4096.0,
        },
        hidden: 7168.0,
        chosen: 8.0,
        experts: if version == "hybrid-ep" {
            8.0 * ranks
        } else {
            256.0
        },
        groups: groups(kernel, version.starts_with("V1")),
        width: width(dtype)?,
        units: number(row, "sm_count"),
        links: gpu.ring(),
        nic: gpu.nic(),
        kind: kind(kernel, op, false),
    };
    if let Ok(latency) = positive(row, &format!("{op}_latency_us")) {
        return Ok((exchange, latency * 1e-6));
    }
    let nodes = ranks / per_node;
    let sets = if nodes > 1.0 { nodes } else { ranks };
    let logical = exchange.token_bytes() * exchange.reached(sets);
    let rate = positive(row, &format!("{op}_bw_GBps"))?;
    Ok((exchange, logical / (rate * 1e9)))
}

/// Dispatch in FP8 and combine in BF16, a column each.
fn sides(row: &Cells, id: &str, mode: &str, columns: [&str; 2]) -> Vec<Measured> {
    let system = field(row, "system");
    let version = field(row, "version");
    [("dispatch", "fp8"), ("combine", "bf16")]
        .into_iter()
        .zip(columns)
        .map(|((op, dtype), column)| {
            let exchange = || -> Result<(Exchange, f64), String> {
                let gpu = device(row, "system")?;
                // Tables of one node leave its number out.
                let nodes = if row.contains_key("node_num") {
                    positive(row, "node_num")?
                } else {
                    1.0
                };
                let exchange = Exchange {
                    ranks: gpu.num_devices() * nodes,
                    per_node: gpu.num_devices(),
                    tokens: positive(row, "num_token")?,
                    hidden: positive(row, "hidden_size")?,
                    chosen: positive(row, "num_topk")?,
                    experts: positive(row, "num_experts")?,
                    groups: groups(mode, true),
                    width: width(dtype)?,
                    units: number(row, &format!("{op}_sms")),
                    links: gpu.ring(),
                    nic: gpu.nic(),
                    kind: kind(mode, op, false),
                };
                Ok((exchange, positive(row, column)? * 1e-6))
            };
            Measured {
                id: format!("{id}:{op}"),
                family: format!("{system} {version} {mode} {op}"),
                kind: format!("{version} {mode} {op}"),
                architecture: architecture(row, "system"),
                result: exchange(),
            }
        })
        .collect()
}

/// Kernels inside one NVL72 rack.
fn rack(row: &Cells, id: &str) -> Measured {
    let (op, dtype) = (field(row, "op_name"), field(row, "moe_dtype"));
    let (source, distribution) = (field(row, "kernel_source"), field(row, "distribution"));
    let exchange = || -> Result<(Exchange, f64), String> {
        let gpu = device(row, "system")?;
        let ranks = positive(row, "moe_ep_size")?;
        let exchange = Exchange {
            ranks,
            per_node: ranks,
            tokens: positive(row, "num_tokens")?,
            hidden: positive(row, "hidden_size")?,
            chosen: positive(row, "topk")?,
            experts: positive(row, "num_experts")?,
            groups: f64::INFINITY,
            width: width(if op.ends_with("combine") { "bf16" } else { dtype })?,
            units: None,
            links: gpu.ring(),
            nic: gpu.nic(),
            kind: kind("", op, distribution == "balanced"),
        };
        Ok((exchange, positive(row, "latency_ms")? * 1e-3))
    };
    Measured {
        id: id.to_owned(),
        family: format!("{} {source} {op} {dtype} {distribution}", field(row, "system")),
        kind: format!("{source} {op} {dtype}"),
        architecture: architecture(row, "system"),
        result: exchange(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::table::parse;
    use super::*;

    fn reasons(text: &str) -> Vec<String> {
        let table = parse(text).expect("it is a table");
        let all = read(&table, "x").expect("it is a table of exchanges");
        all.into_iter().filter_map(|row| row.result.err()).collect()
    }

    /// Nothing is filled in for what a row does not say.
    #[test]
    fn a_row_that_lacks_a_field_names_it() {
        let collection =
            "library,mode,op,gpu,ep,gpus_per_node,tokens_per_gpu,hidden,topk,experts,dtype,time_us\n";
        let row = |cells: &str| reasons(&format!("{collection}{cells}\n"));
        assert!(row("DeepEP,normal,dispatch,H100,8,8,4096,7168,8,256,fp8,500").is_empty());
        assert_eq!(
            row("DeepEP,normal,dispatch,H100,8,8,4096,,8,256,fp8,500"),
            ["hidden"]
        );
        assert_eq!(
            row("DeepEP,normal,dispatch,H100,8,,4096,7168,8,256,fp8,500"),
            ["gpus_per_node"]
        );
        assert!(row("DeepEP,normal,dispatch,TPU,8,8,4096,7168,8,256,fp8,500")[0].starts_with("gpu: `TPU`"));
        assert!(row("DeepEP,normal,dispatch,H100,8,8,4096,7168,8,256,,500")[0].starts_with("dtype"));
        assert_eq!(
            row("DeepEP,normal,dispatch,H100,8,8,4096,7168,8,256,fp8,"),
            ["time_us"]
        );
        let sides = "system,mode,hidden_size,num_token,num_topk,num_experts,dispatch_us,combine_us\n";
        assert_eq!(
            reasons(&format!("{sides}h100_sxm,normal,7168,128,8,,20,30\n")),
            ["num_experts"; 2]
        );
        let rack = "system,kernel_source,op_name,moe_dtype,num_tokens,hidden_size,topk,num_experts,moe_ep_size,distribution,latency_ms\n";
        assert_eq!(
            reasons(&format!(
                "{rack}gb200,NVLinkTwoSided,alltoall_dispatch,fp8,,7168,8,256,4,balanced,0.1\n"
            )),
            ["num_tokens"]
        );
        let deepep =
            "version,kernel,gpu,ep_ranks,measure,dispatch_dtype,dispatch_latency_us,source,bottleneck\n";
        assert_eq!(
            reasons(&format!("{deepep}V1,normal,H800,,kernel,fp8,100,main,RDMA\n")),
            ["ep_ranks"]
        );
    }
}
