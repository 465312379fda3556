//! Policies over the steps of a load process.

use std::ops::Range;

use orrery_experts::load::{LoadProcess, StepLayer};
use orrery_units::Seed;

use super::player::Player;
use super::{Compiled, Contender, DeviceLoad, HeatMap, LayerTime, Loads, Machine, Outcome, TokenSources};

/// Steps that a heat map sums over, at most.
pub(super) const HEAT_STEPS: u64 = 200;
/// Heat maps of a run, at most.
const HEAT_MAPS: u64 = 12;
/// Steps after which progress is told.
const TELL: u64 = 64;
/// Steps that foresight looks at, at most, evenly over those to come.
const AHEAD: u64 = 16;

/// Policies to compare over the steps of a load process.
#[derive(Debug)]
pub struct Question<'a> {
    /// The loads.
    pub process: &'a dyn LoadProcess,
    /// Steps.
    pub steps: u64,
    /// The policies, all with the same number of devices.
    pub contenders: &'a [Contender],
    /// Devices and wires.
    pub machine: &'a Machine,
    /// Every random number.
    pub seed: Seed,
}

/// Steps that are timed side by side: between events nothing changes but counts, and vectors have room for eight.
pub(super) const SIDE_BY_SIDE: usize = 8;

/// Counts of a layer in steps side by side, as they are multiplied with shares.
struct Drawn<const N: usize> {
    whole: Vec<u32>,
    counts: Vec<[f32; N]>,
}

impl<const N: usize> Drawn<N> {
    fn new(experts: usize) -> Self {
        Self {
            whole: vec![0; experts],
            counts: vec![[0.0; N]; experts],
        }
    }

    /// Those of `steps`, `N` at most; where there are fewer, the others are what they were.
    ///
    /// # Panics
    /// When a step has 2^31 assignments or more.
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts to seven digits are exact enough for shares"
    )]
    fn of(&mut self, process: &dyn LoadProcess, steps: Range<u64>, layer: u32) -> &[[f32; N]] {
        for (at, step) in steps.enumerate() {
            assert!(
                process.assignments(step) < 1 << 31,
                "assignments of a step are counted in 31 bits"
            );
            process.counts(StepLayer::new(step, layer), &mut self.whole);
            for (counts, &whole) in self.counts.iter_mut().zip(&self.whole) {
                // Signed: the conversion of signed words is one instruction.
                counts[at] = whole.cast_signed() as f32;
            }
        }
        &self.counts
    }
}

/// Somebody asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop;

