//! When a finding becomes an alert, and when an alert ends.

use std::collections::BTreeMap;

use orrery_units::SimDuration;

use super::{Alert, Evidence, Frame, Rule, Rules, Severity, Subject};
use crate::UnixTime;

/// How long an alert stands of whose subject nothing is heard any more: a job that ended, a source that is gone.
const FORGOTTEN_AFTER: SimDuration = SimDuration::from_millis(900_000);

/// What a rule says of a subject in one frame.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Symptom {
    pub(super) severity: Severity,
    pub(super) what: String,
    pub(super) evidence: Vec<Evidence>,
    pub(super) action: String,
}

/// All that the rules say in one frame. A subject of which a rule says nothing is neither ill nor well.
#[derive(Debug)]
pub(super) struct Findings<'a> {
    tracks: &'a Tracks,
    said: Vec<(Rule, Subject, Option<Symptom>)>,
}

impl<'a> Findings<'a> {
    /// Nothing yet, on top of what `tracks` knows.
    pub(super) const fn new(tracks: &'a Tracks) -> Self {
        Self {
            tracks,
            said: Vec::new(),
        }
    }

    /// `subject` is ill by `rule` if there is a symptom, else well. That somebody is well who never was ill is not
    /// worth a word: nearly everybody is, nearly always.
    pub(super) fn say(&mut self, rule: Rule, subject: &Subject, symptom: Option<Symptom>) {
        if symptom.is_some() || self.tracks.knows(rule, subject) {
            self.said.push((rule, subject.clone(), symptom));
        }
    }

    /// What was said.
    pub(super) fn into_said(self) -> Vec<(Rule, Subject, Option<Symptom>)> {
        self.said
    }
}

/// How long something has been so.
#[derive(Clone, Copy, Debug)]
struct Run {
    since: UnixTime,
    frames: u32,
}

impl Run {
    fn go_on(run: &mut Option<Self>, at: UnixTime) -> Self {
        let now = match *run {
            Some(run) => Self {
                frames: run.frames.saturating_add(1),
                ..run
            },
            None => Self { since: at, frames: 1 },
        };
        *run = Some(now);
        now
    }

    fn has_lasted(self, frames: u32, over: SimDuration, at: UnixTime) -> bool {
        self.frames >= frames && elapsed(self.since, at) >= over
    }
}

/// Time from `earlier` to `later`; none when the clock went back.
pub(super) fn elapsed(earlier: UnixTime, later: UnixTime) -> SimDuration {
    SimDuration::from_millis(later.as_millis().saturating_sub(earlier.as_millis()))
}

#[derive(Clone, Debug)]
struct Track {
    ill: Option<Run>,
    well: Option<Run>,
    heard: UnixTime,
    alert: Option<Alert>,
}

/// What stands, and what is on its way to.
#[derive(Clone, Debug, Default)]
pub(super) struct Tracks(BTreeMap<Rule, BTreeMap<Subject, Track>>);

impl Tracks {
    /// Takes in what was found at `at`; the alerts that were raised or cleared by it.
    pub(super) fn take(
        &mut self,
        said: Vec<(Rule, Subject, Option<Symptom>)>,
        rules: &Rules,
        frame: &Frame,
    ) -> Vec<Alert> {
        let at = frame.at;
        let mut news = Vec::new();
        for (rule, subject, symptom) in said {
            if !rules.is_on(rule) {
                continue;
            }
            let tracks = self.0.entry(rule).or_default();
            let track = tracks.entry(subject.clone()).or_insert(Track {
                ill: None,
                well: None,
                heard: at,
                alert: None,
            });
            track.heard = at;
            news.extend(match symptom {
                Some(symptom) => track.worsen(rule, &subject, symptom, rules, frame),
                None => track.improve(rule, rules, at),
            });
        }
        self.forget(&mut news, at);
        news
    }

    fn knows(&self, rule: Rule, subject: &Subject) -> bool {
        self.0
            .get(&rule)
            .is_some_and(|tracks| tracks.contains_key(subject))
    }

    /// The alerts that stand, in the order of rules and subjects.
    pub(super) fn standing(&self) -> impl Iterator<Item = &Alert> {
        let tracks = self.0.values().flat_map(BTreeMap::values);
        tracks.filter_map(|track| track.alert.as_ref())
    }

