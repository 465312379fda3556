//! Every formula of FLOPs and bytes against a count: plain loops do each stage number by number and note what they touch.

use std::collections::BTreeSet;

use orrery_kernels::catalog::{Kernel, MoePass, Projection};
use orrery_operation::{MoeShape, MoeStage, Precision, SCALE_BLOCK};

/// What loops have touched, each byte once, and the multiply-adds they did.
#[derive(Default)]
struct Count {
    touched: BTreeSet<(&'static str, u64)>,
    bytes: u64,
    operations: u64,
}

impl Count {
    /// Touches number `at` of `tensor`, of `bits` bits.
    fn touch(&mut self, tensor: &'static str, at: u64, bits: u64) {
        if self.touched.insert((tensor, at)) {
            self.bytes += bits / 8;
        }
    }
}

/// A routing: the experts of every token; some are elsewhere.
struct Routing {
    chosen: Vec<Vec<u64>>,
    experts: u64,
    local: u64,
}

impl Routing {
    fn new(tokens: u64, experts: u64, local: u64, top_k: u64) -> Self {
        let choose = |token: u64| -> Vec<u64> {
            (0..top_k)
                .map(|choice| (token * token + choice * 3) % experts)
                .collect()
        };
        Self {
            chosen: (0..tokens).map(choose).collect(),
            experts,
            local,
        }
    }

    /// (token, local expert) of every row, by expert.
    fn rows(&self) -> Vec<(u64, u64)> {
        let mut rows = Vec::new();
        for expert in 0..self.local {
            for (token, chosen) in self.chosen.iter().enumerate() {
                rows.extend(
                    chosen
                        .iter()
                        .filter(|&&own| own == expert)
                        .map(|_| (token as u64, expert)),
                );
            }
        }
        rows
    }

