//! The overlapped pair: a grouped product of experts beside an all-to-all, with demands from the cost model.

use orrery::scenario::Plan;
use orrery_engine::{Options, RunControl};
use orrery_operation::{Collective, CollectiveOp, GroupedGemm};
use orrery_taskgraph::{Demand, Resources, StaticDriver, Task, Work};
use orrery_units::{Bytes, KindId, SimDuration};
use orrery_workload::cost::{CostModel, Kernel, Transfer};
use orrery_workload::routing::Router;

use crate::support::{EXPERTS, near, plan};

/// Time until both are done, in seconds, of those that are given, on one device.
fn device(kernel: Option<&Kernel>, transfer: Option<&Transfer>) -> [f64; 2] {
    let mut resources = Resources::new();
    let program = resources.add_program("rank 0");
    let device = resources.add_device();
    let compute = resources.add_lane(program, device, "compute");
    let exchange = resources.add_lane(program, device, "exchange");
    let mut driver = StaticDriver::new(resources);
    let mut push = |lane, kind, work: Work| driver.push(Task::new(lane, KindId::new(kind), work));
    if let Some(kernel) = kernel {
        push(compute, 0, kernel.work());
    }
    if let Some(transfer) = transfer {
        push(exchange, 1, transfer.work(Resources::PRIVATE));
    }
    let outcome = orrery_engine::run(&mut driver, &Options::default(), &RunControl::default())
        .unwrap_or_else(|fault| panic!("{fault}"));
    [compute, exchange].map(|lane| outcome.totals.steps[0].lanes[lane].busy().as_secs())
}

/// The law by hand: both run at `1 / s`, `s = max(1, Σ units, Σ bandwidth)`, until the transfer ends (its
/// latency is not stretched); what is left of the product runs alone.
fn by_hand(kernel: &Kernel, transfer: &Transfer) -> [f64; 2] {
    let sum = |a: f32, b: f32| f64::from(a) + f64::from(b);
    let (a, b) = (kernel.demand, transfer.occupancy);
    let slow = sum(a.units, b.units).max(sum(a.bandwidth, b.bandwidth)).max(1.0);
    let moving = (transfer.bytes / transfer.bound).as_secs();
    let together = transfer.latency.as_secs() + moving * slow;
    let work = kernel.alone.as_secs();
    let compute = if work * slow <= together {
        work * slow
    } else {
        together + (work - together / slow)
    };
    [compute, together]
}

/// Experts of one device for its rows of a microbatch.
fn experts(plan: &Plan, model: &CostModel, rows: u64) -> Kernel {
    let experts = model.grouped_gemm(&GroupedGemm {
        rows,
        padded_rows: rows,
        active_groups: 4,
        n: 4096,
        k: 2048,
        precision: plan.training.formats.gemm,
        output: plan.training.formats.activations,
    });
    experts.into()
}

fn check(kernel: &Kernel, transfer: &Transfer) {
    let ([compute, _], [_, exchange]) = (device(Some(kernel), None), device(None, Some(transfer)));
    let both = device(Some(kernel), Some(transfer));
    let hand = by_hand(kernel, transfer);
    for (engine, hand) in both.into_iter().zip(hand) {
        // Demands are whole millionths in the engine.
        assert!(near(engine, hand, 3e-6), "engine {engine} s, by hand {hand} s");
    }
    let end = both[0].max(both[1]);
    assert!(
        both[0] > compute && both[1] > exchange,
        "slower than each alone: {both:?}"
    );
    assert!(
        end < compute + exchange,
        "faster than their sum: {end} of {compute} + {exchange} s"
    );
}

#[test]
fn a_grouped_product_beside_an_all_to_all_equals_the_law_by_hand() {
    let plan = plan(EXPERTS, &[]);
    let model = CostModel::new(&plan);
    let mut router = Router::new(&plan, plan.run.seed);
    let layout = &plan.layout;
    let ranks: Vec<u32> = (0..layout.ep).collect();
    let shape = layout.shape_of(&ranks);
    let load = router.load(0, 0, 0, 0);
    let rows = load.tokens_of_rank(0);
    let exchange = model.exchange(&load.dispatch_ports(0), shape);
    assert!(exchange.occupancy.units > 0.0, "an exchange occupies its device");
    check(&experts(&plan, &model, rows), &exchange);
}

/// The same beside a collective of NCCL, which takes bandwidth as well as units.
#[test]
fn a_grouped_product_beside_a_collective_equals_the_law_by_hand() {
    let plan = plan(EXPERTS, &[]);
    let model = CostModel::new(&plan);
    let shape = plan.layout.shape_of(&[0, 1, 2, 3, 4, 5, 6, 7]);
    let bytes = Bytes::new(64 << 20);
    let collective = Collective {
        op: CollectiveOp::AllToAll,
        ranks: 8,
        bytes,
    };
    check(
        &experts(&plan, &model, 16_384),
        &model.collective(collective, shape),
    );
}

/// A light kernel leaves room: neither is slowed.
#[test]
fn what_fits_beside_an_all_to_all_is_not_slowed() {
    let plan = plan(EXPERTS, &[]);
    let model = CostModel::new(&plan);
    let shape = plan.layout.shape_of(&[0, 1, 2, 3]);
    let collective = Collective {
        op: CollectiveOp::AllToAll,
        ranks: 4,
        bytes: Bytes::new(1 << 20),
    };
    let transfer = model.collective(collective, shape);
    let light = Kernel {
        alone: SimDuration::from_micros(50),
        demand: Demand {
            units: 0.1,
            bandwidth: 0.1,
        },
        ..Kernel::default()
    };
    let ([compute, _], [_, exchange]) = (device(Some(&light), None), device(None, Some(&transfer)));
    let both = device(Some(&light), Some(&transfer));
    assert_eq!(both.map(f64::to_bits), [compute, exchange].map(f64::to_bits));
}
