//! Whom the ranks of a job wait for: which rank, and which node, drags the step.

use orrery_units::{SimDuration, significant};
use serde_json::{Value, json};

use crate::rank::{RankLoad, Ranks};
use crate::render::percent;

/// Half more than its even share of all waiting is what a rank must cause to drag a step …
const BEYOND_EVEN: f64 = 1.5;
/// … and a twentieth of all: of many ranks one is always somewhat ahead.
const LEAST: f64 = 0.05;
/// Times that differ by less are called alike.
const ALIKE: f64 = 0.005;
/// Ranks from which on a stage has a median of its own.
const OWN_MEDIAN: usize = 3;

/// A rank, and how long it computes beside its like.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RankPace {
    /// Its name.
    pub name: String,
    /// Its stage.
    pub stage: String,
    /// The node of its device, where that is known.
    pub node: Option<u64>,
    /// Seconds of compute in a step.
    pub compute: f64,
    /// The median of the ranks of its stage, or of all where the stage has only one or two.
    pub usual: f64,
    /// Whether [`usual`](Self::usual) is that of its stage.
    pub of_stage: bool,
}

/// The rank that the others wait for, and the one that computes longest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WaitedFor {
    /// The rank with whose arrival most of the waiting ends.
    pub first: RankPace,
    /// Its share of all waiting.
    pub share: f64,
    /// The same in seconds of a step, added up over those who wait.
    pub seconds: f64,
    /// The share of all ranks of its node; its own where there is one node, or nobody knows.
    pub node_share: f64,
    /// Ranks that were told apart.
    pub num_ranks: usize,
    /// Ranks that each of them stands for.
    pub alike: u32,
    /// The rank that computes longest.
    pub busiest: RankPace,
    /// Shares of the ranks that made others wait most, the most first.
    pub blamed: Vec<(String, f64)>,
}

impl Ranks {
    /// Whom the others wait for; none where nobody waits.
    #[must_use]
    pub fn waited_for(&self) -> Option<WaitedFor> {
        let all = self.caused_wait();
        let (&first, busiest) = (self.blamed(1).first()?, self.worst()?);
        // Of one node all are of the same.
        let has_nodes = self.loads.iter().any(|rank| rank.node != first.node);
        let same_node = |rank: &&RankLoad| match first.node.filter(|_| has_nodes) {
            Some(node) => rank.node == Some(node),
            None => rank.name == first.name,
        };
        let of_node: f64 = self
            .loads
            .iter()
            .filter(same_node)
            .map(|rank| rank.caused_wait)
            .sum();
        let blamed = self.blamed(LISTED).into_iter();
        Some(WaitedFor {
            first: self.pace(first),
            share: first.caused_wait / all,
            seconds: first.caused_wait,
            node_share: of_node / all,
            num_ranks: self.loads.len(),
            alike: first.stands_for,
            busiest: self.pace(busiest),
            blamed: blamed
                .map(|rank| (rank.name.clone(), rank.caused_wait / all))
                .collect(),
        })
    }

    fn pace(&self, rank: &RankLoad) -> RankPace {
        let compute = |of_stage: bool| -> Vec<f64> {
            let like = self
                .loads
                .iter()
                .filter(|other| !of_stage || other.stage == rank.stage);
            like.map(|other| other.compute).collect()
        };
        let own = compute(true);
        let of_stage = own.len() >= OWN_MEDIAN;
        RankPace {
            name: rank.name.clone(),
            stage: rank.stage.clone(),
            node: rank.node,
            compute: rank.compute,
            usual: median(if of_stage { own } else { compute(false) }),
            of_stage,
        }
    }
}

/// Ranks that are listed with their share.
const LISTED: usize = 10;

/// The value of the middle, the mean of two; 0 of none.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.len().saturating_sub(1) / 2, values.len() / 2);
    values
        .get(low)
        .zip(values.get(high))
        .map_or(0.0, |(low, high)| f64::midpoint(*low, *high))
}

impl RankPace {
    /// Such as `rank 17 (stage 2, node 2)`.
    #[must_use]
    pub fn called(&self) -> String {
        let node = self
            .node
            .map_or_else(String::new, |node| format!(", node {node}"));
        format!("{} ({}{node})", self.name, self.stage)
    }

