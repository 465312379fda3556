//! The kinds of tasks of a training step.

use orrery_timeline::{KindTable, OpClass};
use orrery_units::KindId;

macro_rules! kinds {
    ($($field:ident: $name:literal, $class:ident;)*) => {
        /// Every kind of task that a training step has.
        #[derive(Clone, Debug)]
        pub struct Kinds {
            /// Names and classes.
            pub table: KindTable,
            $(
                #[doc = $name]
                pub $field: KindId,
            )*
        }

        impl Kinds {
            /// All kinds, interned.
            #[must_use]
            pub fn new() -> Self {
                let mut table = KindTable::new();
                $(let $field = table.intern($name, OpClass::$class);)*
                Self { table, $($field),* }
            }
        }
    };
}

kinds! {
    attention_forward: "attention forward", Compute;
    attention_backward: "attention backward", Compute;
    attention_weight: "attention weight gradient", Compute;
    mlp_forward: "mlp forward", Compute;
    mlp_backward: "mlp backward", Compute;
    mlp_weight: "mlp weight gradient", Compute;
    experts_forward: "experts forward", Compute;
    experts_backward: "experts backward", Compute;
    experts_weight: "experts weight gradient", Compute;
    head_forward: "head forward", Compute;
    head_backward: "head backward", Compute;
    head_weight: "head weight gradient", Compute;
    dispatch_forward: "dispatch forward", Dispatch;
    dispatch_backward: "dispatch backward", Dispatch;
    combine_forward: "combine forward", Combine;
    combine_backward: "combine backward", Combine;
    tensor_gather: "tensor all-gather", Tensor;
    tensor_scatter: "tensor reduce-scatter", Tensor;
    tensor_reduce: "tensor all-reduce", Tensor;
    expert_gather: "expert all-gather", Tensor;
    expert_scatter: "expert reduce-scatter", Tensor;
    context_forward: "context exchange forward", Context;
    context_backward: "context exchange backward", Context;
    send_activation: "send activation", Pipeline;
    receive_activation: "receive activation", Pipeline;
    send_gradient: "send gradient", Pipeline;
    receive_gradient: "receive gradient", Pipeline;
    gradient_reduce: "gradient reduction", Data;
    parameter_gather: "parameter all-gather", Data;
    embedding_reduce: "tied embedding all-reduce", Data;
    step_barrier: "gradient norm all-reduce", Optimizer;
    gradient_norm: "gradient norm", Optimizer;
    optimizer: "optimizer", Optimizer;
    host_stall: "host stall", Host;
    rest_of_step: "rest of the step", Optimizer;
}

impl Default for Kinds {
    fn default() -> Self {
        Self::new()
    }
}
