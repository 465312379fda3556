//! Recorded counts, played again.

use orrery_units::Seed;

use super::{Domain, LoadProcess, StepLayer, spread};

/// Frames of recorded counts, played one a step, from the start again after the last.
#[derive(Clone, Debug)]
pub struct Replay {
    /// Counts by frame, then layer, then expert.
    frames: Vec<Vec<Vec<u64>>>,
    /// By frame; what the counts of each of its layers add up to.
    totals: Vec<u64>,
    /// Where not the recorded tokens are played but others by the recorded popularity.
    drawn: Option<Drawn>,
}

/// New tokens by recorded popularity.
#[derive(Clone, Debug)]
struct Drawn {
    domains: Vec<Domain>,
    tokens: u64,
    top_k: u64,
    seed: Seed,
}

/// Why a recording cannot be played.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// There is no frame, no layer or no expert.
    #[error("the recording has no counts\n  = help: give one frame of one layer at least")]
    Empty,
    /// Layers or frames differ in size.
    #[error(
        "frame {frame}, layer {layer} of the recording has {found} experts, the first has {expected}\n  = help: give every layer of every frame the same experts"
    )]
    Ragged {
        /// Which frame.
        frame: usize,
        /// Which layer.
        layer: usize,
        /// Its experts.
        found: usize,
        /// Experts of the first.
        expected: usize,
    },
    /// Layers of one frame saw different numbers of assignments.
    #[error(
        "layer {layer} of frame {frame} has {found} assignments, its first layer has {expected}\n  = help: play its popularity with a number of tokens of your own"
    )]
    Uneven {
        /// Which frame.
        frame: usize,
        /// Which layer.
        layer: usize,
        /// Its assignments.
        found: u64,
        /// Those of the first layer.
        expected: u64,
    },
}

impl Replay {
    /// The recorded counts themselves, frame by frame.
    ///
    /// # Errors
    /// When layers differ in experts, or the layers of a frame in assignments.
    pub fn exact(frames: Vec<Vec<Vec<u64>>>) -> Result<Self, ReplayError> {
        let totals = totals(&frames)?;
        for (frame, layers) in frames.iter().enumerate() {
            for (layer, counts) in layers.iter().enumerate() {
                let found: u64 = counts.iter().sum();
                if found != totals[frame] {
                    return Err(ReplayError::Uneven {
                        frame,
                        layer,
                        found,
                        expected: totals[frame],
                    });
                }
            }
        }
        Ok(Self {
            frames,
            totals,
            drawn: None,
        })
    }

    /// `tokens` tokens a step, each to `top_k` experts, drawn by the popularity of each frame.
    ///
    /// # Errors
    /// When layers differ in experts.
    pub fn drawn(
        frames: Vec<Vec<Vec<u64>>>,
        tokens: u64,
        top_k: u64,
        seed: Seed,
    ) -> Result<Self, ReplayError> {
        let totals = totals(&frames)?;
        let domains = frames.iter().map(|frame| Domain::recorded(frame)).collect();
        let drawn = Drawn {
            domains,
            tokens,
            top_k,
            seed,
        };
        Ok(Self {
            frames,
            totals,
            drawn: Some(drawn),
        })
    }

    /// Frames recorded.
    #[must_use]
    pub fn num_frames(&self) -> usize {
        self.frames.len()
    }

    fn frame(&self, step: u64) -> usize {
        (step % self.frames.len() as u64) as usize
    }
}

/// What each frame's first layer adds up to, once every layer is known to have the same experts.
fn totals(frames: &[Vec<Vec<u64>>]) -> Result<Vec<u64>, ReplayError> {
    let first = frames.first().ok_or(ReplayError::Empty)?;
    let expected = first
        .first()
        .filter(|layer| !layer.is_empty())
        .ok_or(ReplayError::Empty)?
        .len();
    for (frame, layers) in frames.iter().enumerate() {
        if layers.len() != first.len() {
            return Err(ReplayError::Ragged {
                frame,
                layer: layers.len().min(first.len()),
                found: 0,
                expected,
            });
        }
        for (layer, counts) in layers.iter().enumerate() {
            if counts.len() != expected {
                return Err(ReplayError::Ragged {
                    frame,
                    layer,
                    found: counts.len(),
                    expected,
                });
            }
        }
    }
    Ok(frames.iter().map(|layers| layers[0].iter().sum()).collect())
}

impl LoadProcess for Replay {
    fn layers(&self) -> u32 {
        u32::try_from(self.frames[0].len()).expect("a model has fewer than 2^32 layers")
    }

    fn experts(&self) -> usize {
        self.frames[0][0].len()
    }

    fn assignments(&self, step: u64) -> u64 {
        match &self.drawn {
            Some(drawn) => drawn.tokens * drawn.top_k,
            None => self.totals[self.frame(step)],
        }
    }

    fn popularity(&self, at: StepLayer, into: &mut [f64]) {
        let counts = &self.frames[self.frame(at.step)][at.layer as usize];
        let sum = counts.iter().sum::<u64>().max(1) as f64;
        for (share, &count) in into.iter_mut().zip(counts) {
            *share = count as f64 / sum;
        }
    }

    fn counts(&self, at: StepLayer, into: &mut [u32]) {
        let frame = self.frame(at.step);
        match &self.drawn {
            Some(drawn) => {
                let key = drawn.seed.at("replay", &[u64::from(at.layer), at.step]);
                spread(
                    drawn.domains[frame].layer(at.layer),
                    drawn.tokens,
                    drawn.top_k,
                    key,
                    into,
                );
            }
            None => {
                for (count, &recorded) in into.iter_mut().zip(&self.frames[frame][at.layer as usize]) {
                    *count = u32::try_from(recorded).expect("an expert has fewer than 2^32 assignments");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_in_turn() {
        let replay = Replay::exact(vec![vec![vec![3, 1], vec![2, 2]], vec![vec![5, 1], vec![0, 6]]]).unwrap();
        let mut counts = [0; 2];
        replay.counts(StepLayer::new(3, 1), &mut counts);
        assert_eq!(
            (counts, replay.assignments(3), replay.assignments(4)),
            ([0, 6], 6, 4)
        );
    }

    #[test]
    fn new_tokens_follow_the_recorded_popularity() {
        let replay = Replay::drawn(vec![vec![vec![3, 1]]], 1_000_000, 1, Seed::new(1)).unwrap();
        let mut counts = [0; 2];
        replay.counts(StepLayer::new(9, 0), &mut counts);
        assert_eq!(counts[0] + counts[1], 1_000_000);
        // Five standard deviations of sqrt(1e6 · 3/16) = 433.
        assert!(
            (f64::from(counts[0]) - 750_000.0).abs() < 5.0 * 433.0,
            "{counts:?}"
        );
    }

    #[test]
    fn what_cannot_be_played_is_refused() {
        assert_eq!(Replay::exact(Vec::new()).unwrap_err(), ReplayError::Empty);
        let ragged = Replay::exact(vec![vec![vec![1, 1], vec![2]]]).unwrap_err();
        assert!(matches!(
            ragged,
            ReplayError::Ragged {
                layer: 1,
                found: 1,
                ..
            }
        ));
        let uneven = Replay::exact(vec![vec![vec![1, 1], vec![2, 1]]]).unwrap_err();
        assert!(matches!(
            uneven,
            ReplayError::Uneven {
                layer: 1,
                found: 3,
                expected: 2,
                ..
            }
        ));
    }
}
