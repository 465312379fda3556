//! What is known of one span, for whoever shows it. No widget is known here.

use std::fmt::Display;
use std::sync::Arc;

use orrery_timeline::{NO_LAYER, SpanId};
use orrery_units::{BytesPerSec, Evidence, FlopsPerSec, SimDuration};

use super::axis::exact;
use super::model::TimelineModel;
use crate::document::{Facts, Footing, Item, Of, Related};

/// Spans that were released by one and are named at most.
const NAMED: usize = 4;

impl TimelineModel {
    /// What is known of `span`. Looks at every span, for those that it released.
    #[must_use]
    pub fn facts(self: &Arc<Self>, span: SpanId) -> Facts {
        let mut facts = self.facts_alone(span);
        let related = |how, other: SpanId| Related {
            how,
            words: self.called(other),
            item: Item::Span(Of::new(self), other),
        };
        let causes = self.span(span).released_by.into_iter();
        facts
            .related
            .extend(causes.map(|cause| related("released by", cause)));
        let released = self.released_by(span).into_iter().take(NAMED);
        facts
            .related
            .extend(released.map(|next| related("released", next)));
        facts
    }

    /// The same without what released it and what it released.
    pub(super) fn facts_alone(&self, span: SpanId) -> Facts {
        let recorded = self.span(span);
        let (lane, _) = self.place(span);
        let (from, to) = self.extent(span);
        let kind = self.kind(recorded.kind);
        let footing = if self.measured {
            Footing::Measured
        } else {
            Footing::Simulated
        };
        let mut facts = Facts::new("span", kind.name.clone(), footing);
        facts.put("lane", self.lane_name(lane));
        let (layer, microbatch) = recorded.tag;
        facts.put(
            "step, layer, microbatch",
            format!("{}, {}, {microbatch}", recorded.step, layer_of(layer)),
        );
        facts.put("start", exact(from));
        facts.put("end", exact(to));
        facts.put("duration", SimDuration::from_picos(to - from).to_string());
        facts.put("class", kind.class.name());
        let work = self.work(span);
        if work.is_empty() {
            facts.put("work", "none recorded");
        }
        for amount in work {
            facts.put("work", amount);
        }
        if let Some(cause) = recorded.released_by {
            let waited = from.saturating_sub(self.extent(cause).1);
            if waited > 0 {
                let waited = SimDuration::from_picos(waited);
                facts.put("released", format!("{waited} before it began"));
            }
        }
        facts.basis.push(self.rests_on(recorded.evidence));
        facts
    }

    /// What a tooltip says of `span`, a line each.
    pub(super) fn summary(&self, span: SpanId) -> Vec<String> {
        let recorded = self.span(span);
        let kind = self.kind(recorded.kind);
        let (from, _) = self.extent(span);
        let mut lines = vec![
            format!("{} ({})", kind.name, kind.class.name()),
            format!("{} from {}", recorded.duration, exact(from)),
            format!(
                "step {}, layer {}, microbatch {}",
                recorded.step,
                layer_of(recorded.tag.0),
                recorded.tag.1
            ),
        ];
        lines.extend(self.work(span));
        lines.push(self.rests_on(recorded.evidence));
        lines
    }

    /// Name of `span` with its lane.
    pub(crate) fn called(&self, span: SpanId) -> String {
        let (lane, _) = self.place(span);
        format!("{} on {}", self.name(span), self.lane_name(lane))
    }

    /// The rank on which `span` ran, if its lanes are those of a rank.
    pub(crate) fn rank_of(&self, span: SpanId) -> Option<usize> {
        self.group_of(span).strip_prefix("rank ")?.parse().ok()
    }

    /// Whose lanes `span` is on, such as `rank 3`.
    pub(crate) fn group_of(&self, span: SpanId) -> &str {
        let (lane, _) = self.place(span);
        &self.groups[self.lanes[lane].group].name
    }

    /// FLOPs and bytes with their rates, as far as there are any.
    fn work(&self, span: SpanId) -> Vec<String> {
        let recorded = self.span(span);
        let seconds = recorded.duration.as_secs();
        let mut lines = Vec::new();
        if recorded.flops.get() > 0.0 {
            let rate = (seconds > 0.0).then(|| FlopsPerSec::new(recorded.flops.get() / seconds));
            lines.push(with_rate(recorded.flops, rate));
        }
        if recorded.bytes.get() > 0 {
            let rate = (seconds > 0.0).then(|| BytesPerSec::new(recorded.bytes.as_f64() / seconds));
            lines.push(with_rate(recorded.bytes, rate));
        }
        lines
    }

    /// Whether this was measured; and if not, what a duration in it rests on.
    fn rests_on(&self, evidence: Evidence) -> String {
        if self.measured {
            return "measured on the device".to_owned();
        }
        let rests = match evidence {
            Evidence::Measured => "a measurement of this shape",
            Evidence::Interpolated => "interpolation between measured points",
            Evidence::Analytic => "a formula, with no measurement (analytic)",
            Evidence::Extrapolated => "extrapolation beyond what was measured",
        };
        format!("simulated; rests on {rests}")
    }
}

/// The number of `layer`; `none` of what belongs to none.
fn layer_of(layer: u32) -> String {
    match layer {
        NO_LAYER => "none".to_owned(),
        layer => layer.to_string(),
    }
}

fn with_rate(amount: impl Display, rate: Option<impl Display>) -> String {
    rate.map_or_else(|| amount.to_string(), |rate| format!("{amount} at {rate}"))
}
