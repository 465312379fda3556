//! A search over layouts, for people and for programs.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::atomic::Ordering;

use orrery_scenario::catalog;
use orrery_scenario::plan::{Plan, Recompute, ZeroStage};
use orrery_units::{Bytes, significant};
use serde_json::{Value, json};

use super::Job;
use super::picture::{Cloud, Map};
use crate::cli::{Console, Failure, Format};
use crate::exit::Exit;
use crate::sweep::{Axes, Candidate, Confirmed, Confirming, Found, Progress, confirm, estimate, regret};

/// Points of the front that are printed.
const FRONT_SHOWN: usize = 12;

/// A search as it is printed.
struct Shown(Found);

impl std::ops::Deref for Shown {
    type Target = Found;

    fn deref(&self) -> &Found {
        &self.0
    }
}

pub(super) fn search(job: &Job<'_>, base: &Plan, console: &mut Console<'_>) -> anyhow::Result<Exit> {
    let args = job.args;
    let axes = axes(base, &args.axes).map_err(Failure::invalid)?;
    let (progress, shard) = (Progress::default(), args.shard.unwrap_or((0, 1)));
    let stop = || progress.cancelled.store(true, Ordering::Relaxed);
    let total = axes.len() / shard.1;
    let estimated = job.watched("estimating", total, &progress.done, stop, console, || {
        estimate(base, &axes, shard, &progress)
    });
    let top = if args.estimate_only { 0 } else { args.top };
    let best = &estimated.fitting[..top.min(estimated.fitting.len())];
    let confirming = Confirming::default();
    let stop = || confirming.cancel();
    let confirmed = job.watched("simulating", best.len(), &confirming.done, stop, console, || {
        confirm(base, best, &confirming)
    });
    let confirmed = confirmed.map_err(anyhow::Error::msg)?;
    let found = Shown(Found::new(base.clone(), estimated, confirmed));
    match args.format.format {
        Format::Human | Format::Github => write!(console.out, "{}", found.text())?,
        Format::Json => writeln!(console.out, "{:#}", found.json())?,
        Format::Jsonl => {
            for row in found.rows() {
                writeln!(console.out, "{row}")?;
            }
        }
        Format::Csv => write!(console.out, "{}", found.csv())?,
    }
    if !args.write.is_empty() {
        job.write(&found.rows(), &found.json(), console)?;
    }
    if let Some(path) = &args.picture {
        found.draw(path)?;
        writeln!(console.err, "wrote {}", path.display())?;
    }
    Ok(job.exit(!found.estimated.fitting.is_empty()))
}

/// The axes of a search with the values that were named.
fn axes(base: &Plan, named: &[(String, String)]) -> Result<Axes, String> {
    let mut axes = Axes::of(base);
    let mut chunks: Option<Vec<u32>> = None;
    for (key, values) in named {
        let values: Vec<&str> = values.split(',').map(str::trim).collect();
        let numbers = || {
            let number = |value: &&str| value.parse::<u32>().ok().filter(|&number| number > 0);
            let numbers: Option<Vec<u32>> = values.iter().map(number).collect();
            numbers.ok_or_else(|| format!("`{key}` takes numbers from 1, such as `{key}=1,2,4`"))
        };
        match key.as_str() {
            "tp" => axes.tp = numbers()?,
            "pp" => axes.pp = numbers()?,
            "cp" => axes.cp = numbers()?,
            "ep" => axes.ep = numbers()?,
            "expert_tp" => axes.expert_tp = numbers()?,
            "micro_batch" => axes.micro_batch = numbers()?.into_iter().map(u64::from).collect(),
            "chunks" => chunks = Some(numbers()?),
            "zero_stage" => {
                let stage = |value: &&str| zero(value);
                axes.zero = values.iter().map(stage).collect::<Result<_, _>>()?;
            }
            "schedule" => {
                let keep: Vec<(&str, Option<u32>)> = axes.schedules.clone();
                axes.schedules = keep
                    .into_iter()
                    .filter(|(name, _)| values.contains(name))
                    .collect();
                if values.contains(&"gpipe") {
                    axes.schedules.push(("gpipe", None));
                }
                if axes.schedules.is_empty() {
                    return Err(
                        "`schedule` takes gpipe, 1f1b, interleaved, zb-h1, zb-v, dualpipe, dualpipe-v"
                            .to_owned(),
                    );
                }
            }
            "recompute" => {
                let written = base.training.recompute.clone();
                axes.recompute = values
                    .iter()
                    .map(|&value| match value {
                        "none" => Ok(Recompute::None),
                        "full" => Ok(Recompute::Full),
                        "scenario" => Ok(written.clone()),
                        _ => Err("`recompute` takes none, full, scenario".to_owned()),
                    })
                    .collect::<Result<_, _>>()?;
            }
            _ => {
                return Err(format!(
                    "no degree is called `{key}`\n  = help: tp, pp, cp, ep, expert_tp, micro_batch, zero_stage, schedule, chunks, recompute"
                ));
            }
        }
    }
    if let Some(chunks) = chunks {
        axes.schedules.retain(|(_, known)| known.is_none());
        axes.schedules
            .extend(chunks.into_iter().map(|count| ("interleaved", Some(count))));
    }
    Ok(axes.each_once())
}