    /// How long it computes, as a part of a sentence that began with it.
    fn computes(&self) -> String {
        let time = SimDuration::from_secs(self.compute);
        let like = if self.of_stage {
            "ranks of its stage"
        } else {
            "ranks"
        };
        let times = if self.usual > 0.0 {
            self.compute / self.usual
        } else {
            1.0
        };
        if (times - 1.0).abs() < ALIKE {
            return format!("{time} a step, as {like} mostly do");
        }
        format!(
            "{time} a step, {} x what {like} mostly take",
            significant(times, 3)
        )
    }

    fn of(value: &Value) -> Option<Self> {
        Some(Self {
            name: value["rank"].as_str()?.to_owned(),
            stage: value["stage"].as_str()?.to_owned(),
            node: value["node"].as_u64(),
            compute: value["compute"].as_f64()?,
            usual: value["usual"].as_f64()?,
            of_stage: value["of_stage"].as_bool()?,
        })
    }

    fn json(&self) -> Value {
        json!({
            "rank": self.name, "stage": self.stage, "node": self.node, "compute": self.compute, "usual": self.usual,
            "of_stage": self.of_stage,
        })
    }
}

impl WaitedFor {
    /// Whether the others wait for one rank rather than for each other: it causes half more than its even share of all
    /// waiting, and a twentieth of it at least.
    #[must_use]
    pub fn stands_out(&self) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "there are fewer ranks than 2^53")]
        let even = 1.0 / self.num_ranks.max(1) as f64;
        self.share >= (BEYOND_EVEN * even).max(LEAST)
    }

    /// The rank to look at: the one that is waited for, else the one that computes longest.
    #[must_use]
    pub fn to_look_at(&self) -> &RankPace {
        if self.stands_out() {
            &self.first
        } else {
            &self.busiest
        }
    }

    /// The share of all waiting that the rank called `name` causes, where it is among those that cause most.
    #[must_use]
    pub fn share_of(&self, name: &str) -> Option<f64> {
        let found = self.blamed.iter().find(|(other, _)| other == name);
        found.map(|(_, share)| *share)
    }

    /// Who is waited for and how long it computes, in a sentence or two.
    #[must_use]
    pub fn sentence(&self) -> String {
        let (first, share) = (&self.first, percent(self.share));
        let longest = |rank: &RankPace| {
            format!(
                " {} computes longest, {}.",
                capital(&rank.called()),
                rank.computes()
            )
        };
        if !self.stands_out() {
            let alike = match self.alike {
                0 | 1 => String::new(),
                alike => format!(" (each stands for {alike} that are alike)"),
            };
            return format!(
                "No rank drags the step: waiting is spread over {} ranks{alike}, the most of it, {share}, ends when {} \
                 arrives.{}",
                self.num_ranks,
                first.called(),
                longest(&self.busiest)
            );
        }
        let node = match first.node {
            Some(node) if self.node_share > self.share * (1.0 + ALIKE) => {
                format!(
                    ", {} with the other ranks of node {node}",
                    percent(self.node_share)
                )
            }
            _ => String::new(),
        };
        let own = match self.busiest.name == first.name {
            true => format!(" It computes longest, {}.", first.computes()),
            false => format!(" It computes {}.{}", first.computes(), longest(&self.busiest)),
        };
        format!(
            "The others wait for {}: {share} of all waiting ends when it arrives{node}, {} of their time a step.{own}",
            first.called(),
            SimDuration::from_secs(self.seconds)
        )
    }

    /// What a stored run (`result/1`) says; none where nobody waits, or the run is of a version that did not say it.
    #[must_use]
    pub fn of(run: &Value) -> Option<Self> {
        let ranks = &run["ranks"];
        let said = &ranks["waited_for"];
        let all = ranks["wait_caused"].as_f64()?;
        let blamed = ranks["blamed"].as_array()?.iter();
        let blamed = blamed
            .filter_map(|rank| Some((rank["rank"].as_str()?.to_owned(), rank["seconds"].as_f64()? / all)));
        Some(Self {
            first: RankPace::of(&said["first"])?,
            share: said["share"].as_f64()?,
            seconds: said["seconds"].as_f64()?,
            node_share: said["node_share"].as_f64()?,
            num_ranks: usize::try_from(said["ranks"].as_u64()?).ok()?,
            alike: u32::try_from(said["alike"].as_u64()?).ok()?,
            busiest: RankPace::of(&said["busiest"])?,
            blamed: blamed.collect(),
        })
    }

    /// What [`of`](Self::of) reads, but for the list of ranks.
    pub(crate) fn json(&self) -> Value {
        json!({
            "first": self.first.json(), "share": self.share, "seconds": self.seconds, "node_share": self.node_share,
            "ranks": self.num_ranks, "alike": self.alike, "busiest": self.busiest.json(), "sentence": self.sentence(),
        })
    }
}

