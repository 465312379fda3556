//! Kernels: which curve answers for which shape.

use orrery_operation::{Attention, Gemm, GroupedGemm, Mask, MemoryPass, Precision};
use orrery_profile::{AttentionLaw, KernelCurve, Law, MaskClass, OpClass, Points, Profile, Roof, TiledLaw};
use orrery_scenario::plan::Device;
use orrery_taskgraph::Demand;
use orrery_units::{Bytes, Evidence, Flops, SimDuration};

use super::{Labour, Single, defaults};

/// A law and what backs it.
#[derive(Clone, Debug)]
struct Backed<L> {
    law: L,
    /// Time between kernels that the law leaves out.
    gap: SimDuration,
    /// What was measured; none when the law is arithmetic.
    points: Option<Points>,
}

/// An attention core, fused or not.
#[derive(Clone, Copy, Debug)]
enum CoreLaw {
    Fused(AttentionLaw),
    Unfused(orrery_profile::UnfusedLaw),
}

/// The curves of attention in one direction: one per mask and head width.
#[derive(Clone, Debug)]
struct Cores {
    curves: Vec<(MaskClass, Precision, Backed<CoreLaw>)>,
    default: Vec<AttentionLaw>,
}

/// The curves of every kernel, found once.
#[derive(Clone, Debug)]
pub(super) struct Kernels {
    gemm: Vec<Backed<TiledLaw>>,
    grouped: Vec<Backed<TiledLaw>>,
    gemm_weight: Vec<Backed<TiledLaw>>,
    grouped_weight: Vec<Backed<TiledLaw>>,
    forward: Cores,
    backward: Cores,
    pass: Backed<orrery_profile::PassLaw>,
}

impl<L> Backed<L> {
    fn evidence(&self, shape: [u64; 3]) -> Evidence {
        self.points
            .as_ref()
            .map_or(Evidence::Analytic, |points| points.evidence(shape))
    }
}

/// A kernel of `flops` and `bytes` under `roof`.
fn kernel(
    roof: &Roof,
    gap: SimDuration,
    flops: Flops,
    bytes: Bytes,
    evidence: Evidence,
    (labour, launches): (Labour, u32),
) -> Single {
    let alone = roof.alone() + gap * u64::from(launches);
    Single {
        alone,
        demand: Demand {
            // Whatever bounds it, a kernel holds its units in whole waves; streams have the next one ready.
            units: 1.0,
            bandwidth: roof.bandwidth_share(),
        },
        flops,
        bytes,
        evidence,
        labour,
        is_aligned: true,
        launches,
    }
}

/// The curves of the first of `ops` that the profile has, by format.
fn tiled(profile: &Profile, device: &Device, ops: &[OpClass]) -> Vec<Backed<TiledLaw>> {
    let curve = |precision| ops.iter().find_map(|&op| profile.kernel(op, precision));
    let one = |precision| match curve(precision) {
        Some(KernelCurve {
            law: Law::Tiled(law),
            points,
            gap_picos,
            ..
        }) => Backed {
            law: *law,
            gap: *gap_picos,
            points: Some(points.clone()),
        },
        _ => Backed {
            law: defaults::tiled(device, precision),
            gap: SimDuration::ZERO,
            points: None,
        },
    };
    Precision::ALL.into_iter().map(one).collect()
}

impl Cores {
    fn new(profile: &Profile, device: &Device, op: OpClass) -> Self {
        let curves = profile.kernels_of(op).filter_map(|curve| {
            let law = match curve.law {
                Law::Attention(law) => CoreLaw::Fused(law),
                Law::Unfused(law) => CoreLaw::Unfused(law),
                Law::Tiled(_) | Law::Pass(_) => return None,
            };
            let (points, gap) = (Some(curve.points.clone()), curve.gap_picos);
            Some((curve.mask?, curve.precision?, Backed { law, gap, points }))
        });
        let backward = op == OpClass::AttentionBackward;
        Self {
            curves: curves.collect(),
            default: Precision::ALL
                .into_iter()
                .map(|precision| defaults::attention(device, precision, backward))
                .collect(),
        }
    }

    /// The curve for `shape`: same mask, formats of one width, nearest head width by ratio; of two with the
    /// same distance the first, which the profile puts first.
    fn find(&self, shape: &Attention) -> Option<&Backed<CoreLaw>> {
        let mask = match shape.mask {
            Mask::Full => MaskClass::Full,
            Mask::Causal | Mask::Sliding(_) => MaskClass::Causal,
        };
        let distance = |law: &CoreLaw| match law {
            CoreLaw::Fused(law) => {
                let (large, small) = (shape.qk_dim.max(law.qk_dim), shape.qk_dim.min(law.qk_dim).max(1));
                1_000 * large / small
            }
            CoreLaw::Unfused(_) => 1_000,
        };
        self.curves
            .iter()
            .filter(|(known, precision, _)| *known == mask && precision.bits() == shape.precision.bits())
            .min_by_key(|(_, _, backed)| distance(&backed.law))
            .map(|(_, _, backed)| backed)
    }

