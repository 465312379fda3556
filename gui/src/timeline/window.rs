//! The window of time that is shown: whole picoseconds, so that nothing shakes however deep the zoom.

/// The shortest window: a nanosecond, in picoseconds.
const SHORTEST: u64 = 1_000;

/// The window of time that is shown, in picoseconds since the first span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// Its left edge.
    pub(super) from: u64,
    /// Its length, never zero.
    pub(super) length: u64,
}

impl Window {
    /// Everything up to `end`.
    pub(super) fn all(end: u64) -> Self {
        Self {
            from: 0,
            length: end.max(SHORTEST),
        }
    }

    /// `from..to`, as far as it lies before `end`.
    pub(super) fn of(from: u64, to: u64, end: u64) -> Self {
        let length = to.saturating_sub(from).clamp(SHORTEST, end.max(SHORTEST));
        Self { from, length }.within(end)
    }

    /// `from..to` with a tenth of it free at either side.
    pub(super) fn around(from: u64, to: u64, end: u64) -> Self {
        let margin = (to.saturating_sub(from) / 10).max(SHORTEST / 4);
        let left = from.saturating_sub(margin);
        let length = to.saturating_add(margin) - left;
        let length = length.clamp(SHORTEST, end.max(SHORTEST));
        Self { from: left, length }.within(end)
    }

    /// Where it ends.
    pub(super) const fn until(self) -> u64 {
        self.from.saturating_add(self.length)
    }

    /// Moved so that `instant` lies at `place` (0 left edge, 1 right edge).
    pub(super) fn with_instant_at(self, instant: u64, place: f64, end: u64) -> Self {
        let before = (self.length as f64 * place).round();
        let from = if before < 0.0 {
            instant.saturating_add((-before) as u64)
        } else {
            instant.saturating_sub(before as u64)
        };
        Self { from, ..self }.within(end)
    }

    /// `factor` times closer, with the instant at `place` (0 left edge, 1 right edge) staying where it is.
    pub(super) fn zoomed(self, factor: f64, place: f64, end: u64) -> Self {
        let longest = end.max(SHORTEST);
        let length = (self.length as f64 / factor).round();
        // A float beyond the range of integers becomes its limit.
        let length = (length as u64).clamp(SHORTEST, longest);
        let held = self.from + (self.length as f64 * place).round() as u64;
        Self { length, ..self }.with_instant_at(held, place, end)
    }

    /// Moved by `share` of its length, to the right if positive; by a picosecond at least.
    pub(super) fn panned(self, share: f64, end: u64) -> Self {
        let way = (self.length as f64 * share.abs()).ceil() as u64;
        let from = if share < 0.0 {
            self.from.saturating_sub(way)
        } else {
            self.from.saturating_add(way)
        };
        Self { from, ..self }.within(end)
    }

    /// Moved as little as needed for `from..to` to be in it, or to start in it when it does not fit.
    pub(super) fn showing(self, from: u64, to: u64, end: u64) -> Self {
        if from >= self.from && to <= self.until() {
            return self;
        }
        let free = self.length.saturating_sub(to - from) / 2;
        let left = from.saturating_sub(free);
        Self { from: left, ..self }.within(end)
    }

    fn within(self, end: u64) -> Self {
        Self {
            from: self.from.min(end.saturating_sub(self.length)),
            ..self
        }
    }

    /// Where `instant` lies on a lane of `width` points. The difference of integers is exact, so that a
    /// picosecond is told apart at the end of an hour as well as at its beginning.
    pub(super) fn position(self, instant: u64, width: f32) -> f64 {
        let offset = if instant >= self.from {
            (instant - self.from) as f64
        } else {
            -((self.from - instant) as f64)
        };
        offset / self.length as f64 * f64::from(width)
    }

    /// The instant at `position` of a lane of `width` points.
    pub(super) fn instant(self, position: f64, width: f32) -> u64 {
        let offset = (position / f64::from(width) * self.length as f64).round();
        if offset < 0.0 {
            self.from.saturating_sub(-offset as u64)
        } else {
            self.from.saturating_add(offset as u64)
        }
    }
}
