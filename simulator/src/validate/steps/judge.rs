//! What the rows of training steps say together, beside their errors.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json as object};

use super::super::summary::{mean, median};
use super::super::{Outcome, Row, Summary, summary};
use super::case::StepCase;
use super::ranking::{Ranking, ranking};
use super::releases::{ReleaseFactor, factors, with_factor};
use super::skill::{Skill, skill};
use crate::tuning::{COUNTS, LargestRun, Worth};

/// Figures of one table of training steps as a whole.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) struct Judgement {
    /// Compared over all rows of tier A; none where the table has none.
    coverage_complete: Option<f64>,
    /// Compared over all rows.
    coverage: f64,
    /// Layouts of rows that say all, and of those that leave fields to an assumption.
    rankings: [Ranking; 2],
    /// Over tier A, with the row's own model among its peers and without.
    skills: [Skill; 2],
    /// The largest runs of families.
    largest: Vec<LargestRun>,
    /// What a few measurements are worth on a platform that nothing was fitted to.
    worth: Vec<Worth>,
    /// With one factor per release: the variant.
    releases: Option<(Vec<ReleaseFactor>, Summary)>,
}

impl Judgement {
    /// The judgement of `outcome`; none without training steps.
    pub(in super::super) fn of(outcome: &Outcome, with_releases: bool) -> Option<Self> {
        let rows: Vec<&Row> = outcome.rows.iter().filter(|row| tier(row).is_some()).collect();
        if rows.is_empty() {
            return None;
        }
        let tier_a: Vec<&StepCase> = outcome.cases.iter().filter(|case| case.tier == "A").collect();
        let of = |is_complete: bool| {
            let mine = outcome.cases.iter();
            ranking(mine.filter(move |case| case.is_complete == is_complete))
        };
        let complete: Vec<&Row> = rows
            .iter()
            .filter(|row| tier(row) == Some("A"))
            .copied()
            .collect();
        Some(Self {
            coverage_complete: (!complete.is_empty()).then(|| summary(complete.iter().copied()).coverage),
            coverage: summary(rows.iter().copied()).coverage,
            rankings: [of(true), of(false)],
            skills: [skill(&tier_a, true), skill(&tier_a, false)],
            largest: outcome.largest_runs.clone(),
            worth: outcome.worth.clone(),
            releases: with_releases.then(|| variant(&tier_a)),
        })
    }

    /// Median and mean of the errors of the largest runs, each family once.
    fn scale_up(&self) -> (f64, f64) {
        let errors: Vec<f64> = self.largest.iter().map(|run| run.mape).collect();
        (median(&errors), mean(&errors))
    }

    /// A line for each figure.
    pub(in super::super) fn human(&self) -> String {
        let complete = self.coverage_complete.map_or_else(String::new, |share| {
            format!("{:.1} % of tier A, ", percent(share))
        });
        let mut text = format!(
            "predicted: {complete}{:.1} % of all rows\n",
            percent(self.coverage)
        );
        for (ranking, what) in self.rankings.iter().zip(["", ", with fields assumed"]) {
            if ranking.groups > 0 {
                text += &format!(
                    "layouts of one model on one machine{what}: regret median {:.1} %, mean {:.1} %; Kendall tau median \
                     {:.2}, mean {:.2}; {} groups of {} layouts\n",
                    percent(ranking.regret_median),
                    percent(ranking.regret_mean),
                    ranking.tau_median,
                    ranking.tau_mean,
                    ranking.groups,
                    ranking.layouts,
                );
            }
        }
        if !self.largest.is_empty() {
            let (median, mean) = self.scale_up();
            text += &format!(
                "scale-up, the largest run of each family by what runs of 256 devices and less tell: median {:.1} %, mean \
                 {:.1} % over {} families\n",
                percent(median),
                percent(mean),
                self.largest.len()
            );
        }
        for (skill, own) in self
            .skills
            .iter()
            .zip(["its own model among them", "its own model left out"])
        {
            if skill.n > 0 {
                text += &format!(
                    "skill on tier A against the median rate of its device, format and kind of model, {own}: {:.2} \
                     ({:.1} % against {:.1} % over {} rows)\n",
                    skill.value(),
                    percent(skill.mape),
                    percent(skill.naive),
                    skill.n
                );
            }
        }
        text + &self.worth() + &self.variant()
    }

