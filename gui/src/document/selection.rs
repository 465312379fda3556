//! What is looked at, whichever panel it was chosen in: one thing, and one window of time of one timeline.

use std::fmt;
use std::sync::{Arc, Weak};

use orrery_timeline::SpanId;

use crate::{ExpertsModel, ExploreModel, LinksModel, TimelineModel};

/// What something belongs to: known by its place in memory, and not kept alive by this.
pub struct Of<T>(Weak<T>);

impl<T> Of<T> {
    /// Belonging to `whole`.
    #[must_use]
    pub fn new(whole: &Arc<T>) -> Self {
        Self(Arc::downgrade(whole))
    }

    /// Whether this belongs to `whole`.
    #[must_use]
    pub fn is(&self, whole: &Arc<T>) -> bool {
        std::ptr::eq(self.0.as_ptr(), Arc::as_ptr(whole))
    }

    /// What it belongs to, if that is still there.
    #[must_use]
    pub fn get(&self) -> Option<Arc<T>> {
        self.0.upgrade()
    }
}

impl<T> Clone for Of<T> {
    fn clone(&self) -> Self {
        Self(Weak::clone(&self.0))
    }
}

impl<T> PartialEq for Of<T> {
    fn eq(&self, other: &Self) -> bool {
        Weak::ptr_eq(&self.0, &other.0)
    }
}

impl<T> fmt::Debug for Of<T> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "Of({:p})", self.0.as_ptr())
    }
}

/// A thing that can be looked at.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// A span of a timeline.
    Span(Of<TimelineModel>, SpanId),
    /// The link at this place of a network.
    Link(Of<LinksModel>, usize),
    /// The load of an expert or of a device.
    Load(Of<ExpertsModel>, Load),
    /// The layout at this place of what a search found.
    Layout(Of<ExploreModel>, usize),
    /// A device of the fleet.
    Device(DeviceId),
    /// The fault at this place of those of the text of this revision.
    Problem(u64, usize),
    /// The run with this id.
    Run(u64),
    /// The profile that the scenario in front is computed from.
    Profile,
}

/// A cell of a picture of loads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// The place of its stretch of steps.
    pub frame: usize,
    /// The layer.
    pub layer: usize,
    /// The expert, or the device under a policy.
    pub column: usize,
    /// The place of the policy; experts have the same load under all.
    pub policy: Option<usize>,
}

/// Which device, told by what stays when nodes come and go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceId {
    /// The id of its collector.
    pub collector: usize,
    /// The name that its driver gave it.
    pub uuid: String,
}

/// The part of a timeline that is in view, and the interval in it that is measured; in picoseconds since its first span.
#[derive(Clone, Debug, PartialEq)]
pub struct Look {
    /// The timeline.
    pub of: Of<TimelineModel>,
    /// From when to when it is in view.
    pub window: (u64, u64),
    /// From when to when it is measured, if an interval was drawn.
    pub interval: Option<(u64, u64)>,
}

/// What of a timeline is looked at, as its panel knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The span that is selected.
    pub span: Option<SpanId>,
    /// From when to when it is in view; nothing was said of it if this is `None`.
    pub window: Option<(u64, u64)>,
    /// From when to when it is measured.
    pub interval: Option<(u64, u64)>,
}

/// What is looked at.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// The thing, if any.
    pub item: Option<Item>,
    /// The time, once a timeline was drawn.
    pub look: Option<Look>,
    /// Whether the inspector is open: panels then leave it to say what there is to say of the thing.
    pub is_inspected: bool,
}

impl Selection {
    /// Looks at no layout any more.
    pub(crate) fn leave_layouts(&mut self) {
        self.item = self.item.take().filter(|item| !matches!(item, Item::Layout(..)));
    }

    /// What of `model` is looked at.
    #[must_use]
    pub fn seen(&self, model: &Arc<TimelineModel>) -> Seen {
        let look = self.look.as_ref().filter(|look| look.of.is(model));
        Seen {
            span: match &self.item {
                Some(Item::Span(of, span)) if of.is(model) => Some(*span),
                _ => None,
            },
            window: look.map(|look| look.window),
            interval: look.and_then(|look| look.interval),
        }
    }

    /// The timeline and the span of it that is selected, if one is and it is still there.
    #[must_use]
    pub fn span(&self) -> Option<(Arc<TimelineModel>, SpanId)> {
        match &self.item {
            Some(Item::Span(of, span)) => Some((of.get()?, *span)),
            _ => None,
        }
    }

    /// The place of the link of `model` that is selected.
    #[must_use]
    pub fn link(&self, model: &Arc<LinksModel>) -> Option<usize> {
        match &self.item {
            Some(Item::Link(of, place)) if of.is(model) => Some(*place),
            _ => None,
        }
    }

    /// The place of the layout of `model` that is selected.
    #[must_use]
    pub fn layout(&self, model: &Arc<ExploreModel>) -> Option<usize> {
        match &self.item {
            Some(Item::Layout(of, place)) if of.is(model) => Some(*place),
            _ => None,
        }
    }

    /// The cell of `model` that is selected.
    #[must_use]
    pub fn load(&self, model: &Arc<ExpertsModel>) -> Option<Load> {
        match &self.item {
            Some(Item::Load(of, load)) if of.is(model) => Some(*load),
            _ => None,
        }
    }

    /// The device that is selected.
    #[must_use]
    pub const fn device(&self) -> Option<&DeviceId> {
        match &self.item {
            Some(Item::Device(device)) => Some(device),
            _ => None,
        }
    }

    /// The interval of `model` that is measured, on the clock of its simulation: in picoseconds since that began.
    #[must_use]
    pub fn interval_of_run(&self, model: &Arc<TimelineModel>) -> Option<(u64, u64)> {
        let (from, to) = self.seen(model).interval?;
        let origin = model.origin();
        Some((origin + from, origin + to))
    }
}
