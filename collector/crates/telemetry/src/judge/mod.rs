//! The judge: samples and jobs in, alerts out.
//!
//! Rules are relative by default: a job is held against its own past, a device against its like and its profile, a
//! rank against the others. So a healthy cluster is silent, whatever it runs, and a rule needs no tuning. Each alert
//! says what is wrong, by which numbers, and what to do.
//!
//! The judge has no clock and does nothing: time comes with the [`Frame`], and what to make of an [`Alert`] is the
//! caller's. One that was fed the same frames says the same.
//!
//! ```
//! use orrery_telemetry::judge::{Frame, Judge, Rules};
//!
//! let mut judge = Judge::new(Rules::default());
//! let news = judge.hear(&Frame::default());
//! assert!(news.is_empty() && judge.standing().next().is_none());
//! ```

mod alert;
mod arrivals;
mod frame;
mod history;
mod hysteresis;
mod job;
mod rules;
mod settings;
mod statistics;
mod xid;

pub use alert::{Alert, Evidence, Rule, Severity, Subject};
pub use arrivals::{Arrivals, RankProcess};
pub use frame::{DeviceView, Figure, Frame, NicState};
pub use job::{Allocator, CollectiveTiming, JobState, LastCollective, Step};
pub use settings::{Hysteresis, Preset, Rules, RulesError, Thresholds};
pub use xid::{Xid, XidClass};

use self::history::History;
use self::hysteresis::{Findings, Tracks};
use self::rules::Context;

/// Hears frames and says what is wrong.
#[derive(Clone, Debug)]
pub struct Judge {
    rules: Rules,
    history: History,
    tracks: Tracks,
}

impl Judge {
    /// A judge that goes by `rules` and has heard nothing.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            history: History::default(),
            tracks: Tracks::default(),
        }
    }

    /// What it goes by.
    #[must_use]
    pub const fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Hears what is known at one instant, later than the one before; the alerts that are news by it: raised, grown
    /// worse or cleared.
    pub fn hear(&mut self, frame: &Frame) -> Vec<Alert> {
        self.history.hear(frame);
        let context = Context::new(frame, &self.rules);
        let mut findings = Findings::new(&self.tracks);
        rules::look(&context, &mut self.history, &mut findings);
        let said = findings.into_said();
        self.tracks.take(said, &self.rules, frame)
    }

    /// The alerts that stand, in the order of rules and subjects.
    pub fn standing(&self) -> impl Iterator<Item = &Alert> {
        self.tracks.standing()
    }
}
