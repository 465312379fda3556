//! Buffers of communication libraries and of the framework: assumptions, each with its reason.

use orrery_scenario::plan::Dispatcher;
use orrery_scenario::plan::Plan;
use orrery_units::Bytes;

use crate::block::Shapes;

/// Bytes of buffer that one NCCL connection of one channel takes: Simple 4 MiB, LL128 120 · 640 · 8 · 8 bytes,
/// LL 8 · 512 · 8 · 16 bytes (NCCL; reference/network.md, section 1.5).
const NCCL_CONNECTION: u64 = (4 << 20) + 120 * 640 * 8 * 8 + 8 * 512 * 8 * 16;

/// Assumption, not measured: channels of a communicator, each with one ring connection. Trees and peer-to-peer
/// connections, which are opened on demand, are not counted.
const NCCL_CHANNELS: u64 = 16;

/// Assumption, not measured: tokens in each receive queue of DeepEP's normal kernels, inside a node and between
/// nodes.
const DEEP_EP_QUEUE: (u64, u64) = (288, 128);

/// Assumption, not measured: what the driver's context and the libraries (cuBLAS, NCCL, kernels) take of a device.
const CONTEXT: Bytes = Bytes::new(1 << 30);

/// Memory of the driver's context and the libraries: an assumption of 1 GiB.
#[must_use]
pub const fn framework_context() -> Bytes {
    CONTEXT
}

/// Buffers of NCCL: one set of ring connections per communicator that a rank is in.
///
/// Worked: 9.19 MiB per connection, 16 channels: 147 MiB per communicator.
#[must_use]
pub fn nccl_buffers(plan: &Plan) -> Bytes {
    let layout = &plan.layout;
    let groups = [
        layout.tp,
        layout.cp,
        layout.dp * layout.cp,
        layout.pp,
        layout.ep,
        if plan.model.has_experts() {
            layout.expert_dp()
        } else {
            1
        },
        layout.world(),
    ];
    let communicators = groups.into_iter().filter(|&ranks| ranks > 1).count() as u64;
    Bytes::new(communicators * NCCL_CHANNELS * NCCL_CONNECTION)
}

/// What the exchange of keys and values among context-parallel ranks holds, of the layer that holds most.
#[must_use]
pub fn context_buffers(plan: &Plan) -> Bytes {
    if plan.layout.cp == 1 {
        return Bytes::ZERO;
    }
    let shapes = Shapes::new(plan);
    let layers = plan.model.layers.iter();
    let held = layers.map(|layer| shapes.context_buffers(&layer.attention));
    held.max().unwrap_or(Bytes::ZERO)
}

/// Receive queues of DeepEP: per channel (two execution units each) and source, inside the node one queue of
/// tokens; between nodes one of them each for sending and receiving.
///
/// Worked: 20 units, EP 64 in nodes of 8, 7,168 wide in BF16: 330 MB inside, 294 MB between.
#[must_use]
pub fn deep_ep_buffers(plan: &Plan) -> Bytes {
    let (layout, stack) = (&plan.layout, &plan.training.stack);
    let used = matches!(stack.dispatcher, Dispatcher::DeepEp | Dispatcher::HybridEp);
    if !used || !plan.model.has_experts() || layout.ep == 1 {
        return Bytes::ZERO;
    }
    let channels = u64::from(stack.units_for_all_to_all / 2);
    let token = plan.training.formats.activations.bytes_of(plan.model.hidden);
    let in_node = u64::from(layout.ep.min(layout.devices_per_domain));
    let nodes = u64::from(layout.ep.div_ceil(layout.devices_per_domain));
    let inside = token * (channels * in_node * DEEP_EP_QUEUE.0);
    let between = if nodes > 1 {
        token * (2 * channels * nodes * DEEP_EP_QUEUE.1)
    } else {
        Bytes::ZERO
    };
    inside + between
}
