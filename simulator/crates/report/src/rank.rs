//! Ranks side by side: how long each computes, and who made the others wait.

use orrery_timeline::Totals;

use crate::{Breakdown, RunFacts, State};

/// One rank in the mean measured step.
#[derive(Clone, Debug, PartialEq)]
pub struct RankLoad {
    /// Its name.
    pub name: String,
    /// Its stage.
    pub stage: String,
    /// The node of its device, where that is known.
    pub node: Option<u64>,
    /// Ranks that it stands for: others are exact copies of it.
    pub stands_for: u32,
    /// Seconds of compute in a step.
    pub compute: f64,
    /// Seconds it waited for peers in a step.
    pub imbalance_wait: f64,
    /// Seconds of waiting in a step that it caused by arriving last, added up over those who waited.
    pub caused_wait: f64,
}

/// All ranks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ranks {
    /// In order.
    pub loads: Vec<RankLoad>,
}

impl Ranks {
    /// Reads the ranks of all replications.
    #[must_use]
    pub fn of_runs(runs: &[&Totals], facts: &RunFacts) -> Self {
        let steps: Vec<_> = runs
            .iter()
            .flat_map(|totals| totals.steps.iter().skip(facts.warmup_steps))
            .collect();
        if steps.is_empty() {
            return Self::default();
        }
        #[expect(clippy::cast_precision_loss, reason = "fewer than 2^53 steps")]
        let count = steps.len() as f64;
        let mut loads: Vec<RankLoad> = facts
            .ranks
            .iter()
            .map(|rank| RankLoad {
                name: rank.name.clone(),
                stage: facts.stages[rank.stage].clone(),
                node: rank.node,
                stands_for: rank.stands_for,
                compute: 0.0,
                imbalance_wait: 0.0,
                caused_wait: 0.0,
            })
            .collect();
        for step in steps {
            let programs = step.programs.iter();
            for ((load, rank), program) in loads.iter_mut().zip(&facts.ranks).zip(programs) {
                let states = Breakdown::of_lane(&step.lanes[rank.compute_lane], step, facts);
                load.compute += states.seconds(State::Compute) / count;
                load.imbalance_wait += states.seconds(State::ImbalanceWait) / count;
                load.caused_wait += program.caused_wait.as_secs() / count;
            }
        }
        Self { loads }
    }

    /// The rank that computes longest; none without ranks.
    #[must_use]
    pub fn worst(&self) -> Option<&RankLoad> {
        self.loads.iter().reduce(
            |worst, next| {
                if next.compute > worst.compute { next } else { worst }
            },
        )
    }

    /// Up to `most` ranks that made others wait, the most first.
    #[must_use]
    pub fn blamed(&self, most: usize) -> Vec<&RankLoad> {
        let mut blamed: Vec<&RankLoad> = self.loads.iter().filter(|r| r.caused_wait > 0.0).collect();
        blamed.sort_by(|a, b| b.caused_wait.total_cmp(&a.caused_wait));
        blamed.truncate(most);
        blamed
    }

    /// Waiting that all ranks caused, in seconds a step.
    #[must_use]
    pub fn caused_wait(&self) -> f64 {
        self.loads.iter().map(|rank| rank.caused_wait).sum()
    }
}