    /// Clears what nobody speaks of any more, and drops what came to nothing.
    fn forget(&mut self, news: &mut Vec<Alert>, at: UnixTime) {
        for tracks in self.0.values_mut() {
            tracks.retain(|_, track| {
                let is_quiet = track.alert.is_none() && track.ill.is_none();
                let is_forgotten = elapsed(track.heard, at) >= FORGOTTEN_AFTER;
                if is_forgotten && let Some(alert) = track.alert.take() {
                    news.push(Alert {
                        cleared: Some(at),
                        ..alert
                    });
                }
                !is_quiet && !is_forgotten
            });
        }
    }
}

impl Track {
    fn worsen(
        &mut self,
        rule: Rule,
        subject: &Subject,
        symptom: Symptom,
        rules: &Rules,
        frame: &Frame,
    ) -> Option<Alert> {
        let at = frame.at;
        self.well = None;
        let run = Run::go_on(&mut self.ill, at);
        if let Some(alert) = &mut self.alert {
            let is_worse = symptom.severity > alert.severity;
            // What stands is told with its latest numbers; only a worse one is news.
            alert.severity = alert.severity.max(symptom.severity);
            (alert.what, alert.evidence, alert.action) = (symptom.what, symptom.evidence, symptom.action);
            return is_worse.then(|| alert.clone());
        }
        let hysteresis = rules.hysteresis_of(rule);
        if !run.has_lasted(hysteresis.raise_after, hysteresis.raise_over, at) {
            return None;
        }
        let alert = Alert {
            rule,
            severity: symptom.severity,
            subject: subject.clone(),
            origin: frame.origin_of(subject),
            what: symptom.what,
            evidence: symptom.evidence,
            action: symptom.action,
            since: run.since,
            raised: at,
            cleared: None,
        };
        self.alert = Some(alert.clone());
        Some(alert)
    }

    fn improve(&mut self, rule: Rule, rules: &Rules, at: UnixTime) -> Option<Alert> {
        self.ill = None;
        let run = Run::go_on(&mut self.well, at);
        let hysteresis = rules.hysteresis_of(rule);
        if self.alert.is_none() || !run.has_lasted(hysteresis.clear_after, hysteresis.clear_over, at) {
            return None;
        }
        let alert = self.alert.take()?;
        Some(Alert {
            cleared: Some(at),
            ..alert
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symptom() -> Symptom {
        Symptom {
            severity: Severity::Warning,
            what: "ill".to_owned(),
            evidence: Vec::new(),
            action: "rest".to_owned(),
        }
    }

    fn frame_at(at: UnixTime) -> Frame {
        Frame {
            at,
            ..Frame::default()
        }
    }

    /// Plays `frames` (ill, well or not heard of), one every `millis`; (frame, whether raised) of each news.
    fn play(frames: &str, millis: u64) -> Vec<(usize, bool)> {
        let mut tracks = Tracks::default();
        let mut news = Vec::new();
        for (frame, letter) in frames.chars().enumerate() {
            let at = UnixTime::from_millis(frame as u64 * millis);
            let mut findings = Findings::new(&tracks);
            match letter {
                'i' => findings.say(Rule::ClockLow, &Subject::job("a"), Some(symptom())),
                'w' => findings.say(Rule::ClockLow, &Subject::job("a"), None),
                _ => {}
            }
            let said = findings.into_said();
            let told = tracks.take(said, &Rules::default(), &frame_at(at));
            news.extend(told.iter().map(|alert| (frame, alert.stands())));
        }
        news
    }

    #[test]
    fn it_takes_frames_and_time_to_raise_and_to_clear() {
        // Lasting: three frames and 60 s to raise, three and 120 s to clear.
        assert_eq!(play("iiiiiiwwwwwwwwwwwww", 20_000), [(3, true), (12, false)]);
        assert_eq!(play("iiiwwwww", 60_000), [(2, true), (5, false)]);
    }

    #[test]
    fn one_well_frame_begins_anew() {
        assert_eq!(play("iiwiiwiiwiiw", 30_000), []);
        assert_eq!(play("iiiwwiiiiwwi", 60_000), [(2, true)]);
    }

    #[test]
    fn what_is_not_heard_of_stands_for_a_while_and_is_forgotten() {
        assert_eq!(play("iii..iii", 60_000), [(2, true)]);
        assert_eq!(play("iii................", 60_000), [(2, true), (17, false)]);
    }
}