fn zero(text: &str) -> Result<ZeroStage, String> {
    match text {
        "0" => Ok(ZeroStage::None),
        "1" => Ok(ZeroStage::Optimizer),
        "2" => Ok(ZeroStage::Gradients),
        "3" => Ok(ZeroStage::Parameters),
        _ => Err("`zero_stage` takes 0 to 3".to_owned()),
    }
}

fn percent(share: f64) -> String {
    format!("{} %", significant(share * 100.0, 3))
}

impl Shown {
    fn text(&self) -> String {
        let mut out = String::new();
        let base = &self.base;
        let (fits, all) = (self.estimated.fitting.len(), self.estimated.looked_at);
        let too_large = self.estimated.too_large.len();
        let world = base.layout.world();
        let name = &base.cluster.device.name;
        out.push_str(&format!(
            "{}: layouts on {world} x {name}, experts balanced, no noise\n",
            base.identity.name
        ));
        out.push_str(&format!(
            "  {all} looked at, {} allowed by the rules, {fits} of them fit in {}\n",
            fits + too_large,
            base.cluster.device.memory
        ));
        if !self.estimated.infeasible.is_empty() {
            out.push_str("\nWhy others cannot be:\n");
        }
        for reason in &self.estimated.infeasible {
            out.push_str(&format!(
                "  {:>7}  {:<6}  {} (such as {})\n",
                reason.count, reason.code, reason.message, reason.example
            ));
        }
        self.push_top(&mut out);
        self.push_front(&mut out);
        out
    }

    fn push_top(&self, out: &mut String) {
        if self.confirmed.is_empty() {
            return;
        }
        out.push_str("\nThe best estimates, simulated:\n");
        let header = [
            "  #",
            "estimate",
            "simulated",
            "MFU",
            "tokens/s/GPU",
            "peak",
            "layout",
        ];
        let mut rows: Vec<[String; 7]> = vec![header.map(str::to_owned)];
        for at in self.ranked() {
            let candidate = &self.estimated.fitting[at];
            let estimate = format!("{} s", significant(candidate.survey.estimate.step, 4));
            let [step, mfu, tokens, peak] = self.confirmed[at].map_or_else(
                || ["stopped", "", "", ""].map(str::to_owned),
                |confirmed| {
                    [
                        format!("{} s", significant(confirmed.step, 4)),
                        percent(confirmed.mfu),
                        significant(confirmed.tokens, 4),
                        Bytes::from_f64(confirmed.peak).to_string(),
                    ]
                },
            );
            let beyond = if candidate.survey.tensor_beyond_domain {
                ", TP beyond the scale-up network"
            } else {
                ""
            };
            let layout = format!("{}{beyond}", candidate.choice);
            rows.push([format!("{}", at + 1), estimate, step, mfu, tokens, peak, layout]);
        }
        push_table(out, &rows);
        if let Some((regret, off)) = self.judged() {
            let _fits = writeln!(
                out,
                "The first estimate is {} behind the best simulated; estimates are {} off on average.",
                percent(regret),
                percent(off)
            );
        }
    }

    fn push_front(&self, out: &mut String) {
        if self.front.is_empty() {
            return;
        }
        out.push_str("\nNone is both faster and smaller than these (estimates):\n");
        let header = ["  step", "tokens/s/GPU", "peak", "layout"];
        let mut rows: Vec<[String; 4]> = vec![header.map(str::to_owned)];
        let step = self.front.len().div_ceil(FRONT_SHOWN).max(1);
        for &at in self.front.iter().step_by(step) {
            let candidate = &self.estimated.fitting[at];
            let seconds = candidate.survey.estimate.step;
            rows.push([
                format!("  {} s", significant(seconds, 4)),
                significant(self.tokens_per_device(seconds), 4),
                candidate.survey.peak.to_string(),
                candidate.choice.to_string(),
            ]);
        }
        push_table(out, &rows);
        if step > 1 {
            let _fits = writeln!(out, "  ({} in all; every {step}th shown)", self.front.len());
        }
    }

    /// One object for each layout that the rules allow.
    fn rows(&self) -> Vec<Value> {
        let fitting = self.estimated.fitting.iter().enumerate();
        let mut rows: Vec<Value> = fitting
            .map(|(at, candidate)| self.row(candidate, self.confirmed(at), true))
            .collect();
        let too_large = &self.estimated.too_large;
        rows.extend(too_large.iter().map(|candidate| self.row(candidate, None, false)));
        rows
    }

