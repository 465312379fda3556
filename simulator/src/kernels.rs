//! What the model's kernels are taken to do: rates of matrix products over the rows that they get, beside the roofs of the
//! device.

use orrery_operation::{Gemm, GroupedGemm, Precision};
use orrery_profile::OpClass;
use orrery_scenario::Plan;
use orrery_scenario::plan::{AttentionShape, MlpShape};
use orrery_units::{BytesPerSec, Evidence};
use orrery_workload::cost::{CostModel, Single};

/// Most rows that are looked at.
const MOST_ROWS: u32 = 15;

/// A kernel with some rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Rows: tokens of an expert, or of the whole product.
    pub rows: u64,
    /// FLOP/s that count.
    pub rate: f64,
    /// FLOPs for each byte of memory traffic.
    pub intensity: f64,
    /// Seconds of one launch.
    pub seconds: f64,
    /// What the time rests on.
    pub evidence: Evidence,
}

/// A kernel over its rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// Which product, in words.
    pub name: String,
    /// Its shape but for the rows.
    pub shape: String,
    /// Whose kernels were measured, or `formula`.
    pub source: String,
    /// How far the law is from what was measured, as a relative spread; none of a formula.
    pub spread: Option<f64>,
    /// Where the numbers come from.
    pub provenance: String,
    /// From one row on, doubling.
    pub points: Vec<Point>,
}

/// The kernels of a plan.
#[derive(Clone, Debug)]
pub struct Kernels {
    /// The device.
    pub device: String,
    /// Dense peaks of the formats that the plan uses, FLOP/s.
    pub peaks: Vec<(Precision, f64)>,
    /// Bandwidth of device memory.
    pub bandwidth: BytesPerSec,
    /// Rows that an expert gets on average in this plan; none of a dense model.
    pub rows_of_an_expert: Option<f64>,
    /// Rows of a product of a microbatch.
    pub rows_of_a_microbatch: u64,
    /// The products.
    pub curves: Vec<Curve>,
}

/// The matrix products of `plan` as they are priced.
#[must_use]
pub fn kernels(plan: &Plan) -> Kernels {
    let model = CostModel::new(plan);
    let mut curves = Vec::new();
    for layer in &plan.model.layers {
        match &layer.mlp {
            MlpShape::Dense { width, gated } => curves.extend(dense(plan, &model, *width, *gated)),
            experts @ MlpShape::Moe { .. } => curves.extend(grouped(plan, &model, experts)),
        }
    }
    for layer in &plan.model.layers {
        let inner = attended(&layer.attention) / u64::from(plan.layout.tp);
        let shape = (plan.model.hidden, inner);
        curves.push(product(plan, &model, "attention, output projection", shape));
    }
    // Layers of one shape have one curve.
    curves.sort_by(|a, b| (&a.name, &a.shape).cmp(&(&b.name, &b.shape)));
    curves.dedup_by(|a, b| a.name == b.name && a.shape == b.shape);
    let device = &plan.cluster.device;
    let formats = [plan.training.formats.gemm, plan.training.formats.activations];
    let used = device.peaks.iter().filter(|(format, _)| formats.contains(format));
    let peaks = used.map(|(format, peak)| (*format, peak.get()));
    Kernels {
        device: device.name.clone(),
        peaks: peaks.collect(),
        bandwidth: device.memory_bandwidth,
        rows_of_an_expert: rows_of_an_expert(plan),
        rows_of_a_microbatch: tokens(plan),
        curves,
    }
}

/// Width of what all heads give to the output projection: heads by the width of a value.
const fn attended(attention: &AttentionShape) -> u64 {
    match *attention {
        AttentionShape::Grouped { heads, head_dim, .. } => heads * head_dim,
        AttentionShape::Latent { heads, v_dim, .. } => heads * v_dim,
    }
}

/// Tokens of a microbatch on a context-parallel rank.
fn tokens(plan: &Plan) -> u64 {
    plan.training.micro_batch * plan.training.sequence_length / u64::from(plan.layout.cp)
}