/// `words` as the beginning of a sentence.
fn capital(words: &str) -> String {
    let mut letters = words.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rank(number: u64, compute: f64, caused_wait: f64) -> RankLoad {
        RankLoad {
            name: format!("rank {number}"),
            stage: format!("stage {}", number / 8),
            node: Some(number / 4),
            stands_for: 1,
            compute,
            imbalance_wait: 0.0,
            caused_wait,
        }
    }

    /// Sixteen ranks of two stages on four nodes; one of them takes 1.25 s instead of 1 s, its neighbour 1.1 s.
    fn with_a_slow_rank() -> Ranks {
        let load = |number: u64| match number {
            9 => rank(number, 1.25, 6.0),
            10 => rank(number, 1.1, 2.0),
            _ => rank(number, 1.0, 0.125),
        };
        Ranks {
            loads: (0..16).map(load).collect(),
        }
    }

    #[test]
    fn the_rank_that_comes_last_is_named_with_its_node_and_its_pace() {
        let waited = with_a_slow_rank().waited_for().expect("ranks wait");
        assert!(waited.stands_out());
        assert_eq!(waited.to_look_at().name, "rank 9");
        // 6 of 9.75 s; with the other ranks of node 2: 8.25 of 9.75.
        assert_eq!(
            waited.sentence(),
            "The others wait for rank 9 (stage 1, node 2): 61.5 % of all waiting ends when it arrives, 84.6 % with the \
             other ranks of node 2, 6 s of their time a step. It computes longest, 1.25 s a step, 1.25 x what ranks of \
             its stage mostly take."
        );
        assert!((waited.share_of("rank 10").expect("it is listed") - 2.0 / 9.75).abs() < 1e-12);
    }

    #[test]
    fn of_ranks_that_are_alike_none_drags_the_step() {
        let mut alike = Ranks {
            loads: (0..16).map(|number| rank(number, 1.0, 0.5)).collect(),
        };
        alike.loads[12].compute = 1.03;
        let waited = alike.waited_for().expect("ranks wait");
        assert!(!waited.stands_out());
        assert_eq!(waited.to_look_at().name, "rank 12");
        let folded = WaitedFor {
            alike: 16,
            ..waited.clone()
        };
        assert!(
            folded
                .sentence()
                .contains("16 ranks (each stands for 16 that are alike), ")
        );
        assert_eq!(
            waited.sentence(),
            "No rank drags the step: waiting is spread over 16 ranks, the most of it, 6.25 %, ends when rank 0 (stage 0, \
             node 0) arrives. Rank 12 (stage 1, node 3) computes longest, 1.03 s a step, 1.03 x what ranks of its stage \
             mostly take."
        );
        for load in &mut alike.loads {
            load.caused_wait = 0.0;
        }
        assert_eq!(alike.waited_for(), None, "nobody waits");
    }

    #[test]
    fn a_stored_run_says_the_same() {
        let ranks = with_a_slow_rank();
        let waited = ranks.waited_for().expect("ranks wait");
        let blamed: Value = ranks
            .blamed(LISTED)
            .iter()
            .map(|rank| json!({"rank": rank.name, "seconds": rank.caused_wait}))
            .collect();
        let run = json!({"ranks": {"wait_caused": ranks.caused_wait(), "blamed": blamed, "waited_for": waited.json()}});
        assert_eq!(WaitedFor::of(&run), Some(waited));
        assert_eq!(
            WaitedFor::of(&json!({"ranks": {}})),
            None,
            "an older one does not say it"
        );
    }
}