    fn row(&self, candidate: &Candidate, confirmed: Option<Confirmed>, fits: bool) -> Value {
        let (choice, survey) = (&candidate.choice, &candidate.survey);
        let recompute = match &choice.recompute {
            Recompute::None => "none".to_owned(),
            Recompute::Full => "full".to_owned(),
            Recompute::Selective(_) => {
                let settings = choice.settings();
                let written = settings.into_iter().find(|(key, _)| key == "training.recompute");
                written.map_or_else(String::new, |(_, value)| value)
            }
        };
        json!({
            "number": candidate.number,
            "tp": choice.tp, "pp": choice.pp, "cp": choice.cp, "ep": choice.ep, "expert_tp": choice.expert_tp,
            "dp": survey.dp, "micro_batch": choice.micro_batch, "microbatches": survey.microbatches,
            "schedule": choice.schedule, "chunks": choice.chunks, "zero_stage": choice.zero as u8,
            "recompute": recompute,
            "fits": fits,
            "estimate_step_s": survey.estimate.step,
            "estimate_busy_s": survey.estimate.busy,
            "estimate_bubble_s": survey.estimate.bubble,
            "estimate_data_s": survey.estimate.data,
            "estimate_end_s": survey.estimate.end,
            "estimate_tokens_per_gpu_s": self.tokens_per_device(survey.estimate.step),
            "estimate_peak_bytes": survey.peak.get(),
            "peak_pipeline_rank": survey.peak_rank,
            "tensor_beyond_domain": survey.tensor_beyond_domain,
            "step_s": confirmed.map(|known| known.step),
            "peak_bytes": confirmed.map(|known| known.peak),
            "mfu": confirmed.map(|known| known.mfu),
            "tokens_per_gpu_s": confirmed.map(|known| known.tokens),
        })
    }

    fn csv(&self) -> String {
        crate::cli::output::print_values(&self.rows(), Format::Csv, String::new)
    }

    fn json(&self) -> Value {
        let top: Vec<Value> = self
            .ranked()
            .into_iter()
            .map(|at| self.row(&self.estimated.fitting[at], self.confirmed[at], true))
            .collect();
        let front = self
            .front
            .iter()
            .map(|&at| self.row(&self.estimated.fitting[at], self.confirmed(at), true));
        let infeasible = self.estimated.infeasible.iter().map(|reason| {
            json!({
                "code": reason.code,
                "count": reason.count,
                "message": reason.message,
                "example": reason.example.to_string(),
            })
        });
        json!({
            "schema": "sweep/1",
            "scenario": self.base.identity.name,
            "seed": self.base.run.seed.get(),
            "version": env!("CARGO_PKG_VERSION"),
            "profile": self.base.profile.name,
            "tuning": catalog::tuning().schema,
            "looked_at": self.estimated.looked_at,
            "legal": self.estimated.fitting.len() + self.estimated.too_large.len(),
            "fitting": self.estimated.fitting.len(),
            "regret": regret(&self.simulated()),
            "top": top,
            "front": front.collect::<Vec<_>>(),
            "infeasible": infeasible.collect::<Vec<_>>(),
        })
    }

    fn draw(&self, path: &Path) -> anyhow::Result<()> {
        let small = |&(step, peak): &(f64, f64)| (step, peak / f64::from(1 << 30));
        let fitting: Vec<(f64, f64)> = self.estimated.fitting.iter().map(Candidate::place).collect();
        let too_large: Vec<(f64, f64)> = self.estimated.too_large.iter().map(Candidate::place).collect();
        let on_front: Vec<(f64, f64)> = self.front.iter().map(|&at| fitting[at]).collect();
        let confirmed: Vec<(f64, f64)> = self
            .confirmed
            .iter()
            .flatten()
            .map(|known| (known.step, known.peak))
            .collect();
        let cloud = |name, points: &[(f64, f64)]| Cloud {
            name,
            points: points.iter().map(small).collect(),
        };
        let map = Map {
            title: format!(
                "{}: {} layouts on {} x {}",
                self.base.identity.name,
                fitting.len() + too_large.len(),
                self.base.layout.world(),
                self.base.cluster.device.name
            ),
            fitting: cloud("fit", &fitting),
            too_large: cloud("do not fit", &too_large),
            front: cloud("none faster and smaller", &on_front),
            confirmed: cloud("simulated", &confirmed),
            memory: self.base.cluster.device.memory.as_f64() / f64::from(1 << 30),
        };
        crate::picture::draw(&map, path).map_err(Failure::invalid)
    }
}

/// Rows with their columns aligned, the first as a header; the last column is text.
fn push_table<const N: usize>(out: &mut String, rows: &[[String; N]]) {
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    for row in rows {
        let (last, first) = row.split_last().expect("a table has columns");
        for (cell, width) in first.iter().zip(&widths) {
            let _fits = write!(out, "{cell:>width$}  ");
        }
        out.push_str(last);
        out.push('\n');
    }
}
