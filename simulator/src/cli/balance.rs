//! `balance`: an expert placement, weights in and tables out.

use crate::exit::Exit;
use crate::files;
use clap::ValueEnum;
use orrery_balance::placement::{Algorithm, BalanceCase, Tables};
use serde_json::{Map, Value};

use super::{BalanceArgs, Console, Failure};

/// Keys of a case that are the question; what else stands in it, such as the answer, is not read.
const QUESTION: [&str; 5] = ["weights", "num_replicas", "num_groups", "num_nodes", "num_gpus"];

/// How experts are placed; scenarios' names of the balancers work too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Policy {
    /// Hierarchical when the groups divide evenly among the nodes, else global, as the reference chooses.
    Auto,
    /// Groups to nodes first, then replicas within each node.
    #[value(alias = "eplb-hierarchical")]
    Hierarchical,
    /// Replicas over all devices, whatever their group.
    #[value(alias = "eplb-global")]
    Global,
    /// vLLM's port of the reference, in double precision.
    #[value(alias = "eplb-vllm")]
    Vllm,
    /// EPLB, then no replica beside another of its expert, and slots exchanged while the busiest device gains.
    #[value(alias = "eplb-swap")]
    Swap,
    /// Heaviest expert first on the lightest device.
    Greedy,
    /// Experts in order.
    Contiguous,
    /// Experts dealt to devices in turn.
    RoundRobin,
    /// Experts dealt to devices at random.
    Random,
}

impl Policy {
    const fn algorithm(self) -> Algorithm {
        match self {
            Self::Auto | Self::Hierarchical => Algorithm::EplbHierarchical,
            Self::Global => Algorithm::EplbGlobal,
            Self::Vllm => Algorithm::EplbVllm,
            Self::Swap => Algorithm::EplbSwap,
            Self::Greedy => Algorithm::Greedy,
            Self::Contiguous => Algorithm::Contiguous,
            Self::RoundRobin => Algorithm::RoundRobin,
            Self::Random => Algorithm::Random,
        }
    }
}

/// Prints the placement of the case as one JSON object.
pub(crate) fn balance(args: &BalanceArgs, console: &mut Console<'_>) -> anyhow::Result<Exit> {
    let text = files::read(&args.case).map_err(Failure::missing)?;
    let fail = |fault: String| Failure::invalid(format!("{fault}: {}", args.case.display()));
    let value: Value = serde_json::from_str(&text).map_err(|fault| fail(format!("not JSON: {fault}")))?;
    let case = question(&value, args.name.as_deref()).map_err(fail)?;
    if args.policy == Policy::Hierarchical && (case.num_nodes == 0 || case.num_groups % case.num_nodes != 0) {
        return Err(fail(format!(
            "{} groups do not divide evenly among {} nodes\n  = help: `--policy global`",
            case.num_groups, case.num_nodes
        )));
    }
    let layers = case
        .place(args.policy.algorithm())
        .map_err(|fault| fail(fault.to_string()))?;
    let placement = Tables::of(&layers);
    writeln!(console.out, "{}", serde_json::to_string(&placement)?)?;
    Ok(Exit::Success)
}

/// The question of a case, or of the case `name` (the first by default) of a file of `cases`.
fn question(value: &Value, name: Option<&str>) -> Result<BalanceCase, String> {
    let case = match value.get("cases").and_then(Value::as_array) {
        Some(cases) => cases
            .iter()
            .find(|case| name.is_none_or(|name| case["name"] == name))
            .ok_or_else(|| format!("no case `{}`", name.unwrap_or_default()))?,
        None => value,
    };
    let question: Map<String, Value> = QUESTION
        .iter()
        .filter_map(|key| Some(((*key).to_owned(), case.get(key)?.clone())))
        .collect();
    serde_json::from_value(Value::Object(question)).map_err(|fault| format!("not a case: {fault}"))
}