    /// A line for each platform that was left out, and their means.
    fn worth(&self) -> String {
        if self.worth.is_empty() {
            return String::new();
        }
        let mut text = format!("\n{:<40} {:>5}", "platform, left out of the fit", "rows");
        for count in COUNTS {
            text += &format!(" {:>12}", format!("{count} measured"));
        }
        let share =
            |share: Option<f64>| share.map_or("-".to_owned(), |share| format!("{:.1} %", percent(share)));
        for line in &self.worth {
            text += &format!("\n{:<40} {:>5}", line.platform, line.rows);
            for mape in line.mape {
                text += &format!(" {:>12}", share(mape));
            }
        }
        for kind in ["stack", "device"] {
            let mine = self.worth.iter().filter(|line| line.platform.starts_with(kind));
            // The mean of those that every count has, so that columns compare.
            let whole: Vec<&Worth> = mine
                .filter(|line| line.mape.iter().all(Option::is_some))
                .collect();
            text += &format!("\n{:<40} {:>5}", format!("mean of {} {kind}s", whole.len()), "");
            for at in 0..COUNTS.len() {
                let errors: Vec<f64> = whole.iter().filter_map(|line| line.mape[at]).collect();
                text += &format!(" {:>12}", share((!errors.is_empty()).then(|| mean(&errors))));
            }
        }
        text + "\n"
    }

    /// The variant with a factor per release, and what each rests on.
    fn variant(&self) -> String {
        let Some((factors, with)) = &self.releases else {
            return String::new();
        };
        let mut text = format!(
            "VARIANT, tier A with a factor per release fitted on top: mean {:.1} %, median {:.1} %, p90 {:.1} %, bias \
             {:+.1} % over {} rows\n",
            with.mape * 100.0,
            with.median * 100.0,
            with.p90 * 100.0,
            with.bias * 100.0,
            with.n
        );
        for factor in factors {
            // Writing to memory cannot fail.
            let _written = writeln!(
                text,
                "  {:<40} {:.3} on {} rows of {} models",
                factor.release, factor.factor, factor.rows, factor.models
            );
        }
        text
    }

    /// The same figures by name; shares are fractions.
    pub(in super::super) fn json(&self) -> Value {
        let (median, mean) = self.scale_up();
        let families: Vec<Value> = self.largest.iter().map(family).collect();
        let ranking = |ranking: &Ranking| {
            object!({
                "groups": ranking.groups, "layouts": ranking.layouts,
                "regret_median": ranking.regret_median, "regret_mean": ranking.regret_mean,
                "kendall_tau_median": ranking.tau_median, "kendall_tau_mean": ranking.tau_mean,
            })
        };
        let skill = |skill: &Skill| object!({"n": skill.n, "mape": skill.mape, "naive_mape": skill.naive, "skill": skill.value()});
        let mut value = object!({
            "coverage": {"tier_a": self.coverage_complete, "all": self.coverage},
            "ranking": ranking(&self.rankings[0]),
            "ranking_with_fields_assumed": ranking(&self.rankings[1]),
            "scale_up": {"n": families.len(), "median": median, "mean": mean, "families": families},
            "skill": skill(&self.skills[0]),
            "skill_own_model_left_out": skill(&self.skills[1]),
        });
        if !self.worth.is_empty() {
            value["anchored"] = self.worth.iter().map(worth).collect();
        }
        if let Some((factors, with)) = &self.releases {
            let factors: Vec<Value> = factors.iter().map(release).collect();
            value["variant_release_factors"] =
                object!({"summary": super::super::render::shares(with), "factors": factors});
        }
        value
    }
}

fn percent(share: f64) -> f64 {
    share * 100.0
}

fn worth(line: &Worth) -> Value {
    let errors = COUNTS.iter().zip(line.mape);
    let errors: Vec<Value> = errors
        .map(|(count, mape)| object!({"measured": count, "mape": mape}))
        .collect();
    object!({"platform": line.platform, "n": line.rows, "errors": errors})
}

fn family(run: &LargestRun) -> Value {
    object!({"family": run.family, "gpus": run.devices, "n": run.rows, "mape": run.mape, "bias": run.bias})
}

fn release(factor: &ReleaseFactor) -> Value {
    object!({
        "release": factor.release, "factor": factor.factor, "rows": factor.rows, "models": factor.models,
    })
}

/// The tier of a row of training steps.
fn tier(row: &Row) -> Option<&str> {
    row.facts
        .iter()
        .find(|(name, _)| *name == "tier")
        .map(|(_, tier)| tier.as_str())
}

fn variant(cases: &[&StepCase]) -> (Vec<ReleaseFactor>, Summary) {
    let factors = factors(cases);
    let rows: Vec<Row> = cases
        .iter()
        .map(|case| Row {
            id: String::new(),
            facts: Vec::new(),
            groups: Vec::new(),
            result: Ok(with_factor(case, &factors).compared),
        })
        .collect();
    (factors, summary(rows.iter()))
}

/// Summaries of the sets of rows that count once: each source, model and device.
pub(in super::super) fn sets(outcome: &Outcome) -> BTreeMap<&str, Summary> {
    let mut sets: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
    for row in &outcome.rows {
        if let Some((_, name)) = row.facts.iter().find(|(fact, _)| *fact == "macro") {
            sets.entry(name).or_default().push(row);
        }
    }
    let summaries = sets
        .into_iter()
        .map(|(name, rows)| (name, summary(rows.into_iter())));
    summaries.filter(|(_, summary)| summary.n > 0).collect()
}
