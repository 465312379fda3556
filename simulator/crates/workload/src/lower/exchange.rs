//! Tokens on their way to experts and back, and what the ranks that an expert is cut among do around them.

use orrery_operation::CollectiveOp;
use orrery_taskgraph::Sequence;
use orrery_units::{Bytes, KindId};

use super::costs::expert_tensor_collective;
use super::emit::Emit;
use super::layer::Unit;
use crate::routing::RankLoad;
use crate::schedule::Slot;

impl Emit<'_, '_, '_> {
    /// Tokens to the experts of `unit` where `dispatch`, else their results back.
    pub(super) fn exchange(
        &mut self,
        slot: Slot,
        unit: Unit,
        kind: KindId,
        dispatch: bool,
        last: Option<Sequence>,
    ) -> Option<Sequence> {
        if self.shared.costs.layers[unit.shape].experts.is_none() {
            return last;
        }
        let load = self.load(slot, unit);
        if dispatch {
            let arrived = self.over_ports(slot, unit, kind, &load.dispatch, last);
            self.among_cut_experts(slot, unit, CollectiveOp::AllGather, load.gathered[0], arrived)
        } else {
            let reduced =
                self.among_cut_experts(slot, unit, CollectiveOp::ReduceScatter, load.gathered[1], last);
            self.over_ports(slot, unit, kind, &load.combine, reduced)
        }
    }

    /// What this rank's experts get of `unit` in this microbatch.
    pub(super) fn load(&mut self, slot: Slot, unit: Unit) -> RankLoad {
        let (group, expert_rank) = (self.cursor.member.expert_group, self.cursor.member.expert_rank);
        let step = u32::from(self.cursor.step);
        let router = &mut self.shared.router;
        *router
            .load(group, unit.layer, step, slot.microbatch)
            .rank(expert_rank)
    }

    fn over_ports(
        &mut self,
        slot: Slot,
        unit: Unit,
        kind: KindId,
        ports: &crate::cost::ExchangePorts,
        last: Option<Sequence>,
    ) -> Option<Sequence> {
        if self.shared.plan.layout.ep == 1 {
            return last;
        }
        let shape = self.shared.step_end.expert_shape;
        let transfer = if kind == self.shared.kinds.dispatch_forward {
            self.shared.model.first_dispatch(ports, shape)
        } else {
            self.shared.model.exchange(ports, shape)
        };
        let meeting = self.cursor.member.exchange.next();
        let lane = self.cursor.member.lanes.exchange;
        Some(self.transfer(lane, kind, &transfer, meeting, &[last], Self::tag(slot, unit)))
    }

    fn among_cut_experts(
        &mut self,
        slot: Slot,
        unit: Unit,
        op: CollectiveOp,
        bytes: Bytes,
        last: Option<Sequence>,
    ) -> Option<Sequence> {
        let shape = self.shared.step_end.expert_tensor_shape;
        if shape.ranks == 1 || bytes == Bytes::ZERO {
            return last;
        }
        let transfer = expert_tensor_collective(&self.shared.model, op, bytes, shape);
        let meeting = self.cursor.member.expert_tensor.next();
        let (lane, kinds) = (self.cursor.member.lanes.tensor, &self.shared.kinds);
        let kind = match op {
            CollectiveOp::AllGather => kinds.expert_gather,
            _ => kinds.expert_scatter,
        };
        Some(self.transfer(lane, kind, &transfer, meeting, &[last], Self::tag(slot, unit)))
    }
}