    fn kernel(&self, shape: &Attention, backward: bool) -> Single {
        let (flops, bytes) = if backward {
            (shape.backward_flops(), shape.backward_bytes())
        } else {
            (shape.forward_flops(), shape.forward_bytes())
        };
        let fused = |law: &AttentionLaw| {
            if backward {
                law.backward(shape)
            } else {
                law.forward(shape)
            }
        };
        let at = [shape.query_tokens, shape.key_tokens, shape.qk_dim];
        let (roof, gap, evidence) = match self.find(shape) {
            Some(backed) => {
                let roof = match &backed.law {
                    CoreLaw::Fused(law) => fused(law),
                    CoreLaw::Unfused(law) => law.core(shape, backward),
                };
                (roof, backed.gap, backed.evidence(at))
            }
            None => {
                let roof = fused(&self.default[shape.precision as usize]);
                (roof, SimDuration::ZERO, Evidence::Analytic)
            }
        };
        kernel(&roof, gap, flops, bytes, evidence, (Labour::Attention, 1))
    }
}

impl Kernels {
    pub(super) fn new(profile: &Profile, device: &Device) -> Self {
        let pass = match profile.kernels_of(OpClass::MemoryPass).next() {
            Some(KernelCurve {
                law: Law::Pass(law),
                points,
                gap_picos,
                ..
            }) => Backed {
                law: *law,
                gap: *gap_picos,
                points: Some(points.clone()),
            },
            _ => Backed {
                law: defaults::pass(device),
                gap: SimDuration::ZERO,
                points: None,
            },
        };
        Self {
            gemm: tiled(profile, device, &[OpClass::Gemm]),
            grouped: tiled(profile, device, &[OpClass::GroupedGemm]),
            gemm_weight: tiled(profile, device, &[OpClass::GemmWeight, OpClass::Gemm]),
            grouped_weight: tiled(profile, device, &[OpClass::GemmWeight, OpClass::GroupedGemm]),
            forward: Cores::new(profile, device, OpClass::AttentionForward),
            backward: Cores::new(profile, device, OpClass::AttentionBackward),
            pass,
        }
    }

    /// A product by the curve of its precision among `curves`.
    fn product(
        &self,
        curves: &[Backed<TiledLaw>],
        precision: Precision,
        at: [u64; 3],
        roof: impl Fn(&TiledLaw) -> Roof,
        (labour, flops, bytes): (Labour, Flops, Bytes),
    ) -> Single {
        let backed = &curves[precision as usize];
        let roof = roof(&backed.law);
        kernel(&roof, backed.gap, flops, bytes, backed.evidence(at), (labour, 1))
    }

    pub(super) fn gemm(&self, shape: &Gemm) -> Single {
        let at = [shape.m, shape.n, shape.k];
        let work = (Labour::Products, shape.flops(), shape.bytes());
        Single {
            is_aligned: shape.has_whole_vectors([shape.n, shape.k]),
            ..self.product(&self.gemm, shape.precision, at, |law| law.gemm(shape), work)
        }
    }

    pub(super) fn gemm_weight(&self, shape: &Gemm) -> Single {
        let (at, work) = (
            [shape.m, shape.n, shape.k],
            (Labour::Products, shape.flops(), shape.accumulating_bytes()),
        );
        let law = |law: &TiledLaw| law.gemm_weight(shape);
        Single {
            is_aligned: shape.has_whole_vectors([shape.m, shape.n]),
            ..self.product(&self.gemm_weight, shape.precision, at, law, work)
        }
    }

    pub(super) fn grouped(&self, shape: &GroupedGemm) -> Single {
        let at = [shape.rows, shape.n, shape.k];
        let work = (Labour::Experts, shape.flops(), shape.bytes());
        self.product(&self.grouped, shape.precision, at, |law| law.grouped(shape), work)
    }

    pub(super) fn grouped_weight(&self, shape: &GroupedGemm) -> Single {
        let (at, work) = (
            [shape.rows, shape.n, shape.k],
            (Labour::Experts, shape.flops(), shape.accumulating_bytes()),
        );
        self.product(
            &self.grouped_weight,
            shape.precision,
            at,
            |law| law.grouped_weight(shape),
            work,
        )
    }

    pub(super) fn grouped_tile(&self, precision: Precision) -> u64 {
        self.grouped[precision as usize].law.tile_rows
    }

    pub(super) fn attention_forward(&self, shape: &Attention) -> Single {
        self.forward.kernel(shape, false)
    }

    pub(super) fn attention_backward(&self, shape: &Attention) -> Single {
        self.backward.kernel(shape, true)
    }

    pub(super) fn pass(&self, shape: &MemoryPass) -> Single {
        let evidence = self.pass.evidence([shape.bytes().get(), 0, 0]);
        kernel(
            &self.pass.law.pass(shape),
            self.pass.gap,
            shape.flops(),
            shape.bytes(),
            evidence,
            (Labour::Passes, shape.kernels),
        )
    }
}
