//! One row of a table of training steps, as it stands.

use std::collections::BTreeMap;

use super::super::table::{field, number};
use super::cells::SCALES;

/// A row; what it lacks is named when it is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct StepRow<'t>(pub(super) &'t BTreeMap<String, String>);

/// How a figure of a row turns into the seconds of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Measured {
    /// Seconds of a step.
    Seconds(f64),
    /// TFLOP/s of a device, with attention counted causally or over the full square.
    Rate { tflops: f64, is_causal: bool },
}

impl<'t> StepRow<'t> {
    /// The text of `column`, empty where it is unknown.
    pub(super) fn text(self, column: &str) -> &'t str {
        field(self.0, column).trim()
    }

    /// The text of `column`, or its name.
    pub(super) fn known(self, column: &'static str) -> Result<&'t str, String> {
        match self.text(column) {
            "" => Err(column.to_owned()),
            text => Ok(text),
        }
    }

    /// The whole number in `column`, or its name.
    pub(super) fn count(self, column: &'static str) -> Result<u64, String> {
        let value = number(self.0, column).ok_or(column)?;
        if value < 0.0 || value.fract() != 0.0 || value > 1e15 {
            return Err(column.to_owned());
        }
        Ok(format!("{value}").parse().map_err(|_not_whole| column)?)
    }

    /// The number in `column`.
    pub(super) fn number(self, column: &str) -> Option<f64> {
        number(self.0, column)
    }

    /// The fields that are assumed where the row has none: a microbatch of one sequence, nothing computed again, and of
    /// rates whose convention is not stated that attention counts causally. Never of complete rows (tier A).
    pub(super) fn assumed(self) -> Vec<&'static str> {
        let by_rate = self.number("step_time_s").is_none() && self.number("tokens_per_s_per_gpu").is_none();
        let missing = [
            ("mbs", self.text("mbs").is_empty()),
            ("recompute", self.text("recompute").is_empty()),
            (
                "flops_def",
                by_rate && self.text("flops_def").starts_with("not stated"),
            ),
        ];
        let is_open = self.text("tier") != "A";
        missing
            .into_iter()
            .filter(|(_, missing)| is_open && *missing)
            .map(|(field, _)| field)
            .collect()
    }

    /// The text of `column`, or `default` where it may be assumed.
    pub(super) fn or(self, column: &'static str, default: &'static str) -> Result<&'t str, String> {
        if self.assumed().contains(&column) {
            Ok(default)
        } else {
            self.known(column)
        }
    }

    pub(super) fn is_moe(self) -> bool {
        self.text("arch") == "moe"
    }

    /// What was measured: seconds where they are printed or follow from tokens, else a rate whose convention the row
    /// names.
    pub(super) fn measured(self) -> Result<Measured, String> {
        if let Some(seconds) = self.number("step_time_s").filter(|seconds| *seconds > 0.0) {
            return Ok(Measured::Seconds(seconds));
        }
        if let Some(rate) = self.number("tokens_per_s_per_gpu").filter(|rate| *rate > 0.0) {
            let factor = |column| self.number(column).ok_or(column);
            let tokens = factor("gbs")? * factor("seq")?;
            return Ok(Measured::Seconds(tokens / (rate * factor("gpus")?)));
        }
        let tflops = self.number("tflops_per_gpu").ok_or("step_time_s")?;
        let convention = self.text("flops_def");
        let is_causal = convention.contains("half") || self.assumed().contains(&"flops_def");
        // Hardware FLOPs, parameters counted six times or other heads are conventions of their own.
        if is_causal || convention == "full-attn" {
            Ok(Measured::Rate { tflops, is_causal })
        } else {
            Err("step_time_s (its FLOP convention is not counted here)".to_owned())
        }
    }

    /// What scores are grouped by in `--by` and in the table of cells.
    pub(super) fn scale(self) -> &'static str {
        match self.number("gpus") {
            Some(gpus) if gpus <= 64.0 => SCALES[0],
            Some(gpus) if gpus <= 512.0 => SCALES[1],
            Some(gpus) if gpus <= 2048.0 => SCALES[2],
            _ => SCALES[3],
        }
    }

    /// `natural` where the row says so; benchmarks force an even load unless they say otherwise.
    pub(super) fn routing(self) -> &'static str {
        if self.text("routing") == "natural" {
            "natural"
        } else {
            "forced"
        }
    }
}