/// Rows that an expert gets where all get the same: those of the ranks that share the experts.
///
/// Worked: 4,096 tokens of top-2 over TP 2 and EP 8 are 32,768 rows for 8 experts: 4,096.
fn rows_of_an_expert(plan: &Plan) -> Option<f64> {
    let layout = &plan.layout;
    let experts = plan.model.layers.iter().find_map(|layer| match layer.mlp {
        MlpShape::Moe { experts, top_k, .. } => Some((experts, top_k)),
        MlpShape::Dense { .. } => None,
    });
    let (experts, top_k) = experts?;
    let ranks = u64::from(layout.ep) * u64::from(layout.expert_tp);
    #[expect(clippy::cast_precision_loss, reason = "tokens of a microbatch")]
    let [rows, tp, experts] = [tokens(plan) * top_k * ranks, u64::from(layout.tp), experts].map(|n| n as f64);
    Some(rows / tp / experts)
}

/// Matrices of the first product of a block: gate and up, or up alone.
const fn first(gated: bool) -> u64 {
    if gated { 2 } else { 1 }
}

fn dense(plan: &Plan, model: &CostModel, width: u64, gated: bool) -> [Curve; 2] {
    let (width, hidden) = (width / u64::from(plan.layout.tp), plan.model.hidden);
    [
        product(plan, model, "MLP, first product", (first(gated) * width, hidden)),
        product(plan, model, "MLP, second product", (hidden, width)),
    ]
}

fn product(plan: &Plan, model: &CostModel, name: &str, (n, k): (u64, u64)) -> Curve {
    let formats = plan.training.formats;
    let (precision, output) = (formats.gemm, formats.activations);
    let of = |m| {
        model.gemm(&Gemm {
            m,
            n,
            k,
            precision,
            output,
        })
    };
    curve(plan, OpClass::Gemm, (name, format!("N {n}, K {k}")), of)
}

fn grouped(plan: &Plan, model: &CostModel, experts: &MlpShape) -> Vec<Curve> {
    let MlpShape::Moe {
        experts,
        width,
        gated,
        ..
    } = *experts
    else {
        return Vec::new();
    };
    let formats = plan.training.formats;
    let (precision, output) = (formats.gemm, formats.activations);
    let (layout, hidden) = (&plan.layout, plan.model.hidden);
    let groups = (experts / u64::from(layout.ep)).max(1);
    let width = width / u64::from(layout.expert_tp);
    let tile = model.grouped_tile(precision).max(1);
    let products = [
        ("experts, first product", first(gated) * width, hidden),
        ("experts, second product", hidden, width),
    ];
    let curve = |(name, n, k): (&str, u64, u64)| {
        let of = |rows: u64| {
            model.grouped_gemm(&GroupedGemm {
                rows: rows * groups,
                padded_rows: rows.next_multiple_of(tile) * groups,
                active_groups: groups,
                n,
                k,
                precision,
                output,
            })
        };
        let shape = format!("{groups} of {experts} experts, N {n}, K {k}");
        curve(plan, OpClass::GroupedGemm, (name, shape), of)
    };
    products.into_iter().map(curve).collect()
}

fn curve(plan: &Plan, op: OpClass, (name, shape): (&str, String), of: impl Fn(u64) -> Single) -> Curve {
    let points = (0..MOST_ROWS).map(|power| {
        let rows = 1_u64 << power;
        let single = of(rows);
        let seconds = single.alone.as_secs();
        Point {
            rows,
            rate: single.flops.get() / seconds,
            intensity: single.flops.get() / single.bytes.as_f64(),
            seconds,
            evidence: single.evidence,
        }
    });
    let known = plan.profile.kernel(op, plan.training.formats.gemm);
    Curve {
        name: name.to_owned(),
        shape,
        source: known.map_or_else(|| "formula".to_owned(), |curve| curve.kernel_source.clone()),
        spread: known.map(|curve| curve.fitted.spread),
        provenance: known.map_or_else(String::new, |curve| curve.provenance.measured_by.clone()),
        points: points.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{files, pipeline};

    /// DeepSeek-V3 has 128 heads with values of 128, and 7,168 hidden: the projection contracts 16,384. Its 4,096 tokens of
    /// top-8 over EP 64 are 2,097,152 rows for 256 experts.
    #[test]
    fn shapes_are_those_of_the_model() {
        let text = files::read_scenario(files::DEFAULT_SCENARIO).unwrap();
        let plan = pipeline::load(files::DEFAULT_SCENARIO, &text, &[]).unwrap();
        let found = kernels(&plan);
        let projections = found
            .curves
            .iter()
            .filter(|curve| curve.name.starts_with("attention"));
        let shapes: Vec<&str> = projections.map(|curve| curve.shape.as_str()).collect();
        assert_eq!(shapes, ["N 7168, K 16384"]);
        assert_eq!(found.rows_of_an_expert, Some(8192.0));
    }
}
