//! Configurations that one core estimates in a second: legality, memory and step of every layout of a search.
//!
//! `cargo bench -p orrery --bench estimate [-- NAME]`. Prints the figure for DeepSeek-V3 on 2,048 H800 and for GPT-3 on 1,024 A100,
//! beside that of the slow twin, which makes each plan and puts it together anew.

use std::io::Write as _;
use std::time::Instant;

use orrery::files::read_scenario;
use orrery::pipeline::load;
use orrery::scenario::render;
use orrery::sweep::Axes;
use orrery_workload::estimate::{Parts, Surveyor, memory_peaks};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios/training/");
/// Layouts that the slow twin is asked for.
const SLOW: usize = 200;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let jobs: [(&str, &[(&str, &str)]); 2] = [
        ("deepseek-v3-2048-h800", &[]),
        (
            "gpt3-175b-a100",
            &[
                ("cluster.nodes", "128"),
                ("training.global_batch", "1536"),
                ("parallel.dp", "\"auto\""),
                ("parallel.zero_stage", "1"),
            ],
        ),
    ];
    // What cargo adds are flags.
    let named = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'));
    for (name, settings) in jobs {
        if named.as_ref().is_some_and(|named| !name.contains(named)) {
            continue;
        }
        let path = format!("{ROOT}{name}.scenario.toml");
        let settings: Vec<(String, String)> = settings
            .iter()
            .map(|&(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        let base = load(&path, &read_scenario(&path)?, &settings).map_err(|faults| render(&faults))?;
        let axes = Axes::of(&base);
        let mut surveyor = Surveyor::new(base);
        let began = Instant::now();
        let (mut legal, mut sum) = (Vec::new(), 0.0);
        for number in 0..axes.len() {
            let choice = axes.choice(number);
            if let Ok(survey) = surveyor.survey(&choice) {
                sum += survey.estimate.step;
                legal.push(number);
            }
        }
        let fast = began.elapsed().as_secs_f64();
        let began = Instant::now();
        let every = (legal.len() / SLOW).max(1);
        let mut slow = 0_u32;
        for &number in legal.iter().step_by(every) {
            let plan = surveyor
                .plan(&axes.choice(number))
                .map_err(|refusal| refusal.message)?;
            sum += Parts::of(&plan).step(&plan.tuning).step;
            sum += memory_peaks(&plan).first().map_or(0.0, |peak| peak.as_f64());
            slow += 1;
        }
        let per_slow = f64::from(slow) / began.elapsed().as_secs_f64();
        let count = |len: usize| f64::from(u32::try_from(len).unwrap_or(u32::MAX));
        writeln!(
            std::io::stdout(),
            "{name}: {} configurations, {} legal, in {fast:.3} s: {:.0} a second and core, {:.0} legal ones; the slow \
             twin {per_slow:.0} (sum {sum:.3e})",
            axes.len(),
            legal.len(),
            count(axes.len()) / fast,
            count(legal.len()) / fast,
        )?;
    }
    Ok(())
}