    fn shape(&self, precision: Precision, hidden: u64, inner: u64) -> MoeShape {
        let rows = self.rows();
        let of_expert = |expert| rows.iter().filter(|row| row.1 == expert).count() as u64;
        let here: BTreeSet<u64> = rows.iter().map(|row| row.0).collect();
        MoeShape {
            tokens: self.chosen.len() as u64,
            tokens_here: here.len() as u64,
            top_k: self.chosen[0].len() as u64,
            hidden,
            inner,
            experts: self.experts,
            rows: (0..self.local).map(of_expert).collect(),
            precision,
            output: Precision::Bf16,
        }
    }
}

/// A product of rows, by hand: every multiply-add, every number of both operands and of the result, every scale.
fn product(count: &mut Count, rows: &[(u64, u64)], columns: u64, depth: u64, bits: u64, output: u64) {
    for (row, &(_, expert)) in rows.iter().enumerate() {
        let row = row as u64;
        for column in 0..columns {
            for i in 0..depth {
                count.operations += 2;
                count.touch("input", row * depth + i, bits);
                count.touch("weights", (expert * columns + column) * depth + i, bits);
                if bits == 8 {
                    let block = i / SCALE_BLOCK;
                    count.touch("input scales", (row << 32) | block, 32);
                    let of_weights = (expert << 48) | ((column / SCALE_BLOCK) << 24) | block;
                    count.touch("weight scales", of_weights, 32);
                }
            }
            count.touch("result", row * columns + column, output);
        }
    }
}

/// A row of `width` numbers of what products take.
fn operand_row(
    count: &mut Count,
    tensor: &'static str,
    scales: &'static str,
    row: u64,
    width: u64,
    bits: u64,
) {
    for i in 0..width {
        count.touch(tensor, row * width + i, bits);
        if bits == 8 {
            count.touch(scales, (row << 32) | (i / SCALE_BLOCK), 32);
        }
    }
}

fn stage(routing: &Routing, shape: &MoeShape, stage: MoeStage) -> Count {
    let mut count = Count::default();
    let (rows, bits) = (routing.rows(), shape.precision.bits());
    let (hidden, inner) = (shape.hidden, shape.inner);
    match stage {
        MoeStage::Router => {
            let tokens: Vec<(u64, u64)> = (0..shape.tokens).map(|token| (token, 0)).collect();
            product(&mut count, &tokens, shape.experts, hidden, 16, 32);
        }
        MoeStage::Gate => {
            for token in 0..shape.tokens {
                for expert in 0..shape.experts {
                    count.touch("logits", token * shape.experts + expert, 32);
                    count.touch("counts", expert, 32);
                }
                for choice in 0..shape.top_k {
                    count.touch("chosen", token * shape.top_k + choice, 32);
                    count.touch("weights", token * shape.top_k + choice, 32);
                }
            }
        }
        MoeStage::Permute => {
            for (row, &(token, _)) in rows.iter().enumerate() {
                count.touch("slots", row as u64, 32);
                operand_row(&mut count, "activations", "scales", token, hidden, bits);
                operand_row(&mut count, "rows", "row scales", row as u64, hidden, bits);
            }
        }
        MoeStage::GateAndUp => product(&mut count, &rows, 2 * inner, hidden, bits, 16),
        MoeStage::Activation => {
            for row in 0..rows.len() as u64 {
                (0..2 * inner).for_each(|i| count.touch("gate and up", row * 2 * inner + i, 16));
                operand_row(&mut count, "activated", "scales", row, inner, bits);
            }
        }
        MoeStage::Down => product(&mut count, &rows, hidden, inner, bits, 16),
        MoeStage::Combine => {
            for row in 0..rows.len() as u64 {
                (0..hidden).for_each(|i| count.touch("rows", row * hidden + i, 16));
            }
            for token in 0..shape.tokens {
                (0..shape.top_k).for_each(|choice| count.touch("weights", token * shape.top_k + choice, 32));
                (0..hidden).for_each(|i| count.touch("tokens", token * hidden + i, 16));
            }
        }
    }
    count
}

#[test]
fn every_stage_equals_its_count() {
    for (tokens, experts, local, top_k) in [(9, 6, 3, 2), (5, 4, 4, 3), (4, 8, 2, 1)] {
        let routing = Routing::new(tokens, experts, local, top_k);
        for precision in [Precision::Bf16, Precision::Fp8] {
            for (hidden, inner) in [(24, 10), (136, 129)] {
                let shape = routing.shape(precision, hidden, inner);
                for each in MoeStage::ALL {
                    let said = format!("{} in {precision}, {shape:?}", each.name());
                    let count = stage(&routing, &shape, each);
                    assert_eq!(shape.bytes(each).get(), count.bytes, "{said}");
                    let operations = if each.is_product() { count.operations } else { 0 };
                    assert!(
                        (shape.flops(each).get() - operations as f64).abs() < 0.5,
                        "{said}"
                    );
                }
            }
        }
    }
}

/// Padding to tiles, counted by going through every expert's rows a tile at a time.
#[test]
fn issued_operations_equal_their_count() {
    let routing = Routing::new(40, 5, 5, 2);
    let shape = routing.shape(Precision::Bf16, 16, 8);
    for tile in [1, 8, 64, 128] {
        let mut issued = 0;
        for &rows in &shape.rows {
            let mut left = rows;
            while left > 0 {
                issued += 2 * tile * 16 * 16;
                left = left.saturating_sub(tile);
            }
        }
        let said = shape.issued_flops(MoeStage::GateAndUp, tile).get();
        assert!(
            (said - f64::from(u32::try_from(issued).unwrap())).abs() < 0.5,
            "tile {tile}"
        );
    }
}

/// What kernels must touch equals what the stage must touch, where the kernel is the stage; a kernel that also reads
/// where rows went touches that besides.
#[test]
fn kernels_touch_what_their_stage_does() {
    let routing = Routing::new(9, 6, 6, 2);
    let pass = |shape: &MoeShape| MoePass {
        tokens: shape.tokens,
        hidden: shape.hidden,
        inner: shape.inner,
        top_k: shape.top_k,
        rows_per_expert: shape.rows.clone(),
    };
    let (plain, eight) = (Precision::Bf16, Precision::Fp8);
    let slots = 18;
    for (kernel, precision, stage, projection, besides) in [
        (Kernel::Router, plain, MoeStage::Router, Projection::Down, 0),
        (
            Kernel::GemmBf16,
            plain,
            MoeStage::GateAndUp,
            Projection::GateAndUp,
            0,
        ),
        (Kernel::HopperBf16, plain, MoeStage::Down, Projection::Down, 0),
        (
            Kernel::HopperFp8,
            eight,
            MoeStage::GateAndUp,
            Projection::GateAndUp,
            0,
        ),
        (Kernel::GemmFp8, eight, MoeStage::Down, Projection::Down, 0),
        (Kernel::Swiglu, plain, MoeStage::Activation, Projection::Down, 0),
        (
            Kernel::SwigluFp8,
            eight,
            MoeStage::Activation,
            Projection::Down,
            0,
        ),
        (
            Kernel::Combine,
            plain,
            MoeStage::Combine,
            Projection::Down,
            4 * slots,
        ),
    ] {
        let shape = routing.shape(precision, 136, 40);
        let work = kernel.work(&pass(&shape), projection).unwrap();
        assert_eq!(
            work.bytes.get(),
            shape.bytes(stage).get() + besides,
            "{}",
            kernel.name()
        );
        assert!(
            (work.flops.get() - shape.flops(stage).get()).abs() < 0.5,
            "{}",
            kernel.name()
        );
    }
}