impl Question<'_> {
    /// Runs every step; `progress` is told how many are done and may ask to stop.
    ///
    /// # Errors
    /// When `progress` asked to stop.
    pub fn run(&self, mut progress: impl FnMut(u64) -> Result<(), Stop>) -> Result<Outcome, Stop> {
        self.run_dyn(&mut progress)
    }

    /// The same for any progress: compiled here, once, and not as its caller is.
    fn run_dyn(&self, progress: &mut dyn FnMut(u64) -> Result<(), Stop>) -> Result<Outcome, Stop> {
        self.side_by_side::<SIDE_BY_SIDE>(progress)
    }

    /// The same with `N` steps side by side, at most [`SIDE_BY_SIDE`]: the same to the last bit, one by one too.
    pub(super) fn side_by_side<const N: usize>(
        &self,
        progress: &mut dyn FnMut(u64) -> Result<(), Stop>,
    ) -> Result<Outcome, Stop> {
        let layers = self.process.layers();
        let experts = self.process.experts();
        let mut drawn = Drawn::<N>::new(experts);
        let mut sources = self.sources(0);
        let mut players: Vec<Player<'_>> = self
            .contenders
            .iter()
            .map(|one| Player::new(self, one, &sources))
            .collect();
        let mut heat = vec![vec![0.0; layers as usize * experts]; self.frames().count()];
        let mut scratch = Loads::default();
        let mut step = 0;
        while step < self.steps {
            if step % TELL == 0 {
                progress(step)?;
                sources = self.sources(step);
            }
            for player in &mut players {
                player.begin(self, step, &sources);
            }
            let steps = step..self.next_event((step, N as u64), &players);
            step = steps.end;
            for layer in 0..layers {
                let drawn = drawn.of(self.process, steps.clone(), layer);
                let layer = layer as usize;
                for at in self.heat_of(steps.start) {
                    add(&mut heat[at][layer * experts..][..experts], drawn, &steps);
                }
                for player in &mut players {
                    player.play(self, (&steps, layer), drawn, &sources, &mut scratch);
                }
            }
            for player in &mut players {
                player.close(layers, &steps);
            }
        }
        let last = heat.last().map_or(&[][..], Vec::as_slice);
        Ok(Outcome {
            frames: self.frames().collect(),
            experts: heat
                .iter()
                .map(|sums| HeatMap::of_sums(sums, layers as usize))
                .collect(),
            tracks: players
                .into_iter()
                .map(|player| player.finish(self, last, &sources))
                .collect(),
            steps: self.steps,
        })
    }

    /// The step before which something changes next, or for which there is no room among `room` steps from `step` on.
    fn next_event(&self, (step, room): (u64, u64), players: &[Player<'_>]) -> u64 {
        let of_all = [step + room, self.steps, (step / TELL + 1) * TELL];
        let of_frames = self.frames().flat_map(|frame| [frame.start, frame.end]);
        let of_players = players.iter().flat_map(|player| player.events(step));
        of_all
            .into_iter()
            .chain(of_frames)
            .chain(of_players)
            .filter(|&event| event > step)
            .min()
            .expect("the next step comes")
    }

    /// Who holds the tokens of a step.
    fn sources(&self, step: u64) -> TokenSources {
        let devices = self
            .contenders
            .first()
            .map_or(1, |contender| contender.shape.devices);
        let mut shares = vec![0.0; devices];
        self.process.sources(step, &mut shares);
        TokenSources::new(&shares, self.machine.exchange.devices_per_node())
    }

    /// The steps of each heat map: equally long and equally far apart, from the first step to the last.
    pub(super) fn frames(&self) -> impl Iterator<Item = Range<u64>> + use<> {
        let steps = HEAT_STEPS.min(self.steps);
        let rest = self.steps - steps;
        let count = self.steps.div_ceil(steps.max(1)).clamp(1, HEAT_MAPS);
        (0..count).map(move |at| {
            let start = (rest * at).checked_div(count - 1).unwrap_or(0);
            start..start + steps
        })
    }

    /// Which heat maps `step` belongs to.
    pub(super) fn heat_of(&self, step: u64) -> impl Iterator<Item = usize> + use<> {
        let frames = self.frames().enumerate();
        frames.filter_map(move |(at, frame)| frame.contains(&step).then_some(at))
    }

    /// Expected loads of a layer in the mean of `steps` steps from `step` on, as a balancer with foresight knows them.
    #[expect(clippy::cast_precision_loss, reason = "token counts are far below 2^53")]
    pub(super) fn ahead(&self, (step, steps): (u64, u64), layer: usize) -> Vec<f64> {
        let layer = u32::try_from(layer).expect("a model has fewer than 2^32 layers");
        let end = (step + steps.max(1)).min(self.steps.max(step + 1));
        let each = (end - step).div_ceil(AHEAD);
        let looked_at = (step..end).step_by(usize::try_from(each).unwrap_or(usize::MAX));
        let mut mean = vec![0.0; self.process.experts()];
        let mut shares = mean.clone();
        let part = 1.0 / looked_at.clone().count() as f64;
        for step in looked_at {
            self.process.popularity(StepLayer::new(step, layer), &mut shares);
            let assignments = self.process.assignments(step) as f64 * part;
            for (mean, share) in mean.iter_mut().zip(&shares) {
                *mean += share * assignments;
            }
        }
        mean
    }

    /// The terms of one layer at one step under a given placement, and what each device has to do: what the engine is
    /// asked too.
    #[must_use]
    pub fn layer(&self, at: StepLayer, compiled: &Compiled) -> (LayerTime, Vec<DeviceLoad>) {
        let mut drawn = Drawn::<1>::new(self.process.experts());
        let mut loads = Loads::default();
        let counts = drawn.of(self.process, at.step..at.step + 1, at.layer);
        let times = compiled.time(counts, &self.sources(at.step), (self.machine, 1.0), &mut loads);
        (times.of(0), loads.devices(0).collect())
    }
}

/// Adds numbers of steps side by side to sums over steps, one after the other.
pub(super) fn add<T: Copy + Into<f64>, const N: usize>(
    sums: &mut [f64],
    numbers: &[[T; N]],
    steps: &Range<u64>,
) {
    let count = usize::try_from(steps.end - steps.start).map_or(N, |count| count.min(N));
    if count == N {
        // The same with a length that is known.
        for (sum, numbers) in sums.iter_mut().zip(numbers) {
            numbers.iter().for_each(|&number| *sum += number.into());
        }
        return;
    }
    for (sum, numbers) in sums.iter_mut().zip(numbers) {
        numbers[..count].iter().for_each(|&number| *sum += number.into());
    }
}
